# Requests in BTC by following a node's blocks and mempool (kind bitcoind)

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Bitcoin;
use Reconciler::BitcoinShop;
use Reconciler::Test;

my ($bitcoin, $reason) = Reconciler::Bitcoin->start(blocks => 160);
plan skip_all => $reason unless $bitcoin;

my $node = new_node(workers => 2, conf => "reconciler.log_cycles = all\n");
my %id;

set_up_bitcoin_shop($node, $bitcoin, confirmations => 6);

sub request
{
	my ($name, $address, $amount, %options) = @_;
	$id{$name} = add_bitcoin_request($node, $address, $amount, %options);
	return $address;
}

sub sql { return $node->safe_psql('postgres', $_[0]) }

# seen and settled, as the queue knows them
sub known
{
	my ($name) = @_;
	return sql("SELECT seen, settled FROM reconciler.queue WHERE request_id = '$id{$name}'");
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
my $txid = $bitcoin->pay((map { [ $bitcoin->address($_, 1), 50_000 ] } @types), [ $bitcoin->address('wpkh', 3), 50_000 ]);
wait_for_status($node, $id{$_}, 'detected', name => "$_ is detected in the mempool") for @types, 'upper';
is(sql("SELECT count(*), count(DISTINCT ordinal), count(block_height), min(amount) FROM reconciler.payments WHERE txid = '$txid'"),
	'6|6|0|50000', 'its outputs stand in payments');
$bitcoin->pay([ $bitcoin->address('wpkh', 2), 20_000 ]);
wait_known('parts', '20000|0', 'a part is seen');
is(status_of($node, $id{parts}), 'pending', 'and is not enough');
$bitcoin->mine(1);
$bitcoin->pay([ $bitcoin->address('wpkh', 2), 30_000 ]);
wait_for_status($node, $id{parts}, 'detected', name => 'two payments to one address add up');
$bitcoin->mine(4);
wait_read($node, $bitcoin);
is(known('parts'), '50000|0', 'five confirmations of six');
is(status_of($node, $id{wpkh}), 'detected', 'are not enough');
$bitcoin->mine(1);
wait_for_status($node, $id{$_}, 'confirmed', name => "$_ is confirmed at depth 6") for @types, 'upper';
wait_known('parts', '50000|20000', 'the first part is deep, the second is not');
$bitcoin->mine(1);
wait_for_status($node, $id{parts}, 'confirmed');
is(status_of($node, $id{unpaid}), 'pending', 'unpaid stays');
is(sql("SELECT seen, settled, block_height, block_hash FROM reconciler.transitions WHERE request_id = '$id{wpkh}' AND to_status = 'confirmed'"),
	'50000|50000|161|' . $bitcoin->rpc('getblockhash', 161), 'the transition says where it was settled');

# Paid before the request came: in a block, and in the mempool
my $early = $bitcoin->address('wpkh', 10);
my $earlier = $bitcoin->address('wpkh', 11);
$bitcoin->pay([ $earlier, 10_000 ]);
$bitcoin->mine(20);
wait_read($node, $bitcoin);
my $reads = scalar log_lines($node, qr/transactions=[1-9]/);
$bitcoin->pay([ $early, 10_000 ]);
ok(wait_until(sub { scalar log_lines($node, qr/transactions=[1-9]/) > $reads }), 'the mempool is read');
request('early', $early, 10_000);
request('earlier', $earlier, 10_000);
wait_for_status($node, $id{early}, 'detected', name => 'a payment that was in the mempool before its request');
wait_for_status($node, $id{earlier}, 'confirmed', name => 'a payment that was mined before its request');

# Swept at once, in one block
my $sweep = request('swept', $bitcoin->address('wpkh', 5), 70_000);
my $raw = $bitcoin->transaction(outputs => [ [ $sweep, 70_000 ] ]);
my $paid = $bitcoin->rpc('decoderawtransaction', $raw);
my ($out) = grep { ($_->{scriptPubKey}{address} // '') eq $sweep } @{ $paid->{vout} };
$bitcoin->send_raw($raw);
$bitcoin->send_raw($bitcoin->transaction(inputs => [ { txid => $paid->{txid}, vout => $out->{n}, value => 70_000 } ], key => 5, sweep => 1,
		outputs => [ [ $bitcoin->address('wpkh', 99), 50_000 ] ]));
$bitcoin->mine(6);
wait_for_status($node, $id{swept}, 'confirmed', name => 'an address that was swept counts as paid');

# Replaced: what was seen goes
my ($coin) = $bitcoin->coins($bitcoin->{miner}, 1);
my $replaced = request('replaced', $bitcoin->address('wpkh', 6), 40_000, expires => '5 seconds');
$txid = $bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], outputs => [ [ $replaced, 40_000 ] ]));
wait_for_status($node, $id{replaced}, 'detected');
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], fee => 100_000, outputs => [ [ $bitcoin->address('wpkh', 98), 40_000 ] ]));
wait_known('replaced', '0|0', 'a replaced transaction does not count');
is(sql("SELECT count(*) FROM reconciler.payments WHERE txid = '$txid' AND gone_at IS NOT NULL"), 1, 'its payment is gone, and kept');
wait_for_status($node, $id{replaced}, 'expired');
is(sql("SELECT reason FROM reconciler.transitions WHERE request_id = '$id{replaced}' AND to_status = 'expired'"), 'vanished', 'and says why');

