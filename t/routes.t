# Copyright (C) the maintainers of nginx pprof

# Every endpoint with its parameters, headers and error texts.

use strict;
use warnings;

use lib 't/lib';
use Pprof;
use Test::Nginx::Socket 'no_plan';

no_shuffle();
add_block_preprocessor(\&Pprof::check_logs);

our $Error = "Content-Type: text/plain; charset=utf-8\nX-Go-Pprof: 1\n"
             . "X-Content-Type-Options: nosniff\nCache-Control: no-store\n"
             . '! Content-Disposition';
our $Text = "Content-Type: text/plain; charset=utf-8\n! X-Go-Pprof\n"
            . "X-Content-Type-Options: nosniff\nCache-Control: no-store\n"
            . '! Content-Disposition';
our $Binary = "Content-Type: application/octet-stream\n! X-Go-Pprof\n"
              . "X-Content-Type-Options: nosniff\nCache-Control: no-store\n"
              . '! Content-Encoding';

our $Profile = "$Binary\nContent-Disposition: attachment; filename=\"profile\"";

# gzip, without the time that would make equal profiles differ

our $Gzip = qr/^\x1f\x8b/;

our $Unknown = "Unknown profile\n";
our $Path = "Unknown path: profiles are below /debug/pprof/, the flight recorder is at "
            . "/debug/trace/recorder\n";
our $Trace = "Unknown path: the flight recorder is at /debug/trace/recorder, with /run, "
             . "/stop, /snapshot and /trace.out below it; a trace of the next seconds is at "
             . "/debug/pprof/trace\n";

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config => 'pprof_production off;')
        unless defined $block->http_config;
    $block->set_value(config => q{
        location /debug/ { pprof auto; }
        location /internal/ { pprof on; }
        location ~ ^/re/.*\d/ { pprof on; }
        location = /exact/debug/pprof/cmdline { pprof on; }
    }) unless defined $block->config;
});

run_tests();

__DATA__

=== TEST 1: redirect to the slash
--- request eval
["GET /debug/pprof", "GET /debug/pprof?a=1&b=%20", "HEAD /debug/pprof",
"GET /internal/x%20y%3f/debug/pprof", "GET /re/1/debug/pprof"]
--- error_code eval
[(301) x 5]
--- response_headers_like eval
["Location: http://\\S+/debug/pprof/", "Location: http://\\S+/debug/pprof/\\?a=1&b=%20",
"Location: http://\\S+/debug/pprof/", "Location: http://\\S+/internal/x%20y%3F/debug/pprof/",
"Location: http://\\S+/re/1/debug/pprof/"]


=== TEST 2: any prefix, the last one counts
--- request eval
["GET /internal/debug/pprof/cmdline", "GET /re/0/debug/pprof/cmdline",
"GET /exact/debug/pprof/cmdline", "GET /debug/pprof/debug/pprof/cmdline",
"GET /debug/trace/debug/pprof/cmdline", "GET /debug/pprof/nothing/debug/pprof/cmdline",
"GET /debug/pprof/../pprof/./cmdline", "GET /debug/%70prof/c%6ddline",
"GET /debug//pprof//cmdline"]
--- error_code eval
[(200) x 9]
--- response_body_like eval
[("^[^\\0]*nginx\\0.*conf") x 9]


=== TEST 3: unknown names
--- request eval
["GET /debug/pprof/nothing", "GET /debug/pprof/Profile", "GET /debug/pprof/profile/",
"GET /debug/pprof/cmdline/x", "GET /debug/pprofx/cmdline", "GET /debug/xpprof/cmdline",
"GET /internal/", "GET /internal/pprof/cmdline", "GET /debug/",
"GET /debug/pprof/profile%00", "POST /debug/pprof/nothing\nx", "GET /debug/pprof/pro"]
--- error_code eval
[(404) x 9, 400, 404, 404]
--- response_body_like eval
[(qr{^\Q$::Unknown\E$}) x 4, (qr{^\Q$::Path\E$}) x 5, "", (qr{^\Q$::Unknown\E$}) x 2]


