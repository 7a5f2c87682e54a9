package PprofTest;

# Copyright (C) the maintainers of nginx pprof

# For tests that need more than a request and its response: reload under load,
# upgrades, crashes, go tool pprof, what is left over.  With Test::More:
#
#   use lib 't/lib';
#   use PprofTest;
#
#   my $nginx = start_nginx(workers => 2, config => q{
#       location /debug/pprof { pprof on; }
#       location /burn { hosted burn slice=10; }
#   });
#
#   my $job = $nginx->background('/burn?ms=1000');
#   my $res = $nginx->get('/debug/pprof/profile?seconds=1');
#   my $p = Pprof::Proto->parse($res->{content});
#   is_deeply([ $p->problems ], []);
#   $nginx->quit;
#   is_deeply([ $nginx->alerts ], []);
#
# Everything that was started is ended, and every directory removed, when the
# test ends, however it ends.

use strict;
use warnings;

use Carp qw( croak );
use Exporter 'import';
use File::Temp ();
use HTTP::Tiny ();
use JSON::PP ();
use Test::More ();
use Time::HiRes qw( sleep time );

use Pprof ();
use Pprof::Process qw( wait_for free_port port_is_free pid_alive children );
use Pprof::Proto ();

our @EXPORT = qw( start_nginx check_config wait_for free_port port_is_free
                  pid_alive children have needs run_command go_pprof tls_listen
                  temp_dir process_state leftovers cpu_ns late_ns fetch );

# nginx runs its own path again for an upgrade, so it has to be a whole one.

our $Binary = find($ENV{TEST_NGINX_BINARY} || 'nginx');

my %Default = (
    workers     => 1,
    master      => 'on',
    log_level   => 'info',
    connections => 512,
    main_config => '',
    http_config => '',
    config      => '',
    events      => '',
);


sub find {
    my ($program) = @_;

    return $program if $program =~ m{/};

    my ($dir) = grep { -x "$_/$program" }
                split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin',
                '/usr/local/go/bin';

    return $dir ? "$dir/$program" : $program;
}


sub have { find($_[0]) =~ m{/} }


# Programs without which the rest of a test file makes no sense: one that is
# missing fails in CI, and skips that rest elsewhere.

sub needs {
    my @missing = grep { !have($_) } @_ or return;
    my $test = Test::More->builder;

    croak "missing: @missing" if $ENV{CI};

    if ($test->current_test) {
        $test->skip("missing: @missing");
        $test->done_testing;
        exit !$test->is_passing;
    }

    $test->skip_all("missing: @missing");
}


# A directory that workers of another user can enter, removed at the end.

sub temp_dir {
    my $dir = File::Temp->newdir('pprof-test-XXXXXX', TMPDIR => 1);

    chmod 0755, $dir;
    return $dir;
}


# start_nginx(OPTIONS): config, http_config, main_config, events go where they
# say; workers, master ('on', 'off'), log_level, connections, port, listen
# (what follows the port), modules (paths; all that "make" built), user
# (www-data when root), env, daemon (1: in the background, as an upgrade by
# USR2 needs it), conf (a whole nginx.conf instead: $PORT and $DIR are set), token
# (of get() and what calls it, where that says nothing else).

sub start_nginx {
    my $self = _lay_out(@_);

    my @command = ($Binary, '-p', "$self->{dir}/", '-e',
                   "$self->{dir}/logs/error.log", '-c',
                   "$self->{dir}/nginx.conf");

    $self->{process} = Pprof::Process->start(command => \@command,
        output => "$self->{dir}/logs/stderr", env => $self->{env});

    if ($self->{daemon}) {
        my $status = $self->{process}->wait_exit(60);
        $self->_no_start unless defined $status && $status == 0;
        $self->_adopt;
    }

    my $ready = $self->{process}->wait_port($self->{port}, 60);
    $self->_no_start unless $ready;

    wait_for { $self->worker_pids >= $self->{workers} } 60
        if $self->{master} eq 'on';

    return $self;
}


# Its directory, with nginx.conf.

