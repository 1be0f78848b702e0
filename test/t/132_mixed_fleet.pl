# A mixed fleet: workers in the server that know no endpoint, beside two daemons that bring
# different ones. Who has nobody to ask claims nothing and finds out nothing: what is paid is
# confirmed in time, and a network that nobody can ask keeps its requests open.
use strict;
use warnings;

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my %chain = (one => start_anvil(), two => start_anvil());
my $node = new_node(workers => 2, conf => "reconciler.expiry_grace = '1s'\n");
$node->safe_psql('postgres', q{
SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true);
CREATE ROLE reconcilerd LOGIN;
SELECT reconciler.grant_worker('reconcilerd');
});

# Networks without an endpoint in the database, one of which nobody else has one for either
$node->safe_psql('postgres', "SELECT reconciler.add_network('ethereum', '$_', chain_id => 31337)") for qw(one two nobody);
audit_leases($node);
my $sql = session($node);

my $orphan = add_request($node, network => 'nobody', address => Reconciler::Chain::new_address(), amount => 1, expires => '1 s');
my $unknown = add_request($node, network => 'unregistered', address => Reconciler::Chain::new_address(), amount => 1, expires => '1 s');

my %daemon = map {
	$_ => Reconciler::Daemon->start($node, user => 'reconcilerd', worker_id => "daemon-$_",
		env => { RECONCILER_EVM_RPC_URLS_JSON => qq({"$_":"@{[ $chain{$_}->url ]}"}) })
} qw(one two);

my (%paid, %unpaid);
for my $round (1 .. 4)
{
	for my $network (qw(one two))
	{
		my $address = Reconciler::Chain::new_address();
		push @{ $paid{$network} }, add_request($node, network => $network, address => $address, amount => 1000, expires => '3 s');
		push @{ $unpaid{$network} }, add_request($node, network => $network, address => Reconciler::Chain::new_address(),
			amount => 1000, expires => '3 s');
		$chain{$network}->send_eth($address, 1000);
	}
}
for my $network (qw(one two))
{
	wait_for_status($node, $_, 'confirmed', name => "$network: what was paid is confirmed") for @{ $paid{$network} };
	wait_for_status($node, $_, 'expired', name => "$network: what wasn't expires") for @{ $unpaid{$network} };
}
is($sql->value(q{SELECT string_agg(DISTINCT reason, ', ') FROM reconciler.transitions WHERE to_status = 'expired'}), 'unpaid',
	'nothing was given up for lack of an endpoint');
is($sql->value(q{SELECT string_agg(DISTINCT l.owner || ' ' || n.network, ', ' ORDER BY l.owner || ' ' || n.network)
	FROM audit.leases l JOIN reconciler.networks n USING (network_id)}), 'daemon-one one, daemon-two two',
	'each network is claimed by the daemon that can ask, and by nobody else');
is($sql->value('SELECT sum(failures) FROM reconciler.stat_networks'), 0, 'and nobody has reported a failure');

# Long after their grace
ok($sql->value(qq{SELECT bool_and(expires_at < clock_timestamp() - interval '1 s') FROM payment_requests WHERE id IN ('$orphan', '$unknown')}) eq 't'
	|| wait_until(sub { $sql->value(qq{SELECT max(expires_at) < clock_timestamp() - interval '1 s' FROM payment_requests WHERE id IN ('$orphan', '$unknown')}) eq 't' }),
	'the grace of the others is over');
is(status_of($node, $_), 'pending', 'a request that nobody can ask for stays open') for $orphan, $unknown;

# An endpoint in the database, and the workers in the server take part
$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'nobody', endpoints => ARRAY['" . $chain{one}->url . "'])");
wait_for_status($node, $orphan, 'expired', name => 'until there is an endpoint');
is($sql->value("SELECT reason FROM reconciler.transitions WHERE request_id = '$orphan'"), 'unpaid', 'which says what is');

is($daemon{$_}->terminate, 0, "daemon $_ stops") for qw(one two);
$_->stop for values %chain;
$node->stop;
done_testing();
