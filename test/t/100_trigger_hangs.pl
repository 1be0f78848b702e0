# A trigger of the application's that hangs for one request costs that request
# its confirmation, and nobody else anything: neighbours in the same batch are
# confirmed in the same look, the poisoned request gets the error, no snapshot is
# held longer than the limit. In a worker in the server as in a daemon's session,
# where the session's own limits and cancels work as they do without it.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

use Reconciler::Test;

# What settle may take with triggers, and what this machine may be late
my $limit = 5;
my $slack = 3;

my $node = new_node();
my $chain = start_anvil();
set_up_shop($node, $chain, confirmations => 1);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE poison (amount numeric PRIMARY KEY, how text);
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(600) FROM poison p WHERE p.amount = NEW.expected_amount_minor AND p.how = 'sleep';
	IF EXISTS (SELECT FROM poison p WHERE p.amount = NEW.expected_amount_minor AND p.how = 'go on') THEN
		-- Cancelled, it goes on
		FOR i IN 1 .. 5 LOOP
			BEGIN
				PERFORM pg_sleep(600);
			EXCEPTION WHEN query_canceled THEN
				NULL;
			END;
		END LOOP;
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER hang BEFORE UPDATE OF status ON payment_requests FOR EACH ROW EXECUTE FUNCTION hang();
SQL
my $session = session($node);

sub paid_requests
{
	my ($how, $amount, $count) = @_;
	my $address = Reconciler::Chain::new_address();
	$chain->set_balance($address, 1_000_000);
	$node->safe_psql('postgres', "INSERT INTO poison VALUES ($amount, '$how')");
	$node->safe_psql('postgres', 'INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)'
		  . " SELECT 'ethereum', 'local', 'ETH', i, '$address' FROM generate_series($amount, $amount + $count - 1) i");
	return;
}

# Requests of these amounts in this status
sub count_in
{
	my ($status, $from, $to) = @_;
	return $session->value("SELECT count(*) FROM payment_requests WHERE status = '$status' AND expected_amount_minor BETWEEN $from AND $to");
}

# In the server
paid_requests('sleep', 100, 50);
set_workers($node, 1);
my $oldest = 0;
my $watch = sub {
	my $age = $session->value("SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity"
		  . " WHERE backend_type = 'reconciler worker' AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)");
	$oldest = $age if $age > $oldest;
	return;
};
ok(wait_until(sub { $watch->(); count_in('confirmed', 101, 149) == 49 }), 'neighbours are confirmed');
my $error = "SELECT q.error FROM reconciler.queue q JOIN payment_requests p ON p.id::text = q.request_id WHERE p.expected_amount_minor = ";
ok(wait_until(sub { $watch->(); ($session->value($error . 100) // '') ne '' }), 'the poisoned request gets an error');
like($session->value($error . 100), qr/triggers of table public\.payment_requests took longer than \d+ ms \(SQLSTATE RC003\)/, 'which says why');
is(count_in('pending', 100, 100), 1, 'and it stays as it was');

# What comes later is not held up, either; and a trigger that goes on when it is cancelled, is cancelled again
paid_requests('go on', 200, 20);
ok(wait_until(sub { $watch->(); count_in('confirmed', 201, 219) == 19 }), 'others are confirmed beside two that hang');
ok(wait_until(sub { $watch->(); ($session->value($error . 200) // '') ne '' || count_in('confirmed', 200, 200) }), 'one that goes on ends');
cmp_ok($oldest, '<', $limit + $slack, 'no transaction of the worker lived longer');

# Put right, they are confirmed
$session->query('DELETE FROM poison');
ok(wait_until(sub { $watch->(); count_in('confirmed', 100, 219) == 70 }), 'put right, all are confirmed');
set_workers($node, 0);

# In a session: settles everything that is due as paid; returns (seconds, standard error)
my $settle = <<'SQL';
DO $$
DECLARE
	c record;
BEGIN
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', '1000', 'settled', '1000')) AS requests INTO c
	FROM reconciler.claim('d', 1, -1, 700, '1 min', '1 min') x;
	PERFORM reconciler.settle('d', 1, c.lo, c.token, jsonb_build_object('requests', c.requests,
		'tip', jsonb_build_object('height', 1000000, 'time', floor(extract(epoch FROM clock_timestamp()))),
		'depth', jsonb_build_object('height', 1000000)));
END
$$;
SQL
sub settle
{
	my ($before) = @_;
	my $start = Time::HiRes::time();
	my (undef, undef, $stderr) = $node->psql('postgres', "$before; $settle", on_error_stop => 0);
	return (Time::HiRes::time() - $start, $stderr);
}
paid_requests('sleep', 300, 600);
my ($seconds, $stderr) = settle('');
is($stderr, '', 'a daemon\'s settle ends without an error');
cmp_ok($seconds, '<', $limit + $slack, 'in time');
cmp_ok(count_in('confirmed', 301, 899), '==', 599, 'with all confirmed but the one that hangs');
like($session->value($error . 300), qr/RC003/, 'which has its error');

($seconds, $stderr) = settle("SET statement_timeout = '300ms'");
like($stderr, qr/canceling statement due to statement timeout/, 'a shorter statement_timeout ends all of it');
($seconds, $stderr) = settle("SET statement_timeout = '30s'");
is($stderr, '', 'a longer one is not touched');
is($session->value($error . 300) =~ /RC003/ ? 1 : 0, 1, 'by the limit');

# Cancelled and terminated from outside, while the trigger hangs
for my $case ([ 'pg_cancel_backend', qr/canceling statement due to user request/ ], [ 'pg_terminate_backend', qr/terminating connection|server closed/ ])
{
	my ($function, $message) = @$case;
	my $other = session($node);
	my $pid = $other->value('SELECT pg_backend_pid()');
	$other->send($settle);
	ok(wait_until(sub { $session->value("SELECT $function(pid) FROM pg_stat_activity WHERE pid = $pid AND wait_event = 'PgSleep'") }),
		"$function finds it hanging");
	eval { $other->result; 1 };
	like($@, $message, 'and ends the statement');
	$other->close;
}
is(count_in('pending', 300, 300), 1, 'nothing was changed by that');

$session->close;
done_testing();
