# Settings of a network that change in the middle of a slow look: nothing is confirmed by the old
# ones, the look is given up at once, and a corrected network is looked at by the new ones only.
use strict;
use warnings;

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;
use Time::HiRes qw(time);

my $chain = start_anvil();
$chain->mine(3);				# a block's state takes in what is set before the next one
my $node = new_node(conf => "reconciler.request_timeout = '20s'\nreconciler.lease_duration = '20s'\nreconciler.poll_interval = '500ms'\n");
my $proxy = start_proxy($chain);
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "']", confirmations => 1);
$node->safe_psql('postgres', q{CREATE ROLE reconcilerd LOGIN; SELECT reconciler.grant_worker('reconcilerd')});
my $sql = session($node);

sub count_status
{
	my ($status) = @_;
	return $sql->value("SELECT count(*) FROM payment_requests WHERE status = '$status'");
}

# Five paid requests each time, of which a look is on its way
sub five_in_flight
{
	$sql->query('DELETE FROM payment_requests');
	$proxy->set(delay_ms => 3000);
	for (1 .. 5)
	{
		my $address = Reconciler::Chain::new_address();
		$chain->set_balance($address, 1000);
		add_request($node, address => $address, amount => 1000);
	}
	$chain->mine;
	my $looks = $proxy->stats->{requests};
	ok(wait_until(sub { $proxy->stats->{requests} > $looks
		  && $sql->value('SELECT count(*) FROM reconciler.leases WHERE lease_owner IS NOT NULL') == 5 }), 'a look is under way');
	return;
}

for my $where ('server', 'daemon')
{
	my $daemon;
	if ($where eq 'server') { set_workers($node, 1) }
	else { $daemon = Reconciler::Daemon->start($node, user => 'reconcilerd', worker_id => 'd') }

	# The depth: anvil's finalized block is far below
	five_in_flight();
	$node->safe_psql('postgres', q{SELECT reconciler.set_network('ethereum', 'local', block_tag => 'finalized')});
	$proxy->set(delay_ms => 0);
	ok(wait_until(sub { count_status('detected') == 5 }), "$where: they are detected by the new settings");
	is(count_status('confirmed'), 0, 'none is confirmed at the old depth');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM reconciler.transitions WHERE to_status = 'confirmed'}), 0, 'nor was for a moment');
	$node->safe_psql('postgres', q{SELECT reconciler.set_network('ethereum', 'local', reset => '{block_tag}')});
	ok(wait_until(sub { count_status('confirmed') == 5 }), 'and confirmed as soon as the settings allow');
	$node->safe_psql('postgres', 'DELETE FROM reconciler.transitions');

	# An endpoint that hangs is replaced: nobody waits for its time-out, or for a rest
	five_in_flight();
	$proxy->set(mode => 'hang');
	my $started = time;
	$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'local', endpoints => ARRAY['" . $chain->url . "'])");
	ok(wait_until(sub { count_status('confirmed') == 5 }), "$where: a corrected network is looked at");
	cmp_ok(time - $started, '<', 10, 'at once');
	$proxy->set(mode => 'pass');
	$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'local', endpoints => ARRAY['" . $proxy->url . "'])");
	$node->safe_psql('postgres', 'DELETE FROM reconciler.transitions');

	if ($daemon) { is($daemon->terminate, 0, 'the daemon stops'); unlike($daemon->log, qr/statement failed/, 'nothing was refused') }
	else { set_workers($node, 0) }
}
is(scalar(log_lines($node, qr/statement failed/)), 0, 'nothing was refused in the server either');

$node->stop;
done_testing();