sub _lay_out {
    my $self = bless { %Default, @_, dirh => temp_dir() }, __PACKAGE__;

    $self->{dir} = "$self->{dirh}";
    $self->{port} ||= free_port();
    mkdir "$self->{dir}/$_" for qw( logs html );
    $self->configure;

    return $self;
}


sub _no_start {
    my ($self) = @_;

    croak 'nginx does not start: ' . $self->error_log
          . slurp("$self->{dir}/logs/stderr");
}


# Takes the newest master from the pid file.

sub _adopt {
    my ($self) = @_;
    my $pid;

    wait_for {
        ($pid) = slurp("$self->{dir}/nginx.pid") =~ /^(\d+)\n/;
    } 60 or croak 'no pid file';

    $self->{process} = Pprof::Process->adopt($pid);

    return $pid;
}


# Writes nginx.conf; with arguments, after changing the options: a reload will
# take them.

sub configure {
    my ($self, %change) = @_;

    @$self{keys %change} = values %change;

    my $modules = join '', map { "load_module $_;\n" }
                  @{ $self->{modules} || [ default_modules() ] };
    my $user = $self->{user} // ($> == 0 && getpwnam 'www-data'
                                 ? 'www-data' : undef);
    $user = defined $user && $> == 0 ? "user $user;" : '';

    my $daemon = $self->{daemon} ? 'on' : 'off';
    my $listen = $self->{listen} // '';
    my $dir = $self->{dir};

    my $temp = join '', map { "    ${_}_temp_path $dir/$_;\n" }
                        qw( client_body proxy fastcgi uwsgi scgi );

    my $conf = $self->{conf} // <<"EOC";
$modules
$user
daemon $daemon;
master_process $self->{master};
worker_processes $self->{workers};
error_log $dir/logs/error.log $self->{log_level};
pid $dir/nginx.pid;
$self->{main_config}

events {
    worker_connections $self->{connections};
    $self->{events}
}

http {
    access_log $dir/logs/access.log;
    default_type text/plain;
$temp
$self->{http_config}

    server {
        listen 127.0.0.1:$self->{port} $listen;
        server_name localhost;
        root $dir/html;

$self->{config}
    }
}
EOC

    $conf =~ s/\$PORT\b/$self->{port}/g;
    $conf =~ s/\$DIR\b/$dir/g;

    spew("$dir/nginx.conf", $conf);
}


