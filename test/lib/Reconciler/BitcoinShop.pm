# A shop whose requests are in BTC, on regtest, and a node that is followed
package Reconciler::BitcoinShop;

use strict;
use warnings;

use Exporter 'import';
use Test::More;

use Reconciler::Test;

our @EXPORT = qw(set_up_bitcoin_shop add_bitcoin_request use_endpoints wait_read);

# Registers the chain as bitcoin/regtest, followed through that node, and creates payment_requests. Options: those of
# reconciler.add_network, as SQL
sub set_up_bitcoin_shop
{
	my ($node, $bitcoin, %options) = @_;
	my $arguments = join '', map { ", $_ => $options{$_}" } sort keys %options;
	$node->safe_psql('postgres',
		"SELECT reconciler.add_network('bitcoin', 'regtest', ARRAY['" . $bitcoin->url . "'], kind => 'bitcoind'$arguments);"
		  . " SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");
	return;
}

# Options: those of add_request
sub add_bitcoin_request
{
	my ($node, $address, $amount, %options) = @_;
	return add_request($node, chain => 'bitcoin', network => 'regtest', asset => 'BTC', address => $address, amount => $amount, %options);
}

sub use_endpoints
{
	my ($node, @urls) = @_;
	$node->safe_psql('postgres', "SELECT reconciler.set_network('bitcoin', 'regtest', endpoints => ARRAY['" . join("', '", @urls) . "'])");
	return;
}

# Until the tip of that node has been read and settled
sub wait_read
{
	my ($node, $bitcoin, $name) = @_;
	my $hash = $bitcoin->rpc('getbestblockhash');
	return ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT tip_hash FROM reconciler.network_state') eq $hash }),
		$name // "read up to $hash");
}

1;
