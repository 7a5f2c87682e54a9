# Copyright (C) the maintainers of nginx pprof

# What the tests that start nginx themselves stand on.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

my ($tls_port, $tls_listen) = tls_listen();

my %conf = (modules => [], http_config => qq{
    server {
        $tls_listen
        location / { return 200 "\$server_protocol\\n"; }
    }
}, config => q{
    location /one { return 200 "one\n"; }
    location /echo { return 200 "$request_method $http_authorization\n"; }
    location /slow { root $DIR; limit_rate 1; }
});

my $nginx = start_nginx(%conf, workers => 2);

is(scalar(() = $nginx->worker_pids), 2, 'two workers');
is($nginx->get('/one')->{content}, "one\n", 'get');
is($nginx->get('/echo', method => 'POST', content => 'x', token => 'secret')
         ->{content}, "POST Bearer secret\n", 'method, content, token');

my $r = $nginx->curl('-u', ':x', '/echo');
is($r->{status}, 200, 'curl: status');
like($r->{headers}, qr/^Content-Length: 15\r$/m, 'curl: headers');
is($r->{content}, "GET Basic Ong=\n", 'curl: content') or diag explain $r;

$r = fetch('-k', '--http2', "https://localhost:$tls_port/")->result;
is($r->{content}, "HTTP/2.0\n", 'TLS and HTTP/2') or diag $r->{error};

# reload, with a client on the way

PprofTest::spew($nginx->dir . '/slow', 'x' x 100);

my @old = $nginx->worker_pids;
my $slow = $nginx->background('/slow');
wait_for { $slow->begun };

ok($nginx->reload(config => $conf{config} . 'location /two { return 204; }'),
   'reload');
is($nginx->get('/two')->{status}, 204, 'reload: the new configuration');
cmp_ok(scalar(() = $nginx->worker_pids), '>=', 3, 'reload: an old worker stays');

$slow->hang_up;
ok($nginx->settled, 'reload: until its client has gone');
my %now = map { $_ => 1 } $nginx->worker_pids;
ok(!(grep { $now{$_} } @old), 'reload: all workers are new');

# what a process holds

my ($worker) = $nginx->worker_pids;
my $before = process_state($worker);

cmp_ok(scalar keys %{ $before->{fds} }, '>', 4, 'descriptors');
is((values %{ $before->{threads} })[0], 'nginx', 'threads');
cmp_ok($before->{rss}, '>', 1 << 20, 'rss');
cmp_ok(cpu_ns($worker), '>', 0, 'cpu');
is_deeply([ leftovers($before, process_state($worker)) ], [], 'nothing is left');

my $own = process_state($$);
open my $file, '<', $0 or die;
like((leftovers($own, process_state($$)))[0], qr/^fds: 1 x .*harness\.t/,
     'a descriptor is left');
close $file;

# load, and its end

my $load = $nginx->load('/one', seconds => 1, connections => 2);
is($load->wait_exit(60), 0, 'load');
cmp_ok(scalar(() = $nginx->access_log =~ /\n/g), '>', 100, 'load: requests');

is_deeply([ $nginx->alerts ], [], 'no alerts');
is($nginx->quit, 0, 'quit');
ok(!(grep { pid_alive($_) } keys %now), 'quit: no worker is left');
ok(port_is_free($nginx->port), 'quit: the port is free');

# a crash is an alert

$nginx = start_nginx(%conf);
($worker) = $nginx->worker_pids;
kill KILL => $worker;
ok((wait_for { $nginx->alerts } 60), 'an alert');
is_deeply([ $nginx->alerts(qr/exited on signal 9/) ], [], 'an expected one');
$nginx->stop;

# master_process off

$nginx = start_nginx(%conf, master => 'off');
is($nginx->get('/one')->{status}, 200, 'without a master');
is_deeply([ $nginx->worker_pids ], [ $nginx->pid ], 'which is the worker');
is($nginx->quit, 0, 'quit');

# an upgrade

$nginx = start_nginx(%conf, daemon => 1);
my $old = $nginx->pid;
my $new = $nginx->usr2;

isnt($new, $old, 'usr2: a new master');
ok(pid_alive($_), "usr2: $_ runs") for $old, $new;
is($nginx->{old_master}->stop, 'QUIT', 'usr2: the old one goes');
is($nginx->get('/one')->{content}, "one\n", 'usr2: the new one serves');
is_deeply([ $nginx->alerts ], [], 'usr2: no alerts');

undef $nginx;
ok((wait_for { !pid_alive($new) } 60), 'and is ended with its object');

# a configuration that is none

my ($code, $out) = check_config(%conf);
is($code, 0, 'nginx -t') or diag $out;
($code, $out) = check_config(%conf, config => 'nonsense;');
is($code, 1, 'nginx -t of nonsense');
like($out, qr/unknown directive "nonsense"/, 'and what it says');
ok(!eval { start_nginx(%conf, config => 'nonsense;') }, 'does not start');
like($@, qr/unknown directive "nonsense"/, 'and says why');

# commands

is_deeply([ run_command([ 'sh', '-c', 'echo a; exit 3' ]) ], [ 3, "a\n" ],
          'a command');
is((run_command([ 'sleep', 20 ], bound => 0.2))[0], undef, 'its bound');

done_testing();
