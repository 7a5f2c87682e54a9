
# Copyright (C) the maintainers of nginx pprof

# Large answers are sent in pieces, one in a turn of the event loop, whatever the
# protocol, and however the client reads.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Pprof::Trace;
use IO::Socket::INET ();
use Test::More;

needs('curl');

my $piece = 128 * 1024;
my ($tls, $tls_listen) = tls_listen();
my @ways = map { [ $_ => free_port() ] }
           'sendfile on', 'aio threads', 'directio 512', 'limit_rate 2m',
           'output_buffers 1 4k', 'postpone_output 0', 'sendfile_max_chunk 64k';

my %config = (http_config => qq{
    pprof_production off;
    send_timeout 60;
    } . join('', map { "server { listen 127.0.0.1:$_->[1]; $_->[0];"
                       . " location /debug/ { pprof auto; } }\n" } @ways),
    config => qq{
    $tls_listen
    location /debug/ { pprof auto; }
    location /impatient/ { pprof auto; send_timeout 1; }
    location = /text { hosted text kb=10; }
});

my $nginx = start_nginx(%config);
my $path = '/debug/trace/recorder/trace.out';


# Any file of the worker's own is given out.

sub trace_file {
    my ($size) = @_;
    my $name = $nginx->dir . '/pprof/trace.out';
    my ($worker) = $nginx->worker_pids;
    my $text = join '', map { pack 'N', $_ * 2654435761 % 2 ** 32 }
               1 .. $size / 4 + 1;

    PprofTest::spew($name, substr $text, 0, $size);
    chown +(stat "/proc/$worker")[4], -1, $name;
    chmod 0600, $name;

    return substr $text, 0, $size;
}

sub same {
    my ($res, $expected, $name) = @_;

    is($res->{status}, 200, "$name: status") or diag explain $res;
    ok($res->{content} eq $expected, "$name: " . length $expected)
        or diag length $res->{content};
}

sub connection {
    my ($request) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $nginx->port) or die "connect: $!";

    binmode $socket;
    print $socket $request;
    $socket->flush;

    return $socket;
}

sub request { "GET $_[0] HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" }

sub rest { local $/; readline($_[0]) // '' }

sub serving { wait_for { $nginx->get('/text')->{status} == 200 } 60 }


# sizes around those of pieces

for my $size (0, 1, $piece - 1, $piece, $piece + 1, 2 * $piece,
              2 * $piece + 1, 16 * $piece + 7)
{
    my $file = trace_file($size);

    same($nginx->curl($path), $file, 'HTTP/1.1');
    same($nginx->curl('--http1.0', $path), $file, 'HTTP/1.0');
    same($nginx->curl('-k', "https://127.0.0.1:$tls$path", '--http1.1'), $file,
         'TLS');
    same($nginx->curl('-k', "https://127.0.0.1:$tls$path", '--http2'), $file,
         'HTTP/2');

    for my $way (@ways) {
        same(fetch("http://127.0.0.1:$way->[1]$path")->result(120), $file,
             $way->[0]);
    }
}

my $file = trace_file(24 * $piece + 100);

is($nginx->curl('-I', $path)->{status}, 200, 'HEAD');

# the next request of the connection comes after the whole answer

my $socket = connection("GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n" x 2
                        . request($path));
my $got = rest($socket);
is(scalar(() = $got =~ /HTTP\/1\.1 200 OK\r\n/g), 3, 'pipelined: answers');
is(scalar(() = $got =~ /\Q$file\E/g), 3, 'pipelined: whole');

# streams of one connection

my $many = fetch('-k', '--http2', '--parallel', '-w', '%{size_download} ',
                 map { ("https://127.0.0.1:$tls$path?$_", '-o', '/dev/null') }
                 1 .. 8)->result(120);
is($many->{exit}, 0, 'streams: done');

# a client that reads when it wants to, and others that are served meanwhile

$socket = connection(request($path));
$got = '';

while (sysread $socket, $got, 300_000, length $got) {
    serving() or fail('served meanwhile'), last;
}

is(substr($got, -length $file), $file, 'slow reader: whole');

# one that hangs up, one that does not read at all

$socket = connection(request($path));
sysread $socket, $got, 100_000;
close $socket;
ok(serving(), 'hung up: serves on');

trace_file(300 * $piece);
$socket = connection(request('/impatient/debug/trace/recorder/trace.out'));
ok((wait_for { $nginx->error_log =~ /client timed out \(110.*trace\.out/ } 60),
   'no reader: timed out');
close $socket;

# quit waits for what is being sent

$file = trace_file(48 * $piece);
$socket = connection(request($path));
sysread $socket, $got = '', 1000;
$nginx->signal('QUIT');
ok((wait_for { $nginx->error_log =~ /gracefully shutting down/ } 60),
   'quit: the worker knows');
$got .= rest($socket);
ok(substr($got, -length $file) eq $file, 'quit: the whole answer');
ok((wait_for { !$nginx->alive } 60), 'quit');
is_deeply([ $nginx->alerts ], [], 'no alerts');


# A turn for each piece.

SKIP: {
    skip 'no go', 8 if !have('go') && !$ENV{CI};

    $nginx = start_nginx(%config);
    $file = trace_file(40 * $piece);

    my $recorder = '/debug/trace/recorder';
    is($nginx->get("$recorder/run?duration=10m")->{status}, 200, 'turns: run');

    for my $url ($nginx->url($path), "https://127.0.0.1:$tls$path") {
        same(fetch('-k', '--http2', $url)->result(60), $file, 'turns');
    }

    is($nginx->get("$recorder/stop")->{status}, 200, 'turns: stop');

    # between two of them the request waits, of HTTP/1.1 and HTTP/2

    my %waits;

    my $trace = Pprof::Trace->read($nginx->dir . '/pprof/trace.out');

    for (@{ $trace->{states} }) {
        my (undef, undef, undef, $for, @frames) = @$_;
        $waits{$frames[-1]}++ if ($for // '') eq 'writing to client';
    }

    cmp_ok($waits{$_} // 0, '>=', 39, "turns: $_")
        for "http connection 127.0.0.1:" . $nginx->port, 'http2 stream';
}

done_testing;
