
# Copyright (C) the maintainers of nginx pprof

# Debug info of stripped objects: what tools/ngx-debuginfo takes, refuses and
# installs, and that the profiler takes and refuses the same, in a running
# nginx, with the command that would mend it in comments and index.  A real
# rebuild is in t/names.t.

use strict;
use warnings;

use lib 't/lib';
use File::Copy qw( copy );
use PprofTest;
use Pprof;
use Test::More;

needs(qw( cc objcopy readelf strings cmp ));

my $tool = "$Pprof::Root/tools/ngx-debuginfo";
my $dirh = temp_dir();
my $dir = "$dirh";
my $debug = "$dir/debug";

chmod 0755, $dir;
mkdir "$dir/tmp";


sub sh {
    my ($code, $out) = run_command([ 'sh', '-c', $_[0] ]);
    die "$_[0]: $out" if !defined $code || $code != 0;
    return $out;
}

sub tool {
    my (@args) = @_;
    my %env = ref $args[0] ? %{ shift @args } : ();
    return run_command([ $tool, '--dir', $debug, @args ],
                       env => { DEBUGINFOD_URLS => '', TMPDIR => "$dir/tmp", %env });
}

sub id { (sh("readelf -nW '$_[0]'") =~ /Build ID: ([0-9a-f]+)/)[0] }

sub place { $_[0] =~ /^(..)(.*)/; "$debug/.build-id/$1/$2.debug" }

sub install {
    my ($file, $id) = @_;
    my ($sub) = place($id) =~ m{(.*)/};

    sh("mkdir -p '$sub'");
    copy($file, place($id)) or die "$file: $!";
}


# An object, stripped, and what may be its debug file.

my $source = join '', map { "int f$_(int x) { return x * $_ + 1; }\n" } 1 .. 200;

sub build {
    my ($name, $text, $id, @flags) = @_;

    PprofTest::spew("$dir/one.c", $text);
    sh("cd $dir && cc -shared -fPIC -O1 -g -Wl,--build-id=0x$id @flags"
       . " -o $name one.c");
    return "$dir/$name";
}

my $object = build('libone.so', $source, 'aa' x 20);
my $full = "$dir/full.so";

rename $object, $full or die;
sh("objcopy --strip-unneeded $full $object");

my ($code, $out) = tool($object, '/etc/passwd');
is($code, 1, 'none: status');
like($out, qr/^libone\.so: no debug info\. package: no package owns it; debuginfod: DEBUGINFOD_URLS is not set; rebuild: no package owns it$/m,
     'none: why');
like($out, qr{^passwd: no ELF file with a build ID: /etc/passwd$}m, 'no ELF');
ok(!-e $debug, 'none: nothing written');

($code, $out) = tool('--dry-run', $object);
is($code, 0, 'dry run');
like($out, qr/^libone\.so: none yet; of no package $/m, 'dry run: says so');

($code, $out) = tool($full);
is($code, 0, 'own debug info');
like($out, qr/^full\.so: has its own debug info$/m, 'own debug info: says so');

for my $bad ([ '--nonsense' ], [ '--dir' ], [ '--only', 'luck', $object ]) {
    ($code, $out) = run_command([ $tool, @$bad ]);
    is($code, 2, "@$bad: status");
    like($out, qr/^usage: /, "@$bad: usage");
}

($code, $out) = run_command([ $tool, '--help' ]);
is($code, 0, 'help');

($code, $out) = tool('--binary', "$dir/nginx");
is($code, 1, 'no nginx');
like($out, qr{^ngx-debuginfo: there is no nginx at }, 'no nginx: says so');


# What fits, and what does not.

my $other = join '', map { "int f$_(int x) { return x * $_ + 2; }\n" } 1 .. 200;
my $longer = "int g(int x) { return x % 7; }\n" . $source;

my $truncated = "$dir/truncated.so";
sh("head -c 6000 $full > $truncated");
my $empty = build('empty.so', $source, 'cc' x 20);
sh("objcopy --only-keep-debug $empty $dir/nocode.so");
PprofTest::spew("$dir/text.so", "this is no ELF file\n");

my @fits = (
    [ $full, qr/same build ID/, 'build ID' ],
    [ build('rebuilt.so', $source, 'bb' x 20),
      qr/same layout, 0 of \d+ bytes of code differ/, 'rebuild' ],
);

