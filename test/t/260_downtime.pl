# What was paid while nobody looked doesn't expire because the first look afterwards fails:
# the grace is a time in which endpoints were asked and failed. One that goes on failing for
# longer than the grace ends a request as unobserved.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $chain = start_anvil();
my $proxy = start_proxy($chain, mode => 'answer', status => 503);
my $dead = start_misbehaving(status => 503);
my $node = new_node(workers => 0);
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "']", expiry_grace => "interval '1 minute'");
$node->safe_psql('postgres', "SELECT reconciler.add_network('ethereum', 'dead', ARRAY['"
	  . $dead->url . "'], 31337, expiry_grace => '1 second')");

my $address = Reconciler::Chain::new_address();
$chain->send_eth($address, '1000');
my $paid = add_request($node, address => $address, amount => 1000, expires => '-1 hour');
my $lost = add_request($node, address => $address, amount => 1000, expires => '-1 hour', network => 'dead');

set_workers($node, 1);
wait_for_sql($node, "SELECT failures >= 2 FROM reconciler.stat_networks WHERE network = 'local'", 'looks fail');
wait_for_status($node, $lost, 'expired', name => 'where they go on failing, the request expires');
is($node->safe_psql('postgres', "SELECT reason, at - p.expires_at > '1 hour 1 second' FROM reconciler.transitions t"
	  . " JOIN payment_requests p ON p.id::text = t.request_id WHERE p.id = '$lost'"),
	'unobserved|t', 'as unobserved, and not at the first failure');
is(status_of($node, $paid), 'pending', 'but not before they have failed for as long as the grace');
$proxy->set(mode => 'pass');
wait_for_status($node, $paid, 'confirmed', name => 'what was paid meanwhile is confirmed');

$node->stop;
done_testing();
