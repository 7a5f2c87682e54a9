# Copyright (C) the maintainers of nginx pprof

# Configurations: what is refused and in which words, what is warned of, and
# what a location does that is not served.

use strict;
use warnings;
no warnings "portable";

use lib 't/lib';
use PprofTest;
use Test::More;

plan skip_all => 'the module is not built' unless Pprof::modules('pprof');

my $dir = temp_dir();

sub file {
    my ($name, $text, $mode) = @_;

    open my $out, '>', "$dir/$name" or die "$dir/$name: $!";
    print $out $text;
    close $out;
    chmod $mode // 0600, "$dir/$name";

    return "$dir/$name";
}

sub location { return (config => "location /debug/pprof { $_[0] }") }
sub http { return (http_config => $_[0]) }

# good ones

my $tokens = file('tokens', "# rotated in May\n\n  one \r\ntwo\n# end");
my $last = file('last', 'one');
my $readable = file('readable', "one\n", 0644);

my @good = (
    [ location('pprof on; pprof_bearer a;') ],
    [ location('pprof auto;') ],
    [ location('pprof off;') ],
    [ location('pprof on; pprof_bearer a b c;') ],
    [ location("pprof on; pprof_bearer_file $tokens;") ],
    [ location("pprof on; pprof_bearer_file $last;") ],
    [ location("pprof on; pprof_bearer_file $readable;") ],
    [ location("pprof on; pprof_bearer a; pprof_bearer_file $tokens;") ],
    [ location('limit_except GET { deny all; } pprof on; deny all;') ],
    [ http('pprof_bearer a; pprof_production off;'), location('pprof on;') ],
    [ http("pprof_bearer_file $tokens;"), location('pprof on;') ],
    [ http('pprof_memory 1m;') ],
    [ http('pprof_memory 1g;') ],
    [ http('pprof_memory 1048576;') ],
    [ http('pprof_cpu_rate 1;') ],
    [ http('pprof_cpu_rate 1000;') ],
    [ http('pprof_heap_rate 1;') ],
    [ http('pprof_heap_rate 1g;') ],
    [ http('pprof_heap_rate off;') ],
    [ http('pprof_heap_mmap on;') ],
    [ http('pprof_block_rate 1ns;') ],
    [ http('pprof_block_rate 10us;') ],
    [ http('pprof_block_rate 5ms;') ],
    [ http('pprof_block_rate 1s;') ],
    [ http('pprof_block_rate off;') ],
    [ http('pprof_stall_threshold 1ms;') ],
    [ http('pprof_stall_threshold 9999ms;') ],
    [ http('pprof_stall_threshold off;') ],
    [ http('pprof_debug_path /opt/debug /var/debug;') ],
    [ http('pprof_trace_buffer 1m;') ],
    [ http('pprof_trace_buffer 1g;') ],
    [ http('pprof_trace_on_crash off;') ],
    [ http('pprof_trace_sample 1000000;') ],
    [ http('pprof_trace_on_stall 1ms; pprof_stall_threshold 1ms;') ],
    [ http('pprof_trace_on_stall 100ms;') ],
    [ http('pprof_trace_on_stall off; pprof_stall_threshold off;') ],
    [ http('pprof_trace_on_stall 9s;') ],
    [ http('pprof_trace_on_stall off;') ],
    [ http('pprof_dir $DIR/profiler/;') ],
    [ http('pprof_dir profiler;'), location('pprof on; deny all;') ],
    [ http('pprof_trace_file my.trace;'), location('pprof on; deny all;') ],
    [ http('pprof_trace_file /var/tmp/my.trace;'),
      location('pprof on; deny all;') ],
    [ http('pprof_max_duration 1s;') ],
    [ http('pprof_max_duration 1h30m;') ],
    [ http('pprof_max_duration 24h;') ],
    [ conf => join '', map("load_module $_;\n", Pprof::modules('pprof')),
                       "pid \$DIR/nginx.pid; events { }\n" ],
);

for my $case (@good) {
    my ($code, $out) = check_config(@$case);

    is($code, 0, "accepted: @$case") or diag $out;
    unlike($out, qr/\[warn\] .*pprof/, "no warning: @$case");
}

