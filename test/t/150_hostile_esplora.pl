# Misbehaving Esplora servers: none of them confirms, detects or expires a
# request wrongly, is asked without pause, delays the healthy network beside
# them, or hides a healthy second server; each shows an error, and works again
# as soon as it is honest.
# Every case is two networks, alone and with a healthy second endpoint, and one
# worker looks at all of them.

use strict;
use warnings;

use Test::More;

use Reconciler::Bitcoin;
use Reconciler::Hostile;

my ($bitcoin, $reason) = Reconciler::Bitcoin->start;
plan skip_all => $reason unless $bitcoin;
(my $esplora, $reason) = $bitcoin->esplora;
plan skip_all => $reason unless $esplora;
(my $hostile, $reason) = Reconciler::Hostile->start('hostile_esplora.py', $esplora->url);
plan skip_all => $reason unless $hostile;

$hostile->campaign(
	network => 'regtest',
	asset => 'BTC',
	kind => "kind => 'esplora'",
	server => 'server',
	honest => $esplora->url,
	detects => 1,
	addresses => [ map { $bitcoin->address('wpkh', $_) } 1 .. 4 ],
	pay => sub { $bitcoin->pay(@_) },
	mine => sub { $bitcoin->mine(@_) });
done_testing();
