
# Copyright (C) the maintainers of nginx pprof

# The memory profiles against the truth: the example module allocates known
# amounts.  With one sample in 2 KiB a bound of 5 % is six times the deviation to
# expect, or more.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

my $rate = 2048;
my $small = 1_000_000;        # blocks of 64 bytes: fewer would be too few samples
my %config = (config => q{
    location /debug/pprof { pprof auto; }
    location /alloc { hosted alloc library=$LATER; }
    location /child { hosted child; }
} =~ s/\$LATER/$Pprof::Build\/unit\/heap_later.so/r);

sub start {
    my ($directives, %more) = @_;

    return start_nginx(%config, http_config => "pprof_production off;\n"
                       . $directives, %more);
}

sub near {
    my ($got, $expected, $what) = @_;
    my $off = $expected ? $got / $expected - 1 : $got;

    cmp_ok(abs $off, '<', 0.05, $what)
        or diag "$got instead of $expected";
}

my %Function = (keep => 'hosted_alloc_keep', free => 'hosted_alloc_free');

sub values_of {
    my ($p, $function) = @_;

    return map { scalar $p->with_frame($_, qr/^$function$/) }
           qw( alloc_objects alloc_space inuse_objects inuse_space );
}

sub amounts {
    my ($p, $function, $what, @expected) = @_;
    my @names = qw( alloc_objects alloc_space inuse_objects inuse_space );
    my @got = values_of($p, $function);

    near($got[$_], $expected[$_], "$what: $names[$_]") for 0 .. 3;
}


# What is held, given back, and in between.

my $nginx = start("pprof_heap_rate $rate; pprof_memory 128m;");

$nginx->get("/alloc?how=keep&size=64&count=$small");
$nginx->get('/alloc?how=free&size=128&count=400000');

my $p = $nginx->profile('/debug/pprof/heap');
is_deeply([ $p->problems ], [], 'heap: valid');
is_deeply([ $p->types ], [ qw( alloc_objects/count alloc_space/bytes
                               inuse_objects/count inuse_space/bytes ) ],
          'heap: types');
is($p->{period}, $rate, 'heap: period');
is("$p->{period_type}{type}/$p->{period_type}{unit}", 'space/bytes',
   'heap: period type');
ok((grep { /^memory: sampled once in $rate bytes on average/ } $p->comments),
   'heap: comments');

amounts($p, 'hosted_alloc_keep', 'small, held', $small, 64 * $small, $small,
        64 * $small);
amounts($p, 'hosted_alloc_free', 'churn', 400000, 128 * 400000, 0, 0);

# 4 KiB and 1 MiB each for itself, as a difference

for my $case ([ 4096, 10000 ], [ 1048576, 20 ]) {
    my ($size, $count) = @$case;
    my @before = values_of($nginx->profile('/debug/pprof/heap'), 'hosted_alloc_keep');

    $nginx->get("/alloc?how=keep&size=$size&count=$count");

    my @after = values_of($nginx->profile('/debug/pprof/heap'), 'hosted_alloc_keep');
    my @truth = ($count, $size * $count, $count, $size * $count);

    near($after[$_] - $before[$_], $truth[$_], "$size bytes, held: value $_")
        for 0 .. 3;
}

my @held = ($small + 10000 + 20,
            64 * $small + 4096 * 10000 + 1048576 * 20);
amounts($nginx->profile('/debug/pprof/allocs'), 'hosted_alloc_keep', 'mixed',
        @held, @held);

# the leaf is the caller: no frame of ours, nor of the allocator

my ($sample) = grep { grep { $_ eq 'hosted_alloc_keep' } @{ $_->{frames} } }
               @{ $p->samples };
is($sample->{frames}[0], 'hosted_alloc_keep', 'the leaf is the caller');
is($sample->{frames}[-1], '_start', 'the stack is whole');


# Every kind of allocation, by a function of its own; and given back.

my %kind = (
    realloc => [ 'hosted_alloc_realloc', 65536, 500 ],
    memalign => [ 'hosted_alloc_memalign', 1024, 30000 ],
    strdup => [ 'hosted_alloc_strdup', 1024, 30000 ],
    thread => [ 'hosted_alloc_threaded', 1024, 30000 ],
    later => [ 'hosted_alloc_later', 1024, 30000 ],
);

# the library is loaded, and a profile looks for new objects

$nginx->hosted('/alloc?how=later&count=1');
$nginx->profile('/debug/pprof/heap');

