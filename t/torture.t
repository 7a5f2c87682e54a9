# Copyright (C) the maintainers of nginx pprof

# A thousand profiles by eight clients at once, half of which hang up, while
# nginx reloads every second and workers are killed, under load: nothing dies
# of it, nothing is left over, and every answer is a profile or a clear error.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw( sleep time );

plan skip_all => 'the modules are not built'
    unless Pprof::modules('pprof', 'hosted') == 2;

my $clients = 8;
my $profiles = $ENV{PPROF_TORTURE_PROFILES} || 1000;
my $calm = 240;
my $path = '/debug/pprof/profile?seconds=0.05&hz=1000';

# of the region's head (store/prt_region.h)

my ($windows, $window_size, $windows_at) = (256, 32, 32);

my $nginx = start_nginx(workers => 2, connections => 1024, main_config => q{
    thread_pool default threads=2;
}, http_config => 'pprof_production off;', config => q{
    location / { }
    location /text { gzip on; gzip_types text/plain; hosted text; }
    location /burn { hosted burn ms=3; }
    location /pool { hosted pool ms=3 tasks=2; }
    location /debug/ { pprof auto; }
});

PprofTest::spew($nginx->dir . '/html/static', 'x' x 4096);

my $master = process_state($nginx->pid);


# under load, reloads and crashes

my @load = map { $nginx->load($_, seconds => 900, connections => 1) }
           qw( /static /text /burn /pool );

my @clients = start_clients($profiles);
my $start = time;
my ($turn, %killed) = (0);

while (grep { $_->alive } @clients) {
    last if time - $start > 45;

    $nginx->signal('HUP');

    if (++$turn % 3 == 0) {
        my @workers = $nginx->worker_pids;
        my $victim = $workers[rand @workers];

        $killed{$victim} = 1 if $victim && kill KILL => $victim;
    }

    wait_for { !grep { $_->alive } @clients } 1;
}

my %got = results(@clients);
$_->stop(graceful => 0) for @load;

diag sprintf '%d reloads, %d kills, %.1f s; %s', $turn, scalar keys %killed,
     time - $start, join ', ', map { "$_: $got{n}{$_}" } sort keys %{ $got{n} };

cmp_ok($turn, '>=', 3, 'there were reloads');
is($got{total}, $profiles, 'every client came to its end');
is_deeply($got{wrong}, [], 'every answer is a profile or a clear error');
cmp_ok($got{n}{profile} // 0, '>=', $profiles / 4, 'most answers are profiles');
cmp_ok($got{n}{cut} // 0, '<=', $clients * keys %killed,
       'only who was killed broke off');

ok($nginx->alive, 'the master runs');
ok($nginx->reload, 'the last reload');
ok($nginx->settled, 'all old workers end');
no_deaths();


# what is left over by all that

ok(wait_for { open_windows() == 0 }, 'no window is open')
    or diag open_windows();
nothing_left($nginx->pid, $master, 'master');

my @workers = $nginx->worker_pids;
my @named = map { /^worker \d+ pid (\d+): included$/ }
            $nginx->profile($path)->comments;

is_deeply([ sort @named ], [ sort @workers ], 'the dead are forgotten');


# a worker that does not run is named, and its windows end with those that do

# (on its way there it could still be woken for the connection that asks)

kill STOP => $workers[0];
ok((wait_for { PprofTest::slurp("/proc/$workers[0]/stat") =~ /\) T / } 60), 'it stands');

my $comments = join "\n", $nginx->profile($path)->comments;

kill CONT => $workers[0];

like($comments, qr/pid $workers[0]: .* did not answer/, 'a stopped worker');


# more windows than there is room for: the rest is told so at once

my $more = 44;
my $select = IO::Select->new;

for (1 .. $windows + $more) {
    my $socket = Client::request('/debug/pprof/profile?seconds=600')
        or die "connect: $!";
    $select->add($socket);
}

my @refused;

wait_for {
    for my $socket ($select->can_read(0.1)) {
        sysread $socket, my $answer, 4096;
        push @refused, $answer;
        $select->remove($socket);
    }

    @refused >= $more;
};

is(scalar @refused, $more, 'too many windows');
is(scalar(grep { m{^HTTP/1.1 503 .*are running already}s } @refused), $more,
   'too many windows: a clear error');

close $_ for $select->handles;
undef $select;

ok(wait_for { open_windows() == 0 }, 'too many windows: all are closed');


# many windows of the same workers

results(start_clients($calm));
ok(wait_for { quiet() }, 'all requests ended');

my %before = map { $_ => process_state($_) } @workers;

%got = results(start_clients($calm));

is($got{total}, $calm, 'without reloads: every client came to its end');
is_deeply($got{wrong}, [], 'without reloads: every answer is right');
is($got{n}{cut}, undef, 'without reloads: none broke off');
is_deeply([ $nginx->worker_pids ], \@workers, 'no worker was replaced');
ok(wait_for { quiet() }, 'all requests ended again');

