# Copyright (C) the maintainers of nginx pprof

# Workers that die by a signal: where they did is in error.log and the index, what
# they recorded is in the next trace, and nginx sees what it always saw.  And
# traces that are written by themselves, at a crash or a stall.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Pprof::Trace;
use JSON::PP ();
use Test::More;

plan skip_all => 'the modules are not built'
    unless Pprof::modules('pprof', 'hosted') == 2;

my %config = (http_config => 'pprof_production off; pprof_stall_threshold off;',
              main_config => 'worker_rlimit_core 0;', config => q{
    location /debug/ { pprof auto; }
    location = /crash { hosted crash; }
    location ~ ^/hang$ { hosted hang; }
    location /text { hosted text kb=1; }
});


sub deaths { grep { /pprof: process \d+ .*died by/ } split /\n/, $_[0]->error_log }

# The rows of the index, the newest first.

sub died {
    my ($table) = $_[0]->get('/debug/pprof/')->{content} =~ m{<h2>Died</h2>(.*?)</table>}s;
    return grep { /<td/ } split /\n/, $table // '';
}


sub recorder {
    return JSON::PP::decode_json($_[0]->get("/debug/trace/recorder$_[1]")
                                 ->{content});
}


# Hangs, and gets a signal meanwhile; returns the process that it was.

sub hang {
    my ($nginx, $signal, $how) = @_;

    my $job = $nginx->background("/hang?how=$how&ms=60000");
    my ($victim) = $nginx->worker_pids;

    # it is in the function, when its loop's event has been there for a while

    wait_for { $nginx->{workers} == 1 && held($victim, $how) } 60;

    kill $signal => $victim;
    $job->result(120);

    return $victim;
}


# What the event loop does, by the kernel: it spins, or sleeps in no epoll.

