# Copyright (C) the maintainers of nginx pprof

# The tests' own reader of profile.proto, on profiles written by hand.

use strict;
use warnings;

use lib 't/lib';
use IO::Compress::Gzip qw( gzip );
use Pprof::Proto;
use Test::More;


sub varint {
    my ($n) = @_;
    my $out = '';

    $n = unpack 'Q', pack 'q', $n if $n < 0;

    while ($n > 0x7f) {
        $out .= chr(($n & 0x7f) | 0x80);
        $n >>= 7;
    }

    return $out . chr $n;
}


sub i { varint($_[0] << 3) . varint($_[1]) }
sub b { varint($_[0] << 3 | 2) . varint(length $_[1]) . $_[1] }
sub packed { my $f = shift; b($f, join '', map { varint($_) } @_) }


# Every part can be replaced.

sub profile {
    my (%with) = @_;

    my @strings = @{ $with{strings} || [ '', 'samples', 'count', 'cpu',
        'nanoseconds', '/bin/x', 'abc', 'leaf', 'inlined', 'main', 'x.c',
        'worker', '0', 'pid', 'comment', 'bytes' ] };

    my %part = (
        types => b(1, i(1, 1) . i(2, 2)) . b(1, i(1, 3) . i(2, 4)),
        samples =>
            b(2, packed(1, 1, 2) . packed(2, 3, 30_000_000)
                 . b(3, i(1, 11) . i(2, 12)) . b(3, i(1, 13) . i(3, 4711)))
            # not packed, and a negative value, as a difference may have
            . b(2, i(1, 2) . i(2, 1) . i(2, -5) . b(3, i(1, 11) . i(2, 12))),
        mappings => b(3, i(1, 1) . i(2, 1 << 61) . i(3, (1 << 61) + 0x1000)
                         . i(5, 5) . i(6, 6) . i(7, 1)),
        locations =>
            b(4, i(1, 1) . i(2, 1) . i(3, (1 << 61) + 0x10)
                 . b(4, i(1, 2) . i(2, 11)) . b(4, i(1, 1) . i(2, 22)))
            . b(4, i(1, 2) . i(2, 1) . i(3, (1 << 61) + 0x20)
                   . b(4, i(1, 3))),
        functions => b(5, i(1, 1) . i(2, 7) . i(3, 7) . i(4, 10))
            . b(5, i(1, 2) . i(2, 8) . i(3, 8))
            . b(5, i(1, 3) . i(2, 9) . i(3, 9)),
        rest => i(9, 1) . i(10, 5_000_000_000) . b(11, i(1, 3) . i(2, 4))
                . i(12, 10_000_000) . packed(13, 14) . i(14, 3),
        %with,
    );

    return join '', @part{qw( types samples mappings locations functions )},
           (map { b(6, $_) } @strings), $part{rest};
}


my $raw = profile();
gzip(\$raw => \my $gz);

for my $data ($raw, $gz) {
    my $p = Pprof::Proto->parse($data);

    is_deeply([ $p->problems ], [], 'no problems');
    is_deeply([ $p->types ], [ 'samples/count', 'cpu/nanoseconds' ], 'types');
    is_deeply([ $p->comments ], [ 'comment' ], 'comments');
    is($p->{period}, 10_000_000, 'period');
    is($p->{duration_nanos}, 5_000_000_000, 'duration');
    is($p->{default_sample_type}, 'cpu', 'default sample type');
    is_deeply($p->{period_type}, { type => 'cpu', unit => 'nanoseconds' },
              'period type');
}

my $p = Pprof::Proto->parse($gz);
my ($s, $t) = @{ $p->samples };

