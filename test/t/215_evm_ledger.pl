# An EVM chain that is followed: what arrived stands in payments, whoever paid it and however, and nothing else does
#
# Tokens by their events (tokens => 'logs'), the chain's own coin by whole blocks and traces (native => 'blocks').
# In the end every payment is compared with an independent count over all blocks, by receipts and traces.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Evm qw(%code word address_word arrivals);
use Reconciler::Test;

# Its first blocks are of yesterday
my $chain = start_anvil(args => [ '--timestamp', time() - 86400 ]);
my %token = (plain => $chain->deploy_token, map { $_ => $chain->deploy_token($code{$_}) } qw(quiet fee false));
my %payer = map { $_ => lc $chain->transact({ data => $code{$_} })->{contractAddress} } qw(disperse disperse_token half);
my $owner = ($chain->accounts)[0];
my $node = new_node(workers => 3);
set_up_shop($node, $chain,
	confirmations => 3, tokens => "'logs'", native => "'blocks'", traces => 'true', tip_interval => "'100ms'");

my (%address, %id, %key);

# A request of that name; token: a name, too
sub request
{
	my ($name, %options) = @_;
	$address{$name} //= Reconciler::Chain::new_address();
	my $token = $options{token} ? $token{ $options{token} } : undef;
	$id{$name} = add_request($node, %options, address => $address{$name}, token => $token, expires => $options{expires} // '1 hour');
	$key{$name} = ($token ? substr $token, 2 : '0' x 40) . substr $address{$name}, 2;
	return;
}

# The live payments of a request: "kind amount sender", in their order in the chain
sub payments
{
	my ($name) = @_;
	return $node->safe_psql('postgres', <<"SQL");
SELECT coalesce(string_agg(kind || ' ' || amount || ' ' || coalesce(sender, '-'), ', ' ORDER BY block_height, ordinal), '')
  FROM reconciler.payments WHERE request_id = '$id{$name}' AND gone_at IS NULL AND NOT unproven
SQL
}

sub transfer { my ($token, $to, $amount, %options) = @_; return $chain->transfer_token($token{$token}, $to, $amount, %options) }

# An address that can send by itself, with some coins for fees
sub act_as
{
	my ($address) = @_;
	$chain->rpc('anvil_impersonateAccount', $address);
	$chain->set_balance($address, '1000000000000000000');
	return;
}

my $nobody = Reconciler::Chain::new_address();

# An address that was used before, with a balance that is nobody's payment
$address{reused} = Reconciler::Chain::new_address();
transfer('plain', $address{reused}, 777);
$chain->mine(2);
$chain->rpc('evm_setTime', time());
$chain->mine(1);

request('token', token => 'plain', amount => 1000);
request('quiet', token => 'quiet', amount => 1000);
request('fee', token => 'fee', amount => 990);
request('false', token => 'false', amount => 1000);
request('swept', token => 'plain', amount => 1000);
request('parts', token => 'plain', amount => 1000);
request('reused', token => 'plain', amount => 777);
request('native', amount => 5000);
request('exchange', amount => 5000);
request('reverted', amount => 5000);
request('over', amount => 5000);
wait_for_sql($node, "SELECT height >= @{[ $chain->height ]} FROM reconciler.cursors", 'the chain is read up to its tip');

transfer('plain', $address{token}, 1000);
transfer('quiet', $address{quiet}, 1000);
transfer('fee', $address{fee}, 1000);
transfer('false', $address{false}, 1000);

# Another contract says that it was paid; one pays in parts; one is swept as soon as it is paid
transfer('false', $address{token}, 1000);
transfer('plain', $address{parts}, 400);
act_as($address{swept});
$chain->rpc('evm_setAutomine', JSON::PP::false);
my $first = transfer('plain', $address{swept}, 1000, mine => 0);
my $second = $chain->rpc('eth_sendTransaction',
	{ from => $address{swept}, to => $token{plain}, gas => '0x30000', data => '0xa9059cbb' . address_word($nobody) . word(1000) });
$chain->mine(1);
$chain->rpc('evm_setAutomine', JSON::PP::true);
is($chain->receipt($first)->{blockHash}, $chain->receipt($second)->{blockHash}, 'money comes and goes in one block');

# The chain's own coin: by a transaction, by a contract, and in a call that fails
$chain->send_eth($address{native}, 5000);
$chain->transact({ to => $payer{disperse}, value => '0x2710', data => '0x' . join '', map { address_word($_) } $address{exchange}, $nobody });
$chain->transact({ to => $payer{half}, value => '0x1388', data => '0x' . address_word($address{reverted}), gas => '0x100000' });
$chain->send_eth($address{over}, 7000);
$chain->mine(3);

wait_for_status($node, $id{$_}, 'confirmed') for qw(token quiet fee swept native exchange over);
is(payments('token'), "token 1000 $owner", 'a token payment, and who paid it');
is(payments('quiet'), "token 1000 $owner", 'a token whose transfer returns nothing');
is(payments('fee'), "token 990 $owner", 'of a token that takes a fee, what arrived');
is(payments('false'), '', 'nothing where a token says what is not so');
is(payments('swept'), "token 1000 $owner", 'what was moved on in the same block');
is(payments('native'), "native 5000 $owner", "a transaction's coins");
is(payments('exchange'), "internal 5000 $payer{disperse}", 'what a contract pays');
is(payments('over'), "native 7000 $owner", 'an overpayment is there in full');
is(payments('reverted'), "internal 2500 $payer{half}", 'the part of a payment that did not fail');
is(status_of($node, $id{$_}), 'pending', "$_: that is not enough") for qw(false reverted reused parts);
is(payments('reused'), '', 'an old balance is nobody\'s payment');

transfer('plain', $address{parts}, 600);
$chain->mine(3);
wait_for_status($node, $id{parts}, 'confirmed', name => 'parts that sum up');
is(payments('parts'), "token 400 $owner, token 600 $owner", 'both are told');
transfer('plain', $address{reused}, 777);
$chain->mine(3);
wait_for_status($node, $id{reused}, 'confirmed', name => 'a payment to a used address');

# Made after the request, while it was not in the table yet
my $height = $chain->height;
$address{before} = Reconciler::Chain::new_address();
transfer('plain', $address{before}, 1000);
$chain->mine(4);
wait_for_sql($node, "SELECT height >= @{[ $chain->height ]} FROM reconciler.cursors", 'the payment has been read, and concerned nobody');
request('before', token => 'plain', amount => 1000);
wait_for_status($node, $id{before}, 'confirmed', name => 'a payment that came before its request was written');
is(payments('before'), "token 1000 $owner", 'it is found once');

# Five hundred in one transaction
transfer('plain', $payer{disperse_token}, 500_000);
my @many = map { Reconciler::Chain::new_address() } 1 .. 500;
my $values = join ', ', map { "('$_')" } @many;
$node->safe_psql('postgres', <<"SQL");
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, token_contract, expires_at)
SELECT 'ethereum', 'local', 'TST', 1000, a, '$token{plain}', now() + interval '1 hour' FROM (VALUES $values) AS v (a)
SQL
my $receipt = $chain->transact({ to => $payer{disperse_token}, gas => '0x1c00000',
	data => '0x' . address_word($token{plain}) . word(1000) . join '', map { address_word($_) } @many });
