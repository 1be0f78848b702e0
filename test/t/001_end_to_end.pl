# Payment requests on a real chain, from insert to the end that each should come to

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $eth = '1000000000000000000';
my $workers = 3;

my $chain = start_anvil();
my $token = $chain->deploy_token;
my $node = new_node(workers => $workers);
set_up_shop($node, $chain, confirmations => 3);
audit_leases($node);

my %address = map { $_ => Reconciler::Chain::new_address() }
  qw(eth token any overpaid parts underpaid unpaid nothing prepaid cancelled unknown late bps vanished);
my %id;

# The steps of a request, as "from>to reason", in order
sub steps
{
	my ($name) = @_;
	return $node->safe_psql('postgres',
		"SELECT string_agg(from_status || '>' || to_status || ' ' || reason, ', ' ORDER BY transition_id)"
		  . " FROM reconciler.transitions WHERE request_id = '$id{$name}'");
}

# Paid before anybody asked for it, with the confirmations it needs
$chain->send_eth($address{prepaid}, $eth);
$chain->mine(2);

$id{eth} = add_request($node, address => $address{eth}, amount => $eth, expires => '1 hour');
$id{token} = add_request($node, address => $address{token}, amount => 5_000_000, token => $token, expires => '1 hour');
$id{any} = add_request($node, address => $address{any});
$id{overpaid} = add_request($node, address => $address{overpaid}, amount => $eth);
$id{parts} = add_request($node, address => $address{parts}, amount => $eth);
$id{nothing} = add_request($node, address => $address{nothing}, amount => $eth, expires => '1 hour');
$id{prepaid} = add_request($node, address => $address{prepaid}, amount => $eth, expires => '1 hour');
$id{cancelled} = add_request($node, address => $address{cancelled}, amount => $eth, expires => '1 hour');
$id{unknown} = add_request($node, address => $address{unknown}, amount => $eth, network => 'elsewhere');

wait_for_status($node, $id{prepaid}, 'confirmed', name => 'what was paid and settled before is confirmed at once');
is(steps('prepaid'), 'pending>confirmed settled', 'in one step');

# Payments arrive; one block each, so wait for the sight of the last before it has three
$chain->send_eth($address{parts}, '400000000000000000');
$chain->send_eth($address{eth}, $eth);
wait_for_status($node, $id{eth}, 'detected');
is(status_of($node, $id{parts}), 'pending', 'a part of the amount is not detected');
$chain->send_eth($address{parts}, '600000000000000000');
wait_for_status($node, $id{parts}, 'detected', name => 'two parts together are');
$chain->transfer_token($token, $address{token}, 5_000_000);
wait_for_status($node, $id{token}, 'detected', name => 'tokens are detected');
$chain->send_eth($address{overpaid}, '1000000000000000001');
$chain->set_balance($address{any}, 1);
$chain->mine(3);
wait_for_status($node, $id{$_}, 'confirmed', name => "$_ is confirmed") for qw(eth parts token overpaid any);
is(steps($_), 'pending>detected seen, detected>confirmed settled', "$_ went through detected") for qw(eth parts token);

is($node->safe_psql('postgres', <<"SQL"), "$eth|$eth|t|t|t", 'a transition says what was seen, where and by whom');
SELECT seen, settled, block_height > 0, block_hash ~ '^0x[0-9a-f]{64}\$', worker_id <> ''
  FROM reconciler.transitions WHERE request_id = '$id{eth}' AND to_status = 'confirmed'
SQL
is($node->safe_psql('postgres', "SELECT seen, settled FROM reconciler.transitions WHERE request_id = '$id{token}' AND to_status = 'confirmed'"),
	'5000000|5000000', 'of tokens too');
is($node->safe_psql('postgres', "SELECT DISTINCT source FROM reconciler.transitions"), 'public.payment_requests', 'and of which table');

