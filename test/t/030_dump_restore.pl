# A dump takes along networks, sources and history; what it restores works at
# once: triggers follow the tables, and the queue comes back by itself.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node(extension => 0);
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('postgres', 'CREATE ROLE keeper');
$node->safe_psql('shop', <<'SQL');
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'removed', chain_id => 5);
SELECT reconciler.add_network('ethereum', 'local', ARRAY['http://127.0.0.1:8545/k3y'], 31337, poll_interval => '7 seconds');
SELECT reconciler.remove_network('ethereum', 'removed');
SELECT reconciler.grant_worker('keeper');
SELECT reconciler.create_table('public.payment_requests', allow_superuser_owner => true);
CREATE SCHEMA "My Shop";
CREATE TABLE "My Shop"."The Invoices" (no int, year int, "The State" text DEFAULT 'pending', chain text DEFAULT 'ethereum',
	network text DEFAULT 'local', amount numeric, pay_to text, PRIMARY KEY (no, year)) PARTITION BY LIST (year);
CREATE TABLE "My Shop".y1 PARTITION OF "My Shop"."The Invoices" FOR VALUES IN (1);
SELECT reconciler.attach('"My Shop"."The Invoices"', '{"id": "no", "status": "The State", "expected_amount_minor": "amount", "address_canonical": "pay_to"}', allow_superuser_owner => true);
INSERT INTO public.payment_requests (id, chain, network, expected_amount_minor, address_canonical)
SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, 'ethereum', 'local', i, '0xaa' || lpad(i::text, 38, '0') FROM generate_series(1, 20) i;
UPDATE public.payment_requests SET status = 'confirmed' WHERE expected_amount_minor > 15;
INSERT INTO "My Shop"."The Invoices" (no, year, amount, pay_to) VALUES (1, 1, 100, '0x00000000000000000000000000000000000000aa');
INSERT INTO reconciler.transitions (source, request_id, from_status, to_status, reason, seen) VALUES ('public.payment_requests', '16', 'pending', 'confirmed', 'settled', 16);
SQL

my $kept = <<'SQL';
SELECT n::text FROM reconciler.networks n ORDER BY n.network_id;
SELECT source_id, relation, columns, superuser_owner, attached_at FROM reconciler.sources s ORDER BY s.source_id;
SELECT t::text FROM reconciler.transitions t ORDER BY t.transition_id;
SELECT pg_get_triggerdef(t.oid), t.tgenabled FROM pg_trigger t WHERE t.tgname LIKE 'reconciler%' ORDER BY t.tgrelid::regclass::text, t.tgname;
SELECT p.proname, has_function_privilege('keeper', p.oid, 'EXECUTE') FROM pg_proc p WHERE p.pronamespace = 'reconciler'::regnamespace ORDER BY p.oid::regprocedure::text;
SQL
my $queued = 'SELECT source_id, request_id, status, expected, address FROM reconciler.queue ORDER BY source_id, request_id';
my $before = $node->safe_psql('shop', $kept);
my $queue_before = $node->safe_psql('shop', $queued);
like($before, qr/k3y/, 'there is something to keep');
is(scalar(split /\n/, $queue_before), 16, 'and something queued');

my $dir = $node->basedir;
my @connection = ('-h', $node->host, '-p', $node->port);
command_ok([ 'pg_dump', @connection, '-Fd', '-f', "$dir/directory", 'shop' ], 'pg_dump, directory format');
command_ok([ 'pg_dump', @connection, '-f', "$dir/plain.sql", 'shop' ], 'pg_dump, plain');

sub check_restored
{
	my ($database) = @_;
	is($node->safe_psql($database, $kept), $before, "$database: networks, sources, history, triggers and rights are as they were");
	is($node->safe_psql($database, 'SELECT count(*) FROM reconciler.queue'), 0, "$database: the queue isn't in the dump");

	# The first claim builds the queue
	my $network = $node->safe_psql($database, "SELECT network_id FROM reconciler.networks WHERE network = 'local'");
	is($node->safe_psql($database, "SELECT count(*) FROM reconciler.claim('w', $network, -1, 100, '1 s', '1 s')"), 16, "$database: a claim finds all open requests");
	is($node->safe_psql($database, $queued), $queue_before, "$database: the queue is back");

	# and the application works on
	$node->safe_psql($database, <<'SQL');
INSERT INTO "My Shop"."The Invoices" (no, year, amount, pay_to) VALUES (2, 1, 100, '0x00000000000000000000000000000000000000aa');
UPDATE public.payment_requests SET status = 'cancelled' WHERE expected_amount_minor <= 15;
SQL
	is($node->safe_psql($database, 'SELECT string_agg(request_id, \' \' ORDER BY seq) FROM reconciler.queue'), '1 2', "$database: triggers follow the tables");
	is($node->safe_psql($database, 'SELECT reconciler.resync()'), 0, "$database: so that nothing is out of step");
	is($node->safe_psql($database, "SELECT reconciler.add_network('ethereum', 'next', chain_id => 1)"), $network + 1, "$database: ids go on where they were");
	$node->safe_psql($database, "INSERT INTO reconciler.transitions (source, request_id, from_status, to_status, reason) VALUES ('x', 'x', 'x', 'x', 'x')");

	# It still goes without a trace
	$node->safe_psql($database, 'DROP EXTENSION reconciler');
	is($node->safe_psql($database, q{SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal}), 0, "$database: DROP EXTENSION takes the triggers along");
}

$node->safe_psql('postgres', 'CREATE DATABASE parallel');
command_ok([ 'pg_restore', @connection, '-j', 2, '--exit-on-error', '-d', 'parallel', "$dir/directory" ], 'pg_restore in parallel');
check_restored('parallel');

$node->safe_psql('postgres', 'CREATE DATABASE plain');
command_ok([ 'psql', '-X', '-q', @connection, '-v', 'ON_ERROR_STOP=1', '-o', "$dir/plain.out", '-f', "$dir/plain.sql", 'plain' ], 'plain dump into psql');
check_restored('plain');

# Over a database in use: tables, extension and all are replaced. (Without the
# partitioned table: pg_restore --clean can't drop its partition's key.)
$node->safe_psql('shop', 'DROP SCHEMA "My Shop" CASCADE');
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dir/custom", 'shop' ], 'pg_dump, custom format');
command_ok([ 'pg_restore', @connection, '--clean', '--if-exists', '--exit-on-error', '-d', 'shop', "$dir/custom" ], 'pg_restore --clean');
is($node->safe_psql('shop', 'SELECT relation FROM reconciler.sources'), 'payment_requests', 'the table is attached');
is($node->safe_psql('shop', 'SELECT reconciler.resync(), reconciler.resync()'), '15|0', 'its requests are found');
$node->safe_psql('shop', "UPDATE payment_requests SET status = 'cancelled' WHERE expected_amount_minor < 15");
is($node->safe_psql('shop', 'SELECT expected FROM reconciler.queue'), 15, 'and followed');

$node->stop;
done_testing();
