# Following a node: a cursor that is given up in a reorganisation, a broken table beside a sound one

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Bitcoin;
use Reconciler::BitcoinShop;
use Reconciler::Test;

my ($bitcoin, $reason) = Reconciler::Bitcoin->start(blocks => 160);
plan skip_all => $reason unless $bitcoin;

my $node = new_node(workers => 1);

sub sql { return $node->safe_psql('postgres', $_[0]) }

set_up_bitcoin_shop($node, $bitcoin, confirmations => 3);

my $id = add_bitcoin_request($node, $bitcoin->address('wpkh', 1), 1000);
ok(wait_until(sub { sql("SELECT count(*) FROM reconciler.cursors WHERE height = 160") == 1 }), 'followed');

# Paid in a block that is reorganised away while nobody looks, and the cursor is given up
my ($coin) = $bitcoin->coins($bitcoin->{miner}, 1);
my $conflict = $bitcoin->transaction(inputs => [$coin], fee => 50_000, outputs => [ [ $bitcoin->address('wpkh', 97), 1000 ] ]);
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], outputs => [ [ $bitcoin->address('wpkh', 1), 1000 ] ]));
my ($block) = $bitcoin->mine(1);
ok(wait_until(sub { sql("SELECT count(*) FROM reconciler.payments WHERE block_height = 161") == 1 }), 'paid in a block');
set_workers($node, 0);
$bitcoin->rpc('invalidateblock', $block);
$bitcoin->mine_only($conflict);
sql("SELECT reconciler.restart_cursor('bitcoin', 'regtest')");
$bitcoin->mine(5);
set_workers($node, 1);
my $hash = $bitcoin->rpc('getbestblockhash');
ok(wait_until(sub { sql("SELECT NOT bool_or(look_back_due OR looking_back) FROM reconciler.queue") ne 'f'
	&& sql("SELECT count(*) FROM reconciler.network_state WHERE tip_hash = '$hash'") == 1 }), 'read up to the tip');
isnt(status_of($node, $id), 'confirmed', 'what was reorganised away before restart_cursor is not confirmed');

# A table that its owner may not read
sql("CREATE ROLE app; CREATE TABLE broken (LIKE payment_requests INCLUDING ALL); ALTER TABLE broken OWNER TO app;"
	  . " GRANT USAGE ON SCHEMA public TO app; SELECT reconciler.attach('broken'); REVOKE ALL ON broken FROM app;"
	  . " INSERT INTO broken (chain, network, asset, expected_amount_minor, address_canonical)"
	  . " VALUES ('bitcoin', 'regtest', 'BTC', 1000, '" . $bitcoin->address('wpkh', 3) . "')");
my $sound = add_bitcoin_request($node, $bitcoin->address('wpkh', 4), 1000);
$bitcoin->pay([ $bitcoin->address('wpkh', 4), 1000 ]);
$bitcoin->mine(4);
wait_for_status($node, $sound, 'confirmed', name => 'a broken table does not stop the network');

set_workers($node, 0);
ok(wait_until(sub { sql("SELECT count(*) FROM reconciler.cursor_leases WHERE lease_token IS NOT NULL") == 0 }), 'no lease');
sql("UPDATE reconciler.cursor_leases SET due_at = '-infinity'");
is(sql("SELECT c.token::text = pg_current_xact_id()::text FROM reconciler.claim_cursor('one', (SELECT network_id FROM reconciler.networks WHERE kind = 'bitcoind'), '1 s', '1 s') c"),
	'f', 'the token of a cursor is no transaction id, which comes again after a crash');
done_testing();