for my $pid (@workers) {
    nothing_left($pid, $before{$pid}, "worker $pid");

    my $grown = process_state($pid)->{rss} - $before{$pid}{rss};

    cmp_ok($grown, '<', 16 * 1024 * 1024, "worker $pid: memory");
}

is(open_windows(), 0, 'still no window is open');
is($nginx->quit, 0, 'nginx ends by itself');
no_deaths();

done_testing();


# A worker dies only if we kill it, and nothing else is worth an alert.

sub no_deaths {
    my @lines = $nginx->alerts;

    @lines = grep {
        !(/worker process (\d+) exited on signal 9$/ && $killed{$1})
    } @lines;

    is_deeply(\@lines, [], 'no worker died of us, no alerts');
}


sub nothing_left {
    my ($pid, $before, $name) = @_;
    my @left;

    wait_for {
        @left = leftovers($before, process_state($pid));
        !@left;
    };

    is_deeply(\@left, [], "$name: nothing is left over");
}


sub quiet {
    my $page = $nginx->get('/debug/pprof/')->{content};
    my $requests = 0;

    $requests += $1 while $page =~
        m{MiB</td><td class="n">\d+</td><td class="n">(\d+)</td>}g;

    # the one that asks

    return $requests == 1;
}


# Windows in the table that all workers share.

sub open_windows {
    my ($worker) = $nginx->worker_pids;

    for my $fd (glob "/proc/$worker/fd/*") {
        next unless (readlink $fd // '') =~ m{^/memfd:pprof};

        open my $in, '<:raw', $fd or die "$fd: $!";
        sysread $in, my $head, $windows_at + $windows * $window_size;

        return scalar grep { unpack 'Q', $_ }
               unpack "x$windows_at (a$window_size)$windows", $head;
    }

    return -1;
}


# Clients: processes that ask for their part of the profiles, one after
# another, and write down what they got.

sub start_clients {
    my ($n) = @_;

    return map { Client->start($n / $clients, $_) } 1 .. $clients;
}


sub results {
    my %sum = (total => 0, n => {}, wrong => []);

    for my $client (@_) {
        for my $line (split /\n/, $client->output) {
            my ($what, $text) = split / /, $line, 2;

            $sum{total}++;
            $sum{n}{$what}++;
            push @{ $sum{wrong} }, $text if $what eq 'wrong';
        }
    }

    return %sum;
}


package Client;

use Pprof::Process qw( wait_for );
use Time::HiRes qw( time );


sub start {
    my ($class, $n, $seed) = @_;

    my $file = $nginx->dir . "/client.$seed";
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        srand $seed;
        $SIG{PIPE} = 'IGNORE';

        open my $out, '>', $file or POSIX::_exit(1);
        print $out eval { ask($_ % 2) } // "wrong $@" =~ s/\n/ /gr, "\n"
            for 1 .. $n;
        close $out;

        POSIX::_exit(0);
    }

    return bless { pid => $pid, file => $file }, $class;
}


sub alive {
    my ($self) = @_;

    $self->{done} = 1
        if !$self->{done} && waitpid($self->{pid}, POSIX::WNOHANG()) != 0;

    return !$self->{done};
}


sub output {
    my ($self) = @_;

    wait_for { !$self->alive } 600 or kill KILL => $self->{pid};

    return PprofTest::slurp($self->{file});
}


sub request {
    my ($path) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $nginx->port)
        or return;

    $socket->syswrite("GET $path HTTP/1.1\r\nHost: localhost\r\n"
                      . "Connection: close\r\n\r\n");

    return $socket;
}


sub ask {
    my ($hang_up) = @_;

    my $socket = request($path) or return "wrong connect: $!";
    my $select = IO::Select->new($socket);
    my $end = time + ($hang_up ? rand 0.1 : 60);
    my $answer = '';

    while ((my $left = $end - time) > 0) {
        next unless $select->can_read($left);
        last unless $socket->sysread($answer, 65536, length $answer);
    }

    if ($end <= time) {
        return $hang_up ? 'hung_up' : 'wrong no answer in 60 s';
    }

    my ($head, $body) = split /\r\n\r\n/, $answer, 2;
    my ($status) = ($head // '') =~ m{^HTTP/1\.1 (\d+) } or return 'cut';
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;

    return 'cut' if !defined $length || length $body < $length;

    if ($status == 200) {
        my @problems = Pprof::Proto->parse($body)->problems;

        return @problems ? "wrong $problems[0]" : 'profile';
    }

    return $head =~ m{^Content-Type: text/plain}mi
           && $head =~ /^X-Go-Pprof: 1\r?$/m && $body =~ /^[^<]+\n$/
           ? "error_$status" : "wrong $status $body";
}
