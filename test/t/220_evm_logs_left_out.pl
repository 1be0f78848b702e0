# An EVM endpoint that leaves logs out of its answers without an error, as one does whose index lags behind its blocks: the header's bloom tells, and balances say what came

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Reconciler::Evm;
use Reconciler::Http;
use Reconciler::Test;

my $chain = start_anvil();
my $token = $chain->deploy_token;
my $url = $chain->url;
my $json = JSON::PP->new->utf8->canonical;

# Lets the node answer, and empties its lists of logs
sub without_logs
{
	my ($body) = @_;
	my $question = $json->decode($body);
	my %logs = map { $_->{id} => 1 } grep { $_->{method} eq 'eth_getLogs' } ref $question eq 'ARRAY' ? @$question : ($question);
	return unless %logs;
	my $answer = $json->decode(Reconciler::Http->new($url)->post($body));
	$_->{result} = [] for grep { $logs{ $_->{id} } } ref $answer eq 'ARRAY' ? @$answer : ($answer);
	return [ 200, $json->encode($answer) ];
}

my $proxy = start_proxy($chain, handlers => { no_logs => \&without_logs });
my $node = new_node(workers => 2);
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "']", confirmations => 2,
	tokens => "'logs'", native => "'blocks'", tip_interval => "'100ms'");
$proxy->set(mode => 'no_logs');
my ($paid, $unpaid) = map { Reconciler::Chain::new_address() } 1 .. 2;
my ($paid_id, $unpaid_id) = map { add_request($node, address => $_, token => $token, amount => 1000) } $paid, $unpaid;
wait_for_sql($node, "SELECT height >= 0 FROM reconciler.cursors", 'the chain is followed');
$chain->transfer_token($token, $paid, 1200);
$chain->mine(2);
wait_for_sql($node, "SELECT status = 'confirmed' FROM payment_requests WHERE id::text = '$paid_id'", 'what the logs leave out is found');
is($node->safe_psql('postgres', "SELECT kind, amount, txid IS NULL FROM reconciler.payments WHERE request_id = '$paid_id'"),
	'internal|1200|t', 'by balances, without a transaction');

# Another endpoint that tells all of it, and the chain read again: the same money
$proxy->set(mode => 'pass');
$node->safe_psql('postgres', "SELECT reconciler.restart_cursor('ethereum', 'local')");
$chain->transfer_token($token, $unpaid, 1000);
$chain->mine(2);
wait_for_sql($node, "SELECT status = 'confirmed' FROM payment_requests WHERE id::text = '$unpaid_id'", 'the next one is told by its event');
is($node->safe_psql('postgres', "SELECT sum(amount) FROM reconciler.payments WHERE request_id = '$paid_id' AND gone_at IS NULL"),
	'1200', 'and the first has not come twice');

$node->stop;
done_testing();
