# The queue follows attached tables whatever the application does to them: inserts, upserts, updates of
# all columns, ids that change, deletes, MERGE, TRUNCATE, rows that move between partitions, savepoints,
# rollbacks and prepared transactions at all isolation levels, and triggers of its own that change rows
# again, while workers claim and settle what chance says was paid. In the end a comparison finds no
# difference, and nothing was confirmed twice.

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Reconciler::Session;
use Reconciler::Test;

my $seed = random_seed();
my $seconds = $ENV{TEST_FUZZ_SECONDS} // 8;
my $node = new_node(conf => "max_prepared_transactions = 20\ndeadlock_timeout = '100ms'\n");
my $ids = 60;

$node->safe_psql('postgres', <<'SQL');
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1);
CREATE TABLE plain (id int PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'local', status text DEFAULT 'pending',
	expected_amount_minor numeric, address_canonical text, token_contract text, expires_at timestamptz, what text);
CREATE TABLE parted (LIKE plain INCLUDING DEFAULTS, PRIMARY KEY (id, status)) PARTITION BY LIST (status);
CREATE TABLE parted_pending PARTITION OF parted FOR VALUES IN ('pending');
CREATE TABLE parted_detected PARTITION OF parted FOR VALUES IN ('detected');
CREATE TABLE parted_closed PARTITION OF parted DEFAULT;

-- Fires before the reconciler's triggers, by its name
CREATE FUNCTION change_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() > 1 THEN
		RETURN NULL;
	END IF;
	CASE NEW.what
		WHEN 'address' THEN
			EXECUTE format('UPDATE %I SET address_canonical = %L WHERE id = %s', TG_ARGV[0], '0x' || repeat(to_hex(10 + NEW.id % 6), 40), NEW.id);
		WHEN 'close' THEN EXECUTE format('UPDATE %I SET status = ''closed'' WHERE id = %s', TG_ARGV[0], NEW.id);
		WHEN 'open' THEN EXECUTE format('UPDATE %I SET status = ''pending'' WHERE id = %s', TG_ARGV[0], NEW.id);
		WHEN 'delete' THEN EXECUTE format('DELETE FROM %I WHERE id = %s', TG_ARGV[0], NEW.id);
		WHEN 'undone' THEN
			BEGIN
				EXECUTE format('UPDATE %I SET status = ''detected'', expected_amount_minor = 777 WHERE id = %s', TG_ARGV[0], NEW.id);
				RAISE EXCEPTION 'undo';
			EXCEPTION WHEN raise_exception THEN
				NULL;
			END;
		WHEN 'new' THEN
			EXECUTE format('DELETE FROM %I WHERE id = %s', TG_ARGV[0], NEW.id);
			EXECUTE format('INSERT INTO %I (id, address_canonical, expected_amount_minor) VALUES (%s, %L, 3)', TG_ARGV[0], NEW.id,
				'0x00000000000000000000000000000000000aaaaa');
		ELSE NULL;
	END CASE;
	RETURN NULL;
END $$;
CREATE TRIGGER change_again AFTER INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION change_again('plain');
CREATE TRIGGER change_again AFTER INSERT OR UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION change_again('parted');
SELECT reconciler.attach('plain', allow_superuser_owner => true), reconciler.attach('parted', allow_superuser_owner => true);

