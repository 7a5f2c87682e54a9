# Copyright (C) the maintainers of nginx pprof

# The block and mutex profiles against the truth: the example module blocks in
# known ways and says for how long; what only looks like it must not be there.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

my %config = (config => q{
    location /debug/pprof { pprof auto; }
    location /block { hosted block ms=200; }
    location /shm { hosted shm ms=400; }
    location /files { hosted files; }
    location /hang { hosted hang; }
    location /aio/ { alias html/; aio threads; sendfile on; }
});

sub start {
    my ($directives, %more) = @_;

    return start_nginx(%config, http_config => "pprof_production off;\n"
                       . $directives, %more);
}

# What the example module says of its blocking begins before and ends after it;
# in between it may have to wait for a CPU, as long as "late" at most.

sub near {
    my ($got, $r, $bound, $what) = @_;
    my ($expected, $late) = @$r{qw( delay_ns late )};

    ok($got < $expected * (1 + $bound)
       && $got > $expected * (1 - $bound) - $late,
       sprintf '%s: %.2f of %.2f ms, %.2f late', $what, $got / 1e6,
               $expected / 1e6, $late / 1e6);
}

sub hosted {
    my ($nginx, $path) = @_;
    my ($pid) = $nginx->worker_pids;

    my $late = late_ns($pid);
    my $r = $nginx->hosted($path);
    $r->{late} = late_ns($pid) - $late;

    return $r;
}

# what a leaf counts under a function

sub at {
    my ($p, $type, $leaf, $function) = @_;

    return scalar $p->total($type, sub {
        $_[0]{frames}[0] eq $leaf
        && grep { $_ eq $function } @{ $_[0]{frames} };
    });
}

my @ways = (
    [ sleep => usleep => 'hosted_sleep' ],
    [ cond => pthread_cond_timedwait => 'hosted_cond' ],
    [ fifo => read => 'hosted_fifo' ],
    [ socket => recv => 'hosted_socket' ],
    [ name => getaddrinfo => 'hosted_name' ],
    [ lock => pthread_mutex_lock => 'hosted_lock' ],
);


# Every way, counted exactly and at the default rate.

for my $rate ([ '1ns', 0.02 ], [ '10us', 0.05 ]) {
    my ($directive, $bound) = @$rate;
    my $nginx = start($directive eq '10us' ? ''
                      : "pprof_block_rate $directive;");
    my $dir = temp_dir();

    for my $way (@ways) {
        my ($how, $leaf, $function) = @$way;
        my ($res, $r) = $nginx->window('/debug/pprof/block', 2.5, sub {
            return hosted($nginx, "/block?how=$how");
        });

        SKIP: {
            skip "$how: no such look-up here", 4
                if $how eq 'name' && $r->{delay_ns} < 500e6;

            my $p = Pprof::Proto->parse($res->{content});

            near(at($p, 'delay', $leaf, $function), $r, $bound,
                 "$directive, $how");
            is(at($p, 'contentions', $leaf, $function), 1,
               "$directive, $how: once");

            PprofTest::spew("$dir/$how.pb.gz", $res->{content});

            # who holds the lock sleeps as long as the other one waits
            my @only = $how eq 'lock' ? ('-ignore=hosted_lock_hold') : ();
            my ($out) = go_pprof('-top', @only, "$dir/$how.pb.gz");

            like($out, qr/^Type: delay$/m, "$directive, $how: type");
            like($out, qr/flat%.*\n\s*\S+\s+\S+%\s+\S+%\s+\S+\s+\S+%\s+$leaf$/m,
                 "$directive, $how: $leaf is first") or diag $out;
        }
    }

    $nginx->stop;
}


my $nginx = start('pprof_block_rate 1ns;');

my $p = $nginx->profile('/debug/pprof/block');
is_deeply([ $p->problems ], [], 'block: valid');
is_deeply([ $p->types ], [ qw( contentions/count delay/nanoseconds ) ],
          'block: types');
is("$p->{period_type}{type}/$p->{period_type}{unit}", 'contentions/count',
   'block: period type');
is($p->{period}, 1, 'block: period');
ok((grep { /^blocking: delays of 1 ns and more are all counted/ } $p->comments),
   'block: comments') or diag join "\n", $p->comments;

# the part that is locks, and only that

my $r = hosted($nginx, '/block?how=lock');
$nginx->hosted('/block?how=sleep');
$p = $nginx->profile('/debug/pprof/mutex');
is_deeply([ $p->types ], [ qw( contentions/count delay/nanoseconds ) ],
          'mutex: types');
near(at($p, 'delay', 'pthread_mutex_lock', 'hosted_lock'), $r, 0.02,
     'mutex');
is($p->with_frame('delay', 'usleep'), 0, 'mutex: a sleep is no lock');
is(scalar(grep { $_->{values}[0] == 0 } @{ $p->samples }), 0,
   'mutex: no empty samples');

# the leaf is the function that blocked, its caller comes next

my ($sample) = grep { $_->{frames}[0] eq 'pthread_mutex_lock'
                      && $_->{frames}[1] eq 'hosted_lock' } @{ $p->samples };
ok($sample, 'stack: no frame of ours');
is($sample->{frames}[-1], '__clone3', 'stack: whole')
    or diag join ' ', @{ $sample->{frames} };

# the text form, and what pprof makes of it

