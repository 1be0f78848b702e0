# The tests' own tools: a misbehaving endpoint misbehaves, the audit sees an overlap

use strict;
use warnings;

use HTTP::Tiny;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Reconciler::Test;

my $chain = start_anvil();
my $address = Reconciler::Chain::new_address();
$chain->send_eth($address, '20000000000000000000');
is($chain->rpc('eth_getBalance', $address, 'latest'), Reconciler::Chain::quantity('20000000000000000000'), 'ETH arrives');

my $token = $chain->deploy_token;
$chain->transfer_token($token, $address, 1234);
my $balance_of = { to => $token, data => '0x70a08231' . ('0' x 24) . substr($address, 2) };
is(hex $chain->rpc('eth_call', $balance_of, 'latest'), 1234, 'a token arrives');

my $height = $chain->height;
$chain->mine(3);
is($chain->height, $height + 3, 'blocks are mined on demand');
is(scalar(grep { hex == $height + 3 } $chain->rpc_batch((['eth_blockNumber']) x 600)), 600, 'calls go in batches');

my $proxy = start_proxy($chain,
	delay_ms => 200,
	handlers => { odd => sub { my ($body) = @_; return $body =~ /eth_chainId/ ? [ 200, 'odd' ] : undef } });
my $http = HTTP::Tiny->new(timeout => 1);
my $ask = sub {
	return $http->post($proxy->url, {
		content => '{"jsonrpc":"2.0","id":1,"method":"eth_' . $_[0] . '","params":[]}',
		headers => { 'content-type' => 'application/json' } });
};
my $start = time();
like($ask->('chainId')->{content}, qr/0x7a69/, 'a proxy passes requests on');
cmp_ok(time() - $start, '>=', 0.2, 'and delays the answer');
$proxy->set(mode => 'odd', delay_ms => 0);
is($ask->('chainId')->{content}, 'odd', 'a handler answers in place of the node');
like($ask->('blockNumber')->{content}, qr/result/, 'or passes');
$proxy->set(mode => 'answer', status => 429, headers => { 'retry-after' => 7 }, body => 'slow down');
my $answer = $ask->('chainId');
is("$answer->{status} $answer->{headers}{'retry-after'} $answer->{content}", '429 7 slow down', 'an answer as it was set');
$proxy->set(mode => 'truncate');
is($ask->('chainId')->{status}, 599, 'an answer is cut');
$proxy->set(mode => 'refuse');
is($ask->('chainId')->{status}, 599, 'a request is refused');
$proxy->set(mode => 'hang');
is($ask->('chainId')->{status}, 599, 'a request is never answered');
$proxy->set(mode => 'pass');
like($ask->('chainId')->{content}, qr/0x7a69/, 'and all is well again');
cmp_ok($proxy->stats->{requests}, '>=', 8, 'requests are counted');

# The audit must be able to fail.
my $node = new_node();
audit_leases($node);
$node->safe_psql('postgres', <<'SQL');
INSERT INTO reconciler.batches (network_id, lo, hi, lease_owner, lease_until, lease_token) VALUES
	(1, 0, 100, 'a', clock_timestamp() + interval '1 hour', '1'),
	(1, 100, 200, 'b', clock_timestamp() + interval '1 hour', '2'),
	(2, 0, 200, 'b', clock_timestamp() + interval '1 hour', '3');
SQL
is(audit_report($node)->{overlaps}, 0, 'leases side by side do not overlap');
$node->safe_psql('postgres', <<'SQL');
UPDATE reconciler.batches SET lease_owner = NULL, lease_until = NULL WHERE network_id = 1 AND lo = 0;
SQL
$node->safe_psql('postgres', <<'SQL');
UPDATE reconciler.batches SET lease_owner = 'c', lease_until = clock_timestamp() + interval '1 hour', lease_token = '4'
 WHERE network_id = 1 AND lo = 0;
SQL
is(audit_report($node)->{overlaps}, 0, 'nor do leases one after the other');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO reconciler.batches (network_id, lo, hi, lease_owner, lease_until, lease_token) VALUES
	(1, 50, 101, 'd', clock_timestamp() + interval '1 hour', '5');
SQL
my $report = audit_report($node);
is($report->{overlaps}, 2, 'leases of the same requests do');
is($report->{workers}, 4, 'the audit counts workers');
$node->safe_psql('postgres', <<'SQL');
UPDATE reconciler.batches SET lease_owner = 'e', lease_until = clock_timestamp() + interval '1 hour', lease_token = '6'
 WHERE network_id = 2;
SQL
is(audit_report($node)->{overlaps}, 3, 'a lease that is taken away before its time overlaps the next');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO reconciler.batches (network_id, lo, hi, lease_owner, lease_until, lease_token) VALUES
	(3, 0, 200, 'a', clock_timestamp(), '7');
UPDATE reconciler.batches SET lease_owner = 'f', lease_until = clock_timestamp() + interval '1 hour', lease_token = '8'
 WHERE network_id = 3;
SQL
is(audit_report($node)->{overlaps}, 3, 'one whose time is over does not');
$node->safe_psql('postgres', <<'SQL');
DELETE FROM reconciler.batches WHERE network_id = 3;
INSERT INTO reconciler.batches (network_id, lo, hi, lease_owner, lease_until, lease_token) VALUES
	(3, 0, 300, 'g', clock_timestamp() + interval '1 hour', '9');
SQL
is(audit_report($node)->{overlaps}, 4, 'one whose batch is removed does');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO reconciler.transitions (source, request_id, from_status, to_status, reason) VALUES
	('t', '1', 'pending', 'detected', 'seen'), ('t', '1', 'detected', 'confirmed', 'settled'),
	('t', '2', 'pending', 'detected', 'seen'), ('t', '2', 'pending', 'detected', 'seen'),
	('t', '3', 'confirmed', 'expired', 'unpaid');
SQL
$report = audit_report($node);
is($report->{duplicate_transitions}, 1, 'a transition made twice is found');
is($report->{contradictions}, 2, 'so are steps that make no sense');

$node->stop;
done_testing();
