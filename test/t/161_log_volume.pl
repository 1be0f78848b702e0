# What goes on doesn't fill the log: a failure, a request that can't be settled and an endpoint that is down
# are logged when they begin, cycles in which nothing happened are summed up.
use strict;
use warnings;

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my $node = new_node(conf => "reconciler.poll_interval = '100ms'\nreconciler.batch_size = 10\n");
my $chain = start_anvil();
my $proxy = start_proxy($chain);
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "', '" . $chain->url . "']");
my $session = session($node);

# A trigger of the application's that lets no request be settled
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no, at %', clock_timestamp(); END $$;
CREATE TRIGGER refuse BEFORE UPDATE OF status ON payment_requests FOR EACH ROW WHEN (NEW.asset = 'BAD') EXECUTE FUNCTION refuse();
SQL
my $address = $chain->new_address;
$chain->set_balance($address, '1000');
add_request($node, address => $address, amount => 1000, asset => 'BAD') for 1 .. 30;
add_request($node, address => $chain->new_address, amount => 1000) for 1 .. 30;

# Waits until each request has been looked at so many times more
sub looks
{
	my ($worker, $n) = @_;
	my $cycles = "SELECT coalesce(sum(cycles), 0) FROM reconciler.stat_workers WHERE worker_id LIKE '$worker%'";
	my $from = $session->value($cycles);
	return ok(wait_until(sub { $session->value($cycles) >= $from + $n }, 120), "$n cycles of $worker");
}

set_workers($node, 1);
looks('main', 60);
$proxy->set(mode => 'refuse');
looks('main', 60);
$proxy->set(mode => 'pass');
set_workers($node, 0);

my $count = sub { my ($pattern, @lines) = @_; return scalar grep { $_ =~ $pattern } @lines };
sub check
{
	my ($name, @lines) = @_;
	is($count->(qr/request not settled /, @lines), 30, "$name: each request that can't be settled, once");
	is($count->(qr/endpoint failed, trying the next /, @lines), 1, "$name: an endpoint that is down, once");
	is($count->(qr/observation failed/, @lines), 0, "$name: another one answers");
	cmp_ok($count->(qr/ cycle role=/, @lines), '<=', 15, "$name: few cycles have a line of their own");
	is($count->(qr/ cycles role=\S+ worker_id=\S+ chain=ethereum network=local cycles=\d+ claimed=\d+ scanned=\d+ confirmed=0 detected=0 expired=0 skipped=0 errors=\d+ latency_ms=\d+$/, @lines), 1,
		"$name: the others are summed up");
	cmp_ok(scalar @lines, '<', 70, "$name: no flood");
	return;
}
check('server', log_lines($node, qr/reconciler worker (?:LOG|WARNING):/));

my $daemon = Reconciler::Daemon->start($node, worker_id => 'daemon');
looks('daemon', 60);
$proxy->set(mode => 'refuse');
looks('daemon', 60);
$proxy->set(mode => 'pass');
is($daemon->terminate(30), 0, 'the daemon stops');
check('daemon', split /\n/, $daemon->log);

# All
$node->safe_psql('postgres', 'ALTER SYSTEM SET reconciler.log_cycles = \'all\'');
set_workers($node, 1);
my $before = scalar log_lines($node, qr/ cycle role=/);
looks('main', 60);
cmp_ok(scalar(log_lines($node, qr/ cycle role=/)), '>=', $before + 50, 'all: each cycle has a line');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET reconciler.log_cycles');
$node->reload;
wait_for_sql($node, "SELECT current_setting('reconciler.log_cycles') = 'changes'", 'changes again');
set_workers($node, 0);
$daemon = Reconciler::Daemon->start($node, worker_id => 'chatty', args => ['--log-cycles=all']);
looks('chatty', 20);
cmp_ok($count->(qr/ cycle role=/, split /\n/, $daemon->log), '>=', 20, 'so it is with a daemon');
$daemon->terminate(30);
$daemon = Reconciler::Daemon->start($node, env => { RECONCILER_LOG_CYCLES => 'some' });
is($daemon->exit_code, 78, 'a daemon refuses another word');
like($daemon->log, qr/CONFIG_RECONCILER_LOG_CYCLES_INVALID: .*give one of changes, all/, 'and says what to give');
my ($status, $out, $error) = $node->psql('postgres', "ALTER SYSTEM SET reconciler.log_cycles = 'some'");
like($error, qr/invalid value for parameter "reconciler.log_cycles".*Available values: changes, all/s, 'so does the server');

# A statement that is refused again and again
$node->safe_psql('postgres', <<'SQL');
ALTER FUNCTION reconciler.due_in(int, boolean) RENAME TO due_in_kept;
CREATE FUNCTION reconciler.due_in(network_id int, of_cursor boolean) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today, at %', clock_timestamp(); END $$;
SQL
$before = scalar log_lines($node, qr/statement=due_in/);
set_workers($node, 1);
looks('main', 60);
is(scalar(log_lines($node, qr/statement=due_in/)), $before + 1, 'a refused statement is logged once');

done_testing();
