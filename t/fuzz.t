
# Copyright (C) the maintainers of nginx pprof

# The parsers of outside input take what comes: each fuzzer for some seconds
# (FUZZ_SECONDS) from a fixed seed, beginning with small real objects.

use strict;
use warnings;

use lib 't/lib';
use MIME::Base64 qw( encode_base64 );
use PprofTest;
use Test::More;

use constant EHFRAME_VADDR => 0x1000;      # as in t/unit/fuzz_ehframe.c

needs('clang', 'cc', 'ld', 'readelf', 'objcopy', 'dwz', 'xz');

my $seconds = $ENV{FUZZ_SECONDS} || 10;
my $dir = temp_dir();

my %seeds = (ehframe => \&ehframe_seeds, symbol => \&symbol_seeds,
             line => \&line_seeds, pair => \&pair_seeds,
             gops => \&gops_seeds, duration => \&duration_seeds);


sub run {
    my ($code, $out) = run_command([ @_ ], bound => 300);

    return $out if defined $code && $code == 0;
    die "@_: " . ($code // 'takes too long') . "\n$out";
}


sub duration_seeds {
    my ($corpus) = @_;
    my $n = 0;

    PprofTest::spew("$corpus/" . $n++, $_)
        for '1h15m30.918273645s', '-.5h', '0', "1.5\xc2\xb5s", "7\xce\xbcs3ns",
            '2562047h47m16.854775807s', '9223372036854775808ns';
}


# .eh_frame_hdr and .eh_frame of small programs and of hand-written assembly,
# linked to where the fuzzer has them, before the code.

sub ehframe_seeds {
    my ($corpus) = @_;
    my @objects = glob "$Pprof::Build/obj/encode/*.o";

    if (-e (my $archive = glob '/usr/lib/*/libcrypto.a')) {
        for my $member (grep { /(?:aesni|sha1|mont|poly1305)-?[^\/]*x86_64|x86_64-mont/ }
                        split /\n/, run('ar', 't', $archive))
        {
            run('ar', 'x', '--output', "$dir", $archive, $member);
            push @objects, "$dir/$member";
        }
    }

    PprofTest::spew("$dir/ehframe.ld", sprintf <<'EOC', EHFRAME_VADDR);
SECTIONS
{
    . = %#x;
    .eh_frame_hdr : { *(.eh_frame_hdr) }
    .eh_frame : { *(.eh_frame) }
    . = 0x10000;
    .text : { *(.text .text.*) }
}
EOC

    for my $object (@objects) {
        (my $name = $object) =~ s{.*/|\.o$}{}g;

        run('ld', '-e', '0', '--eh-frame-hdr', '--unresolved-symbols=ignore-all',
            '-T', "$dir/ehframe.ld", '-o', "$dir/linked", $object);

        my %section = map { $_ => section("$dir/linked", $_) }
                      '.eh_frame_hdr', '.eh_frame';
        my ($hdr, $frame) = @section{'.eh_frame_hdr', '.eh_frame'};
        next unless $hdr && $frame;

        my $head = $frame->{vaddr} - EHFRAME_VADDR;
        my $pad = "\0" x ($head - length $hdr->{bytes});

        PprofTest::spew("$corpus/$name", pack('Cv', 0, $head) . $hdr->{bytes}
                        . $pad . $frame->{bytes});
    }
}


sub section {
    my ($file, $name) = @_;

    my ($vaddr, $offset, $size) = map { hex }
        run('readelf', '-SW', $file)
        =~ /\] \Q$name\E\s+\S+\s+([0-9a-f]+)\s+([0-9a-f]+)\s+([0-9a-f]+)/
        or return undef;

    return { vaddr => $vaddr,
             bytes => substr PprofTest::slurp($file), $offset, $size };
}


# A small program.

sub program {
    my ($file, $compiler, @flags) = @_;

    if (!-e "$dir/seed.c") {
        PprofTest::spew("$dir/seed.c", <<'EOC');
static inline __attribute__((always_inline)) int twice(int n) { return 2 * n; }
static __attribute__((noinline)) int leaf(volatile int *n) { return twice(*n) + *n; }
int puts(const char *text);
int main(int argc, char **argv) { return leaf(&argc) + puts(argv[0]); }
EOC
    }

    run($compiler, '-O1', '-nostartfiles', '-Wl,-e,main', '-Wl,--build-id',
        "$dir/seed.c", '-o', $file, @flags);
}


# With debug info of both versions, stripped, compressed, with a symbol table in
# .gnu_debugdata.