my @refused = (
    [ build('other.so', $other, 'bb' x 20), qr/other code: \d+ of \d+ bytes differ/,
      'other code' ],
    [ build('longer.so', $longer, 'bb' x 20),
      qr/another layout: section \S+ differs/, 'one function more' ],
    [ build('stripped.so', $source, 'bb' x 20, '-s'), qr/has no debug info/,
      'stripped' ],
    [ "$dir/nocode.so", qr/another layout: section \S+ differs/, 'no code' ],
    [ $truncated, qr/has no debug info/, 'truncated' ],
    [ "$dir/text.so", qr/has no debug info/, 'no ELF file' ],
);

for (@fits) {
    my ($file, $says, $name) = @$_;

    install($file, 'aa' x 20);
    ($code, $out) = tool($object);
    is($code, 0, "$name: status");
    like($out, qr/^libone\.so: is there already \($says\): /m, "$name: taken");
}

for (@refused) {
    my ($file, $says, $name) = @$_;

    install($file, 'aa' x 20);
    ($code, $out) = tool($object);
    is($code, 1, "$name: status");
    like($out, qr/^libone\.so: \S+ does not fit: $says/m, "$name: refused");
}

unlink place('aa' x 20);


# Ways to get it: from a server, and from a package that is built; the commands
# are played, the files are real.

mkdir "$dir/bin";

sub play {
    my ($name, $script) = @_;
    PprofTest::spew("$dir/bin/$name", "#!/bin/sh\n$script\n");
    chmod 0755, "$dir/bin/$name";
}

my %played = (PATH => "$dir/bin:$ENV{PATH}");

play('debuginfod-find', "echo $dir/rebuilt.so");
($code, $out) = tool({ %played, DEBUGINFOD_URLS => 'http://127.0.0.1:1' },
                     '--only', 'debuginfod', $object);
is($code, 0, 'debuginfod: status');
like($out, qr/^libone\.so: from debuginfod \(same layout, 0 of \d+ bytes of code differ\), installed as /m,
     'debuginfod');
ok(-f place('aa' x 20), 'debuginfod: installed');
is((stat place('aa' x 20))[2] & 0777, 0644, 'debuginfod: mode');
is(scalar(() = glob "$debug/.build-id/aa/*"), 1, 'debuginfod: nothing else');
unlink place('aa' x 20);

play('debuginfod-find', "echo $dir/other.so");
($code, $out) = tool({ %played, DEBUGINFOD_URLS => 'http://127.0.0.1:1' },
                     '--only', 'debuginfod', $object);
is($code, 1, 'debuginfod, wrong file: status');
like($out, qr/debuginfod: other code/, 'debuginfod, wrong file: why');
ok(!-e place('aa' x 20), 'debuginfod, wrong file: not installed');

my $apt = <<'END';
case "$*" in
*indextargets*) echo "http://deb.debian.org/debian bookworm main" ;;
*" update") : >"$(echo "$*" | sed 's/.*Dir::State::Lists=\([^ ]*\).*/\1/')/x_Sources" ;;
*" source "*) mkdir one-1.0; cp DIR/FILE one-1.0/ ;;
esac
END

play('apt-get', $apt =~ s/DIR/$dir/r =~ s/FILE/rebuilt.so/r);
play('sudo', 'exec "$@"');
play('dpkg-checkbuilddeps', 'exit 0');
play('dpkg-buildpackage',
     'mkdir -p ../tree/usr/lib && cp rebuilt.so ../tree/usr/lib/libone.so'
     . ' && tar -C .. -cf ../one_1.0.deb tree');
play('dpkg', 'mkdir -p "$3"; tar -C "$3" --strip-components=1 -xf "$2"');

my @rebuild = (\%played, '--only', 'rebuild', '--package', 'one', '--version',
               '1.0', $object);

($code, $out) = tool(@rebuild);
is($code, 0, 'rebuild: status') or diag $out;
like($out, qr/^libone\.so: rebuilt from one 1\.0 \(same layout, 0 of \d+ bytes of code differ\), installed as /m,
     'rebuild');
ok(-f place('aa' x 20), 'rebuild: installed');
unlink place('aa' x 20);

play('dpkg-buildpackage', 'echo no compiler; exit 2');
($code, $out) = tool(@rebuild);
is($code, 1, 'rebuild that fails: status');
like($out, qr/rebuild: the build of one failed; see (\S+)$/m,
     'rebuild that fails: says so');
