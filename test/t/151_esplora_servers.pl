# Two Esplora servers, one of them stopped: the other is asked, and what was paid
# in time is confirmed. A sum that is gone for a moment expires nothing. The rate
# limit holds for addresses that were paid, which take more than one request.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

use Reconciler::Bitcoin;
use Reconciler::Hostile;
use Reconciler::Test;

my ($bitcoin, $reason) = Reconciler::Bitcoin->start(blocks => 0);
plan skip_all => $reason unless $bitcoin;

# Many blocks at once would have times that lie ahead
$bitcoin->rpc('setmocktime', int(time) - 3600);
$bitcoin->mine(130);
$bitcoin->rpc('setmocktime', 0);
$bitcoin->mine(1);
(my $stopped, $reason) = $bitcoin->esplora;
plan skip_all => $reason unless $stopped;
my ($esplora) = $bitcoin->esplora;
my ($hostile) = Reconciler::Hostile->start('hostile_esplora.py', $esplora->url);

my $node = new_node(workers => 2, conf => "reconciler.expiry_grace = '2s'\n");
my $session = session($node);
$session->query("SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");

sub add_network
{
	my ($chain, $more, @urls) = @_;
	$session->query("SELECT reconciler.add_network('$chain', 'regtest', ARRAY['" . join("','", @urls)
		  . "'], kind => 'esplora', confirmations => 2$more)");
	return;
}

sub request
{
	my ($chain, $n, $expires) = @_;
	my $address = $bitcoin->address('wpkh', $n);
	return ($address, add_request($node, chain => $chain, network => 'regtest', asset => 'BTC', address => $address,
		amount => 1000, expires => $expires));
}

sub of_network
{
	my ($chain, $what) = @_;
	return $session->value("SELECT $what FROM reconciler.stat_networks WHERE chain = '$chain'");
}

# Stopped servers: no new block, and nothing of the mempool
add_network('one_stopped', ", max_tip_age => '4s'", $stopped->url, $esplora->url);
my ($address, $id) = request('one_stopped', 1, '6 seconds');
ok(wait_until(sub { $bitcoin->mine_only; of_network('one_stopped', 'tip_height') }), 'the first server answers');
$stopped->control(frozen => JSON::PP::true);
$bitcoin->pay([ $address, 1000 ]);

# A block a second, without the payment at first: it is in the mempool as the request expires
my $deadline = time + 8;
while (time < $deadline)
{
	$bitcoin->mine_only;
	sleep 1;
}
isnt(status_of($node, $id), 'expired', 'paid in time and not mined: the request does not expire');
is(status_of($node, $id), 'detected', 'the second server has told of it');
is(of_network('one_stopped', 'failures'), 0, 'the network has no failures: the second server answers');
$bitcoin->mine(2);
wait_for_status($node, $id, 'confirmed');
$stopped->control(frozen => JSON::PP::false);

# Sums that are zero for a moment, in the middle of looks that follow each other quickly
add_network('blinks', ", max_tip_age => '1 hour', poll_interval => '100ms'", $hostile->url('blinks'));
($address, $id) = request('blinks', 2, '2 seconds');
$bitcoin->pay([ $address, 1000 ]);
wait_for_status($node, $id, 'detected');
$deadline = time + 4;
while (time < $deadline)
{
	$bitcoin->mine_only;
	sleep 0.5;
}
is(status_of($node, $id), 'detected', 'a sum that is gone for a moment expires nothing');
cmp_ok($hostile->requests->{blinks}, '>', 30, 'though it was asked for often');

# But what is replaced is gone
my $coin = ($bitcoin->coins($bitcoin->{miner}, 1))[0];
($address, $id) = request('blinks', 3, '2 seconds');
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], outputs => [ [ $address, 1000 ] ]));
wait_for_status($node, $id, 'detected');
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], fee => 100_000, outputs => [ [ $bitcoin->address('wpkh', 98), 1000 ] ]));
ok(wait_until(sub { $bitcoin->mine_only; status_of($node, $id) eq 'expired' }), 'what was replaced has vanished');

# 40 requests a second: 25 addresses that were paid take two each
my @addresses = $bitcoin->addresses(25);
$bitcoin->pay(map { [ $_, 600 ] } @addresses);
$bitcoin->mine(1);
add_network('limited', ", poll_interval => '100ms', rate_limit => 40", $hostile->url('honest') =~ s/honest/limited/r);
$session->query("INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)"
	  . " SELECT 'limited', 'regtest', 'BTC', 1000, a FROM unnest(ARRAY['" . join("','", @addresses) . "']) a");
ok(wait_until(sub { ($hostile->requests->{limited} // 0) > 60 }), 'a network with a rate limit is looked at');
my ($before, $start) = ($hostile->requests->{limited}, time);
sleep 5;
my $rate = ($hostile->requests->{limited} - $before) / (time - $start);
cmp_ok($rate, '<', 46, sprintf 'its limit holds for second requests, too (%.1f of 40 a second)', $rate);
cmp_ok($rate, '>', 20, 'and is used');

unlike(slurp_file($node->logfile), qr/ERROR|FATAL|PANIC/, 'no errors in the log');
done_testing();
