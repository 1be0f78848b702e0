# The launcher and its workers: they come, go, come back, and are in nobody's way

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Reconciler::Chain;
use Reconciler::Test;

# Longer than the test takes: what ends earlier has not waited for a call, nor for the end of a lease
my $call_seconds = 600;
my $lease_seconds = 300;

# Far below those, and no stop watch for a busy machine
my $soon = 30;

my $conf = <<"CONF";
reconciler.database = 'shop'
reconciler.lease_duration = '$lease_seconds s'
reconciler.poll_interval = '1s'
reconciler.request_timeout = '$call_seconds s'
restart_after_crash = on
CONF

# An endpoint that takes every request and never answers
my $endpoint = start_misbehaving(mode => 'hang');
my $url = $endpoint->url;

my $worker_pids = q{SELECT string_agg(pid::text, ' ' ORDER BY application_name) FROM pg_stat_activity WHERE backend_type = 'reconciler worker'};
my $launcher_pid = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'reconciler launcher'};

# The extension with one network and open requests
sub open_shop
{
	my ($node) = @_;
	my $address = Reconciler::Chain::new_address();
	$node->safe_psql('shop', <<"SQL");
CREATE EXTENSION reconciler;
SELECT reconciler.add_network(chain => 'ethereum', network => 'local', endpoints => ARRAY['$url'], chain_id => 31337);
SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true);
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, expires_at)
SELECT 'ethereum', 'local', 'ETH', 1000, '$address', now() + interval '1 day' FROM generate_series(1, 10);
SQL
	return;
}

# Waits until a worker waits for the endpoint with a batch under lease, and returns its pid
sub slow_call
{
	my ($node, $name) = @_;
	wait_for_sql($node, <<'SQL', $name, database => 'shop');
SELECT EXISTS (SELECT FROM reconciler.stat_get_workers() w JOIN pg_stat_activity a USING (pid)
                 JOIN reconciler.batches b ON b.lease_owner = w.worker_id
                WHERE w.state = 'observing' AND a.state = 'idle' AND b.lease_until > clock_timestamp())
SQL
	return $node->safe_psql('shop', q{SELECT min(w.pid) FROM reconciler.stat_get_workers() w JOIN reconciler.batches b ON b.lease_owner = w.worker_id});
}

# Makes a statement of the protocol slow, and waits until the worker is in it
sub slow_statement
{
	my ($node, $name) = @_;
	$node->safe_psql('shop', <<"SQL");
ALTER FUNCTION reconciler.due_in(int, boolean) RENAME TO due_in_original;
CREATE FUNCTION reconciler.due_in(int, boolean) RETURNS int LANGUAGE sql AS 'SELECT pg_sleep($call_seconds); SELECT 1';
SQL
	return wait_for_sql($node, <<'SQL', $name);
SELECT state = 'active' AND wait_event = 'PgSleep' FROM pg_stat_activity WHERE backend_type = 'reconciler worker'
SQL
}

sub pids { my ($node) = @_; return $node->safe_psql('postgres', $worker_pids) }

sub log_position { my ($node) = @_; return -s $node->logfile }

# What the log says of us from a position
sub our_log
{
	my ($node, $position) = @_;
	return join "\n", grep { /reconciler|role=/ } split /\n/, slurp_file($node->logfile, $position);
}

sub seconds
{
	my ($code) = @_;
	my $started = time();
	$code->();
	return time() - $started;
}

sub is_refused
{
	my ($node, $setting, $reason) = @_;
	my ($status, undef, $error) = $node->psql('postgres', "ALTER SYSTEM SET $setting");
	isnt($status, 0, "$setting is refused");
	like($error, $reason, 'with the reason');
	return;
}

# Commits of our workers in the database: they go on looking
sub goes_on_looking
{
	my ($node, $name) = @_;
	my $commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'shop'";
	my $before = $node->safe_psql('postgres', $commits);
	return wait_for_sql($node, "SELECT ($commits) >= $before + 3", $name);
}

my $node = new_node(conf => $conf, extension => 0);
my $position;

