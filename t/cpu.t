
# Copyright (C) the maintainers of nginx pprof

# The CPU profile against the truth: the example module burns CPU 3:1 in two
# functions, and the scheduler's books say how much the process used in all.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;
use Time::HiRes qw( sleep );

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


# a profile over what the requests do: the profile, the CPU used meanwhile

sub measure {
    my ($args, $bound, @paths) = @_;

    my $job = $nginx->background('-H', 'Authorization: Bearer secret',
                                 "/debug/pprof/profile?$args");

    ok(wait_for(\&sampling, 60), "$args: sampling in all workers");

    my $before = cpu_all();
    my @work = map { my $w = $nginx->background($_); sleep 0.3; $w } @paths;
    my @answers = map { $_->result(300) } @work;
    my $used = cpu_all() - $before;

    is(scalar(grep { $_->{status} == 200 } @answers), scalar @paths,
       "$args: the work is done");

    my $res = $job->result(300);
    is($res->{status}, 200, "$args: profile") or diag $res->{content};

    my $p = Pprof::Proto->parse($res->{content});
    is_deeply([ $p->problems ], [], "$args: well-formed");

    return ($p, $used, map { JSON::PP::decode_json($_->{content}) } @answers);
}


sub near {
    my ($got, $expected, $tolerance, $name) = @_;

    ok(abs($got - $expected) <= $tolerance,
       sprintf '%s: %.4f, expected %.4f +- %.4f', $name, $got, $expected,
               $tolerance);
}


sub split_of {
    my ($p, $name, $pid) = @_;

    my ($heavy, $light) = map {
        my $function = $_;
        $p->total('cpu', sub {
            Pprof::Proto::has_frame($_, $function)
            && (!$pid || $_->{labels}{pid} == $pid);
        });
    } qw(hosted_heavy hosted_light);

    near($heavy / ($heavy + $light || 1), 0.75, 0.03, $name);
}


for my $hz (100, 1000) {

    # two workers: a loop that burns takes no other request

    my ($p, $used, @answers) = measure("seconds=12&hz=$hz", 60,
                                       '/burn?ms=10000', '/burn?ms=10000');

    my %pids = map { $_->{pid} => 1 } @answers;
    is(scalar keys %pids, 2, "$hz Hz: both workers burned");

    split_of($p, "$hz Hz, two workers merged: heavy");
    near($p->total('cpu') / $used, 1, 0.03, "$hz Hz, two workers: total");
    is($p->{period}, 1e9 / $hz, "$hz Hz: period");
    is_deeply([ $p->types ], [ 'samples/count', 'cpu/nanoseconds' ],
              "$hz Hz: types");

    for my $pid (keys %pids) {
        split_of($p, "$hz Hz, one worker: heavy", $pid);
    }

    is_deeply([ sort keys %{ $p->by_label('cpu', 'worker') } ], [ 0, 1 ],
              "$hz Hz: worker labels");

    # a pool thread, whose signals nginx blocks

    ($p, $used, @answers) = measure("seconds=12&hz=$hz", 60,
                                    '/pool?ms=10000');

    split_of($p, "$hz Hz, pool thread: heavy");
    near($p->total('cpu') / $used, 1, 0.03, "$hz Hz, pool thread: total");
    ok($p->share('cpu', qr/^hosted_heavy$/) > 0.7, "$hz Hz: from the pool");
}


# threads that are made and end within the window

{
    my ($p, $used, @answers) = measure('seconds=4&hz=500', 60,
                                       ('/thread?ms=200') x 8);

    split_of($p, 'short threads: heavy');
    near($p->total('cpu') / $used, 1, 0.08, 'short threads: total');
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
    my ($p) = measure('seconds=2', 60, "/deep?depth=$depth&ms=1000");

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
