# Misbehaving EVM nodes whose blocks are read for coins: transactions, receipts and headers that contradict one another. None of them
# confirms, detects or expires a request wrongly, is asked without pause, delays the healthy network beside them, or
# hides a healthy second node; each shows an error, and works again as soon as it is honest.

use strict;
use warnings;

use Test::More;

use Reconciler::Hostile;
use Reconciler::Test;

my $chain = start_anvil();
$ENV{HOSTILE_ASSET} = 'native';
my ($hostile, $reason) = Reconciler::Hostile->start('hostile_evm_blocks.py', $chain->url);
plan skip_all => $reason unless $hostile;

$hostile->campaign(
	network => 'local',
	asset => 'ETH',
	kind => "chain_id => 31337, tokens => 'logs', native => 'blocks', tip_interval => '3 s'",
	server => 'node',
	honest => $chain->url,
	addresses => [ map { $chain->new_address } 1 .. 4 ],
	pay => sub { $chain->send_eth(@$_) for @_ },
	mine => sub { $chain->mine(@_) });
done_testing();
