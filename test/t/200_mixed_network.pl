# One network of both ways: tokens are followed by their events, the chain's own coin is looked at by its balance
#
# Proves that each request has its own way and that the ways don't disturb one another, also while the way is
# changed under open requests, while the cursor is far behind, and while the endpoint fails.

use strict;
use warnings;

use Test::More;

use Reconciler::Test;

my $chain = start_anvil();
my $token = $chain->deploy_token;
my $node = new_node(workers => 2);
set_up_shop($node, $chain, confirmations => 2, tip_interval => "'100ms'");

my %address;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub request
{
	my ($name, %options) = @_;
	$address{$name} = Reconciler::Chain::new_address();
	return add_request($node, amount => 1000, expires => '1 hour', %options, address => $address{$name});
}

sub payments { return sql("SELECT coalesce(string_agg(kind || ' ' || amount, ', '), '') FROM reconciler.payments WHERE request_id = '$_[0]' AND gone_at IS NULL") }

# By balances, both
my $old_token = request('old token', token => $token);
my $old_coin = request('old coin');
wait_for_sql($node, "SELECT count(*) = 1 FROM reconciler.network_state WHERE tip_height IS NOT NULL", 'they are looked at');
is(sql('SELECT count(*) FROM reconciler.cursors'), 0, 'nothing is followed');

# Now tokens by their events: the open one changes its way
sql("SELECT reconciler.set_network('ethereum', 'local', tokens => 'logs')");
my $new_token = request('new token', token => $token);
my $new_coin = request('new coin');
is(sql("SELECT string_agg(followed::text, ' ' ORDER BY token_contract IS NULL, seq) FROM reconciler.queue"), 'true true false false',
	'tokens are followed, coins are not');
$chain->transfer_token($token, $address{$_}, 1000) for 'old token', 'new token';
$chain->send_eth($address{$_}, 1000) for 'old coin', 'new coin';
$chain->mine(2);
wait_for_status($node, $_, 'confirmed') for $old_token, $new_token, $old_coin, $new_coin;
is(payments($_), 'token 1000', 'a followed request has its payment') for $old_token, $new_token;
is(payments($_), '', 'a balance is no payment') for $old_coin, $new_coin;
is(sql("SELECT count(*) FROM reconciler.batches") > 0 ? 'yes' : 'no', 'yes', 'batches there are');
is(sql("SELECT height FROM reconciler.cursors"), $chain->height, 'and a cursor at the tip');

# The cursor far behind: coins are not kept waiting, nor told anything by blocks
set_workers($node, 0);
my $late_token = request('late token', token => $token);
my $late_coin = request('late coin');
$chain->mine(300);
$chain->transfer_token($token, $address{'late token'}, 1000);
$chain->send_eth($address{'late coin'}, 1000);
$chain->mine(2);
set_workers($node, 2);
wait_for_status($node, $_, 'confirmed') for $late_coin, $late_token;
is(payments($late_token), 'token 1000', 'found once, 300 blocks on');

# And back: what is open is looked at again
my $back_token = request('back token', token => $token);
sql("SELECT reconciler.set_network('ethereum', 'local', tokens => 'balances')");
is(sql('SELECT count(*) FROM reconciler.queue WHERE followed'), 0, 'nothing is followed any more');
$chain->transfer_token($token, $address{'back token'}, 1000);
$chain->mine(2);
wait_for_status($node, $back_token, 'confirmed');
sql("SELECT reconciler.set_network('ethereum', 'local', tokens => 'logs')");

# An endpoint that fails fails for both, and both go on
my $proxy = start_proxy($chain);
sql("SELECT reconciler.set_network('ethereum', 'local', endpoints => ARRAY['" . $proxy->url . "'])");
my $failing_token = request('failing token', token => $token);
my $failing_coin = request('failing coin');
$proxy->set(mode => 'answer', status => 503, body => 'not today');
wait_for_sql($node, "SELECT error LIKE '%503%' FROM reconciler.network_state", 'the failure is known');
$chain->transfer_token($token, $address{'failing token'}, 1000);
$chain->send_eth($address{'failing coin'}, 1000);
$chain->mine(2);
$proxy->set(mode => 'pass');
wait_for_status($node, $_, 'confirmed') for $failing_coin, $failing_token;

is(join("\n", log_lines($node, qr/ (?:ERROR|FATAL|PANIC): /)), '', 'no error in the log');
$node->stop;
done_testing();