is(hex $receipt->{status}, 1, 'five hundred are paid in one transaction');
$chain->mine(3);
wait_for_sql($node, "SELECT count(*) = 500 FROM payment_requests WHERE status = 'confirmed' AND address_canonical IN ("
	  . join(',', map { "'$_'" } @many) . ')', 'all are confirmed');
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT ordinal), sum(amount) FROM reconciler.payments WHERE txid = '$receipt->{transactionHash}'"),
	'500|500|500000', 'each by a payment of its own');

# A reorganisation takes a payment away, and a second one is confirmed
request('undone', token => 'plain', amount => 1000);
transfer('plain', $address{undone}, 1000);
wait_for_status($node, $id{undone}, 'detected');
$chain->rpc('anvil_reorg', 1, []);
$chain->mine(1);
wait_for_sql($node, "SELECT gone_at IS NOT NULL FROM reconciler.payments WHERE request_id = '$id{undone}'", 'a reorganisation undoes a payment');
is(payments('undone'), '', 'it counts no more');
transfer('plain', $address{undone}, 1001);
$chain->mine(3);
wait_for_status($node, $id{undone}, 'confirmed', name => 'the second one is confirmed');
is(payments('undone'), "token 1001 $owner", 'it alone counts');

# What comes after the end is late: a fact, and no change of a status
request('late', token => 'plain', amount => 1000, expires => '1 second');
wait_for_status($node, $id{late}, 'expired');
is($node->safe_psql('postgres', "SELECT reconciler.follow_among(network_id, '[\"$key{late}\"]') FROM reconciler.cursors"), $key{late},
	'its key is among those that blocks are read for');
$chain->rpc('evm_increaseTime', 60);
transfer('plain', $address{late}, 1000);
$chain->mine(3);
wait_for_sql($node, "SELECT late FROM reconciler.payments WHERE request_id = '$id{late}'", 'what comes after the end is late');
is(status_of($node, $id{late}), 'expired', 'and changes nothing');

# All blocks, counted again by receipts and traces
my $arrived = arrivals($chain, $height - 30 > 0 ? $height - 30 : 0, values %key);
for my $name (sort keys %id)
{
	my $expected = Math::BigInt->new(0);
	$expected += $_ for values %{ $arrived->{ $key{$name} } // {} };
	is($node->safe_psql('postgres', "SELECT coalesce(sum(amount), 0) FROM reconciler.payments WHERE request_id = '$id{$name}' AND gone_at IS NULL"),
		$expected - ($name eq 'reused' ? 777 : 0), "$name: as much as the chain has");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT txid, ordinal, kind FROM reconciler.payments GROUP BY 1, 2, 3 HAVING count(*) > 1) AS twice'),
	0, 'no credit twice');
is(join("\n", log_lines($node, qr/ (?:ERROR|FATAL|PANIC): /)), '', 'no error in the log');

$node->stop;
done_testing();