# Settings
is_refused($node, 'reconciler.workers = 9', qr/must not be greater than "reconciler\.max_workers" \(8\)/);
is_refused($node, 'reconciler.workers = -1', qr/outside the valid range/);
is_refused($node, 'reconciler.batch_size = 741', qr/outside the valid range.*1 \.\. 740/);
is_refused($node, "reconciler.lease_duration = '999ms'", qr/outside the valid range/);
is_refused($node, "reconciler.poll_interval = '5 parsecs'", qr/Valid units for this parameter/);
is_refused($node, "reconciler.request_timeout = '0'", qr/outside the valid range/);
is_refused($node, "reconciler.expiry_grace = '-1'", qr/outside the valid range/);
is_refused($node, "reconciler.worker_id = 'till 7'", qr/letters, digits and the characters/);
is_refused($node, "reconciler.worker_id = '" . 'x' x 64 . "'", qr/not be longer than 63 bytes/);
is_refused($node, 'reconciler.database = shop, shop', qr/named twice/);
is_refused($node, "reconciler.database = '" . 'x' x 64 . "'", qr/longer than 63 bytes/);
is_refused($node, 'reconciler.worker = 1', qr/(?:invalid|unrecognized) configuration parameter/);

# Nothing unless asked
wait_for_sql($node, "SELECT count(*) = 1 FROM ($launcher_pid) l", 'the launcher runs');
is(pids($node), '', 'and no worker, unless asked');

# A mistyped database: tried again after 1 s, 2 s, 4 s, ..., by one worker only
$position = log_position($node);
my $tries;
my $took = seconds(sub {
	$node->safe_psql('postgres', 'ALTER SYSTEM SET reconciler.workers = 4');
	$node->reload;
	$node->wait_for_log(qr/(?:FATAL:  database "shop" does not exist.*?){3}/s, $position);
	$tries = () = slurp_file($node->logfile, $position) =~ /FATAL:  database "shop" does not exist/g;
});
cmp_ok($tries, '<=', 2 + log($took + 1) / log(2), 'a database that does not exist is tried with growing pauses');
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('postgres', 'CREATE DATABASE other');

# No extension
set_workers($node, 0);
$position = log_position($node);
set_workers($node, 4);
goes_on_looking($node, 'without the extension workers look for it');
unlike(our_log($node, $position), qr/WARNING|ERROR|FATAL/, 'and are quiet');

# More and fewer, by reload
my ($first) = split / /, pids($node);
set_workers($node, 1);
is(pids($node), $first, 'from four to one, the first stays');
set_workers($node, 0);
set_workers($node, 1);

# In a call that does not return
open_shop($node);
my $pid = slow_call($node, 'CREATE EXTENSION: the worker works');
is($node->safe_psql('shop', 'SELECT worker_id, role, database FROM reconciler.stat_get_workers()'), 'main:1|worker|shop', 'it has its name');
my $activity = <<"SQL";
SELECT application_name, datname, state, query, backend_xmin, backend_xid, xact_start, ''
  FROM pg_stat_activity WHERE pid = $pid
SQL
# Not while a report is on its way
ok(wait_until(sub { $node->safe_psql('postgres', $activity) eq 'reconciler worker 1|shop|idle|observing ethereum/local||||' }), 'no snapshot and no transaction during the call') or diag($node->safe_psql('postgres', $activity));
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE pid = $pid"), 0, 'nor a lock');
cmp_ok(seconds(sub { $node->safe_psql('postgres', 'DROP DATABASE other') }), '<', $soon,
	'DROP DATABASE of another database does not wait for the call');
$position = log_position($node);
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid); SELECT pg_log_backend_memory_contexts($pid)");
$node->wait_for_log(qr/logging memory contexts of PID $pid/, $position);
goes_on_looking($node, 'a cancel request and a memory dump do no harm');
is(pids($node), $pid, 'to the worker');

# SIGTERM
$took = seconds(sub {
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	wait_for_sql($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 'SIGTERM ends a worker');
});
cmp_ok($took, '<', $soon, 'in the middle of a call');
note(sprintf 'after %.2f s', $took);
unlike(our_log($node, $position), qr/WARNING|ERROR|FATAL|PID $pid\) exited with exit code [^0]/, 'and cleanly');
isnt(slow_call($node, 'another one has its batch, long before the lease would have ended'), $pid, 'in its place');

