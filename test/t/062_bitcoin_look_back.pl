# Following a node: looking back as far as a request's age, pruned nodes, several endpoints, a daemon with few rights

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Bitcoin;
use Reconciler::Daemon;
use Reconciler::Test;

my $hour = 3600;
my $now = time;
my ($bitcoin, $reason) = Reconciler::Bitcoin->start(blocks => 0);
plan skip_all => $reason unless $bitcoin;

my $node = new_node(workers => 1, conf => "reconciler.log_cycles = all\n");
my %id;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A request made some days ago
sub request
{
	my ($name, $network, $address, $days) = @_;
	$id{$name} = sql("INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, created_at)"
		  . " VALUES ('bitcoin', '$network', 'BTC', 1000, '$address', now() - interval '$days days') RETURNING id");
	return;
}

# A chain over ten days, a block an hour; payments 8 and 5 days ago
$bitcoin->rpc('setmocktime', $now - 14 * 24 * $hour);
$bitcoin->mine(120);
for my $age (reverse 0 .. 240)
{
	$bitcoin->rpc('setmocktime', $now - $age * $hour);
	$bitcoin->pay([ $bitcoin->address('wpkh', 1), 1000 ]) if $age == 8 * 24;
	$bitcoin->pay([ $bitcoin->address('wpkh', 2), 1000 ], [ $bitcoin->address('wpkh', 9), 1000 ]) if $age == 5 * 24;
	$bitcoin->rpc('generatetoaddress', 1, $bitcoin->{miner});
}
$bitcoin->rpc('setmocktime', 0);

# A dead endpoint first
my $dead = Reconciler::Bitcoin::free_port();
sql("SELECT reconciler.add_network('bitcoin', 'regtest', ARRAY['http://127.0.0.1:$dead', '" . $bitcoin->url
	  . "'], kind => 'bitcoind', confirmations => 6); SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");
request('younger', 'regtest', $bitcoin->address('wpkh', 1), 6);
request('older', 'regtest', $bitcoin->address('wpkh', 2), 6);
wait_for_status($node, $id{older}, 'confirmed', name => 'a payment made when the request was a day old, by the second endpoint');
ok(wait_until(sub { sql("SELECT NOT bool_or(look_back_due OR looking_back) FROM reconciler.queue") eq 't' }), 'all has been looked through');
is(status_of($node, $id{younger}), 'pending', 'one from before the request is not looked for');
my $blocks = 0;
$blocks += $_ for map { /blocks=(\d+)/ ? $1 : 0 } log_lines($node, qr/cycle .*blocks=/);
cmp_ok($blocks, '<', 250, "$blocks of 361 blocks were read");
ok(log_lines($node, qr/endpoint failed, trying the next/) > 0, 'the log tells of the dead endpoint');

# The cursor is given up: what was found is found again, and credited to nobody else
sql("SELECT reconciler.restart_cursor('bitcoin', 'regtest')");
request('again', 'regtest', $bitcoin->address('wpkh', 2), 6);
request('other', 'regtest', $bitcoin->address('wpkh', 9), 6);
wait_for_status($node, $id{other}, 'confirmed', name => 'after restart_cursor');
is(status_of($node, $id{again}), 'pending', 'an output that paid a request does not pay the next one to its address');
is(sql("SELECT count(*) FROM reconciler.payments WHERE request_id = '$id{again}'"), 0, 'it stays with the first');

# A request whose address changes is looked for anew
sql("UPDATE payment_requests SET address_canonical = '" . $bitcoin->address('wpkh', 3) . "' WHERE id = '$id{younger}'");
$bitcoin->pay([ $bitcoin->address('wpkh', 3), 1000 ]);
wait_for_status($node, $id{younger}, 'detected', name => 'a changed address');

# A node that has pruned its old blocks
my ($pruned) = Reconciler::Bitcoin->start(blocks => 0, args => [ '-prune=1', '-fastprune' ]);
my $early = $pruned->address('wpkh', 4);
$pruned->mine(120);
$pruned->pay([ $early, 1000 ]);
$pruned->mine(900);
$pruned->pay([ $pruned->address('wpkh', 5), 1000 ]);
$pruned->mine(6);
my $kept = $pruned->rpc('pruneblockchain', 700);
ok($kept > 121, "blocks up to $kept are pruned");
sql("SELECT reconciler.set_network('bitcoin', 'regtest', endpoints => ARRAY['" . $pruned->url . "'], expiry_grace => '1 second');");
request('lost', 'regtest', $early, 3000);
request('within', 'regtest', $pruned->address('wpkh', 5), 3000);
wait_for_status($node, $id{within}, 'confirmed', name => 'what is within the window is found, on another chain of blocks');
ok(wait_until(sub { sql("SELECT error LIKE '%pruned%' FROM reconciler.queue WHERE request_id = '$id{lost}'") eq 't' }),
	'a request older than the window says so');
sql("UPDATE payment_requests SET expires_at = now() WHERE id = '$id{lost}'");
wait_for_status($node, $id{lost}, 'expired');
is(sql("SELECT reason FROM reconciler.transitions WHERE request_id = '$id{lost}'"), 'unobserved', 'and is not called unpaid');

# A daemon, with the rights of a worker and no more
set_workers($node, 0);
sql("CREATE ROLE reconcilerd LOGIN; SELECT reconciler.grant_worker('reconcilerd')");
my $daemon = Reconciler::Daemon->start($node, user => 'reconcilerd', env => { RECONCILER_POLL_INTERVAL_SECONDS => 1 });
request('daemon', 'regtest', $pruned->address('wpkh', 6), 0);
$pruned->pay([ $pruned->address('wpkh', 6), 1000 ]);
wait_for_status($node, $id{daemon}, 'detected', name => 'a daemon follows, too');
$pruned->mine(6);
wait_for_status($node, $id{daemon}, 'confirmed');
is($daemon->terminate, 0, 'and ends cleanly');

my $log = slurp_file($node->logfile);
unlike($log, qr/ERROR|FATAL|PANIC/, 'no errors in the log');
unlike($log, qr/$bitcoin->{password}/, 'and no password');
done_testing();
