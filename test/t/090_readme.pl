# What the README says works, in the order in which it says it

use strict;
use warnings;

use File::Basename 'dirname';
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $readme = slurp_file(dirname(__FILE__) . '/../../README.md');
my %section = map { /\A(.*?)\n(.*)\z/s } split /^## /m, $readme;

# The blocks of a kind in a section
sub blocks
{
	my ($name, $kind) = @_;
	my @blocks = ($section{$name} // '') =~ /^```$kind\n(.*?)^```$/msg;
	ok(@blocks > 0, "the README has $kind under '$name'");
	return @blocks;
}

my $chain = start_anvil();
my $node = new_node(extension => 0, conf => "reconciler.database = 'shop'\n");
$node->safe_psql('postgres', 'CREATE DATABASE shop');

# Runs SQL of the README, with the chain where it is in this test
sub run
{
	my ($sql) = @_;
	my $url = $chain->url;
	$sql =~ s{http://127\.0\.0\.1:8545}{$url}g;
	my ($status, $out, $error) = $node->psql('shop', $sql, on_error_stop => 1);
	is($status, 0, (split /\n/, $sql)[0]) or diag($error);
	return $out;
}

my ($conf) = blocks('Install', 'conf');
like($conf, qr/^\Q$_\E$/m, "the configuration is that of this test: $_")
  for "shared_preload_libraries = 'reconciler'", "reconciler.database = 'shop'";

my @first = blocks('The first confirmed payment', 'sql');
my $explain = pop @first;
my $watch = pop @first;
run($_) for @first;
# Observed, and found unpaid: only then it is paid, as the README says.
ok(wait_until(sub { $node->safe_psql('shop', 'SELECT observed_at IS NOT NULL FROM reconciler.stat_networks') eq 't' }),
	'the network was observed');
is($node->safe_psql('shop', 'SELECT status FROM payment_requests'), 'pending', 'nothing is paid, the request is pending');
my ($pay) = blocks('The first confirmed payment', 'sh');
my $endpoint = $chain->url;
$pay =~ s{http://127\.0\.0\.1:8545}{$endpoint}g;
is(system('sh', '-c', "$pay >/dev/null"), 0, 'the payment is sent');
ok(wait_until(sub { $node->safe_psql('shop', 'SELECT status FROM payment_requests') eq 'confirmed' }),
	'the request is confirmed');
like(run($watch), qr/confirmed/, 'the history says so');
ok(run($explain) ne '', 'explain has something to say');

$node->safe_psql('shop', <<'SQL');
CREATE SCHEMA app;
CREATE SCHEMA shop;
CREATE TABLE app.payment_requests (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), chain text, network text, asset text,
	status text DEFAULT 'pending', expected_amount_minor numeric, address_canonical text, token_contract text,
	expires_at timestamptz, created_at timestamptz DEFAULT now());
CREATE TABLE shop.invoices (id bigint PRIMARY KEY, chain text, network text, status text, amount bigint, pay_to text);
CREATE TABLE shop.orders (tenant_id int, id bigint, status text DEFAULT 'new', amount numeric(30, 18), pay_to text, PRIMARY KEY (tenant_id, id));
ALTER TABLE app.payment_requests OWNER TO shop_app;
ALTER TABLE shop.orders OWNER TO shop_app;
ALTER TABLE shop.invoices OWNER TO shop_app;
GRANT USAGE ON SCHEMA app, shop TO shop_app;
SQL
run($_) for blocks('Attach your own table', 'sql');
is($node->safe_psql('shop', 'SELECT count(*) FROM reconciler.sources s JOIN pg_class c ON c.oid = s.relation JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolsuper'),
	0, 'no attached table belongs to a superuser');
my ($detach) = $section{'Attach your own table'} =~ /`(SELECT reconciler\.detach\([^`]*;)`/;
run($detach);

my ($follow, $ledger) = map { split /(?<=;\n)/, $_, 2 } blocks('Payments: what arrived, when, from whom', 'sql');
run($follow);
my ($event_blocks) = join '', blocks('Events and webhooks', 'sql');
run($event_blocks);
$node->safe_psql('shop', q{INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)
	VALUES ('ethereum', 'local', 'ETH', 1000, '0x00000000000000000000000000000000000abcde')});
$chain->send_eth('0x00000000000000000000000000000000000abcde', 1500);
ok(wait_until(sub { $node->safe_psql('shop', 'SELECT status FROM payment_requests WHERE expected_amount_minor = 1000') eq 'confirmed' }),
	'a payment is followed');
like(run($ledger), qr/\|native\|1500\|0x[0-9a-f]{64}\|0x[0-9a-f]{40}\|/, 'and stands in the ledger, with transaction and sender');
like(run($event_blocks =~ s/^SELECT reconciler\.create_consumer.*\n//mr), qr/request\.confirmed/, 'its confirmation is read as an event');
my ($webhook) = $section{'Events and webhooks'} =~ /`(SELECT reconciler\.add_webhook\([^`]*;)`/;
run($webhook);
$node->safe_psql('shop', "SELECT reconciler.remove_webhook('shop')");

run($_) for blocks('Scale', 'sql');
wait_for_sql($node, "SELECT count(*) = 4 FROM pg_stat_activity WHERE backend_type = 'reconciler worker'", 'four workers run');
my (undef, $daemon) = (undef, blocks('Scale', 'sh'));
my $connection = $node->connstr('shop') . ' user=reconcilerd';
$daemon =~ s/DATABASE_URL='[^']*' reconcilerd/\$RECONCILERD --once/ or BAIL_OUT('the README starts the daemon otherwise');
{
	local $ENV{DATABASE_URL} = $connection;
	is(system('sh', '-c', $daemon), 0, 'the daemon runs with the role that the README makes');
}

# No such endpoints here: what counts is that the calls are taken
run("ALTER SYSTEM SET reconciler.workers = 0;\nSELECT pg_reload_conf()");
run($_) for blocks('Bitcoin', 'sql');
run($_) for blocks('Operate', 'sql');

$node->stop;
done_testing();