is_deeply($s->{frames}, [ 'inlined', 'leaf', 'main' ], 'frames, leaf first');
is_deeply($s->{values}, [ 3, 30_000_000 ], 'values');
is_deeply($s->{labels}, { worker => '0', pid => 4711 }, 'labels');
is_deeply($t->{values}, [ 1, -5 ], 'a negative value');
is($p->location(1)->{address}, (1 << 61) + 0x10, 'an address');
is($p->location(1)->{mapping}{filename}, '/bin/x', 'its mapping');
is(($p->mappings)[0]{build_id}, 'abc', 'build id');
is_deeply($p->location(1)->{lines}[1],
          { name => 'leaf', filename => 'x.c', line => 22 }, 'a line');

is($p->total('cpu'), 29_999_995, 'total');
is($p->total('samples/count'), 4, 'total of the other type');
is_deeply($p->flat('samples'), { inlined => 3, main => 1 }, 'flat');
is_deeply($p->cum('samples'), { inlined => 3, leaf => 3, main => 4 }, 'cum');
is($p->share('samples', qr/^leaf$/), 0.75, 'share');
is($p->share('samples', 'main'), 1, 'share by name');
is_deeply($p->by_label('samples', 'pid'), { 4711 => 3, '' => 1 }, 'by label');
is($p->total('samples', sub { $_[0]{labels}{pid} }), 3, 'by condition');
ok(!eval { $p->total('nothing') }, 'a type that is not there');

# what a correct encoder never writes

my $one = packed(1, 1, 2) . packed(2, 1, 1);

my @wrong = (
    [ { samples => b(2, packed(1, 1, 2) . packed(2, 1)) }, qr/1 values of 2/ ],
    [ { samples => b(2, $one) . b(2, $one) }, qr/same stack and labels twice/ ],
    [ { samples => b(2, packed(1, 1, 9) . packed(2, 1, 1)) },
      qr/location 9, which is not there/ ],
    [ { samples => b(2, packed(1, 1) . packed(2, 1, 1)) },
      qr/location 2 is in no sample/ ],
    [ { samples => b(2, $one . b(3, i(1, 99) . i(2, 12))) }, qr/string 99/ ],
    [ { samples => b(2, $one . b(3, i(1, 11) . i(2, 12) . i(3, 1))) },
      qr/a string and a number/ ],
    [ { mappings => '' }, qr/no mapping 1/ ],
    [ { mappings => b(3, i(1, 1) . i(2, 0x1000) . i(3, 0x2000) . i(5, 5)) },
      qr/is not in its mapping/ ],
    [ { functions => b(5, i(1, 1)) }, qr/has no name/ ],
    [ { types => '' }, qr/no sample type/ ],
    [ { rest => i(14, 15) }, qr/default_sample_type 'bytes'/ ],
    [ { strings => [ 'x' ] }, qr/string_table\[0\] is not empty/ ],
    [ { locations => b(4, i(1, 1)) . b(4, i(1, 1)) }, qr/is there twice/ ],
);

for my $case (@wrong) {
    my @problems = Pprof::Proto->parse(profile(%{ $case->[0] }))->problems;
    like(join("\n", @problems), $case->[1], "found: $case->[1]");
}

# what is no profile at all

my @malformed = (
    substr($raw, 0, -1), substr($gz, 0, -9), "$gz more", "\xff" x 12,
    varint(1 << 3 | 2) . varint(1000), i(1, 1), varint(9 << 3 | 5) . 'abcd',
);

for my $data (@malformed) {
    ok(!eval { Pprof::Proto->parse($data); 1 }, 'malformed') or diag(length $data);
}

# quick enough for the tests: 5 000 samples of 20 frames

my $many = join '', map {
    my $n = $_;
    b(2, packed(1, map { 1 + ($n + $_ * 7) % 2 } 1 .. 19) . packed(2, 1, $n)
         . b(3, i(1, 13) . i(3, $n)))
} 1 .. 5000;

my $start = times;
$p = Pprof::Proto->parse(profile(samples => $many));
my $spent = times() - $start;

is($p->total('samples'), 5000, 'many samples');
cmp_ok($spent, '<', 5, "in $spent s");

done_testing();