sub kinds {
    my ($kept) = @_;
    my $profile = $nginx->profile('/debug/pprof/heap');

    for my $how (sort keys %kind) {
        my ($function, $size, $count) = @{ $kind{$how} };
        my @got = values_of($profile, $function);
        my $bytes = $size * $count;

        near($got[2], $kept * $count, "$how: inuse_objects");
        near($got[3], $kept * $bytes, "$how: inuse_space");

        # a chain of 16 + 32 + ... bytes, in 13 steps; of small blocks few are
        # samples, so their number is less exact

        near($got[0], $count, "$how: alloc_objects") if $how ne 'realloc';
        near($got[1], $how eq 'realloc' ? $count * (2 * $size - 16) : $bytes,
             "$how: alloc_space");
    }
}

$nginx->hosted("/alloc?how=$_&size=$kind{$_}[1]&count=$kind{$_}[2]")
    for sort keys %kind;
kinds(1);

# children count nothing, and take nothing away

for my $how (qw( fork system )) {
    for (1 .. 20) {
        is($nginx->get("/child?how=$how")->{status}, 200, "child: $how")
            or last;
    }
}

kinds(1);

$nginx->hosted('/alloc?how=drop');
kinds(0);
$nginx->get("/alloc?how=keep&size=64&count=$small");
$nginx->get('/alloc?how=keep&size=4096&count=10000');
$nginx->get('/alloc?how=keep&size=1048576&count=20');
amounts($nginx->profile('/debug/pprof/heap'), 'hosted_alloc_keep', 'again',
        2 * $held[0], 2 * $held[1], @held);


# A window is the difference, also of what goes.

# done once: what is dropped cannot be dropped again

my $job = $nginx->background('/debug/pprof/heap?seconds=10');
$nginx->opened;
$nginx->get('/alloc?how=drop');
$nginx->get('/alloc?how=free&size=4096&count=10000');
ok(!$job->done, 'window: still open');
my $res = $job->result;

is($res->{status}, 200, 'window: status');
like($res->{headers}, qr/filename="heap-delta"/, 'window: file name');

$p = Pprof::Proto->parse($res->{content});
amounts($p, 'hosted_alloc_keep', 'window', 0, 0, -$held[0], -$held[1]);
amounts($p, 'hosted_alloc_free', 'window', 10000, 40960000, 0, 0);

amounts($nginx->profile('/debug/pprof/heap'), 'hosted_alloc_keep', 'given back',
        2 * $held[0], 2 * $held[1], 0, 0);


# The text form, and what pprof makes of it.

$nginx->get('/alloc?how=keep&size=4096&count=10000');
$res = $nginx->get('/debug/pprof/heap?debug=1');
like($res->{content}, qr/^heap profile: \d+: \d+ \[\d+: \d+\] @ heapprofile\n/,
     'debug=1: head');

my ($n, $bytes) = $res->{content} =~ /^(\d+): (\d+) \[\d+: \d+\] \@.*\n# labels.*\n#\t\S+\thosted_alloc_keep\+/m;
near($n, 10000, 'debug=1: objects');
near($bytes, 40960000, 'debug=1: bytes');

my $dir = temp_dir();
PprofTest::spew("$dir/heap.txt", $res->{content});
my ($out, $code) = go_pprof('-raw', "$dir/heap.txt");
is($code, 0, 'debug=1: go tool pprof reads it');
like($out, qr{inuse_objects/count inuse_space/bytes}, 'debug=1: as memory');

$res = $nginx->get('/debug/pprof/heap?gc=1');
is($res->{status}, 200, 'gc=1');
is($res->{headers}{'content-disposition'}, 'attachment; filename="heap"',
   'heap: file name');

# counters never fall while a worker lives

my @before = values_of($nginx->profile('/debug/pprof/allocs'), 'hosted_alloc_keep');
$nginx->get('/alloc?how=drop');
my @after = values_of($nginx->profile('/debug/pprof/allocs'), 'hosted_alloc_keep');
is_deeply([ @after[0, 1] ], [ @before[0, 1] ], 'allocated stays');
is_deeply([ @after[2, 3] ], [ 0, 0 ], 'in use goes');


# As a scraper has it: no row of what was allocated ever falls.

my (%seen, @fell);

my $churn = $nginx->load('/alloc?how=free&size=700&count=500', seconds => 60,
                         connections => 2);

