# Copyright (C) the maintainers of nginx pprof

# The runner itself: what is true here is true under the original, too.

use strict;
use warnings;

use lib 't/lib';
use Pprof;
use Test::Nginx::Socket 'no_plan';

no_shuffle();
repeat_each(2);

our $Counter = 0;

sub shout { uc $_[0] }

run_tests();

__DATA__

=== TEST 1: status, body, headers, log
--- config
    location /t { add_header X-A $http_x_b; return 200 "hello\n"; }
--- request
GET /t
--- more_headers
X-B: c
--- response_body
hello
--- response_headers
Content-Length: 6
X-A: c
! X-No
--- raw_response_headers_like: ^HTTP/1\.1 200 OK\r\n
--- raw_response_headers_unlike: X-No
--- error_log
http request line
--- no_error_log
[crit]
[error]


=== TEST 2: the default location, main_config, http_config, patterns
--- main_config
    worker_rlimit_nofile 512;
--- http_config
    map $arg_a $mapped { default none; 1 one; }
--- config
    location = /t { return 200 "$mapped"; }
    location = /p { return 403; }
--- request eval
["GET /t?a=1", "GET /", "GET /p"]
--- response_body_like eval
["^one\$", "It works!", "403 Forbidden"]
--- error_code eval
[200, 200, 403]


=== TEST 3: a body, its length, HTTP/1.0
--- config
    location /t {
        client_body_buffer_size 1k;
        proxy_set_header X-Length $content_length;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/back;
    }
    location /back { return 200 "$http_x_length $request_method\n"; }
--- request
POST /t HTTP/1.0
one two
three
--- response_body
13 POST


=== TEST 4: pipelined requests
--- config
    location /t { return 200 $arg_a; }
    location /n { return 404; }
--- pipelined_requests eval
["GET /t?a=1", "GET /n", "HEAD /t?a=2", "GET /t?a=3"]
--- error_code eval
[200, 404, 200, 200]
--- response_body_like eval
["^1\$", "404 Not", "^\$", "^3\$"]


=== TEST 5: nginx must die
--- config
    no_such_directive;
--- must_die: 1
--- error_log
[emerg]
unknown directive "no_such_directive"


=== TEST 6: the client goes away
--- config
    location /t {
        proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    }
--- main_config
    worker_shutdown_timeout 1;
--- http_config
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location / { root html; limit_rate 1; }
    }
--- request
GET /t/index.html
--- timeout: 200ms
--- abort
--- ignore_response
--- wait: 0.05
--- access_log
GET /t/index.html


=== TEST 7: HTTP/2
--- config
    location /t { return 200 "$server_protocol $request_method\n"; }
--- http2
--- request
GET /t
--- response_body
HTTP/2.0 GET


=== TEST 8: chunked and filtered
--- config
    location /text.txt { gzip on; gzip_min_length 1; gzip_types text/plain; }
--- user_files
>>> text.txt
one two three
--- request
GET /text.txt
--- more_headers
Accept-Encoding: gzip
--- response_headers
Transfer-Encoding: chunked
Content-Encoding: gzip
--- response_body_filters eval
[sub {
    require IO::Uncompress::Gunzip;
    IO::Uncompress::Gunzip::gunzip(\$_[0] => \my $out);
    return $out;
}, 'shout']
--- response_body
ONE TWO THREE


=== TEST 9: init, raw request, several headers
--- init
$::Counter = 7;
--- config
    location /t { add_header Vary A; add_header Vary B; return 204; }
--- raw_request eval
"GET /t?n=$::Counter HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
--- error_code_like: ^20[4-6]$
--- response_headers_like
Vary: A, [B]


=== TEST 10: what the log says
--- config
    location /t { root /nonexistent; }
--- request
GET /t/file
--- error_code: 404
--- grep_error_log eval: qr/"[^"]+" failed \(2:/
--- grep_error_log_out
"/nonexistent/t/file" failed (2:


=== TEST 11: skipped for the version
--- skip_nginx
2: > 1.0.0: it is a new one
--- config
    location /t { return 500; }
--- request
GET /t


=== TEST 12: skipped by code
--- skip_eval: 1: 1 + 1 == 2
--- config
    location /t { return 500; }
--- request
GET /t


=== TEST 13: to do
--- todo
1: the answer is another one
--- config
    location /t { return 200; }
--- request
GET /t
--- error_code: 201
--- error_log
[alert] there is none


=== TEST 14: unlike, and the port
--- config
    location /t { return 200 "$server_port\n"; }
--- request
GET /t
--- response_body_unlike: ^x$


=== TEST 15: the port in an expected body
--- config
    location /t { return 200 "$server_port\n"; }
--- request
GET /t
--- response_body
$ServerPort
