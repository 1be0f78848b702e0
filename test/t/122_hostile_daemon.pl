# A daemon's role whose holder lies: on a network with verify => 'server' it makes
# nothing final, and what was paid indeed is confirmed by a worker in the server.
# Its leases end with its rights.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node();
my $chain = start_anvil();
$chain->mine;
set_up_shop($node, $chain, verify => "'server'");
$node->safe_psql('postgres', "CREATE ROLE daemon LOGIN; SELECT reconciler.grant_worker('daemon')");
my $network = $node->safe_psql('postgres', "SELECT max(network_id) FROM reconciler.networks");

my $unpaid = add_request($node, address => $chain->new_address, amount => 1000);
my $address = $chain->new_address;
$chain->set_balance($address, '1000');
my $paid = add_request($node, address => $address, amount => 1000, expires => '-1 minute');

my $daemon = Reconciler::Session->new($node->connstr('postgres') . ' user=daemon');
my $now = time;

# Claims, and says that amount of every request
sub lie
{
	my ($amount) = @_;
	my @rows = $daemon->query("SELECT lo, token, seq FROM reconciler.claim('in-server worker 1', $network, -1, 100, '1 hour', '1 hour')");
	return 0 unless @rows;
	my $requests = join ', ', map { qq({"seq": $_->[2], "seen": "$amount", "settled": "$amount"}) } @rows;
	$daemon->query("SELECT * FROM reconciler.settle('in-server worker 1', $network, $rows[0][0], '$rows[0][1]', "
		. qq|'{"tip": {"height": 1, "time": $now}, "depth": {"height": 1}, "requests": [$requests]}')|);
	return scalar @rows;
}

is(lie(1000), 2, 'the daemon claims');
is(status_of($node, $unpaid), 'detected', 'what it says is paid is detected');
is(lie(1000), 0, 'the batch is due for others now');
like($node->safe_psql('postgres', "SELECT string_agg(value, '') FROM reconciler.explain('payment_requests', '$unpaid')"),
	qr/a worker in the server to see it, too/, 'explain says what is missing');
$node->safe_psql('postgres', "UPDATE reconciler.batches SET due_at = '-infinity'");
is(lie(0), 2, 'it claims again');
isnt(status_of($node, $paid), 'expired', 'what it says is not paid does not expire');

# With other privileges of a role than a superuser's it is the same
my $superuser = $node->safe_psql('postgres', 'SELECT quote_ident(current_user)');
$daemon->query('BEGIN');
eval { $daemon->query("SET SESSION AUTHORIZATION $superuser") };
like($@, qr/permission denied/, 'it passes for nobody else');
$daemon->query('ROLLBACK');

set_workers($node, 1);
wait_for_status($node, $paid, 'confirmed', name => 'a worker in the server confirms what is paid');
isnt(status_of($node, $unpaid), 'confirmed', 'and not what is not');
$chain->mine;
set_workers($node, 0);

# A lease of an hour, and the end of it
$node->safe_psql('postgres', "UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL");
my @held = $daemon->query("SELECT lo, token FROM reconciler.claim('d', $network, -1, 100, '1 hour', '1 hour') LIMIT 1");
is(scalar @held, 1, 'the daemon holds the batch for an hour');
$node->safe_psql('postgres', "SELECT reconciler.revoke_worker('daemon')");
eval { $daemon->query("SELECT reconciler.renew('d', $network, $held[0][0], '$held[0][1]', '1 hour')") };
like($@, qr/permission denied/, 'without its right it can do nothing');
is($node->safe_psql('postgres', "SELECT reconciler.due_in($network)"), 0, 'and others go on at once');

done_testing();