=== TEST 4: below /debug/trace: what there is no such thing of
--- request eval
["GET /debug/trace", "GET /debug/trace/", "GET /debug/trace/recorder/", "GET /debug/trace/recorder/x",
"GET /debug/trace/recorder/run/", "GET /debug/trace/profile", "GET /debug/trace/recorder/nothing?seconds=5",
"GET /debug/pprof/debug/trace/profile", "GET /debug/pprof/recorder", "GET /debug/tracex/recorder"]
--- error_code eval
[(404) x 10]
--- response_headers eval
[($::Error) x 10]
--- response_body eval
[($::Trace) x 8, $::Unknown, $::Path]


=== TEST 4a: the recorder, below any prefix
--- request eval
["GET /debug/trace/recorder", "GET /internal/debug/trace/recorder",
"GET /debug/pprof/debug/trace/recorder", "GET /debug/%74race/recorder",
"HEAD /debug/trace/recorder"]
--- error_code eval
[(200) x 5]
--- response_headers eval
[("Content-Type: application/json\n! X-Go-Pprof\nX-Content-Type-Options: nosniff\nCache-Control: no-store") x 5]
--- response_body_like eval
[('^{"state":"stopped","trace":null,"crash":null,"stall":null}\n$') x 4, ""]


=== TEST 4b: trace
--- request eval
["GET /debug/pprof/trace?seconds=0.1", "HEAD /debug/pprof/trace", "GET /debug/pprof/trace?seconds=.05&events=1000",
"GET /debug/pprof/trace?seconds=0.1&worker=0"]
--- error_code eval
[(200) x 4]
--- response_headers eval
[("$::Binary\nContent-Disposition: attachment; filename=\"trace\"") x 4]
--- response_body_like eval
['^go 1\.22 trace\0\0\0', '', ('^go 1\.22 trace\0\0\0') x 2]


=== TEST 4c: trace: a time that is none is that of Go
--- request eval
[map "GET /debug/pprof/trace$_", '', '?seconds=x', '?seconds=-1']
--- error_code eval
[(200) x 3]
--- response_body_like eval
[('^go 1\.22 trace\0\0\0') x 3]


=== TEST 4d: trace: bad parameters
--- request eval
["GET /debug/pprof/trace?seconds=0.1&events=0", "GET /debug/pprof/trace?seconds=0.1&events=x",
"GET /debug/pprof/trace?seconds=0.1&events=", "GET /debug/pprof/trace?seconds=1801", "GET /debug/pprof/trace?worker=77",
"POST /debug/pprof/trace\nx"]
--- error_code eval
[400, 400, 400, 400, 404, 405]
--- response_headers eval
[($::Error) x 6]
--- response_body_like eval
[('^invalid value for "events" - must be a positive integer, 20000000 at most\n$') x 3, '^profile duration exceeds pprof_max_duration',
'^No worker 77 here; there are: ', '^method not allowed here']


=== TEST 5: methods
--- request eval
["POST /debug/pprof/profile\nx", "PUT /debug/pprof/cmdline\nx", "DELETE /debug/pprof/",
"POST /debug/pprof\nx", "OPTIONS /debug/pprof/symbol", "PATCH /debug/pprof/threadcreate\nx"]
--- error_code eval
[(405) x 6]
--- response_headers eval
[("Allow: GET, HEAD\n$::Error") x 4, "Allow: GET, HEAD, POST\n$::Error", "Allow: GET, HEAD\n$::Error"]
--- response_body_like eval
[("^method not allowed here: use GET, HEAD\n\$") x 4,
"^method not allowed here: use GET, HEAD, POST\n\$", "^method not allowed here: use GET, HEAD\n\$"]


=== TEST 6: profile
--- request
GET /debug/pprof/profile?seconds=0.1
--- response_headers eval
$::Profile
--- response_body_like eval
$::Gzip
--- error_code: 200