# Expiry
$id{underpaid} = add_request($node, address => $address{underpaid}, amount => $eth, expires => '2 seconds');
$id{unpaid} = add_request($node, address => $address{unpaid}, amount => $eth, expires => '2 seconds');
$chain->send_eth($address{underpaid}, '999999999999999999');
wait_for_status($node, $id{$_}, 'expired', name => "$_ expires") for qw(underpaid unpaid);
is(steps('unpaid'), 'pending>expired unpaid', 'with the reason: nothing came');
is(steps('underpaid'), 'pending>expired underpaid', 'or not enough');
is($node->safe_psql('postgres', "SELECT seen FROM reconciler.transitions WHERE request_id = '$id{underpaid}'"),
	'999999999999999999', 'and how much did');
is($node->safe_psql('postgres', <<"SQL"), 't', 'neither before its time');
SELECT bool_and(t.at >= p.expires_at) FROM reconciler.transitions t JOIN payment_requests p ON p.id::text = t.request_id
 WHERE to_status = 'expired'
SQL

# Detected, then gone by a reorganisation
$id{vanished} = add_request($node, address => $address{vanished}, amount => $eth, expires => '3 seconds');
$chain->send_eth($address{vanished}, $eth);
wait_for_status($node, $id{vanished}, 'detected');
$chain->rpc('anvil_reorg', 1, []);
is(hex $chain->rpc('eth_getBalance', $address{vanished}, 'latest'), 0, 'a reorganisation takes a payment away');
wait_for_status($node, $id{vanished}, 'expired', name => 'the request expires');
is(steps('vanished'), 'pending>detected seen, detected>expired vanished', 'with that reason');

# Paid in time, looked at late: never expired
set_workers($node, 0);
$id{late} = add_request($node, address => $address{late}, amount => $eth, expires => '1 second');
$chain->send_eth($address{late}, $eth);
$chain->mine(2);
wait_for_sql($node, "SELECT expires_at < now() FROM payment_requests WHERE id::text = '$id{late}'", 'a request is past its expiry');
is(status_of($node, $id{late}), 'pending', 'without workers nothing happens to it');
set_workers($node, $workers);
wait_for_status($node, $id{late}, 'confirmed', name => 'paid in time and looked at late is confirmed');
is(steps('late'), 'pending>confirmed settled', 'never expired');

# The application's own statuses are its own
$node->safe_psql('postgres', "UPDATE payment_requests SET status = 'cancelled' WHERE id::text = '$id{cancelled}'");
$chain->send_eth($address{cancelled}, $eth);
$chain->mine(2);
$id{bps} = add_request($node, address => $address{eth}, amount => $eth);
wait_for_status($node, $id{bps}, 'confirmed', name => 'a later request is seen to');
is(status_of($node, $id{cancelled}), 'cancelled', 'a cancelled request stays as it is');
is(steps('cancelled'), '', 'nothing moved it');
is(status_of($node, $id{nothing}), 'pending', 'an unpaid request waits for its payment');
is(status_of($node, $id{unknown}), 'pending', 'a request of an unknown network stays open');

is($node->safe_psql('postgres', 'SELECT count(*) FROM reconciler.leases'), 2, 'the open ones are in the leases view');

# Logs
my @cycles = log_lines($node, qr/cycle role=/);
cmp_ok(scalar @cycles, '>', 0, 'cycles are logged');
my @incomplete = grep {
	!/role=worker worker_id=\S+ .*claimed=\d+ scanned=\d+ confirmed=\d+ detected=\d+ expired=\d+ skipped=\d+ errors=\d+ latency_ms=\d+/
} @cycles;
is(scalar @incomplete, 0, 'each with its counters') or diag($incomplete[0]);
my @transitions = log_lines($node, qr/transition role=/);
is(scalar(grep { /request_id=\Q$id{eth}\E from=detected to=confirmed/ } @transitions), 1, 'a transition is logged once');
is(scalar @transitions, $node->safe_psql('postgres', 'SELECT count(*) FROM reconciler.transitions'), 'as all are');
is(join("\n", log_lines($node, qr/ (?:ERROR|FATAL|PANIC): /)), '', 'no error in the log');

my $report = audit_report($node);
cmp_ok($report->{leases}, '>', 0, 'leases were audited');
is($report->{$_}, 0, "no $_") for qw(overlaps duplicate_transitions contradictions);

$node->stop;
done_testing();