# SIGTERM in a statement, here one that takes its time
slow_statement($node, 'a worker is in a statement');
$pid = pids($node);
$position = log_position($node);
$node->safe_psql('postgres', 'CREATE DATABASE other');
cmp_ok(seconds(sub { $node->safe_psql('postgres', 'DROP DATABASE other') }), '<', $soon, 'DROP DATABASE does not wait for it');
$took = seconds(sub {
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	wait_for_sql($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 'SIGTERM ends a worker');
});
cmp_ok($took, '<', $soon, 'in the middle of a statement');
note(sprintf 'after %.2f s', $took);
unlike(our_log($node, $position), qr/WARNING|ERROR|FATAL|PID $pid\) exited with exit code [^0]/, 'and cleanly');

# A statement that fails is logged, and not the end
$position = log_position($node);
$node->safe_psql('shop', <<'SQL');
CREATE OR REPLACE FUNCTION reconciler.due_in(int, boolean) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = 'XX123'; END $$;
SQL
$node->wait_for_log(qr/WARNING:  statement failed role=worker worker_id=\S+ statement=due_in code=XX123 message="not today"/, $position);
$pid = pids($node);
goes_on_looking($node, 'a worker survives an error');
is(pids($node), $pid, 'as the same process');
$node->safe_psql('shop', 'DROP FUNCTION reconciler.due_in(int, boolean)');
$node->safe_psql('shop', 'ALTER FUNCTION reconciler.due_in_original(int, boolean) RENAME TO due_in');

# Lowered
set_workers($node, 0);
is($node->safe_psql('shop', 'SELECT count(*) FROM reconciler.batches WHERE lease_owner IS NOT NULL'), 0, 'a worker that goes gives its lease back');
set_workers($node, 3);
slow_call($node, 'three workers work');

# The launcher
my $pids = pids($node);
my $launcher = $node->safe_psql('postgres', $launcher_pid);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
wait_for_sql($node, "SELECT pid <> $launcher FROM ($launcher_pid) l", 'a launcher that was ended comes back');
is(pids($node), $pids, 'to the same workers');
set_workers($node, 1);
is(pids($node), (split / /, $pids)[0], 'which it has taken over');

# SIGKILL
$pid = slow_call($node, 'the remaining one works');
$position = log_position($node);
kill 'KILL', $pid;
$node->wait_for_log(qr/all server processes terminated; reinitializing/, $position);
$node->poll_query_until('postgres', 'SELECT true');
slow_call($node, 'SIGKILL: the server restarts, a worker resumes');

# Immediate shutdown
$node->stop('immediate');
$node->start;
slow_call($node, 'immediate shutdown: a worker resumes');
is($node->safe_psql('shop', "SELECT count(*) FROM payment_requests p JOIN reconciler.queue q ON q.request_id = p.id::text"), 10, 'and no request is lost');

# A new identity
$node->safe_psql('postgres', q{ALTER SYSTEM SET reconciler.worker_id = 'till-7'});
$node->reload;
wait_for_sql($node, q{SELECT array_agg(DISTINCT lease_owner) = '{till-7:1}' FROM reconciler.batches WHERE lease_until > clock_timestamp()},
	'a new reconciler.worker_id is taken at reload', database => 'shop');

# DROP EXTENSION
slow_call($node, 'it works');
$position = log_position($node);
$node->safe_psql('shop', 'DROP EXTENSION reconciler CASCADE; DROP TABLE payment_requests');
goes_on_looking($node, 'DROP EXTENSION: the worker goes on looking');
unlike(our_log($node, $position), qr/WARNING|ERROR|FATAL/, 'and is quiet');
open_shop($node);
slow_call($node, 'CREATE EXTENSION again: it works again');

# What is refused while a session is in the database
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop');
slow_call($node, 'CREATE DATABASE TEMPLATE, and the worker is back');
$node->safe_psql('postgres', 'ALTER DATABASE shop RENAME TO closed');
$node->safe_psql('postgres', 'ALTER DATABASE closed RENAME TO shop');
slow_call($node, 'ALTER DATABASE RENAME there and back, and the worker is back');
mkdir $node->basedir . '/space';
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '" . $node->basedir . "/space'");
$node->safe_psql('postgres', 'ALTER DATABASE shop SET TABLESPACE space');
slow_call($node, 'ALTER DATABASE SET TABLESPACE, and the worker is back');

