# What an operator sees of workers, networks and endpoints: which endpoint is bad while another works and
# who says so, what a worker waits for, counters that outlive their worker, how long confirming takes;
# with a role in pg_monitor, which sees neither tokens nor amounts; on a standby nothing, and no error.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my $node = new_node(workers => 2, init => { allows_streaming => 1 });
my $chain = start_anvil();
my $proxy = start_proxy($chain, delay_ms => 20);
set_up_shop($node, $chain, endpoints => "ARRAY['" . ($proxy->url =~ s{//}{//me:s3cret@}r) . "', '" . $chain->url . "']", confirmations => 1);
$node->safe_psql('postgres', 'CREATE ROLE monitor LOGIN IN ROLE pg_monitor');
my $sql = session($node);
my $monitor = Reconciler::Session->new($node->connstr('postgres') . ' user=monitor');

sub paid_request
{
	my $address = $chain->new_address;
	$chain->set_balance($address, '1000');
	my $id = add_request($node, address => $address, amount => 1000);
	wait_for_status($node, $id, 'confirmed');
	return $id;
}
sub endpoint { my ($what, $position) = @_; return $monitor->value("SELECT $what FROM reconciler.stat_endpoints WHERE NOT own AND position = $position") // '' }
sub comes { my ($name, $condition) = @_; return ok(wait_until($condition, 60), $name) }

# All is well
paid_request();
comes('the first endpoint is good', sub { endpoint('state', 1) eq 'good' });
is(endpoint('endpoint', 1), $proxy->url =~ s{//}{//…@}r, 'its URL has no secret');
cmp_ok(endpoint('calls', 1), '>', 0, 'its calls are counted');
cmp_ok(endpoint('p50_ms', 1), '>=', 16, 'it takes 20 ms to answer, says the histogram');
is(endpoint('state', 2), 'unused', 'the second was not asked yet');
comes('what the endpoint can do is known', sub { endpoint("learned ->> 'method'", 1) ne '' });
comes('the network has both workers', sub { $monitor->value('SELECT cardinality(workers) FROM reconciler.stat_networks') == 2 });
is($monitor->value('SELECT mode FROM reconciler.stat_networks'), 'asked', 'requests are asked for');
is($monitor->value('SELECT confirmed_hour > 0 AND confirmed_p99_ms IS NOT NULL FROM reconciler.stat_networks'), 't', 'how long confirming takes');
comes('nothing is wrong', sub { $monitor->value('SELECT count(*) FROM reconciler.health()') == 0 })
  or diag($monitor->value('SELECT string_agg(h::text, chr(10)) FROM reconciler.health() h'));

# What a worker waits for, and for which network
$proxy->set(mode => 'hang');
my $open = add_request($node, address => $chain->new_address, amount => 1000);
my $activity = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'reconciler worker' AND query = 'observing ethereum/local'";
comes('pg_stat_activity says what a worker waits for', sub { $monitor->value($activity) > 0 });
comes('so does stat_workers', sub { $monitor->value("SELECT count(*) FROM reconciler.stat_workers WHERE network = 'ethereum/local' AND state = 'observing'") > 0 });
my $event = $node->pg_version >= 17 ? 'ReconcilerEndpoint' : 'Extension';
comes("by wait event $event", sub { $monitor->value("$activity AND wait_event = '$event'") > 0 });

# One endpoint is bad, and another works
comes('the endpoint rests', sub { endpoint('state', 1) eq 'resting' });
is(endpoint('error_code', 1), 'timed_out', 'since it timed out');
is(endpoint('(resting_until IS NOT NULL AND bad_for IS NOT NULL)', 1), 't', 'until when, and who says so');
comes('the other one is good', sub { endpoint('state', 2) eq 'good' });
is($monitor->value('SELECT code FROM reconciler.health()'), 'endpoint_bad', 'health says so');
$proxy->set(mode => 'pass');
comes('it is good again', sub { endpoint('state', 1) =~ /good|mixed/ });
cmp_ok(endpoint("(errors_by_code ->> 'timed_out')::int", 1), '>=', 1, 'its failures are still counted, by code');

# Counters outlive their worker
my $cycles = "SELECT sum(cycles) FROM reconciler.stat_workers WHERE role = 'worker'";
my $before = $monitor->value($cycles);
cmp_ok($before, '>', 0, 'cycles are counted');
cmp_ok($monitor->value('SELECT max(http_calls) FROM reconciler.stat_workers'), '>', 0, 'so are HTTP calls');
set_workers($node, 0);
is($monitor->value("SELECT string_agg(DISTINCT state, '') FROM reconciler.stat_workers"), 'stopped', 'the workers have stopped');
set_workers($node, 2);
comes('new ones count on', sub { $monitor->value("SELECT bool_and(state <> 'stopped') FROM reconciler.stat_workers") eq 't' && $monitor->value($cycles) > $before });
is($monitor->value('SELECT count(*) FROM reconciler.stat_workers'), 2, 'under the same names');

# A daemon with an endpoint of its own that is none
my $daemon = Reconciler::Daemon->start($node, worker_id => 'own',
	env => { RECONCILER_EVM_RPC_URLS_JSON => '{"local":{"urls":["http://127.0.0.1:1/k3y"],"chain_id":31337}}' });
comes('an endpoint of its own is shown', sub { ($monitor->value('SELECT state FROM reconciler.stat_endpoints WHERE own') // '') eq 'resting' });
is($monitor->value('SELECT bad_for FROM reconciler.stat_endpoints WHERE own'), '{own}', 'as its own');
is($monitor->value("SELECT last_error LIKE '%127.0.0.1:1%' FROM reconciler.stat_workers WHERE worker_id = 'own'"), 't', 'the last error of the worker');
is($daemon->terminate(30), 0, 'the daemon stops');

# Monitoring sees no secret, no token, no amount, and changes nothing
for my $what ('SELECT lease_token FROM reconciler.batches', 'SELECT settled FROM reconciler.transitions', 'SELECT * FROM reconciler.queue',
	'SELECT * FROM reconciler.payments', 'SELECT endpoints FROM reconciler.networks', 'SELECT reconciler.stat_reset()',
	q{SELECT reconciler.pause_network('ethereum', 'local')}, 'SELECT * FROM reconciler.prune(now())')
{
	my ($status, $out, $error) = $node->psql('postgres', $what, connstr => $node->connstr('postgres') . ' user=monitor');
	like($error, qr/permission denied/, "not for pg_monitor: $what");
}
is($monitor->value("SELECT count(*) FROM reconciler.history WHERE to_status = 'confirmed'"), 1, 'what happened is, without amounts');

# History is pruned as reconciler.retention says
my ($status, $out, $error) = $node->psql('postgres', q{ALTER SYSTEM SET reconciler.retention = '1h'});
like($error, qr/0, or at least a day/, 'no retention of an hour');
is($sql->value('SELECT count(*) > 0 FROM reconciler.transitions WHERE to_status = $$detected$$ OR true'), 't', 'there is history');
$node->safe_psql('postgres', q{INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason, at)
	SELECT source_id, source, request_id, 'pending', 'detected', 'seen', now() - interval '9 days' FROM reconciler.transitions LIMIT 1;
	UPDATE reconciler.transitions SET transition_id = DEFAULT, at = now() - interval '8 days' WHERE to_status = 'confirmed'});
my $old = q{SELECT string_agg(to_status, ',') FROM reconciler.transitions WHERE at < now() - interval '7 days'};
$node->safe_psql('postgres', q{SELECT reconciler.maintain('x')});
is($sql->value($old), 'detected,confirmed', 'without it, nothing goes');
$node->safe_psql('postgres', q{ALTER SYSTEM SET reconciler.retention = '7d'});
$node->reload;
comes('with it, what is old goes, but for the last word', sub { $node->safe_psql('postgres', q{SELECT reconciler.maintain('x')}); $sql->value($old) eq 'confirmed' });

# From the start
$node->safe_psql('postgres', 'SELECT reconciler.stat_reset()');
cmp_ok($monitor->value($cycles), '<', $before, 'counters begin anew');

# A standby
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
for my $view (qw(stat_workers stat_networks stat_endpoints leases stat_webhooks))
{
	is($standby->safe_psql('postgres', "SELECT count(*) FROM reconciler.$view"), 0, "$view is empty on a standby");
}
is($standby->safe_psql('postgres', 'SELECT code FROM reconciler.health()'), 'standby', 'health says why');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM reconciler.network_settings'), 1, 'settings are there');
is($standby->safe_psql('postgres', 'SELECT count(*) > 0 FROM reconciler.history'), 't', 'so is history');
$standby->stop;

done_testing();
