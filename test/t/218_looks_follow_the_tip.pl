# Looks follow the tip: a block makes requests due at once, and between blocks none is looked at

use strict;
use warnings;

use Test::More;

use Reconciler::Test;

my $chain = start_anvil();
my $proxy = start_proxy($chain);
my $node = new_node(workers => 3);

# But for the tip, each request would be looked at once an hour
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "']", confirmations => 2, poll_interval => "'1 hour'",
	tip_interval => "'100 milliseconds'");
my $address = Reconciler::Chain::new_address();
my $id = add_request($node, address => $address, amount => 1000);
wait_for_sql($node, "SELECT observed_at IS NOT NULL FROM reconciler.network_state", 'a new request is looked at');

# The tip is asked for, and nothing else
my $looks = sub { scalar grep { /eth_call|eth_getBalance/ } @{ $proxy->stats->{bodies} } };
my $before = $proxy->stats->{requests};
ok(wait_until(sub { $proxy->stats->{requests} > $before + 60 }, 60), 'the tip is asked for');
is($looks->(), 0, 'between blocks there is no look');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM reconciler.tips'), '==', 1, 'one row knows the tip');

$chain->send_eth($address, 1000);
wait_for_status($node, $id, 'detected', name => 'a block is looked at when it is there');
$chain->mine(1);
wait_for_status($node, $id, 'confirmed', name => 'and the next one');

# A node that does not answer the question for the tip: looks come by the clock, as before
my $other = Reconciler::Chain::new_address();
$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'local', poll_interval => '1 second')");
$chain->stop;
my $second = add_request($node, address => $other, amount => 1000);
wait_for_sql($node, "SELECT failures > 0 FROM reconciler.network_state", 'a node that has gone is noticed by looks');

$node->stop;
done_testing();
