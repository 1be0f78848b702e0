# A worker and a daemon whose settle is refused, by the thousand, do not grow
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my $chain = start_anvil();
$chain->mine;
my $node = new_node(conf => "reconciler.lease_duration = '1s'\nreconciler.poll_interval = '100ms'\n");
set_up_shop($node, $chain, batch_size => 1);
my $session = session($node);
my $address = $chain->new_address;
$chain->set_balance($address, '1000');
add_request($node, address => $address, amount => 1000) for 1 .. 150;

# In place of settle one that fails, with a text that is never the same
my $settle = $session->value("SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'reconciler'::regnamespace AND proname = 'settle'");
my $columns = $session->value("SELECT pg_get_function_result('$settle'::regprocedure)");
my $arguments = $session->value("SELECT pg_get_function_arguments('$settle'::regprocedure)");
$session->query("ALTER FUNCTION $settle RENAME TO settle_kept");
$node->safe_psql('postgres', <<"SQL");
CREATE SEQUENCE refused;
GRANT ALL ON SEQUENCE refused TO PUBLIC;
CREATE FUNCTION reconciler.settle($arguments) RETURNS $columns LANGUAGE plpgsql AS \$\$
BEGIN RAISE 'refused % %', nextval('public.refused'), repeat(md5(random()::text), 100) USING DETAIL = repeat('detail ', 100); END \$\$;
SQL

sub rss_kb
{
	my ($pid) = @_;
	my ($line) = grep { /^VmRSS/ } split /\n/, slurp_file("/proc/$pid/status");
	return $line =~ /(\d+) kB/ ? $1 : die "no VmRSS";
}

sub check
{
	my ($name, $pid) = @_;
	my $refused = sub { return $session->value('SELECT last_value FROM refused') };
	my $from = $refused->();
	ok(wait_until(sub { $refused->() >= $from + 300 }, 120), "$name: 300 refusals");
	my $before = rss_kb($pid);
	ok(wait_until(sub { $refused->() >= $from + 1300 }, 120), "$name: 1000 more");
	my $growth = rss_kb($pid) - $before;
	cmp_ok($growth, '<', 2048, "$name: its memory has grown by $growth kB");
	return;
}

set_workers($node, 1);
check('worker', $session->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'reconciler worker'"));
set_workers($node, 0);
my $daemon = Reconciler::Daemon->start($node, worker_id => 'daemon');
check('daemon', $daemon->pid);
is($daemon->terminate(30), 0, 'the daemon stops');
my $said = sub { return scalar grep { /statement failed .*statement=settle code=P0001/ } @_ };
cmp_ok($said->(split /\n/, $daemon->log), '<=', 3, 'and has not said so each time, though the text is another one');
cmp_ok($said->(log_lines($node, qr/worker WARNING/)), '<=', 3, 'nor has the worker');

done_testing();
