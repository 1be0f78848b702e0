# Settings of the server, the database or a role that would break the statements of the protocol, or change
# what they mean: a worker and a daemon confirm a paid request under each of them, and under all of them.
use strict;
use warnings;

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my $node = new_node();
my $chain = start_anvil();
$chain->mine;
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE shop_owner;
CREATE ROLE nobody;
CREATE ROLE reconcilerd LOGIN;
SELECT reconciler.grant_worker('reconcilerd');
SQL
set_up_shop($node, $chain);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "chain" text DEFAULT 'ethereum', "network" text DEFAULT 'local',
	"asset" text DEFAULT 'ETH', "status" text DEFAULT 'pending', expected_amount_minor numeric DEFAULT 1000,
	address_canonical text, token_contract text, expires_at timestamptz, created_at timestamptz DEFAULT now(), updated_at timestamptz);
ALTER TABLE orders OWNER TO shop_owner;
SELECT reconciler.attach('orders');
-- The application learns of each change by a trigger of its own, whatever the session is set to
CREATE TABLE seen (id bigint, status text);
ALTER TABLE seen OWNER TO shop_owner;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.id, NEW.status); RETURN NULL; END $$;
CREATE TRIGGER tell AFTER UPDATE OF status ON orders FOR EACH ROW EXECUTE FUNCTION tell();
SQL

my %settings = (
	standard_conforming_strings => 'off', backslash_quote => 'off', array_nulls => 'off', transform_null_equals => 'on',
	role => 'nobody', DateStyle => 'SQL, DMY', TimeZone => 'Asia/Kolkata', IntervalStyle => 'sql_standard',
	bytea_output => 'escape', extra_float_digits => '-15', quote_all_identifiers => 'on',
	default_transaction_read_only => 'on', default_transaction_isolation => 'serializable', default_transaction_deferrable => 'on',
	idle_session_timeout => '100ms', idle_in_transaction_session_timeout => '1ms', statement_timeout => '1ms', lock_timeout => '1ms',
	client_encoding => 'LATIN1', client_min_messages => 'debug5', search_path => 'nowhere', session_replication_role => 'replica', row_security => 'off',
	exit_on_error => 'on', log_min_messages => 'panic', 'plpgsql.extra_errors' => 'all', 'plpgsql.variable_conflict' => 'error',
	lc_messages => 'C', jit_above_cost => '0', force_parallel_mode => 'on', debug_parallel_query => 'on', transaction_timeout => '1ms',
	restrict_nonsystem_relation_kind => 'view', check_function_bodies => 'off', default_tablespace => 'nowhere', work_mem => '64kB');
my %known = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT lower(name) FROM pg_settings');
my @known = grep { $known{ lc $_ } || /[.]/ || $_ eq 'role' } sort keys %settings;

sub add_order
{
	# Not by the hostile settings: they are meant for workers
	my $address = $chain->new_address;
	$chain->set_balance($address, '1000');
	local $ENV{PGOPTIONS} = '-c role=none -c default_transaction_read_only=off -c statement_timeout=0 -c transaction_timeout=0 -c lock_timeout=0'
	  . ' -c session_replication_role=origin -c search_path=public -c exit_on_error=off -c idle_in_transaction_session_timeout=0';
	$ENV{PGOPTIONS} =~ s/ -c transaction_timeout=0// unless $known{transaction_timeout};
	return $node->safe_psql('postgres', "INSERT INTO orders (address_canonical, expires_at) VALUES ('$address', now() + interval '1 hour') RETURNING id");
}

# Both looked for from a database that isn't set to anything
my $watch = session($node);
sub is_confirmed
{
	my ($id, $name) = @_;
	ok(wait_until(sub { ($watch->value("SELECT status FROM orders WHERE id = $id") // '') eq 'confirmed' }, 30), $name);
	return is($watch->value("SELECT string_agg(status, ' ') FROM seen WHERE id = $id AND status = 'confirmed'"), 'confirmed', "$name, and the application's trigger fired");
}

sub set_worker_count
{
	my ($n) = @_;
	$watch->query("ALTER SYSTEM SET reconciler.workers = $n");
	$watch->query('SELECT pg_reload_conf()');
	return wait_until(sub { $watch->value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'reconciler worker'") == $n });
}

# The statements that set and reset, for a database and for a role
sub alter
{
	my ($what, $action, @names) = @_;
	for my $name (@names)
	{
		my $value = $settings{$name};
		$value = "'$value'" unless $name eq 'search_path' || $name eq 'DateStyle';
		$watch->query("ALTER $what $action $name" . ($action eq 'SET' ? " = $value" : ''));
	}
	return;
}

for my $set (map({ [ $_, $_ ] } @known), [ 'all of them', @known ])
{
	my ($name, @names) = @$set;
	alter('DATABASE postgres', 'SET', @names);
	ok(set_worker_count(1), "$name: a worker runs");
	is_confirmed(add_order(), "$name: the worker confirms");
	set_worker_count(0);
	my $daemon = Reconciler::Daemon->start($node, user => 'reconcilerd', worker_id => 'database');
	is_confirmed(add_order(), "$name: a daemon confirms in that database");
	$daemon->terminate(30);
	alter('DATABASE postgres', 'RESET', @names);
}

# What is set for the daemon's own role, and in its environment, as far as it may be
my @own = grep { $_ ne 'role' } @known;
alter('ROLE reconcilerd', 'SET', @own);
{
	my $daemon = Reconciler::Daemon->start($node, user => 'reconcilerd', worker_id => 'role',
		env => { PGTZ => 'Pacific/Kiritimati', PGDATESTYLE => 'German', PGCLIENTENCODING => 'LATIN1', PGOPTIONS => '-c search_path=nowhere -c statement_timeout=1' });
	is_confirmed(add_order(), 'a daemon confirms as a role with all of them');
	is($daemon->terminate(30), 0, 'and stops');
	unlike($daemon->log, qr/statement failed|connection to the database lost/, 'without a failed statement');
}
alter('ROLE reconcilerd', 'RESET', @own);

done_testing();
