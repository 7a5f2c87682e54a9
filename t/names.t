
# Copyright (C) the maintainers of nginx pprof

# Names of a distribution's stripped nginx under mixed load: without debug info
# those of dynamic symbols, none of them wrong, and stable ones for the rest;
# with what tools/ngx-debuginfo brings, functions, files, lines and inlined
# functions, as other readers of it have them.
#
# The nginx is the installed one, or, where the source of its version is not to
# be had, another one of the same release.  A rebuild takes two minutes, the
# network and rights to install what it needs; CHECK_FAST=1 leaves it out.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Pprof;
use Test::More;

use constant BUILD_BOUND => 900;      # s

needs(qw( readelf nm eu-addr2line addr2line wrk curl ));

my $tool = "$Pprof::Root/tools/ngx-debuginfo";
my $dirh = temp_dir();
my $dir = "$dirh";
my $debug = "$dir/debug";

chmod 0755, $dir;


sub sh {
    my ($code, $out) = run_command([ 'sh', '-c', $_[0] ], bound => 300);
    return defined $code && $code == 0 ? $out : undef;
}

sub id { ((sh("readelf -nW '$_[0]'") // '') =~ /Build ID: ([0-9a-f]+)/)[0] // '' }

sub place {
    my ($base, $file) = @_;
    return id($file) =~ /^(..)(.*)/ ? "$base/.build-id/$1/$2.debug" : '';
}


# An nginx with debug info: its path, and the debug file; or why there is none.

sub get_nginx {
    return (undef, 'CHECK_FAST') if $ENV{CHECK_FAST};

    for my $command (qw( apt-get apt-cache dpkg-query dpkg )) {
        return (undef, "$command is missing") if !have($command);
    }

    return (undef, 'no rights to install what a rebuild needs')
        if $> != 0 && !defined sh('sudo -n true');

    my $installed = $PprofTest::Binary;
    my ($version) = (sh('dpkg-query -W -f \'${Version}\n\' nginx') // '')
                    =~ /^(\S+)$/m;

    return (undef, 'nginx is of no package') if !defined $version;

    my ($release) = $version =~ /^(.*)-/;
    my %seen = ($version => 1);
    my @others = grep { /^\Q$release\E-/ && !$seen{$_}++ }
                 map { (split /\s*\|\s*/)[1] // () }
                 split /\n/, sh('apt-cache madison nginx') // '';

    # one of its own making has no source package

    $installed = undef if !defined sh("dpkg-query -S '$installed'");

    my $why = '';

    for my $one ([ $version, $installed ], map { [ $_ ] } @others) {
        my ($version, $nginx) = @$one;
        my @of = $nginx ? () : ('--package', 'nginx', '--version', $version);

        $nginx //= download($version) or next;

        my ($code, $out) = run_command([ $tool, '--dir', $debug, @of, $nginx ],
                                       bound => BUILD_BOUND);

        diag $out =~ s/^/  /mgr;
        $why = $out =~ s/\n.*//sr;

        for my $file (map { place($_, $nginx) } $debug, '/usr/lib/debug') {
            return ($nginx, $file) if defined $code && $code == 0 && -f $file;
        }

        # one rebuild is enough

        last if $out =~ /: building /;
    }

    return (undef, $why);
}


sub download {
    my ($version) = @_;
    my $root = "$dir/$version";

    return defined sh("mkdir -p $root && cd $root && apt-get -q download"
        . " nginx=$version 2>&1 && dpkg -x nginx_*.deb .")
           ? "$root/usr/sbin/nginx" : undef;
}


my ($binary, $file) = get_nginx();

plan skip_all => "no debug info to be had: $file" if !defined $binary;

$PprofTest::Binary = $binary;

my ($tls_port, $tls_listen) = tls_listen();

my $http = qq{
    gzip_types *;

    server {
        $tls_listen
        root \$DIR/html;

        location /gzip/ { gzip on; alias \$DIR/html/; }
        location /proxy/ { proxy_pass http://127.0.0.1:\$PORT/; }
    }
};

my $nginx = start_nginx(workers => 2, http_config => $http, config => q{
    location /debug/ { pprof on; pprof_bearer secret; }
    location /gzip/ { gzip on; alias $DIR/html/; }
});

PprofTest::spew($nginx->dir . '/html/file.txt', join '', map {
    "$_: the quick brown fox jumps over the lazy dog\n" } 1 .. 400);


# Static, gzip, TLS, proxy and HTTP/2 at once, and what a profile says of it.

sub profile_under_load {
    my $tls = "https://127.0.0.1:$tls_port";
    my @load = map { $nginx->load($_, seconds => 60, connections => 4) }
        '/file.txt', '/gzip/file.txt', "$tls/file.txt", "$tls/proxy/file.txt";

    push @load, Pprof::Process->start(output => '/dev/null', command => [
        'sh', '-c', 'end=$(($(date +%s) + 60));'
        . ' while [ $(date +%s) -lt $end ]; do curl -skZ --http2 --max-time 60'
        . ' -o /dev/null "$1/gzip/file.txt?[1-60]" "$1/proxy/file.txt?[1-60]";'
        . ' done', 'load', $tls ]);

    my $res = $nginx->get('/debug/pprof/profile?seconds=5&hz=1000',
                          token => 'secret');

    $_->stop(graceful => 0) for @load;

    is($res->{status}, 200, 'a profile') or BAIL_OUT($res->{content});
    PprofTest::spew("$dir/profile", $res->{content});

    return Pprof::Proto->parse($res->{content});
}


# Locations in nginx itself, with the number of samples that have them.

sub of_nginx {
    my ($p) = @_;
    my %location;

    for my $sample (@{ $p->samples }) {
        for my $id (@{ $sample->{locations} }) {
            my $location = $p->location($id);
            my $mapping = $location->{mapping} or next;

            next if $mapping->{filename} ne $binary;

            $location{$id} //= { %$location, samples => 0 };
            $location{$id}{samples} += $sample->{values}[0];
        }
    }

    return values %location;
}

sub total {
    my $n = 0;
    $n += $_->{samples} for @_;
    return $n;
}


# Without debug info.

my ($p, @locations, $code, $out);

SKIP: {
    skip 'debug info is installed', 9 if -f place('/usr/lib/debug', $binary);

    my %symbol = map { $_ => 1 } map { s/@.*//r } map { (split)[-1] }
                 split /\n/, sh("nm -D $binary");

    $p = profile_under_load();
    @locations = of_nginx($p);

    is_deeply([ $p->problems ], [], 'stripped: well-formed');
    cmp_ok(total(@locations), '>', 1000, 'stripped: frames of nginx, '
           . total(@locations));

    is_deeply([ sort grep { !$symbol{s/\@plt$//r} && !/^nginx\@0x[0-9a-f]+$/ }
                map { @{ $_->{frames} } } @locations ],
              [], 'stripped: names are of dynamic symbols, or stable');

    ok((grep { /^names: \d+ of \d+ are missing in \Q$binary\E: run tools\/ngx-debuginfo \Q$binary\E$/ }
        $p->comments), 'stripped: the command that brings them')
        or diag join "\n", $p->comments;

    my $named = total(grep { $_->{frames}[0] !~ /^nginx\@/ } @locations);
    diag sprintf '  stripped: %.1f %% of %d frames of nginx have a name',
         100 * $named / total(@locations), total(@locations);

    # whichever worker answers, and whichever made the profile

    is(scalar(grep { $nginx->get('/debug/pprof/', token => 'secret')->{content}
                     !~ m{<td>dynamic symbols</td>.*<code>tools/ngx-debuginfo \Q$binary\E</code>} }
              1 .. 16), 0, 'stripped: the index tells so');

    (my $top, $code) = go_pprof('-top', "$dir/profile");
    my @rows = grep { /%\s+\S+$/ } split /\n/, $top;

    is($code, 0, 'stripped: go tool pprof -top');
    cmp_ok(scalar @rows, '>', 20, 'stripped: rows');
    is(scalar(grep { /\s(?:0x[0-9a-f]+|\S*@\?|<unknown>)$/ } @rows), 0,
       'stripped: a name in each') or diag $top;
}


# With it.

$nginx->configure(http_config => "pprof_debug_path $debug;\n$http");
$nginx->reload;

$p = profile_under_load();
@locations = of_nginx($p);

is_deeply([ $p->problems ], [], 'debug info: well-formed');
ok(!(grep { /are missing in \Q$binary\E:/ } $p->comments),
   'debug info: nothing is missing') or diag join "\n", $p->comments;

like($nginx->get('/debug/pprof/', token => 'secret')->{content},
     qr{title="\Q$binary\E">nginx</td><td>debug info of a rebuild</td>.*>100 %<},
     'debug info: the index tells so');

my @whole = grep {
    @{ $_->{lines} }
    && !grep { $_->{name} =~ /\@0x|^0x|\@\?/ || $_->{filename} eq ''
               || !$_->{line} } @{ $_->{lines} }
} @locations;

# The linker's PLT entries and the C library's _start have no source in nginx.

my @source = grep { $_->{frames}[0] !~ /\@plt$|^_start$/ } @locations;
my $share = total(@whole) / total(@source);

cmp_ok($share, '>=', 0.995, sprintf 'debug info: %.2f %% of %d frames, at %d'
       . ' addresses, have function, file and line', 100 * $share,
       total(@source), scalar @source)
    or diag join "\n", map { "@{ $_->{frames} }" } grep {
        my $one = $_; !grep { $_->{id} == $one->{id} } @whole } @source;

diag sprintf '  debug info: %.2f %% of %d frames of nginx have function, file'
     . ' and line', 100 * $share, total(@source);

cmp_ok(scalar(grep { @{ $_->{lines} } > 1 } @whole), '>', 20,
       'debug info: inlined functions');


# The same addresses, as other readers have them.

my @segments = map { [ map { hex } (split)[0, 1] ] }
               sh("readelf -lW $binary") =~ /^ +LOAD +(.*) R E /mg;

my (%differ, $compared);

for my $reader (qw( eu-addr2line addr2line )) {
    my (@vaddr, %at);

    for my $location (@whole) {
        my $mapping = $location->{mapping};
        my ($segment) = grep { ($_->[0] & ~0xfff) == ($mapping->{offset} // 0) }
                        @segments or next;
        my $vaddr = $location->{address} - $mapping->{start}
                    + ($segment->[1] & ~0xfff);

        push @vaddr, sprintf '0x%x', $vaddr;
        $at{$vaddr} = $location;
    }

    PprofTest::spew("$dir/addresses", join '', map { "$_\n" } @vaddr);

    my ($vaddr, %theirs);
    my @text = split /\n/, sh("$reader -afi -e $file <$dir/addresses");

    while (@text) {
        if ($text[0] =~ /^0x/) {
            $vaddr = hex shift @text;
            next;
        }

        my ($name, $place) = splice @text, 0, 2;
        my ($path, $line) = $place =~ /^(.*?):(\d+)/;

        push @{ $theirs{$vaddr} }, [ $name =~ s/ inlined .*//r, $path, $line ];
    }

    for my $vaddr (sort { $a <=> $b } keys %at) {
        my $ours = $at{$vaddr}{lines};
        my $theirs = $theirs{$vaddr} || [];
        my $same = @$ours == @$theirs;

        for my $i (0 .. $#$ours) {
            last if !$same;
            my ($name, $path, $line) = @{ $theirs->[$i] };

            # what a compiler, or a header for the assembler, makes of a name

            $same = $name =~ /^\Q$ours->[$i]{name}\E(?:64|\..*)?$/
                    && "/$path" =~ m{/\Q$ours->[$i]{filename}\E$}
                    && $line == $ours->[$i]{line};
        }

        push @{ $differ{$vaddr} }, sprintf '%x: %s, %s: %s', $vaddr,
            join(' ', map { "$_->{name} $_->{filename}:$_->{line}" } @$ours),
            $reader, join(' ', map { "@$_" } @$theirs) if !$same;
    }

    $compared = @vaddr;
}

# Each of them has its faults, one in a thousand, but never the same.

my @differ = map { @{ $differ{$_} } } sort { $a <=> $b } keys %differ;
diag "  $_" for @differ;

cmp_ok($compared, '>', 150, "$compared addresses compared");
cmp_ok(scalar @differ, '<=', $compared / 100,
       'as eu-addr2line and addr2line have them');
is(scalar(grep { @$_ > 1 } values %differ), 0, 'none is different from both');


# 2000 addresses all over the program, and names of dynamic symbols beside
# those of the debug info.

($code, $out) = run_command([ "$Pprof::Build/unit/dwarf_test" ], bound => 300,
    env => { PRT_TEST_OBJECT => $binary, PRT_TEST_OBJECT_DEBUG => $file,
             PRT_TEST_DEBUG_PATH => "$debug:/usr/lib/debug",
             CMOCKA_MESSAGE_OUTPUT => 'TAP' });
is($code, 0, '2000 addresses, by three readers') or diag $out;
diag $out =~ s/^(?!#).*\n//mgr =~ s/^#/ /mgr;


# A second time it is there.

($code, $out) = run_command([ $tool, '--dir', $debug, $binary ]);
is($code, 0, 'again: status');
like($out, qr{^nginx: is there already \([^\n]+\): /\S+\n\z},
     'again: it is there, in one line');

$nginx->quit;
is_deeply([ $nginx->alerts ], [], 'no alerts');

done_testing();
