
# Copyright (C) the maintainers of nginx pprof

# The wait profile against nginx's own times in the access log, over more than
# 1000 requests that wait for all kinds of things at once.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Pprof::Slow;
use Test::More;
use Time::HiRes qw( sleep time );

needs('curl');

my $slow = Pprof::Slow->upstream;
my $deaf = Pprof::Slow->deaf;
my $late = Pprof::Slow->deaf;
my ($tls_port, $tls_listen) = tls_listen();
my ($slow_port, $deaf_port, $late_port) = map { $_->{port} } $slow, $deaf, $late;

my $locations = q{
    location /debug/pprof { pprof auto; access_log off; }

    location = /empty { return 204; }
    location = /slow { proxy_pass http://slow; }
    location = /unbuffered {
        proxy_pass http://slow;
        proxy_request_buffering off;
        proxy_http_version 1.1;
    }
    location = /deaf { proxy_pass http://deaf; error_page 504 = @deaf; }
    location = /late { proxy_pass http://late; proxy_connect_timeout 20s; }
    location @deaf { proxy_pass http://slow; }
    location = /cached {
        proxy_pass http://slow;
        proxy_cache cache;
        proxy_cache_key $arg_key;
        proxy_cache_lock on;
        proxy_cache_lock_age 60s;
        proxy_cache_lock_timeout 60s;
    }
    location = /limited { limit_req zone=limit burst=1000; alias $DIR/html/small; }
    location = /rate { limit_rate 100k; alias $DIR/html/big; }
    location = /proxied_rate { limit_rate 100k; proxy_pass http://big/big; }
    location = /big { sendfile on; }
    location = /huge { sendfile on; }
    location = /linger { lingering_close always; return 200; }
    location = /disk { alias $DIR/html/huge; aio threads; directio 512; }
    location = /around { add_before_body /part; add_after_body /part; addition_types *; alias $DIR/html/small; }
    location = /part { internal; proxy_pass http://slow/?header=40&body=40; }
    location = /asked { auth_request /may; alias $DIR/html/small; }
    location = /may { internal; proxy_pass http://slow/?header=90; }
    location = /work {
        auth_basic x;
        auth_basic_user_file $DIR/passwords;
        proxy_pass http://slow/?header=20;
        access_log $DIR/logs/work.log times;
    }
};

my $nginx = start_nginx(connections => 2048, http_config => qq{
    pprof_production off;
    log_format times '\$uri|\$request_time|\$upstream_connect_time|'
                     '\$upstream_header_time|\$upstream_response_time';
    access_log \$DIR/logs/times.log times;
    limit_req_zone \$server_name zone=limit:1m rate=100r/s;
    proxy_cache_path \$DIR/cache keys_zone=cache:1m;
    proxy_connect_timeout 300ms;
    proxy_next_upstream off;
    keepalive_requests 10000;
    send_timeout 60s;
    lingering_close off;

    upstream slow { server 127.0.0.1:$slow_port; }
    upstream deaf { server 127.0.0.1:$deaf_port; }
    upstream late { server 127.0.0.1:$late_port; }
    upstream big { server 127.0.0.1:\$PORT; }

    server {
        $tls_listen
        server_name tls;
        root \$DIR/html;
        access_log \$DIR/logs/times.log times;
        $locations
    }
}, config => 'access_log $DIR/logs/times.log times;' . $locations);

my ($port, $dir) = ($nginx->port, $nginx->dir);

PprofTest::spew("$dir/html/big", 'x' x 40_000);
PprofTest::spew("$dir/html/huge", 'x' x 12_000_000);
PprofTest::spew("$dir/html/small", "small\n");
PprofTest::spew("$dir/passwords", 'u:' . crypt('p', '$6$rounds=50000$abcdefgh') . "\n");


# Many requests by one curl, at most so many at a time.

sub many {
    my ($n, $url, $parallel, @more) = @_;
    my $config = temp_dir();

    PprofTest::spew("$config/urls", join '', map {
        my $u = $url =~ s/%d/$_/r;
        qq{url = "$u"\noutput = "/dev/null"\n}
    } 1 .. $n);

    return Pprof::Process->start(output => "$config/out", command => [
        'curl', '-sSk', '--max-time', 300, '--parallel', '--parallel-max',
        $parallel, '--parallel-immediate', @more, '-K', "$config/urls" ]),
        $config;
}


# Connections in state SYN_SENT to this port of this host.

sub syn_sent {
    my ($to) = @_;
    my $hex = sprintf '%04X', $to;

    return scalar grep { /^\s*\d+: \S+ 0100007F:$hex 02 / }
           split /\n/, PprofTest::slurp('/proc/net/tcp');
}


sub lines { split /\n/, PprofTest::slurp("$dir/logs/times.log") }


# what a worker learns of connections it learns by the first request

my $plain = "http://127.0.0.1:$port";
my $h2 = "https://127.0.0.1:$tls_port";

my @kinds = (
    [ 200, "$plain/empty", 4 ],
    [ 60, "$plain/empty", 1 ],
    [ 120, "$plain/slow?header=150&body=100", 10 ],
    [ 100, "$h2/slow?header=150&body=100", 50, '--http2' ],
    [ 100, "$h2/empty", 50, '--http2' ],
    [ 30, "$plain/deaf?header=50&body=50", 10 ],
    [ 40, "$plain/late?header=50", 40 ],
    [ 80, "$plain/cached?key=plain&header=400&body=10", 20 ],
    [ 120, "$plain/limited", 120, ],
    [ 30, "$h2/limited", 30, '--http2' ],
    [ 20, "$plain/rate", 20 ],
    [ 20, "$h2/rate", 20, '--http2' ],
    [ 20, "$plain/proxied_rate", 20 ],
    [ 20, "$plain/disk", 5 ],
    [ 50, "$plain/around", 10 ],
    [ 30, "$h2/around", 30, '--http2' ],
    [ 60, "$plain/asked", 10 ],
    [ 20, "$plain/slow?header=100", 5, '-d', 'body' ],
);

my @clients = (
    ([ "GET /empty HTTP/1.0\r\n", 200, "Host: a\r\n", 100, "\r\n" ]) x 30,
    ([ "POST /slow?header=50 HTTP/1.0\r\nContent-Length: 6\r\n\r\n", 150, 'ab',
       150, 'cdef' ]) x 20,
    ([ "POST /unbuffered?header=50 HTTP/1.0\r\nContent-Length: 6\r\n\r\n", 150,
       'ab', 150, 'cdef' ]) x 20,
    ([ "GET /linger HTTP/1.0\r\n\r\n", 300 ]) x 10,
    ([ "GET /huge HTTP/1.0\r\n\r\n", 300, [ 100_000 ], 400 ]) x 10,
);

my $sum = 0;
my $log = time;
my @pids = Pprof::Slow::clients($port, @clients);
my @running = map { my @kind = @$_; $sum += $kind[0]; [ many(@kind) ] } @kinds;

# all of the late ones have begun to connect

ok((wait_for { syn_sent($late_port) >= 40 } 60), 'connecting');
$late->hear;

$sum += @clients;
waitpid $_, 0 for @pids;

for my $running (@running) {
    my $status = $running->[0]->wait_exit(300);
    is($status, 0, 'requests') or diag PprofTest::slurp("$running->[1]/out");
}

# the proxied ones are served by this nginx as well

my $expected = $sum + 20;

ok((wait_for { lines() >= $expected } 60), 'all logged')
    or diag scalar(lines()), " of $expected";

cmp_ok($expected, '>', 1000, "requests: $expected");

my $p = $nginx->profile('/debug/pprof/wait');

is_deeply([ $p->problems ], [], 'valid');
is_deeply([ $p->types ], [ qw( contentions/count delay/nanoseconds ) ],
          'types');
is("$p->{period_type}{type}/$p->{period_type}{unit}", 'contentions/count',
   'period type');
is($p->{period}, 1, 'period');
ok((grep { /^waits: all that have ended are counted/ } $p->comments),
   'comments');


# nginx's times: of requests, and in upstreams the parts of all attempts

my (%time, %of);

for my $line (lines()) {
    my ($uri, $request, @upstream) = split /\|/, $line;

    $time{request} += $request;
    $of{$uri} += $request;

    for my $name (qw( connect header response )) {
        my $t = shift @upstream;
        $time{$name} += $_ for grep { /\d/ } split /[ ,:]+/, $t;
    }
}


# Samples of requests (subrequests have their own root).

sub waits {
    my ($match) = @_;

    return scalar $p->total('delay', sub {
        my $s = shift;
        ($s->{labels}{location} // '') ne '/debug/pprof'
            && $match->($s, $s->{frames});
    }) / 1e9;
}

sub near {
    my ($got, $expected, $what) = @_;

    cmp_ok(abs($got / ($expected || 1) - 1), '<', 0.02,
           sprintf '%s: %.3f of %.3f s', $what, $got, $expected);
}

my $main = sub { $_[1][-1] eq 'http request' };

near(waits($main), $time{request}, '$request_time');

# the times of upstreams are logged with their request, not with subrequests;
# those of an attempt that did not connect are in the last sum only

my $upstream = sub { $main->(@_) && grep { $_ eq 'upstream' } @{$_[1]} };
my $deaf_label = sub { ($_[0]{labels}{upstream} // '') eq 'deaf' };

my $part = sub {
    my ($leaf) = @_;
    return waits(sub { $upstream->(@_) && !$deaf_label->(@_)
                       && grep { /$leaf/ } @{$_[1]} });
};

near(waits($upstream), $time{response}, '$upstream_response_time');
near($part->(qr/^upstream (?:connect|SSL handshaking)$/), $time{connect},
     '$upstream_connect_time');
near($part->(qr/^(?:client\ body
                 |upstream\ (?:connect|SSL\ handshaking|send|header))$/x),
     $time{header}, '$upstream_header_time');


# What each location waits for, nearly all of its time.

my %waits = (
    '= /slow' => [ 'upstream header', 'upstream body', 'client body' ],
    '= /unbuffered' => [ 'client body', 'upstream header' ],
    '= /late' => [ 'upstream connect', 'upstream header' ],
    '= /cached' => [ 'cache lock', 'upstream header' ],
    '= /limited' => [ 'delayed by limit_req' ],
    '= /rate' => [ 'delayed by limit_rate' ],
    '= /around' => [ 'subrequest' ],
    '= /asked' => [ 'subrequest' ],
    '= /linger' => [ 'lingering close' ],
    '= /huge' => [ 'writing to client' ],
);

for my $location (sort keys %waits) {
    my %leaf = map { $_ => 1 } 'event loop', @{ $waits{$location} };
    my $here = sub {
        $main->(@_) && ($_[0]{labels}{location} // '') eq $location
    };
    my $all = waits($here);
    my $known = waits(sub { $here->(@_) && $leaf{$_[1][0]} });

    cmp_ok($known, '>', 0.9 * $all, sprintf '%s: %.3f of %.3f s, %s',
           $location, $known, $all, join ', ', @{ $waits{$location} })
        or diag explain([ grep { $here->($_, $_->{frames}) } @{ $p->samples } ]);

    for my $leaf (@{ $waits{$location} }) {
        cmp_ok(waits(sub { $here->(@_) && $_[1][0] eq $leaf }), '>', 0,
               "$location: $leaf");
    }
}

cmp_ok(waits(sub { $main->(@_)
                   && ($_[0]{labels}{location} // '') eq '= /disk'
                   && $_[1][0] eq 'disk' }), '>', 0, 'disk');
cmp_ok(waits(sub { $_[1][0] eq 'client header' }), '>', 0.8 * 30 * 0.3,
       'client header');

my ($of_slow) = grep { ($_->{labels}{upstream} // '') eq 'slow'
                       && $_->{frames}[0] eq 'upstream header'
                       && $_->{labels}{location} eq '= /slow'
                       && $_->{labels}{method} eq 'GET' } @{ $p->samples };

is_deeply([ @{ $of_slow->{frames} } ],
          [ 'upstream header', 'upstream', 'http request' ], 'stack');
like($of_slow->{labels}{server}, qr/^(?:localhost|tls)$/, 'label server');
is($of_slow->{labels}{worker}, '0', 'label worker');


# A connection that was proxied before says with each request that it can be
# written to as well: what the request did in the event before is no waiting.

is((run_command([ 'curl', '-sf', '-u', 'u:p',
                 map { ('-o', '/dev/null', "$plain/work") } 1 .. 20 ]))[0], 0,
   'work before waiting');

my $work = $nginx->profile('/debug/pprof/wait');
my $worked = sub {
    my ($leaf) = @_;
    return $work->total('delay', sub {
        ($_[0]{labels}{location} // '') eq '= /work'
            && (!$leaf || $_[0]{frames}[0] eq $leaf)
    }) / 1e9;
};

cmp_ok($worked->(), '>', 20 * 0.019, 'work: waits');
cmp_ok($worked->('event loop'), '<', 0.1 * $worked->(), 'work: it is none');


# a window has what ends in it; the text has the same

my $logged;
my ($res) = $nginx->window('/debug/pprof/wait', 3, sub {
    $logged = -s "$dir/logs/times.log";
    $nginx->get('/slow?header=500');
    wait_for { -s "$dir/logs/times.log" > $logged };
});
my $window = Pprof::Proto->parse($res->{content});
my $delay = $window->total('delay', sub { $_[0]{frames}[0] eq 'upstream header' });
my (undef, undef, $connect, $header) =
    split /\|/, PprofTest::slurp("$dir/logs/times.log", $logged);

near($delay / 1e9, $header - $connect, 'seconds=');
is($window->total('contentions', sub { $_[0]{frames}[0] eq 'upstream header' }), 1,
   'seconds=: one');

my $text = $nginx->get('/debug/pprof/wait?debug=1');
like($text->{content}, qr/^--- contention:\ncycles\/second=1000000000\n\d+ \d+ \@ 0x/,
     'debug=1');
like($text->{content}, qr/^#\s+0x\w+\s+upstream header/m, 'debug=1: names');

like($nginx->get('/debug/pprof/')->{content}, qr{<a href="wait}, 'index');

is_deeply([ $nginx->alerts ], [], 'no alerts');

done_testing;