# bad ones

my $shared = file('shared', "a\n", 0660);
my $open = file('open', "a\n", 0606);
my $none = file('none', "\n# nothing\n");
my $empty = file('empty', '');
my $spaced = file('spaced', "good\nsplit token\n");
my $large = file('large', "a\n" x 40000);

my @bad = (
    [ location('pprof yes;'),
      'invalid value "yes" in "pprof" directive, it must be "auto", "on" or '
      . '"off" in ' ],
    [ location('pprof on; pprof on;'), '"pprof" directive is duplicate in ' ],
    [ location('pprof;'), 'invalid number of arguments in "pprof"' ],
    [ http('pprof on;'), '"pprof" directive is not allowed here' ],
    [ location('pprof on; proxy_pass http://127.0.0.1:1;'),
      'another directive both want to answer the requests of location '
      . '"/debug/pprof"' ],

    [ http('pprof_production maybe;'),
      'invalid value "maybe" in "pprof_production" directive, it must be "on" '
      . 'or "off" in ' ],
    [ http('pprof_production on; pprof_production on;'),
      '"pprof_production" directive is duplicate in ' ],

    [ http('pprof_bearer "";'),
      'invalid token 1 in "pprof_bearer" directive, it must be one or more '
      . 'printable ASCII characters without spaces in ' ],
    [ http('pprof_bearer good "se cret";'),
      'invalid token 2 in "pprof_bearer" directive, it must be one or more ' ],
    [ http("pprof_bearer caf\xe9;"),
      'invalid token 1 in "pprof_bearer" directive, it must be one or more ' ],
    [ http('pprof_bearer a; pprof_bearer b;'),
      '"pprof_bearer" directive is duplicate in ' ],
    [ http('pprof_bearer;'), 'invalid number of arguments in "pprof_bearer"' ],
    [ http('pprof_bearer off;'),
      'invalid token 1 in "pprof_bearer" directive, it takes neither ' ],
    [ http('pprof_bearer good $token;'),
      'invalid token 2 in "pprof_bearer" directive, it takes neither ' ],

    [ http("pprof_bearer_file $dir/missing;"),
      '/missing" of "pprof_bearer_file" failed (2: No such file' ],
    [ http("pprof_bearer_file $dir;"), ' is not a regular file in ' ],
    [ http("pprof_bearer_file $shared;"),
      'shared" can be written by others than its owner: use "chmod go-w" in ' ],
    [ http("pprof_bearer_file $open;"),
      'open" can be written by others than its owner: use "chmod go-w" in ' ],
    [ http("pprof_bearer_file $none;"),
      'none" holds no token, it must hold one a line in ' ],
    [ http("pprof_bearer_file $empty;"),
      'empty" holds no token, it must hold one a line in ' ],
    [ http("pprof_bearer_file $spaced;"),
      'invalid token in line 2 of "pprof_bearer_file" ' ],
    [ http("pprof_bearer_file $large;"),
      'large" is too large, it must be at most 65536 bytes in ' ],
    [ http("pprof_bearer_file $tokens; pprof_bearer_file $tokens;"),
      '"pprof_bearer_file" directive is duplicate in ' ],

    numbers('pprof_memory', '1m to 1g', '5m',
            qw( 0 1023k 1025m 2g -1 x 99999999999999999999 )),
    numbers('pprof_cpu_rate', '1 to 1000', '5',
            qw( 0 1001 -1 10.5 x 10m )),
    numbers('pprof_heap_rate', '1 to 1g, or "off"', '1m',
            qw( 0 1025m 2g -1 x on )),
    numbers('pprof_block_rate',
            '1ns to 1s, with a unit (ns, us, ms, s), or "off"', '1us',
            qw( 0 0ns 10 us s 1001ms 2s -1us 1.5us 1m 1xs 99999999999999999999ns
                18446744073709551615s on )),
    numbers('pprof_stall_threshold', '1ms to 1h, or "off"', '50ms',
            qw( 0 0ms 61m -1 x on )),
    numbers('pprof_max_duration', '1s to 24h', '5m',
            qw( 0 999ms 25h -1 x )),

    numbers('pprof_trace_buffer', '1m to 1g', '5m',
            qw( 0 1023k 1025m 2g -1 x off )),
    numbers('pprof_trace_sample', '1 to 1000000', '5',
            qw( 0 1000001 -1 1.5 x off )),
    numbers('pprof_trace_on_stall', '1ms to 1h, or "off"', '50ms',
            qw( 0 0ms 61m -1 x on )),

    (map { [ http("pprof_trace_on_stall $_;"),
            '"pprof_trace_on_stall" must not be less than '
            . '"pprof_stall_threshold": what is shorter is no stall in ' ] }
        '99ms', '1h; pprof_stall_threshold off',
        '1s; pprof_stall_threshold 1001ms'),

    [ http('pprof_trace_on_crash yes;'),
      'invalid value "yes" in "pprof_trace_on_crash" directive, it must be '
      . '"on" or "off" in ' ],
    [ http('pprof_dir "";'),
      'invalid value "" in "pprof_dir" directive, it must be the path of a '
      . 'directory for the profiler alone in ' ],
    [ http('pprof_dir /;'), 'invalid value "/" in "pprof_dir" directive, ' ],
    [ http('pprof_dir a; pprof_dir b;'),
      '"pprof_dir" directive is duplicate in ' ],
    [ http('pprof_dir $DIR/missing/profiler;'),
      'missing/profiler" failed (2: No such file or directory)' ],
    [ http('pprof_trace_file "";'),
      'invalid value "" in "pprof_trace_file" directive, it must be the name '
      . 'of a file in ' ],
    [ http('pprof_trace_file traces/;'),
      'invalid value "traces/" in "pprof_trace_file" directive, ' ],
    [ http('pprof_trace_file a; pprof_trace_file b;'),
      '"pprof_trace_file" directive is duplicate in ' ],
    [ http('pprof_trace_file ' . ('x' x 4070) . ';'),
      location('pprof on; deny all;'), 'must be shorter than 4064 ' ],

    [ http('pprof_heap_mmap yes;'),
      'invalid value "yes" in "pprof_heap_mmap" directive, it must be "on" or '
      . '"off" in ' ],
    [ http('pprof_heap_mmap on; pprof_heap_mmap on;'),
      '"pprof_heap_mmap" directive is duplicate in ' ],

    [ http('pprof_debug_path debug;'),
      'invalid value "debug" in "pprof_debug_path" directive, it must be an '
      . 'absolute path without colons in ' ],
    [ http('pprof_debug_path /a /b:/c;'),
      'invalid value "/b:/c" in "pprof_debug_path" directive, ' ],
    [ http('pprof_debug_path /a; pprof_debug_path /b;'),
      '"pprof_debug_path" directive is duplicate in ' ],

    map { [ location("pprof on; $_ 1m;"),
            "\"$_\" directive is not allowed here" ] }
        qw( pprof_memory pprof_cpu_rate pprof_heap_rate pprof_max_duration
            pprof_block_rate pprof_stall_threshold pprof_trace_buffer
            pprof_trace_on_crash pprof_trace_on_stall pprof_dir
            pprof_trace_file pprof_production pprof_debug_path pprof_gops
            pprof_gops_dir ),
);