my ($log) = $out =~ /; see (\S+)$/m;
like(PprofTest::slurp($log // '/dev/null'), qr/no compiler/, 'rebuild that fails: log');
unlink $log if $log;

play('apt-get', $apt =~ s/^\*" source.*$/*" source "*) echo "E: 404  Not Found" >&2; exit 100 ;;/mr);
($code, $out) = tool(@rebuild);
is($code, 1, 'no source: status');
like($out, qr/rebuild: no source of one 1\.0 to be had \(404  Not Found\)/,
     'no source: says so');

play('apt-get', $apt =~ s/^\*" update.*$/*" update") echo "W: Failed to fetch: no route" >&2 ;;/mr);
($code, $out) = tool(@rebuild);
is($code, 1, 'no network: status');
like($out, qr/rebuild: no lists of source packages: Failed to fetch: no route$/m,
     'no network: says so');

# What is missing for a build is asked for only then, and may be refused.

play('apt-get', $apt =~ s/DIR/$dir/r =~ s/FILE/rebuilt.so/r
                =~ s/^esac/*build-dep*) echo refused; exit 1 ;;\nesac/mr);
play('dpkg-checkbuilddeps', 'exit 1');
($code, $out) = tool(@rebuild);
is($code, 1, 'nothing may be installed: status');
like($out, qr/rebuild: what one needs to be built could not be installed \(refused\); see (\S+)$/m,
     'nothing may be installed: says so');
unlink $1 if $out =~ /; see (\S+)$/m;

# An nginx that does not show its configuration: its modules are not known.

play('nginx', q{case $1 in -T) echo "nginx: [emerg] 7#7: open() failed" >&2; exit 1 ;; esac});
($code, $out) = tool({ %played }, '--dry-run', '--binary', "$dir/bin/nginx");
is($code, 1, 'no configuration: status');
like($out, qr/^ngx-debuginfo: modules of the configuration are not known, so name them: open\(\) failed$/m,
     'no configuration: says so');

is(scalar(() = glob("$dir/tmp/ngx-debuginfo.*")), 0, 'nothing left behind') or diag join ' ', glob "$dir/tmp/*";

SKIP: {
    skip 'root may write everywhere', 2 if $> == 0;

    mkdir "$dir/closed", 0555;
    play('sudo', 'exit 1');
    play('debuginfod-find', "echo $dir/rebuilt.so");
    ($code, $out) = run_command([ $tool, '--dir', "$dir/closed", '--only',
        'debuginfod', $object ],
        env => { %played, DEBUGINFOD_URLS => 'http://127.0.0.1:1' });
    is($code, 1, 'no permission: status');
    like($out, qr/cannot write /, 'no permission: says so');
}


# The profiler: the example module, stripped, under a build ID of its own.

my ($hosted) = grep { /hosted/ } Pprof::modules();
my ($ours) = grep { !/hosted/ } Pprof::modules();

mkdir "$dir/$_" for qw( modules elsewhere );

my $module = "$dir/modules/ngx_http_hosted_module.so";
sh("objcopy --strip-debug --strip-unneeded $hosted $module");

my $id = id($module);
my $same = "$dir/same.so";
my $image = PprofTest::slurp($hosted);

$image =~ s/\Q${\ pack 'H*', $id}\E/pack 'H*', 'dd' x 20/e or die 'no build ID';
PprofTest::spew($same, $image);

isnt(id($same), $id, 'the rebuild has another build ID');

# where the code is

my ($text, $size) = map { hex } sh("readelf -SW $same")
    =~ /\.text +PROGBITS +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)/;

sub patched {
    my ($name, $n) = @_;
    my $image = PprofTest::slurp($same);

    substr($image, $text + int($size / 2) + $_, 1) ^= "\xff" for 0 .. $n - 1;
    PprofTest::spew("$dir/$name", $image);
    return "$dir/$name";
}

sub spoiled {
    my ($name, $change) = @_;
    my $image = PprofTest::slurp($same);

    $change->() for $image;
    PprofTest::spew("$dir/$name", $image);
    return "$dir/$name";
}

my $nginx = start_nginx(modules => [ $ours, $module ], main_config => q{
    thread_pool one threads=1;
}, http_config => qq{
    pprof_production off;
    pprof_debug_path $dir/elsewhere $debug;
}, config => q{
    location /debug/ { pprof auto; }
    location /pool { hosted pool pool=one; }
});

# The lines of hosted_heavy() in a profile: "file:line" as they stand there.

sub profile_of {
    my $work = $nginx->background('/pool?ms=1500');
    my $p = $nginx->profile('/debug/pprof/profile?seconds=0.8&hz=200');

    $work->result;

    return $p;
}

sub lines_of {
    my ($p) = @_;
    my %seen;

    for my $sample (@{ $p->samples }) {
        for my $location (map { $p->location($_) } @{ $sample->{locations} }) {
            $seen{$_->{line} ? $_->{filename} =~ s{.*/}{}r : 'none'}++
                for grep { $_->{name} eq 'hosted_heavy' } @{ $location->{lines} };
        }
    }

    return join ' ', sort keys %seen;
}