for my $name (qw( block mutex )) {
    my $dir = temp_dir();
    my $res = $nginx->get("/debug/pprof/$name?debug=1");
    my $head = $name eq 'mutex'
        ? "--- mutex:\ncycles/second=1000000000\nsampling period=1\n"
        : "--- contention:\ncycles/second=1000000000\n";

    is(substr($res->{content}, 0, length $head), $head, "$name, debug=1: head");

    my ($delay, $n) = $res->{content} =~
        /^(\d+) (\d+) \@.*\n# labels.*\n#\t\S+\tpthread_mutex_lock\+/m;
    near($delay, $r, 0.02, "$name, debug=1: delay");
    is($n, 1, "$name, debug=1: count");

    PprofTest::spew("$dir/text", $res->{content});
    my ($out, $code) = go_pprof('-raw', "$dir/text");
    is($code, 0, "$name, debug=1: go tool pprof reads it");
    like($out, qr{contentions/count delay/nanoseconds},
         "$name, debug=1: as contention");
    like($out, qr/^\s+1\s+$delay:/m, "$name, debug=1: with its values");
}

is($nginx->get('/debug/pprof/block?debug=1&seconds=1')->{status}, 400,
   'debug and seconds');

# a wait deep in a pool thread counts; the pool's own does not

$r = $nginx->hosted('/block?how=task');
$p = $nginx->profile('/debug/pprof/block');
cmp_ok(at($p, 'contentions', 'pthread_cond_timedwait', 'hosted_cond'), '>=', 1,
       'task: counts');

PprofTest::spew($nginx->dir . '/html/file', 'x' x 300_000);
is(length $nginx->get('/aio/file')->{content}, 300_000, 'aio threads: served')
    for 1 .. 5;
select undef, undef, undef, 0.2;

$p = $nginx->profile('/debug/pprof/block');
is($p->flat('delay')->{pthread_cond_wait} // 0, 0,
   'aio threads: an idle pool does not block');
is($p->flat('delay')->{epoll_wait} // 0, 0, 'nor does an idle event loop');
is($p->flat('delay')->{$_} // 0, 0, "nor do its sockets: $_")
    for qw( recv readv writev send accept4 );

# a handler that is busy, and one that calls what need not wait, while others
# want the processor as well

sub busy {
    my ($path, $function, $what) = @_;
    my @load;

    for (1 .. 4) {
        my $pid = fork // die "fork() failed: $!";

        if ($pid == 0) {
            alarm 60;
            1 while 1;
        }

        push @load, $pid;
    }

    my $r = $nginx->hosted($path);

    kill 'KILL', @load;
    waitpid $_, 0 for @load;

    my $p = $nginx->profile('/debug/pprof/block');
    my $blocked = $p->with_frame('delay', $function);

    cmp_ok($blocked, '<', 0.01 * $r->{delay_ns}, $what)
        or diag "$blocked of $r->{delay_ns}";
}

$r = $nginx->hosted('/hang?how=spin&ms=250');
$p = $nginx->profile('/debug/pprof/block');
is($p->with_frame('delay', 'hosted_hang'), 0, 'a busy handler does not block');

busy('/hang?how=spin&ms=1000', 'hosted_hang', 'busy under load');
busy('/files?ms=3000', 'hosted_files', 'preempted in calls');

# a window sees what was in it

my $res;
($res, $r) = $nginx->window('/debug/pprof/block', 1.5, sub {
    return hosted($nginx, '/block?how=cond&ms=300');
});
like($res->{headers}, qr/filename="block-delta"/, 'window: file name');
$p = Pprof::Proto->parse($res->{content});
near(at($p, 'delay', 'pthread_cond_timedwait', 'hosted_cond'), $r, 0.02,
     'window');

is_deeply([ $nginx->alerts ], [], 'no alerts');
$nginx->stop;


# Two workers fight for nginx's own lock of a shared memory zone.

$nginx = start('pprof_block_rate 1ns;', workers => 2);

my ($hold, $lock, %waited);

# the one that holds it takes no other request meanwhile

for (1 .. 20) {
    my $job = $nginx->background('/shm?how=hold&ms=600');
    select undef, undef, undef, 0.2;
    my %late = map { $_ => late_ns($_) } $nginx->worker_pids;
    $res = $nginx->get('/shm?how=lock');
    $hold = JSON::PP::decode_json($job->result->{content});
    next if $res->{status} != 200;
    $lock = JSON::PP::decode_json($res->{content});

    my $pid = $lock->{pid};
    $waited{$pid}{delay_ns} += $lock->{delay_ns};
    $waited{$pid}{late} += late_ns($pid) - $late{$pid};
    last if $lock->{delay_ns} > 100e6;
}

isnt($hold->{pid}, $lock->{pid}, 'shm: two workers');

for my $name (qw( block mutex )) {
    $p = $nginx->profile("/debug/pprof/$name?pid=$lock->{pid}");
    near(at($p, 'delay', 'sem_wait', 'ngx_shmtx_lock'), $waited{$lock->{pid}}, 0.02,
         "shm: $name");
}

$nginx->stop;


# Off.

$nginx = start('pprof_block_rate off;');
$nginx->hosted('/block?how=sleep');
$p = $nginx->profile('/debug/pprof/block');
is(scalar @{ $p->samples }, 0, 'off: nothing');
ok((grep { /^blocking: off, by pprof_block_rate/ } $p->comments),
   'off: the comments say so');
$nginx->stop;


done_testing();
