# An invoice that can be paid in one of several coins (docs/examples/coins.sql):
# one that is paid closes the others; two that are paid at the same moment, on two
# chains by two workers, pay it once, and the other payment is kept as surplus.
# No worker waits for another one's row.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node(workers => 0);
my @chains = (start_anvil(), start_anvil(chain_id => 1337));
my @networks = qw(local other);
for my $i (0, 1)
{
	$node->safe_psql('postgres', "SELECT reconciler.add_network('ethereum', '$networks[$i]', ARRAY['"
		  . $chains[$i]->url . "'], chain_id => " . $chains[$i]->chain_id . ")");
}
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE shop_app;
GRANT CREATE ON SCHEMA public TO shop_app;
SELECT reconciler.grant_app('shop_app');
SQL
my ($status, undef, $error) =
  $node->psql('postgres', "SET ROLE shop_app;\n\\i $FindBin::RealBin/../../docs/examples/coins.sql", on_error_stop => 1);
is($status, 0, 'coins.sql') or diag($error);

my $ether = 1_000_000_000_000_000_000;

# Invoices from..to with a request on each chain; pays those of the chains that are named
sub add_invoices
{
	my ($from, $to, @paid) = @_;
	my @addresses;
	for my $invoice ($from .. $to)
	{
		$node->safe_psql('postgres', "INSERT INTO invoices VALUES ($invoice)");
		for my $i (0, 1)
		{
			my $address = $chains[$i]->new_address;
			$node->safe_psql('postgres', 'INSERT INTO coin_requests (invoice_id, chain, network, expected_amount_minor, address_canonical)'
				  . " VALUES ($invoice, 'ethereum', '$networks[$i]', $ether, '$address')");
			$chains[$i]->set_balance($address, $ether) if grep { $_ == $i } @paid;
		}
	}
	return;
}

# One is paid: the other is closed
add_invoices(1, 3, 0);
set_workers($node, 2);
wait_for_sql($node, 'SELECT count(*) = 3 FROM invoices WHERE paid_by IS NOT NULL', 'paid invoices are paid');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT network || ' ' || status, ', ') FROM coin_requests"),
	'local confirmed, other cancelled', 'and the other coin is no longer waited for');
is($node->safe_psql('postgres', 'SELECT count(*) FROM reconciler.queue'), 0, 'nor looked at');

# Both are paid when the workers begin to look, each at its chain
set_workers($node, 0);
add_invoices(101, 140, 0, 1);
set_workers($node, 2);
wait_for_sql($node, 'SELECT count(*) = 0 FROM reconciler.queue', 'all come to an end');
is($node->safe_psql('postgres', 'SELECT count(*) FROM invoices WHERE id > 100 AND paid_by IS NOT NULL'), 40, 'each invoice is paid');
is($node->safe_psql('postgres', <<'SQL'), 0, 'by one of its requests, which is confirmed');
SELECT count(*) FROM invoices AS i LEFT JOIN coin_requests AS r ON r.id = i.paid_by AND r.invoice_id = i.id AND r.status = 'confirmed' WHERE r.id IS NULL
SQL
is($node->safe_psql('postgres', <<'SQL'), 0, 'every other confirmed request is a surplus');
SELECT count(*) FROM coin_requests AS r JOIN invoices AS i ON i.id = r.invoice_id
WHERE (r.status = 'confirmed' AND r.id <> i.paid_by) IS DISTINCT FROM (r.id IN (SELECT s.request_id FROM surplus_payments AS s))
SQL
is(scalar(log_lines($node, qr/deadlock detected/)), 0, 'nobody was in a deadlock');

# The application holds a sibling, as long as it likes
add_invoices(201, 201);
my $application = session($node);
$application->query("BEGIN; SELECT FROM coin_requests WHERE invoice_id = 201 AND network = 'other' FOR UPDATE");
my $address = $node->safe_psql('postgres', "SELECT address_canonical FROM coin_requests WHERE invoice_id = 201 AND network = 'local'");
$chains[0]->set_balance($address, $ether);
wait_for_sql($node, 'SELECT paid_by IS NOT NULL FROM invoices WHERE id = 201', 'a sibling that is held is no obstacle');
$application->query('ROLLBACK');
$application->close;
$address = $node->safe_psql('postgres', "SELECT address_canonical FROM coin_requests WHERE invoice_id = 201 AND network = 'other'");
$chains[1]->set_balance($address, $ether);
wait_for_sql($node, 'SELECT count(*) = 1 FROM surplus_payments WHERE invoice_id = 201', 'what is paid to it later is a surplus');

$node->stop;
done_testing();
