# An EVM chain that is followed while it is reorganised, workers are ended and the server crashes, all at random:
# in the end the live payments are what an independent count over all blocks finds, none twice and none missing
#
# TEST_SEED brings a run back, as far as the timing of processes allows; TEST_ROUNDS makes it longer.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

use Reconciler::Evm qw(%code word address_word arrivals);
use Reconciler::Test;

random_seed();
my $rounds = $ENV{TEST_ROUNDS} // 120;

my $chain = start_anvil();
my $owner = ($chain->accounts)[0];
my %token = (plain => $chain->deploy_token, map { $_ => $chain->deploy_token($code{$_}) } qw(quiet fee false));
my %payer = map { $_ => lc $chain->transact({ data => $code{$_} })->{contractAddress} } qw(disperse disperse_token half);
$chain->transfer_token($token{plain}, $payer{disperse_token}, 1_000_000);

my $node = new_node(workers => 3, conf => "restart_after_crash = on\n");
set_up_shop($node, $chain,
	confirmations => 6, tokens => "'logs'", native => "'blocks'", traces => 'true', tip_interval => "'100ms'");
my $start = $chain->height;

# Requests that nothing ends: each of an address of its own, of a token or of the chain's coin
my @requests;
for my $i (0 .. 39)
{
	my $name = (qw(plain quiet fee false native native))[ $i % 6 ];
	my $token = $token{$name};
	my $address = Reconciler::Chain::new_address();
	my $id = add_request($node, address => $address, token => $token, amount => '1000000000000000000000000');
	push @requests, { id => $id, address => $address, token => $token, name => $name,
		key => ($token ? substr $token, 2 : '0' x 40) . substr $address, 2 };
}
my @plain = grep { $_->{name} eq 'plain' } @requests;
my @native = grep { $_->{name} eq 'native' } @requests;
my %swept;

sub any { my (@of) = @_; return $of[ int rand @of ] }
sub amount { return 1 + int rand 1_000_000 }

# A transaction is sent; whether it is mined at once, others decide
sub send_one
{
	my (%transaction) = @_;
	return eval { $chain->rpc('eth_sendTransaction', { from => $owner, gas => '0x100000', %transaction }) };
}

my @pay = (
	sub {
		my $request = any(@requests);
		return send_one(to => $request->{address}, value => Reconciler::Chain::quantity(amount())) unless $request->{token};
		return send_one(to => $request->{token}, data => '0xa9059cbb' . address_word($request->{address}) . word(amount()));
	},
	sub {
		return send_one(to => $payer{disperse}, value => Reconciler::Chain::quantity(amount()),
			data => '0x' . join '', map { address_word(any(@native)->{address}) } 1 .. 1 + rand 5);
	},
	sub {
		return send_one(to => $payer{disperse_token},
			data => '0x' . address_word($token{plain}) . word(1 + int rand 50) . join '', map { address_word(any(@plain)->{address}) } 1 .. 1 + rand 5);
	},
	sub {
		return send_one(to => $payer{half}, value => Reconciler::Chain::quantity(2 * amount()), data => '0x' . address_word(any(@native)->{address}));
	},
	# What came is moved on, perhaps in the block in which it came, perhaps to another request
	sub {
		my $request = any(@plain);
		unless ($swept{ $request->{address} }++)
		{
			$chain->rpc('anvil_impersonateAccount', $request->{address});
		}
		$chain->set_balance($owner, '1000000000000000000000000') if rand() < 0.1;
		send_one(to => $request->{address}, value => '0x38d7ea4c68000');
		return send_one(from => $request->{address}, to => $token{plain},
			data => '0xa9059cbb' . address_word(rand() < 0.5 ? any(@plain)->{address} : $owner) . word(1 + int rand 1000));
	});

