# Copyright (C) the maintainers of nginx pprof

# Who is let in, and what the others read.

use strict;
use warnings;

use lib 't/lib';
use Pprof;
use MIME::Base64 qw( encode_base64 );
use Test::Nginx::Socket 'no_plan';

no_shuffle();
add_block_preprocessor(\&Pprof::check_logs);

our $Htpasswd = ">>> htpasswd\nuser:{PLAIN}password\nboth:{PLAIN}secret\n";

our $Challenge = 'WWW-Authenticate: Bearer realm="pprof", Basic realm="pprof"';
our $Missing = qr/^the token is missing or wrong: send it as .*\n$/;
our $Ours = "Content-Type: text/plain; charset=utf-8\nX-Go-Pprof: 1\n"
            . 'X-Content-Type-Options: nosniff';

our $Config = q{
    location /debug/pprof { pprof on; pprof_bearer secret "other+/=token"; }
    location /debug/trace { pprof on; pprof_bearer secret; }
};

sub basic {
    my ($user, $password, $scheme) = @_;

    return 'Authorization: ' . ($scheme // 'Basic') . ' '
           . encode_base64("$user:$password", '');
}

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(config => $Config) unless defined $block->config;
    $block->set_value(user_files => $Htpasswd);
});

run_tests();

__DATA__

=== TEST 1: no token
--- request
GET /debug/pprof/cmdline
--- error_code: 401
--- response_headers eval
"$::Ours\n$::Challenge"
--- response_body_like eval
$::Missing
--- no_error_log
[error]


=== TEST 2: the token, the other one, any case of the scheme, spaces
--- request eval
[("GET /debug/pprof/cmdline") x 6]
--- more_headers eval
["Authorization: Bearer secret", "Authorization: Bearer other+/=token",
"Authorization: bearer secret", "Authorization: BEARER secret",
"authorization: bEaReR    secret", "Authorization: Bearer secret  "]
--- error_code eval
[(200) x 6]
--- response_headers eval
[("! WWW-Authenticate\n! X-Go-Pprof") x 6]


=== TEST 3: the token as password of any user, as go tool pprof sends it
--- request eval
[("GET /debug/pprof/cmdline") x 4]
--- more_headers eval
[::basic('', 'secret'), ::basic('anybody', 'other+/=token'),
::basic('', 'secret', 'bASIC'), ::basic('x', 'secret', 'basic  ')]
--- error_code eval
[(200) x 4]


=== TEST 4: wrong ones
--- request eval
[("GET /debug/pprof/cmdline") x 16]
--- more_headers eval
["Authorization: Bearer Secret", "Authorization: Bearer secre",
"Authorization: Bearer secrets", "Authorization: Bearer",
"Authorization: Bearer ", "Authorization: secret", "Authorization: Bearersecret",
"Authorization: Digest secret", "Authorization: Bearer secret other",
"Authorization: Basic secret", "Authorization: Basic", "Authorization: Basic !!!",
::basic('secret', ''), ::basic('', 'Secret'), ::basic('', ':secret'),
"Authorization: Basic c2VjcmV0"]
--- error_code eval
[(401) x 16]
--- response_body_like eval
[($::Missing) x 16]


=== TEST 5: never in the query
--- request eval
["GET /debug/pprof/cmdline?token=secret", "GET /debug/pprof/cmdline?bearer=secret"]
--- error_code eval
[401, 401]


=== TEST 6: permission comes first
--- request eval
["GET /debug/pprof", "GET /debug/pprof/", "GET /debug/pprof/nothing",
"DELETE /debug/pprof/profile", "GET /debug/pprof/profile?seconds=-1&hz=0",
"POST /debug/pprof/symbol\n0x1", "GET /debug/trace/recorder",
"GET /debug/trace/recorder/run?duration=1s", "OPTIONS /debug/pprof/"]
--- error_code eval
[(401) x 9]
--- response_headers eval
[("$::Ours\n$::Challenge") x 9]
--- response_body_like eval
[($::Missing) x 9]


=== TEST 7: HEAD
--- request
HEAD /debug/pprof/cmdline
--- error_code: 401
--- response_headers eval
"$::Ours\n$::Challenge"
--- response_body


=== TEST 8: the escaped path is the same location
--- request eval
["GET /debug/%70prof/cmdline", "GET /x/../debug/pprof/cmdline",
"GET //debug//pprof//cmdline"]
--- error_code eval
[(401) x 3]


=== TEST 9: another site
--- request eval
[("GET /debug/pprof/cmdline") x 5, "GET /debug/pprof/nothing"]
--- more_headers eval
["Authorization: Bearer secret\nSec-Fetch-Site: cross-site",
"Authorization: Bearer secret\nsec-fetch-site: Cross-Site",
"Authorization: Bearer secret\nSec-Fetch-Site: same-origin",
"Authorization: Bearer secret\nSec-Fetch-Site: none",
"Sec-Fetch-Site: cross-site",
"Authorization: Bearer secret\nSec-Fetch-Site: cross-site"]
--- error_code eval
[403, 403, 200, 200, 401, 403]
--- response_body_like eval
["^request from another site refused", "^request from another site refused",
"", "", $::Missing, "^request from another site refused"]


