package Test::Nginx::Socket;

# Copyright (C) the maintainers of nginx pprof

# A small runner for test files in the format of OpenResty's Test::Nginx, on
# Test::Base alone: the same .t files run under the original.  What differs
# here: nginx stays in the foreground as a child of the test, is waited for by
# conditions, and is ended by its pid.
#
# Sections: config, http_config, main_config, post_main_config, server_name,
# user_files, init, request, raw_request, raw_request_middle_delay,
# pipelined_requests, more_headers, http2, timeout, abort, wait, log_level,
# error_code, error_code_like, response_headers, response_headers_like,
# raw_response_headers_like, raw_response_headers_unlike, response_body,
# response_body_like, response_body_unlike, response_body_filters,
# ignore_response, error_log, no_error_log, grep_error_log,
# grep_error_log_out, access_log, no_access_log, shutdown_error_log,
# no_shutdown_error_log, must_die, skip_nginx, skip_eval, todo, and ONLY, SKIP
# and LAST of Test::Base.

use strict;
use warnings;

use Test::Base -base;

use Cwd ();
use File::Path qw( make_path remove_tree );
use File::Spec ();
use IO::Select ();
use IO::Socket::INET;
use List::Util qw( shuffle );
use Time::HiRes ();

use Pprof::Process qw( wait_for free_port port_is_free );

our @EXPORT = qw(
    run_tests run_test repeat_each workers worker_connections master_on
    master_off master_process_enabled log_level timeout no_shuffle
    no_long_string no_root_location config_preamble add_block_preprocessor
    add_cleanup_handler add_response_body_check env_to_nginx server_name
    server_addr server_root server_port server_port_for_client html_dir
    error_log_data access_log_data bail_out is_str $ServerPort
    $ServerPortForClient $NginxBinary $ServRoot
);

our $NginxBinary = $ENV{TEST_NGINX_BINARY} || 'nginx';
our $ServerPort = $ENV{TEST_NGINX_SERVER_PORT} || $ENV{TEST_NGINX_PORT} || 1984;
our $Randomize = $ENV{TEST_NGINX_RANDOMIZE};

# A free port and a directory of its own, for several test files at a time.

$ServerPort = free_port() if $Randomize;

our $ServerPortForClient = $ENV{TEST_NGINX_CLIENT_PORT} || $ServerPort;
our $ServerAddr = '127.0.0.1';
our $ServerName = 'localhost';
our $ServRoot = File::Spec->rel2abs($Randomize ? "t/servroot_$ServerPort"
    : $ENV{TEST_NGINX_SERVROOT} || 't/servroot');
our $Timeout = $ENV{TEST_NGINX_TIMEOUT} || 3;
our $Sleep = $ENV{TEST_NGINX_SLEEP} || 0.015;
our $LogLevel = $ENV{TEST_NGINX_LOG_LEVEL} || 'debug';
our $Master = $ENV{TEST_NGINX_MASTER_PROCESS} || 'off';
our $NoShuffle = $ENV{TEST_NGINX_NO_SHUFFLE};
our $Verbose = $ENV{TEST_NGINX_VERBOSE};

our $RepeatEach = 1;
our $Workers = 1;
our $WorkerConnections = 64;
our $NoRootLocation = 0;
our $ConfigPreamble = '';

our @Env;
our @BlockPreprocessors;
our @CleanupHandlers;
our @BodyChecks;

# Lines of the log that follow the checked condition may still be on their
# way; a pattern that must be there is waited for so long.

our $LogBound = 30;

my $Start_bound = 60;
my $Stop_bound = 10;

my ($Nginx, $PrevConfig, $NginxVersion, $LogPos);


# configuration of the runner

sub setting {
    my ($ref, @value) = @_;

    $$ref = $value[0] if @value;
    return $$ref;
}

