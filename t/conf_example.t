# Copyright (C) the maintainers of nginx pprof

# conf.example is a configuration that nginx takes, and tells of every
# directive that the module has.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

plan skip_all => 'the module is not built'
    unless my ($module) = Pprof::modules('pprof');

my $text = PprofTest::slurp("$Pprof::Root/conf.example");
my $dir = temp_dir();

# The example is of a system where it is installed; here are other places.

my $port = free_port();

(my $conf = $text) =~ s{^load_module .*?;}{load_module $module;}m;
$conf =~ s{^user .*;\n}{}m;
$conf =~ s{/var/log/nginx|/run/}{$dir/}g;
$conf =~ s{/var/lib/nginx}{$dir}g;
$conf =~ s{include mime\.types;}{types { text/html html; }};
$conf =~ s{listen 80 default_server}{listen 127.0.0.1:$port default_server};
$conf =~ s{listen 127\.0\.0\.1:(808\d)}{'listen 127.0.0.1:' . free_port()}ge;

my $temp = join ' ', map { "${_}_temp_path $dir/$_;" }
                     qw( client_body proxy fastcgi uwsgi scgi );
$conf =~ s/^http \{/http { $temp/m;

PprofTest::spew("$dir/nginx.conf", $conf);
PprofTest::spew("$dir/pprof.tokens", "# of the test\nabcdefghijklmnop\n");
chmod 0600, "$dir/pprof.tokens";

my ($code, $out) = run_command([ $PprofTest::Binary, '-t', '-p', "$dir/",
    '-e', 'stderr', '-c', "$dir/nginx.conf" ]);

is($code, 0, 'nginx -t') or diag $out;
unlike($out, qr/\[(?:warn|error|crit|alert|emerg)\]/, 'without a warning');

# Every directive that the module knows is in the example.

for my $name (qw( pprof pprof_production pprof_bearer pprof_bearer_file
                  pprof_memory pprof_cpu_rate pprof_heap_rate pprof_heap_mmap
                  pprof_block_rate
                  pprof_stall_threshold pprof_trace_buffer pprof_dir
                  pprof_trace_file pprof_trace_on_crash
                  pprof_trace_on_stall pprof_gops pprof_gops_dir
                  pprof_max_duration ))
{
    # known, if only nginx complains about its value or its place

    my (undef, $says) = check_config(modules => [ $module ],
                                     http_config => "$name;");
    next if $says =~ /unknown directive/;

    like($text, qr/^\s+$name /m, "$name is in the example");
}

done_testing();
