# The SQL protocol alone under load, without a chain: sessions that claim and
# settle with observations made up at random, of which some are abandoned, come
# too late or come twice, against an application that inserts, changes, cancels
# and deletes. No two leases on one request, no transition twice, no deadlock,
# no gap between batches, and a queue that is in step.
# TEST_LOAD_SECONDS says for how long.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Process;
use Reconciler::Test;

my $seconds = $ENV{TEST_LOAD_SECONDS} || 15;

my $node = new_node(conf => "deadlock_timeout = '100ms'\n");
$node->safe_psql('postgres', <<'SQL');
SELECT reconciler.add_network('ethereum', 'one', chain_id => 31337, expiry_grace => '1 second');
SELECT reconciler.add_network('ethereum', 'two', chain_id => 1337, expiry_grace => '1 second');
CREATE TABLE invoices (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	chain text NOT NULL DEFAULT 'ethereum',
	network text NOT NULL,
	status text NOT NULL DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 100,
	address_canonical text NOT NULL DEFAULT '0x00000000000000000000000000000000000000aa',
	token_contract text,
	expires_at timestamptz
);
SELECT reconciler.attach('invoices', allow_superuser_owner => true);

CREATE SCHEMA stress;

-- What became of observations
CREATE TABLE stress.looks (outcome text);

-- What each worker believes to hold
CREATE TABLE stress.held (worker text PRIMARY KEY, network int, lo bigint, token xid8, seqs bigint[]);