sub repeat_each { setting(\$RepeatEach, @_) }
sub workers { setting(\$Workers, @_) }
sub worker_connections { setting(\$WorkerConnections, @_) }
sub log_level { setting(\$LogLevel, @_) }
sub timeout { setting(\$Timeout, @_) }
sub server_name { setting(\$ServerName, @_) }
sub server_addr { setting(\$ServerAddr, @_) }
sub server_port { setting(\$ServerPort, @_) }
sub server_port_for_client { setting(\$ServerPortForClient, @_) }
sub config_preamble { $ConfigPreamble = $_[0] }
sub master_on { $Master = 'on' }
sub master_off { $Master = 'off' }
sub no_shuffle { $NoShuffle = 1 }
sub no_root_location { $NoRootLocation = 1 }
sub no_long_string { }
sub server_root { $ServRoot }
sub html_dir { "$ServRoot/html" }
sub env_to_nginx { push @Env, @_ }
sub add_block_preprocessor (&) { unshift @BlockPreprocessors, $_[0] }
sub add_cleanup_handler { unshift @CleanupHandlers, $_[0] }
sub add_response_body_check { push @BodyChecks, $_[0] }

sub master_process_enabled {
    $Master = $_[0] ? 'on' : 'off' if @_;
    return $Master;
}


sub builder { Test::More->builder }


sub bail_out {
    cleanup();
    builder()->BAIL_OUT(join '', @_);
}


sub is_str {
    my ($got, $expected, $name) = @_;

    return ref $expected ? builder()->like($got, $expected, $name)
                         : builder()->is_eq($got, $expected, $name);
}


# An unexpected failure, in a run that has a plan as well.

sub fail_now {
    builder()->no_ending(1);
    builder()->ok(0, $_[0]);
}


sub run_tests {
    my @blocks = blocks();

    @blocks = shuffle(@blocks) unless $NoShuffle;

    $ENV{TEST_NGINX_SERVER_PORT} = $ServerPort;
    $ENV{TEST_NGINX_SERVER_ROOT} = $ServRoot;

    for my $block (@blocks) {
        $_->($block) for @BlockPreprocessors;
        $block->set_value(name => "$0 " . $block->name);
        run_test($block);
    }

    cleanup();
}


sub run_test {
    my ($block) = @_;
    my $name = $block->name;

    return if defined $block->SKIP;

    local $LogLevel = $block->log_level || $LogLevel;

    my ($skip, $count, $why) = skipped($block);

    if ($skip) {
        SKIP: { builder()->skip("$name - $why") for 1 .. $count }
        return;
    }

    my $todo = $block->todo;

    if (defined $todo) {
        $todo =~ /^\s*\d+\s*:\s*(.*)/s or bail_out("$name - bad todo: $todo");
        builder()->todo_start($1);
    }

    my $config = $block->config // $PrevConfig
        // bail_out("$name - no config, and no earlier one");
    $PrevConfig = $config;

    my $ports = {};

    setup_root();
    write_user_files($block, $ports);
    write_config($block, $config, $ports);

    if (defined $block->must_die) {
        must_die($block);

    } else {
        start($name);
        talk($block);
        stop($name);
        check_shutdown_log($block);
    }

    builder()->todo_end if defined $todo;
}


sub skipped {
    my ($block) = @_;
    my $name = $block->name;

    if (defined(my $spec = $block->skip_eval)) {
        my ($count, $code) = $spec =~ /^\s*(\d+)\s*:\s*(.*)/s
            or bail_out("$name - bad skip_eval: $spec");
        my $skip = eval "package main; $code";
        bail_out("$name - skip_eval: $@") if $@;
        return (1, $count, 'skip_eval') if $skip;
    }

    if (defined(my $spec = $block->skip_nginx)) {
        my ($count, $op, $version, $why) = $spec =~
            /^\s*(\d+)\s*:\s*([<>]=?)\s*(\d+\.\d+\.\d+)\s*(?::\s*(.*?))?\s*$/s
            or bail_out("$name - bad skip_nginx: $spec");

        my $c = nginx_version() <=> version_number($version);
        my $skip = $op eq '<' ? $c < 0 : $op eq '<=' ? $c <= 0
                 : $op eq '>' ? $c > 0 : $c >= 0;
        return (1, $count, $why || "nginx $op $version") if $skip;
    }

    return 0;
}


