# Misbehaving EVM nodes: none of them confirms, detects or expires a request
# wrongly, is asked without pause, delays the healthy network beside them, or
# hides a healthy second node; each shows an error, and works again as soon as it
# is honest.
# Every case is two networks, alone and with a healthy second endpoint, and one
# worker looks at all of them.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

use Reconciler::Hostile;
use Reconciler::Test;

my $chain = start_anvil();
my ($hostile, $reason) = Reconciler::Hostile->start('hostile_evm.py', $chain->url);
plan skip_all => $reason unless $hostile;

my $node = new_node(workers => 1, conf => "reconciler.expiry_grace = '1 hour'\nreconciler.request_timeout = '1s'\n");
my $session = session($node);
my ($paid, $part, $unpaid, $healthy) = map { $chain->new_address } 1 .. 4;
my @cases = $hostile->cases;
my %quiet = map { $_ => 1 } $hostile->quiet;

# Asked for 50,000 and got it; asked for 100,000 and got 60,000; asked for 1,000 and got nothing
$chain->send_eth($paid, 50_000);
$chain->send_eth($part, 60_000);
$chain->mine(2);

# The first column of each row
sub column { return grep { defined && length } map { $_->[0] } $session->query($_[0]) }

sub add_network
{
	my ($name, @urls) = @_;
	my $poll = @urls > 1 ? '2 s' : '500 ms';
	return "SELECT reconciler.add_network('$name', 'local', ARRAY['" . join("','", @urls) . "'], chain_id => 31337,"
	  . " confirmations => 2, poll_interval => '$poll', max_tip_age => '1 hour');";
}

$session->query("SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");
$session->query(join '', 'BEGIN;', (map { add_network($_, $hostile->url($_)) . add_network("two_$_", $hostile->url($_), $chain->url) } @cases),
	add_network('healthy', $chain->url), 'COMMIT;');
$session->query("INSERT INTO payment_requests (chain, network, asset, address_canonical, expected_amount_minor, expires_at)"
	  . " SELECT chain, 'local', 'ETH', address, amount, expires_at"
	  . " FROM unnest(ARRAY['" . join("','", @cases) . "']) chain, (VALUES ('$unpaid', 1000, NULL), ('$part', 100000, NULL),"
	  . " ('$paid', 50000, now() + interval '2 s')) r (address, amount, expires_at)"
	  . " UNION ALL SELECT 'two_' || chain, 'local', 'ETH', address, amount, NULL"
	  . " FROM unnest(ARRAY['" . join("','", @cases) . "']) chain, (VALUES ('$unpaid', 1000), ('$paid', 50000)) r (address, amount)");
my $start = time;
my $before = $hostile->requests;

# The healthy network beside them
my $id = add_request($node, chain => 'healthy', address => $healthy, amount => 1000);
$chain->send_eth($healthy, 1000);
$chain->mine(2);
my $mined = time;
wait_for_status($node, $id, 'confirmed', name => 'a healthy network is looked at');
cmp_ok(time - $mined, '<', 20, sprintf 'and not delayed (%.1f s)', time - $mined);

# What was paid, and is not confirmed yet
sub unconfirmed
{
	my ($condition) = @_;
	return column("SELECT DISTINCT chain FROM payment_requests WHERE chain <> 'healthy'"
		  . " AND address_canonical = '$paid' AND status <> 'confirmed' AND $condition");
}

my @left;
wait_until(sub { @left = unconfirmed("chain LIKE 'two\\_%'"); !@left });
is("@left", '', sprintf 'a second node is asked in place of each (%.1f s)', time - $start);
wait_until(sub { @left = unconfirmed("chain IN ('" . join("','", keys %quiet) . "')"); !@left });
is("@left", '', 'what only looks odd is believed');

# Each misbehaves until all are known to, and long enough for a request to expire by it
my $errors = "SELECT n.chain FROM reconciler.networks n LEFT JOIN reconciler.network_state s USING (network_id)"
  . " WHERE n.chain <> 'healthy' AND n.chain NOT LIKE 'two\\_%' AND s.error IS NULL"
  . " AND NOT EXISTS (SELECT FROM reconciler.queue q WHERE q.network_id = n.network_id AND q.error IS NOT NULL)";
my @silent;
wait_until(sub { @silent = grep { !$quiet{$_} } column($errors); !@silent && time - $start > 6 });
is("@silent", '', 'each case shows an error');
note("case $_->[0]: $_->[1]") for $session->query("SELECT n.chain, coalesce(s.error, 'request: ' ||"
	  . " (SELECT min(q.error) FROM reconciler.queue q WHERE q.network_id = n.network_id)) FROM reconciler.networks n"
	  . " LEFT JOIN reconciler.network_state s USING (network_id) ORDER BY 1");
my $wrong = "SELECT chain || ': ' || expected_amount_minor || ' ' || status FROM payment_requests"
  . " WHERE chain <> 'healthy' AND CASE WHEN address_canonical = '$paid' THEN status = 'expired' ELSE status <> 'pending' END";
is(join(', ', column($wrong)), '', 'no status is wrong');

my $requests = $hostile->requests;
my $seconds = time - $start;
my @often = grep { (($requests->{$_} // 0) - ($before->{$_} // 0)) / $seconds > 30 } @cases;
is(join(', ', map { sprintf '%s: %.0f/s', $_, $requests->{$_} / $seconds } @often), '', 'none is asked without pause');
is(join(', ', grep { !$requests->{$_} } @cases), '', 'each was asked');

# Honest again. Who rests, or wanted to be left alone, is asked at once: a changed network forgets it
$hostile->honest;
$session->query("SELECT reconciler.set_network(chain, network, poll_interval => '1900 ms') FROM reconciler.networks WHERE kind = 'evm'");
wait_until(sub { @left = unconfirmed('true'); !@left });
is("@left", '', 'what was paid is confirmed once they are honest');
wait_until(sub { @left = column("SELECT n.chain FROM reconciler.networks n JOIN reconciler.network_state s"
		  . " USING (network_id) WHERE s.error IS NOT NULL"); !@left });
is("@left", '', 'and no network has an error any more');
is(join(', ', column($wrong)), '', 'no status is wrong then, either');
unlike(slurp_file($node->logfile), qr/ERROR|FATAL|PANIC/, 'no errors in the log');
done_testing();
