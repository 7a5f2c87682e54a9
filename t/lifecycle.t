# Copyright (C) the maintainers of nginx pprof

# What happens to windows, workers and connections when clients hang up, and
# nginx reloads, is upgraded, quits or crashes.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw( sleep time );

plan skip_all => 'the module is not built' unless Pprof::modules('pprof');

my @modules = (modules => [ Pprof::modules('pprof') ]);
my @config = (http_config => 'pprof_production off;', config => q{
    location / { return 200 "hello\n"; }
    location /debug/ { pprof auto; }
});

my $profile = '/debug/pprof/profile?seconds=';

# What has to become true before long.

sub soon (&$) {
    my ($condition, $name) = @_;

    ok(&wait_for($condition, 60), $name);
}

# An answer that is one, of a window of some length.

sub answered {
    my ($res, $name) = @_;

    is($res->{status}, 200, "$name: 200") or diag explain $res;
    is(substr($res->{content} // '', 0, 2), "\x1f\x8b", "$name: gzip");
    is($res->{exit}, 0, "$name: complete") if exists $res->{exit};
}

sub ended {
    my ($nginx, $name, @expected) = @_;

    is($nginx->quit, 0, "$name: nginx ends by itself");
    is_deeply([ $nginx->alerts(@expected) ], [], "$name: no alerts");
}

sub connections {
    my ($nginx) = @_;

    return $nginx->get('/debug/pprof/')->{content}
           =~ m{MiB</td><td class="n">(\d+)</td><td class="n">(\d+)</td>};
}


# clients that hang up, in plain text, TLS and HTTP/2

my ($tls, $tls_listen) = tls_listen();

my $nginx = start_nginx(@modules, workers => 1,
    http_config => "pprof_production off;", config => qq{
    $tls_listen
    location / { return 200; }
    location /debug/ { pprof auto; }
});

my ($open, $requests) = connections($nginx);
is($requests, 1, 'gauges: the index itself is in flight');

my $descriptors = descriptors($nginx);
my $https = "https://127.0.0.1:$tls";

my @clients = map { $nginx->background(@$_) }
    [ $profile . 60 ],
    [ '--http1.1', '-k', "$https${profile}60" ],
    [ '--http2', '-k', "$https${profile}60" ],
    [ "/debug/pprof/threadcreate?seconds=60" ];

soon { (connections($nginx))[1] == 5 } 'gauges: four more';
cmp_ok((connections($nginx))[0], '>=', $open + 4, 'gauges: connections');

$_->hang_up for @clients;

soon { (connections($nginx))[1] == 1 } 'hung up: requests ended';
soon { (connections($nginx))[0] == $open } 'hung up: connections';
soon { descriptors($nginx) <= $descriptors } 'hung up: descriptors';

# in the middle of a body

my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                   PeerPort => $nginx->port);
print $socket "POST /debug/pprof/symbol HTTP/1.1\r\nHost: x\r\n"
              . "Content-Length: 1000\r\n\r\n0x1+0x2";
$socket->flush;
sleep 0.2;
close $socket;

soon { (connections($nginx))[1] == 1 } 'hung up: in a body';

# before the rest of a body that nobody wants

$socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                PeerPort => $nginx->port);
print $socket "GET ${profile}300 HTTP/1.1\r\nHost: x\r\n"
              . "Content-Length: 4\r\n\r\nab";
$socket->flush;
soon { (connections($nginx))[1] == 2 } 'discarded body: the window begins';
print $socket 'cd';
$socket->flush;
sleep 1.3;
is((connections($nginx))[1], 2, 'discarded body: the window goes on');
close $socket;

soon { (connections($nginx))[1] == 1 } 'discarded body: hung up';

# a client that reads slowly, and hangs up while the answer is sent

$socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                PeerPort => $nginx->port);
print $socket "GET ${profile}0.2 HTTP/1.1\r\nHost: x\r\n\r\n";
sleep 0.5;
close $socket;

# windows overlap, and each takes its own time

my $start = time;
my @windows = map { [ $_, $nginx->background($profile . $_) ] } 2, 4, 3;

for my $window (sort { $a->[0] <=> $b->[0] } @windows) {
    my ($seconds, $client) = @$window;

    answered($client->result, "window of $seconds s");
    cmp_ok(time - $start, '>=', $seconds, "window of $seconds s: not early");
}

cmp_ok(time - $start, '<', 2 + 4 + 3, 'windows overlap');

answered($nginx->curl('--http2', '-k', "$https${profile}0.2"), 'HTTP/2');
answered($nginx->curl('--http1.1', '-k', "$https${profile}0.2"), 'TLS');

ended($nginx, 'hang up');


# reload: old workers finish their windows, new ones answer

$nginx = start_nginx(@modules, workers => 2, @config);

for my $turn (1 .. 2) {
    my @old = map { $nginx->background($profile . 2) } 1 .. 4;

    soon { $nginx->serving == 5 } "reload $turn: four windows";
    ok($nginx->reload, "reload $turn");

    answered($nginx->get($profile . 0.2), "reload $turn: new workers");

    for my $client (@old) {
        answered($client->result, "reload $turn: a window over it");
    }

    ok($nginx->settled, "reload $turn: old workers end");
}

# not served any more, and again

