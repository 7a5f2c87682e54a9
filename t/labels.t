
# Copyright (C) the maintainers of nginx pprof

# Labels of requests on samples: CPU in a known split between locations, by
# HTTP/1, TLS with HTTP/2, proxied, in subrequests, after redirects.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

needs('curl');

my ($tls_port, $tls_listen) = tls_listen();

my $nginx = start_nginx(http_config => qq{
    pprof_production off;

    upstream back { server 127.0.0.1:\$PORT; keepalive 4; }

    server {
        $tls_listen
        server_name tls.example;

        location /heavy { hosted burn ms=30; }
        location = /light { hosted deep ms=10 depth=3; }
    }
}, config => q{
    location /debug/pprof { pprof auto; }

    location /heavy { hosted burn ms=75; }
    location ^~ /light { hosted deep ms=25 depth=3; }
    location ~* ^/REGEX { hosted burn ms=40; }
    location @named { hosted burn ms=40; }
    location /tonamed { try_files /nowhere @named; }
    location /redirected { rewrite ^ /heavy last; }

    location /proxy/ {
        proxy_pass http://back/text?kb=400;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        gzip on;
        gzip_comp_level 9;
        gzip_types *;
    }
    location /variable/ {
        set $where 127.0.0.1;
        proxy_pass http://$where:$server_port/text?kb=400;
        gzip on;
        gzip_comp_level 9;
        gzip_types *;
    }
    location /text { hosted text; }
    location /hold { hosted alloc how=keep size=1048576 count=200; }
    location /pass { hosted alloc how=free size=1048576 count=200; }

    location /included { auth_request /sub; hosted burn ms=10; }
    location = /sub { hosted burn ms=30; }

    location /if {
        if ($request_method = PUT) { return 403; }
        hosted burn ms=40;
    }
});


# A profile of all of the work: on a busy machine in a longer window.

sub profile {
    my ($seconds, @work) = @_;

    my ($res) = $nginx->window('/debug/pprof/profile?hz=1000', $seconds,
                               sub { $_->() for @work });
    die "$res->{status} $res->{content} $res->{error}\n" if $res->{status} != 200;

    my $p = Pprof::Proto->parse($res->{content});
    my @problems = $p->problems;
    die "@problems\n" if @problems;

    return $p;
}


