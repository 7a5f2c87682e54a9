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


# Whether the tool takes it: an empty string, or what it says.

sub refused {
    my ($path) = @_;
    my $go = PprofTest::find('go');

    my ($code, $out) = PprofTest::run_command([ 'sh', '-c',
        '{ "$1" tool trace -d=parsed "$2" || echo "FAILED $?"; } 2>&1 '
        . '| tail -n 4', 'trace', $go, $path ], bound => 300);

    return 'no end' unless defined $code;
    return $out =~ /FAILED|Sync/ && $out !~ /FAILED/ ? '' : $out || 'nothing';
}


sub read {
    my ($class, $path) = @_;
    my $go = PprofTest::find('go');
    my (%g, %region, %task, $last, $since);
    my $self = bless { tasks => {}, open => {}, logs => [], states => [],
                       regions => {}, roots => {}, memory => [], procs => {},
                       samples => 0 }, $class;

    open my $in, '-|', 'sh', '-c', '"$1" tool trace -d=parsed "$2" 2>&1',
         'trace', $go, $path or die "go tool trace: $!";

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
                     && $rest =~ /Category="(.*?)" Message="(.*)"/)
            {
                push @{ $self->{logs} }, [ $1, $2 ];

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
