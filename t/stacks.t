
# Copyright (C) the maintainers of nginx pprof

# Stacks of a loaded nginx (gzip, TLS, HTTP/2, proxy): how many reach the
# thread's start, how many frames have a mapping and a name, and whether
# libunwind sees the same stacks.

use strict;
use warnings;

use lib 't/lib';
use POSIX ();
use PprofTest;
use Test::More;
use Time::HiRes qw( sleep );

my ($tls_port, $tls_listen) = tls_listen();

my $nginx = start_nginx(workers => 1, http_config => qq{
    upstream back { server 127.0.0.1:\$PORT; keepalive 16; }

    server {
        $tls_listen

        gzip on;
        gzip_types *;

        location /text { hosted text; }
        location /proxy {
            proxy_pass http://back/text;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}, config => q{
    location /debug/pprof { pprof on; pprof_bearer secret; }
    location /oracle { hosted oracle; }
    location /text { hosted text; gzip on; gzip_types *; }
    location /deep { hosted deep depth=30; }
    location / { return 200 "ok\n"; }
});

my $seconds = $ENV{STACKS_SECONDS} || 8;
my @calls = qw( writev recv epoll_wait );

sub keep_busy {
    my ($seconds) = @_;

    return map { my $url = $_; fork_load($url, $seconds) }
           "https://127.0.0.1:$tls_port/text?kb=40",
           "https://127.0.0.1:$tls_port/proxy?kb=8",
           $nginx->url('/text?kb=20'), $nginx->url('/none');
}


sub fork_load {
    my ($url, $seconds) = @_;

    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        { exec 'wrk', '-t1', '-c4', "-d${seconds}s", $url; }
        POSIX::_exit(127);
    }

    return $pid;
}


SKIP: {
    unless (have('wrk')) {
        die "wrk is missing\n" if $ENV{CI};
        skip 'wrk is missing', 1;
    }

    $nginx->hosted('/oracle');

    my ($p, $all, $oracle);

    # 800 samples, which are 250 in a second at most, and those of three calls

    for ( ; $seconds < 300; $seconds *= 2) {
        my @pids = keep_busy($seconds + 2);
        my $res = $nginx->get("/debug/pprof/profile?seconds=$seconds&hz=1000",
                              token => 'secret', timeout => 600);
        waitpid $_, 0 for @pids;

        is($res->{status}, 200, 'a profile under load') or diag $res->{content};

        $p = Pprof::Proto->parse($res->{content});
        is_deeply([ $p->problems ], [], 'well-formed');

        $all = $p->total('samples');
        $oracle = $nginx->hosted('/oracle');

        last if $oracle->{samples} > 800 && !grep {
            my $call = $_;
            !grep { ($_->{frames}[0] // '') eq $call } @{ $p->samples };
        } @calls;
    }

    cmp_ok($all, '>', 500, "$all samples");

    # reach the thread's start

    my $broken = $p->total('samples', sub {
        $_->{frames}[-1] =~ /^\[stack/;
    });

    my %ends;
    $ends{$_->{frames}[-1]} += $_->{values}[0] for @{ $p->samples };
    diag "$_: $ends{$_}" for grep { /^\[/ } sort keys %ends;

    cmp_ok($broken / $all, '<=', 0.005, 'stacks reach the start');

    my %roots = map { $_->{frames}[-1] => 1 } @{ $p->samples };
    is_deeply([ grep { !/^(?:_start|__?clone3?|\[stack.*)$/ } sort keys %roots ],
              [], 'and the start is one');

    # frames with mapping and name

    my ($frames, $named, $mapped) = (0, 0, 0);

    for my $s (@{ $p->samples }) {
        for my $id (@{ $s->{locations} }) {
            my $location = $p->location($id);
            $frames += $s->{values}[0];
            $mapped += $s->{values}[0] if $location->{mapping_id};
            $named += $s->{values}[0] if @{ $location->{line} || [] };
        }
    }

    cmp_ok($mapped / $frames, '>=', 0.99, 'frames with a mapping');
    cmp_ok($named / $frames, '>=', 0.99, 'frames with a name');

    # the parts of the work are there

    my %objects;

    for my $m ($p->mappings) {
        $objects{$1} = $m if ($m->{filename} // '') =~ m{([^/]+)$};
    }

    ok((grep { /^$_/ } keys %objects), "frames in $_")
        for qw(nginx libc.so libz.so libcrypto.so libssl.so
               ngx_http_hosted_module.so);

    is_deeply([ grep { $_->{filename} =~ m{^/} && !$_->{build_id} }
                $p->mappings ], [], 'mappings have build IDs');

    # system calls that are made without libc have its names

    for my $call (@calls) {
        ok((grep { ($_->{frames}[0] // '') eq $call } @{ $p->samples }),
           "$call() is seen");
    }

    # the profiler itself is in nobody's profile

    is_deeply([ grep { /libpprofrt/ } map { $_->{filename} } $p->mappings ],
              [], 'no frame of our own');

    # libunwind on the same stacks

    diag "oracle: $oracle->{identical} of $oracle->{samples} identical, "
         . "$oracle->{longer} longer by the table";
    diag "  $_" for @{ $oracle->{different} };

    cmp_ok($oracle->{samples}, '>', 500, 'stacks compared');
    cmp_ok($oracle->{identical} / $oracle->{samples}, '>=', 0.995,
           'identical to libunwind');
}

is($nginx->quit, 0, 'quit');
is_deeply([ $nginx->alerts ], [], 'no alerts');

done_testing();