# Blocks go; of their transactions some come again, in other blocks, and others never
sub reorganise
{
	my $depth = 1 + int rand 4;
	my @again;

	# While it mines, a reorganisation leaves anvil with blocks that it has no receipts of
	return 0 unless wait_until(sub { hex($chain->rpc('txpool_status')->{pending}) == 0 }, 1);
	for my $height ($chain->height - $depth + 1 .. $chain->height)
	{
		my $block = $chain->rpc('eth_getBlockByNumber', sprintf('0x%x', $height), JSON::PP::false);
		push @again, grep { rand() < 0.7 } @{ $block->{transactions} };
	}
	my @raw = grep { defined } map { eval { $chain->rpc('eth_getRawTransactionByHash', $_) } } @again;
	eval { $chain->rpc('anvil_reorg', $depth, []); 1 } or return 0;
	eval { $chain->rpc('eth_sendRawTransaction', $_) } for @raw;
	return 1;
}

sub end_a_worker
{
	$node->psql('postgres',
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'reconciler worker' ORDER BY random() LIMIT 1");
	return;
}

# A process dies as processes must not: the server starts anew, without its unlogged tables
sub crash
{
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'reconciler worker' LIMIT 1");
	return unless $pid;
	kill 'KILL', $pid;
	# psql may end before it has read the statement
	wait_until(sub { eval { $node->psql('postgres', 'SELECT 1') == 0 } }, 60);
	return;
}

my %done = map { $_ => 0 } qw(payments reorganisations ended);
for my $round (1 .. $rounds)
{
	my $collect = rand() < 0.4;
	$chain->rpc('evm_setAutomine', JSON::PP::false) if $collect;
	$done{payments} += defined any(@pay)->() for 1 .. 1 + rand 4;
	if ($collect)
	{
		$chain->mine(1);
		$chain->rpc('evm_setAutomine', JSON::PP::true);
	}
	$done{reorganisations} += reorganise() if rand() < 0.15;
	$done{ended}++, end_a_worker() if rand() < 0.05;
	crash() if $round == int $rounds / 2;
	Time::HiRes::sleep(rand 0.1);
}
cmp_ok($done{$_}, '>', 0, "$_: $done{$_}") for qw(payments reorganisations);

# Deeper than all that went
$chain->mine(8);
my $tip = $chain->rpc('eth_getBlockByNumber', 'latest', JSON::PP::false)->{hash};
wait_for_sql($node, "SELECT c.hash = '$tip' AND NOT EXISTS (SELECT FROM reconciler.queue WHERE look_back_due OR looking_back)"
	  . ' FROM reconciler.cursors AS c', 'the chain is read up to its tip');

# The chain's side
my $arrived = arrivals($chain, $start + 1, map { $_->{key} } @requests);
my @expected;
for my $request (@requests)
{
	push @expected, map { "$request->{id} $_ $arrived->{$request->{key}}{$_}" } keys %{ $arrived->{ $request->{key} } // {} };
}
my @found = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT request_id || ' ' || block_height || ' ' || sum(amount) FROM reconciler.payments
 WHERE gone_at IS NULL AND NOT unproven GROUP BY request_id, block_height
SQL
is(join("\n", sort @found), join("\n", sort @expected), 'what arrived at each height for each request: ' . @expected . ' sums');

# Each stands in a block of the chain
my %hash = map { split /\|/ } split /\n/, $node->safe_psql('postgres',
	'SELECT DISTINCT block_height, block_hash FROM reconciler.payments WHERE gone_at IS NULL AND NOT unproven');
my @abandoned = grep { $chain->rpc('eth_getBlockByNumber', sprintf('0x%x', $_), JSON::PP::false)->{hash} ne $hash{$_} } keys %hash;
is("@abandoned", '', 'each live payment stands in a block of the chain');
is($node->safe_psql('postgres', <<'SQL'), '0', 'none stands there twice');
SELECT count(*) FROM (SELECT FROM reconciler.payments WHERE gone_at IS NULL GROUP BY txid, kind, ordinal, key HAVING count(*) > 1) AS twice
SQL
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM reconciler.payments WHERE gone_at IS NOT NULL'), '>=', 0, 'what is gone is kept');

$node->stop;
done_testing();
