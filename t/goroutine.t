
# Copyright (C) the maintainers of nginx pprof

# Goroutines: requests and connections in states that the test brings about
# itself, threads, workers that hang; and what Go's own readers make of it.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use IO::Select ();
use IO::Socket::INET ();
use Socket qw( SOL_SOCKET SO_RCVBUF );
use Test::More;
use Time::HiRes qw( sleep time );

needs('curl');

my $url = '/debug/pprof/goroutine';

# An upstream that does what the test says.  One does not even complete the
# handshake of TCP: its queue is full.

sub listener {
    return IO::Socket::INET->new(Listen => $_[0], LocalAddr => '127.0.0.1')
           || die "$!\n";
}

my ($mute, $body) = (listener(128), listener(16));
my $deaf = listener(1);
my @filled = map {
    IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $deaf->sockport,
                          Blocking => 0)
} 1 .. 8;

my $tools = temp_dir();
my ($tls_port, $tls_listen) = tls_listen();

my $config = qq{
    location /debug/pprof { pprof auto; }
    location /ok { return 200 "ok"; }
    location /big { alias html/big; }
    location /limited { limit_req zone=z burst=9; root html; }
    location /rated { limit_rate 1; alias html/big; }
    location /connect { proxy_pass http://127.0.0.1:@{[ $deaf->sockport ]}; }
    location /header { proxy_pass http://127.0.0.1:@{[ $mute->sockport ]}; }
    location /body { proxy_pass http://127.0.0.1:@{[ $body->sockport ]}; }
    location ^~ /added/ { add_before_body /header; addition_types *; alias html/; }
    location ~ ^/(re|odd)%[a-z/]+\$ { proxy_pass http://127.0.0.1:@{[ $mute->sockport ]}; }
    location /burn { hosted burn; }
    location /hang { hosted hang; }
    location /pool/ { aio threads; alias html/; }
};

my %config = (
    connections => 2048,
    main_config => 'thread_pool default threads=3;',
    http_config => qq{
        pprof_production off;
        client_header_timeout 300; client_body_timeout 300; keepalive_timeout 300;
        proxy_connect_timeout 300; proxy_read_timeout 300; send_timeout 300;
        limit_req_zone \$server_port zone=z:1m rate=1r/m;
        server {
            $tls_listen
            server_name tls.example;
            location /header { proxy_pass http://127.0.0.1:@{[ $mute->sockport ]}; }
        }
    },
    config => $config,
);


# The dump as Go's readers take it apart: each goroutine a hash.  Whatever they
# would stumble over is a problem.

sub dump_of {
    my ($nginx, $args) = @_;
    my $res = $nginx->get("$url?debug=2" . ($args // ''));
    my (@list, @problems, $g);

    die "$res->{status} $res->{content}" if $res->{status} != 200;

    my $state = 'between';

    for my $line (split /\n/, $res->{content}) {

        if ($state eq 'place') {
            push @problems, "no place: $line"
                if $line !~ m{^\t(?:\?\?|.+\.(?:c|go|s)):\d+ \+0x[0-9a-f]+$};
            $state = 'frame';

        } elsif ($line =~ /^goroutine (\d+) \[([^\]]+)\]:$/) {
            push @problems, "no blank line: $line" if $state ne 'between';
            my ($name, @more) = split /, /, $2;
            $g = { id => $1, state => $name, frames => [],
                   minutes => (map { /^(\d+) minutes$/ } @more)[0] // 0,
                   map { /^(worker|location|upstream) (.*)$/ } @more };
            push @list, $g;
            $state = 'frame';

        } elsif ($line =~ /^created by (\S+?)(?: in goroutine (\d+))?$/) {
            push @problems, "no frame: $line" if !@{ $g->{frames} };
            @$g{qw( creator parent )} = ($1, $2);
            $state = 'place';

        } elsif ($state eq 'frame' && $line =~ /^([^%\/]+)\(\.\.\.\)$/) {
            push @{ $g->{frames} }, $1;
            $state = 'place';

        } elsif ($line eq '' && $state eq 'frame' && @{ $g->{frames} }) {
            $state = 'between';

        } elsif (@list || $line !~ /^(?:# missing: .*)?$/) {
            push @problems, "line: $line";
        }
    }

    push @problems, 'ends early' if $state ne 'frame';

    my %ids;
    push @problems, grep { $ids{$_}++ } map { $_->{id} } @list;

    return { list => \@list, problems => \@problems, text => $res->{content} };
}

sub in_state { my ($dump, $state) = @_;
               return grep { $_->{state} eq $state } @{ $dump->{list} } }

sub client {
    my ($nginx, $text, %opt) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => $nginx->port) or die "$!\n";
    $s->sockopt(SO_RCVBUF, 4096) if $opt{small};
    print $s $text;
    $s->flush;
    return $s;
}

sub request { "$_[0] HTTP/1.1\r\nHost: localhost\r\nX-Secret: hush\r\n" . ($_[1] // '') . "\r\n" }


# States one by one.

my $nginx = start_nginx(%config);

open my $out, '>', $nginx->dir . '/html/big' or die $!;
print $out 'x' x 65536 for 1 .. 256;
close $out or die $!;
mkdir $nginx->dir . "/html/$_" for qw( limited );
for my $file (qw( limited/x small )) {
    open $out, '>', $nginx->dir . "/html/$file" or die $!;
    print $out "ok\n";
    close $out or die $!;
}

my @states = (
    [ 'waiting for request', [ '' ] ],
    [ 'keepalive', [ request('GET /ok') ] ],
    [ 'client header', [ "GET /secret HTTP/1.1\r\nHost: loc" ] ],
    [ 'client body', [ request('POST /header', "Content-Length: 100\r\n") . 'abc' ],
      '/header', 'http request' ],
    [ 'upstream connect', [ request('GET /connect') ], '/connect' ],
    [ 'upstream header', [ request('GET /header?token=hush') ], '/header' ],
    [ 'upstream body', [ request('GET /body') ], '/body' ],
    [ 'writing to client', [ request('GET /big'), small => 1 ], '/big' ],
    [ 'delayed by limit_req', [ request('GET /limited/x') ], '/limited' ],
    [ 'delayed by limit_rate', [ request('GET /rated'), small => 1 ], '/rated' ],
);

for my $case (@states) {
    my ($state, $client, $location) = @$case;

    # the first one is not delayed

    my @before = $state =~ /limit_req/ ? client($nginx, $client->[0]) : ();
    sleep 0.1 if @before;

    my $socket = client($nginx, @$client);
    my $answers;

    if ($state eq 'upstream body') {
        $answers = $body->accept;
        sysread $answers, my $got, 4096;
        syswrite $answers, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc";
    }

    my ($dump, @found);

    ok(wait_for(sub { $dump = dump_of($nginx);
                      @found = grep { !$location
                                      || ($_->{location} // '') eq $location }
                               in_state($dump, $state); }, 60),
       "$state")
        or diag $dump->{text};

    is_deeply($dump->{problems}, [], "$state: well formed");

    my $g = $found[0] or next;

    is($g->{frames}[0], $state, "$state: is the leaf");
    like($g->{frames}[-1], $location || $state eq 'client header'
         ? qr/^http request$/ : qr/^connection$/, "$state: its root");
    is($g->{worker}, 0, "$state: the worker");
    like($g->{creator}, $location || $state eq 'client header'
         ? qr/^ngx_http_create_request$/ : qr/^ngx_event_accept$/,
         "$state: created by");
    cmp_ok(scalar(grep { /^ngx_|^nginx\@/ } @{ $g->{frames} }), '>=', 1,
           "$state: functions that will run");

    if ($location) {
        ok((grep { /^location / } @{ $g->{frames} }), "$state: a location");
        ok((grep { /^phase / } @{ $g->{frames} }), "$state: a phase");
    }

    unlike($dump->{text}, qr/hush|secret|token/, "$state: nothing of the request");
}


# one that stays

my $stays = client($nginx, request('GET /header'));


# A subrequest has a parent, and its parent's stack below its own.

{
    my $socket = client($nginx, request('GET /added/small'));
    my ($dump, $main, $sub);

    ok(wait_for(sub {
           $dump = dump_of($nginx);
           ($main) = grep { $_->{location} eq '^~ /added/' } in_state($dump, 'subrequest');
           ($sub) = grep { $_->{parent} } in_state($dump, 'upstream header');
           return $main && $sub;
       }, 60), 'subrequest') or diag $dump->{text};

    is($sub->{parent}, $main->{id}, 'subrequest: its parent');
    is($sub->{creator}, 'ngx_http_subrequest', 'subrequest: created by');
    is($sub->{location}, '/header', 'subrequest: its location');
    is_deeply([ map { tr/\x{2215}/\//r } map { utf8::decode(my $s = $_); $s }
                grep { /^(?:location |subrequest|http request)/ } @{ $sub->{frames} } ],
              [ 'location /header', 'subrequest', 'location ^~ /added/',
                'http request' ], 'subrequest: its stack');
}


# A location that readers could stumble over.

{
    my $socket = client($nginx, request('GET /re%25ab'));
    my $dump;

    ok(wait_for(sub {
           $dump = dump_of($nginx);
           return grep { ($_->{location} // '') =~ /\(re\|odd\)/ } @{ $dump->{list} };
       }, 60), 'an odd location');
    is_deeply($dump->{problems}, [], 'an odd location: well formed');
}


# HTTP/2: a connection and its streams.

{
    my @urls = map { ('-o', '/dev/null', "https://127.0.0.1:$tls_port/header?$_") } 1 .. 20;
    my $curl = fetch(qw( -k --http2 -Z --parallel-max 20 ), @urls);
    my ($dump, @streams, $c);

    ok(wait_for(sub {
           $dump = dump_of($nginx);
           ($c) = in_state($dump, 'HTTP/2 streams') or return 0;
           @streams = grep { ($_->{parent} // 0) == $c->{id} } @{ $dump->{list} };
           return @streams == 20 && 20 == grep { $_->{state} eq 'upstream header' } @streams;
       }, 60), 'HTTP/2: 20 streams') or diag $dump->{text};

    is_deeply($dump->{problems}, [], 'HTTP/2: well formed');

    my $p = $nginx->profile($url);
    is($p->total('goroutine', sub { ($_->{labels}{server} // '') eq 'tls.example' }),
       20, 'HTTP/2: labels');

    $curl->hang_up;
    ok(wait_for(sub { !in_state(dump_of($nginx), 'HTTP/2 streams') }, 60),
       'HTTP/2: gone with its client');
}


# Threads, in the system call that they sleep in.

{
    my ($dump, @threads);

    # the pool's threads wait for work

    ok(wait_for(sub { $dump = dump_of($nginx);
                      @threads = in_state($dump, 'futex') == 3 }, 60),
       'threads: those of the pool') or diag $dump->{text};

    my ($pool) = in_state($dump, 'futex');
    is($pool->{frames}[0], 'system call futex', 'threads: the system call');
    ok((grep { /pthread_cond_wait/ } @{ $pool->{frames} }), 'threads: their stack');

    # the loop may be at its list already

    my $loop;
    ok(wait_for(sub { ($loop) = in_state($dump = dump_of($nginx), 'epoll_wait') }, 60),
       'threads: the loop waits');
    ok($loop && (grep { $_ eq 'ngx_process_events_and_timers' } @{ $loop->{frames} }),
       'threads: the loop');
    is_deeply([ grep { /prt_|ngx_http_pprof|ngx_pprof/ } map { @{ $_->{frames} } }
                grep { $_->{frames}[-1] !~ /^(?:http request|connection)$/ }
                @{ $dump->{list} } ], [], 'threads: none of the profiler');
}


# The other forms.

{
    my $p = $nginx->profile($url);

    is_deeply([ $p->problems ], [], 'profile: valid');
    is_deeply([ $p->types ], [ 'goroutine/count' ], 'profile: type');
    is_deeply([ grep { /^missing/ } $p->comments ], [], 'profile: nothing is missing');
    ok((grep { /threads; \d+ of its loop/ } $p->comments), 'profile: what it cost');
    ok((grep { $_->{filename} eq '[goroutine]' } $p->mappings), 'profile: a mapping');

    my $text = $nginx->get("$url?debug=1");
    my ($total) = $text->{content} =~ /^goroutine profile: total (\d+)\n/;
    my $sum = 0;
    $sum += $_ for $text->{content} =~ /^(\d+) @ 0x/mg;

    cmp_ok($total, '>=', 8, 'debug=1: total');
    is($sum, $total, 'debug=1: rows add up');
    like($text->{content}, qr/^#\t0x[0-9a-f]+\tupstream header\+0x0/m, 'debug=1: names');

    # what is there at both ends is not in the difference

    my @new;
    my ($res) = $nginx->window($url, 2, sub {
        @new = ();
        @new = map { client($nginx, request('GET /ok')) } 1 .. 7;

        # answered, so they are there
        IO::Select->new($_)->can_read(60) for @new;
    });
    my $delta = Pprof::Proto->parse($res->{content});

    is($delta->total('goroutine', sub { $_[0]{frames}[0] eq 'keepalive' }), 7,
       'seconds: what has come');
    cmp_ok($p->total('goroutine', sub { grep { $_ eq 'location /header' } @{ $_[0]{frames} } }),
           '>=', 1, 'profile: one stays');
    is($delta->total('goroutine', sub { grep { $_ eq 'location /header' } @{ $_[0]{frames} } }),
       0, 'seconds: not what has stayed');

    is($nginx->get("$url?seconds=1&debug=2")->{status}, 400, 'seconds with debug');
    is($nginx->get("$url?debug=2&worker=7")->{status}, 404, 'no such worker');

    like($nginx->get('/debug/pprof/')->{content},
         qr{\d+\.\d&nbsp;s: <a href="goroutine\?debug=2&amp;pid=\d+">[a-z]},
         'index: the oldest request');

    my ($out, $code) = go_pprof('-top', $nginx->url($url));
    is($code, 0, 'go tool pprof');
    like($out, qr/\d+ +[\d.]+% .* upstream header\n/, 'go tool pprof: a state');
}


# panicparse, if it can be had

SKIP: {
    my $panicparse = panicparse() or skip 'no panicparse', 4;
    my $dump = dump_of($nginx);

    open $out, '>', "$tools/dump" or die $!;
    print $out $dump->{text};
    close $out or die $!;

    my ($code, $text) = run_command([ $panicparse, '-no-color', "$tools/dump" ]);
    is($code, 0, 'panicparse');

    my $sum = 0;
    $sum += $_ for $text =~ /^(\d+): /mg;
    is($sum, scalar @{ $dump->{list} }, 'panicparse: all of them');
    like($text, qr/^\d+: upstream header/m, 'panicparse: states');
    unlike($text, qr/^goroutine /m, 'panicparse: nothing is left over');
}

sub panicparse {
    my ($found) = grep { -x } map { "$_/panicparse" }
                  split(/:/, $ENV{PATH}), ($ENV{HOME} // '') . '/go/bin';
    return $found if $found || !have('go');

    my ($code) = run_command([ PprofTest::find('go'), 'install',
                               'github.com/maruel/panicparse/v2@v2.5.0' ],
                             bound => 120, env => { GOBIN => "$tools" });
    die "no panicparse\n" if $ENV{CI} && !-x "$tools/panicparse";

    return -x "$tools/panicparse" ? "$tools/panicparse" : undef;
}


# Many at once: by as many users as there are, whoever is asked answers.

{
    my @jobs = map { $nginx->background("$url?debug=2") } 1 .. 10;
    my @bad = grep { $_->{status} != 200 || $_->{content} !~ /upstream header/
                     || $_->{content} =~ /^# missing/m } map { $_->result(60) } @jobs;
    is(scalar @bad, 0, 'ten at once');
}

is($nginx->alive, 1, 'still there');
$nginx->stop;
is_deeply([ $nginx->alerts ], [], 'no alert');


# A worker that hangs is told of by another one: its threads, and what it served.

{
    my $nginx = start_nginx(%config, workers => 2);
    my $hang = $nginx->background('/hang?how=spin&ms=600000');
    my ($dump, $g, $text);

    ok(wait_for(sub {
           $dump = eval { dump_of($nginx) } or return 0;
           ($g) = grep { grep { $_ eq 'hosted_hang' } @{ $_->{frames} } } @{ $dump->{list} };
           return $g && $dump->{text} =~ /^# missing: .* does not answer/m;
       }, 60), 'hung') or diag $dump->{text};

    is($g->{state}, 'running', 'hung: its state');
    is($g->{location}, '/hang', 'hung: what it served');
    is_deeply($dump->{problems}, [], 'hung: well formed');
    like($dump->{text}, qr/^# missing: worker $g->{worker} pid \d+: its requests and connections: its event loop does not answer, held for \d/m,
         'hung: since when');

    my $other = 1 - $g->{worker};
    ok((grep { ($_->{worker} // -1) == $other && $_->{state} eq 'profiling' }
        @{ $dump->{list} }), 'hung: the other answers');

    my $p = $nginx->profile($url);
    ok((grep { /^missing: / } $p->comments), 'hung: comments');

    is($nginx->get("$url?debug=2&worker=$other")->{content} =~ /missing/ ? 1 : 0, 0,
       'hung: the other alone');

    $hang->hang_up;
    $nginx->stop;
}


# Stopped: not even its service thread answers.

{
    my $nginx = start_nginx(%config, workers => 2);
    my @pids = $nginx->worker_pids;
    my $dump;

    kill STOP => $pids[0];

    ok(wait_for(sub {
           $dump = eval {
               my $res = $nginx->get("$url?debug=2", timeout => 5);
               die if $res->{status} != 200;
               $res->{content};
           } // '';
           return $dump =~ /^# missing: .* its threads, which do not answer/m;
       }, 60), 'stopped: said') or diag $dump;

    kill CONT => $pids[0];
    $nginx->stop;
}


# More than there is room for.

{
    my $nginx = start_nginx(%config, http_config => $config{http_config}
                                                    . "\npprof_memory 1m;");
    my @idle = map { client($nginx, request('GET /ok')) } 1 .. 1500;
    my $p;

    ok(wait_for(sub { $p = $nginx->profile($url);
                      return grep { /^missing: .* had no room/ } $p->comments }, 60),
       'full: said') or diag join "\n", $p->comments;
    is_deeply([ $p->problems ], [], 'full: valid');
    is($nginx->quit(60), 0, 'full: quit');
}


# The index has one request of each worker: what it waits for, and where.

{
    my $nginx = start_nginx(http_config => 'pprof_production off;', config => qq{
        location /debug/pprof { pprof auto; }
        location ~ "^/<b>&?" { proxy_pass http://127.0.0.1:@{[ $mute->sockport ]}; }
        location /later { proxy_pass http://127.0.0.1:@{[ $mute->sockport ]}; }
    });
    my $oldest = qr{s: <a href="goroutine\?debug=2&amp;pid=\d+">upstream header</a> <code>};
    my $index = sub { $nginx->get('/debug/pprof/')->{content} };

    unlike($index->(), qr{<a href="goroutine\?debug=2&amp;pid}, 'oldest: none');

    my $first = client($nginx, request('GET /%3Cb%3E&secret'));

    ok(wait_for(sub { $index->() =~ $oldest }, 60), 'oldest: one');

    my $second = client($nginx, request('GET /later'));

    ok(wait_for(sub { in_state(dump_of($nginx), 'upstream header') == 2 }, 60),
       'oldest: another one');
    like($index->(), qr{$oldest~ \^/&lt;b&gt;&amp;\?</code>}, 'oldest: its location');
    unlike($index->(), qr{secret|<b>|/later}, 'oldest: no URI, and no other location');
    $nginx->stop;
}


# Ten thousand idle connections, and load.

SKIP: {
    my $n = 10_000;
    my ($code, $limit) = run_command([ 'sh', '-c', 'ulimit -n' ]);

    skip "limit of $limit descriptors", 4 if $limit =~ /^\d+$/ && $limit < $n + 500;

    my $nginx = start_nginx(%config, workers => 2, connections => 12_000,
                            listen => 'backlog=4096',
                            main_config => 'worker_rlimit_nofile 13000;');

    my @idle;

    for (1 .. $n) {
        push @idle, client($nginx, request('GET /ok'));
        sleep 0.002 if $_ % 100 == 0;
    }

    my $dump;

    ok(wait_for(sub { $dump = dump_of($nginx);
                      in_state($dump, 'keepalive') == $n }, 120), 'idle: all')
        or diag scalar in_state($dump, 'keepalive');

    my $load = $nginx->load('/ok', seconds => 6, connections => 50);
    sleep 0.5;

    my $start = time;
    $dump = dump_of($nginx);
    my $took = time - $start;

    cmp_ok(scalar in_state($dump, 'keepalive'), '>=', $n, 'load: all of them');
    is_deeply($dump->{problems}, [], 'load: well formed');
    cmp_ok($took, '<', 10, 'load: soon');

    # the loop is given back after each slice

    my $p = $nginx->profile($url);
    my ($longest) = sort { $b <=> $a } map { /, ([\d.]+) at once/ } $p->comments;
    note "answered in $took s, the loop was held for $longest ms at once";
    cmp_ok($longest, '<', 100, 'load: the loop is not held');

    $load->stop;
    $nginx->stop;
}

done_testing();
