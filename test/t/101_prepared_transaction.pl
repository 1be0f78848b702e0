# A prepared transaction survives a crash, what it wrote to the unlogged queue
# doesn't. It changed the address and the amount of a request; the queue was
# built from the row as it was before; then the transaction is committed. Money
# at the old address is not for the request any more.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $chain = start_anvil();
my $node = new_node(conf => "max_prepared_transactions = 5\n");
set_up_shop($node, $chain, confirmations => 1);
my ($old, $new, $other) = map { Reconciler::Chain::new_address() } 1 .. 3;
my $moved = add_request($node, address => $old, amount => 5);
my $same = add_request($node, address => $other, amount => 5);
my $locked = add_request($node, address => $old, amount => 5);

$node->safe_psql('postgres', <<"SQL");
BEGIN;
UPDATE payment_requests SET expected_amount_minor = 500000, address_canonical = '$new' WHERE id = '$moved';
PREPARE TRANSACTION 'moves';
BEGIN;
UPDATE payment_requests SET expected_amount_minor = 500000, address_canonical = '$new' WHERE id = '$locked';
PREPARE TRANSACTION 'stays';
SQL
$node->stop('immediate');
$node->start;

# The first claim builds the queue; a worker that never comes back holds it for a moment
is($node->safe_psql('postgres', "SELECT count(*) FROM reconciler.claim('early', 1, -1, 10, '1 ms', '1 ms')"), 3, 'the queue is built again');
is($node->safe_psql('postgres', "SELECT address FROM reconciler.queue WHERE request_id = '$moved'"), $old,
	'from the row as it was before the prepared transaction');
$node->safe_psql('postgres', "COMMIT PREPARED 'moves'");
$chain->set_balance($old, 5);
$chain->set_balance($other, 5);
$chain->mine(1);
set_workers($node, 1);
wait_for_status($node, $same, 'confirmed', name => 'a neighbour is confirmed');
wait_for_sql($node, "SELECT address = '$new' AND expected = 500000 AND coalesce(seen, 0) = 0 FROM reconciler.queue WHERE request_id = '$moved'",
	'the request is observed at its new address');
is(status_of($node, $moved), 'pending', 'and was not confirmed by money at the old one');
is(status_of($node, $locked), 'pending', 'nor is the one whose change is still prepared');
is($node->safe_psql('postgres', "SELECT count(*) FROM reconciler.transitions WHERE request_id <> '$same'"), 0, 'no status was set in between');
unlike(join("\n", log_lines($node, qr/settle:/)), qr/leaves the status/, 'and no trigger is blamed');

$chain->set_balance($new, 500_000);
$chain->mine(1);
wait_for_status($node, $moved, 'confirmed', name => 'money at the new address confirms it');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'stays'");
wait_for_status($node, $locked, 'confirmed', name => 'what was rolled back is confirmed by money at the address that stayed');

done_testing();
