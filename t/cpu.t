
# Copyright (C) the maintainers of nginx pprof

# The CPU profile against the truth: the example module burns CPU 3:1 in two
# functions, and the scheduler's books say how much the process used in all.

use strict;
use warnings;

use lib 't/lib';
use JSON::PP ();
use PprofTest;
use Test::More;
use Time::HiRes qw( sleep time );

my $nginx = start_nginx(workers => 2, main_config => q{
    thread_pool two threads=2;
}, http_config => q{
    pprof_bearer secret;
}, config => q{
    location /debug/pprof { pprof on; }
    location /burn { hosted burn; }
    location /deep { hosted deep; }
    location /pool { hosted pool pool=two; }
    location /thread { hosted thread; }
});


# CPU time of all threads but the profiler's own

sub cpu_of {
    my ($pid) = @_;
    my $sum = 0;

    for my $task (glob "/proc/$pid/task/*") {
        my ($tid) = $task =~ m{(\d+)$};
        open my $comm, '<', "$task/comm" or next;
        $sum += cpu_ns($pid, $tid) if <$comm> !~ /^pprof-/;
    }

    return $sum;
}


sub cpu_all {
    my $sum = 0;
    $sum += cpu_of($_) for $nginx->worker_pids;
    return $sum;
}


sub sampling {
    for my $pid ($nginx->worker_pids) {
        return 0 unless process_state($pid)->{timers};
    }

    return 1;
}


# A profile over a window in which all of @paths are at work from its beginning
# to its end: the profile, and the CPU time that the scheduler counted meanwhile.

sub measure {
    my ($args, $workers, @paths) = @_;

    my %idle = map { $_ => cpu_of($_) } $nginx->worker_pids;
    my @work = map { $nginx->background($_) } @paths;

    ok(wait_for(sub {
        my $busy = grep { cpu_of($_) > $idle{$_} + 0.05e9 } keys %idle;

        # one more where the kernel gave all to one worker
        push @work, $nginx->background($paths[0]) if $busy && $busy < $workers;
        sleep 0.2;

        return $busy >= $workers;
    }, 60), "$args: at work");

    my $job = $nginx->background('-H', 'Authorization: Bearer secret',
                                 "/debug/pprof/profile?$args");

    ok(wait_for(\&sampling, 60), "$args: sampling in all workers");

    my @books = [ time, cpu_all() ];

    while (!$job->done) {
        sleep 0.05;
        push @books, [ time, cpu_all() ];
    }

    my $res = $job->result(300);

    $_->hang_up for @work;

    is($res->{status}, 200, "$args: profile") or diag $res->{content};

    my $p = Pprof::Proto->parse($res->{content});
    is_deeply([ $p->problems ], [], "$args: well-formed");

    # what the books say of the window as the profile gives it

    my $end = $p->{time_nanos} / 1e9;
    my $begin = $end - $p->{duration_nanos} / 1e9;

    return ($p, at($end, @books) - at($begin, @books));
}


# the CPU time at a moment between two looks

sub at {
    my ($time, @books) = @_;

    for my $i (1 .. $#books) {
        my ($before, $after) = @books[$i - 1, $i];
        next if $after->[0] < $time && $i < $#books;

        my $part = ($time - $before->[0]) / ($after->[0] - $before->[0]);
        return $before->[1] + $part * ($after->[1] - $before->[1]);
    }
}


sub near {
    my ($got, $expected, $tolerance, $name) = @_;

    ok(abs($got - $expected) <= $tolerance,
       sprintf '%s: %.4f, expected %.4f +- %.4f', $name, $got, $expected,
               $tolerance);
}


sub total_of {
    my ($p, $used, $name) = @_;

    near($p->total('cpu') / $used, 1, 0.03, $name);
}


sub split_of {
    my ($p, $name, $tolerance, $pid) = @_;

    my ($heavy, $light) = map {
        my $function = $_;
        $p->total('cpu', sub {
            Pprof::Proto::has_frame($_, $function)
            && (!$pid || $_->{labels}{pid} == $pid);
        });
    } qw(hosted_heavy hosted_light);

    near($heavy / ($heavy + $light || 1), 0.75, $tolerance, $name);
}


# threads that are made and end within the window, two at a time

