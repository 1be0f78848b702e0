# A server of bad habits in front of an honest one, and a network for each habit.
#
#   my ($hostile, $reason) = Reconciler::Hostile->start('hostile_esplora.py', $esplora->url);
#   $hostile->url($_) for $hostile->cases;      # where each case is served
#   $hostile->honest;                           # from now on they all behave
#   $hostile->campaign(...);                    # all of it, with the assertions
#
# The cases stand in test/lib/hostile*.py.
package Reconciler::Hostile;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Reconciler::Process;
use Reconciler::Test;

my $lib = abs_path(dirname(__FILE__) . '/..');
my $json = JSON::PP->new->utf8;

# Returns (server) or (undef, reason)
sub start
{
	my ($class, $script, $target) = @_;
	my ($host, $port, $path) = $target =~ m{^http://([^/:]+):(\d+)(/.*)?$} or die "no http URL: $target\n";

	system('python3 -c "import http.server" 2>/dev/null') == 0 or return (undef, 'misbehaving servers need python3');
	my $self = bless {
		path => $path // '',
		http => HTTP::Tiny->new(timeout => 60),
		process => Reconciler::Process->spawn('hostile', 'python3', '-B', "$lib/$script", $host, $port),
	}, $class;
	my $deadline = time() + 30;
	until (($self->{port}) = $self->{process}->output =~ /^port (\d+)\n/m)
	{
		return (undef, 'misbehaving servers do not start: ' . $self->{process}->output)
		  if time() > $deadline || !$self->{process}->is_running;
		sleep 0.02;
	}
	return $self;
}

sub _call
{
	my ($self, $method, $name, $body) = @_;
	my $response = $self->{http}->request($method, "http://127.0.0.1:$self->{port}/hostile/$name",
		defined $body ? { content => $json->encode($body) } : {});
	die "$name: $response->{status} $response->{content}\n" unless $response->{success};
	return $json->decode($response->{content});
}

# The names of the cases, in order; quiet: of those that need not lead to an error
sub cases { my ($self) = @_; return map { $_->{name} } @{ $self->{cases} //= $self->_call(GET => 'cases') } }
sub quiet { my ($self) = @_; $self->cases; return map { $_->{name} } grep { $_->{quiet} } @{ $self->{cases} } }

sub url { my ($self, $case) = @_; return "http://127.0.0.1:$self->{port}/$case$self->{path}" }
sub requests { my ($self) = @_; return $self->_call(GET => 'stats') }
sub honest { my ($self) = @_; return $self->_call(POST => 'control', { honest => JSON::PP::true }) }

# What both kinds of chain go through. The options say how the chain is paid and named:
#   network, asset, kind (arguments of add_network, as SQL), honest (URL), addresses (four),
#   pay (address and amount pairs), mine (blocks), server (what the test calls one), detects
#   (1: what isn't mined yet is detected), token (what requests are paid in; none: the chain's coin)
sub campaign
{
	my ($self, %chain) = @_;
	my $node = new_node(workers => 1, conf => "reconciler.expiry_grace = '1 hour'\nreconciler.request_timeout = '1s'\n");
	my $session = session($node);
	my ($paid, $part, $unpaid, $healthy) = @{ $chain{addresses} };
	my @cases = $self->cases;
	my %quiet = map { $_ => 1 } $self->quiet;

	# The first column of each row
	my $column = sub { return grep { defined && length } map { $_->[0] } $session->query($_[0]) };
	my $add_network = sub {
		my ($name, @urls) = @_;
		my $poll = @urls > 1 ? '2 s' : '500 ms';
		return "SELECT reconciler.add_network('$name', '$chain{network}', ARRAY['" . join("','", @urls) . "'], $chain{kind},"
		  . " confirmations => 2, poll_interval => '$poll', max_tip_age => '1 hour');";
	};

	# What was paid, and is not confirmed yet
	my $unconfirmed = sub {
		my ($condition) = @_;
		return $column->("SELECT DISTINCT chain FROM payment_requests WHERE chain <> 'healthy'"
			  . " AND address_canonical = '$paid' AND status <> 'confirmed' AND $condition");
	};

	# Asked for 50,000 and got it; asked for 100,000 and got 60,000; asked for 1,000 and got nothing
	$chain{pay}->([ $paid, 50_000 ], [ $part, 60_000 ]);
	$chain{mine}->(2);
	$session->query("SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");
	$session->query(join '', 'BEGIN;',
		(map { $add_network->($_, $self->url($_)) . $add_network->("two_$_", $self->url($_), $chain{honest}) } @cases),
		$add_network->('healthy', $chain{honest}), 'COMMIT;');
	my $token = $chain{token} ? "'$chain{token}'" : 'NULL';
	$session->query("INSERT INTO payment_requests (chain, network, asset, token_contract, address_canonical, expected_amount_minor, expires_at)"
		  . " SELECT chain, '$chain{network}', '$chain{asset}', $token, address, amount, expires_at"
		  . " FROM unnest(ARRAY['" . join("','", @cases) . "']) chain, (VALUES ('$unpaid', 1000, NULL), ('$part', 100000, NULL),"
		  . " ('$paid', 50000, now() + interval '2 s')) r (address, amount, expires_at)"
		  . " UNION ALL SELECT 'two_' || chain, '$chain{network}', '$chain{asset}', $token, address, amount, NULL"
		  . " FROM unnest(ARRAY['" . join("','", @cases) . "']) chain, (VALUES ('$unpaid', 1000), ('$paid', 50000)) r (address, amount)");
	my $start = time;
	my $before = $self->requests;

	# The healthy network beside them
	my $id = add_request($node, chain => 'healthy', network => $chain{network}, asset => $chain{asset}, token => $chain{token}, address => $healthy, amount => 1000);
	$chain{pay}->([ $healthy, 1000 ]);
	wait_for_status($node, $id, 'detected', name => 'a healthy network is looked at') if $chain{detects};
	$chain{mine}->(2);
	my $mined = time;
	wait_for_status($node, $id, 'confirmed', name => 'a healthy network is settled');
	cmp_ok(time - $mined, '<', 20, sprintf 'and not delayed (%.1f s)', time - $mined);

	my @left;
	wait_until(sub { @left = $unconfirmed->("chain LIKE 'two\\_%'"); !@left });
	is("@left", '', sprintf 'a second ' . $chain{server} . ' is asked in place of each (%.1f s)', time - $start);
	wait_until(sub { @left = $unconfirmed->("chain IN ('" . join("','", keys %quiet) . "')"); !@left });
	is("@left", '', 'what only looks odd is believed');

	# Each misbehaves until all are known to, and long enough for a request to expire by it
	my $errors = "SELECT n.chain FROM reconciler.networks n LEFT JOIN reconciler.network_state s USING (network_id)"
	  . " WHERE n.chain <> 'healthy' AND n.chain NOT LIKE 'two\\_%' AND s.error IS NULL"
	  . " AND NOT EXISTS (SELECT FROM reconciler.queue q WHERE q.network_id = n.network_id AND q.error IS NOT NULL)";
	my @silent;
	wait_until(sub { @silent = grep { !$quiet{$_} } $column->($errors); !@silent && time - $start > 6 });
	is("@silent", '', 'each case shows an error');
	note("case $_->[0]: $_->[1]") for $session->query("SELECT n.chain, coalesce(s.error, 'request: ' ||"
		  . " (SELECT min(q.error) FROM reconciler.queue q WHERE q.network_id = n.network_id)) FROM reconciler.networks n"
		  . " LEFT JOIN reconciler.network_state s USING (network_id) ORDER BY 1");
	my $wrong = "SELECT chain || ': ' || expected_amount_minor || ' ' || status FROM payment_requests"
	  . " WHERE chain <> 'healthy' AND CASE WHEN address_canonical = '$paid' THEN status = 'expired' ELSE status <> 'pending' END";
	is(join(', ', $column->($wrong)), '', 'no status is wrong');

	my $requests = $self->requests;
	my $seconds = time - $start;
	my @often = grep { (($requests->{$_} // 0) - ($before->{$_} // 0)) / $seconds > 30 } @cases;
	is(join(', ', map { sprintf '%s: %.0f/s', $_, $requests->{$_} / $seconds } @often), '', 'none is asked without pause');
	is(join(', ', grep { !$requests->{$_} } @cases), '', 'each was asked');

	# Honest again. Who rests, or wanted to be left alone, is asked at once: a changed network forgets it
	$self->honest;
	$session->query("SELECT reconciler.set_network(chain, network, poll_interval => '1900 ms') FROM reconciler.networks WHERE network_id <> 0");
	wait_until(sub { @left = $unconfirmed->('true'); !@left });
	is("@left", '', 'what was paid is confirmed once they are honest');
	wait_until(sub { @left = $column->("SELECT n.chain FROM reconciler.networks n JOIN reconciler.network_state s"
			  . " USING (network_id) WHERE s.error IS NOT NULL"); !@left });
	is("@left", '', 'and no network has an error any more');
	is(join(', ', $column->($wrong)), '', 'no status is wrong then, either');
	unlike(slurp_file($node->logfile), qr/ERROR|FATAL|PANIC/, 'no errors in the log');
	return;
}

1;
