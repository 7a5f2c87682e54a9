
# Copyright (C) the maintainers of nginx pprof

# gops: what the real client makes of a worker under load and of one that hangs;
# clients that do not behave, or are other users'; port files over the life of
# nginx.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use IO::Socket::INET ();
use POSIX ();
use Socket qw( SOL_SOCKET SO_RCVBUF );
use Test::More;
use Time::HiRes qw( sleep time );

needs('go', 'bash');

my $dir = temp_dir();
my $gops = gops_client();
my $tool = "$Pprof::Root/tools/ngx-gops";
my $path = join ':', $ENV{PATH}, PprofTest::find('go') =~ s{/go$}{}r;

my %config = (
    http_config => 'pprof_production off; pprof_gops_dir $DIR/ports;',
    config => q{
        location /debug/pprof { pprof auto; }
        location /burn { hosted burn; }
        location /hang { hosted hang; }
        location /alloc { hosted alloc; }
        location /crash { hosted crash; }
        location /text { hosted text kb=10; gzip on; gzip_types *; }
    },
);

use constant { STACK => "\x01", GC => "\x02", MEMSTATS => "\x03", VERSION => "\x04",
               HEAP => "\x05", CPU => "\x06", STATS => "\x07", BINARY => "\x09",
               SETGC => "\x10" };


