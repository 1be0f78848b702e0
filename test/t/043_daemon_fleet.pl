# Three daemons on one queue, then three daemons and three workers in the server, one daemon
# killed in mid-call: 100,000 requests, every lease audited. The fleet is a mixed one: a second
# network has its only endpoint with one of the daemons, the others have nobody to ask.
use strict;
use warnings;

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my $requests = $ENV{TEST_REQUESTS} || 100_000;
my $paid = $requests / 100;

my $node = new_node(conf => "reconciler.batch_size = 500\nreconciler.poll_interval = '1s'\nreconciler.lease_duration = '5s'\n");
my $chain = start_anvil();
$chain->mine;
my $proxy = start_proxy($chain);
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "']");
audit_leases($node);
my $sql = session($node);

$node->safe_psql('postgres', q{
CREATE ROLE reconcilerd LOGIN;
SELECT reconciler.grant_worker('reconcilerd');
});

# Addresses that tell which request they belong to, so that any one can be paid
sub address_of { my ($n) = @_; return sprintf '0x%040x', 0x5000000 + $n }

sub insert_requests
{
	my ($first, $last) = @_;
	$node->safe_psql('postgres', qq{
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)
SELECT 'ethereum', 'local', 'ETH', 1000, '0x' || lpad(to_hex(x'5000000'::int + n), 40, '0')
  FROM generate_series($first, $last) n});
	return;
}

# Pays that many of the requests first..last, spread evenly
sub pay_requests
{
	my ($first, $last, $count) = @_;
	my $step = ($last - $first + 1) / $count;
	$chain->rpc_batch(map { [ 'anvil_setBalance', address_of(int($first + $_ * $step)), '0x3e8' ] } 0 .. $count - 1);
	return;
}

sub confirmed { return $sql->value(q{SELECT count(*) FROM payment_requests WHERE status = 'confirmed' AND network = 'local'}) }

my $own_chain = start_anvil();

sub start_daemon
{
	my ($name) = @_;
	return Reconciler::Daemon->start($node, user => 'reconcilerd', worker_id => $name,
		$name eq 'three' ? (env => { RECONCILER_EVM_RPC_URLS_JSON => '{"own":"' . $own_chain->url . '"}' }) : ());
}

# A hundred requests of the second network, paid
sub insert_own_requests
{
	$node->safe_psql('postgres', q{
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, expires_at)
SELECT 'ethereum', 'own', 'ETH', 1000, '0x' || lpad(to_hex(x'9000000'::int + n), 40, '0'), clock_timestamp() + interval '20 s'
  FROM generate_series(1, 100) n});
	$own_chain->rpc_batch(map { [ 'anvil_setBalance', sprintf('0x%040x', 0x9000000 + $_), '0x3e8' ] } 1 .. 100);
	$own_chain->mine;
	return;
}

# Has every batch been claimed since?
sub all_claimed_since
{
	my ($moment) = @_;
	return $sql->value(
		qq{SELECT NOT EXISTS (SELECT FROM reconciler.batches b
		     WHERE EXISTS (SELECT FROM reconciler.queue q WHERE q.network_id = b.network_id AND q.seq >= b.lo AND q.seq < b.hi)
		       AND NOT EXISTS (SELECT FROM audit.leases l WHERE l.network_id = b.network_id
		         AND l.lo <= b.lo AND l.hi >= b.hi AND l.started_at > '$moment'))}) eq 't';
}

sub now { return $sql->value('SELECT clock_timestamp()') }

# Three daemons

my $half = $requests / 2;
insert_requests(1, $half);
my %daemons = map { $_ => start_daemon($_) } qw(one two three);
pay_requests(1, $half, $paid / 2);
ok(wait_until(sub { confirmed() == $paid / 2 }), 'three daemons confirm what is paid') or diag(confirmed());
ok(wait_until(sub { $sql->value('SELECT count(DISTINCT owner) FROM audit.leases') == 3 }), 'all three take part');

# Three daemons and three workers in the server, on twice as many requests

set_workers($node, 3);
insert_requests($half + 1, $requests);
pay_requests($half + 1, $requests, $paid / 2);
insert_own_requests();

# One is killed in mid-call: it is held, looked at, and set free again until it has a lease
$proxy->set(delay_ms => 300);
my $held;
ok(wait_until(sub {
	$daemons{two}->signal('STOP');
	($held) = $sql->query("SELECT count(*), string_agg(lease_token::text, ',')"
		  . " FROM reconciler.batches WHERE lease_owner = 'two' AND lease_until > clock_timestamp() + interval '1 s'");
	return 1 if $held->[0] > 0;
	$daemons{two}->signal('CONT');
	return 0;
}), 'one daemon waits for the node, with batches under lease');
$daemons{two}->signal('KILL');
$daemons{two}->wait_for_end(60);
$proxy->set(delay_ms => 0);
ok(wait_until(sub {
	$sql->value(qq{SELECT count(*) = 0 FROM audit.leases k WHERE k.token = ANY (string_to_array('$held->[1]', ','))
	  AND NOT EXISTS (SELECT FROM audit.leases l WHERE l.network_id = k.network_id AND l.lo < k.hi AND l.hi > k.lo
	                     AND l.started_at > k.lease_until AND l.owner <> 'two')}) eq 't'
}), 'others take them over when the lease ends');
$daemons{two} = start_daemon('two');

ok(wait_until(sub { confirmed() == $paid }), 'all that is paid is confirmed') or diag(confirmed());
my $since = now();
ok(wait_until(sub { all_claimed_since($since) }), "every one of the $requests requests is looked at again");
is($sql->value('SELECT count(DISTINCT owner) FROM audit.leases'), 6, 'three daemons and three workers took part');
is($sql->value(qq{SELECT count(*) FROM payment_requests WHERE status <> 'pending' AND network = 'local'}), $paid, 'what is not paid stays as it was');
is($sql->value(q{SELECT string_agg(DISTINCT status, ', ') FROM payment_requests WHERE network = 'own'}), 'confirmed',
	'what only one daemon can ask for is confirmed, too');
is($sql->value(q{SELECT string_agg(DISTINCT owner, ', ') FROM audit.leases JOIN reconciler.networks USING (network_id) WHERE network = 'own'}),
	'three', 'and claimed by nobody else');

set_workers($node, 0);
is($daemons{$_}->terminate, 0, "daemon $_ stops") for sort keys %daemons;
is($sql->value('SELECT count(*) FROM reconciler.batches WHERE lease_owner IS NOT NULL AND lease_until > clock_timestamp()'), 0, 'no lease is left');

my $report = audit_report($node);
note("leases audited: $report->{leases}, workers: $report->{workers}");
is($report->{overlaps}, 0, 'no request was under two leases at once');
is($report->{duplicate_transitions}, 0, 'no transition happened twice');
is($report->{contradictions}, 0, 'every transition starts where the one before ended');
is(join("\n", grep { / statement failed / } split /\n/, $daemons{$_}->log), '', "no statement of daemon $_ was refused")
  for sort keys %daemons;

$node->stop;
done_testing();