sub version_number {
    return sprintf '%d%03d%03d', split /\./, $_[0];
}


sub nginx_version {
    return $NginxVersion if $NginxVersion;

    my ($version) = `$NginxBinary -v 2>&1` =~ m{/(\d+\.\d+\.\d+)}
        or bail_out("$NginxBinary -v tells no version");

    return $NginxVersion = version_number($version);
}


# the server's directory

sub setup_root {
    for my $part (qw( conf html logs )) {
        remove_tree("$ServRoot/$part");
        make_path("$ServRoot/$part");
    }

    remove_tree(glob "$ServRoot/*_temp $ServRoot/*_cache");
    write_file("$ServRoot/html/index.html", '<html><head><title>It works!'
        . '</title></head><body>It works!</body></html>');
}


sub write_file {
    my ($path, $text) = @_;

    open my $out, '>', $path or bail_out("$path: $!");
    binmode $out;
    print $out $text;
    close $out or bail_out("$path: $!");
}


sub write_user_files {
    my ($block, $ports) = @_;
    my ($files, $name) = ($block->user_files, $block->name);

    return unless defined $files;

    if (!ref $files) {
        my (@parts) = split /^>>>[ \t]+(\S+)(?:[ \t]+(\S.*))?[ \t]*\n/m, $files;
        my @list;

        shift @parts;
        while (@parts) {
            my ($path, $date, $body) = splice @parts, 0, 3;
            push @list, [ $path, $body, $date ];
        }

        $files = \@list;
    }

    for my $file (@$files) {
        my ($path, $body, $date) = @$file;

        $path = html_dir() . "/$path" unless $path =~ m{^/};
        make_path($1) if $path =~ m{(.*)/};
        write_file($path, expand($body // '', $name, $ports));
        system('touch', '-t', $date, $path) if defined $date;
    }
}


# $TEST_NGINX_NAME from the environment; $TEST_NGINX_RAND_PORT_N is a free port

sub expand {
    my ($text, $name, $ports) = @_;

    return '' unless defined $text;

    $text =~ s{\$(TEST_NGINX_[A-Z0-9_]+)}{
        my $key = $1;

        $key =~ /^TEST_NGINX_RAND_PORT_\d+$/
            ? $ports->{$key} //= free_port()
            : $ENV{$key} // bail_out("$name - no $key in the environment")
    }ge;

    return $text;
}


sub write_config {
    my ($block, $config, $ports) = @_;
    my $name = $block->name;

    my ($main, $post, $http, $server)
        = map { expand($_, $name, $ports) } scalar $block->main_config,
              scalar $block->post_main_config, scalar $block->http_config,
              $config;

    my $modules = join '', map { "load_module $_;\n" }
                           split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
    my $env = join '', map { /\s/ ? "env '$_';\n" : "env $_;\n" }
                       @Env, qw( ASAN_OPTIONS LD_PRELOAD LD_LIBRARY_PATH );
    my $user = $ENV{TEST_NGINX_WORKER_USER} // ($> == 0 ? 'root' : undef);
    $user = defined $user ? "user $user;\n" : '';

    my $listen = $ServerPort . (defined $block->http2 ? ' http2' : '');
    my $server_name = $block->server_name // $ServerName;
    my $root = $NoRootLocation ? '' : "location / { root "
        . html_dir() . "; index index.html index.htm; }\n";

    write_file("$ServRoot/conf/nginx.conf", <<"EOC");
${modules}worker_processes $Workers;
daemon off;
master_process $Master;
error_log $ServRoot/logs/error.log $LogLevel;
pid $ServRoot/logs/nginx.pid;
$env
$main

http {
    access_log $ServRoot/logs/access.log;
    default_type text/plain;
    keepalive_timeout 68;

$http

    server {
        listen $listen;
        server_name '$server_name';
        client_max_body_size 30M;

$ConfigPreamble
$server
$root
    }
}

$post

events {
    accept_mutex off;
    worker_connections $WorkerConnections;
}

$user
EOC
}


# nginx

sub launch {

    # Where the log of a configuration's errors is compiled in as stderr, as
    # Debian does, error.log would stay empty without -e.

    my @log = nginx_version() >= version_number('1.19.5')
              ? ('-e', "$ServRoot/logs/error.log") : ();

    $LogPos = 0;
    $Nginx = Pprof::Process->start(
        command => [ $NginxBinary, '-p', "$ServRoot/", @log,
                     '-c', "$ServRoot/conf/nginx.conf" ],
        output => "$ServRoot/logs/stderr");
}


sub start {
    my ($name) = @_;

    # The port of a test that has just ended may take its time.

    wait_for { port_is_free($ServerPort) } 60
        or bail_out("$name - port $ServerPort is taken");

    launch();

    return if $Nginx->wait_port($ServerPort, $Start_bound, $ServerAddr);

    bail_out("$name - nginx does not start: " . (read_file('stderr')
        || join '', map { "$_\n" } grep { /\[(emerg|alert)\]/ }
           split /\n/, read_file('error.log')));
}


sub stop {
    my ($name) = @_;

    return unless $Nginx;

    my $graceful = $Nginx->alive;
    my $how = $Nginx->stop(bound => $Stop_bound);

    fail_now("$name - nginx went away before it was stopped, wait status "
             . $Nginx->status) if !$graceful;
    builder()->diag("$name - nginx had to be ended by $how")
        if $how && $how ne 'QUIT';

    undef $Nginx;
}


sub must_die {
    my ($block) = @_;
    my ($name, $code) = ($block->name, $block->must_die);

    for my $i (1 .. $RepeatEach) {
        launch();

        wait_for {
            !$Nginx->alive || !port_is_free($ServerPort)
        } $Start_bound;

        my $status = $Nginx->wait_exit(0.5);

        if (!defined $status) {
            builder()->ok(0, "$name - nginx must die, but it runs");
            $Nginx->stop;

        } elsif ($status & 127) {
            builder()->ok(0, "$name - nginx died of signal " . ($status & 127));

        } elsif ($code =~ /^\s*(\d+)\s*$/) {
            builder()->is_num($status >> 8, $1,
                              "$name - die with the expected exit code");

        } else {
            builder()->isnt_num($status, 0, "$name - die as expected");
        }

        check_logs($block, $i);
        undef $Nginx;
    }
}


sub cleanup {
    $_->() for splice @CleanupHandlers;

    if ($Nginx) {
        $Nginx->stop(graceful => 0);
        undef $Nginx;
    }
}


# requests and responses

sub talk {
    my ($block) = @_;
    my $name = $block->name;

    if (defined $block->init) {
        eval 'package main; ' . $block->init;
        bail_out("$name - init: $@") if $@;
    }

    $LogPos = 0;

    for my $i (1 .. $RepeatEach) {

        if (has_request($block)) {
            my $n = 0;
            my @requests = requests($block);
            my $many = ref $block->request || @requests > 1
                       || defined $block->pipelined_requests;

            for my $r (@requests) {
                my $raw = send_request($block, $r);
                next if defined $block->ignore_response;

                for my $method (@{ $r->{methods} }) {
                    my $res;
                    ($res, $raw) = parse_response($block, $raw, $method);
                    check_response($block, $res, $n++, $many, $i);
                }
            }
        }

        Time::HiRes::sleep($block->wait) if $block->wait;

        check_logs($block, $i);
    }
}


sub has_request {
    return scalar grep { defined }
           map { $_[0]->$_ } qw( request raw_request pipelined_requests );
}


# One hash a connection: packets to send, and the method of every response.

sub requests {
    my ($block) = @_;
    my ($name, $headers) = ($block->name, $block->more_headers // '');

    if (defined(my $raw = $block->raw_request)) {
        my @packets = ref $raw ? @$raw : $raw;
        my ($method) = join('', @packets) =~ /^\s*(\S+)/;
        return { packets => \@packets, methods => [ $method ] };
    }

    my $n = 0;
    my $header_of = sub {
        my $h = ref $headers ? $headers->[$n] : $headers;
        $n++;
        return $h // bail_out("$name - no more_headers for request $n");
    };

    if (my $list = $block->pipelined_requests) {
        my (@out, @methods);

        for my $i (0 .. $#$list) {
            my $last = $i == $#$list;
            push @out, build_request($block, $list->[$i], $header_of->(),
                                     $last ? 'close' : 'keep-alive');
            push @methods, method_of($list->[$i]);
        }

        return { packets => [ join '', @out ], methods => \@methods };
    }

    my $request = $block->request;

    return map {
        bail_out("$name - requests in packets are not supported") if ref $_;

        { packets => [ build_request($block, $_, $header_of->(), 'close') ],
          methods => [ method_of($_) ], source => $_ };

    } ref $request ? @$request : $request;
}


sub method_of {
    my ($request) = @_;

    $request =~ s/^\s*#[^\n]*\n//g;
    return $request =~ /^\s*(\S+)/ ? $1 : '';
}


sub build_request {
    my ($block, $text, $more, $connection) = @_;
    my $name = $block->name;

    1 while $text =~ s/^\s*\#[^\n]*\n|^\s+//;

    my ($line, $body) = split /\n/, $text, 2;
    my ($method, $url, $version, $rest) = split ' ', $line // '';

    bail_out("$name - bad request line: " . ($line // ''))
        if !defined $method || defined $rest;

    $url //= '/';
    $version //= 'HTTP/1.1';
    $body //= '';

    my @headers = map { my ($k, $v) = split /:\s*/, $_, 2; "$k: " . ($v // '') }
                  grep { /\S/ && !/^\s*#/ } split /\r?\n/, $more;
    my %has = map { lc((split /:/, $_, 2)[0]) => $_ } @headers;

    my $chunked = ($has{'transfer-encoding'} // '') =~ /:\s*chunked/i;

    $body =~ s/^\s+|\s+$//g unless $chunked || $has{'content-length'};

    unshift @headers, "Connection: $connection" unless $has{connection};
    unshift @headers, "Host: $ServerName" unless $has{host};
    push @headers, 'Content-Length: ' . length $body
        if length $body && !$chunked && !$has{'content-length'};

    return join("\r\n", "$method $url $version", @headers) . "\r\n\r\n$body";
}


sub send_request {
    my ($block, $r) = @_;
    my $name = $block->name;
    my $timeout = seconds($block->timeout) // $Timeout;
    my $out = '';

    return send_http2($block, $r, $timeout) if defined $block->http2;

    my $sock = IO::Socket::INET->new(PeerAddr => $ServerAddr,
        PeerPort => $ServerPortForClient, Proto => 'tcp', Timeout => $timeout);

    if (!$sock) {
        fail_now("$name - cannot connect: $!");
        return $out;
    }

    local $SIG{PIPE} = 'IGNORE';

    my ($in, $delay) = (join('', @{ $r->{packets} }), 0);

    if (@{ $r->{packets} } > 1) {
        $delay = $block->raw_request_middle_delay // 0;
    }

    for my $packet (@{ $r->{packets} }) {
        defined $sock->syswrite($packet) or last;
        Time::HiRes::sleep($delay) if $delay;
    }

    my $select = IO::Select->new($sock);
    my $end = Time::HiRes::time() + $timeout;

    while (1) {
        my $left = $end - Time::HiRes::time();

        if ($left <= 0 || !$select->can_read($left)) {
            fail_now("$name - ERROR: client socket timed out")
                unless defined $block->abort;
            last;
        }

        my $n = $sock->sysread($out, 65536, length $out);
        last unless $n;

        # the bound is on silence, not on the whole answer

        $end = Time::HiRes::time() + $timeout;
    }

    return $out;
}


# By curl, with prior knowledge.

sub send_http2 {
    my ($block, $r, $timeout) = @_;
    my ($head, $body) = split /\r\n\r\n/, $r->{packets}[0], 2;
    my ($line, @headers) = split /\r\n/, $head;
    my ($method, $url) = split ' ', $line;

    my @command = ('curl', '-sS', '-i', '--http2-prior-knowledge',
        '--max-time', $timeout, '-X', $method,
        map { ('-H', $_) } grep { !/^(Connection|Content-Length):/i } @headers);

    push @command, '--head' if $method eq 'HEAD';
    push @command, '--data-binary', $body if length $body;
    push @command, '-H', 'Content-Type:' if length $body
        && !grep { /^content-type:/i } @headers;

    open my $pipe, '-|', @command,
         "http://$ServerAddr:$ServerPortForClient$url"
        or bail_out("curl: $!");
    binmode $pipe;
    my $out = do { local $/; <$pipe> } // '';
    close $pipe;

    fail_now($block->name . ' - curl ended with ' . ($? >> 8))
        if $? && !defined $block->abort;

    return $out;
}


sub seconds {
    my ($time) = @_;

    return $time unless defined $time;
    return $time =~ /^\s*([\d.]+)\s*ms\s*$/ ? $1 / 1000
         : $time =~ /^\s*([\d.]+)\s*s?\s*$/ ? $1 : $time;
}


# The first response, and what follows it.

sub parse_response {
    my ($block, $raw, $method) = @_;
    my $name = $block->name;
    my %res = (code => '', headers => [], raw_headers => '', body => undef);

    return (\%res, '') unless length $raw;

    my $left = '';
    my ($head, $body) = split /\r\n\r\n/, $raw, 2;

    if ($head !~ m{^HTTP/[\d.]+ (\d{3})}) {
        $res{body} = $raw;
        return (\%res, '');
    }

    $res{code} = $1;
    $res{raw_headers} = "$head\r\n";
    $res{headers} = [ map { [ split /:\s*/, $_, 2 ] }
                      (split /\r\n/, $head)[1 .. ($head =~ tr/\n//)] ];
    $body //= '';

    my $length = header(\%res, 'Content-Length');

    if ($method eq 'HEAD' || $res{code} =~ /^(?:1..|204|304)$/) {
        ($body, $left) = ('', $body);

    } elsif ((header(\%res, 'Transfer-Encoding') // '') eq 'chunked') {
        ($body, $left) = dechunk($name, $body);

    } elsif (defined $length && $length =~ /^\d+$/) {
        builder()->diag("$name - body truncated: $length expected, got "
            . length $body) if length $body < $length;
        $left = length $body > $length ? substr $body, $length : '';
        $body = substr $body, 0, $length;
    }

    $res{body} = $body;

    return (\%res, $left);
}


sub header {
    my ($res, $key) = @_;
    my @values = map { $_->[1] // '' } grep { lc $_->[0] eq lc $key }
                 @{ $res->{headers} };

    return @values ? join ', ', @values : undef;
}


sub dechunk {
    my ($name, $raw) = @_;
    my ($out, $pos) = ('', 0);

    while (substr($raw, $pos) =~ /^([0-9A-Fa-f]+)[^\r\n]*\r\n/) {
        my ($len, $head) = (hex $1, $+[0]);

        if ($len == 0) {
            my $rest = substr $raw, $pos + $head;
            $rest =~ s/^(?:[^\r\n]+\r\n)*\r\n// or last;
            return ($out, $rest);
        }

        last if length($raw) < $pos + $head + $len + 2;

        $out .= substr $raw, $pos + $head, $len;
        last if substr($raw, $pos + $head + $len, 2) ne "\r\n";
        $pos += $head + $len + 2;
    }

    fail_now("$name - chunked body is malformed or cut short");
    return ($out, '');
}


sub value_of {
    my ($block, $section, $n, $many) = @_;
    my $value = $block->$section;

    return $value unless $many && ref $value eq 'ARRAY';
    return $value->[$n];
}


sub check_response {
    my ($block, $res, $n, $many, $i) = @_;
    my $name = $block->name;
    my $value = sub { value_of($block, $_[0], $n, $many) };

    # status

    if (defined(my $like = $value->('error_code_like'))) {
        builder()->like($res->{code}, qr/$like/sm, "$name - status code ok");

    } else {
        my $code = $value->('error_code') // 200;
        builder()->is_eq($res->{code}, $code, "$name - status code ok");
    }

    # headers

    for my $section (qw( raw_response_headers_like
                         raw_response_headers_unlike ))
    {
        my $pattern = $value->($section) // next;
        my $check = $section =~ /unlike/ ? 'unlike' : 'like';
        builder()->$check($res->{raw_headers}, qr/$pattern/s,
                          "$name - raw resp headers $check");
    }

    my $section = defined $block->response_headers ? 'response_headers'
                                                   : 'response_headers_like';

    for my $line (grep { /\S/ } split /\n/, $value->($section) // '') {
        $line =~ s/^\s+|\s+$//g;

        if ($line =~ /^!\s*(.*)/) {
            builder()->unlike($res->{raw_headers}, qr/^\s*\Q$1\E\s*:/mi,
                "$name - header $1 not present in the raw headers");
            next;
        }

        my ($key, $expected) = split /\s*:\s*/, $line, 2;
        my $got = header($res, $key) // '';
        $expected = with_port($expected // '');

        if ($section eq 'response_headers') {
            builder()->is_eq($got, $expected, "$name - header $key ok");
        } else {
            builder()->like($got, qr/^$expected$/, "$name - header $key like ok");
        }
    }

    # body

    my $body = filtered($block, $res->{body}, $n);

    if (defined $block->response_body) {
        is_str($body, with_port($value->('response_body')),
               "$name - response_body - response is expected"
               . " (repeated req $i, req $n)");

    } elsif (defined $block->response_body_like) {
        my $p = with_port($value->('response_body_like'));
        builder()->like($body // '', qr/$p/s, "$name - response_body_like");

    } elsif (defined $block->response_body_unlike) {
        my $p = with_port($value->('response_body_unlike'));
        builder()->unlike($body // '', qr/$p/s, "$name - response_body_unlike");
    }

    $_->($block, $body, $n, $i, 0) for @BodyChecks;
}


sub with_port {
    my ($text) = @_;

    return $text if !defined $text || ref $text;

    $text =~ s/\$ServerPortForClient\b/$ServerPortForClient/g;
    $text =~ s/\$ServerPort\b/$ServerPort/g;

    return $text;
}


# Names of functions (lc, uc, Some::Module::function, or of the test), or code.

sub filtered {
    my ($block, $body, $n) = @_;
    my $filters = $block->response_body_filters;

    return $body if !defined $filters || !defined $body;

    $filters = [ split ' ', $filters ] unless ref $filters;
    $filters = [ $filters ] unless ref $filters eq 'ARRAY';
    $filters = $filters->[$n] if ref $filters->[0] eq 'ARRAY';

    for my $f (@$filters) {
        my $code = $f;

        if (!ref $f) {
            my ($module) = $f =~ /^(.+)::\w+$/;
            eval "require $module" if $module;

            no strict 'refs';
            $code = $f eq 'lc' ? sub { lc $_[0] }
                  : $f eq 'uc' ? sub { uc $_[0] }
                  : defined &{"main::$f"} ? \&{"main::$f"}
                  : defined &$f ? \&$f
                  : bail_out($block->name . " - no filter $f");
        }

        $body = $code->($body);
    }

    return $body;
}


# logs

sub read_file {
    my ($name, $from) = @_;

    open my $in, '<', "$ServRoot/logs/$name" or return '';
    binmode $in;
    seek $in, $from, 0 if $from;

    return do { local $/; <$in> } // '';
}


sub error_log_data {
    Time::HiRes::sleep($Sleep * 3);
    return [ read_file('error.log', $LogPos) =~ /^.*\n?/mg ];
}


sub access_log_data {
    Time::HiRes::sleep($Sleep * 3);
    return [ read_file('access.log') =~ /^.*\n?/mg ];
}


sub patterns {
    my ($value) = @_;

    return () unless defined $value;
    return ref $value eq 'ARRAY' ? grep { defined } @$value
         : ref $value ? $value : grep { length } split /\n+/, $value;
}


sub pattern_re { ref $_[0] ? $_[0] : qr/\Q$_[0]\E/ }


# A pattern is looked for in a line at a time.

sub matching {
    my ($pattern, $lines) = @_;
    my $re = pattern_re($pattern);

    for my $line (@$lines) {
        return $line if $line =~ $re;
    }

    return undef;
}


sub check_patterns {
    my ($name, $file, $wanted, $unwanted, $read) = @_;
    my $lines = $read->();

    wait_for {
        my @missing = grep { !defined matching($_, $lines) } @$wanted;
        $lines = $read->() if @missing;
        !@missing;
    } $LogBound if @$wanted;

    for my $p (@$wanted) {
        builder()->ok(defined matching($p, $lines),
                      "$name - pattern \"$p\" matches a line in $file");
    }

    for my $p (@$unwanted) {
        my $line = matching($p, $lines);

        builder()->ok(!defined $line,
                      "$name - pattern \"$p\" does not match a line in $file")
            or builder()->diag($line);
    }

    return $lines;
}


sub check_logs {
    my ($block, $i) = @_;
    my $name = $block->name;

    if (defined(my $grep = $block->grep_error_log)) {
        my $expected = $block->grep_error_log_out;

        bail_out("$name - grep_error_log without grep_error_log_out")
            unless defined $expected;

        $grep = $grep->[$i - 1] if ref $grep eq 'ARRAY';
        $expected = $expected->[$i - 1] if ref $expected eq 'ARRAY';

        my $re = pattern_re($grep);
        my $out = '';
        for my $line (@{ error_log_data() }) {
            $line =~ $re or next;
            my $matched = $&;
            $out .= "$matched\n" unless $matched =~ /\n/;
        }

        is_str($out, $expected, "$name - grep_error_log_out (req $i)");
    }

    if (defined $block->access_log || defined $block->no_access_log) {
        check_patterns($name, 'access.log', [ patterns($block->access_log) ],
                       [ patterns($block->no_access_log) ], \&access_log_data);
    }

    my @wanted = patterns($block->error_log);
    my @unwanted = patterns($block->no_error_log);
    my $lines = check_patterns($name, 'error.log', \@wanted, \@unwanted,
                               \&error_log_data);

    warn_of($name, $lines, join '', @wanted, @unwanted);

    $LogPos += length for @$lines;
}


sub warn_of {
    my ($name, $lines, $mentioned) = @_;

    for my $line (@$lines) {
        fail_now("$name - $line") if $line =~ /\bAssertion .*? failed\b/;

        next unless $line =~ /\[(alert|crit|emerg)\]/;
        builder()->diag("WARNING: $name - $line")
            unless $mentioned =~ /\[$1/;
    }
}


sub check_shutdown_log {
    my ($block) = @_;

    my @wanted = patterns($block->shutdown_error_log);
    my @unwanted = patterns($block->no_shutdown_error_log);

    return unless @wanted || @unwanted;

    check_patterns($block->name, 'error.log at the end', \@wanted, \@unwanted,
                   \&error_log_data);
}


END {
    local $?;
    cleanup();
    remove_tree($ServRoot) if $Randomize;
}


1;