=== TEST 7: profile: parameters that are good
--- request eval
["GET /debug/pprof/profile?seconds=0.1&hz=1", "GET /debug/pprof/profile?hz=1000&seconds=.1",
"GET /debug/pprof/profile?seconds=0.1&debug=", "GET /debug/pprof/profile?seconds=0.1&worker=0",
"GET /debug/pprof/profile?SECONDS=0.1", "GET /debug/pprof/profile?seconds=%30.1",
"GET /debug/pprof/profile?seconds=0.1&debug=1", "GET /debug/pprof/profile?seconds=00000.10000000000000"]
--- error_code eval
[(200) x 8]
--- response_headers eval
[($::Profile) x 8]


=== TEST 8: profile: hz that is bad
--- request eval
[map "GET /debug/pprof/profile?seconds=0.1&hz=$_", '', qw( 0 1001 -1 x 1.5 99999999999999999999 1x )]
--- error_code eval
[(400) x 8]
--- response_headers eval
[($::Error) x 8]
--- response_body eval
[("invalid value for \"hz\" - must be an integer from 1 to 1000\n") x 8]


=== TEST 9: the longest window
--- http_config
    pprof_production off;
    pprof_max_duration 20s;
--- request eval
["GET /debug/pprof/profile?seconds=20.000000001", "GET /debug/pprof/profile?seconds=21",
"GET /debug/pprof/profile?seconds=99999999999999999999999999", "GET /debug/pprof/profile",
"GET /debug/pprof/profile?seconds=x", "GET /debug/pprof/profile?seconds=0",
"GET /debug/pprof/profile?seconds=-1", "GET /debug/pprof/profile?seconds=1e1",
"GET /debug/pprof/profile?seconds=", "GET /debug/pprof/profile?seconds=0.0000000001",
"GET /debug/pprof/threadcreate?seconds=21"]
--- error_code eval
[(400) x 11]
--- response_headers eval
[($::Error) x 11]
--- response_body eval
[("profile duration exceeds pprof_max_duration, which is 20s here\n") x 11]


=== TEST 10: whose profile: bad values
--- request eval
[(map "GET /debug/pprof/profile?seconds=0.1&worker=$_", '', qw( x -1 1.5 99999999999999999999 )),
"GET /debug/pprof/threadcreate?worker=&debug=1",
map "GET /debug/pprof/threadcreate?pid=$_", '', qw( x 0 -1 1.5 99999999999999999999 )]
--- error_code eval
[(400) x 12]
--- response_headers eval
[($::Error) x 12]
--- response_body eval
[("invalid value for \"worker\" - must be the number of a worker, from 0\n") x 6,
("invalid value for \"pid\" - must be the process ID of a worker\n") x 6]


=== TEST 11: whose profile: not there
--- request eval
["GET /debug/pprof/profile?seconds=0.1&worker=9", "GET /debug/pprof/threadcreate?worker=9",
"GET /debug/pprof/profile?seconds=0.1&pid=1", "GET /debug/pprof/threadcreate?pid=1"]
--- error_code eval
[(404) x 4]
--- response_headers eval
[($::Error) x 4]
--- response_body_like eval
[("^(?i:no) (?:worker|process) .*there.*\\d.*\n\$") x 4]


=== TEST 12: threadcreate
--- request eval
["GET /debug/pprof/threadcreate", "GET /debug/pprof/threadcreate?seconds=0.1",
"GET /debug/pprof/threadcreate?debug=1", "GET /debug/pprof/threadcreate?debug=2",
"GET /debug/pprof/threadcreate?debug=0", "GET /debug/pprof/threadcreate?debug=x",
"GET /debug/pprof/threadcreate?seconds=0.1&debug=0", "GET /debug/pprof/threadcreate?seconds=&debug="]
--- error_code eval
[(200) x 8]
--- response_headers eval
["$::Binary\nContent-Disposition: attachment; filename=\"threadcreate\"",
"$::Binary\nContent-Disposition: attachment; filename=\"threadcreate-delta\"",
$::Text, $::Text, ("$::Binary\nContent-Disposition: attachment; filename=\"threadcreate\"") x 2,
"$::Binary\nContent-Disposition: attachment; filename=\"threadcreate-delta\"",
"$::Binary\nContent-Disposition: attachment; filename=\"threadcreate\""]
--- response_body_like eval
[($::Gzip) x 2, ("^threadcreate profile: total \\d+\n") x 2, ($::Gzip) x 4]


