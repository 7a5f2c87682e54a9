
# Copyright (C) the maintainers of nginx pprof

# A profile that a hosted module keeps: over several workers, in a window, as
# text, in the index, after the death of a worker.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

my $nginx = start_nginx(workers => 2, http_config => 'pprof_production off;',
    config => q{
    location /debug/pprof { pprof auto; }
    location /keep { hosted lease how=keep count=3; }
    location /drop { hosted lease how=drop count=3; }
});

my $path = '/debug/pprof/leases';

is($nginx->get($path)->{status}, 404, 'nobody has made it');
unlike($nginx->get('/debug/pprof/')->{content}, qr/leases/, 'not in the index');

my %count;

sub lease {
    my ($how, %args) = @_;
    my $res = $nginx->hosted("/$how?count=" . ($args{count} // 3));
    $count{$res->{pid}} = $res->{count};
    return $res->{pid};
}

for my $pid ($nginx->worker_pids) {
    my $count = 3 + keys %count;

    is($nginx->only($pid, sub { lease('keep', count => $count) }), $pid,
       "worker $pid");
}

sub total { my $n = 0; $n += $_ for values %count; return $n }

my $p = $nginx->profile($path);

is_deeply([ $p->problems ], [], 'valid');
is_deeply([ $p->types ], [ 'leases/count' ], 'type');
is($p->total('leases'), total(), 'all of both workers');
is($p->total('leases', sub { $_[0]{labels}{location} eq '/keep' }), total(),
   'labels');
is($p->total('leases', sub { $_[0]{frames}[0] eq 'hosted_lease_keep' }), total(),
   'by who added');

for my $pid (keys %count) {
    is($p->total('leases', sub { $_[0]{labels}{pid} == $pid }), $count{$pid},
       "pid $pid");
    is($nginx->profile("$path?pid=$pid")->total('leases'), $count{$pid},
       "pid=$pid");
}

# what is taken out is out where it was put in

lease('drop', count => 2);
is($nginx->profile($path)->total('leases'), total(), 'fewer');

my $text = $nginx->get("$path?debug=1")->{content};
like($text, qr/\Aleases profile: total @{[ total() ]}\n\d+ \@ 0x/, 'debug=1');
like($text, qr/^#\s+0x\w+\s+hosted_lease_keep\+/m, 'debug=1: names');

like($nginx->get('/debug/pprof/')->{content},
     qr{"n">@{[ total() ]}</td><td><a\ href="leases\?debug=1">leases</a></td>
        <td>What\ is\ leased}x, 'index');

# a window has the difference

my $before;
my ($res) = $nginx->window($path, 2, sub {
    $before = total();
    lease('keep', count => 7);
});
like($res->{headers}, qr/filename="leases-delta"/, 'seconds=: name');
is(Pprof::Proto->parse($res->{content})->total('leases'), total() - $before,
   'seconds=');

is($nginx->get("$path?seconds=1&debug=1")->{status}, 400, 'seconds with debug');

# what a dead process had is gone

my $all = total();
my ($dead) = keys %count;
my $gone = delete $count{$dead};
my @old = $nginx->worker_pids;
kill 'KILL', $dead;
ok((wait_for { my @now = $nginx->worker_pids;
               @now == 2 && !grep { $_ == $dead } @now } 60), 'a new worker');

# the new one has not made it, and cannot be the one to ask: it runs, but has
# nothing to accept as long as the old one is there alone

my ($old) = keys %count;
my ($new) = grep { $_ != $old } $nginx->worker_pids;

ok((wait_for { $res = $nginx->get($path); $res->{status} == 200 } 60), 'asked');
is(Pprof::Proto->parse($res->{content})->total('leases'), total(),
   "without the $gone of the dead worker");

# with the profile made in it, too

is($nginx->only($new, sub { lease('keep', count => 1) }), $new,
   'the new worker');
is($nginx->profile($path)->total('leases'), total(), 'and with the new one');

is_deeply([ $nginx->alerts(qr/exited on signal 9/) ], [], 'no alerts');

done_testing;
