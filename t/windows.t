
# Copyright (C) the maintainers of nginx pprof

# Windows: several at once, over workers that hang, are stopped, crash, or are
# only made while the window is open.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;
use Time::HiRes qw( sleep time );

my @auth = ('-H', 'Authorization: Bearer secret');

my $nginx = start_nginx(workers => 2, token => 'secret', http_config => q{
    pprof_bearer secret;
    pprof_cpu_rate 50;
}, config => q{
    location /debug/pprof { pprof on; }
    location /burn { hosted burn; }
    location /hang { hosted hang; }
    location /crash { hosted crash; }
});


sub window { $nginx->background(@auth, "/debug/pprof/profile?$_[0]") }


sub parsed {
    my ($job, $name) = @_;
    my $res = $job->result(120);

    is($res->{status}, 200, "$name: status") or diag $res->{content};

    my $p = Pprof::Proto->parse($res->{content});
    is_deeply([ $p->problems ], [], "$name: well-formed");

    return $p;
}


sub sampling {
    for my $pid ($nginx->worker_pids) {
        return 0 unless process_state($pid)->{timers};
    }

    return 1;
}


sub idle { !grep { process_state($_)->{timers} } $nginx->worker_pids }


# three windows at once, two of them inside the longest one

{
    my $long = window('seconds=6');
    ok(wait_for(\&sampling, 60), 'overlap: sampling');

    my $short = window('seconds=3&hz=200');
    my $gone = window('seconds=100');

    # all three are served, beside who asks

    ok(wait_for(sub { $nginx->serving == 4 }, 60), 'overlap: all are there');
    $nginx->hosted('/burn?ms=300');
    $gone->hang_up;

    my $p = parsed($short, 'overlap: short');
    is($p->{period}, 1e9 / 200, 'overlap: its own rate');
    ok($p->share('cpu', 'hosted_burn') > 0.5, 'overlap: its own samples');

    $p = parsed($long, 'overlap: long');
    ok($p->share('cpu', 'hosted_burn') > 0.5, 'overlap: the same samples');
    ok($p->{duration_nanos} >= 6e9, 'overlap: its own duration');
    ok((grep { /^rate: asked 50 Hz/ } $p->comments), 'overlap: default rate');

    ok(wait_for(\&idle, 60), 'overlap: no timer is left');
}


# the higher rate of two, and it says so

{
    my $high = window('seconds=5&hz=400');
    ok(wait_for(\&sampling, 60), 'rate: sampling');

    my $p = parsed(window('seconds=0.5&hz=10'), 'rate: lower');

    is($p->{period}, 1e9 / 400, 'rate: period');
    ok((grep { /^rate: asked 10 Hz, sampled at 400 Hz/ } $p->comments),
       'rate: said in the comments');

    parsed($high, 'rate: higher');
}


# a loop that hangs, in code and in a system call: the other worker answers

for my $how (qw(spin sleep)) {
    my ($hang, $p);

    # as long as the answer takes, and more

    for (my $ms = 4000; $ms < 100_000; $ms *= 2) {
        $hang = $nginx->background("/hang?ms=$ms&how=$how");
        sleep 0.5;

        $p = parsed(window('seconds=1'), "hang in $how");

        last if !$hang->done;
    }

    is(scalar(grep { /^worker \d pid \d+: included$/ } $p->comments), 2,
       "hang in $how: both workers are in it");
    ok(!$hang->done, "hang in $how: it still hangs");

    ok($p->share('cpu', 'hosted_hang') > 0.8, "hang in $how: and there it is")
        if $how eq 'spin';

    $hang->result;
}


# a stopped worker: the answer comes, and names it

{
    my $res = $nginx->hosted('/burn?ms=1');
    my ($pid) = grep { $_ != $res->{pid} } $nginx->worker_pids;

    my $p = $nginx->only($res->{pid}, sub {
        parsed(window('seconds=0.5'), 'stopped');
    });

    ok((grep { /^worker \d pid $pid: .*did not answer/ } $p->comments),
       'stopped: named');
}


# a crash within the window: what it did before is there, and what the next did

{
    my $window = window('seconds=4');
    ok(wait_for(\&sampling, 60), 'crash: sampling');

    my $burn = $nginx->hosted('/burn?ms=500');
    my %before = map { $_ => 1 } $nginx->worker_pids;

    $nginx->curl('/crash');

    my ($dead, $new);

    ok(wait_for(sub {
        my %now = map { $_ => 1 } $nginx->worker_pids;
        ($dead) = grep { !$now{$_} } keys %before;
        ($new) = grep { !$before{$_} } keys %now;
        return $dead && $new && keys %now == 2;
    }, 60), 'crash: respawned');

    my $res = $window->result(120);

    # the answer was that worker's, or it names both

    if ($res->{status} == 200) {
        my $p = Pprof::Proto->parse($res->{content});

        is_deeply([ $p->problems ], [], 'crash: well-formed');
        ok((grep { /pid $dead: included until it ended/ } $p->comments),
           'crash: the dead one is named');
        ok((grep { /pid $new: included since it started/ } $p->comments),
           'crash: the new one, too');
        ok($p->total('cpu', sub { $_->{labels}{pid} == $burn->{pid} }) > 0.3e9,
           'crash: what was done before');

    } else {
        is($res->{content}, '', 'crash: the answering worker died');
    }
}


# nobody there by that name

{
    my $res = $nginx->curl(@auth, '/debug/pprof/profile?worker=9');
    is($res->{status}, 404, 'no such worker');
    like($res->{content}, qr/worker 0 \(pid \d+\)/, 'but these');

    $res = $nginx->curl(@auth, '/debug/pprof/threadcreate?pid=1');
    is($res->{status}, 404, 'no such pid');
}


# after a reload: who ended before the window has no part in it

{
    my %old = map { $_ => 1 } $nginx->worker_pids;

    $nginx->hosted('/burn?ms=300');
    $nginx->reload;

    ok(wait_for(sub { !grep { pid_alive($_) } keys %old }, 60),
       'reload: the old ones ended');

    my $p = parsed(window('seconds=0.3'), 'reload');

    ok((grep { $_ eq 'processes: 2' } $p->comments), 'reload: two processes');
    is_deeply([ grep { /ended/ } $p->comments ], [], 'reload: none that ended');
}


# quit in a window: the answer so far

{
    my $window = window('seconds=100');
    ok(wait_for(\&sampling, 60), 'quit: sampling');

    $nginx->hosted('/burn?ms=200');
    is($nginx->quit(60), 0, 'quit');

    my $p = parsed($window, 'quit');
    ok($p->share('cpu', 'hosted_burn') > 0.5, 'quit: the answer so far');
    ok($p->{duration_nanos} < 60e9, 'quit: and not later');
}


is_deeply([ grep { !/exited on signal 6/ } $nginx->alerts ], [], 'no alerts');

done_testing();
