
# Copyright (C) the maintainers of nginx pprof

# The index shows each shared memory zone: its size, and what is in use of it.

use strict;
use warnings;

use lib 't/lib';
use PprofTest;
use Test::More;

needs('curl');

plan skip_all => 'the module is not built' unless Pprof::modules('pprof');

my $nginx = start_nginx(workers => 2, http_config => q{
    pprof_production off;
    limit_req_zone $arg_key zone=some:1m rate=1000r/s;
    limit_req_zone $arg_key zone=few:32k rate=1000r/s;
    limit_conn_zone $arg_key zone=none:2m;
}, config => q{
    location /debug/pprof { pprof auto; }
    location /some { limit_req zone=some burst=1000 nodelay; try_files /x =404; }
    location /few { limit_req zone=few burst=1000 nodelay; try_files /x =404; }
    location /none { limit_conn none 1000; }
});

# name => [ size in KiB, in use in KiB, percent, failed ]

sub zones {
    my %zone;
    my $res = $nginx->get('/debug/pprof/');
    my ($table) = $res->{content} =~ m{<h2>Shared memory</h2>(.*?)</table>}s;

    while ($table =~ m{<tr><td>(\S+)</td>
                       <td\ class="n">(\d+)&nbsp;KiB</td>
                       <td\ class="n">(\d+)&nbsp;KiB</td>
                       <td\ class="n">(\d+)&nbsp;%</td>
                       <td\ class="n">(\d+)</td></tr>}gx)
    {
        $zone{$1} = [ $2, $3, $4, $5 ];
    }

    return \%zone;
}

my $zone = zones();

is_deeply([ sort keys %$zone ], [ qw( few none some ) ], 'all zones');
is($zone->{some}[0], 1024, 'its size');
is($zone->{none}[0], 2048, 'the size of another');
cmp_ok($zone->{some}[1], '<=', 16, 'hardly used yet');
is($zone->{some}[3], 0, 'nothing failed');

# by one client: a node that is a minute old goes when another one comes

sub ask {
    my ($url) = @_;

    run_command([ 'curl', '-s', '-o', '/dev/null', $nginx->url($url) ]);
}

# 4000 keys, each a node of 128 bytes: 500 KiB

my $key = 'x' x 40;

ask("/some?key=$key\[1-4000]");

my $after = zones();
my $more = $after->{some}[1] - $zone->{some}[1];

cmp_ok($more, '>=', 450, "in use: $more KiB more");
cmp_ok($more, '<=', 560, 'and not more than that');
cmp_ok(abs($after->{some}[2] - 100 * $after->{some}[1] / 1024), '<=', 3, 'part');
is($after->{none}[1], $zone->{none}[1], 'the other one is as it was');

# a zone that is full

ask("/few?key=$key\[1-600]");
$after = zones();

cmp_ok($after->{few}[2], '>=', 95, 'full');
cmp_ok($after->{few}[3], '>', 0, 'and it says that something failed');

is_deeply([ $nginx->alerts ], [], 'no alerts');

done_testing();