for (1 .. 10) {
    my $scraped = $nginx->profile('/debug/pprof/allocs');

    for my $row (@{ $scraped->samples }) {
        my $key = join ' ', map({ sprintf '%x', $scraped->location($_)->{address} }
                                @{ $row->{locations} }),
                  map { "$_=$row->{labels}{$_}" } sort keys %{ $row->{labels} };

        push @fell, $key if grep { $row->{values}[$_] < ($seen{$key}[$_] // 0) } 0, 1;
        $seen{$key} = $row->{values};
    }

    $nginx->get('/alloc?how=keep&size=500&count=100');
    $nginx->get('/alloc?how=drop');
}

$churn->stop(graceful => 0);

is_deeply(\@fell, [], 'scraped: nothing that was allocated falls');
cmp_ok(scalar keys %seen, '>', 3, 'scraped: rows');


# gc=1 gives memory back to the system.

sub rss { process_state($nginx->worker_pids)->{rss} }

$nginx->get('/alloc?how=keep&size=2000&count=40000');
my $high = rss();
$nginx->get('/alloc?how=keep&size=64&count=1');       # on top of them
$nginx->get('/alloc?how=drop');
$nginx->get('/debug/pprof/heap?gc=1');
ok(wait_for(sub { rss() < $high - 40_000_000 }, 60), 'gc=1: memory given back')
    or diag rss() . " of $high";

$nginx->stop;


# Two workers, and one that dies: its memory is in use no more.

$nginx = start("pprof_heap_rate $rate; pprof_memory 128m;", workers => 2);

my %kept;

for my $pid ($nginx->worker_pids) {
    my $count = 5000 + 1000 * keys %kept;
    my $res = $nginx->only($pid, sub {
        $nginx->hosted("/alloc?how=keep&size=4096&count=$count");
    });

    is($res->{pid}, $pid, "two workers: $pid");
    $kept{$pid} = $count;
}

my $sum = 0;
$sum += $_ for values %kept;
near((values_of($nginx->profile('/debug/pprof/heap'), 'hosted_alloc_keep'))[2],
     $sum, 'two workers: together');

for my $pid (sort keys %kept) {
    near((values_of($nginx->profile("/debug/pprof/heap?pid=$pid"),
                    'hosted_alloc_keep'))[2], $kept{$pid}, "two workers: $pid");
}

my ($victim, $other) = sort keys %kept;
kill 'KILL', $victim;
ok(wait_for(sub { !grep { $_ == $victim } $nginx->worker_pids }, 60), 'it died');
near((values_of($nginx->profile('/debug/pprof/heap'), 'hosted_alloc_keep'))[2],
     $kept{$other}, 'dead: only what the living one holds');
near((values_of($nginx->profile('/debug/pprof/allocs'), 'hosted_alloc_keep'))[0],
     $sum, 'dead: what it allocated counts on');

my $workers;

ok(wait_for(sub {
    ($workers) = $nginx->get('/debug/pprof/')->{content}
                 =~ m{<h2>Workers</h2>(.*?)</table>}s;
    (() = $workers =~ /\?pid=/g) == 2;
}, 60), 'dead: another one in its place');
unlike($workers, qr/\?pid=$victim\b/, 'dead: no worker of the index');

$nginx->stop;


# With the default rate: the function that leaks is first.

$nginx = start('');
$nginx->get('/alloc?how=keep&size=4096&count=30000');
PprofTest::spew("$dir/heap.pb.gz", $nginx->get('/debug/pprof/heap')->{content});
($out) = go_pprof('-top', "$dir/heap.pb.gz");
like($out, qr/^Type: inuse_space$/m, 'default: what pprof shows');
like($out, qr/flat%.*\n\s*\S+\s+\S+%\s+\S+%\s+\S+\s+\S+%\s+hosted_alloc_keep$/m,
     'default rate: the leak is first') or diag $out;


# Off, and a change of the rate: by a reload.

$nginx->configure(http_config => 'pprof_production off; pprof_heap_rate off;');
$nginx->reload;
$nginx->settled;
$nginx->get('/alloc?how=keep&size=4096&count=30000');

# of the worker that is there now: what those before it allocated counts on

sub now { '/debug/pprof/heap?pid=' . ($nginx->worker_pids)[0] }

$p = $nginx->profile(now());
is(scalar @{ $p->samples }, 0, 'off: nothing');
ok((grep { /^memory: off/ } $p->comments), 'off: the comments say so')
    or diag join "\n", $p->comments;

$nginx->configure(http_config => 'pprof_production off; pprof_heap_rate 1m;');
$nginx->reload;
$nginx->settled;
is($nginx->profile(now())->{period}, 1048576, 'reload: new rate');

# a table that is too small says what it lost

$nginx->configure(http_config => 'pprof_production off; pprof_heap_rate 1;
                                  pprof_memory 1m;');
$nginx->reload;
$nginx->settled;
$nginx->get('/alloc?how=keep&size=64&count=50000');
$p = $nginx->profile(now());
near((values_of($p, 'hosted_alloc_keep'))[0], 50000, 'full: all are counted');
ok((grep { /^pprof_memory is too small: \d+ sampled blocks are not counted as in use/ }
    $p->comments), 'full: the comments say so');

is(scalar(grep { /exited on signal/ } split /\n/, $nginx->error_log), 0,
   'no worker died');


done_testing();
