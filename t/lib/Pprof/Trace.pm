package Pprof::Trace;

# Copyright (C) the maintainers of nginx pprof

# An execution trace as go tool trace understands it: what its debug dump
# prints of each event, added up.
#
#   my $t = Pprof::Trace->read($path);    # dies of one that the tool refuses
#   $t->{tasks}{$name}                    # tasks that began and ended, by type
#   $t->time('Waiting', sub { my ($reason, @frames) = @_; ... })
#
# Times are seconds, of goroutines in a state, to the end of the trace.

use strict;
use warnings;

use PprofTest ();


my %tools;

# The tool of the installed Go, or of the version that is named, which go fetches
# where it is not there; and how its dump is asked for.

sub tool {
    my ($version) = @_;
    my $key = $version // '';

    return @{ $tools{$key} } if $tools{$key};

    my $env = length $key ? { GOTOOLCHAIN => "go$key" } : undef;
    my ($code, $out) = PprofTest::run_command(
        [ PprofTest::find('go'), 'tool', '-n', 'trace' ], bound => 600,
        env => $env);
    my ($path) = $out =~ m{^(/.*/trace)$}m or die "no trace tool $key: $out";

    ($code, $out) = PprofTest::run_command([ $path, '-h' ]);
    $tools{$key} = [ $path, $out =~ /-d=mode/ ? '-d=parsed' : '-d=1' ];

    return @{ $tools{$key} };
}


# Whether the tool takes it: an empty string, or what it says.

sub refused {
    my ($path, $version) = @_;

    my ($code, $out) = PprofTest::run_command([ 'sh', '-c',
        '{ "$1" "$2" "$3" || echo "FAILED $?"; } 2>&1 | tail -n 4',
        'trace', tool($version), $path ], bound => 300);

    return 'no end' unless defined $code;
    return $out =~ /FAILED|Sync/ && $out !~ /FAILED/ ? '' : $out || 'nothing';
}


# What its pages are: the tasks of /usertasks, complete or not, by type; bad, a
# line for each page that is none; said, what it had to say meanwhile.

my @pages = ('/', '/usertasks', '/userregions', '/goroutines', '/mmu',
             '/jsontrace?view=proc', '/jsontrace?view=thread',
             map { "/$_?raw=1" } qw( io block syscall sched ));

sub pages {
    my ($path, $version) = @_;
    my ($tool) = tool($version);
    my $dir = PprofTest::temp_dir();
    my $port = PprofTest::free_port();
    my $self = { tasks => {}, bad => [] };

    my $viewer = Pprof::Process->start(output => "$dir/said",
        command => [ $tool, "-http=127.0.0.1:$port", $path ],
        env => { BROWSER => 'true' });

    my $up = $viewer->wait_port($port, 120);

    push @{ $self->{bad} }, 'does not start' if !$up;

    for my $page ($up ? @pages : ()) {
        my $res = PprofTest::fetch("http://127.0.0.1:$port$page")->result(120);

        if ($res->{status} != 200 || length $res->{content} < 100) {
            push @{ $self->{bad} }, "$page: $res->{status} $res->{content}";
            next;
        }

        next if $page ne '/usertasks';

        while ($res->{content} =~ m{href="/usertask\?type=([^"&]*)">(\d+)</a>}g) {
            my ($type, $n) = ($1, $2);
            $self->{tasks}{ $type =~ s/\+/ /gr =~ s/%(..)/chr hex $1/ger } = $n;
        }
    }

    $viewer->stop(graceful => 0);

    $self->{said} = join "\n", grep {
        !/(?:Preparing|Splitting) trace for viewer|viewer is listening on /
    } split /\n/, PprofTest::slurp("$dir/said");

    return $self;
}