sub symbol_seeds {
    my ($corpus) = @_;

    program("$corpus/dwarf5", 'cc', '-gdwarf-5');
    program("$corpus/dwarf4", 'cc', '-gdwarf-4');
    program("$corpus/clang", 'clang', '-gdwarf-5');
    program("$corpus/compressed", 'cc', '-g', '-gz=zlib');
    program("$corpus/shared", 'cc', '-g', '-shared', '-fPIC');
    run('objcopy', '--strip-all', "$corpus/dwarf5", "$corpus/stripped");
    run('objcopy', '--only-keep-debug', "$corpus/dwarf5", "$corpus/debug");

    run('objcopy', '--strip-debug', "$corpus/dwarf5", "$dir/small");
    run('xz', '-f', "$dir/small");
    run('objcopy', '--strip-all', '--add-section',
        ".gnu_debugdata=$dir/small.xz", "$corpus/dwarf5", "$corpus/mini");
}


# Line programs with the texts that they need.

sub line_seeds {
    my ($corpus) = @_;
    my %flags = (gcc2 => '-gdwarf-2', gcc4 => '-gdwarf-4', gcc5 => '-gdwarf-5',
                 clang4 => '-gdwarf-4', clang5 => '-gdwarf-5');

    for my $name (sort keys %flags) {
        program("$dir/program", $name =~ /clang/ ? 'clang' : 'cc',
                $flags{$name});

        my ($line, $line_str, $str) = map {
            my $section = section("$dir/program", $_);
            $section ? $section->{bytes} : ''
        } '.debug_line', '.debug_line_str', '.debug_str';

        PprofTest::spew("$corpus/$name", pack('vv', length $line_str,
                        length $str) . $line_str . $str . $line);
    }
}


# Programs that share debug info, and a program with its rebuild.

sub pair_seeds {
    my ($corpus) = @_;

    my $pair = sub {
        my ($name, @files) = @_;
        my ($one, $two) = map { PprofTest::slurp($_) } @files;

        PprofTest::spew("$corpus/$name", pack('V', length $one) . $one . $two);
    };

    for my $version (4, 5) {
        program("$dir/$_", 'cc', "-gdwarf-$version") for qw( one two );
        run('dwz', $version == 5 ? '-5' : (), '-r', '-m', "$dir/common",
            "$dir/one", "$dir/two");
        $pair->("dwarf$version", "$dir/one", "$dir/common");
    }

    program("$dir/one", 'cc', '-g');
    program("$dir/two", 'cc', '-g', '-Wl,--build-id=0xbb');
    run('objcopy', '--strip-all', "$dir/one");
    $pair->('rebuild', "$dir/one", "$dir/two");
}


# What clients of the gops agent send.

sub gops_seeds {
    my ($corpus) = @_;

    PprofTest::spew("$corpus/$_", chr) for 1 .. 9;
    PprofTest::spew("$corpus/setgc", "\x10\xc8\x01" . "\0" x 8);
    PprofTest::spew("$corpus/long", "\x10" . "\x80" x 9 . "\x01");
    PprofTest::spew("$corpus/endless", "\x10" . "\xff" x 20);
}


run('make', '-s', '-C', $Pprof::Root, "BUILD=$Pprof::Build", 'fuzz');

for my $source (glob "$Pprof::Root/t/unit/fuzz_*.c") {
    my ($name) = $source =~ /fuzz_(\w+)\.c$/;
    my $corpus = "$dir/$name";

    mkdir $corpus;
    $seeds{$name}->($corpus) if $seeds{$name};

    my $n = () = glob "$corpus/*";
    cmp_ok($n, '>', 0, "$name: seeds, $n of them");

    my ($code, $out) = run_command([ "$Pprof::Build/fuzz/$name", '-seed=1',
        "-max_total_time=$seconds", '-timeout=10', '-rss_limit_mb=2048',
        '-max_len=65536', '-print_final_stats=1', "-artifact_prefix=$dir/found-",
        $corpus ], bound => $seconds + 120);

    is($code, 0, "$name: nothing found") or diag substr $out, -6000;

    for my $found (glob "$dir/found-*") {
        diag "$name: the input, base64:\n"
             . encode_base64(substr PprofTest::slurp($found), 0, 8192);
        unlink $found;
    }

    my ($runs) = $out =~ /number_of_executed_units:\s+(\d+)/;
    cmp_ok($runs // 0, '>', 10 * $n, "$name: " . ($runs // 'no') . ' runs');
}

done_testing();