my $client = $nginx->background($profile . 2);
soon { $nginx->serving == 2 } 'reload: production: a window';
ok($nginx->reload(http_config => ''), 'reload: production');
ok($nginx->settled, 'reload: production: old workers end');
answered($client->result, 'reload: production: a window over it');
is($nginx->get('/debug/pprof/')->{status}, 404, 'reload: production: 404');
ok($nginx->reload(http_config => 'pprof_production off;'), 'reload: back');
ok($nginx->settled, 'reload: back: old workers end');
answered($nginx->get($profile . 0.2), 'reload: back');

# a broken configuration changes nothing

$nginx->configure(http_config => 'pprof_production off; pprof_memory 1;');
$nginx->signal('HUP');
soon { $nginx->error_log =~ /\[emerg\] .*"pprof_memory"/ }
     'reload: broken: the error';
answered($nginx->get($profile . 0.2), 'reload: broken');
ok($nginx->reload(http_config => 'pprof_production off;'), 'reload: mended');
answered($nginx->get($profile . 0.2), 'reload: mended');

# nginx -t beside it touches nothing

is((check_config(@modules, @config))[0], 0, 'nginx -t');
answered($nginx->get($profile . 0.2), 'nginx -t: goes on');

# a worker that crashes is replaced

my ($victim) = $nginx->worker_pids;
kill KILL => $victim;
soon { !grep { $_ == $victim } $nginx->worker_pids } 'crash';
ok($nginx->settled, 'crash: a new worker');
answered($nginx->get($profile . 0.2), "crash: request $_") for 1 .. 4;

# quit during long windows: the answer so far is sent

my @long = map { $nginx->background($_) }
    $profile . 300, $profile . 300, '/debug/pprof/threadcreate?seconds=300';

soon { $nginx->serving == 4 } 'quit: three windows';
$start = time;
ended($nginx, 'quit', qr/exited on signal 9/, qr/"pprof_memory"/);
cmp_ok(time - $start, '<', 60, 'quit: soon');
answered($_->result, 'quit: the answer so far') for @long;


# a forced end

$nginx = start_nginx(@modules, workers => 1, @config);
$client = $nginx->background($profile . 300);
soon { $nginx->serving == 2 } 'TERM: a window';
$nginx->signal('TERM');
soon { !$nginx->alive } 'TERM: ends at once';
is_deeply([ $nginx->alerts ], [], 'TERM: no alerts');
isnt($client->result->{exit}, 0, 'TERM: no answer');


# a new binary takes over

$nginx = start_nginx(@modules, workers => 1, daemon => 1, @config);
$client = $nginx->background($profile . 4);
soon { $nginx->serving == 2 } 'USR2: a window';
ok($nginx->usr2, 'USR2: a new master');
$nginx->{old_master}->signal('QUIT');
answered($client->result, 'USR2: a window of the old one');
answered($nginx->get($profile . 0.2), 'USR2: the new one');
soon { !$nginx->{old_master}->alive } 'USR2: the old one ends';
$nginx->signal('QUIT');
soon { !$nginx->alive } 'USR2: the new one ends';
is_deeply([ $nginx->alerts ], [], 'USR2: no alerts');


# one process is master and worker

$nginx = start_nginx(@modules, master => 'off', @config);
answered($nginx->get($profile . 0.2), 'master_process off');
like($nginx->get('/debug/pprof/')->{content}, qr/pid=@{[ $nginx->pid ]}"/,
     'master_process off: the index');
$client = $nginx->background($profile . 300);
soon { $nginx->serving == 2 } 'master_process off: a window';
ended($nginx, 'master_process off');


# beside pool threads and helper processes

$nginx = start_nginx(@modules, workers => 1, main_config => q{
    thread_pool default threads=4;
}, http_config => q{
    pprof_production off;
    aio threads;
    proxy_cache_path $DIR/cache keys_zone=cache:1m;
}, config => 'location /debug/ { pprof auto; }');

answered($nginx->get($profile . 0.2), 'pool threads');
my ($rows) = $nginx->get('/debug/pprof/')->{content}
             =~ m{<h2>Workers</h2>(.*?)</table>}s;
is(scalar(() = $rows =~ /\?pid=/g), 1, 'helpers: only the worker is listed');
ended($nginx, 'pool threads');


# The service thread's table of descriptors has nothing of nginx in it: with a
# listening socket there the port would stay taken.

$nginx = start_nginx(@modules, workers => 1, http_config => q{
    pprof_production off;
    pprof_gops off;
}, config => 'location /debug/ { pprof auto; }');

answered($nginx->get($profile . 0.2), 'own descriptors');

my $fds = process_state($nginx->worker_pids)->{fds};
my @own = map { $fds->{$_} } grep { /^own [3-9]|^own \d\d/ } sort keys %$fds;
my @sockets = grep { /^socket:/ } map { $fds->{$_} } grep { /^\d/ } keys %$fds;

cmp_ok(scalar @sockets, '>', 0, 'own descriptors: nginx has sockets');
is_deeply([ sort map { s/:.*//r } map { s/ \(deleted\)//r } @own ],
          [ '/memfd', 'anon_inode' ],
          'own descriptors: only the eventfd and the shared memory');
ended($nginx, 'own descriptors');


done_testing();


sub descriptors {
    my ($nginx) = @_;
    my ($pid) = $nginx->worker_pids;

    return scalar(() = glob "/proc/$pid/fd/*");
}
