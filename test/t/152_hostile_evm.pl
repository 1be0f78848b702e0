# Misbehaving EVM nodes: none of them confirms, detects or expires a request
# wrongly, is asked without pause, delays the healthy network beside them, or
# hides a healthy second node; each shows an error, and works again as soon as it
# is honest.
# Every case is two networks, alone and with a healthy second endpoint, and one
# worker looks at all of them.

use strict;
use warnings;

use Test::More;

use Reconciler::Hostile;
use Reconciler::Test;

my $chain = start_anvil();
my ($hostile, $reason) = Reconciler::Hostile->start('hostile_evm.py', $chain->url);
plan skip_all => $reason unless $hostile;

$hostile->campaign(
	network => 'local',
	asset => 'ETH',
	kind => 'chain_id => 31337',
	server => 'node',
	honest => $chain->url,
	addresses => [ map { $chain->new_address } 1 .. 4 ],
	pay => sub { $chain->send_eth(@$_) for @_ },
	mine => sub { $chain->mine(@_) });
done_testing();
