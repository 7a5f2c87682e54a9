
# Copyright (C) the maintainers of nginx pprof

# Stalls: event handlers that hold the loop.  The example module holds it for a
# known time, in a loop or in a system call that a signal would disturb.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;
use Time::HiRes qw( sleep time );

my %config = (http_config => 'pprof_production off; '
                             . 'pprof_stall_threshold 500ms;', config => q{
    location /debug/pprof { pprof auto; }
    location ~ ^/hang$ { hosted hang; }
    location /burn { hosted burn; }
    location /sleep { hosted block how=sleep; }
    location /text { hosted text kb=10; gzip on; gzip_types *; }
});


sub stalls { $_[0]->profile('/debug/pprof/stall' . ($_[1] // '')) }


# On a busy machine other handlers are held as well: these are of the one that
# is known.

sub hang { grep { /^hosted_hang$/ } @{$_->{frames}} }
sub count { $_[0]->total('contentions', \&hang) }
sub delay { $_[0]->total('delay', \&hang) }


# The profile has all that was held, which is booked when the event ends.

sub booked {
    my ($nginx, $count) = @_;

    ok(wait_for(sub { count(stalls($nginx)) >= $count }, 60),
       "$count stalls are booked");

    return stalls($nginx);
}


sub lines { grep { /event loop was held.*hosted_hang/ }
            split /\n/, $_[0]->error_log }


{
    my $nginx = start_nginx(%config);

    $nginx->get('/hang?how=spin&ms=10') for 1 .. 3;
    is(count(stalls($nginx)), 0, 'short events: no stall');

    my %truth;

    for my $how (qw( spin sleep )) {
        my $hung = $nginx->hosted("/hang?how=$how&ms=1500");
        $truth{$how} = $hung->{delay_ns};

        # a signal would have ended the system call before its time

        cmp_ok($hung->{delay_ns}, '>=', 1500e6, "$how: not cut short");
    }

    my $p = booked($nginx, 2);

    is_deeply([ $p->problems ], [], 'valid');
    is_deeply([ $p->types ], [ 'contentions/count', 'delay/nanoseconds' ],
              'types');
    is(count($p), 2, 'two stalls');

    # an event is more than the function that holds it, by what else it does

    my $delay = $truth{spin} + $truth{sleep};

    cmp_ok(delay($p) / $delay, '>', 0.9, 'delay: on the stacks that were seen')
        or diag delay($p) . " instead of $delay";
    cmp_ok($p->total('delay') / $delay, '>=', 0.98, 'delay: all of it')
        or diag $p->total('delay') . " instead of $delay";
    cmp_ok(delay($p) / $delay, '<', 1.1, 'delay: no more')
        or diag delay($p) . " instead of $delay";

    cmp_ok($p->share('delay', qr/^syscall$/), '>', 0.3,
           'the system call is a frame');

    my @labels = map { $_->{labels} } grep { hang() } @{$p->samples};

    is_deeply([ grep { ($_->{location} // '') ne '~ ^/hang$' } @labels ], [],
              'labels: location as written');
    is_deeply([ grep { ($_->{method} // '') ne 'GET'
                       || ($_->{phase} // '') ne 'content' } @labels ], [],
              'labels: method, phase');

    my $text = $nginx->get('/debug/pprof/stall?debug=1');
    is($text->{status}, 200, 'debug=1');
    like($text->{content}, qr/hosted_hang/, 'debug=1: names');

    ok(wait_for(sub { lines($nginx) >= 2 }, 60), 'log: a line for each stack');

    my @lines = lines($nginx);
    is(scalar @lines, 2, 'log: no other');
    like($lines[0], qr/\[warn\] .* pprof: the event loop was held for \d{4,} ms, /,
         'log: how long');
    like($lines[0], qr/, server "[^"]+", location "~ \^\/hang\$": .*hosted_hang/,
         'log: where');

    # the same stack once more is told no more in this minute, but counted

    $nginx->hosted('/hang?how=sleep&ms=1000');
    $p = booked($nginx, 3);
    is(scalar(lines($nginx)), 2, 'log: once a minute');

    my ($index) = $nginx->get('/debug/pprof/')->{content}
                  =~ m{<td class="n">(\d+)</td><td><a href="stall\b};
    cmp_ok($index // 0, '>=', 3, 'index: the count');

    my ($window) = $nginx->window('/debug/pprof/stall', 4, sub {
        $nginx->hosted('/hang?how=spin&ms=700');
    });
    $p = Pprof::Proto->parse($window->{content});
    is(count($p), 1, 'seconds: its own');

    is($nginx->quit, 0, 'quit');
    is_deeply([ $nginx->alerts ], [], 'no alert');
}


# A handler that does not return is seen from another worker, soon.

{
    my $nginx = start_nginx(%config, workers => 2, http_config => q{
        pprof_production off;
        pprof_stall_threshold 50ms;
    });

    my %before = map { $_ => cpu_ns($_) } $nginx->worker_pids;
    my $hang = $nginx->background('/hang?how=spin&ms=60000');
    my $seen;

    # before that, the worker could accept what asks for the profile, too

    ok(wait_for(sub { grep { cpu_ns($_) - $before{$_} > 0.2e9 } keys %before },
                60), 'endless: one worker hangs');

    ok(wait_for(sub {
           my $p = eval { stalls($nginx) } or return 0;
           $seen = $p->share('delay', qr/^hosted_hang$/);
           return $seen > 0.9;
       }, 60), 'endless: in the profile');

    my $p = $nginx->profile('/debug/pprof/profile?seconds=1');
    cmp_ok($p->share('cpu', qr/^hosted_hang$/), '>', 0.9,
           'endless: in the CPU profile');

    my $index;

    ok(wait_for(sub {
           $index = $nginx->get('/debug/pprof/')->{content};
           return $index =~ /loop is held for/ && $index =~ /hosted_hang/;
       }, 60), 'endless: the index names it');

    like($index, qr/location &quot;~ \^\/hang\$&quot;/,
         'endless: and the location');

    ok(wait_for(sub { $nginx->error_log =~ /loop has been held for \d+ ms.*hosted_hang/ },
                60), 'endless: the log does while it lasts');

    # what lasts grows from one profile to the next

    my $before = stalls($nginx)->total('delay');
    sleep 0.5;
    cmp_ok(stalls($nginx)->total('delay') - $before, '>', 0.3e9,
           'endless: booked while it lasts');

    $hang->hang_up;
    $nginx->stop;
}


# off: no stalls

{
    my $nginx = start_nginx(%config, http_config => q{
        pprof_production off;
        pprof_stall_threshold off;
    });

    $nginx->hosted('/hang?how=spin&ms=700');
    my $p = stalls($nginx);

    is($p->total('contentions'), 0, 'off: nothing is counted');
    ok((grep { /^stalls: off/ } $p->comments), 'off: the comments say so');
    unlike($nginx->error_log, qr/event loop/, 'off: nothing is logged');
    is($nginx->quit, 0, 'off: quit');
}

done_testing();
