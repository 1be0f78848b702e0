# A gateway in front of an honest node mixes answers up: they come one late,
# from a cache, or twice. No request that nobody paid is confirmed by the
# answer to another, the trouble is shown, and all is well once it ends.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Http;
use Reconciler::Test;

my $chain = start_anvil();
my $json = JSON::PP->new;

# Of requests that read balances only: those about the tip are answered well, so that lists go out
sub reads_balances { my ($body) = @_; return $body =~ /eth_call/ }

my %kept;
my $node_of_gateway;
sub ask_node { my ($body) = @_; $node_of_gateway //= Reconciler::Http->new($chain->url); return $node_of_gateway->post($body) }

my %handlers = (
	late => sub {
		my ($body) = @_;
		return unless reads_balances($body);
		my $answer = ask_node($body);
		my $before = $kept{late} // $answer;
		$kept{late} = $answer;
		return [ 200, $before, {} ];
	},
	cached => sub {
		my ($body) = @_;
		return unless reads_balances($body);
		return [ 200, $kept{cached} //= ask_node($body), {} ];
	},
	doubled => sub {
		my ($body) = @_;
		my $answer = ask_node($body);
		my $length = length $answer;
		return [ 200, "${answer}HTTP/1.1 200 Test\r\nContent-Type: application/json\r\nContent-Length: $length\r\n\r\n$answer",
			{ 'content-length' => $length } ];
	});

# Each request is a list of its own; a request for its tip comes before each
my $node = new_node(workers => 1, conf => "reconciler.batch_size = 1\n");
set_up_shop($node, $chain, confirmations => 1);

for my $mode ('late', 'cached', 'doubled')
{
	my $gateway = start_proxy($chain, handlers => \%handlers);
	$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'local', ARRAY['" . $gateway->url . "'])");

	# Paid and unpaid ones by turns, and the first answer that is kept is about one that is paid
	$gateway->set(mode => $mode);
	my (@paid, @unpaid);
	for my $i (1 .. 5)
	{
		my $address = $chain->new_address;
		$chain->set_balance($address, 1000);
		$chain->mine;
		push @paid, add_request($node, address => $address, amount => 1000, expires => '1 day');
		push @unpaid, add_request($node, address => $chain->new_address, amount => 1000, expires => '1 day');
	}
	my $unpaid = join ',', map { "'$_'" } @unpaid;
	my $paid = join ',', map { "'$_'" } @paid;
	ok(wait_until(sub { $gateway->stats->{requests} >= 8 }), "$mode: requests are answered");
	if ($mode ne 'doubled')
	{
		wait_for_sql($node, q{SELECT error LIKE '%not asked for%' FROM reconciler.stat_networks}, "$mode: the trouble is shown");
		my $stats = $gateway->stats;
		cmp_ok($stats->{connections}, '>', 1, "$mode: a connection that brought another's answer isn't used again");
	}
	is($node->safe_psql('postgres', "SELECT count(*) FROM payment_requests WHERE id IN ($unpaid) AND status <> 'pending'"), 0,
		"$mode: nothing that nobody paid has changed");

	$gateway->set(mode => 'pass');
	wait_for_sql($node, "SELECT bool_and(status = 'confirmed') FROM payment_requests WHERE id IN ($paid)", "$mode: what was paid is confirmed once it is over");
	wait_for_sql($node, q{SELECT error IS NULL FROM reconciler.stat_networks}, "$mode: and the trouble is gone");
	is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT status, ',') FROM payment_requests WHERE id IN ($unpaid)"), 'pending',
		"$mode: what nobody paid is pending");
	$gateway->stop;
}

$node->stop;
done_testing();
