# What the TAP tests share: servers with the extension, private chains, slow
# endpoints, an audit of every lease, and waiting for what must come.
#
#   use Reconciler::Test;
#   my $node = new_node(workers => 3);
#   my $chain = start_anvil();
#   set_up_shop($node, $chain);
#   my $id = add_request($node, address => $address, amount => 1000);
#   wait_for_status($node, $id, 'confirmed');
package Reconciler::Test;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

use Reconciler::Audit;
use Reconciler::Chain;
use Reconciler::Process;
use Reconciler::Proxy;
use Reconciler::Session;

our @EXPORT = qw(
  new_node session start_anvil start_proxy start_misbehaving set_up_shop add_request set_workers
  audit_leases audit_report status_of wait_for_status wait_until wait_for_sql log_lines random_seed
);

# Seconds that anything is waited for, before the test fails
my $patience = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;

# The seed of a test that leaves things to chance: TEST_SEED, or one that is
# printed so that TEST_SEED can bring it back
sub random_seed
{
	my $seed = $ENV{TEST_SEED} // int(rand(2**31));
	note("TEST_SEED=$seed");
	srand($seed);
	return $seed;
}

# A started server. Options: name, workers (0), conf (lines; they win), start (1), extension (1),
# init (arguments of PostgreSQL::Test::Cluster's init)
sub new_node
{
	my (%options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($options{name} // 'main');
	my %init = %{ $options{init} // {} };
	# Results must not depend on the locale of whoever runs the tests.
	$node->init(%init, extra => [ '--encoding=UTF8', '--locale=C', @{ $init{extra} // [] } ]);
	$node->append_conf('postgresql.conf', <<"CONF" . ($options{conf} // ''));
shared_preload_libraries = 'reconciler'
reconciler.database = 'postgres'
reconciler.workers = @{[ $options{workers} // 0 ]}
reconciler.poll_interval = '200ms'
reconciler.lease_duration = '2s'
reconciler.request_timeout = '2s'
max_worker_processes = 24
shared_buffers = '64MB'
max_wal_size = '1GB'
fsync = off
log_statement = none
log_line_prefix = '%m [%p] %b %q%a '
CONF
	if ($options{start} // 1)
	{
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION reconciler') if $options{extension} // 1;
	}
	return $node;
}

# A connection that stays; see Reconciler::Session
sub session
{
	my ($node, $database) = @_;
	return Reconciler::Session->new($node->connstr($database // 'postgres'));
}

sub start_anvil { return Reconciler::Chain->start(@_) }

# A proxy in front of a chain (or URL) that can be slow, hang, …; see Reconciler::Proxy
sub start_proxy
{
	my ($target, %settings) = @_;
	return Reconciler::Proxy->start(ref $target ? $target->url : $target, %settings);
}

# An endpoint with no node behind it: by default it answers every request with status, headers, body
sub start_misbehaving
{
	my (%settings) = @_;
	return Reconciler::Proxy->start(undef, mode => 'answer', %settings);
}

# Registers a chain as ethereum/local and creates payment_requests. Options: those of
# reconciler.add_network, as SQL; endpoints defaults to the chain's
sub set_up_shop
{
	my ($node, $chain, %options) = @_;
	my %arguments = (
		chain => "'ethereum'",
		network => "'local'",
		endpoints => "ARRAY['" . $chain->url . "']",
		chain_id => $chain->chain_id,
		%options);
	my $arguments = join ', ', map { "$_ => $arguments{$_}" } sort keys %arguments;
	$node->safe_psql('postgres',
		"SELECT reconciler.add_network($arguments); SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true);");
	return;
}

# Inserts a payment request and returns its id. Options: address, amount (null: any), token, asset,
# expires (an SQL interval from now; null: never), chain, network, table
sub add_request
{
	my ($node, %options) = @_;
	my $quoted = sub { my ($value) = @_; return defined $value ? "'$value'" : 'NULL' };
	my $expires = defined $options{expires} ? "now() + interval '$options{expires}'" : 'NULL';
	return $node->safe_psql('postgres', sprintf(
		'INSERT INTO %s (chain, network, asset, expected_amount_minor, address_canonical, token_contract, expires_at)'
		  . ' VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id',
		$options{table} // 'payment_requests',
		$quoted->($options{chain} // 'ethereum'),
		$quoted->($options{network} // 'local'),
		$quoted->($options{asset} // ($options{token} ? 'TST' : 'ETH')),
		$options{amount} // 'NULL',
		$quoted->($options{address}),
		$quoted->($options{token}),
		$expires));
}

# ALTER SYSTEM SET reconciler.workers, and waits until that many run
sub set_workers
{
	my ($node, $workers) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET reconciler.workers = $workers");
	$node->reload;
	return wait_for_sql($node, "SELECT count(*) = $workers FROM pg_stat_activity WHERE backend_type = 'reconciler worker'",
		"$workers workers run");
}

sub status_of
{
	my ($node, $id, $table) = @_;
	$table //= 'payment_requests';
	return $node->safe_psql('postgres', "SELECT status FROM $table WHERE id::text = '$id'");
}

# A passing or failing test: the request has come to the status
sub wait_for_status
{
	my ($node, $id, $status, %options) = @_;
	my $table = $options{table} // 'payment_requests';
	my $name = $options{name} // "request $id is $status";
	my $came = wait_until(sub { status_of($node, $id, $table) eq $status }, $options{seconds});
	ok($came, $name) or diag("it is " . status_of($node, $id, $table) . "\n" . why($node, $id, $table));
	return $came;
}

# Why a request is where it is
sub why
{
	my ($node, $id, $table) = @_;
	my ($status, $out, $error) = $node->psql('postgres', "SELECT * FROM reconciler.explain('$table', '$id')");
	return "$out$error";
}

# Polls until the code returns true; false when it never did
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $deadline = Time::HiRes::time() + ($seconds // $patience);
	until ($condition->())
	{
		return 0 if Time::HiRes::time() > $deadline;
		Time::HiRes::sleep(0.05);
	}
	return 1;
}

# A passing or failing test: the query has come to yield true
sub wait_for_sql
{
	my ($node, $sql, $name, %options) = @_;
	my $session = session($node, $options{database});
	my $came = wait_until(sub { ($session->value($sql) // '') eq 't' }, $options{seconds});
	ok($came, $name);
	$session->close;
	return $came;
}

# Lines of the server's log that match
sub log_lines
{
	my ($node, $pattern) = @_;
	return grep { $_ =~ $pattern } split /\n/, slurp_file($node->logfile);
}

# Records every lease from now on; see Reconciler::Audit
sub audit_leases
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres', Reconciler::Audit::install());
	return;
}

# leases, requests, workers, overlaps, duplicate_transitions, contradictions
sub audit_report
{
	my ($node, $database) = @_;
	my $session = session($node, $database);
	my $report = Reconciler::Audit::report($session);
	$session->close;
	return $report;
}

1;
