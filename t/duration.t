# Copyright (C) the maintainers of nginx pprof

# Durations: hundred thousand texts, to which Go's time.ParseDuration() says the
# same as we do.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

needs('go');

plan skip_all => 'the unit tests are not built'
    unless -x "$Pprof::Build/unit/duration_test";

my $dir = temp_dir();
my $seed = $ENV{PPROF_SEED} || time;
srand $seed;

PprofTest::spew("$dir/main.go", <<'EOC');
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		d, err := time.ParseDuration(in.Text())
		if err != nil {
			fmt.Println("error")
		} else {
			fmt.Println(int64(d))
		}
	}
}
EOC

# mostly what looks like one, with numbers near all limits

my @numbers = qw( 0 1 9 00 30 999 2562047 2562048 9223372036 9223372036854
                  9223372036854775807 9223372036854775808 9223372036854775809
                  922337203685477580 922337203685477581 18446744073709551616
                  153722867 153722868 000000000000000000000000001 );
my @units = ('ns', 'us', "\xc2\xb5s", "\xce\xbcs", 'ms', 's', 'm', 'h');
my @odd = ('', ' ', '.', '-', '+', 'e', 'x', 'S', "\xc2", 'd', '_', "\0", '..');

sub digits { join '', map { int rand 10 } 1 .. rand 25 }
sub number { rand() < 0.4 ? $numbers[rand @numbers] : digits() }

sub text {
    my $text = rand() < 0.2 ? ('-', '+')[rand 2] : '';

    for (1 .. 1 + rand 3) {
        $text .= number() if rand() < 0.95;
        $text .= '.' . (rand() < 0.9 ? digits() : '') if rand() < 0.4;
        $text .= $units[rand @units] if rand() < 0.95;
        $text .= $odd[rand @odd] if rand() < 0.05;
    }

    return $text;
}

my @texts = map { text() } 1 .. 100_000;
PprofTest::spew("$dir/in", join '', map { "$_\n" } @texts);

my %said;

for my $who ([ go => PprofTest::find('go') . " run $dir/main.go" ],
             [ we => "$Pprof::Build/unit/duration_test lines" ])
{
    my ($name, $command) = @$who;
    my ($code, $error) = run_command([ 'sh', '-c',
        "$command < $dir/in > $dir/$name" ], bound => 300,
        env => { GOCACHE => "$dir/cache", HOME => "$dir", GOFLAGS => '' });

    is($code, 0, "$name: all were read") or diag $error;
    $said{$name} = [ split /\n/, PprofTest::slurp("$dir/$name") ];
    is(scalar @{ $said{$name} }, scalar @texts, "$name: an answer to each");
}

my @wrong = grep { $said{go}[$_] ne ($said{we}[$_] // '') } 0 .. $#texts;
my $good = grep { $_ ne 'error' } @{ $said{go} };

is(scalar @wrong, 0, "seed $seed: all the same");
diag "$texts[$_]: $said{go}[$_], not $said{we}[$_]"
    for grep { defined } @wrong[0 .. 9];
cmp_ok($good, '>', @texts / 5, "$good of them are durations");

done_testing();
