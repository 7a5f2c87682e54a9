package Pprof::Process;

# Copyright (C) the maintainers of nginx pprof

# One nginx in the foreground as a child of the test: started, observed and
# ended by its pid, with a bound on every wait.

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;
use POSIX qw( WNOHANG _exit );
use Socket qw( AF_UNIX SOCK_STREAM pack_sockaddr_un );
use Time::HiRes qw( sleep time );

our @EXPORT_OK = qw( wait_for free_port port_is_free pid_alive children );

my %running;


# Calls the condition until it is true or the bound (seconds) is over, which is
# for what never comes: a busy machine may take its time.

sub wait_for (&;$) {
    my ($condition, $bound) = @_;
    my ($value, $end, $step) = (undef, time() + ($bound // 60), 0.002);

    while (1) {
        $value = $condition->();
        return $value if $value || time() >= $end;
        sleep $step;
        $step *= 1.5 if $step < 0.05;
    }
}


sub port_is_free {
    my ($port, $addr) = @_;

    return defined IO::Socket::INET->new(
        LocalAddr => $addr // '127.0.0.1', LocalPort => $port,
        Listen => 1, ReuseAddr => 1, Proto => 'tcp');
}


# A port that nobody listens at, and that nobody else gets: neither the kernel
# gives it away, as its own range is another one, nor does another run of these
# tests, for a name goes with it that only one process can have.

my %given;

sub free_port {
    my ($low, $high) = (10_000, 32_000);

    if (open my $range, '<', '/proc/sys/net/ipv4/ip_local_port_range') {
        my ($first, $last) = split ' ', <$range> // '';

        $high = $first - 1 if $first > $low + 1000 && $first <= $high;
        ($low, $high) = ($last + 1, 65_535) if $first <= $low + 1000 && $last < 64_000;
    }

    for (1 .. 10_000) {
        my $port = $low + int rand $high - $low;
        next if $given{$port} || !port_is_free($port);

        socket my $name, AF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
        bind $name, pack_sockaddr_un("\0pprof-test-port-$port") or next;

        $given{$port} = $name;
        return $port;
    }

    die 'no free port';
}


# A zombie is not alive.

sub pid_alive {
    my ($pid) = @_;

    open my $f, '<', "/proc/$pid/stat" or return 0;
    my $line = <$f> // '';

    return $line =~ /\) [^ZX] /;
}


sub children {
    my ($parent) = @_;
    my @pids;

    for my $stat (glob '/proc/[0-9]*/stat') {
        open my $f, '<', $stat or next;
        my $line = <$f> // next;
        my ($pid, $state, $ppid) = $line =~ /^(\d+) \(.*\) (\S) (\d+) / or next;
        push @pids, $pid if $ppid == $parent && $state !~ /[ZX]/;
    }

    return sort { $a <=> $b } @pids;
}


# start(command => [...], output => FILE, env => {...})

sub start {
    my ($class, %arg) = @_;

    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        @ENV{keys %{ $arg{env} || {} }} = values %{ $arg{env} || {} };
        $SIG{$_} = 'DEFAULT' for qw( INT TERM HUP QUIT CHLD PIPE ALRM );

        if ($arg{output}) {
            open STDOUT, '>>', $arg{output} or _exit(126);
            open STDERR, '>&', \*STDOUT or _exit(126);
        }

        open STDIN, '<', '/dev/null';

        no warnings 'exec';
        exec { $arg{command}[0] } @{ $arg{command} } or _exit(127);
    }

    my $self = bless { pid => $pid, owner => $$ }, $class;
    $running{$pid} = $self;

    return $self;
}


# One that is no child of ours: a daemon.  Its start time tells it from a later
# process with the same number.

sub adopt {
    my ($class, $pid) = @_;

    my $self = bless { pid => $pid, owner => $$, since => since($pid) }, $class;
    $running{$pid} = $self;

    return $self;
}


sub since {
    my ($pid) = @_;

    open my $f, '<', "/proc/$pid/stat" or return 0;
    my ($rest) = (<$f> // '') =~ /\) (.*)/ or return 0;

    return (split ' ', $rest)[19] // 0;
}


sub pid { $_[0]{pid} }


# The wait status, 0 of an adopted process; undef while it runs.

sub status {
    my ($self) = @_;

    if (!defined $self->{status} && defined $self->{since}) {
        if (!pid_alive($self->{pid}) || since($self->{pid}) != $self->{since}) {
            $self->{status} = 0;
            delete $running{$self->{pid}};
        }

    } elsif (!defined $self->{status} && $self->{owner} == $$) {
        my $r = waitpid $self->{pid}, WNOHANG;

        if ($r != 0) {
            $self->{status} = $r == $self->{pid} ? $? : -1;
            delete $running{$self->{pid}};
        }
    }

    return $self->{status};
}


sub alive { !defined $_[0]->status }


sub wait_exit {
    my ($self, $bound) = @_;

    wait_for { defined $self->status } $bound;

    return $self->status;
}


# True when something of ours accepts connections on the port.

sub wait_port {
    my ($self, $port, $bound, $addr) = @_;
    my $ready;

    wait_for {
        return 1 unless $self->alive;

        $ready = IO::Socket::INET->new(PeerAddr => $addr // '127.0.0.1',
            PeerPort => $port, Proto => 'tcp', Timeout => 2);
    } $bound // 60;

    return $self->alive && defined $ready;
}


sub signal {
    my ($self, $name) = @_;

    return $self->alive && kill $name, $self->{pid};
}


sub children_pids { $_[0]->alive ? children($_[0]{pid}) : () }


# QUIT (unless graceful => 0), then TERM, then KILL, each with its bound.  A
# killed master leaves workers behind; these are ended, too.  Returns the name
# of the signal that did it.

sub stop {
    my ($self, %arg) = @_;
    my ($did, @workers) = ('');

    return $did unless $self->alive;

    @workers = $self->children_pids;

    for my $step ([ QUIT => $arg{bound} // 10 ], [ TERM => 5 ], [ KILL => 5 ]) {
        my ($name, $bound) = @$step;

        next if $name eq 'QUIT' && defined $arg{graceful} && !$arg{graceful};

        $did = $name;
        $self->signal($name);
        last if defined $self->wait_exit($bound);
    }

    if ($did eq 'KILL') {
        kill KILL => grep { pid_alive($_) } @workers;
    }

    return $did;
}


sub stop_all {
    local $?;

    $_->stop(graceful => 0) for grep { $_->{owner} == $$ } values %running;
}


END { stop_all() }

for my $name (qw( INT TERM HUP )) {
    $SIG{$name} //= sub { exit 1 };
}


1;
