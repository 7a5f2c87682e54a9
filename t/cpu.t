
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

my $nginx = start_nginx(workers => 2, token => 'secret', main_config => q{
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


sub window {
    return $nginx->background('-H', 'Authorization: Bearer secret',
                              "/debug/pprof/profile?$_[0]");
}


sub parsed {
    my ($job, $name) = @_;
    my $res = $job->result(300);

    is($res->{status}, 200, "$name: profile") or diag $res->{content};

    my $p = Pprof::Proto->parse($res->{content});
    is_deeply([ $p->problems ], [], "$name: well-formed");

    return $p;
}


# No work is left over from before: nginx does not wait for its pool threads.

sub quiet {
    ok(wait_for(sub {
        my $before = cpu_all();
        sleep 0.5;
        return cpu_all() - $before < 0.02e9;
    }, 120), "$_[0]: nothing else is at work");
}


# Starts them one after the other: who is at work takes no other request, so
# that each of them gets a worker of its own.

sub start_work {
    my (@paths) = @_;
    my @work;

    for my $path (@paths) {
        my %idle = map { $_ => cpu_of($_) } $nginx->worker_pids;
        push @work, $nginx->background($path);

        wait_for {
            $work[-1]->done || grep { cpu_of($_) > $idle{$_} + 0.05e9 } keys %idle;
        } 60;
    }

    return @work;
}


# A profile over a window that all of @paths begin and end in: the profile, and
# the CPU time that the scheduler counted for them.  However busy the machine is,
# it is the same work: where it is not done in time the window was too short.

my $seconds = 8;

sub within {
    my ($args, $name, @paths) = @_;

    for ( ; $seconds <= 128; $seconds *= 2) {
        quiet($name);

        my $job = window("seconds=$seconds&$args");
        ok(wait_for(\&sampling, 60), "$name: sampling in all workers");
        $nginx->opened;

        my $before = cpu_all();
        my @work = start_work(@paths);

        wait_for { $job->done || !grep { !$_->done } @work } 300;

        my $used = cpu_all() - $before;
        my $in_time = !$job->done;
        my $p = parsed($job, $name);

        return ($p, $used) if $in_time;

        note "$name: more than $seconds s";
        $_->result(300) for @work;
    }

    die "$name: the work takes longer than any window\n";
}


# A profile over a window in which all of @paths are at work from its beginning
# to its end: the profile, and the CPU time that the scheduler counted meanwhile.

sub throughout {
    my ($args, $name, @paths) = @_;

    quiet($name);

    my @work = start_work(@paths);
    my $job = window($args);

    ok(wait_for(\&sampling, 60), "$name: sampling in all workers");

    # a look that was held up tells nothing of when it was

    my @books;

    until (@books && $books[-1][2] && $job->done) {
        my $from = time;
        my $used = cpu_all();
        my $to = time;

        push @books, [ ($from + $to) / 2, $used, $job->done ]
            if $to - $from < 0.005 || !@books;
        sleep 0.02;
    }

    my $p = parsed($job, $name);

    $_->hang_up for @work;

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


# Threads that are made and end within the window, four at a time, until there
# are 2000 ticks of the kernel, of which the split's deviation is one point.

{
    my ($heavy, $light, $tails, $total, $work) = (0) x 5;

    for (1 .. 40) {
        my $name = "short threads $_";
        my $job = window('seconds=7&hz=500');
        my $worked = 0;

        ok(wait_for(\&sampling, 60), "$name: sampling");
        $nginx->opened;

        my $end = time + 4.5;

        while (time < $end) {
            # at any phase of the kernel's tick
            sleep rand 0.004;

            my @threads = map {
                $nginx->background('/thread?detach=1&ms=' . (15 + int rand 30));
            } 1 .. 4;

            for my $thread (@threads) {
                my $answer = JSON::PP::decode_json($thread->result(60)->{content});
                $worked += $answer->{heavy_ns} + $answer->{light_ns};
            }
        }

        my $in_time = !$job->done;
        my $p = parsed($job, $name);

        next if !$in_time;

        $work += $worked;
        $heavy += $p->with_frame('cpu', 'hosted_heavy');
        $light += $p->with_frame('cpu', 'hosted_light');
        $tails += $p->with_frame('cpu', qr/^\[after the last tick/);
        $total += $p->with_frame('cpu', qr/^hosted_burn$|^\[after the last tick/);

        last if $work >= 8e9;
    }

    cmp_ok($work, '>=', 8e9, 'short threads: enough of them');
    near($heavy / ($heavy + $light || 1), 0.75, 0.05, 'short threads: heavy');

    # what a thread used after its last tick stands for itself

    ok($tails > 0, 'short threads: tails');
    near($total / ($work || 1), 1, 0.05, 'short threads: total');
}


# Work of 3 s in each worker, in one round of both functions or two: the split's
# only noise are the samples at the borders between them, some 4 of 300 at
# 100 Hz if all were misjudged to the same side.

my $ms = 3000;

for my $hz (100, 1000) {

    my $name = "$hz Hz, two workers";
    my ($p, $used) = within("hz=$hz", $name, ("/burn?ms=$ms&round=$ms") x 2);

    split_of($p, "$name merged: heavy", 0.03);
    total_of($p, $used, "$name: total");
    is($p->{period}, 1e9 / $hz, "$name: period");
    is_deeply([ $p->types ], [ 'samples/count', 'cpu/nanoseconds' ],
              "$name: types");

    for my $pid ($nginx->worker_pids) {
        split_of($p, "$name, one of them: heavy", 0.03, $pid);
    }

    is_deeply([ sort keys %{ $p->by_label('cpu', 'worker') } ], [ 0, 1 ],
              "$name: worker labels");

    # pool threads, whose signals nginx blocks

    $name = "$hz Hz, pool threads";
    ($p, $used) = within("hz=$hz", $name, "/pool?ms=$ms&tasks=2&round=$ms");

    split_of($p, "$name: heavy", 0.03);
    total_of($p, $used, "$name: total");
    ok($p->share('cpu', qr/^hosted_heavy$/) > 0.7, "$name: from the pool");
}


# A window that cuts out a part of the work

{
    my $name = 'throughout';
    my ($p, $used) = throughout('seconds=10', $name,
                                ('/burn?ms=600000&slice=293') x 2);

    total_of($p, $used, "$name: total");
}


# one worker of two

{
    my ($pid) = $nginx->worker_pids;
    my $p = $nginx->profile("/debug/pprof/profile?seconds=0.5&pid=$pid");

    is_deeply([ grep { $_->{labels}{pid} != $pid } @{ $p->samples } ], [],
              'one pid only');
    ok((grep { /^only pid $pid$/ } $p->comments), 'and says so');
}


# deep stacks: whole ones, and one that is too deep

for my $case ([ 100, 0 ], [ 1000, 1 ]) {
    my ($depth, $truncated) = @$case;
    my $job = window('seconds=3');

    ok(wait_for(\&sampling, 60), "depth $depth: sampling");
    $nginx->opened;
    $nginx->hosted("/deep?depth=$depth&ms=500");

    my $p = parsed($job, "depth $depth");

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


is($nginx->quit, 0, 'quit');
is_deeply([ $nginx->alerts ], [], 'no alerts');

done_testing();