=== TEST 13: threadcreate: bad values
--- request eval
["GET /debug/pprof/threadcreate?seconds=x", "GET /debug/pprof/threadcreate?seconds=0",
"GET /debug/pprof/threadcreate?seconds=-1", "GET /debug/pprof/threadcreate?seconds=1&debug=1",
"GET /debug/pprof/threadcreate?seconds=x&debug=1"]
--- error_code eval
[(400) x 5]
--- response_headers eval
[($::Error) x 5]
--- response_body eval
[("invalid value for \"seconds\" - must be a positive number\n") x 3,
"seconds and debug params are incompatible\n",
"invalid value for \"seconds\" - must be a positive number\n"]


=== TEST 14: cmdline
--- request
GET /debug/pprof/cmdline
--- response_headers eval
$::Text
--- response_body_like eval
qr/^[^\0]*nginx(?:\0[^\0]+)+\z/
--- response_body_unlike eval
qr/\0\z/


=== TEST 15: symbol
--- request eval
["GET /debug/pprof/symbol", "GET /debug/pprof/symbol?", "GET /debug/pprof/symbol?0x0",
"GET /debug/pprof/symbol?x+zz++0x+0xg1", "GET /debug/pprof/symbol?0x11111111111111111",
"POST /debug/pprof/symbol\n0x1+0x2", "POST /debug/pprof/symbol\n", "GET /debug/pprof/symbol?1+2"]
--- error_code eval
[(200) x 8]
--- response_headers eval
[($::Text) x 8]
--- response_body eval
[("num_symbols: 1\n") x 8]


=== TEST 16: symbol: a body of any size, in memory that is bounded
--- config
    client_body_buffer_size 1k;
    location /debug/ { pprof auto; client_max_body_size 1k; }
--- request eval
["POST /debug/pprof/symbol\n" . ("0x1+" x 200000), "POST /debug/pprof/symbol\n" . ("+" x 2000000),
"POST /debug/pprof/symbol\n" . ("0x1+" x 1048576), "POST /debug/pprof/symbol\n" . ("0x1+" x 1048577)]
--- timeout: 60
--- error_code eval
[200, 200, 200, 413]
--- response_headers eval
[($::Text) x 3, $::Error]
--- response_body eval
[("num_symbols: 1\n") x 3, "more than 1048576 addresses in one request: send them in several\n"]
--- no_error_log
client intended to send too large body
buffered to a temporary file


=== TEST 17: symbol: the body in pieces, cut anywhere
--- raw_request eval
["POST /debug/pprof/symbol HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n0x",
"1\r\n2\r\n+0\r\n", "3\r\nx2+\r\n0\r\n", "\r\n"]
--- raw_request_middle_delay: 0.1
--- error_code: 200
--- response_body
num_symbols: 1


=== TEST 18: a body where none is expected
--- raw_request eval
["GET /debug/pprof/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
"cdeGET /debug/pprof/cmdline HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
--- raw_request_middle_delay: 0.1
--- error_code: 404
--- response_body_like: (?s)^Unknown profile\n


=== TEST 19: HEAD measures nothing
--- request eval
["HEAD /debug/pprof/profile?seconds=600", "HEAD /debug/pprof/", "HEAD /debug/pprof/cmdline",
"HEAD /debug/pprof/threadcreate?seconds=600", "HEAD /debug/pprof/threadcreate?debug=1",
"HEAD /debug/pprof/symbol?0x1", "HEAD /debug/pprof/nothing", "HEAD /debug/pprof/profile?hz=0"]
--- timeout: 60
--- error_code eval
[(200) x 6, 404, 400]
--- response_headers eval
[$::Profile, "Content-Type: text/html; charset=utf-8", $::Text,
"$::Binary\nContent-Disposition: attachment; filename=\"threadcreate-delta\"", $::Text, $::Text,
$::Error, $::Error]
--- response_body eval
[("") x 8]


=== TEST 20: index
--- request
GET /debug/pprof/
--- response_headers
Content-Type: text/html; charset=utf-8
X-Content-Type-Options: nosniff
Cache-Control: no-store
Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'
! X-Go-Pprof
! Content-Disposition
--- response_body_like eval
qr{<a\ href="profile">profile</a>.*<a\ href="threadcreate\?debug=1">threadcreate</a>
   .*<a\ href="cmdline">.*<th\ class="n"\ title="[^"<>]+">PID</th>
   .*<a\ href="profile\?worker=0">0</a>.*<a\ href="profile\?pid=\d+">\d+</a>
   .*go\ tool\ pprof\ -http=:\ 'http://[\w.:]+/debug/pprof/profile\?seconds=30'}sx