sub index_row {
    my ($row) = $nginx->get('/debug/pprof/')->{content}
                =~ m{(<tr><td title="\Q$module\E".*?</tr>)};
    return $row // '';
}

my $p = profile_of();
is(lines_of($p), 'none', 'without debug info: a name and no line');
ok((grep { /^names: \d+ of \d+ are missing in \Q$module\E: run tools\/ngx-debuginfo \Q$module\E$/ }
    $p->comments), 'without debug info: what mends it') or diag join "\n", $p->comments;
like(index_row(), qr{<td>dynamic symbols</td>.*<code>tools/ngx-debuginfo \Q$module\E</code>},
     'without debug info: index');

my @wrong = (
    [ 'other code', patched('code.so', 65 + int($size / 1000)) ],
    [ 'truncated', spoiled('cut.so', sub { $_ = substr $_, 0, length($_) / 2 }) ],
    [ 'sections beyond its end', spoiled('beyond.so', sub {
        substr($_, 40, 8) = pack 'Q', 1 << 40 }) ],
    [ 'no ELF file', spoiled('no.so', sub { substr($_, 0, 4) = 'NONE' }) ],
    [ 'of another object', $ours ],
    [ 'debug info without code', do {
        sh("objcopy --only-keep-debug $same $dir/keep.so"); "$dir/keep.so" } ],
);

for (@wrong) {
    my ($name, $file) = @$_;

    install($file, $id);

    # files are looked at again some seconds after they were found wanting
    $nginx->reload;
    is(lines_of(profile_of()), 'none', "$name: not used");
    is(scalar $nginx->worker_pids, 1, "$name: the worker lives");
}

install(patched('few.so', 8), $id);
$nginx->reload;
$p = profile_of();
is(lines_of($p), 'hosted_work.c', 'a rebuild, some bytes differ: file and line');
ok(!(grep { /are missing in \Q$module\E/ } $p->comments),
   'a rebuild: nothing is missing');
like(index_row(), qr{<td>debug info of a rebuild</td>.*100 %}, 'a rebuild: index');

install($hosted, $id);
$nginx->reload;
$p = profile_of();
is(lines_of($p), 'hosted_work.c', 'the same build ID: file and line');
like(index_row(), qr{<td>debug info</td>.*100 %}, 'the same build ID: index');

# A debug file that comes is found without a reload.

unlink place($id);
$nginx->reload;
is(lines_of(profile_of()), 'none', 'it is gone: no line');

install($hosted, $id);

my $tries = 0;
$p = profile_of();
$p = profile_of() while lines_of($p) ne 'hosted_work.c' && $tries++ < 20;
is(lines_of($p), 'hosted_work.c', 'it comes: file and line, without a reload');


# All frames of a profile, asked by their addresses, have the same names.

my %name;

for my $sample (@{ $p->samples }) {
    for my $location (map { $p->location($_) } @{ $sample->{locations} }) {
        $name{sprintf '0x%x', $location->{address}} = $location->{frames}[0]
            if $location->{mapping}{filename} =~ m{^/};
    }
}

my $answer = $nginx->get('/debug/pprof/symbol?' . join '+', sort keys %name);
my %symbol = $answer->{content} =~ /^(0x[0-9a-f]+) (.*)$/mg;
is_deeply(\%symbol, \%name, 'symbol: the names of the profile');



# A file that the workers may not read, and one that is not the one they run.

unlink place($id);

SKIP: {
    skip 'workers are of the same user', 2 if $> != 0;

    chmod 0600, $module;
    $nginx->reload;
    $p = profile_of();
    chmod 0644, $module;

    ok((grep { /^names: \d+ of \d+ are missing in \Q$module\E: let the workers read \Q$module\E$/ }
        $p->comments), 'not readable: what mends it') or diag join "\n", $p->comments;
    like(index_row(), qr{<td>nothing: the workers may not read its file</td>.*let the workers read it</td>},
         'not readable: index');
}

$nginx->reload;
rename $module, "$module.kept" or die $!;
PprofTest::spew($module, 'another');
$p = profile_of();
ok((grep { /\Q$module\E: restart or upgrade nginx, which runs another file than \Q$module\E$/ }
    $p->comments), 'replaced: what mends it') or diag join "\n", $p->comments;
rename "$module.kept", $module or die $!;

is(scalar(grep { /exited on signal/ } $nginx->error_log), 0, 'no worker died');


done_testing();