sub default_modules {
    return split ' ', $ENV{TEST_NGINX_LOAD_MODULES}
        if length($ENV{TEST_NGINX_LOAD_MODULES} // '');
    return Pprof::modules();
}


# "nginx -t" of a configuration as start_nginx() takes it: exit code, output.

sub check_config {
    my $self = _lay_out(@_);

    return run_command([ $Binary, '-t', '-p', "$self->{dir}/",
                         '-c', "$self->{dir}/nginx.conf" ], bound => 60);
}


sub slurp {
    my ($path, $from) = @_;

    open my $in, '<', $path or return '';
    binmode $in;
    seek $in, $from, 0 if $from;

    return do { local $/; <$in> } // '';
}


sub spew {
    my ($path, $text) = @_;

    open my $out, '>', $path or croak "$path: $!";
    binmode $out;
    print $out $text;
    close $out or croak "$path: $!";
}


sub pid { $_[0]{process}->pid }
sub port { $_[0]{port} }
sub dir { $_[0]{dir} }
sub alive { $_[0]{process}->alive }
sub url { "http://127.0.0.1:$_[0]{port}" . ($_[1] // '') }


# Worker processes of this master, old generations too; helpers are no workers.

sub worker_pids {
    my ($self) = @_;

    return $self->pid if $self->{master} eq 'off';

    return grep { slurp("/proc/$_/cmdline") =~ /worker process/ }
           children($self->pid);
}


sub signal { $_[0]{process}->signal($_[1]) }


# Reloads, and waits until as many new workers run as there should be, and no
# old one accepts connections.

sub reload {
    my ($self, %change) = @_;
    my %old = map { $_ => 1 } $self->worker_pids;

    $self->configure(%change) if %change;
    $self->signal('HUP');

    return wait_for {
        my @now = $self->worker_pids;

        (grep { !$old{$_} } @now) >= $self->{workers}
            && !grep {
                $old{$_} && slurp("/proc/$_/cmdline") !~ /shutting down/
            } @now;
    } 60;
}


# Runs the code while of all workers only this one serves.  The kernel may give
# every connection to the same one; a stopped one waits for none.

sub only {
    my ($self, $pid, $code) = @_;
    my @others = grep { $_ != $pid } $self->worker_pids;

    kill STOP => @others;

    for my $other (@others) {
        wait_for { slurp("/proc/$other/stat") =~ /\) T / } 60;
    }

    my $result = eval { $code->() };
    my $error = $@;

    kill CONT => @others;
    croak $error if $error;

    return $result;
}


# Waits until there are only so many workers as there should be.

sub settled {
    my ($self, $bound) = @_;

    return wait_for { $self->worker_pids == $self->{workers} } $bound // 60;
}


# A new binary (needs daemon => 1): the new master's pid.  The object stands
# for the new one from then on; old_master is the other.

sub usr2 {
    my ($self) = @_;

    croak 'usr2 needs daemon => 1' unless $self->{daemon};

    my $old = $self->{process};
    my $old_pid = $old->pid;

    $old->signal('USR2');

    wait_for {
        my ($pid) = slurp("$self->{dir}/nginx.pid") =~ /^(\d+)\n/;
        $pid && $pid != $old_pid;
    } 60 or croak 'no new master: ' . $self->error_log;

    $self->{old_master} = $old;
    $self->_adopt;

    wait_for { $self->worker_pids >= $self->{workers} } 60;

    return $self->pid;
}


# Ends gracefully within the bound; the exit status, undef if it took longer
# (and was ended by force).

sub quit {
    my ($self, $bound) = @_;

    $self->signal('QUIT');

    my $status = $self->{process}->wait_exit($bound // 60);
    $self->stop unless defined $status;

    return $status;
}


sub stop {
    my ($self) = @_;

    for my $process (grep { defined } @$self{qw( process old_master )}) {
        $process->stop(graceful => 0);
    }
}


sub error_log { slurp("$_[0]{dir}/logs/error.log") }
sub access_log { slurp("$_[0]{dir}/logs/access.log") }


# Lines of these levels, less those that the test has provoked itself.

sub alerts {
    my ($self, @expected) = @_;
    my @lines = grep { /\[(?:alert|emerg)\]/ } split /\n/, $self->error_log;

    for my $pattern (@expected) {
        @lines = grep { $_ !~ $pattern } @lines;
    }

    return @lines;
}


# HTTP::Tiny's response: status, reason, headers (lower case), content.
# Options: method, headers, content, token (sent as Bearer), timeout.

sub get {
    my ($self, $path, %opt) = @_;
    my %headers = %{ $opt{headers} || {} };
    my $token = $opt{token} // $self->{token};

    $headers{Authorization} = "Bearer $token" if defined $token;

    my $http = HTTP::Tiny->new(timeout => $opt{timeout} // 120,
        max_redirect => 0, keep_alive => 0, agent => 'pprof-test',
        proxy => undef, http_proxy => undef);

    return $http->request($opt{method} // 'GET', $self->url($path), {
        headers => \%headers,
        defined $opt{content} ? (content => $opt{content}) : (),
    });
}


# The answer of the hosted module as a hash.

sub hosted {
    my ($self, $path, %opt) = @_;
    my $res = $self->get($path, %opt);

    croak "$path: $res->{status} $res->{content}" if $res->{status} != 200;
    return JSON::PP::decode_json($res->{content});
}


# A profile, parsed; dies of anything but a profile.

sub profile {
    my ($self, $path, %opt) = @_;
    my $res = $self->get($path, %opt);

    croak "$path: $res->{status} $res->{content}" if $res->{status} != 200;
    return Pprof::Proto->parse($res->{content});
}


# How many requests all workers serve at the moment, the one that asks among
# them.

sub serving {
    my ($self) = @_;
    my $sum = 0;

    $sum += $_ for $self->get('/debug/pprof/')->{content}
                   =~ m{MiB</td><td class="n">\d+</td><td class="n">(\d+)</td>}g;

    return $sum;
}


# Waits until a window is open that was asked for in the background: it is served
# beside so many other requests, and what was asked of the profiler's threads
# after it is answered.

sub opened {
    my ($self, $others) = @_;

    wait_for { $self->serving == 2 + ($others // 0) } 60 or croak 'no window';

    for (1 .. 3) {
        $self->serving;
        sleep 0.1;
    }
}


# A profile of a window, as it was answered, and what the code returned that ran
# in it, from its beginning to its end: where the window ended before, once more
# in a longer one.

sub window {
    my ($self, $path, $seconds, $code) = @_;

    my $others = $self->serving - 1;

    for ( ; $seconds < 300; $seconds *= 2) {
        my $job = $self->background($path . ($path =~ /\?/ ? '&' : '?')
                                    . "seconds=$seconds");

        $self->opened($others);

        my $result = $code->();
        my $in_time = !$job->done;
        my $res = $job->result(600);

        return ($res, $result) if $in_time;
    }

    croak "$path: the work takes longer than any window";
}


# curl with these arguments; a path gets the server's address before it.
# Answer: exit, status, headers (as sent), content, error.

sub curl {
    my ($self, @args) = @_;

    return $self->background(@args)->result;
}


# The same in the background: ->result(BOUND) waits, ->hang_up ends it, and
# ->begun tells that its answer has.

sub background {
    my ($self, @args) = @_;

    return fetch(map { m{^/} ? $self->url($_) : $_ } @args);
}


sub fetch {
    my (@args) = @_;
    my $dir = temp_dir();

    needs('curl');

    my $process = Pprof::Process->start(output => "$dir/out", command => [
        'curl', '-sS', '-D', "$dir/headers", '-o', "$dir/body",
        '--max-time', 600, @args ]);

    return bless { dirh => $dir, process => $process }, 'PprofTest::Fetch';
}


# Load of connections for seconds on a path, by wrk or, without it and not in
# CI, by curl.

sub load {
    my ($self, $path, %opt) = @_;
    my $seconds = $opt{seconds} // 10;
    my $connections = $opt{connections} // 8;
    my $url = $path =~ /^http/ ? $path : $self->url($path);
    my @headers = map { ('-H', $_) } @{ $opt{headers} || [] };

    needs('wrk') if $ENV{CI};

    my @command = have('wrk')
        ? ('wrk', '-t1', "-c$connections", "-d${seconds}s", @headers, $url)
        : ('sh', '-c', 'end=$(($(date +%s) + $1)); shift; '
           . 'while [ $(date +%s) -lt $end ]; do '
           . 'curl -sk -o /dev/null --max-time 60 "$@"; done', 'load',
           $seconds, @headers, ($url) x 16);

    return Pprof::Process->start(output => '/dev/null', command => \@command);
}


# Runs a command with a bound: exit code (undef when it was ended), output.

sub run_command {
    my ($command, %opt) = @_;
    my $dir = temp_dir();

    my $process = Pprof::Process->start(command => $command,
        output => "$dir/out", env => $opt{env});
    my $status = $process->wait_exit($opt{bound} // 120);
    my $code = defined $status ? ($status & 127 ? -($status & 127)
                                                : $status >> 8) : undef;

    $process->stop(graceful => 0);

    return ($code, slurp("$dir/out"));
}


# go tool pprof with these arguments: output, and exit code.

sub go_pprof {
    my (@args) = @_;
    my $dir = temp_dir();

    needs('go');

    my ($code, $out) = run_command([ find('go'), 'tool', 'pprof', @args ],
        bound => 180, env => { PPROF_TMPDIR => "$dir", PPROF_BINARY_PATH => "$dir" });

    return wantarray ? ($out, $code) : $out;
}


# What a server's block needs for TLS and HTTP/2: the port that it has then, and the
# lines.  All of a test have the same certificate, for localhost.

{
    my $dir;

    sub tls_listen {
        my $port = free_port();

        if (!$dir) {
            my $made = temp_dir();
            my ($code, $out) = run_command([ "$Pprof::Root/tools/tls", "$made" ]);
            croak "tools/tls: $out" if !defined $code || $code != 0;
            $dir = $made;
        }

        return ($port, "listen 127.0.0.1:$port ssl http2; "
                       . "ssl_certificate $dir/cert.pem; "
                       . "ssl_certificate_key $dir/key.pem;");
    }
}


# What a process holds: fds (number => target), those of our own threads, which
# have a table of their own, among them; threads (tid => name), timers
# (POSIX ones, undef where the kernel does not tell), mappings (count), and
# rss in bytes.

sub process_state {
    my ($pid) = @_;
    my (%fds, %threads, $timers);

    for my $fd (glob "/proc/$pid/fd/*") {
        my $target = readlink $fd // next;
        $fds{$1} = $target if $fd =~ m{/(\d+)$};
    }

    for my $task (glob "/proc/$pid/task/*") {
        my ($tid) = $task =~ m{/(\d+)$} or next;
        chomp($threads{$tid} = slurp("$task/comm"));

        next if $threads{$tid} !~ /^pprof-/;

        for my $fd (glob "$task/fd/*") {
            my $target = readlink $fd // next;
            $fds{"own $1"} = $target if $fd =~ m{/(\d+)$};
        }
    }

    if (open my $in, '<', "/proc/$pid/timers") {
        $timers = grep { /^ID:/ } <$in>;
    }

    my $mappings = () = slurp("/proc/$pid/maps") =~ /\n/g;
    my ($rss) = slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;

    return { fds => \%fds, threads => \%threads, timers => $timers,
             mappings => $mappings, rss => ($rss // 0) * 1024 };
}


# What is in the second state and was not in the first: descriptors by kind
# (so that a changed number is no difference), threads by name, timers.

sub leftovers {
    my ($before, $after) = @_;
    my @left;

    my $kinds = sub {
        my %n;
        $n{s/[\d]+/N/gr}++ for @_;
        return \%n;
    };

    for my $what (qw( fds threads )) {
        my ($b, $a) = map { $kinds->(values %{ $_->{$what} }) } $before, $after;

        for my $kind (sort keys %$a) {
            my $more = $a->{$kind} - ($b->{$kind} // 0);
            push @left, "$what: $more x $kind" if $more > 0;
        }
    }

    my $timers = ($after->{timers} // 0) - ($before->{timers} // 0);
    push @left, "timers: $timers" if $timers > 0;

    return @left;
}


# CPU time of a process' living threads, or of one, by the scheduler's books; and
# how long they have waited for a CPU.

sub cpu_ns { _schedstat(0, @_) }
sub late_ns { _schedstat(1, @_) }


sub _schedstat {
    my ($field, $pid, $tid) = @_;
    my $sum = 0;

    for my $file (defined $tid ? "/proc/$pid/task/$tid/schedstat"
                               : glob "/proc/$pid/task/*/schedstat")
    {
        $sum += (split ' ', slurp($file))[$field] // 0;
    }

    return $sum;
}


sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);

    $self->stop if $self->{process};
}


package PprofTest::Fetch;

use strict;
use warnings;


sub done { !$_[0]{process}->alive }
sub begun { -s "$_[0]{dirh}/headers" }
sub hang_up { $_[0]{process}->stop(graceful => 0) }


sub result {
    my ($self, $bound) = @_;
    my $dir = $self->{dirh};
    my $status = $self->{process}->wait_exit($bound // 300);

    $self->hang_up unless defined $status;

    # the headers of the last response: there may be a 100 before it

    my @heads = split /\r\n\r\n/, PprofTest::slurp("$dir/headers");
    my $head = @heads ? "$heads[-1]\r\n" : '';
    my ($code) = $head =~ m{^HTTP/\S+ (\d+)};

    return {
        exit => defined $status ? $status >> 8 : undef,
        status => $code // 0,
        headers => $head,
        content => PprofTest::slurp("$dir/body"),
        error => PprofTest::slurp("$dir/out"),
    };
}


sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);

    $self->hang_up;
}


1;