{
    my $job = $nginx->background('-H', 'Authorization: Bearer secret',
                                 '/debug/pprof/profile?seconds=6&hz=500');

    ok(wait_for(\&sampling, 60), 'short threads: sampling');
    my $work = 0;

    while (!$job->done) {
        # at any phase of the kernel's tick
        sleep rand 0.004;

        my @threads = map {
            $nginx->background('/thread?detach=1&ms=' . (15 + int rand 30));
        } 1, 2;

        for my $thread (@threads) {
            my $answer = JSON::PP::decode_json($thread->result(60)->{content});
            $work += $answer->{heavy_ns} + $answer->{light_ns};
        }
    }

    my $p = Pprof::Proto->parse($job->result(300)->{content});

    split_of($p, 'short threads: heavy', 0.05);

    # what a thread used after its last tick stands for itself

    ok($p->with_frame('cpu', qr/^\[after the last tick/) > 0,
       'short threads: tails');
    near($p->with_frame('cpu', qr/^hosted_burn$|^\[after the last tick/)
         / $work, 1, 0.05, 'short threads: total');
}


# 10 s at 100 Hz are 1000 samples of each worker.  If they fell at random, the
# noise of their split were 1.4 points, half of what is allowed; with turns of 100
# ms, each misjudged by a sample at most, it is 0.4.  Slices of the loop are no
# multiple of the period: the samples would miss the same of each.

for my $hz (100, 1000) {

    my ($p, $used) = measure("seconds=10&hz=$hz", 2,
                             ('/burn?ms=60000&slice=293&round=100') x 2);

    split_of($p, "$hz Hz, two workers merged: heavy", 0.03);
    total_of($p, $used, "$hz Hz, two workers: total");
    is($p->{period}, 1e9 / $hz, "$hz Hz: period");
    is_deeply([ $p->types ], [ 'samples/count', 'cpu/nanoseconds' ],
              "$hz Hz: types");

    for my $pid ($nginx->worker_pids) {
        split_of($p, "$hz Hz, one worker: heavy", 0.03, $pid);
    }

    is_deeply([ sort keys %{ $p->by_label('cpu', 'worker') } ], [ 0, 1 ],
              "$hz Hz: worker labels");

    # pool threads, whose signals nginx blocks

    ($p, $used) = measure("seconds=10&hz=$hz", 1,
                          ('/pool?ms=14000&tasks=2&round=100'));

    split_of($p, "$hz Hz, pool threads: heavy", 0.03);
    total_of($p, $used, "$hz Hz, pool threads: total");
    ok($p->share('cpu', qr/^hosted_heavy$/) > 0.7, "$hz Hz: from the pool");
}


# one worker of two

{
    my ($pid) = $nginx->worker_pids;
    my $p = $nginx->profile("/debug/pprof/profile?seconds=0.5&pid=$pid",
                              token => 'secret');

    is_deeply([ grep { $_->{labels}{pid} != $pid } @{ $p->samples } ], [],
              'one pid only');
    ok((grep { /^only pid $pid$/ } $p->comments), 'and says so');
}


# deep stacks: whole ones, and one that is too deep

for my $case ([ 100, 0 ], [ 1000, 1 ]) {
    my ($depth, $truncated) = @$case;
    my $job = $nginx->background('-H', 'Authorization: Bearer secret',
                                 '/debug/pprof/profile?seconds=2');

    ok(wait_for(\&sampling, 60), "depth $depth: sampling");
    $nginx->hosted("/deep?depth=$depth&ms=500");

    my $p = Pprof::Proto->parse($job->result(300)->{content});

    my $deep = $p->select(sub {
        Pprof::Proto::has_frame($_, qr/^hosted_deep_[ab]$/);
    });

    my ($most) = sort { $b <=> $a }
                 map { scalar grep { /^hosted_deep_[ab]$/ } @{ $_->{frames} } }
                 @$deep;

    if ($truncated) {
        ok($most > 200 && $most <= 256, "depth $depth: $most frames kept");
        is(scalar(grep { $_->{frames}[-1] ne '[stack truncated]' } @$deep), 0,
           "depth $depth: says that it is cut");

    } else {
        is($most, $depth, "depth $depth: all frames");
    }
}


# nginx does not wait for its pool threads when it quits

ok(wait_for(sub {
    my $before = cpu_all();
    sleep 0.5;
    return cpu_all() - $before < 0.1e9;
}, 120), 'pool threads are done');

is($nginx->quit, 0, 'quit');
is_deeply([ $nginx->alerts ], [], 'no alerts');

done_testing();