=== TEST 10: inherited, replaced
--- http_config
    pprof_bearer outer;
--- config
    location /outer/ { pprof on; }
    location /inner/ { pprof on; pprof_bearer inner; }
    location /other { return 200; }
--- request eval
["GET /outer/debug/pprof/cmdline", "GET /outer/debug/pprof/cmdline",
"GET /inner/debug/pprof/cmdline", "GET /inner/debug/pprof/cmdline", "GET /other"]
--- more_headers eval
["Authorization: Bearer outer", "Authorization: Bearer inner",
"Authorization: Bearer outer", "Authorization: Bearer inner", ""]
--- error_code eval
[200, 401, 401, 200, 200]


=== TEST 11: allow and deny
--- config
    location /denied/ { pprof on; pprof_bearer secret; deny all; }
    location /plain/ { pprof on; deny all; }
    location /allowed/ { pprof on; pprof_bearer secret; allow 127.0.0.1; deny all; }
--- request eval
["GET /denied/debug/pprof/cmdline", "GET /denied/debug/pprof/cmdline",
"GET /plain/debug/pprof/", "GET /allowed/debug/pprof/cmdline",
"GET /allowed/debug/pprof/cmdline"]
--- more_headers eval
["Authorization: Bearer secret", "", "", "Authorization: Bearer secret", ""]
--- error_code eval
[403, 401, 403, 200, 401]
--- response_headers eval
[$::Ours, $::Ours, "$::Ours\n! WWW-Authenticate", "! X-Go-Pprof", $::Ours]
--- response_body_like eval
["^forbidden by the access rules", $::Missing, "^forbidden by the access rules", "", $::Missing]


=== TEST 12: satisfy any, with allow and deny
--- config
    location /in/ { pprof on; pprof_bearer secret; satisfy any; allow 127.0.0.1; deny all; }
    location /out/ { pprof on; pprof_bearer secret; satisfy any; deny all; }
--- request eval
["GET /in/debug/pprof/cmdline", "GET /in/debug/pprof/cmdline",
"GET /out/debug/pprof/cmdline", "GET /out/debug/pprof/cmdline"]
--- more_headers eval
["", "Authorization: Bearer wrong", "", "Authorization: Bearer secret"]
--- error_code eval
[200, 200, 401, 200]
--- response_headers eval
["! WWW-Authenticate", "! WWW-Authenticate", "$::Ours\n$::Challenge", "! WWW-Authenticate"]


=== TEST 13: auth_basic alone
--- config
    location /debug/pprof { pprof on; auth_basic closed; auth_basic_user_file ../html/htpasswd; }
--- request eval
[("GET /debug/pprof/cmdline") x 2]
--- more_headers eval
["", ::basic('user', 'password')]
--- error_code eval
[401, 200]
--- response_headers eval
["$::Ours\nWWW-Authenticate: Basic realm=\"closed\"", "! WWW-Authenticate"]
--- response_body_like eval
["^authorization required: .*\n\$", ""]


=== TEST 14: auth_basic and the token: one header has to satisfy both
--- config
    location /debug/pprof {
        pprof on;
        pprof_bearer secret;
        auth_basic closed;
        auth_basic_user_file ../html/htpasswd;
    }
--- request eval
[("GET /debug/pprof/cmdline") x 4]
--- more_headers eval
["", "Authorization: Bearer secret", ::basic('user', 'password'), ::basic('both', 'secret')]
--- error_code eval
[401, 401, 401, 200]


=== TEST 15: satisfy any, with auth_basic
--- config
    location /debug/pprof {
        pprof on;
        pprof_bearer secret;
        satisfy any;
        auth_basic closed;
        auth_basic_user_file ../html/htpasswd;
    }
--- request eval
[("GET /debug/pprof/cmdline") x 5]
--- more_headers eval
["", "Authorization: Bearer secret", ::basic('user', 'password'), ::basic('x', 'secret'),
::basic('x', 'y')]
--- error_code eval
[401, 200, 200, 200, 401]
--- raw_response_headers_like eval
[qr/WWW-Authenticate: Basic realm="closed"\r\n.*WWW-Authenticate: Bearer realm="pprof"/s,
"200", "200", "200", "401"]
--- response_headers eval
["X-Go-Pprof: 1", ("! WWW-Authenticate") x 3, "X-Go-Pprof: 1"]