my $visitor = session($node, 'shop');
is($visitor->value('SELECT 1'), 1, 'a visitor is in the database');
my (undef, undef, $error) = $node->psql('postgres', 'DROP DATABASE shop');
like($error, qr/There is 1 other session/, 'DROP DATABASE is refused because of the visitor, not because of us');
$visitor->close;
slow_call($node, 'and the worker is back');

# Who may not drop it doesn't disturb it
$node->safe_psql('postgres', 'CREATE ROLE guest');
$pids = pids($node);
(undef, undef, $error) = $node->psql('postgres', 'SET ROLE guest; DROP DATABASE shop');
like($error, qr/must be owner of database/, 'a guest may not drop the database');
is(pids($node), $pids, 'nor end its worker by trying');

# Even from a statement
slow_statement($node, 'the worker is in a statement');
$position = log_position($node);
$took = seconds(sub { $node->safe_psql('postgres', 'DROP DATABASE shop') });
cmp_ok($took, '<', $soon, 'DROP DATABASE of the reconciled database');
unlike(our_log($node, $position), qr/WARNING|ERROR|refused/, 'which it leaves cleanly');
note(sprintf 'after %.2f s', $took);
$node->stop;

# Several databases, and no room for all workers
my $two = new_node(name => 'two', conf => "reconciler.database = 'shop, \"Big Shop\"'\n", extension => 0);
$two->safe_psql('postgres', 'CREATE DATABASE shop');
$two->safe_psql('postgres', 'CREATE DATABASE "Big Shop"');
set_workers($two, 3);
is($two->safe_psql('postgres', q{SELECT string_agg(datname, ', ' ORDER BY application_name) FROM pg_stat_activity WHERE backend_type = 'reconciler worker'}),
	'shop, Big Shop, shop', 'the workers are shared out among the databases');
open_shop($two);
$position = log_position($two);
ok(wait_until(sub {
	$two->safe_psql('shop', 'UPDATE reconciler.batches SET lease_token = pg_current_xact_id() WHERE lease_until > clock_timestamp()');
	our_log($two, $position) =~ /LOG:  statement failed role=worker worker_id=\S+ statement=\w+ code=RC001/;
}), 'a lease that somebody else has is noticed, and logged with its code');
slow_call($two, 'the worker goes on');
$position = log_position($two);
set_workers($two, 1);
$two->wait_for_log(qr/WARNING:.*"reconciler\.workers" is 1, too few for 2 databases/, $position);
$two->stop;
$two->append_conf('postgresql.conf', 'max_worker_processes = 3');
$position = log_position($two);
$two->adjust_conf('postgresql.auto.conf', 'reconciler.workers', '3');
$two->start;
$two->wait_for_log(qr/WARNING:.*out of background worker slots.*HINT:.*max_worker_processes/s, $position);
wait_for_sql($two, q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'reconciler worker'}, 'too few processes: the others work, and the log says why');
$two->stop;

# Without a database; without the preloaded library
my $bare = new_node(name => 'bare', conf => "reconciler.database = ''\n", workers => 1, extension => 0);
$bare->wait_for_log(qr/WARNING:.*no reconciler worker is started, because "reconciler\.database" is empty.*HINT:/s, 0);
is(pids($bare), '', 'no database, no worker, and the log says why');
$bare->stop;
$bare->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$bare->start;
$bare->safe_psql('postgres', 'CREATE EXTENSION reconciler');
is($bare->safe_psql('postgres', 'SELECT count(*) FROM reconciler.stat_get_workers()'), 0, 'not preloaded: the extension can be created and has no workers');
is($bare->safe_psql('postgres', 'SELECT * FROM reconciler.stat_get_workers(); SHOW reconciler.lease_duration'), '2s', 'and has its settings');
$bare->stop;

# A standby
my $primary = new_node(name => 'primary', conf => $conf, extension => 0, init => { allows_streaming => 1 });
$primary->safe_psql('postgres', 'CREATE DATABASE shop');
open_shop($primary);
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'reconciler.workers = 2');
$standby->start;
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'reconciler%'}), 0, 'nothing runs on a standby');
$standby->promote;
slow_call($standby, 'promoted, it works');
$standby->stop;
$primary->stop;

done_testing();
