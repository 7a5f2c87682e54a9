# Copyright (C) the maintainers of nginx pprof

# The ground truth is true: the example module does the work that it reports.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;
use Time::HiRes qw( sleep );

plan skip_all => 'the example module is not built'
    unless my ($module) = Pprof::modules('hosted');

my $nginx = start_nginx(modules => [ $module ], main_config => q{
    thread_pool two threads=2;
}, config => q{
    location /burn { hosted burn ms=100; }
    location /deep { hosted deep; }
    location /pool { hosted pool pool=two; }
    location /default { hosted pool; }
    location /thread { hosted thread; }
    location /block { hosted block; }
    location /alloc { hosted alloc library=$LATER; }
    location /child { hosted child; }
    location /hang { hosted hang; }
    location /crash { hosted crash; }
    location /text { gzip on; gzip_types text/plain; hosted text; }
    location /up { proxy_pass http://127.0.0.1:$PORT/burn; }
} =~ s/\$LATER/$Pprof::Build\/unit\/heap_later.so/r);

sub near {
    my ($got, $expected, $share, $name) = @_;

    cmp_ok(abs($got - $expected), '<=', $expected * $share,
           "$name: $got is near $expected");
}

# What takes known CPU time: key => [ ns, share ] of the answer.  At the very end of a
# turn the machine may take the CPU away for some ms, which counts as used and is
# made up for no more; not each time.

sub burns {
    my ($path, $name, %expected) = @_;
    my $r;

    for (1 .. 5) {
        $r = $nginx->hosted($path);

        last if !grep {
            my ($ns, $share) = @{ $expected{$_} };
            abs($r->{$_} - $ns) > $ns * $share;
        } keys %expected;
    }

    near($r->{$_}, @{ $expected{$_} }, "$name: $_") for sort keys %expected;

    return $r;
}


# CPU on the event loop

my ($worker) = $nginx->worker_pids;
my $r = burns('/burn?ms=400', 'burn', heavy_ns => [ 300e6, 0.005 ],
              light_ns => [ 100e6, 0.005 ]);

my $start = cpu_ns($worker);
$r = $nginx->hosted('/burn?ms=400');
my $spent = cpu_ns($worker) - $start;
my $burnt = $r->{heavy_ns} + $r->{light_ns};

is($r->{pid}, $worker, 'burn: pid');
is($r->{worker}, 0, 'burn: worker');
is_deeply($r->{tids}, [ $worker ], 'burn: on the event loop');
near($spent, $burnt, 0.02, 'burn: what the scheduler says');

# in slices, the loop serves others meanwhile

my $job = $nginx->background('/burn?ms=600&slice=10');

my $turn = 0;
$turn += $nginx->get('/burn?ms=0')->{status} == 200 for 1 .. 3;
ok(!$job->done, 'slices: the loop serves others meanwhile');
is($turn, 3, 'slices: and answers');

my $res = $job->result;
is($res->{status}, 200, 'slices: answer');
$r = JSON::PP::decode_json($res->{content});
burns('/burn?ms=600&slice=10', 'slices', heavy_ns => [ 450e6, 0.005 ],
      light_ns => [ 150e6, 0.005 ]);

# elsewhere

burns('/deep?ms=50&depth=200', 'deep', deep_ns => [ 50e6, 0.01 ]);

$r = burns('/pool?ms=60&tasks=4', 'pool', heavy_ns => [ 180e6, 0.01 ],
           light_ns => [ 60e6, 0.01 ]);
is(scalar @{ $r->{tids} }, 4, 'pool: a thread for every task');
ok(!(grep { $_ == $worker } @{ $r->{tids} }), 'pool: not the event loop');

burns('/default?ms=20', 'default pool', heavy_ns => [ 15e6, 0.02 ]);

for my $detach (0, 1) {
    $r = burns("/thread?ms=40&detach=$detach", "thread, detach=$detach",
               heavy_ns => [ 30e6, 0.01 ]);
    isnt($r->{tids}[0], $worker, "thread, detach=$detach: another thread");
}

# blocking

for my $how (qw( sleep cond lock )) {
    $r = $nginx->hosted("/block?how=$how&ms=60");
    cmp_ok($r->{delay_ns}, '>=', 59e6, "block, $how: delay");
    is($r->{heavy_ns}, 0, "block, $how: no CPU");
}

for my $how (qw( spin sleep )) {
    my $ms = $how eq 'spin' ? 1500 : 300;

    $start = cpu_ns($worker);
    $r = $nginx->hosted("/hang?how=$how&ms=$ms");
    $spent = cpu_ns($worker) - $start;

    # others may want the CPU as well

    cmp_ok($r->{delay_ns}, '>=', $ms * 1e6, "hang, $how: delay");
    cmp_ok($spent, $how eq 'spin' ? '>' : '<', 20e6, "hang, $how: CPU $spent");
}

# memory

$r = $nginx->hosted('/alloc?how=keep&size=4096&count=300');
is($r->{bytes}, 300 * 4096, 'alloc, keep: bytes');
is($r->{kept}, 300, 'alloc, keep: kept');

$r = $nginx->hosted('/alloc?how=free&size=100&count=1000');
is($r->{count}, 1000, 'alloc, free: count');
is($r->{kept_bytes}, 300 * 4096, 'alloc, free: keeps nothing more');

for my $how (qw( realloc memalign strdup thread later )) {
    my $before = $r;
    $r = $nginx->hosted("/alloc?how=$how&size=1024&count=100");
    is($r->{kept} - $before->{kept}, 100, "alloc, $how: kept");
    is($r->{kept_bytes} - $before->{kept_bytes}, 102400, "alloc, $how: bytes");
}

for my $how (qw( fork system )) {
    is($nginx->hosted("/child?how=$how")->{kept}, 800, "child, $how");
}

$r = $nginx->hosted('/alloc?how=drop');
is($r->{kept}, 0, 'alloc, drop: all gone');

# text

$res = $nginx->get('/text?kb=300');
is(length $res->{content}, 300 * 1024, 'text: length');

$res = $nginx->curl('-H', 'Accept-Encoding: gzip', '/text?kb=300');
cmp_ok(length $res->{content}, '<', 150 * 1024, 'text: compresses');
like($res->{headers}, qr/Content-Encoding: gzip/, 'text: compressed');

is($nginx->get('/text', method => 'HEAD')->{headers}{'content-length'}, 65536,
   'text: HEAD');

# bad arguments

for my $path ('/burn?ms=x', '/burn?ms=99999999', '/alloc?how=spin',
              '/alloc?size=15', '/alloc?how=fork', '/child?how=keep',
              '/hang?how=no', '/pool?tasks=0', '/pool?tasks=99')
{
    is($nginx->get($path)->{status}, 400, "$path: refused");
}

is($nginx->get('/burn?unknown=1&ms=1')->{status}, 200, 'others are ignored');
is($nginx->get('/up?ms=1')->{status}, 200, 'behind a proxy');

# clients that go away

for my $path ('/burn?ms=300&slice=5', '/pool?ms=300', '/thread?ms=300&detach=1')
{
    my $f = $nginx->background($path);
    sleep 0.1;
    $f->hang_up;
}

my $settled = wait_for {
    ! grep { $_ !~ /nginx|two/ }
      values %{ process_state($worker)->{threads} };
};
ok($settled, 'no thread is left');
is_deeply([ $nginx->worker_pids ], [ $worker ], 'the worker lives');
is_deeply([ $nginx->alerts ], [], 'no alerts');

# a crash

is($nginx->get('/crash')->{status}, 599, 'crash: no answer');
my $respawned = wait_for {
    (($nginx->worker_pids)[0] // $worker) != $worker
};
ok($respawned, 'crash: a new worker');
is($nginx->hosted('/burn?ms=1')->{worker}, 0, 'crash: which answers');
is_deeply([ $nginx->alerts(qr/exited on signal 6/) ], [], 'no other alert');

is($nginx->quit, 0, 'quit');

# the names that tests look for are exported

my $symbols = `nm -D --defined-only '$module'`;

for my $name (qw( heavy light burn deep deep_a deep_b deep_bottom spawn sleep
                  cond lock lock_hold alloc_keep alloc_free alloc_realloc alloc_memalign
                  alloc_strdup alloc_threaded alloc_later hang crash text ))
{
    like($symbols, qr/ T hosted_$name$/m, "hosted_$name is exported");
}

# bad configurations

my @bad = (
    [ 'hosted nothing;', qr/unknown work "nothing" in "hosted"/ ],
    [ 'hosted burn ms=x;', qr/invalid parameter "ms=x" in "hosted"/ ],
    [ 'hosted burn what=1;', qr/invalid parameter "what=1"/ ],
    [ 'hosted burn; hosted deep;', qr/"hosted" directive is duplicate/ ],
    [ 'hosted pool pool=no;', qr/unknown thread pool "no"/ ],
);

for my $case (@bad) {
    my ($code, $out) = check_config(modules => [ $module ],
                                    config => "location / { $case->[0] }");
    is($code, 1, "$case->[0] is refused");
    like($out, $case->[1], "$case->[0]: the error");
}

done_testing();
