# The queue is lost with the server, and built anew beside what the application
# does: a row that a transaction holds delays that row only, what was prepared
# before the crash is not missed, and what was cancelled meanwhile leaves nothing
# behind in the queue.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node(conf => "max_prepared_transactions = 10\nrestart_after_crash = on\n");
$node->safe_psql('postgres', <<'SQL');
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337);
CREATE TABLE invoices (
	id int PRIMARY KEY,
	chain text NOT NULL DEFAULT 'ethereum',
	network text NOT NULL DEFAULT 'local',
	status text NOT NULL DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 5,
	address_canonical text NOT NULL DEFAULT '0x00000000000000000000000000000000000000aa'
);
SELECT reconciler.attach('invoices', allow_superuser_owner => true);
INSERT INTO invoices (id) SELECT generate_series(1, 3101);
SQL

sub crash
{
	$node->stop('immediate');
	$node->start;
}

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Builds the queue if it is lost; leaves no lease
sub claim
{
	return sql(q{SELECT count(*) FROM reconciler.claim('w', 1, -1, 5000, '1 ms', '1 ms')});
}

# What workers do every minute, a minute later
sub maintain
{
	sql("UPDATE reconciler.resyncs SET tried_at = tried_at - interval '1 minute'");
	return sql("SELECT reconciler.maintain('w')");
}

sub queued { return sql('SELECT count(*) FROM reconciler.queue') }

# An application's transaction that stays open over the building

crash();
my $application = session($node);
$application->query('BEGIN; UPDATE invoices SET expected_amount_minor = 6 WHERE id IN (17, 2500)');
my $began = time;
is(claim(), 3099, 'all but the rows that the application holds are claimed');
cmp_ok(time - $began, '<', 10, 'without waiting for it');
is(sql('SELECT left_over FROM reconciler.resyncs'), 2, 'and what is left out is known');
maintain();
is(queued(), 3099, 'still held');
is(sql("SELECT resynced_at < clock_timestamp() - interval '0' AND left_over = 2 FROM reconciler.sources JOIN reconciler.resyncs USING (source_id)"), 't',
	'and still known to be left out');
$application->query('ROLLBACK');
maintain();
is(queued(), 3101, 'within a minute of its end they are there');
is(sql('SELECT left_over FROM reconciler.resyncs'), 0, 'and nothing is left out');

# The table can't be had at all

crash();
$application = session($node);
$application->query('BEGIN; LOCK TABLE invoices');
sql('SELECT count(*) FROM reconciler.claim(\'w\', 1, -1, 5000, \'1 ms\', \'1 ms\')');
is(queued(), 0, 'a table that is locked is built without');
is(sql("SELECT failures > 0 FROM reconciler.resyncs"), 't', 'which is known');
$application->query('COMMIT');
maintain();
is(queued(), 3101, 'and made up for within the minute');

# Two-phase commit

sql(<<'SQL');
BEGIN;
UPDATE invoices SET expected_amount_minor = 500000, address_canonical = '0x00000000000000000000000000000000000000bb' WHERE id = 1;
PREPARE TRANSACTION 'changed';
BEGIN;
INSERT INTO invoices (id) VALUES (5000);
PREPARE TRANSACTION 'inserted';
BEGIN;
UPDATE invoices SET status = 'cancelled' WHERE id = 2;
PREPARE TRANSACTION 'cancelled';
SQL
crash();
is(claim(), 3101, 'what is prepared is not seen yet');
maintain();
is(queued(), 3101, 'nor a minute later');
sql("COMMIT PREPARED 'changed'");
maintain();
is(sql("SELECT expected || ' ' || right(address, 2) FROM reconciler.queue WHERE request_id = '1'"), '500000 bb',
	'a prepared change is followed when it is committed');
is(queued(), 3101, 'the others are awaited');
sql("COMMIT PREPARED 'inserted'");
sql("COMMIT PREPARED 'cancelled'");
maintain();
is(sql("SELECT string_agg(request_id, ' ' ORDER BY request_id) FROM reconciler.queue WHERE request_id IN ('2', '5000')"), '5000',
	'a prepared request arrives, a prepared cancellation goes');
is(sql("SELECT running FROM reconciler.resyncs"), '{}', 'then nothing more is waited for');

# Cancelled in a transaction that is older than the queue

crash();
$application = session($node);
$application->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM invoices');
claim();
$application->query("UPDATE invoices SET status = 'cancelled' WHERE id = 10");
$application->query("UPDATE invoices SET expected_amount_minor = 7 WHERE id = 11");
$application->query("DELETE FROM invoices WHERE id = 12");
$application->query('COMMIT');
is(sql("SELECT string_agg(request_id || ' ' || expected, ', ') FROM reconciler.queue WHERE request_id IN ('10', '11', '12')"), '11 7',
	'it leaves no ghost, and its change is followed');

# Cancelled while the building is not committed yet

crash();
my $builder = session($node);
$builder->query(q{BEGIN; SELECT count(*) FROM reconciler.claim('w', 1, -1, 5000, '1 ms', '1 ms')});
sql("UPDATE invoices SET status = 'cancelled' WHERE id = 20");
$application = session($node);
$application->query("BEGIN; UPDATE invoices SET status = 'cancelled' WHERE id = 21");
$builder->query('COMMIT');
maintain();
is(sql("SELECT string_agg(request_id, ' ') FROM reconciler.queue WHERE request_id IN ('20', '21')"), '21', 'what it could not see is found a minute later');
$application->query('COMMIT');
maintain();
is(sql("SELECT count(*) FROM reconciler.queue WHERE request_id IN ('20', '21')"), '0', 'and when the transaction has ended');

# All in step, with nothing more to do
is(sql('SELECT reconciler.resync()'), 0, 'nothing is out of step');

# A lock of anybody's stops none of this

$node->safe_psql('postgres', "CREATE ROLE guest LOGIN");
crash();
my $guest = Reconciler::Session->new($node->connstr('postgres') . ' user=guest');
$guest->query('SELECT count(pg_advisory_lock(a, b)) FROM generate_series(0, 3) a, generate_series(0, 3) b');
$guest->query('SELECT pg_advisory_lock(1919118947, 1), pg_advisory_lock(1919118947 * 4294967296 + 1)');
for my $table (qw(upkeep queue batches resyncs networks sources))
{
	eval { $guest->query("BEGIN; LOCK TABLE reconciler.$table IN ACCESS SHARE MODE") };
	like($@, qr/permission denied/, "a guest can't lock $table");
	$guest->query('ROLLBACK');
	eval { $guest->query("SELECT * FROM reconciler.$table FOR KEY SHARE") };
	like($@, qr/permission denied/, "nor its rows");
}
cmp_ok(claim(), '>', 3000, 'with advisory locks it stops no building of the queue');
sql('DELETE FROM reconciler.queue; UPDATE reconciler.sources SET resynced_at = \'-infinity\'');
cmp_ok(maintain(), '>', 3000, 'nor maintain');

done_testing();
