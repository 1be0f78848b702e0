# Requests in BTC through an Esplora API, on a real regtest node

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

use Reconciler::Bitcoin;
use Reconciler::Test;

my ($bitcoin, $reason) = Reconciler::Bitcoin->start(blocks => 150);
plan skip_all => $reason unless $bitcoin;
(my $esplora, $reason) = $bitcoin->esplora;
plan skip_all => $reason unless $esplora;

my $node = new_node(workers => 2);
my %id;

$node->safe_psql('postgres', "SELECT reconciler.add_network('bitcoin', 'regtest', ARRAY['" . $esplora->url
	  . "'], kind => 'esplora', confirmations => 6); SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");

sub request
{
	my ($name, $address, $amount, %options) = @_;
	$id{$name} = add_request($node, chain => 'bitcoin', network => 'regtest', asset => 'BTC',
		address => $address, amount => $amount, %options);
	return $address;
}

# seen and settled, as the queue knows them
sub known
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT seen, settled FROM reconciler.queue WHERE request_id = '$id{$name}'");
}

sub wait_known
{
	my ($name, $expected, $text) = @_;
	ok(wait_until(sub { known($name) eq $expected }), $text) or diag(known($name));
	return;
}

# Every kind of address; one transaction with many outputs
my @types = qw(pkh sh-wpkh wpkh wsh tr);
request($_, $bitcoin->address($_, 1), 50_000) for @types;
request('parts', $bitcoin->address('wpkh', 2), 50_000);
request('upper', uc $bitcoin->address('wpkh', 3), 50_000);
request('unpaid', $bitcoin->address('wpkh', 4), 50_000);
$bitcoin->pay((map { [ $bitcoin->address($_, 1), 50_000 ] } @types), [ $bitcoin->address('wpkh', 3), 50_000 ]);
wait_for_status($node, $id{$_}, 'detected', name => "$_ is detected in the mempool") for @types, 'upper';
$bitcoin->pay([ $bitcoin->address('wpkh', 2), 20_000 ]);
wait_known('parts', '20000|0', 'a part is seen');
is(status_of($node, $id{parts}), 'pending', 'and is not enough');
$bitcoin->mine(1);
$bitcoin->pay([ $bitcoin->address('wpkh', 2), 30_000 ]);
wait_for_status($node, $id{parts}, 'detected', name => 'two payments to one address add up');
$bitcoin->mine(4);
wait_known('parts', '50000|0', 'five confirmations of six');
is(status_of($node, $id{wpkh}), 'detected', 'are not enough');
$bitcoin->mine(1);
wait_for_status($node, $id{$_}, 'confirmed', name => "$_ is confirmed at depth 6") for @types, 'upper';
wait_known('parts', '50000|20000', 'the first part is deep, the second is not');
$bitcoin->mine(1);
wait_for_status($node, $id{parts}, 'confirmed');
is(status_of($node, $id{unpaid}), 'pending', 'unpaid stays');
is($node->safe_psql('postgres', "SELECT seen, settled, block_height FROM reconciler.transitions"
	  . " WHERE request_id = '$id{wpkh}' AND to_status = 'confirmed'"), "50000|50000|151", 'the transition says where it was settled');

# Swept at once: what was paid counts
my $sweep = request('swept', $bitcoin->address('wpkh', 5), 70_000);
$bitcoin->pay([ $sweep, 70_000 ]);
$bitcoin->mine(1);
$bitcoin->send_raw($bitcoin->transaction(inputs => [ $bitcoin->coins($sweep) ], key => 5, sweep => 1,
		outputs => [ [ $bitcoin->address('wpkh', 99), 50_000 ] ]));
$bitcoin->mine(5);
wait_for_status($node, $id{swept}, 'confirmed', name => 'an address that was swept counts as paid');

# Replaced: what was seen goes
my $coin = ($bitcoin->coins($bitcoin->{miner}, 1))[0];
my $replaced = request('replaced', $bitcoin->address('wpkh', 6), 40_000, expires => '6 seconds');
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], outputs => [ [ $replaced, 40_000 ] ]));
wait_for_status($node, $id{replaced}, 'detected');
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], fee => 100_000, outputs => [ [ $bitcoin->address('wpkh', 98), 40_000 ] ]));
wait_known('replaced', '0|0', 'a replaced transaction does not count');
wait_for_status($node, $id{replaced}, 'expired');
is($node->safe_psql('postgres', "SELECT reason FROM reconciler.transitions WHERE request_id = '$id{replaced}' AND to_status = 'expired'"),
	'vanished', 'and says why');