sub numbers {
    my ($name, $range, $good, @values) = @_;

    return [ http("$name $good; $name $good;"),
             "\"$name\" directive is duplicate in " ],
           map { [ http("$name $_;"),
                   "invalid value \"$_\" in \"$name\" directive, it must be "
                   . "in the range from $range in " ] } @values;
}

for my $case (@bad) {
    my $error = pop @$case;
    my ($code, $out) = check_config(@$case);

    is($code, 1, "refused: @$case");
    like($out, qr/\[emerg\] .*\Q$error\E/, "error: @$case");
    unlike($out, qr/se cret|split token/, "no token in the log: @$case");
}

# an error of two directives tells where one of them stands, and which

for my $case ([ 1, "pprof_trace_on_stall 1ms;\npprof_stall_threshold 1s;\n" ],
              [ 3, "\npprof_stall_threshold 1s;\npprof_trace_on_stall 1ms;\n" ])
{
    my ($line, $text) = @$case;
    my ($code, $out) = check_config(conf => join '',
        map("load_module $_;", Pprof::modules('pprof')),
        "pid \$DIR/nginx.pid; events { } http { $text }\n");

    is($code, 1, "two directives: refused, line $line");
    like($out, qr/no stall in \S+nginx\.conf:$line\n/, "two directives: line $line");
}

