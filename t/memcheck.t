
# Copyright (C) the maintainers of nginx pprof

# nginx with the profiler under valgrind's memcheck: no error and no leak but
# those in t/memcheck.supp, in the master, the worker and their children.

use strict;
use warnings;

use lib 't/lib';
use File::Glob qw( :bsd_glob );
use PprofTest;
use Test::More;

plan skip_all => 'the modules are not built' unless Pprof::modules() == 2;

needs('valgrind');

my $dir = temp_dir();
my $modules = join '', map { "load_module $_;\n" } Pprof::modules();
my $user = $> == 0 ? 'user root;' : '';

PprofTest::spew("$dir/nginx", <<"END");
#!/bin/sh
exec valgrind -q --trace-children=yes --num-callers=30 --leak-check=full \\
    --show-leak-kinds=definite --errors-for-leak-kinds=definite \\
    --suppressions=$Pprof::Root/t/memcheck.supp --log-file=$dir/log.%p \\
    $PprofTest::Binary "\$@"
END

chmod 0755, "$dir/nginx";
$PprofTest::Binary = "$dir/nginx";

# no worker is waited for: their titles are not seen from outside

my $nginx = start_nginx(workers => 0, conf => <<"END");
$modules
$user
daemon off;
worker_processes 1;
error_log \$DIR/logs/error.log;
pid \$DIR/nginx.pid;

events { }

http {
    access_log off;
    client_body_temp_path \$DIR/body;
    proxy_temp_path \$DIR/proxy;
    fastcgi_temp_path \$DIR/fastcgi;
    uwsgi_temp_path \$DIR/uwsgi;
    scgi_temp_path \$DIR/scgi;

    pprof_production off;
    pprof_heap_rate 256;
    pprof_heap_mmap on;
    limit_req_zone \$arg_x zone=zone:64k rate=1r/s;

    server {
        listen 127.0.0.1:\$PORT;
        location /debug/pprof { pprof on; }
        location /alloc { hosted alloc; }
        location /child { hosted child; }
        location /pool { hosted pool ms=20; }
    }
}
END

for my $path ('/alloc?how=keep&size=1000&count=200',
              '/alloc?how=realloc&size=4096&count=20',
              '/alloc?how=strdup&size=100&count=200',
              '/alloc?how=thread&size=1000&count=100', '/alloc?how=free&count=100',
              '/child?how=fork', '/child?how=system', '/pool',
              '/debug/pprof/', '/debug/pprof/heap?debug=1',
              '/debug/pprof/profile?seconds=0.5')
{
    is($nginx->get($path, timeout => 120)->{status}, 200, $path);
}

# what it counts is right here, too

my $p = $nginx->profile('/debug/pprof/heap?gc=1', timeout => 120);
cmp_ok(abs($p->with_frame(inuse_space => qr/^hosted_alloc_keep$/) / 200000 - 1),
       '<', 0.05, 'heap');

$nginx->get('/alloc?how=drop');
$p = $nginx->profile('/debug/pprof/allocs', timeout => 120);
is($p->with_frame(inuse_space => qr/^hosted_alloc_/), 0, 'given back');

is($nginx->quit(120), 0, 'quit');

my @logs = bsd_glob("$dir/log.*");
cmp_ok(scalar @logs, '>=', 3, 'master, worker, child');

for my $log (@logs) {

    # valgrind's own word for a system call that is meant to fail

    my @lines = grep { !/sigprocmask: unknown 'how' field/ }
                split /\n/, PprofTest::slurp($log);

    is_deeply(\@lines, [], 'no error') or diag join "\n", @lines;
}

done_testing();
