# Copyright (C) the maintainers of nginx pprof

# The flight recorder: every state, every error, what becomes of it when workers
# die or nginx reloads, and its file.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use HTTP::Tiny ();
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw( sleep time );

my $base = '/debug/trace/recorder';
my $header = "go 1.22 trace\0\0\0";

my %config = (http_config => 'pprof_production off;', config => q{
    location /debug/ { pprof auto; }
    location /text { hosted text kb=10; }
});


# The answer's status and its JSON.

sub ask {
    my ($nginx, $path, %opt) = @_;
    my $res = $nginx->get("$base$path", %opt);
    my $json = eval { JSON::PP::decode_json($res->{content}) };

    return ($res->{status}, $json // { error => "no JSON: $res->{content}" });
}

sub status { (ask(@_))[0] }
sub state { (ask($_[0], ''))[1] }
sub running { state($_[0])->{state} eq 'running' }
sub dir { $_[0]->dir . '/pprof' }
sub file { PprofTest::slurp(dir($_[0]) . '/trace.out') }

# Whether it is a header and batches, the last of which has all its bytes.

sub whole {
    my ($file) = @_;
    my ($at, $batches) = (length $header, 0);

    return 0 if substr($file, 0, $at) ne $header;

    for ( ; $at < length $file; $batches++) {
        return 0 if ord substr($file, $at++, 1) != 1;

        # generation, thread, time, size

        my $size;

        for (1 .. 4) {
            pos($file) = $at;
            return 0 unless $file =~ /\G([\x80-\xff]{0,9}[\x00-\x7f])/g;
            $at += length $1;
            $size = 0;
            $size = $size << 7 | ord($_) & 0x7f for reverse split //, $1;
        }

        $at += $size;
    }

    return $batches > 2 && $at == length $file;
}


sub leftover { grep { !m{/trace\.out(\.crash|\.stall)?$} } glob dir($_[0]) . '/{.,}*[a-z]*' }


# Bad values, the limits, and each command where it has no meaning.

{
    my $nginx = start_nginx(%config, workers => 2);

    my ($status, $json) = ask($nginx, '');
    is($status, 200, 'state: status');
    is_deeply($json, { state => 'stopped', trace => undef, crash => undef,
                       stall => undef }, 'state: nothing yet');

    for my $command (qw( stop snapshot )) {
        ($status, $json) = ask($nginx, "/$command");
        is($status, 409, "$command without run: status");
        is_deeply($json, { error => 'not running' }, "$command without run");
    }

    ($status, $json) = ask($nginx, '/trace.out');
    is($status, 404, 'no file yet: status');
    like($json->{error}, qr/^no such trace has been written: run the recorder/,
         'no file yet');

    # one that an nginx before has left; nobody follows a link

    my $left = dir($nginx) . '/trace.out';
    my ($uid, $gid) = (stat '/proc/' . ($nginx->worker_pids)[0])[4, 5];

    PprofTest::spew($left, 'x' x 3000);
    chown $uid, $gid, $left or die "$left: $!";
    utime 86400, 86400, $left or die "$left: $!";
    is_deeply(state($nginx)->{trace}, { name => 'trace.out', bytes => 3000,
                                        written => '1970-01-02T00:00:00Z' },
              'an earlier one: told');
    like($nginx->get('/debug/pprof/')->{content},
         qr{>trace\.out</a>, 2\.9&nbsp;KiB, 1970-01-02&nbsp;00:00:00&nbsp;UTC},
         'an earlier one: index');

    rename $left, "$left.other" or die $!;
    symlink "$left.other", $left or die $!;
    is(state($nginx)->{trace}, undef, 'a link: not told');
    unlink $left, "$left.other";

    my %wrong = (
        qr/^"duration" is required/ => [ '', '?duration=', '?durations=1s' ],
        qr/must be a duration as in Go/ => [ map { "?duration=$_" }
            qw( x 30 1 -5 .s 1.5 30S 1m30 s ms 1..5s 1d 30s%20 %2030s 1e3s
                0x1s 9223372036854775807h 30s%00 +-1s ) ],
        qr/must be more than 0/ => [ map { "?duration=$_" }
            qw( 0 0s -1s -0.5h 0.0ns -0 %2b0s 0.9ns ) ],
        qr/"events" - must be a positive integer, 20000000 at most/ => [ map {
            "?duration=1s&events=$_" } '', qw( 0 -1 x 1.5 20000001 99999999999999999999 ) ],
        qr/must be 1800s at most/ => [ map { "?duration=$_" }
            qw( 30m1s 30m0.000000001s 1h 1800.1s 1800001ms 2562047h ) ],
    );

    for my $text (sort keys %wrong) {
        for my $args (@{ $wrong{$text} }) {
            ($status, $json) = ask($nginx, "/run$args");
            is($status, 400, "run$args: status");
            like($json->{error}, qr/$text/, "run$args");
        }
    }

    ok(!running($nginx), 'none of these has started it');

    # the longest, and its spellings

    for my $duration (qw( 30m 0.5h 1800s 29m60s 1799999ms1000us %2b1ns
                          1h-30m 1m30s 500ms .5s 5.s 10%c2%b5s 10%ce%bcs ))
    {
        if ($duration =~ /-/) {
            is(status($nginx, "/run?duration=$duration"), 400, $duration);
            next;
        }

        ($status, $json) = ask($nginx, "/run?duration=$duration");
        is($status, 200, "run $duration: status");

        # the shortest are over by now
        wait_for { status($nginx, '/stop') =~ /^(200|409)$/ && !running($nginx) } 60;
    }

    # twice

    ($status, $json) = ask($nginx, '/run?duration=30m');
    is($status, 200, 'run: status');
    is($json->{state}, 'running', 'run: it runs');
    cmp_ok($json->{remaining_seconds}, '>', 1790, 'run: so long');
    cmp_ok($json->{remaining_seconds}, '<=', 1800, 'run: no longer');

    ($status, $json) = ask($nginx, '/run?duration=1s');
    is($status, 409, 'twice: status');
    is_deeply($json, { error => 'already running' }, 'twice');

    $json = state($nginx);
    is($json->{state}, 'running', 'twice: the first one goes on');
    cmp_ok($json->{remaining_seconds}, '>', 1700, 'twice: as long as it was');

    # who asks for headers only, or wrongly, changes nothing

    is($nginx->get("$base/stop", method => 'HEAD')->{status}, 200, 'HEAD');
    ok(running($nginx), 'HEAD does not stop it');

    for my $path ('', '/run', '/stop', '/snapshot', '/trace.out') {
        my $res = $nginx->get("$base$path", method => 'POST', content => '');
        is($res->{status}, 405, "POST $path");
        is($res->{headers}{allow}, 'GET, HEAD', "POST $path: what is allowed");
    }

    for my $path ('/stop', '/run?duration=1s', '/trace.out') {
        my $res = $nginx->get("$base$path",
                              headers => { 'Sec-Fetch-Site' => 'cross-site' });
        is($res->{status}, 403, "from another site: $path");
    }

    for my $path ('/', '/x', '/run/', '/stopp', '/trace', '/trace.out.x') {
        is($nginx->get("$base$path")->{status}, 404, "unknown: $path");
    }

    ok(running($nginx), 'nothing of that has stopped it');

    # a snapshot, and it goes on; its file

    ($status, $json) = ask($nginx, '/snapshot');
    is($status, 200, 'snapshot: status');
    is($json->{state}, 'running', 'snapshot: it goes on');
    is($json->{trace}{name}, 'trace.out', 'snapshot: what it wrote');
    is($json->{trace}{bytes}, -s dir($nginx) . '/trace.out', 'snapshot: size');
    is(substr(file($nginx), 0, 16), $header, 'snapshot: a trace');
    cmp_ok($json->{trace}{events}, '>', 10, 'snapshot: events');
    is($json->{trace}{overwritten}, 0, 'snapshot: it had room');
    is($json->{trace}{left_out}, 0, 'snapshot: nothing was left out');

    my @dir = stat dir($nginx);
    my @file = stat dir($nginx) . '/trace.out';
    my ($worker) = $nginx->worker_pids;
    my $owner = (stat "/proc/$worker")[4];

    is(sprintf('%o', $dir[2] & 07777), '700', 'mode of the directory');
    is(sprintf('%o', $file[2] & 07777), '600', 'mode of the file');
    is($dir[4], $owner, 'owner of the directory: that of the workers');
    is($file[4], $owner, 'owner of the file');
    is_deeply([ leftover($nginx) ], [], 'nothing else is there');

    my $res = $nginx->get("$base/trace.out");
    is($res->{status}, 200, 'download: status');
    is($res->{content}, file($nginx), 'download: the file');
    is($res->{headers}{'content-length'}, length file($nginx),
       'download: length');
    is($res->{headers}{'content-type'}, 'application/octet-stream',
       'download: type');
    is($res->{headers}{'content-disposition'},
       'attachment; filename="trace.out"', 'download: name');
    is($nginx->get("$base/trace.out", method => 'HEAD')
       ->{headers}{'content-length'}, length file($nginx), 'download: HEAD');

    # several at once

    my @at_once = map { $nginx->background("$base/snapshot") } 1 .. 8;
    is_deeply([ map { $_->result(120)->{status} } @at_once ], [ (200) x 8 ],
              'snapshots at the same time');

    # the index of any worker

    my $index = $nginx->get('/debug/pprof/')->{content};
    like($index, qr{trace/recorder">Running</a> for }, 'index: it runs');
    like($index, qr{Written last: <a href="\.\./trace/recorder/trace\.out">},
         'index: the file');

    # the end

    ($status, $json) = ask($nginx, '/stop');
    is($status, 200, 'stop: status');
    is($json->{state}, 'stopped', 'stop');
    ok(whole(file($nginx)), 'stop: a trace');
    ok(!whole(substr file($nginx), 0, -1), 'stop: which can be told from a part');
    is(status($nginx, '/stop'), 409, 'stop: once');
    is(status($nginx, '/snapshot'), 409, 'no snapshot after it');

    # two that stop it at once: one did it

    is(status($nginx, '/run?duration=1m'), 200, 'run again');
    @at_once = map { $nginx->background("$base/stop") } 1 .. 4;
    is_deeply([ sort map { $_->result(120)->{status} } @at_once ],
              [ 200, 409, 409, 409 ], 'stop four times at once');

    # two that start it

    @at_once = map { $nginx->background("$base/run?duration=1m") } 1 .. 4;
    is_deeply([ sort map { $_->result(120)->{status} } @at_once ],
              [ 200, 409, 409, 409 ], 'run four times at once');

    is(status($nginx, '/stop'), 200, 'stop');

    # traces beside it, which have their own time

    is(status($nginx, '/run?duration=30m'), 200, 'run');

    my @traces = map { $nginx->background("/debug/pprof/trace?seconds=$_") }
                 qw( 0.2 0.4 );
    my $long = $nginx->background('/debug/pprof/trace?seconds=600');

    for my $trace (@traces) {
        my $got = $trace->result(120);
        is($got->{status}, 200, 'a trace beside it: status');
        is(substr($got->{content}, 0, 16), $header, 'a trace beside it');
        like($got->{headers},
             qr/^Content-Disposition: attachment; filename="trace"\r$/m,
             'a trace beside it: name');
    }

    ok(running($nginx), 'it goes on');
    is(status($nginx, '/stop'), 200, 'stop, while a trace goes on');
    ok(!$long->done, 'which does not end by that');

    $long->hang_up;

    # by itself

    is(status($nginx, '/run?duration=300ms'), 200, 'run 300ms');
    ok((wait_for { !running($nginx) } 60), 'it ends by itself');
    cmp_ok(state($nginx)->{trace}{bytes}, '==', length file($nginx),
           'and has written');
    is(status($nginx, '/stop'), 409, 'not running any more');

    # an old end is no end of a later one

    is(status($nginx, '/run?duration=600ms'), 200, 'run 600ms');
    is(status($nginx, '/stop'), 200, 'stop before the end');
    is(status($nginx, '/run?duration=30m'), 200, 'run 30m');
    sleep 1;
    ok(running($nginx), 'the end of the first is not that of the second');
    is(status($nginx, '/stop'), 200, 'stop');

    # stop races the end: somebody writes, and the next one lives

    my %got;

    for my $turn (1 .. 20) {
        is(status($nginx, '/run?duration=40ms'), 200, "race $turn: run")
            or last;
        sleep 0.04 * rand(1.5);
        $got{ status($nginx, '/stop') }++;

        ok((wait_for { !running($nginx) } 60), "race $turn: over");
    }

    diag join ', ', map { "$_: $got{$_}" } sort keys %got;
    is_deeply([ grep { !/^(200|409)$/ } keys %got ], [],
              'race: done, or done already');
    is(status($nginx, '/run?duration=30m'), 200, 'race: then a longer one');
    sleep 0.5;
    ok(running($nginx), 'race: which lives');
    is(status($nginx, '/stop'), 200, 'stop');
    is_deeply([ leftover($nginx) ], [], 'nothing is left over');

    # nginx ends while it runs

    is(status($nginx, '/run?duration=30m'), 200, 'run');
    unlink dir($nginx) . '/trace.out';
    $nginx->get('/text');
    is($nginx->quit, 0, 'quit while it runs');
    is(substr(file($nginx), 0, 16), $header, 'quit: it is written');
    is_deeply([ $nginx->alerts ], [], 'no alerts');
    is_deeply([ leftover($nginx) ], [], 'nothing is left over');
}


# The longest window is the recorder's, too.

{
    my $nginx = start_nginx(%config, http_config =>
                            'pprof_production off; pprof_max_duration 20s;');

    my ($status, $json) = ask($nginx, '/run?duration=20.5s');
    is($status, 400, 'pprof_max_duration: status');
    like($json->{error}, qr/must be 20s at most/, 'pprof_max_duration');
    is(status($nginx, '/run?duration=20s'), 200, 'pprof_max_duration: as long');

    $nginx->configure(http_config => 'pprof_production off; '
                                     . 'pprof_max_duration 24h;');
    ok($nginx->reload, 'reload');
    is(status($nginx, '/stop'), 200, 'stop after the reload');
    is(status($nginx, '/run?duration=30m1s'), 400, 'never more than 30 minutes');
}


# Without permission every path is the same.

{
    my $nginx = start_nginx(%config, config => q{
        location /debug/ { pprof on; pprof_bearer secret; }
    });

    for my $path ('', '/run', '/run?duration=1s', '/stop', '/snapshot',
                  '/trace.out', '/trace.out.crash', '/nothing')
    {
        my $res = $nginx->get("$base$path");
        is($res->{status}, 401, "no token: $path");
        like($res->{headers}{'content-type'}, qr{^text/plain}, "text: $path");
        is($nginx->get("$base$path", method => 'POST', content => '')
           ->{status}, 401, "no token: POST $path");
    }

    my $get = sub { $nginx->get("$base$_[0]", token => 'secret')->{status} };

    is($get->('/stop'), 409, 'with it: nothing has started it');
    is($get->('/run?duration=1m'), 200, 'with it: run');
    is($get->('/stop'), 200, 'with it: stop');
}


# Workers that die, and reloads: the recording is nobody's.

{
    my $nginx = start_nginx(%config);

    # all that were there die, one after the other

    is(status($nginx, '/run?duration=30m'), 200, 'run');

    for my $turn (1, 2) {
        my ($victim) = $nginx->worker_pids;
        kill KILL => $victim;

        ok((wait_for { !grep { $_ == $victim } $nginx->worker_pids } 60),
           'it dies');
        ok($nginx->settled(60), 'another one comes');
        ok(running($nginx), 'and goes on recording');
    }

    is(status($nginx, '/snapshot'), 200, 'snapshot of the dead and the living');
    is(status($nginx, '/stop'), 200, 'stop');

    # dies before its time is over

    is(status($nginx, '/run?duration=2s'), 200, 'run 2s');
    kill KILL => $nginx->worker_pids;
    ok((wait_for { $nginx->worker_pids && !running($nginx) } 60),
       'another one ends it');
    is(substr(file($nginx), 0, 16), $header, 'with a file');

    # one that is ended by hand is not all of them

    is(status($nginx, '/run?duration=30m'), 200, 'run');

    for my $signal (qw( TERM QUIT )) {
        my ($victim) = $nginx->worker_pids;
        unlink dir($nginx) . '/trace.out';
        kill $signal => $victim;

        ok((wait_for { !grep { $_ == $victim } $nginx->worker_pids } 60),
           "$signal of one: it ends");
        is(substr(file($nginx), 0, 16), $header, "$signal of one: it writes");
        ok($nginx->settled(60), "$signal of one: another one comes");
        ok(running($nginx), "$signal of one: and goes on recording");
    }

    is(status($nginx, '/stop'), 200, 'stop');

    # reload

    is(status($nginx, '/run?duration=30m'), 200, 'run');
    ok($nginx->reload(workers => 2), 'reload');
    ok($nginx->settled(60), 'the old worker ends');
    ok(running($nginx), 'it runs on');
    is(status($nginx, '/run?duration=1s'), 409, 'the new ones know');

    # an old worker ends at once, often before the new ones have begun

    for my $turn (1 .. 8) {
        ok($nginx->reload && running($nginx), "reload $turn: it runs on");
    }

    ok($nginx->settled(60), 'the old workers end');
    is(status($nginx, '/stop'), 200, 'stop');

    # its time is over in the next generation, also to another file

    is(status($nginx, '/run?duration=2s'), 200, 'run 2s');
    ok($nginx->reload(http_config => 'pprof_production off; '
                                     . 'pprof_trace_file later.out;'),
       'reload');
    ok($nginx->settled(60), 'the old workers end');
    ok((wait_for { !running($nginx) } 60), 'the new ones end it');
    is(substr(PprofTest::slurp(dir($nginx) . '/later.out'), 0, 16), $header,
       'where the configuration says');
    is($nginx->get("$base/trace.out")->{status}, 200, 'and give it out');

    is($nginx->quit, 0, 'quit');
    is_deeply([ $nginx->alerts(qr/exited on signal 9/) ], [], 'no alerts');
}


# Workers are killed, at any moment, while files are being written, under load:
# each file is whole, and somebody takes over.

{
    my $nginx = start_nginx(%config, workers => 2);
    my @load = map { $nginx->load('/text', seconds => 600, connections => 2) }
               1 .. 2;
    my ($kills, $broken, %got) = (0, 0);
    my ($end, $last) = map { time + $_ } 10, 300;

    is(status($nginx, '/run?duration=30m'), 200, 'kills: run');

    # 10 s, or as long as it takes for some

    while (time < $end || ($kills <= 5 || !$got{200}) && time < $last) {
        my @asked = map { $nginx->background("$base/snapshot") } 1 .. 3;

        sleep rand 0.05;
        my ($victim) = $nginx->worker_pids;
        $kills += kill KILL => $victim if $victim;

        for my $asked (@asked) {
            my $res = $asked->result(120);
            $got{ $res->{status} || 'cut' }++;
        }

        wait_for { $nginx->worker_pids == 2 } 60;

        # none is there only as long as none has been written

        my $file = file($nginx);
        $broken += $got{200} || $file ne '' ? !whole($file) : 0;
    }

    $_->stop(graceful => 0) for @load;

    # fewer events, of this file only

    my (undef, $few) = ask($nginx, '/snapshot?events=2000');
    cmp_ok($few->{trace}{events}, '<', 4000, 'events: about so many');
    cmp_ok($few->{trace}{left_out}, '>', 0, 'events: what was left out');

    my (undef, $all) = ask($nginx, '/snapshot');
    cmp_ok($all->{trace}{events}, '>', 10_000, 'events: as ever');

    diag "$kills kills; " . join ', ', map { "$_: $got{$_}" } sort keys %got;

    cmp_ok($kills, '>', 5, 'kills: enough of them');
    is_deeply([ grep { !/^(200|cut|000)$/ } keys %got ], [],
              'kills: an answer, or none');
    is($broken, 0, 'kills: each file is whole');
    ok(running($nginx), 'kills: it still runs');
    is(status($nginx, '/snapshot'), 200, 'kills: and can be asked');
    is_deeply([ leftover($nginx) ], [], 'kills: nothing is left over');
    is(status($nginx, '/stop'), 200, 'kills: stop');

    is(status($nginx, '/run?duration=30m&events=3000'), 200, 'events: run');
    $nginx->load('/text', seconds => 1, connections => 2)->wait_exit(60);
    (undef, $few) = ask($nginx, '/snapshot');
    cmp_ok($few->{trace}{events}, '<', 6000, 'events: of all files');
    (undef, $all) = ask($nginx, '/stop?events=1000000');
    cmp_ok($all->{trace}{events}, '>=', $few->{trace}{events},
           'events: more of this one');

    # Go's own tools have no complaint

    SKIP: {
        skip 'no go', 1 if !have('go') && !$ENV{CI};

        my ($code, $out) = run_command([ 'sh', '-c', PprofTest::find('go')
            . ' tool trace -d=parsed ' . dir($nginx) . '/trace.out | tail -1' ],
            bound => 180);
        like($out, qr/\A\S+ P=-1 G=-1 Sync Time=\d+[^\n]*\n\z/,
             'kills: go tool trace reads it');
    }

    is($nginx->quit, 0, 'kills: quit');
    is_deeply([ $nginx->alerts(qr/exited on signal 9/) ], [],
              'kills: no other alerts');
}


# A single process.

{
    my $nginx = start_nginx(%config, master => 'off');

    is(status($nginx, '/run?duration=30m'), 200, 'single process: run');
    is(status($nginx, '/snapshot'), 200, 'single process: snapshot');
    is(status($nginx, '/stop'), 200, 'single process: stop');
    is(status($nginx, '/run?duration=200ms'), 200, 'single process: run 200ms');
    ok((wait_for { !running($nginx) } 60), 'single process: it ends by itself');

    is(status($nginx, '/run?duration=30m'), 200, 'single process: run');
    unlink dir($nginx) . '/trace.out';
    is($nginx->quit, 0, 'single process: quit');
    is(substr(file($nginx), 0, 16), $header, 'single process: it is written');
}


# One that reloads.  nginx gives it no connections for its new configuration, so
# that only those which were open are served; the recorder goes on all the same.

{
    my $nginx = start_nginx(%config, master => 'off', http_config =>
                            'pprof_production off; keepalive_timeout 600;');
    my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 60);
    my $keep = sub { $http->get($nginx->url($_[0])) };
    my $state = sub { JSON::PP::decode_json($keep->("$base$_[0]")->{content}) };

    is($state->('/run?duration=30m')->{state}, 'running',
       'single process: reload: run');

    my $events = $state->('/snapshot')->{trace}{events};

    for my $turn (1, 2) {
        my $from = length $nginx->error_log;

        $nginx->signal('HUP');
        ok((wait_for { substr($nginx->error_log, $from) =~ /reconfiguring.*
                       \ using\ the\ "epoll"\ event\ method/xs } 60),
           "single process: reload $turn");

        is($keep->('/text')->{status}, 200,
           "single process: reload $turn: it serves on");

        my $got = $state->('/snapshot');
        is($got->{state}, 'running', "single process: reload $turn: it records");
        cmp_ok($got->{trace}{events}, '>', $events,
               "single process: reload $turn: what there was before, too");
        $events = $got->{trace}{events};

        # what walks through all connections

        for my $path (qw( goroutine goroutine?debug=2 trace?seconds=0.1 )) {
            is($keep->("/debug/pprof/$path")->{status}, 200,
               "single process: reload $turn: $path");
        }
    }

    is($state->('/stop')->{state}, 'stopped', 'single process: reload: stop');

    # ends by itself, after one more

    is($state->('/run?duration=1s')->{state}, 'running',
       'single process: reload: run 1s');
    $nginx->signal('HUP');
    ok((wait_for { $state->('')->{state} eq 'stopped' } 60),
       'single process: reload: it ends by itself');

    is($state->('/run?duration=30m')->{state}, 'running',
       'single process: reload: run');
    is($keep->('/text')->{status}, 200, 'single process: reload: a request');
    unlink dir($nginx) . '/trace.out';
    is($nginx->quit, 0, 'single process: reload: quit');
    ok(whole(file($nginx)), 'single process: reload: it is written');
    is_deeply([ leftover($nginx) ], [], 'single process: reload: nothing else');
    is_deeply([ $nginx->alerts ], [], 'single process: reload: no alerts');
}


# A new binary has a recorder of its own: that of the old one goes on until its
# last worker ends, which writes the file.

{
    my $nginx = start_nginx(%config, workers => 2, daemon => 1);
    my $load = $nginx->load('/text', seconds => 120, connections => 2);

    is(status($nginx, '/run?duration=30m'), 200, 'new binary: run');
    ok($nginx->usr2, 'new binary: USR2');

    my ($old, $new) = @$nginx{qw( old_master process )};
    my $workers = sub {
        return scalar(grep {
            PprofTest::slurp("/proc/$_/cmdline") =~ /worker process/
        } children($_[0]->pid));
    };
    my $alone = sub {
        my ($with, $without) = @_;
        return wait_for { $workers->($with) == 2 && !$workers->($without) } 60;
    };

    # both serve, and those of one do not know of the other's

    my %got;
    ok((wait_for { $got{ state($nginx)->{state} }++; keys %got == 2 } 60),
       'new binary: the old one records, and it does not')
        or diag explain \%got;

    # back again: the old one has recorded on, without workers

    $old->signal('WINCH');
    ok($alone->($new, $old), 'new binary: the old workers end');
    ok(whole(file($nginx)), 'new binary: the last of them writes');
    ok(!running($nginx), 'new binary: not running');
    is(status($nginx, '/snapshot'), 409, 'new binary: no snapshot');
    is($nginx->get("$base/trace.out")->{content}, file($nginx),
       'new binary: it gives out what the old one has written');

    is(status($nginx, '/run?duration=30m'), 200, 'new binary: run its own');
    $old->signal('HUP');
    ok((wait_for { $workers->($old) == 2 } 60), 'old binary: workers again');
    unlink dir($nginx) . '/trace.out';
    $new->signal('QUIT');
    ok((wait_for { !$new->alive } 60), 'old binary: the new one ends');
    ok(whole(file($nginx)), 'old binary: and writes its own');

    ok((wait_for { PprofTest::slurp($nginx->dir . '/nginx.pid') == $old->pid } 60),
       'old binary: its pid file');
    $nginx->_adopt;

    ok(running($nginx), 'old binary: it has never stopped');
    is(status($nginx, '/run?duration=1s'), 409, 'old binary: already running');

    # forward, and its end while both are there

    ok($nginx->usr2, 'new binary: USR2 again');
    ($old, $new) = @$nginx{qw( old_master process )};

    unlink dir($nginx) . '/trace.out';
    $old->signal('QUIT');
    ok((wait_for { !$old->alive } 60), 'new binary: the old one ends');
    ok(whole(file($nginx)), 'new binary: the old one has written');
    ok(!running($nginx), 'new binary: not running');

    is(status($nginx, '/run?duration=300ms'), 200, 'new binary: run');
    ok((wait_for { !running($nginx) } 60), 'new binary: it ends by itself');
    is(state($nginx)->{trace}{bytes}, length file($nginx),
       'new binary: and has written');

    $load->stop(graceful => 0);
    $nginx->signal('QUIT');
    ok((wait_for { !$nginx->alive } 60), 'new binary: quit');
    is_deeply([ leftover($nginx) ], [], 'new binary: nothing else is there');
    is_deeply([ $nginx->alerts ], [], 'new binary: no alerts');
}


# Files that cannot be written: the recording goes on, and its end comes when
# it can be.

sub refused {
    my ($nginx, $text, $what) = @_;

    my ($status, $json) = ask($nginx, '/snapshot');
    is($status, 500, "$what: snapshot");
    like($json->{error}, $text, "$what: why");

    ($status, $json) = ask($nginx, '/stop');
    is($status, 500, "$what: stop");
    like($json->{error}, $text, "$what: why it was not stopped");

    $json = state($nginx);
    is($json->{state}, 'running', "$what: it goes on");
    like($json->{last_error}, qr/ failed \(\d+: /, "$what: in the state");
    like($nginx->get('/debug/pprof/')->{content},
         qr/The last writing: .* failed \(/, "$what: in the index");
    is_deeply([ leftover($nginx) ], [], "$what: nothing is left over");
}

SKIP: {
    my $nginx = start_nginx(%config);
    my ($worker) = $nginx->worker_pids;
    my $owner = (stat "/proc/$worker")[4];

    # a directory has the file's name

    is(status($nginx, '/run?duration=30m'), 200, 'run');
    mkdir dir($nginx) . '/trace.out' or die "mkdir: $!";
    refused($nginx, qr/^cannot write the trace: rename\(\) failed \(21: /,
            'a directory in the way');
    rmdir dir($nginx) . '/trace.out' or die "rmdir: $!";
    is(status($nginx, '/snapshot'), 200, 'written when it is gone');

    # no directory

    rename dir($nginx), dir($nginx) . '.away' or die "rename: $!";
    refused($nginx, qr/^cannot write the trace: open\(\) failed \(2: /,
            'no directory');
    rename dir($nginx) . '.away', dir($nginx) or die "rename: $!";

    # no permission

    SKIP: {
        skip 'the workers are root', 14 if $owner == 0;

        my $old = file($nginx);

        chmod 0500, dir($nginx);
        refused($nginx, qr/^cannot write the trace: open\(\) failed \(13: /,
                'no permission');
        is(file($nginx), $old, 'what was there is there');

        # its time is over, and it is tried again

        chmod 0700, dir($nginx);
        is(status($nginx, '/stop'), 200, 'stop');
        chmod 0500, dir($nginx);

        is(status($nginx, '/run?duration=200ms'), 200, 'run 200ms');
        ok((wait_for { state($nginx)->{last_error} } 60),
           'its end cannot be written');
        ok(running($nginx), 'so it runs');
        like($nginx->error_log, qr/\[warn\] .* pprof: cannot write the trace: open/,
             'and the log says why');

        chmod 0700, dir($nginx);
        ok((wait_for { !running($nginx) } 60), 'until it could be');
        ok(!defined state($nginx)->{last_error}, 'no error any more');
        is(substr(file($nginx), 0, 16), $header, 'a trace');
    }
}


# A full disk.

SKIP: {
    my $nginx = start_nginx(%config);
    my ($worker) = $nginx->worker_pids;
    my $owner = (stat "/proc/$worker")[4];

    skip 'no file system can be mounted here', 1
        if $> != 0 || system('mount', '-t', 'tmpfs', '-o',
                             "size=128k,mode=0700,uid=$owner", 'tmpfs',
                             dir($nginx)) != 0;

    my $mounted = bless [ dir($nginx) ], 'Mounted';

    is(status($nginx, '/run?duration=30m'), 200, 'run');
    is(status($nginx, '/snapshot'), 200, 'a small one has room');

    my $old = file($nginx);

    PprofTest::spew(dir($nginx) . '/ballast', '') ;
    open my $out, '>', dir($nginx) . '/ballast' or die;
    1 while syswrite $out, 'x' x 4096;
    close $out;

    my ($status, $json) = ask($nginx, '/snapshot');
    is($status, 500, 'a full disk: snapshot');
    like($json->{error}, qr/^cannot write the trace: (open|write)\(\) failed \(28: /,
         'a full disk: why');
    is(status($nginx, '/stop'), 500, 'a full disk: stop');
    ok(running($nginx), 'a full disk: it goes on');
    is(file($nginx), $old, 'a full disk: what was there is there');
    is_deeply([ grep { /tmp$/ } leftover($nginx) ], [],
              'a full disk: nothing is left over');

    unlink dir($nginx) . '/ballast';
    is(status($nginx, '/stop'), 200, 'stop, when there is room');
    $nginx->quit;
}


# Links that somebody has put in the way.

{
    my $nginx = start_nginx(%config);
    my $target = $nginx->dir . '/target';
    my $trace = dir($nginx) . '/trace.out';
    my ($worker) = $nginx->worker_pids;

    PprofTest::spew($target, 'precious');
    chmod 0666, $target;

    symlink $target, $trace or die "symlink: $!";
    symlink $target, "$trace.$worker.tmp" or die "symlink: $!";

    my ($status, $json) = ask($nginx, '/trace.out');
    is($status, 500, 'a link is not followed for the download: status');
    like($json->{error}, qr/^cannot open the trace: open\(\) failed \(40: /,
         'a link is not followed for the download');

    is(status($nginx, '/run?duration=1m'), 200, 'run');
    is(status($nginx, '/stop'), 200, 'stop');

    is(PprofTest::slurp($target), 'precious', 'what it led to is as it was');
    ok(!-l $trace, 'the file is a file');
    is(substr(file($nginx), 0, 16), $header, 'with the trace');
    is_deeply([ leftover($nginx) ], [], 'the other one is gone');
}


# A directory that was there before is not given away.

SKIP: {
    my $nginx = start_nginx(%config);
    my ($worker) = $nginx->worker_pids;
    my $owner = (stat "/proc/$worker")[4];
    my $warned = qr/the directory "[^"]*" of the flight recorder cannot be made/;
    my $other = $owner + 1;

    skip 'one user only', 9 if $owner == $>;

    ok($nginx->reload, 'reload with its own');
    unlike($nginx->error_log, $warned, 'its own: no word');

    chown $other, -1, dir($nginx) or die "chown: $!";
    ok($nginx->reload, 'reload with that of another user');
    is((stat dir($nginx))[4], $other, "another user's: it stays that");
    is(scalar(() = $nginx->error_log =~ /$warned/g), 1, 'and the log says so');

    chown $owner, -1, dir($nginx) or die "chown: $!";
    chmod 0777, dir($nginx);
    ok($nginx->reload, 'reload with one that all may write to');
    is(scalar(() = $nginx->error_log =~ /$warned/g), 2, 'the log says so');

    chmod 0700, dir($nginx);
    is(status($nginx, '/run?duration=1m'), 200, 'run');
    is(status($nginx, '/stop'), 200, 'stop');
}


# A file that is not of the worker is not given out.

SKIP: {
    my $nginx = start_nginx(%config);
    my ($worker) = $nginx->worker_pids;

    skip 'one user only', 2 if (stat "/proc/$worker")[4] == $>;

    PprofTest::spew(dir($nginx) . '/trace.out', 'of root');
    chmod 0644, dir($nginx) . '/trace.out';

    my ($status, $json) = ask($nginx, '/trace.out');
    is($status, 500, 'of another user: status');
    like($json->{error}, qr/^cannot open the trace: .* \(1: /,
         'of another user');
}


done_testing();


package Mounted;

sub DESTROY {
    local ($?, $!);
    system 'umount', '-l', $_[0][0];
}
