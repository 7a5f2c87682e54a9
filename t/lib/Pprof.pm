package Pprof;

# Copyright (C) the maintainers of nginx pprof

# What all Test::Nginx tests of this project have in common; to be used before
# Test::Nginx::Socket:
#
#   use lib 't/lib';
#   use Pprof;
#   use Test::Nginx::Socket 'no_plan';
#
# - TEST_NGINX_LOAD_MODULES is what "make" left in build/, unless it is set;
# - so is the port, to one that is free, and the time that an answer may take,
#   to one that is enough on a busy machine;
# - every block that does not speak of them itself has [alert] and [emerg] in
#   no_error_log and in no_shutdown_error_log.

use strict;
use warnings;

use Cwd qw( abs_path );
use File::Basename qw( dirname );
use File::Temp ();

use Pprof::Process qw( free_port );

our $Root = abs_path(dirname(__FILE__) . '/../..');
our $Build = $ENV{PPROF_BUILD} || "$Root/build";


# Port files of tests stay among themselves.

my $gops = File::Temp->newdir('pprof-gops-XXXXXX', TMPDIR => 1);

chmod 0755, $gops;
$ENV{GOPS_CONFIG_DIR} //= "$gops/ports";


# Paths of our modules that exist, by name: pprof, hosted.

sub modules {
    my @names = @_ ? @_ : qw( pprof hosted );

    return grep { -e } map { "$Build/ngx_http_${_}_module.so" } @names;
}


sub import {
    $ENV{TEST_NGINX_LOAD_MODULES} //= join ' ', modules();
    $ENV{TEST_NGINX_SERVER_PORT} //= $ENV{TEST_NGINX_PORT} // free_port();
    $ENV{TEST_NGINX_TIMEOUT} //= 60;
}


sub check_logs {
    my ($block) = @_;

    return if defined $block->must_die;

    for my $section (qw( no_error_log no_shutdown_error_log )) {
        (my $positive = $section) =~ s/^no_//;

        my $said = join ' ', map { ref $_ eq 'ARRAY' ? @$_ : $_ // '' }
                   $block->$section, $block->$positive, $block->error_log;
        next if $said =~ /\[(alert|emerg)/;

        my $value = $block->$section // [];
        $value = [ grep { length } split /\n+/, $value ] unless ref $value;
        $value = [ $value ] unless ref $value eq 'ARRAY';

        $block->set_value($section => [ @$value, '[alert]', '[emerg]' ]);
    }
}


# The preprocessor belongs to whichever Test::Nginx::Socket has been loaded by
# the time that the blocks are read.

INIT {
    if (my $add = Test::Nginx::Socket->can('add_block_preprocessor')) {
        &$add(\&check_logs);
    }
}


1;
