# What happens to a Bitcoin request after its end, on a real node: a second payment, a late one, and a
# reorganisation deeper than the confirmations that takes its payment away and gives it back

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Bitcoin;
use Reconciler::Test;

my ($bitcoin, $reason) = Reconciler::Bitcoin->start(blocks => 160);
plan skip_all => $reason unless $bitcoin;

my $node = new_node(workers => 2);
my %id;

$node->safe_psql('postgres', "SELECT reconciler.add_network('bitcoin', 'regtest', ARRAY['" . $bitcoin->url
	  . "'], kind => 'bitcoind', confirmations => 2, poll_interval => '200ms', tip_interval => '200ms');"
	  . " SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub request
{
	my ($name, $address, $amount, %options) = @_;
	$id{$name} = add_request($node, chain => 'bitcoin', network => 'regtest', asset => 'BTC',
		address => $address, amount => $amount, %options);
	return $address;
}

# Polls until a query answers 1
sub wait_for
{
	my ($query, $name) = @_;
	return ok(wait_until(sub { sql($query) eq '1' }), $name);
}

sub events
{
	my ($kind, $name) = @_;
	return "SELECT count(*) FROM reconciler.events WHERE kind = '$kind' AND request_id = '$id{$name}'";
}

# Paid, and paid once more
my $shop = request('paid', $bitcoin->address('wpkh', 1), 50_000, expires => '1 hour');
my ($coin) = $bitcoin->coins($bitcoin->{miner}, 1);
my $conflict = $bitcoin->transaction(inputs => [$coin], fee => 50_000, outputs => [ [ $bitcoin->address('wpkh', 97), 40_000 ] ]);
$bitcoin->send_raw($bitcoin->transaction(inputs => [$coin], outputs => [ [ $shop, 50_000 ] ]));
my ($block) = $bitcoin->mine(1);
$bitcoin->mine(1);
wait_for_status($node, $id{paid}, 'confirmed');
$bitcoin->pay([ $shop, 700 ]);
wait_for(events('payment.seen', 'paid') . " AND payload ->> 'amount' = '700' AND payload ->> 'open' = 'false'", 'a second payment is told of');
is(sql("SELECT received, excess, amount_state, late_amount FROM reconciler.requests WHERE request_id = '$id{paid}'"), '50700|700|over|0', 'and is too much, not late');

# Late: the request is over before anybody pays
my $late = request('late', $bitcoin->address('wpkh', 2), 1000, expires => '1 second');
wait_for_status($node, $id{late}, 'expired');
$bitcoin->pay([ $late, 1000 ]);
wait_for(events('payment.late', 'late'), 'a late payment is told of');
is(sql("SELECT received, late_amount, watched_until > now() FROM reconciler.requests WHERE request_id = '$id{late}'"), '0|1000|t', 'it counts as late');
is(status_of($node, $id{late}), 'expired', 'and changes no status');

# Taken away by a conflict in a longer branch
$bitcoin->rpc('invalidateblock', $block);
$bitcoin->mine_only($conflict);
$bitcoin->mine_only() for 1 .. 3;
wait_for(events('confirmation.undone', 'paid'), 'a confirmation whose payment is undone is reported');
is(sql("SELECT needed, in_blocks, restored_at IS NULL FROM reconciler.undone_confirmations WHERE request_id = '$id{paid}'"), '50000|0|t', 'with what is missing');
is(status_of($node, $id{paid}), 'confirmed', 'its status stays');
is(sql("SELECT count(*) FROM reconciler.health() WHERE code = 'confirmation_undone'"), 1, 'health says so');
ok(log_lines($node, qr/confirmation undone .*request_id="?$id{paid}/) == 1, 'so does the log, once');

# And back: the first branch becomes the longer one
my $other = $bitcoin->rpc('getblockhash', $bitcoin->rpc('getblockcount') - 3);
$bitcoin->rpc('invalidateblock', $other);
$bitcoin->rpc('reconsiderblock', $block);
$bitcoin->mine_only() for 1 .. 4;
wait_for(events('confirmation.restored', 'paid'), 'it is restored with its branch');
is(sql(events('confirmation.undone', 'paid')), 1, 'there was one report');
is(sql("SELECT count(*) FROM reconciler.payments WHERE request_id = '$id{paid}' AND amount = 50000 AND block_hash = '$block' AND gone_at IS NULL"), 1, 'in the block that it had');
done_testing();
