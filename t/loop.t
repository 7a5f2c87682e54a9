
# Copyright (C) the maintainers of nginx pprof

# nginx with its event loop observed does what it does without: the same work in
# all the ways in which events come, with the module and without it.

use strict;
use warnings;

use lib 't/lib';
use Digest::SHA qw( sha1_hex );
use IO::Socket::INET;
use PprofTest;
use Test::More;
use Time::HiRes qw( sleep time );

needs('curl', 'wrk');

my $text = join '', map { "line $_ of a file\n" } 1 .. 20_000;


# The servers that a case has; with the module, there is the profiler's location.

sub start {
    my ($with, %case) = @_;
    my ($tls_port, $tls_listen) = tls_listen();
    my $port = free_port();
    my $profiler = $with ? 'location /debug/pprof { pprof auto; }' : '';
    my $off = $with ? 'pprof_production off;' : '';

    my ($module) = grep { /ngx_http_pprof_module\.so$/ }
                   split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
    $module //= (Pprof::modules())[0];

    my $nginx = start_nginx(port => $port, workers => 2, %case,
        modules => [ ($with ? $module : ()), @{$case{modules} || []} ],
        http_config => qq{
            $off
            upstream back { server 127.0.0.1:$port; keepalive 8; }
            limit_req_zone \$server_name zone=slow:1m rate=20r/s;
            proxy_cache_path \$DIR/cache keys_zone=cache:1m;
            server {
                $tls_listen
                root \$DIR/html;
                location /cached/ {
                    proxy_pass http://back/;
                    proxy_cache cache;
                    proxy_cache_valid 1m;
                    proxy_cache_lock on;
                }
            }
        },
        config => qq{
            $profiler
            location /proxy/ {
                proxy_pass http://back/;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
            }
            location /threads/ { alias \$DIR/html/; aio threads; sendfile on; }
            location = /slow { limit_req zone=slow burst=50; alias \$DIR/html/slow; }
            location /rate/ { alias \$DIR/html/; limit_rate 400k; }
            location /slowly/ { alias \$DIR/html/; limit_rate 100k; }
            location /included { add_before_body /small; return 200 "main\\n"; }
            location /timeout { proxy_pass http://127.0.0.1:1;
                                proxy_connect_timeout 1s; }
            location /small { return 200 "small\\n"; }
        });

    PprofTest::spew($nginx->dir . '/html/file', $text);
    PprofTest::spew($nginx->dir . '/html/slow', "ok\n");
    $nginx->{tls_port} = $tls_port;

    return $nginx;
}


sub answer {
    my ($nginx, @args) = @_;
    my $res = $nginx->curl('-k', @args);

    return "$res->{status} " . sha1_hex($res->{content});
}


sub work {
    my ($nginx) = @_;
    my $https = "https://127.0.0.1:$nginx->{tls_port}";
    my %got;

    $got{static} = answer($nginx, '/file');
    $got{proxy} = answer($nginx, '/proxy/file');
    $got{'proxy, again'} = answer($nginx, '/proxy/file');
    $got{threads} = answer($nginx, '/threads/file');
    $got{'HTTP/2'} = answer($nginx, '--http2', "$https/file");
    $got{cached} = answer($nginx, '--http2', "$https/cached/file");
    $got{'from the cache'} = answer($nginx, '--http2', "$https/cached/file");
    $got{range} = answer($nginx, '-r', '1000-2000', '/file');
    $got{subrequest} = answer($nginx, '/included');
    $got{'gateway'} = answer($nginx, '/timeout');
    $got{'not found'} = answer($nginx, '/none');
    $got{upload} = answer($nginx, '-X', 'POST', '--data-binary',
                          '@' . $nginx->dir . '/html/file', '/proxy/small');

    # many streams of one connection

    my ($code, $output) = run_command([ 'curl', '-sS', '-k', '--http2', '-Z',
        '--parallel-max', '30', '-w', '%{http_code} %{size_download}\n',
        map { ('-o', '/dev/null', "$https/file") } 1 .. 40 ]);

    $got{streams} = join ' ', $code, sort grep { /^\d+ \d+$/ } split /\n/, $output;

    # timers: a delay and a rate are what they are

    my $start = time;
    my @slow = map { $nginx->background('/slow') } 1 .. 21;
    $got{'limit_req, status'} = join ' ', map { $_->result(60)->{status} } @slow;
    $got{'limit_req delays'} = time - $start >= 0.85 ? 'yes' : 'no';

    $start = time;
    $got{rate} = answer($nginx, '/rate/file');
    $got{'limit_rate delays'} = time - $start >= length($text) / 400_000 * 0.5
        ? 'yes' : 'no';

    # a client that goes away, and one that never asks

    my $gone = $nginx->background('/rate/file');
    sleep 0.2;
    $gone->hang_up;

    my $silent = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $nginx->port);
    ok($silent, 'a silent client');

    my ($load) = run_command([ 'wrk', '-t1', '-c16', '-d1', $nginx->url('/proxy/small') ]);
    $got{load} = $load;

    return \%got;
}


