# A worker whose cycles fail, by the thousand, does not grow

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $cycles = 3000;

my $chain = start_anvil();
my $page = start_misbehaving(body => '<html>Sorry</html>');
my $node = new_node(workers => 0, conf => <<'CONF');
reconciler.poll_interval = '100ms'
reconciler.lease_duration = '1s'
log_min_messages = fatal
CONF
set_up_shop($node, $chain, batch_size => 1);
$node->safe_psql('postgres', "SELECT reconciler.add_network('ethereum', 'page', ARRAY['" . $page->url . "'], 31337, batch_size => 1)");
$node->safe_psql('postgres', "SELECT reconciler.add_network('ethereum', 'nobody', ARRAY['http://127.0.0.1:1'], 31337, batch_size => 1)");

# Paid, but the application refuses every change of status
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused by the shop'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE OF status ON payment_requests FOR EACH ROW EXECUTE FUNCTION refuse();
SQL
for my $i (1 .. 5)
{
	my $address = Reconciler::Chain::new_address();
	$chain->set_balance($address, 1000);
	add_request($node, address => $address, amount => 1000);
	add_request($node, address => $address, token => Reconciler::Chain::new_address(), amount => 1000);
	add_request($node, address => 'not an address', amount => 1000);
	add_request($node, address => $address, amount => 1000, network => 'page');
	add_request($node, address => $address, amount => 1000, network => 'nobody');
}

sub worker_stat
{
	my ($column) = @_;
	return $node->safe_psql('postgres', "SELECT coalesce(max($column), 0) FROM reconciler.stat_workers");
}

sub rss_kb
{
	my ($line) = grep { /^VmRSS/ } split /\n/, slurp_file('/proc/' . worker_stat('pid') . '/status');
	return $line =~ /(\d+) kB/ ? $1 : die "no VmRSS";
}

set_workers($node, 1);

# Caches and plans are filled by then
ok(wait_until(sub { worker_stat('cycles') >= 1000 }), 'the worker has warmed up');
my $pid = worker_stat('pid');
my $before = rss_kb();
my $from = worker_stat('cycles');
ok(wait_until(sub { worker_stat('cycles') >= $from + $cycles }), "$cycles more cycles");
my $growth = rss_kb() - $before;
is(worker_stat('pid'), $pid, 'by the same process');
cmp_ok(worker_stat('errors'), '>=', $cycles / 2, 'most of which failed');
cmp_ok($growth, '<', 4096, "its memory has grown by $growth kB");
is($node->safe_psql('postgres', "SELECT count(*) FROM reconciler.transitions"), 0, 'no status was changed');

$node->stop;
done_testing();