# Reorganised: dropped by a conflicting transaction in the other branch
my $dropped = request('dropped', $bitcoin->address('wpkh', 7), 40_000);
my $moved = request('moved', $bitcoin->address('wpkh', 8), 40_000);
($coin) = $bitcoin->coins($bitcoin->{miner}, 1);
my $conflict = $bitcoin->transaction(inputs => [$coin], fee => 50_000, outputs => [ [ $bitcoin->address('wpkh', 97), 40_000 ] ]);
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], outputs => [ [ $dropped, 40_000 ] ]));
my ($block) = $bitcoin->mine(1);
my $other = $bitcoin->pay([ $moved, 40_000 ]);
$bitcoin->mine(1);
wait_known('dropped', '40000|0', 'seen in a block');
wait_known('moved', '40000|0', 'seen in the next');
$esplora->control(frozen => JSON::PP::true);
$bitcoin->rpc('invalidateblock', $block);
$bitcoin->mine_only($conflict);
$bitcoin->mine_only();
$bitcoin->mine(1);
$esplora->control(frozen => JSON::PP::false);
wait_known('dropped', '0|0', 'a reorganisation drops it');
wait_known('moved', '40000|0', 'and moves the other');
$bitcoin->mine(5);
wait_for_status($node, $id{moved}, 'confirmed');
wait_for_status($node, $id{dropped}, 'pending', name => 'dropped is pending again');

# Addresses that can't be
request('checksum', 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt08p', 1000, expires => '1 hour');
request('mainnet', '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa', 1000, expires => '1 hour');
request('case', 'bcrt1qW508d6qejxtdg4y5r3zarvary0c5xw7kygt080', 1000, expires => '1 hour');
is($node->safe_psql('postgres', "SELECT invalid FROM reconciler.queue WHERE request_id = '$id{$_->[0]}'"),
	"address_canonical: the address $_->[1]", "$_->[0] is marked")
  for [ checksum => 'has a wrong checksum' ], [ mainnet => 'belongs to another Bitcoin network' ],
  [ case => 'mixes upper and lower case' ];

# An endpoint that fails says nothing: not "unpaid"
$esplora->control(fail => '500');
request('blind', $bitcoin->address('wpkh', 9), 1000, expires => '1 second');
ok(wait_until(sub { $node->safe_psql('postgres', "SELECT error LIKE '%HTTP 500%' FROM reconciler.network_state") eq 't' }), 'the failure is known');
my $blind_looks = "SELECT s.error_at > r.expires_at FROM reconciler.network_state s, payment_requests r WHERE r.id::text = '$id{blind}'";
ok(wait_until(sub { $node->safe_psql('postgres', $blind_looks) eq 't' }), 'also after the request has expired');
is(status_of($node, $id{blind}), 'pending', 'nobody expires unseen');
$bitcoin->pay([ $bitcoin->address('wpkh', 9), 1000 ]);
for my $how ('html', 'truncated', 'empty', '429')
{
	my $before = $esplora->stats->{requests};
	$esplora->control(fail => $how);
	$node->safe_psql('postgres', "SELECT reconciler.set_network('bitcoin', 'regtest', expiry_grace => '1 hour')");
	$node->safe_psql('postgres', "UPDATE reconciler.batches SET due_at = '-infinity'");
	ok(wait_until(sub { $esplora->stats->{requests} > $before }), "asked again, and the answer is $how");
	is(status_of($node, $id{blind}), 'pending', "nobody expires by an answer that is $how");
}
$esplora->control(fail => undef);
wait_for_status($node, $id{blind}, 'detected', name => 'late, but not lost');

# Another chain behind the endpoint
$esplora->control(genesis => '00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6');
$node->safe_psql('postgres', "SELECT reconciler.set_network('bitcoin', 'regtest', poll_interval => '150ms')");
ok(wait_until(sub { $node->safe_psql('postgres', "SELECT error LIKE '%another chain%' FROM reconciler.network_state") eq 't' }),
	'an endpoint of another chain is not believed');
$esplora->control(genesis => undef);
ok(wait_until(sub { $node->safe_psql('postgres', "SELECT error IS NULL FROM reconciler.network_state") eq 't' }), 'until it is of the right one');

# A rate limit of the network, shared by both workers: 60 requests a second
$node->safe_psql('postgres', "DELETE FROM payment_requests WHERE status = 'pending'");
$node->safe_psql('postgres', "INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)"
	  . " SELECT 'bitcoin', 'regtest', 'BTC', 1000, a FROM unnest(ARRAY['" . join("','", $bitcoin->addresses(100)) . "']) a");
$node->safe_psql('postgres', "SELECT reconciler.set_network('bitcoin', 'regtest', poll_interval => '150ms', rate_limit => 60, batch_size => 25)");

# Requests a second that reach the endpoint
sub measure
{
	my ($seconds) = @_;
	my ($before, $start) = ($esplora->stats->{requests}, Time::HiRes::time());
	Time::HiRes::sleep($seconds);
	return ($esplora->stats->{requests} - $before) / (Time::HiRes::time() - $start);
}

ok(wait_until(sub { measure(1) < 80 }), 'the limit takes effect');
my $rate = measure(3);
cmp_ok($rate, '<', 80, sprintf 'requests keep to the limit of 60 a second (%.1f)', $rate);
cmp_ok($rate, '>', 20, 'and use it');

unlike(slurp_file($node->logfile), qr/ERROR|FATAL|PANIC/, 'no errors in the log');
done_testing();