-- A worker's look: claims, finds as much everywhere, settles some of it
CREATE FUNCTION look(worker text, amount text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c record;
	found jsonb := '[]';
	lo bigint;
	token xid8;
BEGIN
	FOR c IN SELECT * FROM reconciler.claim(worker, 1, -1, 20, '1 minute', '1 minute') LOOP
		lo := c.lo;
		token := c.token;
		CONTINUE WHEN random() < 0.3;
		found := found || jsonb_build_object('seq', c.seq, 'seen', amount, 'settled', CASE WHEN random() < 0.5 THEN amount ELSE '0' END);
	END LOOP;
	IF token IS NULL THEN
		UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL WHERE due_at > clock_timestamp() AND random() < 0.3;
		RETURN;
	END IF;
	PERFORM pg_sleep(random() * 0.01);
	PERFORM reconciler.settle(worker, 1, lo, token, jsonb_build_object('tip', jsonb_build_object('height', 100, 'time', 4000000000),
		'depth', jsonb_build_object('height', 100), 'requests', found));
END $$;
SQL

sub any { return $_[ rand @_ ] }

# An id that changes in the partitioned table stays one of its session's own: its key lets an id stand there twice
sub statement
{
	my ($session) = @_;
	my $table = any(qw(plain parted));
	my $base = $table eq 'parted' ? 1000 * $session : 0;
	my $id = $base + int rand $ids;
	my $other = $base + $ids + int rand $ids;
	my $free = sub { return $table eq 'parted' ? " AND NOT EXISTS (SELECT FROM parted AS x WHERE x.id = $_[0])" : '' };
	my $status = any(qw(pending pending detected closed confirmed));
	my $amount = 1 + int rand 5;
	my $address = any('0x00000000000000000000000000000000000aaaaa', '0x00000000000000000000000000000000000bbbbb', 'nonsense', '');
	my $network = any(qw(local local local nowhere));
	my $what = any(('NULL') x 8, map { "'$_'" } qw(address close delete open undone new));
	my $expires = any('NULL::timestamptz', "now() + interval '1 hour'", "now() - interval '1 hour'", "'infinity'");
	my $set = any("status = '$status'", "address_canonical = '$address'", "expected_amount_minor = $amount", "expires_at = $expires",
		"network = '$network'", "what = $what", "what = $what, status = '$status', address_canonical = '$address'");

	return any(
		("INSERT INTO $table (id, status, expected_amount_minor, address_canonical, expires_at, what, network)"
			. " SELECT $id, '$status', $amount, '$address', $expires, $what, '$network' WHERE true" . $free->($id)
			. ($table eq 'plain' ? any('', ' ON CONFLICT (id) DO UPDATE SET status = excluded.status, what = excluded.what') : '')) x 7,
		("UPDATE $table SET $set WHERE id = $id", "UPDATE $table SET $set WHERE id BETWEEN $id AND " . ($id + 3)) x 3,
		("DELETE FROM $table WHERE id = $id") x 2,
		"UPDATE $table SET id = $other WHERE id = $id" . $free->($other),
		"UPDATE $table SET id = $id WHERE id = $other" . $free->($id),
		(rand() < 0.05 ? "TRUNCATE $table" : 'SELECT'));
}

sub transaction
{
	my ($session, $number) = @_;
	my $name = "x$$." . int rand 1e9;

	return $session->query(statement($number)) if rand() < 0.5;
	$session->query('BEGIN ISOLATION LEVEL ' . any('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'));
	for (0 .. rand 4)
	{
		my $undo = rand() < 0.2;

		$session->query('SAVEPOINT s') if $undo;
		$session->query(statement($number));
		$session->query('ROLLBACK TO s') if $undo;
	}
	return $session->query(any(qw(COMMIT COMMIT COMMIT ROLLBACK))) if rand() < 0.9;
	$session->query("PREPARE TRANSACTION '$name'");
	return $session->query(any('COMMIT', 'ROLLBACK') . " PREPARED '$name'");
}

# Works in a process of its own until the time is over; prints how often, and what errors there were
sub work
{
	my ($number, $work) = @_;
	my $pid = fork() // die "fork: $!\n";
	return $pid if $pid;

	srand $seed + $number;
	my $session = Reconciler::Session->new($node->connstr('postgres'));
	my $end = time + $seconds;
	my ($done, %errors) = (0);
	while (time < $end)
	{
		if (eval { $work->($session, $number); 1 })
		{
			$done++;
			next;
		}
		(my $error = $@) =~ s/\n.*//s;
		$error =~ s/\d+/N/g;
		$errors{$error}++;
		eval { $session->query('ROLLBACK') };
	}
	open my $file, '>', $node->basedir . "/work.$number" or POSIX::_exit(1);
	print $file "$done\n", map { "$_\n" } sort keys %errors;
	close $file;
	POSIX::_exit(0);
}

my @pids = ((map { work($_, \&transaction) } 1 .. 3),
	(map { my $n = $_; work($n, sub { $_[0]->query("SELECT look('w$n', '" . int(rand 7) . "')") }) } 4 .. 5));
waitpid $_, 0 for @pids;
for my $number (1 .. 5)
{
	my ($done, @errors) = split /\n/, slurp_file($node->basedir . "/work.$number");
	cmp_ok($done, '>', 10, "process $number worked");
	# What an application must expect without the reconciler, too
	my @surprises = grep { !/duplicate key value|could not serialize access|deadlock detected|moved to another partition/ } @errors;
	is("@surprises", '', 'without a surprise');
}
for my $name (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
{
	$node->safe_psql('postgres', "ROLLBACK PREPARED '$name'");
}
for my $source (1, 2)
{
	is($node->safe_psql('postgres', "SELECT c, q FROM reconciler._compare($source) c LEFT JOIN reconciler.queue q"
		  . " ON q.source_id = $source AND q.request_id = c.queued WHERE c.what <> 'over'"), '', "the queue of source $source is in line");
}
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM reconciler.transitions WHERE reason = 'settled'"), '>', 10, 'requests were confirmed');
is($node->safe_psql('postgres', <<'SQL'), 0, 'and none twice');
SELECT count(*) FROM (
	SELECT reason, to_status, lag(reason) OVER request AS reason_before, lag(to_status) OVER request AS before
	FROM reconciler.transitions WINDOW request AS (PARTITION BY source_id, request_id ORDER BY transition_id)) t
WHERE reason = 'settled' AND reason_before = 'settled' AND before NOT IN ('pending', 'detected')
SQL
is(join("\n", log_lines($node, qr/PANIC|TRAP|terminated by signal/)), '', 'nothing crashed');
$node->stop;
done_testing();