sub read {
    my ($class, $path) = @_;
    my (%g, %region, %task, $last, $since);
    my $self = bless { tasks => {}, open => {}, logs => [], states => [],
                       regions => {}, roots => {}, memory => [], procs => {},
                       samples => 0 }, $class;

    open my $in, '-|', 'sh', '-c', '"$1" "$2" "$3" 2>&1', 'trace', tool(),
         $path or die "go tool trace: $!";

    my ($event, @frames, $transition);

    my $finish = sub {
        my $e = $event or return;

        $event = undef;
        $last = $e->{time};
        $since //= $last;

        if ($e->{kind} eq 'StateTransition' && defined $e->{g}) {
            my $g = $g{ $e->{g} } ||= {};

            $self->leave($g, $last) if $g->{state};
            @$g{qw( state since reason frames )} =
                ($e->{to}, $last, $e->{reason}, [ @frames ]);
            $self->{roots}{ $frames[-1] }{ $e->{g} } = 1 if @frames;
        }
    };

    while (my $line = <$in>) {

        if ($line =~ /^M=(\S+) P=(\S+) G=(\S+) (\w+) Time=(\d+)(.*)/) {
            my ($m, $p, $g, $kind, $time, $rest) = ($1, $2, $3, $4, $5, $6);

            $finish->();
            @frames = ();
            $transition = 0;
            $event = { kind => $kind, time => $time / 1e9 };
            $self->{procs}{$m} = 1 if $m > 0;

            if ($kind eq 'StateTransition'
                && $rest =~ /GoID=(\d+) (\w+)->(\w+) Reason="(.*)"/)
            {
                @$event{qw( g from to reason )} = ($1, $2, $3, $4);

            } elsif ($kind eq 'TaskBegin'
                     && $rest =~ /ID=(\d+) .*Type="(.*)"/)
            {
                $task{$1} = $2;

            } elsif ($kind eq 'TaskEnd' && $rest =~ /ID=(\d+)/) {
                $self->{tasks}{ delete $task{$1} // '' }++;

            } elsif ($kind eq 'RegionBegin' && $rest =~ /Type="(.*)"/) {
                push @{ $region{$g} }, [ $1, $event->{time} ];

            } elsif ($kind eq 'RegionEnd' && $rest =~ /Type="(.*)"/) {
                my $r = pop @{ $region{$g} || [] };
                $self->{regions}{$1} += $event->{time} - $r->[1]
                    if $r && $r->[0] eq $1;
                $self->{misnested}++ if !$r || $r->[0] ne $1;

            } elsif ($kind eq 'Log'
                     && $rest =~ /Task=(\d+) Category="(.*?)" Message="(.*)"/)
            {
                push @{ $self->{logs} }, [ $2, $3, $1 ];

            } elsif ($kind eq 'Metric' && $rest =~ /Uint64\((\d+)\)/) {
                push @{ $self->{memory} }, $1;

            } elsif ($kind eq 'StackSample') {
                $self->{samples}++;
            }

        } elsif ($line =~ /^TransitionStack=/) {
            $transition = 1;

        } elsif ($line =~ /^Stack=/) {
            $transition = 0;

        } elsif ($transition && $line =~ /^\t(\S.*) \@ 0x/) {
            push @frames, $1;

        } elsif ($line =~ /^(?!\t|$)/) {
            $self->{error} = $line;
        }
    }

    $finish->();
    close $in or die "go tool trace refuses it: $?, ", $self->{error} // '';

    $self->leave($_, $last) for grep { $_->{state} } values %g;
    $self->{open}{$_}++ for values %task;
    $self->{seconds} = $last - $since;

    return $self;
}


sub leave {
    my ($self, $g, $time) = @_;

    push @{ $self->{states} }, [ $time - $g->{since}, $g->{state},
                                 $g->{reason}, @{ $g->{frames} || [] } ];
}


sub time {
    my ($self, $state, $match) = @_;
    my $sum = 0;

    for (@{ $self->{states} }) {
        my ($time, $is, $reason, @frames) = @$_;
        $sum += $time if $is eq $state && $match->($reason, @frames);
    }

    return $sum;
}


1;
