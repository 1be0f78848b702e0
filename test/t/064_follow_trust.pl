# Which chain a follower believes: two nodes on two forks, a balancer that mixes their answers, calls
# that take longer than the lease, endpoints that hang or contradict themselves. Proves that a chain with
# less work undoes nothing and confirms nothing, that a look back counts no block that does not join the
# cursor's chain, that two workers do not take a cursor from each other while its call is under way, and
# that a step ends with a failure that is recorded.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Bitcoin;
use Reconciler::BitcoinShop;
use Reconciler::Test;

my ($winner, $reason) = Reconciler::Bitcoin->start(blocks => 130);
plan skip_all => $reason unless $winner;
my ($loser) = Reconciler::Bitcoin->start(blocks => 0);
my $json = JSON::PP->new->utf8->allow_nonref->allow_bignum;

# Gives a node the blocks of the other
sub copy_blocks
{
	my ($from, $to) = @_;
	for my $height ($to->rpc('getblockcount') + 1 .. $from->rpc('getblockcount'))
	{
		$to->rpc('submitblock', $from->rpc('getblock', $from->rpc('getblockhash', $height), 0));
	}
	return;
}

# A proxy before both nodes: $choose->(method, params) says which one answers a call; undef: null is the answer
sub start_balancer
{
	my ($choose) = @_;
	my $answer = sub {
		my ($call) = @_;
		my $node = $choose->($call->{method}, @{ $call->{params} });
		my $result = $node ? eval { $node->rpc($call->{method}, @{ $call->{params} }) } : undef;
		my $error = $node && $@ ? { code => -5, message => 'Block not found' } : undef;
		return { jsonrpc => '2.0', id => $call->{id}, result => $result, error => $error };
	};
	return start_proxy(undef, mode => 'balance', handlers => { balance => sub {
		my $calls = $json->decode($_[0]);
		return [ 200, $json->encode(ref $calls eq 'ARRAY' ? [ map { $answer->($_) } @$calls ] : $answer->($calls)) ];
	} });
}

copy_blocks($winner, $loser);
my $node = new_node(workers => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }

set_up_bitcoin_shop($node, $winner, confirmations => 1);

# Two forks: one of three blocks, one of a single block, which holds a payment
my $forged = add_bitcoin_request($node, $winner->address('wpkh', 1), 1000);
$loser->pay([ $winner->address('wpkh', 1), 1000 ]);
$loser->mine(1);
$winner->mine(3);
wait_read($node, $winner, 'the longer fork is read');
use_endpoints($node, $loser->url);
ok(wait_until(sub { sql("SELECT error LIKE '%less work%' FROM reconciler.network_state") eq 't' }), 'a node with less work has failed');
is(sql('SELECT height, hash FROM reconciler.cursors'), '133|' . $winner->rpc('getbestblockhash'), 'nothing is undone on its word');
is(status_of($node, $forged), 'pending', 'what was paid there alone is not confirmed');

# A balancer that hands out the lost fork's block by its height
my $own = $loser->rpc('getblockhash', 131);
my $mixing = start_balancer(sub {
	my ($method, $first) = @_;
	return $loser if $method eq 'getblockhash' && $first == 131;
	return $loser if defined $first && $first eq $own;
	return $winner;
});
use_endpoints($node, $mixing->url);
my $late = sql("INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, created_at) VALUES"
	  . " ('bitcoin', 'regtest', 'BTC', 1000, '" . $winner->address('wpkh', 1) . "', now() - interval '1 day') RETURNING id");
ok(wait_until(sub { sql("SELECT NOT bool_or(look_back_due OR looking_back) FROM reconciler.queue") eq 't' }), 'it was looked back for them');
wait_read($node, $winner, 'and the tip is settled');
is(sql('SELECT count(*) FROM reconciler.payments'), 0, 'a block that does not join the chain holds no payment');
is(status_of($node, $late), 'pending', 'and confirms nothing');

# The fork that had lost wins
$loser->mine(3);
use_endpoints($node, $loser->url);
wait_for_status($node, $forged, 'confirmed', name => 'with more work the other fork is followed');
is(status_of($node, $late), 'pending', 'its payment pays one request, not two');
use_endpoints($node, $winner->url);
ok(wait_until(sub { sql("SELECT error LIKE '%less work%' FROM reconciler.network_state") eq 't' }), 'now the first one has less');

# Answers that never fit together: no spinning, a failure that is recorded
my $null = start_balancer(sub { return $_[0] eq 'getbestblockhash' ? undef : $loser });
use_endpoints($node, $null->url);
ok(wait_until(sub { sql("SELECT error LIKE '%contradict%' FROM reconciler.network_state") eq 't' }), 'contradictions are a failure');
my $before = $null->stats->{requests};
my $until = time + 3;
wait_until(sub { time >= $until });
cmp_ok($null->stats->{requests} - $before, '<', 150, 'and are not asked for again and again');

# Two endpoints that hang: each is asked once
my @hanging = map { start_proxy($loser->url, mode => 'hang') } 1 .. 2;
sql("SELECT reconciler.set_network('bitcoin', 'regtest', request_timeout => '300 ms')");
use_endpoints($node, map { $_->url } @hanging);
ok(wait_until(sub { sql("SELECT error LIKE '%:$hanging[0]{port}%:$hanging[1]{port}%' FROM reconciler.network_state") eq 't' }),
	'the step ends, and the failure names both');

# Calls that take longer than the lease, two workers
sql("SELECT reconciler.set_network('bitcoin', 'regtest', request_timeout => '10 s', lease_duration => '1 s')");
my $slow = start_balancer(sub { sleep 3 if $_[0] eq 'getrawmempool'; return $loser });
set_workers($node, 2);
use_endpoints($node, $slow->url);
my $patient = add_bitcoin_request($node, $loser->address('wpkh', 7), 1000);
$loser->pay([ $loser->address('wpkh', 7), 1000 ]);
$loser->mine(1);
wait_for_status($node, $patient, 'confirmed', name => 'two workers, and a node slower than the lease');
is(scalar log_lines($node, qr/lease lost/), 0, 'no lease was lost');
is(sql("SELECT count(*) FROM reconciler.batches"), 0, 'a cursor is no batch');

unlike(slurp_file($node->logfile), qr/ERROR|FATAL|PANIC/, 'no errors in the log');
done_testing();