sub gops_client {
    my ($found) = grep { -x } map { "$_/gops" }
                  split(/:/, $ENV{PATH}), ($ENV{HOME} // '') . '/go/bin';

    if (!$found) {
        my ($code, $out) = run_command([ PprofTest::find('go'), 'install',
                                         'github.com/google/gops@latest' ],
                                       bound => 120, env => { GOBIN => "$dir" });
        $found = "$dir/gops" if -x "$dir/gops";
        die "no gops: $out\n" if !$found && $ENV{CI};
    }

    plan skip_all => 'no gops client' if !$found;

    return $found;
}


# A command of the real client; with "input" it gets that, as a terminal.

sub gops {
    my ($nginx, $args, %opt) = @_;

    return run_command(
        [ 'sh', '-c', 'printf "$INPUT" | "$@"', 'gops', $gops, @$args ],
        bound => $opt{bound} // 120,
        env => { GOPS_CONFIG_DIR => ports($nginx), PATH => $path,
                 INPUT => $opt{input} // '', PPROF_TMPDIR => "$dir",
                 TMPDIR => "$dir" });
}

sub ports { ref $_[0] ? $_[0]{ports} // $_[0]->dir . '/ports' : $_[0] }

sub files { my $ports = ports($_[0]);
            return sort { $a <=> $b } map { m{/(\d+)$} ? $1 : () } glob "$ports/*" }

sub port { PprofTest::slurp(ports($_[0]) . "/$_[1]") + 0 }


# What the agent answers to these bytes; undef if it resets the connection.

sub connection {
    my ($port) = @_;

    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port,
                                 Timeout => 10) // die "no agent at $port: $!\n";
}

sub answer {
    my ($port, $bytes) = @_;
    my $s = connection($port);
    my $text = '';

    syswrite $s, $bytes;

    while (1) {
        my $n = sysread $s, $text, 65536, length $text;
        return undef if !defined $n;
        return $text if $n == 0;
    }
}


# Port files are those of all workers that there are, and right.

sub right_files {
    my ($nginx, $name, $bound) = @_;
    my $start = time;

    my $right = wait_for(sub {
        my @pids = sort { $a <=> $b } $nginx->worker_pids;
        my @files = files($nginx);
        return "@pids" eq "@files"
               && !grep { (eval { answer(port($nginx, $_), VERSION) } // '')
                          !~ /^nginx/ } @pids;
    }, $bound // 60);

    my $took = time - $start;

    ok($right, "$name: port files") or diag "workers: @{[ $nginx->worker_pids ]}, "
                                            . "files: @{[ files($nginx) ]}";
    return $took;
}

sub memstat { my ($text, $key) = @_;
              return $text =~ /^\Q$key\E: (?:.*\((\d+) bytes\)|(\S+))/m ? $1 // $2 : undef }


# Every command of the real client; "spin" is a function that has to be seen.

sub commands {
    my ($nginx, $name, $pid, $spin) = @_;
    my $address = '127.0.0.1:' . port($nginx, $pid);

    # thirty seconds, which the others are faster than

    my @cpu = map {
        my $target = $_;
        my $out = "$dir/cpu" . ($target =~ tr/:/-/r);
        my $p = Pprof::Process->start(output => $out, command => [ 'sh', '-c',
            'printf "top\n" | "$@"', 'gops', $gops, 'pprof-cpu', $target ],
            env => { GOPS_CONFIG_DIR => ports($nginx), PATH => $path,
                     PPROF_TMPDIR => "$dir", TMPDIR => "$dir" });
        [ $p, $out ];
    } $pid, $address;

    for my $target ($pid, $address) {
        my $how = "$name, " . ($target =~ /:/ ? 'address' : 'PID');
        my ($code, $out) = gops($nginx, [ 'stack', $target ]);

        is($code, 0, "$how: stack");
        like($out, qr/\A(?:# missing: .*\n+)?goroutine \d+ \[/, "$how: stack: goroutines");
        like($out, qr/^(?:ngx_\w+|main|\Q$spin\E)\(\.\.\.\)\n\t\S+:\d+ \+0x/m,
             "$how: stack: functions");

        ($code, $out) = gops($nginx, [ 'stats', $target ]);
        is($code, 0, "$how: stats");
        my ($g, $threads, $procs, $cpus) = $out =~
            /\Agoroutines: (\d+)\nOS threads: (\d+)\nGOMAXPROCS: (\d+)\nnum CPU: (\d+)\n/
            or diag $out;
        cmp_ok($g // 0, '>=', 1, "$how: stats: goroutines");
        cmp_ok($threads // 0, '>=', 3, "$how: stats: threads");
        is($procs, $nginx->{workers}, "$how: stats: workers");
        is($cpus, (run_command([ 'nproc' ]))[1] + 0, "$how: stats: CPUs");

        ($code, $out) = gops($nginx, [ 'memstats', $target ]);
        is($code, 0, "$how: memstats");
        is_deeply([ ($out =~ /^([a-z-]+): /mg)[0 .. 29] ], [ keys_of_go() ],
                  "$how: memstats: Go's keys");
        cmp_ok(memstat($out, 'heap-alloc'), '>', 100_000, "$how: memstats: in use");
        cmp_ok(memstat($out, 'resident'), '>', 1_000_000, "$how: memstats: resident");
        cmp_ok(memstat($out, 'arenas'), '>=', 1, "$how: memstats: arenas");

        ($code, $out) = gops($nginx, [ 'version', $target ]);
        is($code, 0, "$how: version");
        like($out, qr/\Anginx\/[\d.]+ \(built by .*\), OpenSSL \d.*, ngx_http_pprof_module\/[\d.]+, pprofrt\/[\d.]+, gcc /,
             "$how: version: all of it");

        my $trims = memstat(answer(port($nginx, $pid), MEMSTATS), 'num-gc');
        ($code, $out) = gops($nginx, [ 'gc', $target ]);
        is($code, 0, "$how: gc");
        is(memstat(answer(port($nginx, $pid), MEMSTATS), 'num-gc'), $trims + 1,
           "$how: gc: done");

        ($code, $out) = gops($nginx, [ 'setgc', $target, '50' ]);
        is($code, 0, "$how: setgc");
        like($out, qr/\ANothing is collected here/, "$how: setgc: refused");

        ($code, $out) = gops($nginx, [ 'pprof-heap', $target ], input => "top\n");
        is($code, 0, "$how: pprof-heap") or diag $out;
        like($out, qr/Type: inuse_space/, "$how: pprof-heap: opens");
        like($out, qr/worker \d pid $pid: included/, "$how: pprof-heap: of this one");
        like($out, qr/ hosted_alloc_keep\b/, "$how: pprof-heap: names");
    }

    trace($nginx, $name, $_) for $pid, $address;

    for my $cpu (@cpu) {
        my ($p, $out) = @$cpu;
        is($p->wait_exit(120), 0, "$name: pprof-cpu");
        my $text = PprofTest::slurp($out);
        like($text, qr/^Duration: 30(?:\.\d+)?s/m, "$name: pprof-cpu: thirty seconds");
        like($text, qr/\d% +\Q$spin\E\b/, "$name: pprof-cpu: names") or diag $text;
        like($text, qr/processes: 1\n/, "$name: pprof-cpu: of this one");
    }
}

# Where the client finds no Go it keeps the file, instead of serving pages of it.

sub trace {
    my ($nginx, $name, $target) = @_;

    my ($code, $out) = run_command([ '/bin/sh', '-c', '"$@"', 'gops', $gops, 'trace', $target ],
        bound => 60, env => { GOPS_CONFIG_DIR => ports($nginx), PATH => "$dir/nothing",
                              TMPDIR => "$dir" });

    is($code, 0, "$name: trace");
    my ($file) = $out =~ /^Trace dump saved to: (\S+)/m or diag $out;

    ($code, $out) = run_command([ 'sh', '-c', '"$1" tool trace -d=parsed "$2" | tail -n 3',
                                  'trace', PprofTest::find('go'), $file // '/dev/null' ],
                                bound => 120);
    is($code, 0, "$name: trace: go tool trace takes it");
    like($out, qr/^M=.* Time=\d+/m, "$name: trace: events") or diag $out;
}

sub keys_of_go {
    return qw( alloc total-alloc sys lookups mallocs frees heap-alloc heap-sys
               heap-idle heap-in-use heap-released heap-objects stack-in-use
               stack-sys stack-mspan-inuse stack-mspan-sys stack-mcache-inuse
               stack-mcache-sys other-sys gc-sys next-gc last-gc gc-pause-total
               gc-pause gc-pause-end num-gc num-forced-gc gc-cpu-fraction
               enable-gc debug-gc );
}


# Memory that is there, in each of the workers.

sub allocate {
    my ($nginx, $name) = @_;

    for my $pid ($nginx->worker_pids) {
        my $res = $nginx->only($pid, sub {
            $nginx->hosted('/alloc?how=keep&size=65536&count=100');
        });

        is($res->{pid}, $pid, "$name: memory in $pid");
        isnt(memstat(answer(port($nginx, $pid), MEMSTATS), 'heap-objects'), 0,
             "$name: which is seen");
    }
}


# Under load, by the real client

{
    my $nginx = start_nginx(%config, workers => 2);

    right_files($nginx, 'load');

    allocate($nginx, 'load');

    my $load = $nginx->load('/burn?ms=2', seconds => 600, connections => 8);
    my $text = $nginx->load('/text', seconds => 600, connections => 4);

    commands($nginx, 'load', ($nginx->worker_pids)[0], 'hosted_heavy');

    is($nginx->get('/text')->{status}, 200, 'load: serves on');
    $_->stop for $load, $text;

    my $index = $nginx->get('/debug/pprof/')->{content};
    like($index, qr/<td class="n">@{[ port($nginx, $_) ]}<\/td>/, 'index: the port')
        for $nginx->worker_pids;

    # its descriptors are none of nginx's: the port would stay taken

    my $fds = process_state(($nginx->worker_pids)[0])->{fds};
    my %nginx = map { $fds->{$_} => 1 } grep { !/^own/ } keys %$fds;
    my @own = grep { /^socket/ } map { $fds->{$_} } grep { /^own/ } keys %$fds;

    cmp_ok(scalar @own, '>=', 1, 'descriptors: a socket of its own');
    is(scalar(grep { $nginx{$_} } @own), 0, 'descriptors: not one of nginx\'s');

    is($nginx->quit, 0, 'load: quit');
    is_deeply([ files($nginx) ], [], 'quit: no files');
    is_deeply([ $nginx->alerts ], [], 'load: no alert');
}


# One that hangs, by the real client

{
    my $nginx = start_nginx(%config, workers => 2);

    right_files($nginx, 'hung');
    allocate($nginx, 'hung');

    my %before = map { $_ => cpu_ns($_) } $nginx->worker_pids;
    my $hang = $nginx->background('/hang?how=spin&ms=600000');
    my $pid;

    ok(wait_for(sub {
           ($pid) = grep { cpu_ns($_) - $before{$_} > 0.5e9 } keys %before;
       }, 60), 'hung: one worker');

    commands($nginx, 'hung', $pid, 'hosted_hang');
    like(answer(port($nginx, $pid), STACK), qr/^hosted_hang\(\.\.\.\)/m,
         'hung: where');
    like(answer(port($nginx, $pid), STATS), qr/^event loop held: \d+\.\ds, .*hosted_hang/m,
         'hung: stats say so');

    $hang->hang_up;
    $nginx->stop;
}


# Clients that do not behave

{
    my $nginx = start_nginx(%config);
    my ($pid) = $nginx->worker_pids;

    right_files($nginx, 'clients');

    my $port = port($nginx, $pid);
    answer($port, $_) for STACK, STATS, MEMSTATS;

    my $before = process_state($pid);
    my $switches = switches($pid);

    sleep 4;
    cmp_ok($switches, '>', 0, 'no client: its thread is seen');
    cmp_ok(switches($pid) - $switches, '<=', 20,
           'no client: it wakes up twice a second for its file');

    # side by side: nobody waits for a profile of thirty seconds

    my $profile = connection($port);
    syswrite $profile, CPU;
    my $start = time;
    like(answer($port, STATS), qr/^goroutines/, 'clients: served side by side');
    cmp_ok(time - $start, '<', 15, 'clients: at once');

    # who hangs up ends it

    ok(wait_for(sub { sampled($nginx) }, 60), 'hang up: sampled');
    close $profile;
    ok(wait_for(sub { !sampled($nginx) }, 60), 'hang up: no more');

    # who says that no more will come is waited for

    my $half = connection($port);
    syswrite $half, CPU;
    shutdown $half, 1;
    ok(wait_for(sub { sampled($nginx) }, 60), 'half closed: sampled');
    sleep 1;
    ok(sampled($nginx), 'half closed: goes on');
    close $half;
    ok(wait_for(sub { !sampled($nginx) }, 60), 'half closed: hung up');

    # a thousand that say nothing, and who comes after them is served at once

    my @silent = map { connection($port) } 1 .. 1000;
    $start = time;
    like(answer($port, STATS), qr/^goroutines/, 'silent: served');
    cmp_ok(time - $start, '<', 5, 'silent: at once');
    cmp_ok(sockets($pid), '<=', 70, 'silent: few descriptors');
    @silent = ();

    # commands that do not end

    my @part = map { my $s = connection($port); syswrite $s, SETGC . "\x80" x ($_ % 10);
                     $s } 1 .. 100;
    is(answer($port, SETGC . "\x80" x 10), "This command is not known here.\n",
       'argument: too long');
    like(answer($port, SETGC . "\x80\x01" . 'x' x 8), qr/^Nothing is collected/,
         'argument: and more');
    like(answer($port, VERSION . 'x' x 100_000), qr/^nginx/, 'argument: much more');

    # slow readers of the binary

    my @slow = map {
        my $s = IO::Socket::INET->new(Proto => 'tcp');
        setsockopt $s, SOL_SOCKET, SO_RCVBUF, pack('i', 4096);
        connect $s, Socket::pack_sockaddr_in($port, Socket::inet_aton('127.0.0.1'));
        syswrite $s, BINARY;
        $s
    } 1 .. 20;

    my $whole = answer($port, BINARY);
    is($whole, PprofTest::slurp($PprofTest::Binary), 'binary: the program');
    undef $whole;

    # what comes to whose mind: the same in each run

    srand 8;

    for (1 .. 300) {
        my $bytes = join '', map { chr int rand 256 } 1 .. 1 + rand 14;
        next if $bytes =~ /^[\x06\x08]/;

        my $s = connection($port);
        syswrite $s, substr $bytes, 0, 1 + rand length $bytes;
        sysread $s, my $some, 100 if rand() < 0.5 && $bytes !~ /^\x10/;
    }

    like(answer($port, STATS), qr/^goroutines/, 'clients: served on');
    is($nginx->get('/text')->{status}, 200, 'clients: nginx serves on');
    is_deeply([ $nginx->worker_pids ], [ $pid ], 'clients: the same worker');

    @part = @slow = ();

    my @left;
    ok(wait_for(sub { @left = leftovers($before, process_state($pid)); !@left }, 60),
       'clients: nothing is left') or diag "@left";

    my $after = process_state($pid);
    cmp_ok($after->{rss} - $before->{rss}, '<', 8 << 20, 'clients: memory is back');

    # those who stay are shown out

    my @stay = map { connection($port) } 1 .. 10;
    ok(wait_for(sub { sockets($pid) >= 10 }, 60), 'silent: there');
    ok(wait_for(sub { !leftovers($before, process_state($pid)) }, 60),
       'silent: out after a while');

    is($nginx->quit, 0, 'clients: quit');
    is_deeply([ $nginx->alerts ], [], 'clients: no alert');
}

sub sampled { $_[0]->get('/debug/pprof/')->{content} =~ /sampled <small>/ }

# How often the agent's thread went to sleep.

sub switches {
    my ($pid) = @_;
    my $threads = process_state($pid)->{threads};
    my ($tid) = grep { $threads->{$_} eq 'pprof-gops' } keys %$threads or return 0;

    return PprofTest::slurp("/proc/$pid/task/$tid/status")
           =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0;
}

sub sockets { scalar grep { /^socket/ } values %{ process_state($_[0])->{fds} } }


# Other users

SKIP: {
    skip 'not root', 9 if $> != 0;

    my $nginx = start_nginx(%config);
    my ($pid) = $nginx->worker_pids;

    right_files($nginx, 'users');

    my $port = port($nginx, $pid);
    my $nobody = getpwnam 'nobody';

    my $as = sub {
        my ($user, $code) = @_;
        my $child = fork // die "fork: $!\n";

        if ($child == 0) {
            $) = "$user $user";
            POSIX::setgid($user);
            POSIX::setuid($user);
            my $rc = eval { $code->() } // 9;
            POSIX::_exit($rc);
        }

        waitpid $child, 0;
        return $? >> 8;
    };

    my $ask = sub { my $text = answer($port, STATS);
                    return length($text // '') ? $text =~ /^goroutines/ ? 1 : 2 : 0 };

    is($as->(scalar getpwnam 'www-data', $ask), 1, 'users: the worker\'s');
    is($as->(0, $ask), 1, 'users: root');
    is($as->($nobody, $ask), 0, 'users: another one is refused');
    like(answer($port, STATS), qr/^refused gops clients: 1$/m, 'users: counted');
    like($nginx->get('/debug/pprof/')->{content}, qr/1&nbsp;refused/,
         'users: in the index');

    # A socket that nobody has any more is root's in the kernel's books.

    $as->($nobody, sub { for (1 .. 200) { my $s = connection($port);
                                          syswrite $s, GC; close $s }
                         return 0 });
    is(memstat(answer($port, MEMSTATS), 'num-gc'), 0,
       'users: no command of one who has gone');

    # many of them do not push others out

    my $friend = connection($port);
    $as->($nobody, sub { my @s = map { connection($port) } 1 .. 200; 0 });
    syswrite $friend, VERSION;
    like(scalar <$friend>, qr/^nginx/, 'users: strangers push nobody out');

    my $ipv6 = run_client6($port);
    like($ipv6, qr/^nginx/, 'users: by a socket of IPv6') if defined $ipv6;

    $nginx->stop;
}

sub run_client6 {
    my ($port) = @_;

    socket my $s, Socket::AF_INET6(), Socket::SOCK_STREAM(), 0 or return undef;
    my $address = Socket::inet_pton(Socket::AF_INET6(), '::ffff:127.0.0.1');
    connect $s, Socket::pack_sockaddr_in6($port, $address) or return undef;
    syswrite $s, VERSION;
    sysread $s, my $text, 1000;

    return $text // '';
}


# Port files, whatever happens to the processes

{
    my $nginx = start_nginx(%config, workers => 2, daemon => 1,
                            http_config => 'pprof_production off;',
                            ports => "$dir/env",
                            env => { GOPS_CONFIG_DIR => "$dir/env" });
    my $ports = "$dir/env";
    my $user = (stat $ports)[4];

    is($user, $> == 0 ? scalar getpwnam('www-data') : $>, 'directory: the workers\'');
    is((stat $ports)[2] & 07777, 0700, 'directory: for them alone');
    right_files($nginx, 'start');
    like($nginx->error_log, qr/\[notice\] .*port files are in "\Q$ports\E": GOPS_CONFIG_DIR=\Q$ports\E gops stack PID/,
         'log: where, and how');

    $nginx->reload;
    $nginx->settled;
    cmp_ok(right_files($nginx, 'reload'), '<', 5, 'reload: soon');

    my ($victim) = $nginx->worker_pids;
    kill KILL => $victim;
    ok(wait_for(sub { !grep { $_ == $victim } files($nginx) }, 60), 'killed: no file');
    $nginx->settled;
    right_files($nginx, 'killed');

    $nginx->get('/crash');
    $nginx->settled;
    right_files($nginx, 'crash');

    # who is not followed is swept by those who live

    my $dead = fork // die "fork: $!\n";
    POSIX::_exit(0) if $dead == 0;
    waitpid $dead, 0;

    my %plant = ($dead => "4711\n", "$dead$dead" => '4711', '12x' => "1\n",
                 1 => "4711 \n");

    for my $name (keys %plant) {
        PprofTest::spew("$ports/$name", $plant{$name});
        chown $user, -1, "$ports/$name";
    }

    symlink "$dir/elsewhere", "$ports/2";
    my $start = time;
    ok(wait_for(sub { !-e "$ports/$dead" }, 60), 'stale: swept');
    cmp_ok(time - $start, '<', 5, 'stale: soon');
    sleep 1.2;
    ok(-e "$ports/$_", "not ours: $_ stays") for "$dead$dead", '12x', 1;
    ok(-l "$ports/2", 'not ours: a link stays');
    unlink map { "$ports/$_" } "$dead$dead", '12x', 1, 2;

    # one that somebody has removed comes back

    unlink "$ports/" . ($nginx->worker_pids)[0];
    right_files($nginx, 'removed');

    # a new binary: both generations, then the new one alone

    my @old = $nginx->worker_pids;
    $nginx->usr2;
    right_both($nginx, @old);
    $nginx->{old_master}->signal('QUIT');
    $nginx->{old_master}->wait_exit(60);
    right_files($nginx, 'new binary');

    is($nginx->quit, 0, 'new binary: quit');
    ok(wait_for(sub { !files($nginx) }, 60), 'new binary: no files');
    is_deeply([ $nginx->alerts(qr/exited on signal/) ], [], 'files: no alert');
}

sub right_both {
    my ($nginx, @old) = @_;

    ok(wait_for(sub {
           my %is = map { $_ => 1 } files($nginx);
           my @new = $nginx->worker_pids;
           return @new == 2 && !grep { !$is{$_} } @old, @new;
       }, 60), 'USR2: files of both');
}


# All killed: the next start sweeps.  And a single process.

{
    my $nginx = start_nginx(%config, workers => 2);

    right_files($nginx, 'kill');
    my @workers = $nginx->worker_pids;
    kill STOP => $nginx->pid;
    kill KILL => @workers, $nginx->pid;
    $nginx->{process}->wait_exit(60);

    is_deeply([ files($nginx) ], [ sort { $a <=> $b } @workers ], 'kill: they are left');

    my $next = start_nginx(%config, master => 'off', http_config =>
        "pprof_production off; pprof_gops_dir @{[ ports($nginx) ]};");

    ok(wait_for(sub { my @f = files($nginx); "@f" eq $next->pid }, 60),
       'master_process off: its own file alone');
    like(answer(port($nginx, $next->pid), STACK), qr/^goroutine/,
         'master_process off: answers');
    is($next->quit, 0, 'master_process off: quit');
    is_deeply([ files($nginx) ], [], 'master_process off: no file');
}


# What the configuration says

{
    my %only = (config => 'location / { return 200; }');

    for my $case ([ 'nothing of ours', '', '', 0 ],
                  [ 'production', '', 'location /p { pprof auto; }', 1 ],
                  [ 'off', 'pprof_gops off;', 'location /p { pprof auto; }', 0 ],
                  [ 'a location that is off', '', 'location /p { pprof off; }', 0 ],
                  [ 'on', 'pprof_gops on;', '', 1 ])
    {
        my ($name, $http, $config, $agent) = @$case;
        my $nginx = start_nginx(http_config => "$http pprof_gops_dir \$DIR/ports;",
                                config => $config . 'location / { return 200; }');

        if ($agent) {
            right_files($nginx, $name);

        } else {
            my ($pid) = $nginx->worker_pids;

            # what would start it is there before the first request is served

            $nginx->get('/');
            ok(!(grep { /^pprof/ } values %{ process_state($pid)->{threads} }),
               "$name: no thread of ours");
            is_deeply([ files($nginx) ], [], "$name: no file");
        }

        is($nginx->get('/')->{status}, 200, "$name: serves");
        is($nginx->quit, 0, "$name: quit");
    }

    for my $case ([ 'pprof_gops maybe;', qr/invalid value "maybe" in "pprof_gops" directive, it must be "auto", "on" or "off"/ ],
                  [ 'pprof_gops on; pprof_gops on;', qr/"pprof_gops" directive is duplicate/ ],
                  [ 'pprof_gops_dir "";', qr/invalid value "" in "pprof_gops_dir" directive, it must be a path/ ],
                  [ 'pprof_gops_dir a; pprof_gops_dir b;', qr/"pprof_gops_dir" directive is duplicate/ ])
    {
        my ($code, $out) = check_config(http_config => $case->[0], %only);
        is($code, 1, "$case->[0] is refused");
        like($out, $case->[1], "$case->[0]: the error");
    }

    # a directory that workers cannot write; the agent is there all the same

    SKIP: {
        skip 'not root', 3 if $> != 0;

        mkdir "$dir/closed", 0755;
        my $nginx = start_nginx(http_config => "pprof_production off; pprof_gops_dir $dir/closed;",
                                config => 'location /debug/pprof { pprof auto; }');

        like($nginx->error_log, qr/\[warn\] .*no port file of this worker for gops in "\Q$dir\E\/closed"; set "pprof_gops_dir" to/,
             'not writable: the directive is named');
        my ($port) = $nginx->get('/debug/pprof/')->{content} =~
                     m{<td class="n">(\d{4,5})</td><td>(?:running|sampled)};
        like(answer($port // 1, VERSION), qr/^nginx/, 'not writable: answers by address');
        is($nginx->quit, 0, 'not writable: quit');
    }

    # what the workers' user has made of the way there, and whose the end of it is

    SKIP: {
        skip 'not root', 6 if $> != 0;

        my $user = getpwnam 'www-data';
        mkdir "$dir/$_" or die "mkdir: $!\n" for 'theirs', 'secret', 'foreign';
        chown $user, -1, "$dir/theirs";
        chown scalar getpwnam('nobody'), -1, "$dir/foreign";
        symlink "$dir/secret", "$dir/theirs/a";

        my $nginx = start_nginx(http_config => "pprof_production off; pprof_gops_dir $dir/theirs/a/ports;",
                                config => 'location /debug/pprof { pprof auto; }');

        ok(!-e "$dir/secret/ports", 'a link of the workers\' user is not followed');
        like($nginx->error_log, qr/\[warn\] .*"\Q$dir\E\/theirs\/a\/ports" for the port files of gops cannot be made/,
             'link: the log says so');
        is($nginx->quit, 0, 'link: quit');

        $nginx = start_nginx(http_config => "pprof_production off; pprof_gops_dir $dir/foreign;",
                             config => 'location /debug/pprof { pprof auto; }');

        like($nginx->error_log, qr/\[warn\] .*"\Q$dir\E\/foreign" for the port files of gops belongs to another user/,
             'foreign: the log says so');
        is((stat "$dir/foreign")[4], scalar getpwnam('nobody'), 'foreign: it stays so');
        is($nginx->quit, 0, 'foreign: quit');
    }

    # nobody said anything: where the starting user has it, or nginx its own

    my $home = temp_dir();
    my $nginx = start_nginx(user => 'root', env => { GOPS_CONFIG_DIR => '', HOME => "$home",
                                                     XDG_CONFIG_HOME => '' },
                            config => 'location /debug/pprof { pprof auto; }');

    ok(wait_for(sub { -e "$home/.config/gops/" . ($nginx->worker_pids)[0] }, 30),
       'home: the file is where gops looks');
    $nginx->quit;
}


# A program without nginx

{
    my ($code, $out) = run_command([ 'cc', '-std=c99', '-O2', '-g', '-D_GNU_SOURCE',
        '-Wall', '-Wextra', '-Werror', '-pedantic', '-I', "$Pprof::Root/runtime",
        '-o', "$dir/agent", "$Pprof::Root/t/hosted/agent.c", "-L$Pprof::Build",
        '-lpprofrt', "-Wl,-rpath,$Pprof::Build" ], bound => 120);

    is($code, 0, 'program: compiles') or diag $out;

    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        close $write;
        open STDIN, '<&', $read;
        $ENV{GOPS_CONFIG_DIR} = "$dir/program";
        exec "$dir/agent" or POSIX::_exit(127);
    }

    close $read;
    ok(wait_for(sub { -s "$dir/program/$pid" }, 60), 'program: a port file');

    for my $target ($pid, '127.0.0.1:' . port("$dir/program", $pid)) {
        my ($rc, $text) = gops("$dir/program", [ 'stack', $target ]);
        is($rc, 0, 'program: stack');
        like($text, qr/^goroutine 1 \[running\]:\nagent_work\(\.\.\.\)\n.*\nmain/m,
             'program: stack: its functions');
        like((gops("$dir/program", [ 'version', $target ]))[1], qr/\Aagent\/1\.0, pprofrt/,
             'program: version');
        like((gops("$dir/program", [ 'stats', $target ]))[1], qr/\Agoroutines: \d+\n/,
             'program: stats');
        like((gops("$dir/program", [ 'memstats', $target ]))[1], qr/^resident: /m,
             'program: memstats');
        is((gops("$dir/program", [ 'gc', $target ]))[0], 0, 'program: gc');
        like((gops("$dir/program", [ 'pprof-heap', $target ], input => "top\n"))[1],
             qr/Type: inuse_space/, 'program: pprof-heap');
    }

    my ($rc, $text) = gops("$dir/program", [ 'pprof-cpu', $pid ], input => "top\n",
                           bound => 120);
    like($text, qr/\d% +agent_work\b/, 'program: pprof-cpu') or diag $text;

    close $write;
    waitpid $pid, 0;
    is($?, 0, 'program: ends');
    is_deeply([ files("$dir/program") ], [], 'program: no file');
}


# tools/ngx-gops, with Go and without, with the port file and without

{
    my $nginx = start_nginx(%config, workers => 2);

    right_files($nginx, 'ngx-gops');

    my $master = $nginx->pid;
    my ($pid, $other) = $nginx->worker_pids;
    my $address = '127.0.0.1:' . port($nginx, $pid);

    # in another home Go would make its tools anew

    my (undef, $cache) = run_command([ PprofTest::find('go'), 'env', 'GOCACHE' ]);
    chomp $cache;

    my $run = sub {
        my ($args, %env) = @_;
        return run_command([ $tool, @$args ], bound => 180,
                           env => { GOPS_CONFIG_DIR => ports($nginx), TMPDIR => "$dir",
                                    HOME => "$dir", PPROF_TMPDIR => "$dir",
                                    GOCACHE => $cache, %env });
    };

    my ($code, $out) = $run->([]);
    is($code, 0, 'ngx-gops: list');
    like($out, qr/^$pid +$master +nginx\* +nginx\/[\d.]+ +\/\S+$/m, 'ngx-gops: a worker');
    like($out, qr/^$master +\d+ +nginx +nginx\/[\d.]+ +\/\S+$/m, 'ngx-gops: the master');

    ($code, $out) = $run->([ 'tree' ]);
    like($out, qr/ $master \(nginx\) \{nginx\/[\d.]+\}\n.*\[\*\]  $pid \(nginx\)/,
         'ngx-gops: tree') or diag $out;

    ($code, $out) = $run->([ $pid ]);
    is($code, 0, 'ngx-gops: PID');
    like($out, qr/^parent PID:\t$master\nthreads:\t\d+\nmemory usage:\t[\d.]+%\ncpu usage:\t[\d.]+%\nusername:\t\w/,
         'ngx-gops: PID: as gops has it') or diag $out;
    like($out, qr/^local\/remote:\t127\.0\.0\.1:@{[ $nginx->port ]} <-> 0\.0\.0\.0:0 \(LISTEN\)/m,
         'ngx-gops: PID: connections');
    like(($run->([ $pid, '300ms' ]))[1], qr/^cpu usage \(300ms\):\t[\d.]+%$/m,
         'ngx-gops: over a time');

    my $without = "$dir/without";
    mkdir $without;
    symlink PprofTest::find($_), "$without/$_"
        for qw( bash sh cat tr sed awk stat grep head sort readlink tail mktemp rm
                od id find getconf sleep dd );

    for my $case ([ 'PID', $pid ], [ 'address', $address ],
                  [ 'no port file', $pid, GOPS_CONFIG_DIR => "$dir/none" ],
                  [ 'no Go', $pid, PATH => $without ])
    {
        my ($name, $target, %env) = @$case;

        if ($name eq 'no Go' && !-x "$without/bash") {
            next;
        }

        like(($run->([ 'stack', $target ], %env))[1], qr/^goroutine \d+ \[/m, "$name: stack");
        like(($run->([ 'memstats', $target ], %env))[1], qr/\Aalloc: .*^arenas: /ms,
             "$name: memstats");
        like(($run->([ 'version', $target ], %env))[1], qr/\Anginx\//, "$name: version");
        like(($run->([ 'stats', $target ], %env))[1], qr/\Agoroutines: /, "$name: stats");
        is(($run->([ 'gc', $target ], %env))[0], 0, "$name: gc");
        like(($run->([ 'setgc', $target, 100 ], %env))[1], qr/^Nothing is/, "$name: setgc");

        my ($rc, $text) = $run->([ 'pprof-heap', $target ], PATH => $path, %env);
        is($rc, 0, "$name: pprof-heap") or diag $text;
        my ($file) = $text =~ /^saved to: (\S+)/m;
        is_deeply([ Pprof::Proto->parse(PprofTest::slurp($file // '/dev/null'))->problems ],
                  [], "$name: pprof-heap: a profile");
        like($text, $name eq 'no Go' ? qr/^no Go here: go tool pprof /m : qr/^Type: inuse_space/m,
             "$name: pprof-heap: opens");
    }

    like(($run->([ 'stack', 1 ]))[1], qr/no agent to be seen in process 1/, 'ngx-gops: no agent');
    is(($run->([ 'stack' ]))[0], 1, 'ngx-gops: no target');

    # what the workers' user may have put in the place of a port file

    mkdir "$dir/planted";
    POSIX::mkfifo("$dir/planted/$pid", 0644) or die "mkfifo: $!\n";
    symlink '/dev/zero', "$dir/planted/$other";

    ($code, $out) = $run->([], GOPS_CONFIG_DIR => "$dir/planted");
    is($code, 0, 'planted: list');
    like($out, qr/^$_ +$master +nginx\* /m, "planted: the agent's port all the same")
        for $pid, $other;
    like(($run->([ 'version', $_ ], GOPS_CONFIG_DIR => "$dir/planted"))[1], qr/\Anginx\//,
         'planted: version') for $pid, $other;

    like(($run->([ 'version', '[::1]:1' ]))[1], qr/no answer from ::1:1: /,
         'ngx-gops: an address of IPv6');
    is(($run->([ 'burn', $pid ]))[0], 1, 'ngx-gops: no such command');

    $nginx->stop;
}

done_testing();
