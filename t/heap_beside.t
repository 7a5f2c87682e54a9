
# Copyright (C) the maintainers of nginx pprof

# The memory profiles beside what changes memory itself: allocators that are
# preloaded, and LuaJIT, which maps its own; under load, with reloads.

use strict;
use warnings;

use lib 't/lib';
use File::Glob qw( :bsd_glob );
use PprofTest;
use Test::More;

plan skip_all => 'the modules are not built' unless Pprof::modules() == 2;

my $rate = 4096;
my $units = "$Pprof::Build/unit";

# What setup installs has to be there in CI.

sub installed {
    my ($pattern) = @_;
    my ($path) = bsd_glob($pattern);

    die "missing: $pattern\n" if !defined $path && $ENV{CI};
    return $path;
}

sub near {
    my ($got, $expected, $what) = @_;

    cmp_ok(abs($got / $expected - 1), '<', 0.05, $what)
        or diag "$got instead of $expected";
}


# Load over a reload; the workers that are there then, and none that died.

sub reload_under_load {
    my ($nginx, $path) = @_;
    my @load = map { $nginx->load($path, seconds => 60, connections => 4) } 1 .. 2;

    for (1 .. 3) {
        ok($nginx->reload, "$path: reload under load");
        is($nginx->get('/debug/pprof/heap')->{status}, 200, "$path: profile");
    }

    $_->stop(graceful => 0) for @load;

    ok($nginx->settled(60), "$path: old workers are gone");
    is(scalar(grep { /exited on signal/ } split /\n/, $nginx->error_log), 0,
       "$path: no worker died");
}


for my $library (qw( libjemalloc.so.2 libtcmalloc.so.4 )) {
    my $path = installed("/usr/lib/*-linux-gnu/$library");

    SKIP: {
        skip "no $library", 1 if !defined $path;

        # every kind of allocation

        for my $unit (qw( heap heap_mmap heap_loss )) {
            my ($code, $out) = run_command([ "$units/${unit}_test" ],
                bound => 300, env => { LD_PRELOAD => $path,
                                       TEST_HEAP_SECONDS => 1 });
            is($code, 0, "$library: ${unit}_test") or diag $out;
        }

        my $nginx = start_nginx(env => { LD_PRELOAD => $path },
            http_config => "pprof_production off; pprof_memory 64m;
                            pprof_heap_rate $rate; pprof_heap_mmap on;",
            config => q{
                location /debug/pprof { pprof auto; }
                location /alloc { hosted alloc; }
            });

        reload_under_load($nginx, '/alloc?how=free&size=1000&count=20');

        $nginx->hosted('/alloc?how=keep&size=1024&count=50000');

        my $p = $nginx->profile('/debug/pprof/heap?pid='
                                . ($nginx->worker_pids)[0]);
        my $keep = qr/^hosted_alloc_keep$/;

        near($p->with_frame(alloc_objects => $keep), 50000,
             "$library: alloc_objects");

        # once: what the allocator maps for it does not count

        near($p->with_frame(inuse_space => $keep), 51200000,
             "$library: inuse_space");

        my ($leaf) = map { $_->{frames}[0] }
                     grep { grep { $_ eq 'hosted_alloc_keep' } @{ $_->{frames} } }
                     @{ $p->samples };
        is($leaf, 'hosted_alloc_keep', "$library: the leaf is the caller");

        $nginx->stop;
    }
}


# Lua: memory that LuaJIT maps, and processes that it starts.

my $ndk = installed('/usr/lib/nginx/modules/ndk_http_module.so');
my $lua = installed('/usr/lib/nginx/modules/ngx_http_lua_module.so');

SKIP: {
    skip 'no lua', 1 if !defined $ndk || !defined $lua;

    my $nginx = start_nginx(
        modules => [ Pprof::modules(), $ndk, $lua ],
        http_config => "pprof_production off; pprof_memory 64m;
                        pprof_heap_rate $rate; pprof_heap_mmap on;",
        config => q{
            location /debug/pprof { pprof auto; }
            location /hold {
                content_by_lua_block {
                    held = held or {}
                    for i = 1, 200 do
                        held[#held + 1] = string.rep("x", 200000) .. #held
                    end
                    ngx.say(ngx.worker.pid())
                }
            }
            location /release {
                content_by_lua_block { held = nil collectgarbage() }
            }
            location /churn {
                content_by_lua_block {
                    local t = {}
                    for i = 1, 100 do
                        t[i] = string.rep("y", i) .. ngx.now()
                    end
                    ngx.say(#table.concat(t))
                }
            }
            location /execute {
                content_by_lua_block {
                    ngx.say(os.execute("exit 0"))
                    local f = io.popen("echo popen")
                    ngx.print(f:read("*a"))
                    f:close()
                }
            }
        });

    for (1 .. 10) {
        like($nginx->get('/execute')->{content}, qr/^(?:true|0).*\npopen$/,
             'lua: os.execute(), io.popen()') or last;
    }

    reload_under_load($nginx, '/churn');
    reload_under_load($nginx, '/execute');

    # 40 MB, in blocks that LuaJIT maps each for itself

    my $of = '/debug/pprof/heap?pid=' . ($nginx->worker_pids)[0];
    my $in_luajit = sub {
        my ($p) = @_;

        return $p->total(inuse_space => sub {
            grep { $_ =~ /luajit/ }
            map { $p->location($_)->{mapping}{filename} // '' }
                @{ $_[0]{locations} };
        });
    };

    my $before = $in_luajit->($nginx->profile($of));
    $nginx->get('/hold');
    my $held = $in_luajit->($nginx->profile($of)) - $before;

    cmp_ok($held, '>', 0.95 * 200 * 200000, "lua: what it holds: $held");
    cmp_ok($held, '<', 1.5 * 200 * 200000, 'lua: and not much more');

    $nginx->get('/release');
    my $left = $in_luajit->($nginx->profile($of)) - $before;
    cmp_ok($left, '<', 0.2 * 200 * 200000, "lua: given back, but $left");

    is_deeply([ $nginx->alerts ], [], 'lua: no alerts');
}


done_testing();
