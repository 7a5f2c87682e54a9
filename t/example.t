
# Copyright (C) the maintainers of nginx pprof

# The example of the README, compiled as C and as C++ and run.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

my %compilers = ('C' => [ 'cc', '-std=c99' ], 'C11' => [ 'cc', '-std=c11' ],
                 'C++' => [ 'c++', '-x', 'c++', '-std=c++11' ]);

needs('cc', 'c++');

for my $language (sort keys %compilers) {
    my $dir = temp_dir();

    my ($code, $out) = run_command([ @{ $compilers{$language} },
        '-O2', '-fno-optimize-sibling-calls', '-g', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror',
        '-pedantic', '-rdynamic', '-Iruntime', '-o', "$dir/example",
        't/hosted/example.c', '-x', 'none', '-Lbuild', '-lpprofrt', '-pthread',
        "-Wl,-rpath,$Pprof::Root/build" ], bound => 120);

    is($code, 0, "$language: compiles") or diag $out;

    ($code, $out) = run_command([ "$dir/example", 'leases', 'mutex', 'block' ],
                                bound => 60);

    is($code, 0, "$language: runs") or diag $out;

    my %text;
    ($text{head}, @text{qw( leases mutex block )}) =
        split /^(?=leases profile:|--- )/m, $out;

    is($text{head}, "leased: 3\n", "$language: count");

    like($text{leases}, qr/\Aleases\ profile:\ total\ 3\n3\ @\ 0x.*\n
                           \#\ labels:\ \{"tenant":"blue",\ "job":"nightly"/x,
         "$language: a profile of its own") or diag $text{leases};
    like($text{leases}, qr/^#\s+0x\w+\s+\S*\blease\S*\+0x\w+\s/m,
         "$language: who added");

    for my $name (qw( mutex block )) {
        my ($ns, $n, $stack) = $text{$name} =~
            /^(\d+)\ (\d+)\ @.*\n\#\ labels:.*\n\#\s+0x\w+\s+lease\ lock\b.*\n(.*)/mx;

        cmp_ok($ns // 0, '>', 150e6, "$language, $name: delay");
        cmp_ok($n // 0, '==', 1, "$language, $name: once");
        like($stack // '', qr/\bacquire/, "$language, $name: who waited");
        unlike($text{$name}, qr/\bpoll\b.*\n.*\bacquire/,
               "$language, $name: what it calls is part of it");
    }

    like($text{block}, qr/nanosleep/, "$language: block has what is seen");
}

done_testing;