-- Returns which batch was claimed; -1: nothing was due
CREATE FUNCTION stress.claim(w text, network int, after bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	h stress.held;
BEGIN
	SELECT w, $2, min(c.lo), min(c.token::text)::xid8, array_agg(c.seq) INTO h
	FROM reconciler.claim(w, network, after, 20, '300 ms', '50 ms') c;
	DELETE FROM stress.held WHERE worker = w;
	INSERT INTO stress.held VALUES (h.*);
	RETURN coalesce(h.lo, -1);
END $$;

CREATE FUNCTION stress.renew(w text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM reconciler.renew(w, network, lo, token, '300 ms') FROM stress.held WHERE worker = w;
EXCEPTION WHEN SQLSTATE 'RC001' THEN
	INSERT INTO stress.looks VALUES ('lease lost');
END $$;

-- Of each request: nothing, a part, all at the tip, all at depth, or an error
CREATE FUNCTION stress.settle(w text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	h stress.held;
BEGIN
	SELECT * INTO h FROM stress.held WHERE worker = w;
	INSERT INTO stress.looks
	SELECT s.outcome
	FROM reconciler.settle(w, h.network, h.lo, h.token, CASE WHEN random() < 0.05
		THEN jsonb_build_object('failure', 'no luck')
		ELSE jsonb_build_object(
			'tip', jsonb_build_object('height', 1, 'time', 1), 'release', random() < 0.5,
			'requests', (SELECT jsonb_agg(CASE WHEN r.luck < 0.1 THEN jsonb_build_object('seq', r.seq, 'error', 'no luck')
							 WHEN r.luck < 0.5 THEN jsonb_build_object('seq', r.seq, 'seen', '0', 'settled', '0')
							 WHEN r.luck < 0.6 THEN jsonb_build_object('seq', r.seq, 'seen', '50', 'settled', '0')
							 WHEN r.luck < 0.8 THEN jsonb_build_object('seq', r.seq, 'seen', '100', 'settled', '50')
							 ELSE jsonb_build_object('seq', r.seq, 'seen', '100', 'settled', '100') END)
						 FROM (SELECT seq, random() AS luck FROM unnest(h.seqs) seq) r)) END) s;
	INSERT INTO stress.looks VALUES ('settled');
EXCEPTION WHEN SQLSTATE 'RC001' THEN
	INSERT INTO stress.looks VALUES ('lease lost');
END $$;
SQL
audit_leases($node);
my $session = session($node);

my $seed = random_seed();

# A worker: every 33rd claim is abandoned, some are settled too late, some twice
my $worker = $node->basedir . '/worker.sql';
append_to_file($worker, <<'SQL');
\set network random(1, 2)
\set luck random(1, 100)
\set chance random(0, 1000000)
SELECT setseed(:chance / 1000000.0);
SELECT stress.claim('w' || :client_id, :network, :after) AS after \gset
\if :after >= 0
\if :luck <= 3
INSERT INTO stress.looks VALUES ('abandoned');
\else
\if :luck <= 5
\sleep 350 ms
\elif :luck <= 10
SELECT stress.renew('w' || :client_id);
\endif
SELECT stress.settle('w' || :client_id);
\if :luck >= 98
SELECT stress.settle('w' || :client_id);
\endif
\endif
\else
\sleep 5 ms
\endif
SQL

my $application = $node->basedir . '/application.sql';
append_to_file($application, <<'SQL');
\set what random(1, 100)
\set network random(1, 2)
\set back random(0, 3000)
\if :what <= 40
INSERT INTO invoices (network, expires_at) SELECT (ARRAY['one', 'two'])[:network], clock_timestamp() + random() * interval '4 seconds' FROM generate_series(1, 3);
\elif :what <= 55
UPDATE invoices SET status = 'cancelled' WHERE id = (SELECT max(id) FROM invoices) - :back AND status IN ('pending', 'detected');
\elif :what <= 70
UPDATE invoices SET expected_amount_minor = 100 + :what WHERE id = (SELECT max(id) FROM invoices) - :back;
\elif :what <= 80
DELETE FROM invoices WHERE id = (SELECT max(id) FROM invoices) - :back;
\elif :what <= 85
INSERT INTO invoices (network, address_canonical, expires_at) VALUES ('one', 'nowhere', clock_timestamp());
\elif :what <= 90
INSERT INTO invoices (network, expires_at) VALUES ('three', clock_timestamp() + interval '1 hour');
\else
BEGIN;
UPDATE invoices SET expires_at = clock_timestamp() + interval '2 seconds' WHERE id = (SELECT max(id) FROM invoices) - :back;
INSERT INTO invoices (network) VALUES ((ARRAY['one', 'two'])[:network]);
\if :what <= 95
\sleep 20 ms
ROLLBACK;
\else
COMMIT;
\endif
\endif
SQL

# Batches of a network cover everything, without a gap or an overlap
my $gaps = <<'SQL';
SELECT count(*) FROM (
	SELECT b.lo <> coalesce(lag(b.hi) OVER w, 0) OR (lead(b.lo) OVER w IS NULL AND b.hi <> 9223372036854775807) AS gap
	FROM reconciler.batches b WINDOW w AS (PARTITION BY b.network_id ORDER BY b.lo)) g
WHERE g.gap
SQL

sub start_pgbench
{
	my ($name, @arguments) = @_;
	return Reconciler::Process->spawn($name, 'pgbench', '-n', '--random-seed', $seed, '-T', $seconds, @arguments, $node->connstr('postgres'));
}
my %running = (
	workers => start_pgbench('workers', '-c', 5, '-j', 1, '-D', 'after=-1', '-f', $worker),
	application => start_pgbench('application', '-c', 3, '-j', 1, '-f', $application));
my $worst = 0;
while (grep { $_->is_running } values %running)
{
	my $found = $session->value($gaps);
	$worst = $found if $found > $worst;
	Time::HiRes::sleep(0.05);
}
is($worst, 0, 'at no time was there a gap between batches');
for my $name (sort keys %running)
{
	is($running{$name}->status, 0, "the $name had no error") or diag($running{$name}->output);
}
is($session->value("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), 0, 'there was no deadlock');
is(join("\n", log_lines($node, qr/ (?:ERROR|FATAL|PANIC): /)), '', 'nor an error in the log');

my %looks = map { $_->[0] => $_->[1] } $session->query('SELECT outcome, count(*) FROM stress.looks GROUP BY 1');
note(join ', ', map { "$_: $looks{$_}" } sort keys %looks);
cmp_ok($looks{$_} // 0, '>', 0, "some looks were $_") for 'settled', 'abandoned', 'lease lost';
cmp_ok($session->value("SELECT count(DISTINCT (from_status, to_status, reason)) FROM reconciler.transitions"), '>=', 6,
	'all kinds of transitions came about');

my $report = audit_report($node);
note(join ', ', map { "$_: $report->{$_}" } sort keys %$report);
is($report->{$_}, 0, "no $_") for qw(overlaps duplicate_transitions contradictions);

is($session->value(<<'SQL'), 0, 'the queue is in step with the table');
SELECT count(*) FROM (SELECT * FROM invoices WHERE status IN ('pending', 'detected')) i
FULL JOIN reconciler.queue q ON q.request_id = i.id::text
WHERE i.id IS NULL OR q.request_id IS NULL OR q.status <> i.status OR q.expected <> i.expected_amount_minor
   OR q.expires_at IS DISTINCT FROM i.expires_at
SQL
is($session->value(<<'SQL'), 0, 'the last transition of each request is its status, unless the application has changed it');
SELECT count(*) FROM invoices i JOIN LATERAL (
	SELECT t.to_status FROM reconciler.transitions t WHERE t.source = 'public.invoices' AND t.request_id = i.id::text ORDER BY t.transition_id DESC LIMIT 1) t ON true
WHERE i.status NOT IN (t.to_status, 'cancelled')
SQL
is($session->value(<<'SQL'), 0, 'and there is none that nobody wrote down');
SELECT count(*) FROM invoices i WHERE i.status IN ('detected', 'confirmed', 'expired')
AND NOT EXISTS (SELECT FROM reconciler.transitions t WHERE t.source = 'public.invoices' AND t.request_id = i.id::text AND t.to_status = i.status)
SQL

# Unchanged batches cost one update of one row in place
my $hot = $session->value(<<'SQL');
SELECT n_tup_hot_upd > 0.98 * n_tup_upd FROM pg_stat_user_tables WHERE relid = 'reconciler.batches'::regclass
SQL
is($hot, 't', 'batches were updated in place (HOT)');

$session->close;
$node->stop;
done_testing();
