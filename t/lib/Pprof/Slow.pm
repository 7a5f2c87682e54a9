package Pprof::Slow;

# Copyright (C) the maintainers of nginx pprof

# What is slow beside nginx: an upstream whose answers take known times, and
# clients that send and read with pauses.

use strict;
use warnings;

use IO::Socket::INET ();
use Time::HiRes qw( sleep time );

use Pprof::Process ();


# An upstream: "/?header=MS&body=MS" are the times before the header and
# between it and the body.  Each connection has its process.

sub upstream {
    my ($class) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 511,
                                       ReuseAddr => 1) or die "upstream: $!\n";

    return bless { pid => serve_all($listen), port => $listen->sockport }, $class;
}


sub serve_all {
    my ($listen) = @_;
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        local $SIG{CHLD} = 'IGNORE';
        local $SIG{TERM} = 'DEFAULT';
        my $parent = getppid;

        while (getppid == $parent) {
            my $ready = '';
            vec($ready, fileno $listen, 1) = 1;
            select($ready, undef, undef, 1) > 0 or next;

            my $c = $listen->accept or next;

            if ((fork // 1) == 0) {
                serve($c);
                POSIX::_exit(0);
            }
        }

        POSIX::_exit(0);
    }

    return $pid;
}


sub serve {
    my ($c) = @_;
    my $request = '';

    while ($request !~ /\r\n\r\n/) {
        sysread($c, $request, 4096, length $request) or return;
    }

    my ($length) = $request =~ /^content-length: (\d+)/mi;
    my ($head) = $request =~ /^(.*?\r\n\r\n)/s;

    while ($length && length($request) < length($head) + $length) {
        sysread($c, $request, 65536, length $request) or return;
    }

    my ($header) = $head =~ /[?&]header=(\d+)/;
    my ($body) = $head =~ /[?&]body=(\d+)/;

    sleep(($header || 0) / 1000);
    syswrite($c, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n"
                 . "Cache-Control: max-age=60\r\n\r\n");
    sleep(($body || 0) / 1000);
    syswrite($c, "done\n");
}


sub port { $_[0]{port} }


# A port whose queue is full.  Nobody accepts there before ->hear: those who
# tried in vain until then try again a second after they began.

sub deaf {
    my ($class) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "listen: $!\n";
    my @full;

    for (1 .. 4) {
        push @full, IO::Socket::INET->new(Proto => 'tcp', Blocking => 0);
        connect $full[-1], getsockname $listen;
    }

    return bless { port => $listen->sockport, listen => $listen,
                   full => \@full }, $class;
}


sub hear {
    my ($self) = @_;

    listen $self->{listen}, 511;
    $self->{full} = [];
    $self->{pid} = serve_all($self->{listen});
}


# Clients side by side, each a list: texts are sent, numbers are pauses in ms,
# [ BYTES ] is read; in the end all that comes.

sub clients {
    my ($port, @clients) = @_;
    my @pids;

    for my $client (@clients) {
        my $pid = fork // die "fork: $!\n";

        if ($pid) {
            push @pids, $pid;
            next;
        }

        my $c = IO::Socket::INET->new(Proto => 'tcp');
        setsockopt $c, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 65536;
        connect $c, Socket::pack_sockaddr_in($port, Socket::inet_aton('127.0.0.1'))
            or POSIX::_exit(1);

        for my $step (@$client) {
            my $bytes;

            if (ref $step) {
                my $left = $step->[0];
                while ($left > 0) {
                    $left -= sysread($c, $bytes, $left) || last;
                }

            } elsif ($step =~ /^[\d.]+$/) {
                sleep($step / 1000);

            } else {
                syswrite $c, $step;
            }
        }

        my $bytes;
        1 while sysread $c, $bytes, 65536;
        POSIX::_exit(0);
    }

    return @pids;
}


sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);

    if ($self->{pid}) {
        kill 'TERM', $self->{pid};
        waitpid $self->{pid}, 0;
    }
}


use POSIX ();
use Socket ();

1;