sub with {
    my ($p, $label, $value, $frame) = @_;

    return $p->total('cpu', sub {
        ($_->{labels}{$label} // '') eq $value
        && (!$frame || grep { /$frame/ } @{$_->{frames}})
    });
}


sub of_frame {
    my ($p, $frame) = @_;
    return $p->total('cpu', sub { grep { /$frame/ } @{$_->{frames}} });
}


sub get { my ($path, $n, %more) = @_;
          return sub { $nginx->get($path, %more) for 1 .. $n } }


# Which function worked tells which location it was: that has to be so for each
# sample.  How many there are of each is subject to chance, by a sample for each
# piece of work at most: a point of the split, where it is of 10 ms.

sub split_by_location {
    my ($what, $p, $heavy, $light) = @_;
    my ($burn, $deep) = map { of_frame($p, $_) } qr/^hosted_burn$/, qr/^hosted_deep$/;

    is(with($p, location => $heavy, qr/^hosted_burn$/), $burn,
       "$what: all of the heavy location's");
    is(with($p, location => $light, qr/^hosted_deep$/), $deep,
       "$what: all of the light location's");
    cmp_ok(abs($burn / ($burn + $deep) - 0.75), '<', 0.06,
           "$what: 3:1 by location")
        or diag $burn / ($burn + $deep);
}

my $p = profile(6, (get('/heavy', 1), get('/light', 1)) x 30);

split_by_location('HTTP/1', $p, '/heavy', '^~ /light');

my $burned = of_frame($p, qr/^hosted_burn$/);

cmp_ok(with($p, server => 'localhost', qr/^hosted_burn$/) / $burned, '>', 0.999,
       'all of it has its server');
cmp_ok(with($p, phase => 'content', qr/^hosted_burn$/) / $burned, '>', 0.999,
       'and the phase');
cmp_ok(with($p, method => 'GET', qr/^hosted_burn$/) / $burned, '>', 0.999,
       'and the method');


# methods that a client makes up have no name of their own

$p = profile(4, get('/heavy', 6, method => 'POST', content => 'x'),
             get('/heavy', 6, method => 'SECRET'));
$burned = of_frame($p, qr/^hosted_burn$/);

cmp_ok(abs(with($p, method => 'POST', qr/^hosted_burn$/) / $burned - 0.5),
       '<', 0.1, 'POST');
cmp_ok(abs(with($p, method => 'other', qr/^hosted_burn$/) / $burned - 0.5),
       '<', 0.1, 'an unknown method');
unlike(join(' ', map { values %{$_->{labels}} } @{$p->samples}), qr/SECRET/,
       'nothing of the request itself');


# locations as they are written

for (['/regex', '~* ^/REGEX'], ['/tonamed', '@named'],
     ['/redirected', '/heavy'], ['/if', '/if'])
{
    my ($path, $location) = @$_;

    $p = profile(2, get($path, 6));
    cmp_ok(with($p, location => $location, qr/^hosted_burn$/)
           / of_frame($p, qr/^hosted_burn$/), '>', 0.99,
           "$path: location $location");
}


# upstream side: gzip of what comes from there

for (['/proxy/', 'back'], ['/variable/', 'variable']) {
    my ($path, $upstream) = @$_;
    my %gzip = (headers => { 'Accept-Encoding' => 'gzip' });

    $p = profile(3, get($path, 30, %gzip));

    my $deflate = of_frame($p, qr/^deflate$/);
    ok($deflate, "$path: compresses");
    cmp_ok(with($p, upstream => $upstream, qr/^deflate$/) / $deflate, '>',
           0.98, "$path: upstream $upstream");
    cmp_ok(with($p, location => $path, qr/^deflate$/) / $deflate, '>', 0.98,
           "$path: location");
}


# a subrequest has its own location

$p = profile(4, get('/included', 20));
my ($main, $sub) = map { with($p, location => $_, qr/^hosted_burn$/) }
                   '/included', '= /sub';

cmp_ok(abs($sub / ($main + $sub) - 0.75), '<', 0.1, 'auth_request: 3:1')
    or diag $sub / ($main + $sub);


# streams of one HTTP/2 connection

$p = profile(8, sub {
    my @urls = map { "https://127.0.0.1:$tls_port/" . ($_ % 2 ? 'heavy' : 'light') }
               1 .. 200;

    run_command([ 'curl', '-s', '-k', '--http2', '-Z', '--parallel-max', '50',
                  (map { ('-o', '/dev/null', $_) } @urls) ], bound => 240);
});

split_by_location('HTTP/2', $p, '/heavy', '= /light');
is(with($p, server => 'localhost', qr/^hosted_burn$/), 0,
   'HTTP/2: nothing of another server');


# memory carries them as well

$nginx->get('/text?kb=2000') for 1 .. 40;
$p = $nginx->profile('/debug/pprof/allocs');

cmp_ok($p->total('alloc_space', sub { ($_->{labels}{location} // '') eq '/text' }),
       '>', 0, 'allocs: a location');

# and tells which location holds it: an estimate of 200 blocks is good for 3 %

$nginx->hosted($_) for '/hold', '/pass';
$p = $nginx->profile('/debug/pprof/heap');

my ($held, $passed) = map { my $location = $_; $p->total('inuse_space', sub {
                            ($_->{labels}{location} // '') eq $location }) }
                      '/hold', '/pass';

cmp_ok(abs($held / (200 * 1048576) - 1), '<', 0.15, 'heap: the location that holds')
    or diag $held;
cmp_ok($passed, '<', 10 * 1048576, 'heap: and one that does not');

is($nginx->quit, 0, 'quit');
is_deeply([ $nginx->alerts ], [], 'no alert');


# Clients choose methods: they can fill the room for labels, and what is known
# by then keeps its own.

$nginx = start_nginx(http_config => 'pprof_production off; pprof_memory 1m;',
                     config => 'location /debug/pprof { pprof auto; }'
                               . 'location /heavy { hosted burn ms=40; }'
                               . join ' ', map { "location /many$_ { return 204; }" }
                                           1 .. 200);

$nginx->get('/heavy');

for my $method (qw( GET HEAD POST PUT DELETE PATCH OPTIONS MKCOL )) {
    run_command([ 'curl', '-s', ($method eq 'HEAD' ? '-I' : ('-X', $method)),
                  map { ('-o', '/dev/null', $nginx->url("/many$_")) } 1 .. 200 ]);
}

$p = profile(3, get('/heavy', 6));
cmp_ok(with($p, location => '/heavy', qr/^hosted_burn$/)
       / of_frame($p, qr/^hosted_burn$/), '>', 0.99, 'full: locations are told');
ok((grep { /^pprof_memory is too small: \d+ sets of labels/ } $p->comments),
   'full: the comments say so');
$nginx->stop;


# Lua, loaded after us, moves its handler from the first place of its phase to
# the last: what other handlers do then is still in that phase.

SKIP: {
    my @lua = map { "/usr/lib/nginx/modules/$_" }
              qw( ndk_http_module.so ngx_http_lua_module.so );

    if (my @missing = grep { !-e } @lua) {
        die "@missing missing\n" if $ENV{CI};
        skip "@missing missing", 2;
    }

    $nginx = start_nginx(modules => [ PprofTest::default_modules(), @lua ],
        http_config => 'pprof_production off;', config => q{
            location /debug/pprof { pprof auto; }
            location /moved { access_by_lua_block { local x = 1 } return 204; }
            location /file {
                auth_basic x;
                auth_basic_user_file $DIR/passwords;
                access_by_lua_block { local x = 1 }
                root $DIR/html;
            }
        });

    PprofTest::spew($nginx->dir . '/html/file', 'x');
    PprofTest::spew($nginx->dir . '/passwords',
                    'u:' . crypt('p', '$6$rounds=20000$abcdefgh') . "\n");

    $nginx->get('/moved');

    $p = profile(4, sub {
        run_command([ 'curl', '-sf', '-u', 'u:p',
                      map { ('-o', '/dev/null', $nginx->url('/file')) } 1 .. 60 ]);
    });

    my $all = with($p, location => '/file');
    cmp_ok($all, '>', 0.1e9, 'lua: works');
    cmp_ok($p->total('cpu', sub { ($_->{labels}{location} // '') eq '/file'
                                  && ($_->{labels}{phase} // '') eq 'access' })
           / $all, '>', 0.9, 'lua: another handler in its phase');
    $nginx->stop;
}

done_testing();