my %cases = (
    'default' => {},
    'accept_mutex' => { events => 'accept_mutex on;' },
    'multi_accept' => { events => 'accept_mutex on; multi_accept on;' },
    'timer_resolution' => { main_config => 'timer_resolution 100ms;' },
    'single' => { master => 'off', workers => 1 },
);

for my $name (sort keys %cases) {
    my $plain = start(0, %{$cases{$name}});
    my $expected = work($plain);
    is($plain->quit, 0, "$name: without: quit");
    my @before = $plain->alerts;

    my $nginx = start(1, %{$cases{$name}});
    my $got = work($nginx);

    is_deeply($got, $expected, "$name: the same answers");

    my $p = $nginx->profile('/debug/pprof/profile?seconds=0.2');
    is_deeply([ $p->problems ], [], "$name: a profile");

    if ($name ne 'single') {
        my ($load) = $nginx->background("/slowly/file");
        wait_for { $load->begun };
        $nginx->reload;
        is($load->result(60)->{status}, 200, "$name: an answer outlasts a reload");
        is(answer($nginx, '/file'), $expected->{static}, "$name: reloaded");
    }

    is($nginx->quit, 0, "$name: quit");
    is_deeply([ $nginx->alerts ], \@before, "$name: no alert");
}


# A shutdown waits for the requests that are at work, as long as it may.

for my $timeout ('', 'worker_shutdown_timeout 1s;') {
    my %took;

    for my $with (0, 1) {
        my $nginx = start($with, main_config => $timeout);
        my $slow = $nginx->background("/slowly/file");
        ok(wait_for(sub { $slow->begun }), 'at work');

        my $start = time;
        is($nginx->quit(60), 0, "quit with a request at work: $timeout");
        $took{$with} = time - $start;

        my $res = $slow->result(60);
        my $whole = length($res->{content}) == length $text;
        is($whole, $timeout eq '', 'cut off by the timeout only');
    }

    cmp_ok(abs($took{1} - $took{0}), '<', 3, 'takes as long as without');
}


# Stream and mail share the loop.

SKIP: {
    my @modules = map { "/usr/lib/nginx/modules/ngx_${_}_module.so" }
                  qw( stream mail );

    if (my @missing = grep { !-e } @modules) {
        die "@missing missing\n" if $ENV{CI};
        skip "@missing missing", 1;
    }

    my ($stream, $mail) = (free_port(), free_port());
    my $port = free_port();

    my $nginx = start(1, modules => \@modules, main_config => qq{
        stream {
            server { listen 127.0.0.1:$stream; proxy_pass 127.0.0.1:$port; }
        }
        mail {
            server_name mail.example;
            auth_http 127.0.0.1:$port/none;
            server { listen 127.0.0.1:$mail; protocol imap; }
        }
    }, port => $port);

    is(answer($nginx, "http://127.0.0.1:$stream/file"), answer($nginx, '/file'),
       'stream: proxies');

    my $imap = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$mail");
    like(scalar <$imap>, qr/^\* OK/, 'mail: greets');
    print $imap "a logout\r\n";
    like(join('', <$imap>), qr/a OK/, 'mail: answers');

    my $p = $nginx->profile('/debug/pprof/profile?seconds=0.2');
    is_deeply([ $p->problems ], [], 'and a profile');

    is($nginx->quit, 0, 'stream, mail: quit');
    is_deeply([ $nginx->alerts ], [], 'stream, mail: no alert');
}

done_testing();