sub held {
    my ($pid, $how) = @_;
    my ($call) = PprofTest::slurp("/proc/$pid/syscall") =~ /^(\S+)/;

    return $how eq 'spin' ? ($call // '') eq 'running' && cpu_moves($pid)
                          : ($call // '') =~ /^(230|35)$/;
}

sub cpu_moves {
    my $before = cpu_ns($_[0], $_[0]);
    select undef, undef, undef, 0.1;
    return cpu_ns($_[0], $_[0]) - $before > 3e6;
}


# each signal, in the middle of a request

{
    my $nginx = start_nginx(%config);
    my ($n, %victim) = (0);

    is_deeply([ deaths($nginx) ], [], 'nobody has died yet');
    unlike($nginx->get('/debug/pprof/')->{content}, qr/<h2>Died/,
           'index: nor is it there');

    for my $case ([ SEGV => 11, 'spin' ], [ BUS => 7, 'sleep' ],
                  [ ILL => 4, 'spin' ], [ FPE => 8, 'sleep' ],
                  [ ABRT => 6, 'spin' ])
    {
        my ($signal, $number, $how) = @$case;
        my $pid = hang($nginx, $signal, $how);

        ok((wait_for { deaths($nginx) > $n } 60), "$signal: it is told");

        my @lines = deaths($nginx);
        is(scalar @lines, ++$n, "$signal: once");
        like($lines[-1], qr/\[warn\] .*: pprof: process $pid \(worker 0\) died by /,
             "$signal: who");
        like($lines[-1], qr/died by SIG$signal, server "localhost", /,
             "$signal: by what");
        like($lines[-1], qr/, location "~ \^\/hang\$": .*hosted_hang/,
             "$signal: where");
        like($nginx->error_log,
             qr/\[alert\] .* worker process $pid exited on signal $number\b/,
             "$signal: nginx's own line");

        my $index = $nginx->get('/debug/pprof/')->{content};
        my ($row) = $index =~ m{<h2>Died.*?(<tr>[^\n]*>$pid</td>[^\n]*)}s;
        like($row, qr{<td>SIG$signal</td><td>server &quot;localhost&quot;},
             "$signal: in the index");
        like($row, qr/hosted_hang/, "$signal: in the index, where");
    }

    # abort()

    my ($pid) = $nginx->worker_pids;
    $nginx->curl('/crash');

    ok((wait_for { deaths($nginx) > $n } 60), 'abort(): it is told');
    like((deaths($nginx))[-1], qr/process $pid .*SIGABRT.*"= \/crash": .*hosted_crash/,
         'abort(): where');

    # the log of nginx tells of those that were killed, the index as well; nobody
    # is to be told of those that end

    ($pid) = $nginx->worker_pids;
    kill KILL => $pid;
    ok((wait_for { !grep { $_ == $pid } $nginx->worker_pids } 60), 'killed');
    ok($nginx->settled(60), 'a new one');

    my @rows = died($nginx);
    like($rows[0], qr{>0</td><td\ class="n">$pid</td><td\ class="n">\d+s</td>
                      <td>killed\ \(SIGKILL,\ or\ the\ kernel's\ OOM\ killer\)</td><td>}x,
         'killed: in the index');
    unlike($rows[0], qr/hosted_|location/, 'killed: nothing that it did not do');

    ok($nginx->reload, 'reload');
    ok($nginx->settled(60), 'settled');
    $nginx->get('/text');
    is(scalar(deaths($nginx)), $n + 1, 'no other line');
    is(scalar(died($nginx)), scalar(@rows), 'no other row');

    is($nginx->quit, 0, 'quit');
    is_deeply([ $nginx->alerts(qr/exited on signal/) ], [], 'no other alerts');
}


# one that hangs, and is killed therefore: what it was held in is known

{
    my $nginx = start_nginx(%config, workers => 2, http_config =>
        'pprof_production off; pprof_stall_threshold 50ms;');
    my $job = $nginx->background('/hang?how=sleep&ms=60000');
    my $pid;

    # before that, what is asked may come to the same worker, and wait with it

    ok((wait_for { ($pid) = grep { held($_, 'sleep') } $nginx->worker_pids } 60),
       'hangs: one of them');
    ok((wait_for {
        $nginx->get('/debug/pprof/')->{content} =~ /loop is held for[^\n]*hosted_hang/;
    } 60), 'hangs: the index says so');

    kill KILL => $pid;
    $job->result(120);

    ok((wait_for { $nginx->worker_pids == 2 && died($nginx) } 60), 'hangs: killed');
    like((died($nginx))[0],
         qr{>$pid</td>.*<td>killed[^<]*</td><td>its\ event\ loop\ was\ held,
            \ server\ &quot;localhost&quot;,\ location\ &quot;~\ \^/hang\$&quot;:
            \ [^<]*hosted_hang[^<]*;\ RSS\ \d+\.\d\ MiB}x, 'hangs: in what');
    is($nginx->quit, 0, 'hangs: quit');
}


# the trace that is written by itself, and what the dead recorded

for my $on (1, 0) {
    my $nginx = start_nginx(%config, workers => 2, http_config =>
        $config{http_config} . ($on ? '' : ' pprof_trace_on_crash off;'));

    # not while nothing is recorded

    $nginx->curl('/crash');
    ok((wait_for { deaths($nginx) == 1 } 60), 'a crash');
    is(recorder($nginx, '')->{crash}, undef, 'no trace without the recorder');

    is(recorder($nginx, '/run?duration=30m')->{state}, 'running', 'run');
    $nginx->curl('/crash');
    ok((wait_for { deaths($nginx) == 2 } 60), 'another one');

    if (!$on) {
        is(recorder($nginx, '/stop')->{crash}, undef, 'off: none');
        is($nginx->get('/debug/trace/recorder/trace.out.crash')->{status}, 404,
           'off: nothing to be fetched');
        next;
    }

    ok((wait_for { recorder($nginx, '')->{crash} } 60), 'a trace is written');
    is(recorder($nginx, '')->{state}, 'running', 'it goes on');
    is(recorder($nginx, '')->{trace}, undef, 'the other file is not touched');

    my $res = $nginx->get('/debug/trace/recorder/trace.out.crash');
    is($res->{status}, 200, 'it can be fetched');
    is($res->{headers}{'content-disposition'},
       'attachment; filename="trace.out.crash"', 'under its name');
    is(substr($res->{content}, 0, 13), 'go 1.22 trace', 'a trace');

    SKIP: {
        skip 'no go', 2 if !have('go') && !$ENV{CI};

        my ($dead) = (deaths($nginx))[-1] =~ /pprof: process (\d+) /;
        my $t = Pprof::Trace->read($nginx->dir . '/pprof/trace.out.crash');

        ok($t->{procs}{$dead}, 'the dead one is in it');
        is($t->{open}{'localhost = /crash'}, 1, 'and what it died of');
    }

    is(recorder($nginx, '/stop')->{state}, 'stopped', 'stop');
    is($nginx->quit, 0, 'quit');
}


# at a stall

{
    my $nginx = start_nginx(%config, workers => 2, http_config =>
        'pprof_production off; pprof_stall_threshold 50ms; '
        . 'pprof_trace_on_stall 1000ms;');

    is(recorder($nginx, '/run?duration=30m')->{state}, 'running', 'stall: run');

    # on a busy machine a loop may be held without us; never so long

    $nginx->hosted('/hang?how=sleep&ms=100');
    is(recorder($nginx, '')->{stall}, undef, 'a short one: no trace');

    $nginx->hosted('/hang?how=sleep&ms=1500');
    ok((wait_for { recorder($nginx, '')->{stall} } 60), 'a long one: a trace');
    is($nginx->get('/debug/trace/recorder/trace.out.stall')->{status}, 200,
       'it can be fetched');

    my $first = recorder($nginx, '')->{stall}{written};

    $nginx->hosted('/hang?how=spin&ms=1500');
    is(recorder($nginx, '')->{stall}{written}, $first, 'once a minute');
    is(recorder($nginx, '/stop')->{state}, 'stopped', 'stall: stop');
}


# at a stall that goes on and on, of which the file cannot be written

{
    my $nginx = start_nginx(%config, workers => 2, http_config =>
        'pprof_production off; pprof_stall_threshold 50ms; '
        . 'pprof_trace_on_stall 300ms;');
    my $dir = $nginx->dir . '/pprof';
    my $failed = qr/\[warn\] [^\n]* pprof: cannot write the trace: /;

    is(recorder($nginx, '/run?duration=30m')->{state}, 'running', 'lasts: run');
    rename $dir, "$dir.away" or die "rename: $!";

    $nginx->hosted('/hang?how=sleep&ms=3000');

    ok((wait_for { $nginx->error_log =~ $failed } 60), 'lasts: the log says why');
    ok((wait_for { $nginx->error_log =~ /event loop was held for/ } 60),
       'lasts: it is over');
    is(scalar(() = $nginx->error_log =~ /$failed/g), 1, 'lasts: once');

    rename "$dir.away", $dir or die "rename: $!";
    is(recorder($nginx, '/stop')->{state}, 'stopped', 'lasts: stop');
}

done_testing();