=== TEST 16: auth_request
--- config
    location /debug/pprof { pprof on; auth_request /auth$arg_auth; }
    location /debug/pprof/yes { pprof on; auth_request /auth/204; }
    location /yes/ { pprof on; auth_request /auth/204; }
    location /no/ { pprof on; auth_request /auth/403; }
    location /who/ { pprof on; auth_request /auth/401; }
    location /broken/ { pprof on; auth_request /auth/500; }
    location /both/ { pprof on; pprof_bearer secret; auth_request /auth/204; }
    location /any/ { pprof on; pprof_bearer secret; satisfy any; auth_request /auth/401; }
    location /auth/ {
        internal;
        location /auth/204 { return 204; }
        location /auth/401 { add_header WWW-Authenticate 'Custom realm="x"' always; return 401; }
        location /auth/403 { return 403; }
        location /auth/500 { return 500; }
    }
--- request eval
["GET /yes/debug/pprof/cmdline", "GET /no/debug/pprof/cmdline",
"GET /who/debug/pprof/cmdline", "GET /broken/debug/pprof/cmdline",
"GET /both/debug/pprof/cmdline", "GET /both/debug/pprof/cmdline",
"GET /any/debug/pprof/cmdline", "GET /any/debug/pprof/cmdline"]
--- more_headers eval
["", "", "", "", "", "Authorization: Bearer secret", "", "Authorization: Bearer secret"]
--- error_code eval
[200, 403, 401, 500, 401, 200, 401, 200]
--- response_headers eval
["! X-Go-Pprof", $::Ours, $::Ours, $::Ours, $::Ours, "! X-Go-Pprof", $::Ours,
"! X-Go-Pprof\n! WWW-Authenticate"]
--- response_body_like eval
["", "^forbidden by the access rules", "^authorization required",
"^nginx could not answer this request: its error log says why", $::Missing, "", $::Missing, ""]


=== TEST 17: limit_except
--- config
    location /debug/pprof {
        pprof on;
        pprof_bearer secret;
        limit_except GET { deny all; }
    }
--- request eval
["GET /debug/pprof/symbol?0x1", "POST /debug/pprof/symbol\n0x1", "POST /debug/pprof/symbol\n0x1"]
--- more_headers eval
["Authorization: Bearer secret", "Authorization: Bearer secret", ""]
--- error_code eval
[200, 403, 401]
--- response_headers eval
["! X-Go-Pprof", $::Ours, $::Ours]


=== TEST 18: limits, return, error pages of the server
--- http_config
    limit_req_zone $server_name zone=one:1m rate=1r/m;
    limit_conn_zone $server_name zone=conn:1m;
--- config
    error_page 400 401 403 404 405 413 429 500 503 =200 /replaced;
    location /replaced { return 200 "replaced\n"; }
    location /rate/ { pprof on; limit_req zone=one; }
    location /status/ { pprof on; limit_req zone=one; limit_req_status 429; }
    location /conn/ { pprof on; limit_conn conn 1; }
    location /return/ { pprof on; return 403; }
    location /token/ { pprof on; pprof_bearer secret; }
    location /own/ { pprof on; error_page 404 =200 /replaced; }
--- request eval
["GET /rate/debug/pprof/cmdline", "GET /rate/debug/pprof/cmdline",
"GET /status/debug/pprof/cmdline", "GET /conn/debug/pprof/cmdline",
"GET /return/debug/pprof/", "GET /token/debug/pprof/", "GET /own/debug/pprof/x"]
--- error_code eval
[200, 503, 429, 200, 403, 401, 404]
--- response_headers eval
["! X-Go-Pprof", $::Ours, $::Ours, "! X-Go-Pprof", $::Ours, $::Ours, $::Ours]
--- response_body_like eval
["", "^nginx is busy: a limit", "^too many requests: a limit", "",
"^forbidden by the access rules", $::Missing, "^Unknown profile\$"]


=== TEST 19: no way around through a subrequest
--- config
    location /debug/pprof { pprof on; pprof_bearer secret; }
    location /page {
        add_after_body /debug/pprof/cmdline;
        default_type text/html;
        return 200 "page\n";
    }
    location /internal { try_files /none /debug/pprof/cmdline; }
--- request eval
["GET /page", "GET /internal"]
--- error_code eval
[200, 401]
--- response_body_unlike eval
["-c|conf", "-c|conf"]


=== TEST 20: the log has no token
--- log_level: info
--- request
GET /debug/pprof/cmdline
--- more_headers
Authorization: Bearer secret
--- error_code: 200
--- no_error_log
secret
--- no_access_log
secret


=== TEST 21: HTTP/2
--- http2
--- request eval
["GET /debug/pprof/cmdline", "GET /debug/pprof/cmdline"]
--- more_headers eval
["", "Authorization: Bearer secret"]
--- error_code eval
[401, 200]
--- response_headers eval
["$::Ours\n$::Challenge", "! X-Go-Pprof"]
