# Each recipe of docs/migrations.md, as it stands there, on a table with an open,
# a detected and a confirmed request: nothing is lost, also of what arrives meanwhile,
# nothing is decided twice. Without the recipe each change is refused, with the way.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node(workers => 2);
my $chain = start_anvil();
my $ether = 1_000_000_000_000_000_000;
set_up_shop($node, $chain, confirmations => 3, max_tip_age => 'NULL');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE shop_app;
ALTER TABLE payment_requests OWNER TO shop_app;
GRANT CREATE ON SCHEMA public TO shop_app;
SELECT reconciler.grant_app('shop_app');
SQL

my %address = map { $_ => $chain->new_address } qw(open detected confirmed);
my %id = map { $_ => add_request($node, address => $address{$_}, amount => $ether) } sort keys %address;
$chain->send_eth($address{confirmed}, $ether);
$chain->mine(3);
wait_for_status($node, $id{confirmed}, 'confirmed');
$chain->send_eth($address{detected}, $ether);
wait_for_status($node, $id{detected}, 'detected');

# What the server would refuse with a hint to drop the triggers
for my $change ('ALTER COLUMN address_canonical TYPE varchar(100)', 'ADD note text, DROP COLUMN token_contract',
	'DROP COLUMN status CASCADE', 'RENAME COLUMN expected_amount_minor TO amount', 'ALTER id TYPE text')
{
	my (undef, undef, $error) = $node->psql('postgres', "SET ROLE shop_app; ALTER TABLE payment_requests $change");
	like($error, qr/is attached to reconciler, which this change would break.*reconciler\.detach\('public\.payment_requests'\).*reconciler\.attach/s,
		"$change: the error says how");
}
$node->safe_psql('postgres', 'ALTER TABLE payment_requests ALTER updated_at TYPE timestamp; ALTER TABLE payment_requests ALTER updated_at TYPE timestamptz');
my (undef, undef, $error) = $node->psql('postgres', 'CREATE ROLE nobody; SET ROLE nobody; ALTER TABLE payment_requests DROP COLUMN status');
like($error, qr/must be owner/, 'who may not change the table learns nothing of it');

my $text = slurp_file("$FindBin::RealBin/../../docs/migrations.md");
my @recipes = $text =~ /^```sql\n(.*?)^```$/msg;
cmp_ok(scalar @recipes, '>=', 9, 'docs/migrations.md has recipes');

my $history = "SELECT string_agg(request_id || ' ' || to_status, ', ' ORDER BY transition_id) FROM reconciler.transitions";
my $before = $node->safe_psql('postgres', $history);
my $table = 'payment_requests';
for my $recipe (@recipes)
{
	my ($what) = grep { !/^(BEGIN|SET|SELECT reconciler)/ } split(/\n/, $recipe), $recipe;
	# As the application's role, in one session, to the end
	my ($status, undef, $failed) = $node->psql('postgres', "SET ROLE shop_app;\n$recipe", on_error_stop => 1);
	is($status, 0, $what) or diag($failed);
	unlike($failed, qr/WARNING/, 'no warning');
	$table = 'invoices' if $recipe =~ /RENAME TO invoices/;
	is($node->safe_psql('postgres', "SELECT string_agg(request_id || ' ' || status, ', ' ORDER BY status) FROM reconciler.queue"),
		"$id{detected} detected, $id{open} pending", 'the open ones are queued, as they were');
	is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT expected::text, ',') FROM reconciler.queue"), $ether, 'for the same amount');
	is($node->safe_psql('postgres', $history), $before, 'and nothing was decided');
}

# What arrives while the table is not attached
my $migration = session($node);
my ($attach) = $recipes[-2] =~ /(SELECT reconciler\.attach.*?;)/s;
$migration->query("BEGIN; SELECT reconciler.detach('invoices')");
$chain->send_eth($address{open}, $ether);
$migration->query("$attach COMMIT");
$migration->close;
$chain->mine(3);
wait_for_status($node, $id{$_}, 'paid', table => 'invoices') for qw(open detected);
is($node->safe_psql('postgres', "SELECT count(*) FROM (SELECT FROM reconciler.transitions GROUP BY request_id, to_status HAVING count(*) > 1) AS twice"),
	0, 'nothing was decided twice');
$node->safe_psql('postgres', "UPDATE invoices SET status = 'pending' WHERE id = '$id{confirmed}'");
is($node->safe_psql('postgres', "SELECT count(*) FROM reconciler.queue"), 0, 'what was confirmed before all of this stays so');

done_testing();
