# reconcilerd from its start to its end: cycles, stops in the middle of anything, a lost database, --once.
use strict;
use warnings;

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;
use Time::HiRes qw(time);

# A stop takes less than a second; this is what a very busy machine may make of it.
# Whatever is interrupted here lasts much longer.
my $stop_seconds = 10;

my $node = new_node(conf => "reconciler.request_timeout = '60s'\nreconciler.lease_duration = '120s'\n");
my $chain = start_anvil();
$chain->mine;
my $proxy = start_proxy($chain);
set_up_shop($node, $chain, endpoints => "ARRAY['" . $proxy->url . "']");
my $sql = session($node);

sub paid_request
{
	my $address = $chain->new_address;
	$chain->set_balance($address, '1000');
	return add_request($node, address => $address, amount => 1000);
}

# Stops it in the middle of something, and says how long that took
sub stops
{
	my ($daemon, $name) = @_;
	my $since = time();
	is($daemon->terminate($stop_seconds), 0, "$name: stops, exit code 0");
	note(sprintf '%s: stopped in %.2f s', $name, time() - $since);
	return;
}

# Of a process, by the kernel's tables: state 0A is LISTEN
sub listening_sockets
{
	my ($pid) = @_;
	my %inodes = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]$/ ? ($1 => 1) : () } glob "/proc/$pid/fd/*";
	my $listening = 0;
	for my $table (grep { -r } "/proc/$pid/net/tcp", "/proc/$pid/net/tcp6")
	{
		open my $file, '<', $table or die "$table: $!\n";
		while (<$file>)
		{
			my @columns = split;
			$listening++ if $columns[3] eq '0A' && $inodes{ $columns[9] };
		}
	}
	return $listening;
}

# Start, a cycle, stop

my $id = paid_request();
my $daemon = Reconciler::Daemon->start($node, worker_id => 'first');
wait_for_status($node, $id, 'confirmed');
ok($daemon->wait_for_log(qr/transition .*request_id=$id/), 'the transition is logged');
my ($code, $complaint) = $daemon->healthcheck;
is($code, 0, 'healthcheck of a daemon that works') or diag($complaint);
is($sql->value("SELECT role FROM reconciler.stat_workers WHERE worker_id = 'first'"), 'reconcilerd', 'stat_workers shows it');
SKIP:
{
	skip 'no /proc here', 1 unless -d "/proc/$$/fd";
	is(listening_sockets($daemon->pid), 0, 'it opens no listening socket');
}
stops($daemon, 'at rest');
like($daemon->log, qr/^\S+ info started role=reconcilerd worker_id=first version=/m, 'start is logged');
like($daemon->log,
	qr/cycle role=reconcilerd worker_id=first .*claimed=1 scanned=1 confirmed=\d+ detected=\d+ expired=0 skipped=0 errors=0 latency_ms=\d+/,
	'the cycle is logged');
like($daemon->log, qr/transition role=reconcilerd worker_id=first source=\S+ request_id=$id from=\w+ to=confirmed/, 'so is the transition');
like($daemon->log, qr/stopped role=reconcilerd worker_id=first\n\z/, 'stop is logged');
is(scalar(grep { !/worker_id=first/ } split /\n/, $daemon->log), 0, 'every line names the worker');
is($sql->value("SELECT state FROM reconciler.stat_workers WHERE worker_id = 'first'"), 'stopped', 'and the database knows');
($code, $complaint) = $daemon->healthcheck;
is($code, 1, 'healthcheck of a daemon that has stopped');
like($complaint, qr/no reconcilerd runs/, 'says so');

# A stop in mid-call: the lease is given back

$proxy->set(mode => 'hang');
$id = paid_request();
$daemon = Reconciler::Daemon->start($node, worker_id => 'second');
ok(wait_until(sub { $proxy->stats->{in_flight} > 0 && $sql->value("SELECT count(*) FROM reconciler.leases WHERE lease_owner = 'second'") > 0 }),
	'a call is in flight, under a lease');
