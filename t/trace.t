
# Copyright (C) the maintainers of nginx pprof

# The execution trace of a real nginx in the real go tool trace: nothing is
# refused, tasks are the access log's requests, and waits, calls and work have
# the times that are known.  TRACE_WINDOWS=N takes N pairs of random windows;
# TRACE_GO="1.22.12 1.27.4" tries the tools of these versions of Go, too, which go
# fetches where they are not there.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Pprof::Slow;
use Pprof::Trace;
use IO::Socket::INET ();
use Test::More;
use Time::HiRes qw( sleep time );

needs('curl');
needs('go');

my $windows = $ENV{TRACE_WINDOWS} // 12;
my @versions = split ' ', $ENV{TRACE_GO} // '';
my $slow = Pprof::Slow->upstream;
my ($tls_port, $tls_listen) = tls_listen();
my $dead_port = free_port();
my $out = temp_dir();

my $locations = qq{
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    location /debug/pprof { pprof auto; access_log off; }
    location = /empty { return 204; }
    location /static/ { alias \$DIR/html/; }
    location = /slow { proxy_pass http://127.0.0.1:$slow->{port}; }
    location /proxy/ { proxy_pass http://127.0.0.1:\$PORT/static/; }
    location = /sub { add_before_body /static/small; add_after_body /proxy/small; addition_types *; alias \$DIR/html/small; }
    location = /disk { alias \$DIR/html/big; aio threads; directio 512; gzip off; }
    location = /limited { limit_req zone=limit burst=100; alias \$DIR/html/small; }
    location = /dead { proxy_pass http://127.0.0.1:$dead_port; }
    location = /sleep { hosted block ms=300; }
    location = /hang { hosted hang ms=1000; }
    location = /trace { hosted trace ms=4; }
    location \@named { return 200 named; }
    location = /named { error_page 404 = \@named; alias \$DIR/html/nothing; }
};

my $nginx = start_nginx(workers => 2, connections => 1024,
    main_config => 'pcre_jit on;', http_config => qq{
    pprof_production off;
    log_format where '\$server_port \$uri \$status \$upstream_header_time';
    access_log \$DIR/logs/where.log where;
    limit_req_zone \$server_name zone=limit:1m rate=20r/s;
    server {
        $tls_listen
        server_name tls;
        root \$DIR/html;
        access_log \$DIR/logs/where.log where;
        $locations
    }
}, config => "access_log \$DIR/logs/where.log where; $locations");

my ($port, $dir) = ($nginx->port, $nginx->dir);

PprofTest::spew("$dir/html/small", "small\n");
PprofTest::spew("$dir/html/big", join '', map { "line $_\n" } 1 .. 100_000);

sub trace {
    my ($query, $name) = @_;

    return $nginx->background("/debug/pprof/trace?$query"), "$out/$name";
}

sub saved {
    my ($job, $path) = @_;

    return kept($job->result, $path);
}

sub kept {
    my ($res, $path) = @_;

    is($res->{status}, 200, 'answer') or diag explain $res;
    PprofTest::spew($path, $res->{content});

    return $res;
}

# Workers may have to wait for a CPU: what they say of themselves has that time, or
# has it not, and the trace the other way round.

sub near {
    my ($got, $expected, $late, $what) = @_;
    my $most = 0.1 * $expected;

    $late = $most if $late > $most;

    ok(abs($got - $expected) < 0.02 * $expected + $late,
       sprintf '%s: %.4f of %.4f s, %.4f late', $what, $got, $expected, $late);
}

sub late {
    my $sum = 0;
    $sum += late_ns($_) for $nginx->worker_pids;
    return $sum / 1e9;
}


# A window that all of these requests are in.

my @requests = (
    [ 6, 'empty' ], [ 5, 'static/small' ], [ 4, 'static/big' ],
    [ 4, 'slow?header=400&body=50' ], [ 3, 'proxy/small' ], [ 3, 'sub' ],
    [ 2, 'disk' ], [ 4, 'limited' ], [ 3, 'named' ], [ 2, 'nowhere' ],
    [ 2, 'trace' ], [ 2, 'dead' ],
);

my (@sleeps, @hangs, $logged, $late);

my ($res) = $nginx->window('/debug/pprof/trace', 9, sub {
    my @running;

    @sleeps = @hangs = ();
    $logged = -s "$dir/logs/where.log";
    $late = late();

    like($nginx->get('/debug/pprof/')->{content}, qr/href="trace/, 'index');

    for my $kind (@requests) {
        my ($n, $uri) = @$kind;
        my $sep = $uri =~ /\?/ ? '&' : '?';

        push @running, fetch('-k', '--http2', '--parallel',
            "https://127.0.0.1:$tls_port/$uri${sep}x=[1-$n]");
        push @running, fetch('-k', "http://127.0.0.1:$port/$uri${sep}x=[1-$n]");
    }

    $_->result for @running;

    for (1 .. 2) {
        push @sleeps, $nginx->hosted('/sleep')->{delay_ns} / 1e9;
        push @hangs, $nginx->hosted('/hang')->{delay_ns} / 1e9;
    }

    # one without a request line that makes sense

    my $bad = IO::Socket::INET->new("127.0.0.1:$port") or die $!;
    print $bad "\x01\r\n\r\n";
    { local $/; my $answer = <$bad>; }
    close $bad;

    $late = late() - $late;
});

my $path = "$out/kinds";

kept($res, $path);

is($res->{headers} =~ /^Content-Type: (\S+)/mi ? $1 : '',
   'application/octet-stream', 'type');
like($res->{headers}, qr/filename="trace"/, 'file name');
is(substr($res->{content}, 0, 16), "go 1.22 trace\0\0\0", 'header');

my $t = eval { Pprof::Trace->read($path) };

ok($t, 'go tool trace reads it') or do { diag $@; done_testing; exit };
is($t->{misnested}, undef, 'regions are within each other');


# /usertasks: one type for each location, as many as the access log has

my %of = (
    '/empty' => '= /empty', '/static/small' => '/static/',
    '/static/big' => '/static/', '/slow' => '= /slow',
    '/proxy/small' => '/proxy/', '/sub' => '= /sub', '/disk' => '= /disk',
    '/limited' => '= /limited', '/named' => '@named', '/nowhere' => '',
    '/sleep' => '= /sleep', '/hang' => '= /hang', '/trace' => '= /trace',
    '/dead' => '= /dead',
);

my (%logged, $header);

for (split /\n/, PprofTest::slurp("$dir/logs/where.log", $logged)) {
    my ($at, $uri, $status, $time) = split ' ';
    my $server = $at == $tls_port ? 'tls' : 'localhost';
    my $location = $of{$uri} // '';

    $logged{ $server . (length $location ? " $location" : '') }++;
    $header += $time if $uri eq '/slow';
}

my %tasks = %{ $t->{tasks} };

delete $tasks{ 'localhost /debug/pprof' };
is(delete $tasks{nightly}, 4, 'tasks of hosted code');
is_deeply(\%tasks, \%logged, 'tasks are those of the access log');
is_deeply([ grep { !m{/debug/pprof} } keys %{ $t->{open} } ], [],
          'all of them ended');


# times

near($t->time('Waiting', sub { my ($reason, @f) = @_;
         $reason eq 'network' && grep { $_ eq 'location = /slow' } @f
             and $f[0] =~ /^upstream (?:connect|send|header)$/ }),
     $header, $late, 'network');
near($t->time('Syscall', sub { grep { $_ eq 'hosted_sleep' || /sleep/ } @_ }),
     $sleeps[0] + $sleeps[1], $late, 'calls');

cmp_ok($t->time('Running', sub { 1 }), '>', $hangs[0] + $hangs[1], 'running');

for my $hang (@hangs) {
    my ($closest) = sort { abs($a - $hang) <=> abs($b - $hang) }
                    map { $_->[1] eq 'Running' ? $_->[0] : () } @{ $t->{states} };

    near($closest, $hang, $late, 'a handler that runs');
}


# what the others are

cmp_ok($t->time('Waiting', sub { $_[0] eq 'sync (disk)' }), '>', 0, 'disk');
cmp_ok($t->time('Waiting', sub { $_[0] eq 'sync (subrequest)' }), '>', 0,
       'subrequests');
cmp_ok($t->time('Waiting', sub { $_[0] eq 'delayed by limit_req' }), '>', 0.1,
       'limit_req');

is(scalar(keys %{ $t->{roots}{'http2 stream'} }),
   scalar(grep { $_ } map { (1) x $_->[0] } @requests), 'streams');
is(scalar(keys %{ $t->{roots}{subrequest} }), 12, 'subrequests');
ok($t->{roots}{"http connection 127.0.0.1:$port"}, 'connections');
ok($t->{regions}{$_}, "region $_") for 'content', 'rewrite', 'upstream connect',
    'upstream header', 'work';
ok((grep { $_->[0] eq 'status' && $_->[1] =~ /^200, \d+ bytes$/ }
    @{ $t->{logs} }), 'status and bytes');
is((grep { $_->[0] eq 'error'
           && $_->[1] eq 'error while connecting to upstream' }
    @{ $t->{logs} }), 4, 'lines of error.log');
ok((grep { $_->[0] eq 'hosted' && $_->[1] eq 'half' } @{ $t->{logs} }),
   'logs of hosted code');
cmp_ok($t->{memory}[-1] // 0, '>', 1e6, 'memory');
unlike($res->{content}, qr/\?x=|nowhere/, 'no URIs');
is(scalar(keys %{ $t->{procs} }) >= 2, 1, 'both workers');


# What the tool makes of it, of each version: logs that are of no task have a row
# without a name.

my %listed = %{ $t->{tasks} };

$listed{$_} += $t->{open}{$_} for keys %{ $t->{open} };
$listed{''}++ if grep { $_->[2] == 0 } @{ $t->{logs} };

for my $version ('', @versions) {
    my $what = 'go ' . ($version || 'installed');
    my $pages = Pprof::Trace::pages($path, $version);

    is(Pprof::Trace::refused($path, $version), '', "$what: reads it");
    is_deeply($pages->{bad}, [], "$what: pages");
    is($pages->{said}, '', "$what: no complaint");
    is_deeply($pages->{tasks}, \%listed, "$what: tasks");
}


# CPU samples while somebody takes them, of one worker

my ($pid) = $nginx->worker_pids;
my $load = $nginx->load('/static/big', seconds => 60);
my $cpu = $nginx->background('/debug/pprof/profile?seconds=4&hz=250');

ok(wait_for(sub { process_state($pid)->{timers} }, 60), 'sampling');

my ($job, $cpu_path) = trace('seconds=1.5', 'cpu');
my ($one, $one_path) = trace("seconds=1.5&pid=$pid", 'one');
saved($job, $cpu_path);
saved($one, $one_path);
$cpu->result;
$load->stop;

cmp_ok(Pprof::Trace->read($cpu_path)->{samples}, '>', 0, 'CPU samples');

$t = Pprof::Trace->read($one_path);
is(join(' ', grep { -d "/proc/$pid/task/$_" } keys %{ $t->{procs} }),
   join(' ', keys %{ $t->{procs} }), 'one worker only');

like($nginx->get('/debug/pprof/trace?worker=77')->{content}, qr/No worker 77/,
     'no such worker');


# Nothing but what is asked for: a trace of at most so many events.

$load = $nginx->load('/empty', seconds => 120);

my @left_out;

for my $seconds (2, 8, 32) {
    ($job, $path) = trace("seconds=$seconds&events=20000", 'few');
    saved($job, $path);

    $t = Pprof::Trace->read($path);
    @left_out = map { $_->[1] =~ /(\d+) records were left out/ ? 1 : () }
                grep { $_->[0] eq 'pprof' } @{ $t->{logs} };

    # there may not have been so many
    last if @left_out;
}

is_deeply(\@left_out, [ 1 ], 'what was left out is said') or diag -s $path;
cmp_ok(-s $path, '<', 20_000 * 12, 'few events');
$load->stop;


# One of two connections, whole.

my $half = start_nginx(http_config => q{
    pprof_production off;
    pprof_trace_sample 2;
    log_format number '$connection $uri';
    access_log $DIR/logs/number.log number;
}, config => q{
    access_log $DIR/logs/number.log number;
    location /debug/pprof { pprof auto; access_log off; }
    location = /empty { return 204; }
    location = /sub { add_before_body /small; addition_types *; alias $DIR/html/small; }
} . "location = /slow { proxy_pass http://127.0.0.1:$slow->{port}; }");

PprofTest::spew($half->dir . '/html/small', "small\n");

($res) = $half->window('/debug/pprof/trace', 8, sub {
    $logged = -s $half->dir . '/logs/number.log';

    $half->get($_ % 3 ? '/empty' : '/sub') for 1 .. 60;
    $half->get('/slow?header=1&body=1') for 1 .. 100;
});

$path = "$out/half";
kept($res, $path);
$t = Pprof::Trace->read($path);

# proxied, each takes two numbers

sub sampled {
    use integer;
    return ($_[0] * (0x9e3779b9 << 32 | 0x7f4a7c15) >> 32 & 0xffffffff) % 2 == 0;
}

my %part;

for (split /\n/, PprofTest::slurp($half->dir . '/logs/number.log',
                                   $logged)) {
    my ($number, $uri) = split ' ';
    $part{"localhost = $uri"}++ if sampled($number);
}

delete $t->{tasks}{'localhost /debug/pprof'};
is_deeply($t->{tasks}, \%part, 'a part of the connections');
is(scalar(keys %{ $t->{roots}{subrequest} || {} }), $part{'localhost = /sub'} // 0,
   'with their subrequests');
cmp_ok($part{'localhost = /slow'} // 0, '>', 25, 'of those that are proxied, too');
cmp_ok($part{'localhost = /slow'} // 0, '<', 75, 'and not all of these');
$half->stop;


# Random windows under load, reloads and kills.

my $most = 600 + 10 * $windows;
my @load = map { $nginx->load($_, seconds => $most, connections => 2) }
           '/static/small', '/proxy/small', '/sub',
           "https://127.0.0.1:$tls_port/sub";
my @refused;
my $seed = $ENV{TRACE_SEED} // time;

srand $seed;

for my $i (1 .. $windows) {
    my $seconds = sprintf '%.3f', 0.03 + rand 0.4;
    my $second = sprintf '%.3f', 0.03 + rand 0.4;
    my @jobs = map { [ trace("seconds=$_&events=60000", "random$_") ] }
               $seconds, $second;

    if ($i % 5 == 2) {
        $nginx->signal('HUP');

    } elsif ($i % 5 == 4) {
        my @pids = $nginx->worker_pids;
        kill 'SEGV', $pids[rand @pids];
    }

    for my $job (@jobs) {
        my $res = $job->[0]->result(120);

        # the worker that served it may have been the one that was killed

        next if $res->{exit};

        PprofTest::spew($job->[1], $res->{content});

        $nginx->{taken}++;

        if ($res->{status} != 200) {
            push @refused, "$i: status $res->{status}";
            next;
        }

        # of the others, the first windows: a reload and a crash are among them

        for my $version ('', $i > 5 ? () : @versions) {
            my $why = Pprof::Trace::refused($job->[1], $version);
            push @refused, "$i: $version: $why" if $why;
        }
    }
}

is_deeply(\@refused, [], "random windows, seed $seed");
cmp_ok($nginx->{taken}, '>', $windows, "windows: $nginx->{taken}");
$_->stop for @load;

ok($nginx->settled(60), 'settled');
is($nginx->get('/empty')->{status}, 204, 'serves on');
is_deeply([ grep { !/exited on signal 11/ } $nginx->alerts ], [], 'no alerts');

done_testing;
