# What keeps requests from being observed is said at once, by CREATE EXTENSION,
# add_network and attach: a library that isn't preloaded, a database that isn't
# named, another version; by workers in the log. Not where daemons do the work.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $attach = q{CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text, network text, expected_amount_minor numeric, address_canonical text);
SELECT reconciler.attach('r', allow_superuser_owner => true); DROP TABLE r};
my $add = q{SELECT reconciler.add_network('ethereum', 'n' || random(), chain_id => 1)};
my $create = 'CREATE EXTENSION reconciler';

# What a statement warns of
sub warnings_of
{
	my ($node, $database, $sql) = @_;
	my ($status, undef, $error) = $node->psql($database, $sql);
	is($status, 0, "it works all the same") or diag($error);
	return $error;
}

my $bare = new_node(name => 'bare', extension => 0, conf => "shared_preload_libraries = ''\n");
like(warnings_of($bare, 'postgres', $_), qr/WARNING:  no worker can run in this server.*HINT:  .*shared_preload_libraries = 'reconciler'.*reconcilerd/s,
	'not preloaded: ' . substr($_, 0, 20)) for $create, $add, $attach;
$bare->safe_psql('postgres', q{INSERT INTO reconciler.workers (worker_id, role, reported_at, started_at, state, cycles, claimed, scanned, detected, confirmed, expired, skipped, errors)
SELECT 'd:1', 'daemon', now(), now(), 'idle', 0, 0, 0, 0, 0, 0, 0, 0});
is(warnings_of($bare, 'postgres', $add), '', 'a daemon works on it: nothing is missing');
$bare->stop;

my $node = new_node(extension => 0, conf => "reconciler.database = 'one, \"Two, too\"'\n");
$node->safe_psql('postgres', qq{CREATE DATABASE one; CREATE DATABASE "Other One"});
is(warnings_of($node, 'one', $_), '', 'a database that is named: nothing') for $create, $add, $attach;
like(warnings_of($node, 'Other One', $_), qr/WARNING:  no worker of this server will work on database "Other One".*HINT:  ALTER SYSTEM SET reconciler.database = 'one, "Two, too","Other One"'/s,
	'another one: ' . substr($_, 0, 20)) for $create, $add, $attach;

$node->safe_psql('one', q{UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'reconciler'});
like(warnings_of($node, 'one', $_), qr/WARNING:  the library of reconciler is version \S+, the extension in this database 0\.0\.9.*ALTER EXTENSION/s,
	'another version: ' . substr($_, 0, 20)) for $add, $attach;
$node->safe_psql('postgres', q{ALTER SYSTEM SET reconciler.workers = 1});
$node->reload;
ok(wait_until(sub { log_lines($node, qr/versions differ.*extension=0\.0\.9/) }), 'the worker says so, too');
$node->stop;

done_testing();