# Taken for gone by somebody who asked a node that doesn't have it: found again
my $revived = request('revived', $bitcoin->address('wpkh', 77), 40_000);
$txid = $bitcoin->pay([ $revived, 40_000 ]);
wait_for_status($node, $id{revived}, 'detected');
sql("UPDATE reconciler.payments SET gone_at = now() WHERE txid = '$txid'");
ok(wait_until(sub { sql("SELECT count(*) FROM reconciler.payments WHERE txid = '$txid' AND gone_at IS NULL") == 1 }),
	'a payment that is in the mempool does not stay gone');

# Reorganised: one is dropped by a conflict in the other branch, one moves to another block
my $dropped = request('dropped', $bitcoin->address('wpkh', 7), 40_000);
my $moved = request('moved', $bitcoin->address('wpkh', 8), 40_000);
($coin) = $bitcoin->coins($bitcoin->{miner}, 1);
my $conflict = $bitcoin->transaction(inputs => [$coin], fee => 50_000, outputs => [ [ $bitcoin->address('wpkh', 97), 40_000 ] ]);
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], outputs => [ [ $dropped, 40_000 ] ]));
my ($block) = $bitcoin->mine(1);
$bitcoin->pay([ $moved, 40_000 ]);
$bitcoin->mine(1);
wait_read($node, $bitcoin);
is(known('dropped'), '40000|0', 'seen in a block');
is(known('moved'), '40000|0', 'seen in the next');
my $height = sql("SELECT max(block_height) FROM reconciler.payments WHERE request_id = '$id{moved}'");
$bitcoin->rpc('invalidateblock', $block);
$bitcoin->mine_only($conflict);
$bitcoin->mine_only();
$bitcoin->mine(1);
wait_read($node, $bitcoin);
is(known('dropped'), '0|0', 'a reorganisation drops it');
is(known('moved'), '40000|0', 'and moves the other');
is(sql("SELECT max(block_height) - $height FROM reconciler.payments WHERE request_id = '$id{moved}'"), 1, 'to another block');
is(sql("SELECT count(*) FROM reconciler.payments WHERE request_id = '$id{dropped}' AND block_height IS NULL AND gone_at IS NOT NULL"), 1,
	'what was dropped is gone');
ok(log_lines($node, qr/chain reorganised/) > 0, 'the log says so');
$bitcoin->mine(5);
wait_for_status($node, $id{moved}, 'confirmed');
wait_for_status($node, $id{dropped}, 'pending', name => 'dropped is pending again');