--- response_body_unlike eval
qr{<script|src=|https?://(?!localhost|127\.)|TOKEN|0x[0-9a-f]{6}}


=== TEST 20a: index: each column of the workers is explained, and wide tables scroll by themselves
--- request
GET /debug/pprof/
--- response_body_like eval
qr{<h2>Workers</h2>\n<div\ class="wide">\n<table>\n
   <tr>(?:<th(?:\ class="n")?\ title="[^"<>]+">\w+</th>){14}</tr>\n
   .*</table>\n</div>\n<p><small>Slot:\ .*Samples:\ .*Lost:\ }sx


=== TEST 21: index: the hints name the address that the client knows
--- config
    location /in { pprof on; pprof_bearer secret; }
--- request eval
[("GET /in%22%3cb%3e'\$x;%20&/debug/pprof/") x 2]
--- more_headers eval
["Authorization: Bearer secret", "Authorization: Bearer secret\nHost: a\"b'<c>"]
--- response_body_like eval
[qr{'http://:TOKEN\@\S+/in%22%3Cb%3E%27%24x%3B%20%26/debug/pprof/profile\?seconds=30'},
qr{'http://:TOKEN\@HOST/in}]
--- response_body_unlike eval
[qr{secret|/in"|<b>|\$x}, qr{secret|a"b|<c>}]


=== TEST 22: no second compression, no ranges, no conditions
--- config
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    location /debug/ { pprof auto; }
--- request eval
["GET /debug/pprof/profile?seconds=0.1", "GET /debug/pprof/threadcreate",
"GET /debug/pprof/cmdline", "GET /debug/pprof/cmdline"]
--- more_headers eval
["Accept-Encoding: gzip", "Accept-Encoding: gzip", "Range: bytes=0-1",
"If-Modified-Since: Thu, 01 Jan 2037 00:00:00 GMT\nIf-Match: \"x\"\nIf-None-Match: *"]
--- error_code eval
[(200) x 4]
--- response_headers eval
[($::Binary) x 2, ($::Text) x 2]


=== TEST 23: HTTP/1.0, and directives of other modules
--- config
    charset koi8-r;
    default_type application/x-none;
    add_header X-Mine yes always;
    location /debug/ { pprof auto; }
--- request eval
["GET /debug/pprof/profile?seconds=0.1 HTTP/1.0", "GET /debug/pprof/nothing HTTP/1.0"]
--- error_code eval
[200, 404]
--- response_headers eval
["$::Binary\nX-Mine: yes", "$::Error\nX-Mine: yes"]


=== TEST 24: HTTP/2
--- http2
--- request eval
["GET /debug/pprof/profile?seconds=0.1", "GET /debug/pprof/nothing", "GET /debug/pprof/",
"POST /debug/pprof/symbol\n" . ("0x1+" x 20000)]
--- error_code eval
[200, 404, 200, 200]
--- response_headers eval
[$::Profile, $::Error, "Content-Type: text/html; charset=utf-8", $::Text]
--- response_body_like eval
[$::Gzip, "^Unknown profile\n\$", "pprof -http", "^num_symbols: 1\n\$"]


=== TEST 25: more than one on a connection, while a window is open
--- pipelined_requests eval
["GET /debug/pprof/threadcreate?seconds=0.1&debug=0", "GET /debug/pprof/cmdline",
"GET /debug/pprof/nothing", "GET /debug/pprof/profile?seconds=0.1"]
--- error_code eval
[200, 200, 404, 200]