# Not while a report is on its way
ok(wait_until(sub { $sql->value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reconcilerd' AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL)") == 0 }),
	'no transaction is open meanwhile');
stops($daemon, 'in mid-call');
is($sql->value('SELECT count(*) FROM reconciler.leases WHERE lease_owner IS NOT NULL'), 0, 'its lease is given back');
is($sql->value('SELECT count(*) FROM reconciler.batches WHERE due_at > clock_timestamp()'), 0, 'and due for others at once');
$proxy->set(mode => 'pass');

# SIGINT is as good
$daemon = Reconciler::Daemon->start($node, worker_id => 'interrupted');
wait_for_status($node, $id, 'confirmed');
$daemon->signal('INT');
is($daemon->exit_code($stop_seconds), 0, 'SIGINT stops it, too');

# A stop while the database is stuck

sub stick_backend
{
	my ($daemon) = @_;
	my ($row) = $sql->query("SELECT pid FROM pg_stat_activity WHERE application_name = 'reconcilerd'");
	kill 'STOP', $row->[0];
	return $row->[0];
}

$daemon = Reconciler::Daemon->start($node, worker_id => 'stuck');
ok(wait_until(sub { $sql->value("SELECT count(*) FROM reconciler.stat_workers WHERE worker_id = 'stuck'") > 0 }), 'a daemon works');
my $backend = stick_backend($daemon);
stops($daemon, 'with a database that is stuck');
kill 'CONT', $backend;

# The second signal ends it at once: by that signal's exit code, unless the first was faster
$daemon = Reconciler::Daemon->start($node, worker_id => 'twice');
ok(wait_until(sub { $sql->value("SELECT count(*) FROM reconciler.stat_workers WHERE worker_id = 'twice'") > 0 }), 'a daemon works');
$backend = stick_backend($daemon);
$daemon->signal('TERM');
Time::HiRes::sleep(0.1);
$daemon->signal('INT');
like($daemon->exit_code($stop_seconds), qr/^(?:130|0)$/, 'a second signal ends it');
kill 'CONT', $backend;

# A lost database

ok(wait_until(sub { $sql->value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reconcilerd'") == 0 }), 'no daemon is left');
$daemon = Reconciler::Daemon->start($node, worker_id => 'patient');
$id = paid_request();
wait_for_status($node, $id, 'confirmed');
$sql->value("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reconcilerd'");
$id = paid_request();
wait_for_status($node, $id, 'confirmed', name => 'works again after its connection was terminated');
like($daemon->log, qr/connection to the database lost .*\n(?:.*\n)*.*connected to the database again/, 'says so');

$id = paid_request();
$node->stop('immediate');
ok($daemon->wait_for_log(qr/no connection to the database .*attempt=2 retry_in_ms=\d+ message=/), 'the server is gone: tries again and again');
($code) = $daemon->healthcheck;
is($code, 0, 'for a while that is no illness');
$node->start;
wait_for_status($node, $id, 'confirmed', name => 'works again after a crash of the server');
ok($daemon->is_running, 'it is still the same process');
$sql = session($node);

# The extension goes and comes back

$node->safe_psql('postgres', 'DROP EXTENSION reconciler CASCADE');
ok($daemon->wait_for_log(qr/statement failed .*statement=\w+ code=(?:3F000|42883)/), 'the extension is gone: says so');
$node->safe_psql('postgres', 'CREATE EXTENSION reconciler; DROP TABLE payment_requests');
set_up_shop($node, $chain);
$id = paid_request();
wait_for_status($node, $id, 'confirmed', name => 'works again with the new one');
stops($daemon, 'after all that');

# --once

my @ids = map { paid_request() } 1 .. 5;
my $late = add_request($node, address => $chain->new_address, amount => 1000);
# It does what is due, and the daemon before it has only just been there
ok(wait_until(sub { $sql->value('SELECT count(*) FROM reconciler.batches WHERE due_at > clock_timestamp()') == 0 }), 'all is due');
$daemon = Reconciler::Daemon->start($node, args => [ '--once', '--poll-interval-seconds=600' ]);
is($daemon->exit_code, 0, '--once ends by itself');
is(status_of($node, $_), 'confirmed', "and has confirmed request $_") for @ids;
is(status_of($node, $late), 'pending', 'and left alone what is not paid');
is($sql->value('SELECT count(*) FROM reconciler.leases WHERE lease_owner LIKE ' . "'%:" . $daemon->pid . "'"), 0, 'it holds no lease')
  or diag($daemon->log);


# --once doesn't wait for a lost database for ever
$proxy->set(mode => 'hang');
$node->safe_psql('postgres', "SELECT reconciler.set_network('ethereum', 'local', endpoints => ARRAY['" . $proxy->url . "'])");
$daemon = Reconciler::Daemon->start($node, args => [ '--once', '--database-wait-seconds=1', '--lease-seconds=1' ]);
ok(wait_until(sub { $sql->value("SELECT count(*) FROM reconciler.leases WHERE lease_owner LIKE '%:" . $daemon->pid . "'") > 0 }), 'it is in mid-call');
$node->stop('immediate');
is($daemon->exit_code, 75, '--once with a lost database ends, and says that it has not finished');
like($daemon->log, qr/gave up, the database is lost/, 'in the log, too');

done_testing();