# Expiry
request('late', $bitcoin->address('wpkh', 12), 1000, expires => '1 second');
request('under', $bitcoin->address('wpkh', 13), 1000, expires => '4 seconds');
$bitcoin->pay([ $bitcoin->address('wpkh', 13), 999 ]);
wait_for_status($node, $id{late}, 'expired');
wait_for_status($node, $id{under}, 'expired');
is(sql("SELECT string_agg(reason, ',' ORDER BY reason) FROM reconciler.transitions WHERE request_id IN ('$id{late}', '$id{under}')"),
	'underpaid,unpaid', 'with the reasons');

# Addresses that can't be
request('checksum', 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt08p', 1000, expires => '1 hour');
is(sql("SELECT invalid FROM reconciler.queue WHERE request_id = '$id{checksum}'"), 'address_canonical: the address has a wrong checksum', 'a bad address is marked');

# 200 addresses in one block, 2,000 open requests
my @addresses = $bitcoin->addresses(2000);
sql("INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)"
	  . " SELECT 'bitcoin', 'regtest', 'BTC', 1000, a FROM unnest(ARRAY['" . join("','", @addresses) . "']) a");
$bitcoin->pay(map { [ $_, 1000 ] } @addresses[ 0 .. 199 ]);
$bitcoin->mine(6);
ok(wait_until(sub { sql("SELECT count(*) FROM payment_requests WHERE status = 'confirmed' AND expected_amount_minor = 1000") == 200 }),
	'200 of 2,000 requests are confirmed');
is(sql("SELECT count(*) FROM payment_requests WHERE status = 'pending' AND expected_amount_minor = 1000"), 1801, 'the others wait');

# The node goes away: nobody expires unseen; it comes back on another port, with another cookie
request('blind', $bitcoin->address('wpkh', 9), 1000, expires => '1 second');
request('away', $bitcoin->address('wpkh', 14), 1000, expires => '1 hour');
$bitcoin->stop;
ok(wait_until(sub { sql("SELECT error IS NOT NULL FROM reconciler.network_state") eq 't' }), 'a dead node is noticed');
my $blind_looks = "SELECT s.error_at > r.expires_at FROM reconciler.network_state s, payment_requests r WHERE r.id::text = '$id{blind}'";
ok(wait_until(sub { sql($blind_looks) eq 't' }), 'also after the request has expired');
is(status_of($node, $id{blind}), 'pending', 'nobody expires unseen');
ok($bitcoin->launch, 'the node is back');
$bitcoin->pay([ $bitcoin->address('wpkh', 9), 1000 ], [ $bitcoin->address('wpkh', 14), 1000 ]);
my $cookie = $bitcoin->cookie_file;
chmod 0644, $cookie;
sql("SELECT reconciler.set_network('bitcoin', 'regtest', endpoints => ARRAY['http://127.0.0.1:$bitcoin->{port}/?cookie=$cookie'])");
wait_for_status($node, $id{away}, 'detected', name => 'by cookie file: noticed late, and in time');
wait_for_status($node, $id{blind}, 'expired', name => 'paid after its time is late, though nobody had looked before');
ok(wait_until(sub { sql("SELECT bool_and(late) FROM reconciler.payments WHERE request_id = '$id{blind}'") eq 't' }), 'and not lost');

# Crash: what is cached is made again
$node->stop('immediate');
$node->start;
$bitcoin->mine(6);
wait_for_status($node, $id{away}, 'confirmed', name => 'after a crash all goes on');
is(status_of($node, $id{blind}), 'expired', 'what ended stays as it is');

# Another chain
sql("SELECT reconciler.add_network('bitcoin', 'signet', ARRAY['" . $bitcoin->url . "'], kind => 'bitcoind')");
ok(wait_until(sub { sql("SELECT count(*) FROM reconciler.network_state WHERE error LIKE '%another chain%'") == 1 }), 'a node of another chain is not believed');

my $log = slurp_file($node->logfile);
unlike($log, qr/ERROR|FATAL|PANIC/, 'no errors in the log');
unlike($log, qr/$bitcoin->{password}/, 'and no password');
done_testing();
