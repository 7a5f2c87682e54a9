
# Copyright (C) the maintainers of nginx pprof

# Tasks of thread pools have the labels of the request that posted them: those of
# modules, in two pools, many at once, and nginx's own that read files.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

my $nginx = start_nginx(
    main_config => 'thread_pool one threads=3; thread_pool two threads=2;',
    http_config => 'pprof_production off; pprof_block_rate 1ns;', config => q{
    location /debug/pprof { pprof auto; }
    location = /light { hosted pool tasks=2 ms=60 pool=one; }
    location = /heavy { hosted pool tasks=2 ms=120 pool=one; }
    location = /other { hosted pool tasks=1 ms=80 pool=two; }
    location = /waits { hosted block how=task ms=50; }
    location /files/ { alias $DIR/html/; aio threads=one; directio 512; }
});

PprofTest::spew($nginx->dir . "/html/file", 'x' x 4_000_000);

my ($pid) = $nginx->worker_pids;

# more tasks than threads, so that they wait in the queue

my ($res, $expected) = $nginx->window('/debug/pprof/profile?hz=1000', 10, sub {
    my (%sum, @running);

    for (1 .. 8) {
        push @running, map { [ $_, $nginx->background("/$_") ] }
                       qw( light heavy other );
    }

    for my $running (@running) {
        my ($location, $fetch) = @$running;
        my $res = JSON::PP::decode_json($fetch->result->{content});
        $sum{$location} += $res->{heavy_ns} + $res->{light_ns};
    }

    return \%sum;
});

my %expected = %$expected;
my $p = Pprof::Proto->parse($res->{content});
is_deeply([ $p->problems ], [], 'valid');

my $burnt = sub { grep { $_ eq 'hosted_burn' } @{ $_[0]{frames} } };
my $all = $p->total('cpu', $burnt);

for my $location (sort keys %expected) {
    my $got = $p->total('cpu', sub {
        $burnt->(@_) && ($_[0]{labels}{location} // '') eq "= /$location"
    });

    cmp_ok(abs($got / $expected{$location} - 1), '<', 0.1,
           sprintf '%s: %.1f of %.1f ms', $location, $got / 1e6,
           $expected{$location} / 1e6);
}

is($p->total('cpu', sub { $burnt->(@_) && !$_[0]{labels}{location} }), 0,
   'all of it has a location');
is($p->total('cpu', sub { $burnt->(@_)
                          && ($_[0]{labels}{method} // '') ne 'GET' }), 0,
   'and a method');


# what blocks in a task

$nginx->hosted('/waits');
$p = $nginx->profile('/debug/pprof/block');

cmp_ok($p->total('delay', sub {
    ($_[0]{labels}{location} // '') eq '= /waits'
        && $_[0]{frames}[0] =~ /^pthread_cond/
}), '>', 40e6, 'blocked in a task') or diag explain $p->samples;


# nginx's own tasks: many files at once, so that a thread has one of each after
# the other

SKIP: {
    my @files = map { $nginx->background('/files/file') } 1 .. 20;
    is(length($_->result->{content}), 4_000_000, 'file') for @files;

    $p = $nginx->profile('/debug/pprof/block');

    my $reads = sub { $_[0]{frames}[0] =~ /^pread/ };
    my $n = $p->total('contentions', $reads);

    skip 'reads do not block here', 1 if !$n;

    is($p->total('contentions', sub {
        $reads->(@_) && ($_[0]{labels}{location} // '') eq '/files/'
    }), $n, "reads by threads: $n");
}

# after a reload there are other pools

ok($nginx->reload, 'reload');
ok($nginx->settled, 'the old worker ends');
($res) = $nginx->window('/debug/pprof/profile?hz=1000', 3,
                        sub { $nginx->hosted('/heavy') });
$p = Pprof::Proto->parse($res->{content});
cmp_ok($p->total('cpu', sub { $burnt->(@_)
                              && $_[0]{labels}{location} eq '= /heavy' }), '>',
       100e6, 'after a reload');

is_deeply([ $nginx->alerts ], [], 'no alerts');

done_testing;
