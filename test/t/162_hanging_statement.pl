# An application's trigger that hangs, in whatever way, keeps a worker or a daemon neither from its other work
# nor from stopping, and its leases are given back; DROP DATABASE doesn't wait for it.
use strict;
use warnings;

use Time::HiRes qw(time);

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my $chain = start_anvil();
my $node = new_node(conf => <<'CONF');
reconciler.database = 'postgres, shop'
reconciler.batch_size = 1
reconciler.lease_duration = '10min'
reconciler.statement_timeout = '10min'
CONF

# How a trigger hangs
my %hangs = (
	sleeps => 'PERFORM pg_sleep(600);',
	loops => 'LOOP PERFORM pg_sleep(0.1); END LOOP;',
	computes => 'LOOP PERFORM 1; END LOOP;',
	clings => 'LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;');

# Requests whose asset names a way to hang, do
sub set_up
{
	my ($database) = @_;
	$node->safe_psql($database, <<"SQL");
SELECT reconciler.add_network('ethereum', 'local', ARRAY['@{[ $chain->url ]}'], chain_id => @{[ $chain->chain_id ]});
SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true);
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
@{[ join "\n", map { "IF NEW.asset = '$_' THEN $hangs{$_} END IF;" } sort keys %hangs ]}
	RETURN NEW;
END \$\$;
CREATE TRIGGER hang BEFORE UPDATE OF status ON payment_requests FOR EACH ROW EXECUTE FUNCTION hang();
SQL
	return;
}

sub add_paid
{
	my ($database, $asset) = @_;
	my $address = $chain->new_address;
	$chain->set_balance($address, '1000');
	return $node->safe_psql($database, 'INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)'
		  . " VALUES ('ethereum', 'local', '$asset', 1000, '$address') RETURNING id");
}

sub seconds { my ($code) = @_; my $from = time; $code->(); return time - $from }

my $worker = "backend_type = 'reconciler worker'";
my $daemon_session = "application_name = 'reconcilerd'";
sub wait_in_trigger
{
	my ($who, $database, $name) = @_;
	return wait_for_sql($node, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $who AND datname = '$database' AND state = 'active'"
		. " AND query LIKE '%reconciler.settle(%' AND query_start < clock_timestamp() - interval '300 ms')", $name);
}
my $leased = q{SELECT count(*) FROM reconciler.batches WHERE lease_until > clock_timestamp()};

set_up('postgres');

# A worker that should stop
for my $how (sort keys %hangs)
{
	add_paid('postgres', $how);
	$node->safe_psql('postgres', 'ALTER SYSTEM SET reconciler.workers = 1');
	$node->reload;
	wait_in_trigger($worker, 'postgres', "$how: the worker is in the trigger");
	my $took = seconds(sub { set_workers($node, 0) });
	cmp_ok($took, '<', 12, "$how: workers = 0 ends it");
	is($node->safe_psql('postgres', $leased), 0, "$how: no lease is left") unless $how eq 'clings';
	$node->safe_psql('postgres', "DELETE FROM payment_requests; DELETE FROM reconciler.batches");
}
is(scalar(log_lines($node, qr/worker ends with a statement that can't be cancelled role=worker worker_id=\S+ statement=settle/)), 1,
	'the log says of the one that could not be cancelled');

# A daemon that should stop
for my $how (sort keys %hangs)
{
	add_paid('postgres', $how);
	my $daemon = Reconciler::Daemon->start($node, worker_id => $how);
	wait_in_trigger($daemon_session, 'postgres', "$how: a daemon is in the trigger");
	my $took = seconds(sub { is($daemon->terminate(30), 0, "$how: the daemon stops") });
	cmp_ok($took, '<', 5, "$how: soon");
	is($node->safe_psql('postgres', $leased), 0, "$how: no lease is left") unless $how eq 'clings';
	wait_for_sql($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE $daemon_session", "$how: nor a session", seconds => 30);
	$node->safe_psql('postgres', "DELETE FROM payment_requests; DELETE FROM reconciler.batches");
}

# A worker and a daemon that go on: the time limit ends the statement, so that other requests are seen to
$node->safe_psql('postgres', "ALTER SYSTEM SET reconciler.statement_timeout = '1s'; ALTER SYSTEM SET reconciler.lease_duration = '3s'");
$node->reload;
for my $who ('worker', 'daemon')
{
	my %id = map { $_ => add_paid('postgres', $_) } sort grep { $_ ne 'clings' } keys %hangs;
	my $good = add_paid('postgres', 'ETH');
	set_workers($node, 1) if $who eq 'worker';
	my $daemon;
	$daemon = Reconciler::Daemon->start($node, worker_id => 'limited', args => ['--statement-timeout-seconds=1']) if $who eq 'daemon';
	wait_in_trigger($who eq 'worker' ? $worker : $daemon_session, 'postgres', "$who: hangs");
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $worker OR $daemon_session");
	wait_for_status($node, $good, 'confirmed', name => "$who: confirms what doesn't hang", seconds => 60);
	my $later = add_paid('postgres', 'ETH');
	wait_for_status($node, $later, 'confirmed', name => "$who: and another", seconds => 60);
	is($node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $worker OR $daemon_session"), $pid, "$who: the same process");
	$node->safe_psql('postgres', 'DROP TRIGGER hang ON payment_requests');
	wait_for_status($node, $id{$_}, 'confirmed', name => "$who: what hung ($_) is confirmed when it doesn't any more") for sort keys %id;
	$node->safe_psql('postgres', 'CREATE TRIGGER hang BEFORE UPDATE OF status ON payment_requests FOR EACH ROW EXECUTE FUNCTION hang()');
	$who eq 'worker' ? set_workers($node, 0) : is($daemon->terminate(30), 0, 'daemon: stops');
}
my $refused = Reconciler::Daemon->start($node, args => ['--statement-timeout-seconds=0']);
is($refused->exit_code, 78, 'a daemon refuses a limit of 0');
like($refused->log, qr/CONFIG_RECONCILER_STATEMENT_TIMEOUT_SECONDS_INVALID/, 'with a code');

# DROP DATABASE, and a stop of the server
$node->safe_psql('postgres', "ALTER SYSTEM SET reconciler.statement_timeout = '10min'");
$node->reload;
for my $how ('sleeps', 'clings')
{
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	$node->safe_psql('shop', 'CREATE EXTENSION reconciler');
	set_up('shop');
	add_paid('shop', $how);
	$node->safe_psql('postgres', 'ALTER SYSTEM SET reconciler.workers = 2');
	$node->reload;
	wait_in_trigger($worker, 'shop', "$how: a worker is in the trigger");
	my $took = seconds(sub { $node->safe_psql('postgres', 'DROP DATABASE shop') });
	cmp_ok($took, '<', 12, "$how: DROP DATABASE doesn't wait for it");
	set_workers($node, 0);
}
add_paid('postgres', 'sleeps');
$node->safe_psql('postgres', 'ALTER SYSTEM SET reconciler.workers = 1');
$node->reload;
wait_in_trigger($worker, 'postgres', 'a worker is in the trigger');
my $took = seconds(sub { $node->stop('fast') });
cmp_ok($took, '<', 12, 'nor does a stop of the server');

done_testing();
