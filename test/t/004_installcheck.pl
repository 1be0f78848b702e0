# make installcheck, as people type it: against an installed extension on a
# running server that preloads it, with the extension's settings at their defaults

use strict;
use warnings;

use Cwd 'abs_path';
use File::Basename 'dirname';
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $top = abs_path(dirname(__FILE__) . '/../..');
my $node = new_node(extension => 0, conf => <<'CONF');
reconciler.database = 'contrib_regression,isolation_regression'
reconciler.poll_interval = '15s'
reconciler.lease_duration = '15s'
reconciler.request_timeout = '5s'
CONF
$node->safe_psql('postgres', 'CREATE ROLE postgres SUPERUSER LOGIN') unless $node->safe_psql('postgres', 'SELECT current_user') eq 'postgres';

local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'postgres', PGDATABASE => 'postgres');
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
my ($out, $error);
my $passed = IPC::Run::run([ 'make', '-C', $top, 'installcheck' ], '>', \$out, '2>', \$error);
ok($passed, 'make installcheck passes') or diag($out, $error, -s "$top/regression.diffs" ? slurp_file("$top/regression.diffs") : ());
like($out, qr/^ok .* claim\b|^test claim .* ok/m, 'and runs the tests');

$node->stop;
done_testing();
