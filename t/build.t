
# Copyright (C) the maintainers of nginx pprof

# What "make" leaves is fit for any nginx: linked as it has to be, exporting
# nothing but its own names, and built just as well against nginx's own
# sources, as a dynamic module and into the binary.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

needs('make', 'cc', 'readelf', 'nm');

my $dir = temp_dir();
my $lib = "$Pprof::Build/libpprofrt.so";
my $module = "$Pprof::Build/ngx_http_pprof_module.so";

plan skip_all => 'the module is not built' unless -e $lib && -e $module;


sub run {
    my ($code, $out) = run_command([ @_ ], bound => 600);

    return $out if defined $code && $code == 0;
    die "@_: " . ($code // 'takes too long') . "\n$out";
}

sub dynamic {
    my ($file) = @_;
    my $text = run('readelf', '-dW', $file);

    return { needed => [ sort $text =~ /\(NEEDED\).*\[(.+)\]/g ],
             runpath => $text =~ /\(R(?:UN)?PATH\).*\[(.+)\]/ ? "$1" : '',
             soname => $text =~ /\(SONAME\).*\[(.+)\]/ ? "$1" : '',
             textrel => $text =~ /TEXTREL/ ? 1 : 0,
             now => $text =~ /\bNOW\b/ ? 1 : 0,
             nodelete => $text =~ /NODELETE/ ? 1 : 0 };
}

# What others can bind to: the linker lists some hidden ones of its own as well.

sub exported {
    return [ sort { $a cmp $b }
             run('readelf', '-W', '--dyn-syms', $_[0])
             =~ / (?:GLOBAL|WEAK) +DEFAULT +\d+ (\w+)$/mg ];
}

# The memory that every thread of nginx gives to it.

sub tls_size {
    return hex((run('readelf', '-lW', $_[0])
                =~ /^\s+TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(0x[0-9a-f]+)/m)[0] // 0);
}

sub check_module {
    my ($name, $file) = @_;

    my $d = dynamic($file);
    ok($d->{nodelete}, "$name: stays loaded");
    is($d->{runpath}, '$ORIGIN', "$name: finds the library beside itself");
    is_deeply($d->{needed}, [ qw( libc.so.6 libcrypto.so.3 libpprofrt.so ) ],
              "$name: needs");
    ok(!$d->{textrel}, "$name: no relocations of code");
    is(tls_size($file), 0, "$name: no thread-local storage");

    is_deeply([ grep { !/^ngx_(?:http_)?pprof_|^ngx_(?:modules|module_names|module_order)$/ }
                @{ exported($file) } ], [], "$name: exports its own names alone");
}


# as linked

my $d = dynamic($lib);

ok($d->{nodelete}, 'library: stays loaded');
ok($d->{now}, 'library: bound when loaded');
is($d->{soname}, 'libpprofrt.so', 'library: its name');
is($d->{runpath}, '', 'library: no path of its own');
ok(!$d->{textrel}, 'library: no relocations of code');
is_deeply([ grep { !/^lib(?:c|m|dl|pthread|unwind|protobuf-c|dw|elf|z|lzma)\.so\.\d+$/ }
            @{ $d->{needed} } ], [], 'library: needs');
cmp_ok(tls_size($lib), '<', 128, 'library: thread-local storage');

my @public = PprofTest::slurp("$Pprof::Root/runtime/pprofrt.h")
             =~ /^PRT_EXPORT[^;(]*?\b(prt_\w+)(?:[(;]|$)/mg;

is_deeply(exported($lib),
          [ sort @public, qw( prt_cpu_observe prt_unwind_oracle ) ],
          'library: exports its header, and what the tests look through');

check_module('module', $module);


# as installed

run('make', '-s', '-C', $Pprof::Root, "BUILD=$Pprof::Build",
    "DESTDIR=$dir/root", 'PREFIX=/usr/local', 'install');

is_deeply([ sort split /\n/, run('sh', '-c', 'cd "$1" && find . -type f',
                                 'find', "$dir/root") ],
          [ './usr/local/include/pprofrt.h',
            './usr/local/lib/nginx/modules/libpprofrt.so',
            './usr/local/lib/nginx/modules/ngx_http_pprof_module.so' ],
          'install: what and where');

my ($code, $out) = check_config(config => 'location /p { pprof on; }',
    modules => [ "$dir/root/usr/local/lib/nginx/modules/ngx_http_pprof_module.so" ]);
is($code, 0, 'install: loads') or diag $out;


# against nginx's own sources

SKIP: {
    my $src = $ENV{NGINX_SRC};

    if (!$src && $ENV{CI}) {
        ($src) = run("$Pprof::Root/tools/nginx-source", "$dir/source")
                 =~ /^(\S+)$/m;
    }

    skip 'no full nginx sources; give NGINX_SRC=', 1 unless $src;

    my ($version) = PprofTest::slurp("$src/src/core/nginx.h")
                    =~ /NGINX_VERSION\s+"(.+)"/;

    run('make', '-s', '-C', $Pprof::Root, "BUILD=$dir/build",
        "NGINX_SRC=$src", '-j2', 'module');

    check_module("dynamic, $version",
                 "$dir/build/ngx_http_pprof_module.so");

    run('cp', '-a', "$src/.", "$dir/nginx");
    run('sh', '-ec', <<'EOC', 'build', "$dir/nginx", $Pprof::Root, "$dir/build");
cd "$1"
export NGX_PPROF_BUILD="$3"
configure=./configure
[ -f $configure ] || configure=auto/configure
$configure --prefix="$1/run" --with-compat --with-threads --with-debug \
    --with-http_ssl_module --with-http_v2_module --add-module="$2"
make -j2
EOC

    local $PprofTest::Binary = "$dir/nginx/objs/nginx";

    for my $how ("dynamic, $version", "static, $version") {
        my $static = $how =~ /^static/;

        if (!$static) {
            my ($other) = run($ENV{TEST_NGINX_BINARY} || PprofTest::find('nginx'), '-v')
                          =~ m{nginx/([\d.]+)};

            if ($other ne $version) {
                skip "$how: the installed nginx is $other", 1;
            }
        }

        local $PprofTest::Binary = $static ? $PprofTest::Binary
            : PprofTest::find($ENV{TEST_NGINX_BINARY} || 'nginx');

        my $nginx = start_nginx(workers => 2,
            modules => $static ? [] : [ "$dir/build/ngx_http_pprof_module.so" ],
            http_config => 'pprof_bearer secret;', config => q{
                location / { return 200 "hello\n"; }
                location /debug/pprof { pprof on; }
            });

        my $load = $nginx->load('/', seconds => 60, connections => 4);
        my $p = $nginx->profile('/debug/pprof/profile?seconds=2',
                                token => 'secret');

        is_deeply([ $p->problems ], [], "$how: a profile");
        cmp_ok($p->total('samples'), '>', 0, "$how: with samples");

        $load->stop(graceful => 0);
        is($nginx->quit, 0, "$how: ends");
        is_deeply([ $nginx->alerts ], [], "$how: no alerts");
    }
}

done_testing();