# times that are rather a mistake: taken, and said as what

for my $case ([ 'pprof_stall_threshold 100;', '100', '100.0 s' ],
              [ 'pprof_stall_threshold 10s;', '10s', '10.0 s' ],
              [ 'pprof_stall_threshold 1h;', '1h', '3600.0 s' ],
              [ 'pprof_trace_on_stall 100;', '100', '100.0 s' ],
              [ 'pprof_trace_on_stall 10500ms;', '10500ms', '10.5 s' ])
{
    my ($text, $value, $meant) = @$case;
    my ($code, $out) = check_config(http($text));
    my ($name) = $text =~ /^(\w+)/;

    is($code, 0, "doubtful: $text") or diag $out;
    like($out, qr/\[warn\] .*: "$value" in "$name" directive is \Q$meant\E, .* in \S+nginx\.conf:\d+\n/,
         "doubtful, warning: $text");
    is(scalar(() = $out =~ /\[warn\]/g), 1, "doubtful, once: $text");
}

# unprotected locations

my $warning = qr/\[warn\] .*"pprof\ on"\ lets\ everybody\ .*"\/debug\/pprof"
                 .*\ in\ \S+nginx\.conf:\d+\n/x;

my @open = (
    [ location('pprof on;') ],
    [ location('pprof on; allow 127.0.0.1;') ],
    [ location('pprof on; auth_basic off;') ],
    [ location('pprof on; auth_request off;') ],
    [ location('pprof on; limit_except GET { deny all; }') ],
    [ http('deny all;'), location('pprof on; allow all;') ],
    [ http('auth_basic closed;'), location('pprof on; auth_basic off;') ],
    [ config => 'location / { deny all; } location /debug/pprof { pprof on; }'
    ],
    [ http('pprof_production on;'), location('pprof on;') ],
);

my @protected = (
    [ location('pprof on; pprof_bearer a;') ],
    [ location('pprof on; deny all;') ],
    [ location('deny all; pprof on;') ],
    [ location('pprof on; allow 127.0.0.1; deny all;') ],
    [ location('pprof on; auth_basic closed; auth_basic_user_file x;') ],
    [ location('pprof on; auth_request /auth;') ],
    [ http('deny all;'), location('pprof on;') ],
    [ http('auth_request /auth;'), location('pprof on;') ],
    [ http('deny all;'), location('pprof on; auth_basic off;') ],
    [ config => 'deny all; location /debug/ { location /debug/pprof '
                . '{ pprof on; } }' ],
    [ location('pprof off;') ],
    [ location('pprof auto;') ],
    [ http('pprof_production off;'), location('pprof on;') ],
    [ http('pprof_production off;'), location('pprof auto;') ],
);

for my $case (@open) {
    my ($code, $out) = check_config(@$case);

    is($code, 0, "open: @$case") or diag $out;
    like($out, $warning, "warning: @$case");
    is(scalar(() = $out =~ /\[warn\]/g), 1, "once: @$case");
}

for my $case (@protected) {
    my ($code, $out) = check_config(@$case);

    is($code, 0, "protected: @$case") or diag $out;
    unlike($out, qr/\[warn\] .*pprof/, "no warning: @$case");
}

# A start warns as well; two servers and what is not served.

