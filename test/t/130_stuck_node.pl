# The first of two EVM nodes stands still, is far behind, or has a clock that can't be: it rests,
# the second is asked, and what was paid there in time is confirmed. An old tip that reaches settle
# all the same is doubted: counted, shown, and no reason to give up a request whose grace is over.
use strict;
use warnings;

use Reconciler::Test;
use Test::More;

my $now = time;
my $good = start_anvil(block_time => 1);
my %bad = (
	stuck => start_anvil(),
	behind => start_anvil(args => [ '--timestamp', $now - 120 ]),
	future => start_anvil(args => [ '--timestamp', $now + 7200 ], block_time => 1),
	milliseconds => start_anvil(args => [ '--timestamp', $now * 1000 ], block_time => 1));
$good->mine(50);

my $node = new_node(workers => 1, conf => "reconciler.request_timeout = '500ms'\n");
$node->safe_psql('postgres', q{SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)});

sub add_network
{
	my ($name, $age, @chains) = @_;
	my $urls = join ', ', map { "'" . $_->url . "'" } @chains;
	$node->safe_psql('postgres', "SELECT reconciler.add_network('ethereum', '$name', ARRAY[$urls], chain_id => 31337,"
		  . " confirmations => 2, max_tip_age => '$age', expiry_grace => '2 s')");
	return;
}

# The tip that stood still is older than 5 s from here on
ok(wait_until(sub { time - hex($bad{stuck}->rpc('eth_getBlockByNumber', 'latest', \0)->{timestamp}) > 5 }), 'a node stands still');

# The one that is behind is seen to be so by its height: an hour's age would be fine. At first it
# doesn't answer, so that the height of the other is known
$bad{behind}->suspend;
add_network($_, $_ eq 'behind' ? '1 hour' : '5 s', $bad{$_}, $good) for sort keys %bad;
wait_for_sql($node, q{SELECT tip_height >= 50 FROM reconciler.stat_networks WHERE network = 'behind'}, 'the height is known')
  if add_request($node, network => 'behind', address => Reconciler::Chain::new_address(), amount => 1);
$bad{behind}->resume;

my (%paid, %unpaid);
for my $network (sort keys %bad)
{
	my $address = Reconciler::Chain::new_address();
	$paid{$network} = add_request($node, network => $network, address => $address, amount => 1000, expires => '4 s');
	$unpaid{$network} = add_request($node, network => $network, address => Reconciler::Chain::new_address(),
		amount => 1000, expires => '4 s');
	$good->send_eth($address, 1000, mine => 0);
}
my %why = (
	stuck => qr/is behind: its tip, block 0/,
	behind => qr/is behind: its tip is block 0, another endpoint was beyond block \d+ already/,
	future => qr/lies in the future/,
	milliseconds => qr/not in seconds/);
for my $network (sort keys %bad)
{
	wait_for_status($node, $paid{$network}, 'confirmed', name => "$network: what was paid in time is confirmed");
	wait_for_status($node, $unpaid{$network}, 'expired', name => "$network: what wasn't paid expires");
	is($node->safe_psql('postgres', "SELECT reason FROM reconciler.transitions WHERE request_id = '$unpaid{$network}'"),
		'unpaid', 'for that reason');
	my $url = quotemeta $bad{$network}->url;
	ok((grep { $_ =~ /network=$network / && $_ =~ /endpoint=$url/ && $_ =~ $why{$network} } log_lines($node, qr/endpoint failed/)),
		'the log says why the other node is asked');
}
is($node->safe_psql('postgres', q{SELECT sum(doubts) FROM reconciler.stat_networks}), 0, 'settle had nothing to doubt');

# A worker that believes the node that stands still: doubt is no evidence, whatever the grace
set_workers($node, 0);
my $id = add_request($node, network => 'stuck', address => Reconciler::Chain::new_address(), amount => 1000, expires => '-1 minute');
my $network = $node->safe_psql('postgres', q{SELECT network_id FROM reconciler.networks WHERE network = 'stuck'});
my ($lo, $token, $seq);
ok(wait_until(sub {
	$node->safe_psql('postgres', q{UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL});
	($lo, $token, $seq) = split /\|/, $node->safe_psql('postgres',
		"SELECT lo, token, seq FROM reconciler.claim('w', $network, -1, 100, '10 s', '10 s') LIMIT 1");
	return defined $seq;
}), 'it is claimed');
is($node->safe_psql('postgres', qq{SELECT outcome FROM reconciler.settle('w', $network, $lo, '$token', format(
	'{"tip": {"height": 0, "hash": "0x", "time": %s}, "requests": [{"seq": $seq, "seen": "0", "settled": "0"}]}', $now - 60)::jsonb)}),
	'doubted', 'an old tip that reaches settle is doubted');
is(status_of($node, $id), 'pending', 'and leaves the request open, though its grace is over');
is($node->safe_psql('postgres', q{SELECT doubts, error ~ 'is behind' FROM reconciler.stat_networks WHERE network = 'stuck'}), '1|t',
	'stat_networks counts and shows it');

$_->stop for $good, values %bad;
$node->stop;
done_testing();
