# A schema that is dumped and restored into another database with the extension
# is no other table's: what is inserted there is not observed, and said, until
# it is attached. A dump of the whole database needs nothing.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node();
$node->safe_psql('postgres', 'CREATE ROLE shop_app');
my @connection = ('-h', $node->host, '-p', $node->port);
my $dir = $node->basedir;

# Two databases, whose first sources have the same number
my $paid = '0x00000000000000000000000000000000000000aa';
sub set_up
{
	my ($database, $name) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, <<"SQL");
CREATE EXTENSION IF NOT EXISTS reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337);
CREATE SCHEMA $name AUTHORIZATION shop_app;
SELECT reconciler.grant_app('shop_app');
SET ROLE shop_app;
SELECT reconciler.create_table('$name.requests');
CREATE TABLE $name.parts (LIKE $name.requests INCLUDING DEFAULTS, PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE $name.part PARTITION OF $name.parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT reconciler.attach('$name.parts');
INSERT INTO $name.requests (id, chain, network, expected_amount_minor, address_canonical)
VALUES ('00000000-0000-0000-0000-000000000001', 'ethereum', 'local', 1000000, '$paid');
SQL
	return;
}
set_up('one', 'cheap');
set_up('two', 'dear');

command_ok([ 'pg_dump', @connection, '-n', 'cheap', '-f', "$dir/cheap.sql", 'one' ], 'one schema is dumped');
my ($status, undef, $error) = $node->psql('two', "\\i $dir/cheap.sql", on_error_stop => 1);
is($status, 0, 'and restored where others are attached') or diag($error);

my $queued = 'SELECT request_id, expected, address FROM reconciler.queue ORDER BY seq';
my $before = $node->safe_psql('two', $queued);
for my $table (qw(requests parts part))
{
	(undef, undef, $error) = $node->psql('two', <<"SQL");
SET ROLE shop_app;
INSERT INTO cheap.$table (id, chain, network, status, expected_amount_minor, address_canonical)
SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'ethereum', 'local', 'pending', 1, '$paid' FROM generate_series(5, 7) i;
UPDATE cheap.$table SET expected_amount_minor = 2;
UPDATE cheap.$table SET id = '00000000-0000-0000-0000-000000000009' WHERE id = '00000000-0000-0000-0000-000000000005';
UPDATE cheap.$table SET status = 'cancelled';
DELETE FROM cheap.$table;
TRUNCATE cheap.$table;
SQL
	my $name = $table eq 'part' ? 'parts' : $table;
	is(scalar(() = $error =~ /WARNING/g), 1, "$table: the session is warned once");
	like($error, qr/does not observe the requests of table cheap\.$name.*SELECT reconciler\.attach\('cheap\.$name'\)/s, '... and told what to do');
	is($node->safe_psql('two', $queued), $before, '... and nothing is queued, changed or removed');
}

$node->safe_psql('two', "SET ROLE shop_app; SELECT reconciler.attach('cheap.requests'), reconciler.attach('cheap.parts')");
$node->safe_psql('two', <<"SQL");
SET ROLE shop_app;
INSERT INTO cheap.requests (chain, network, expected_amount_minor, address_canonical) VALUES ('ethereum', 'local', 3, '$paid');
INSERT INTO cheap.part (id, chain, network, status, expected_amount_minor, address_canonical)
VALUES (gen_random_uuid(), 'ethereum', 'local', 'pending', 4, '$paid');
SQL
is($node->safe_psql('two', "SELECT string_agg(q.expected::text, ' ' ORDER BY q.expected) FROM reconciler.queue q"
	  . " JOIN reconciler.sources s USING (source_id) WHERE s.relation::text LIKE 'cheap.%'"),
	'3 4', 'attached, they are observed');

# The whole database: what was attached goes on as it was, and what was decided stays so
$node->safe_psql('one', <<'SQL');
UPDATE cheap.requests SET status = 'confirmed';
INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason)
SELECT source_id, 'cheap.requests', '00000000-0000-0000-0000-000000000001', 'pending', 'confirmed', 'settled'
FROM reconciler.sources WHERE relation = 'cheap.requests'::regclass;
SET ROLE shop_app;
SELECT reconciler.detach('cheap.parts');
SQL
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dir/one", 'one' ], 'a database is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE three');
command_ok([ 'pg_restore', @connection, '-d', 'three', "$dir/one" ], 'and restored');
(undef, undef, $error) = $node->psql('three', <<"SQL");
SET ROLE shop_app;
INSERT INTO cheap.requests (chain, network, expected_amount_minor, address_canonical) VALUES ('ethereum', 'local', 8, '$paid');
UPDATE cheap.requests SET status = 'pending' WHERE expected_amount_minor = 1000000;
SQL
like($error, qr/WARNING: +request 00000000-0000-0000-0000-000000000001 of table cheap\.requests is not observed again/,
	'what was confirmed before the dump is not observed again after it');
is($node->safe_psql('three', 'SELECT string_agg(expected::text, \' \') FROM reconciler.queue'), '8', 'and a new request is');
is($node->safe_psql('three', 'SELECT relation FROM reconciler.former_sources'), 'cheap.parts', 'what was detached is remembered');

$node->stop;
done_testing();
