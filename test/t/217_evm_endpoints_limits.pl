# EVM endpoints that give less: no logs, few topics in a question, no traces, no creation code. What came is found all the same

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Reconciler::Evm qw(%code address_word);
use Reconciler::Http;
use Reconciler::Test;

my $chain = start_anvil();
my $token = $chain->deploy_token;
my $disperse = lc $chain->transact({ data => $code{disperse} })->{contractAddress};
my $url = $chain->url;
my $json = JSON::PP->new->utf8->canonical;

# Answers calls that the code refuses with its error, and lets the node answer the others
sub refusing
{
	my ($refuses) = @_;
	return sub {
		my ($body) = @_;
		my $question = $json->decode($body);
		my @calls = ref $question eq 'ARRAY' ? @$question : ($question);
		my %refused = map { my $error = $refuses->($_); $error ? ($_->{id} => $error) : () } @calls;
		return unless %refused;
		my @others = grep { !$refused{ $_->{id} } } @calls;
		my @answers = @others ? @{ $json->decode(Reconciler::Http->new($url)->post($json->encode(\@others))) } : ();
		push @answers, map { { jsonrpc => '2.0', id => $_ + 0, error => $refused{$_} } } keys %refused;
		return [ 200, $json->encode(ref $question eq 'ARRAY' ? \@answers : $answers[0]) ];
	};
}

sub topics
{
	my ($call) = @_;
	my ($most) = sort { $b <=> $a } 0, map { ref $_ eq 'ARRAY' ? scalar @$_ : 1 } @{ $call->{params}[0]{topics} // [] };
	return $most;
}

my $proxy = start_proxy($chain, handlers => {
	no_logs => refusing(sub { $_[0]{method} eq 'eth_getLogs' && { code => -32000, message => 'this method is not for you' } }),
	few_topics => refusing(sub { $_[0]{method} eq 'eth_getLogs' && topics($_[0]) > 4 && { code => -32602, message => 'exceed max topics' } }),
	no_traces => refusing(sub { $_[0]{method} =~ /trace/ && { code => -32601, message => 'the method does not exist' } }),
	no_creation => refusing(sub { $_[0]{method} eq 'eth_call' && !$_[0]{params}[0]{to} && { code => -32000, message => 'no "to"' } }),
});

my $node = new_node(workers => 2);
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "']", confirmations => 2,
	tokens => "'logs'", native => "'blocks'", traces => 'true', tip_interval => "'100ms'");

# Requests of each kind, paid and confirmed while the endpoint is like that
sub all_is_found
{
	my ($mode, $what) = @_;
	my @address = map { Reconciler::Chain::new_address() } 1 .. 12;

	# What a worker has learned of an endpoint goes with the settings that it was asked by
	$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'local', request_timeout => '5 seconds');"
		  . " SELECT reconciler.set_network('ethereum', 'local', request_timeout => '6 seconds')");
	$proxy->set(mode => $mode);
	my @id = map { add_request($node, address => $address[$_], token => $_ < 9 ? $token : undef, amount => 1000) } 0 .. 11;
	$chain->transfer_token($token, $address[$_], 1000) for 0 .. 8;
	$chain->send_eth($address[9], 1000);
	$chain->transact({ to => $disperse, value => '0x7d0', data => '0x' . join '', map { address_word($_) } @address[ 10, 11 ] });
	$chain->mine(2);
	my $ids = join ', ', map { "'$_'" } @id;
	wait_for_sql($node, "SELECT count(*) = 12 FROM payment_requests WHERE status = 'confirmed' AND id::text IN ($ids)", "$what: all is found");
	is($node->safe_psql('postgres', "SELECT count(*), sum(amount) FROM reconciler.payments WHERE gone_at IS NULL AND request_id IN ($ids)"),
		'12|12000', "$what: and nothing twice");
	return $ids;
}

sub kinds
{
	my ($ids) = @_;
	return $node->safe_psql('postgres', "SELECT string_agg(kind || ' ' || n, ', ' ORDER BY kind) FROM (SELECT CASE WHEN txid IS NULL THEN kind"
		  . " || ' without transaction' ELSE kind END AS kind, count(*) AS n FROM reconciler.payments WHERE request_id IN ($ids) GROUP BY 1) AS k");
}

is(kinds(all_is_found('pass', 'an endpoint that has everything')), 'internal 2, native 1, token 9', 'each by what explains it');
is(kinds(all_is_found('few_topics', 'few topics')), 'internal 2, native 1, token 9', 'logs in smaller questions');
is(kinds(all_is_found('no_creation', 'no creation code')), 'internal 2, native 1, token 9', 'balances one by one');
is(kinds(all_is_found('no_traces', 'no traces')), 'internal without transaction 2, native 1, token 9', 'what contracts paid, by balances');
wait_for_sql($node, "SELECT learned ->> 'traces' = 'none' FROM reconciler.stat_endpoints", 'and it is said that there are no traces');
is(kinds(all_is_found('no_logs', 'no logs')), 'internal 2, internal without transaction 9, native 1', 'tokens by balances');
wait_for_sql($node, "SELECT learned ->> 'logs' = 'refused' FROM reconciler.stat_endpoints", 'and it is said that logs are refused');

$node->stop;
done_testing();
