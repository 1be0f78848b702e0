# Several workers on thousands of requests: every lease audited, with a worker
# that is frozen, and one that is killed, while they wait for the node

use strict;
use warnings;

use Digest::SHA;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $requests = 2000;
my $workers = 3;

my $chain = start_anvil();
my $token = $chain->deploy_token;
my $proxy = start_proxy($chain, delay_ms => 20);
my $node = new_node(conf => <<'CONF');
reconciler.batch_size = 50
reconciler.poll_interval = '500ms'
# The server comes back by itself after a worker was killed; PostgreSQL's test settings forbid it
restart_after_crash = on
CONF
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "']", confirmations => 2);
audit_leases($node);
my $session = session($node);

# count requests named by prefix: every second one in tokens, expiry as an SQL expression of i
sub insert_requests
{
	my ($prefix, $count, $expires) = @_;
	$session->query(<<"SQL");
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, token_contract, expires_at)
SELECT 'ethereum', 'local', CASE i % 2 WHEN 0 THEN 'ETH' ELSE '$prefix' END, 1000 + i,
       '0x' || substr(encode(sha256(('$prefix' || i)::bytea), 'hex'), 1, 40),
       CASE i % 2 WHEN 1 THEN '$token' END, $expires
  FROM generate_series(0, $count - 1) i
SQL
	return map { [ "0x" . substr(Digest::SHA::sha256_hex("$prefix$_"), 0, 40), 1000 + $_, $_ % 2 ? $token : undef ] } 0 .. $count - 1;
}

sub count_of
{
	my ($status) = @_;
	return $session->value("SELECT count(*) FROM payment_requests WHERE status = '$status'");
}

sub audit_is_clean
{
	my ($when) = @_;
	my $report = audit_report($node);
	is($report->{$_}, 0, "no $_ $when") for qw(overlaps duplicate_transitions contradictions);
	return $report;
}

# A worker that waits for the node holds nothing, and may be stopped anywhere there
sub waiting_worker
{
	$proxy->set(mode => 'hang');
	my $before = $proxy->stats->{requests};
	ok(wait_until(sub { $proxy->stats->{requests} >= $before + $workers && $proxy->stats->{in_flight} >= $workers }),
		'all workers wait for the node');
	# They report, and ask for webhooks, while they wait: statements that end.
	ok(wait_until(sub { $session->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'reconciler worker' AND backend_xmin IS NOT NULL") == 0 }),
		'none of them holds a snapshot');
	return $session->value(<<'SQL');
SELECT a.pid FROM pg_stat_activity a JOIN reconciler.stat_workers w ON w.pid = a.pid
  JOIN reconciler.batches b ON b.lease_owner = w.worker_id AND b.lease_until > clock_timestamp()
 WHERE a.backend_type = 'reconciler worker' LIMIT 1
SQL
}

# Half of them paid, a quarter unpaid until they expire, a quarter open
my @all = insert_requests('first', $requests, <<'SQL');
CASE WHEN i % 4 = 2 THEN now() + interval '8 seconds' ELSE now() + interval '1 day' END
SQL
set_workers($node, $workers);
$chain->set_balances(map { $all[$_] } grep { $_ % 4 < 2 } 0 .. $#all);
$chain->mine(2);
ok(wait_until(sub { count_of('confirmed') == $requests / 2 && count_of('expired') == $requests / 4 }),
	'what was paid is confirmed, what was not is expired')
  or diag(join ', ', map { "$_ " . count_of($_) } qw(pending detected confirmed expired));
is(count_of('pending'), $requests / 4, 'the rest is still open');
my $report = audit_is_clean('in normal work');
is($report->{workers}, $workers, 'all workers took part');
is($session->value("SELECT count(DISTINCT worker_id) FROM reconciler.transitions"), $workers, 'and moved requests');
is($session->value('SELECT max(n) FROM (SELECT count(*) AS n FROM reconciler.queue q JOIN reconciler.batches b'
	  . ' ON b.network_id = q.network_id AND q.seq >= b.lo AND q.seq < b.hi GROUP BY b.lo) batch') <= 50, 1, 'no batch is above its size');

# A worker that freezes: others take its batch when the lease is over, and it finds itself fenced
my @second = insert_requests('second', 150, "now() + interval '1 day'");
my $frozen = waiting_worker();
ok($frozen, 'one of the waiting workers is taken');
kill STOP => $frozen;
my $owner = $session->value("SELECT worker_id FROM reconciler.stat_workers WHERE pid = $frozen");
my $held = "SELECT array_agg(lo) FROM audit.leases WHERE owner = '$owner' AND ended_at IS NULL";
isnt($session->value($held), '', 'it holds leases');
my $last = $session->value("SELECT max(started_at) FROM audit.leases WHERE owner = '$owner'");
$chain->set_balances(@second);
$chain->mine(2);
$proxy->set(mode => 'pass');
ok(wait_until(sub { count_of('confirmed') == $requests / 2 + @second }), 'the others do its work');
my $taken_over = <<"SQL";
SELECT count(*) FROM audit.leases a JOIN audit.leases b ON b.network_id = a.network_id AND b.lo < a.hi AND a.lo < b.hi
 WHERE a.owner = '$owner' AND b.owner <> '$owner' AND a.ended_at = a.lease_until AND b.started_at > a.lease_until
SQL
ok(wait_until(sub { $session->value($taken_over) > 0 }), 'its batch is taken over when the lease is over');
is($session->value("SELECT count(*) FROM audit.leases WHERE owner = '$owner' AND started_at > '$last'"), 0, 'while it is still frozen');
kill CONT => $frozen;
ok(wait_until(sub { $session->value("SELECT count(*) FROM audit.leases WHERE owner = '$owner' AND started_at > '$last'") > 0 }),
	'thawed, it works again');
audit_is_clean('with a frozen worker');

# A worker that is killed takes the whole server down with it, as PostgreSQL has it; all comes back by itself
my @third = insert_requests('third', 150, "now() + interval '1 day'");
my $killed = waiting_worker();
my $postmaster_log = -s $node->logfile;
my $old = join ',', map { $_->[0] } $session->query("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'reconciler %'");
kill KILL => $killed;
$session->close;
$chain->set_balances(@third);
$chain->mine(2);
$proxy->set(mode => 'pass');
ok($node->poll_query_until('postgres', <<"SQL"), 'the server and its workers are back after a worker was killed');
SELECT count(*) = $workers FROM pg_stat_activity WHERE backend_type = 'reconciler worker' AND pid NOT IN ($old)
SQL
$session = session($node);
ok(wait_until(sub { count_of('confirmed') == $requests / 2 + @second + @third }), 'and no request was lost')
  or diag(join ', ', map { "$_ " . count_of($_) } qw(pending detected confirmed expired));
is(count_of('pending'), $requests / 4, 'nor moved without reason');
is($session->value('SELECT count(*) FROM reconciler.queue'), $requests / 4, 'the queue holds what is open');
audit_is_clean('with a killed worker');

$session->close;
$node->stop;
done_testing();