my $nginx = start_nginx(listen => 'default_server', http_config => q{
    error_page 404 = /missing;
    server {
        listen 127.0.0.1:$PORT;
        server_name other;
        location /debug/pprof { pprof on; pprof_bearer b; }
    }
}, config => q{
    location = /missing { return 404 "nothing here\n"; }
    location /open/ { pprof on; }
    location /off/ { pprof off; auth_basic closed; auth_basic_user_file x; }
    location /auto/ { pprof auto; deny all; }
    location /auto2/ { pprof auto; auth_request /auth; pprof_bearer a; }
    location /nested/ {
        pprof on;
        pprof_bearer a;
        location /nested/inner/ { return 200 "inner\n"; }
    }
    location /go/ { rewrite ^/go/(.*)$ /auto/$1 last; }
    location /limits/ {
        pprof on;
        pprof_bearer a;
        client_max_body_size 1;
        client_body_in_file_only on;
    }
});

like(slurp("$nginx->{dir}/logs/stderr") . $nginx->error_log,
     qr/lets everybody profile .*"\/open\/" .*nginx\.conf:\d+/,
     'the start warns');

for my $path (qw( off auto auto2 go )) {
    for my $method (qw( GET HEAD POST )) {
        my $res = $nginx->get("/$path/debug/pprof/profile",
                              method => $method);

        is($res->{status}, 404, "$method $path: 404");
        is($res->{content} // '', $method eq 'HEAD' ? '' : "nothing here\n",
           "$method $path: as if it did not exist");
        is($res->{headers}{'x-go-pprof'}, undef, "$method $path: not ours");
        is($res->{headers}{'www-authenticate'}, undef,
           "$method $path: nobody is asked for a password");
    }
}

is($nginx->get('/open/debug/pprof/cmdline')->{status}, 200, 'open');
is($nginx->get('/nested/inner/debug/pprof/cmdline')->{content}, "inner\n",
   'nested locations are others');
is($nginx->get('/nested/debug/pprof/nothing', token => 'a')->{content},
   "Unknown profile\n", 'error_page does not replace our errors');
is($nginx->get('/limits/debug/pprof/symbol', token => 'a', method => 'POST',
               content => '0x1+' x 100000)->{content}, "num_symbols: 1\n",
   'client_max_body_size does not count');

my $other = '/debug/pprof/cmdline';
my @host = (-H => 'Host: other', -H);

is($nginx->curl($other, @host, 'X: y')->{status}, 401, 'another server: 401');
is($nginx->curl($other, @host, 'Authorization: Bearer b')->{status}, 200,
   'another server: its token');
is($nginx->curl($other, @host, 'Authorization: Bearer a')->{status}, 401,
   'another server: not the token of the first');

is($nginx->quit, 0, 'quit');
is_deeply([ $nginx->alerts ], [], 'no alerts');

# nothing is served, not even gops: nothing is started

$nginx = start_nginx(http_config => 'pprof_gops off;', config => 'location /debug/ { pprof auto; }');

is(scalar(() = glob "/proc/@{[ ($nginx->worker_pids)[0] ]}/task/*"), 1,
   'no thread');
is($nginx->quit, 0, 'quit');

# tokens are not kept

my $token = 'zQ7-' . join '', map { chr 97 + $_ * 7 % 26 } 0 .. 20;

$nginx = start_nginx(config => "location /debug/pprof { pprof on;"
                               . " pprof_bearer other $token; }");

is($nginx->get('/debug/pprof/cmdline')->{status}, 401, 'token: asked for');
ok(!in_memory(($nginx->worker_pids)[0], $token), 'token: not in the worker');
ok(!in_memory($nginx->pid, $token), 'token: not in the master');
is($nginx->get('/debug/pprof/cmdline', token => $token)->{status}, 200,
   'token: accepted');
is($nginx->quit, 0, 'quit');

done_testing();


sub slurp {
    open my $in, '<', $_[0] or return '';
    local $/;
    return <$in> // '';
}


# Whether a string stands in a process's writable memory.

sub in_memory {
    my ($pid, $string) = @_;

    open my $maps, '<', "/proc/$pid/maps" or die "maps: $!";
    open my $mem, '<:raw', "/proc/$pid/mem" or die "mem: $!";

    while (<$maps>) {
        my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
        my $size = hex($to) - hex($from);

        next if $size > 64 << 20;

        sysseek $mem, hex($from), 0 or next;
        sysread $mem, my $data, $size or next;

        return 1 if index($data, $string) >= 0;
    }

    return 0;
}
