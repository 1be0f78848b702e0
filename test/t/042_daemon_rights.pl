# The database role of reconcilerd needs four lines of SQL and can do no more than its work;
# no secret comes into a log; endpoints of its own stay out of the database.
use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP qw(decode_json encode_json);

use Reconciler::Daemon;
use Reconciler::Test;
use Test::More;

my $node = new_node();
my $chain = start_anvil();
$chain->mine;
my $session = session($node);

my @protocol = qw(advance_cursor begin_look_back claim claim_cursor due_in end_look_back fail_network follow_among follow_keys follow_tokens look_back look_back_scripts maintain
  note_mempool register_network release release_cursor renew renew_cursor report settle settle_network take_budget unconfirmed_payments undo_blocks
  worker_networks
  claim_tip note_tip
  retire_events webhooks_due claim_webhook finish_webhook health);
my $protocol = join ', ', map { "'$_'" } @protocol;

# The role, as documented
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE reconcilerd LOGIN PASSWORD 'planted-password';
GRANT CONNECT ON DATABASE postgres TO reconcilerd;
ALTER ROLE reconcilerd CONNECTION LIMIT 50;
SELECT reconciler.grant_worker('reconcilerd');
SQL
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', "local all reconcilerd scram-sha-256\nlocal all all trust\n");
$node->reload;

my %role = (user => 'reconcilerd', password => 'planted-password');

# An endpoint whose every part is a secret but for host and port: the proxy in front of
# the chain doesn't care for credentials and path
sub start_keyed_endpoint
{
	my $http = HTTP::Tiny->new;
	my $ask = sub {
		my ($body) = @_;
		my $answer = $http->post($chain->url, { content => $body, headers => { 'content-type' => 'application/json' } });
		return [ $answer->{status}, $answer->{content} ];
	};
	return start_proxy($chain, mode => 'keyed', handlers => { keyed => $ask, tattle => \&tattle });
}

# Errors that repeat the secrets, in answer to every call
sub tattle
{
	my ($body) = @_;
	my $calls = decode_json($body);
	my $list = ref $calls eq 'ARRAY';
	my @answers = map {
		{ jsonrpc => '2.0', id => $_->{id}, error => { code => -32000, message => "unwelcome: planted-key, planted-user:planted-word" } }
	} $list ? @$calls : $calls;
	return [ 200, encode_json($list ? \@answers : $answers[0]) ];
}

my $proxy = start_keyed_endpoint();
my $plain = $proxy->url;
(my $secret_url = $plain) =~ s{http://}{http://planted-user:planted-word\@};
$secret_url .= '/v3/planted-key?token=planted-token';
set_up_shop($node, $chain, endpoints => "ARRAY['$secret_url']");

sub paid_request
{
	my (%options) = @_;
	my $address = $chain->new_address;
	$chain->set_balance($address, '1000');
	return add_request($node, address => $address, amount => 1000, %options);
}

# It can work

my $id = paid_request();
my $daemon = Reconciler::Daemon->start($node, %role, worker_id => 'limited', env => { RECONCILER_LOG_LEVEL => 'debug' });
wait_for_status($node, $id, 'confirmed', name => 'the role is enough to confirm a request');
unlike($daemon->log, qr/superuser/, 'no warning about its role');

# Failures of all sorts, and none of them tells a secret
$id = paid_request();
$proxy->set(mode => 'answer', status => 401, body => "no access for planted-user:planted-word with $secret_url");
ok($daemon->wait_for_log(qr/observation failed .*401/), 'an endpoint that refuses is logged');
$proxy->set(mode => 'answer', status => 200, body => "<html>$secret_url</html>");
ok($daemon->wait_for_log(qr/observation failed .*(?:JSON|answer)/), 'an endpoint that answers nonsense is logged');
$proxy->set(mode => 'tattle');
ok($daemon->wait_for_log(qr/observation failed .*unwelcome/), 'an endpoint that repeats its key is logged');
$proxy->stop;
ok($daemon->wait_for_log(qr/observation failed .*(?:connect|refused)/i), 'an endpoint that is gone is logged');
is($daemon->terminate, 0, 'stops');
unlike($daemon->log, qr/planted/, 'no secret in the log');
like($daemon->log, qr{http://\S*127\.0\.0\.1:\d+}, 'though it names the endpoint') or diag($daemon->log);
unlike($session->value("SELECT coalesce(string_agg(s::text, ''), '') FROM reconciler.stat_networks s"), qr/planted/, 'no secret in stat_networks');
unlike($session->value("SELECT coalesce(string_agg(b::text, ''), '') FROM reconciler.batches b"), qr/planted/, 'no secret in batches');
unlike($session->value("SELECT coalesce(string_agg(q::text, ''), '') FROM reconciler.queue q"), qr/planted/, 'no secret in the queue');
is(scalar(log_lines($node, qr/planted-(?:user|word|key|token)/)), 0, "no secret in the server's log");

# A connection that fails
$daemon = Reconciler::Daemon->start($node, user => 'reconcilerd', password => 'planted-wrong-one',
	env => { RECONCILER_DATABASE_WAIT_SECONDS => 0 });
is($daemon->exit_code, 78, 'wrong password: exit code');
like($daemon->log, qr/CONFIG_DATABASE_UNREACHABLE: .*password authentication failed/, 'says so');
unlike($daemon->log, qr/planted/, 'no password in the log');

# Each function of the protocol is needed, and looked for at start; health is for --healthcheck
for my $function (grep { $_ ne 'health' } @protocol)
{
	my $signature = $session->value("SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'reconciler'::regnamespace AND proname = '$function'");
	$session->value("REVOKE EXECUTE ON FUNCTION $signature FROM reconcilerd");
	$daemon = Reconciler::Daemon->start($node, %role);
	is($daemon->exit_code, 78, "without $function it doesn't start");
	like($daemon->log, qr/CONFIG_PRIVILEGES_MISSING: .* may not execute reconciler\.$function:/, 'and says why');
	$session->value("GRANT EXECUTE ON FUNCTION $signature TO reconcilerd");
}

# It can do no more. Whatever isn't a function of the protocol is refused.

my $limited = Reconciler::Session->new($node->connstr('postgres') . ' user=reconcilerd password=planted-password');
is($session->value("SELECT string_agg(p.oid::regprocedure::text, ' ' ORDER BY p.proname) FROM pg_proc p WHERE p.pronamespace = 'reconciler'::regnamespace"
	  . " AND has_function_privilege('reconcilerd', p.oid, 'EXECUTE')"
	  . " AND p.proname NOT IN ($protocol)"),
	undef, 'it may execute no other function of the extension');
is($session->value("SELECT string_agg(c.oid::regclass::text, ' ') FROM pg_class c WHERE c.relnamespace = 'reconciler'::regnamespace AND c.relkind IN ('r', 'v', 'S', 'p')"
	  . " AND (CASE WHEN c.relkind = 'S' THEN has_sequence_privilege('reconcilerd', c.oid, 'USAGE,SELECT,UPDATE')"
	  . " ELSE has_table_privilege('reconcilerd', c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER')"
	  . " OR has_any_column_privilege('reconcilerd', c.oid, 'SELECT,INSERT,UPDATE') END)"),
	undef, 'it has no right on any table, view or sequence of the extension');
for my $statement (
	'SELECT * FROM reconciler.networks', 'SELECT * FROM reconciler.queue', 'SELECT * FROM reconciler.batches',
	'SELECT * FROM payment_requests', 'UPDATE payment_requests SET status = $$confirmed$$',
	'UPDATE reconciler.batches SET lease_owner = NULL', 'INSERT INTO reconciler.transitions DEFAULT VALUES',
	q{SELECT reconciler.add_network('a', 'b', chain_id => 1)}, q{SELECT reconciler.grant_worker('reconcilerd')},
	q{SELECT reconciler.attach('payment_requests')}, 'SELECT reconciler.resync()',
	q{SELECT reconciler._set_status(1, '{}', 1000)}, q{SELECT reconciler._requeue(1, '{1}')}, q{SELECT reconciler._lock_open(1, '{1}')},
	'CREATE TABLE reconciler.mine (a int)')
{
	ok(!eval { $limited->query($statement); 1 }, "refused: $statement");
	like($@, qr/permission denied/, '... for lack of rights');
}
$limited->close;

# Endpoints of its own

$proxy = start_keyed_endpoint();
(my $own_url = $proxy->url) =~ s{http://}{http://planted-user:planted-word\@};
$own_url .= '/planted-key';
$daemon = Reconciler::Daemon->start($node, %role, worker_id => 'own',
	env => { RECONCILER_EVM_RPC_URLS_JSON => qq({"local":"$own_url","side":["http://127.0.0.1:1/planted-key","$own_url"],"polygon/side":{"url":"$own_url","chain_id":31337}}) });
wait_for_status($node, $id, 'confirmed', name => "its own endpoint is used in place of the database's");
$id = paid_request(network => 'side');
my $other = paid_request(chain => 'polygon', network => 'side');
wait_for_status($node, $id, 'confirmed', name => 'a network that the database did not know is registered, the second endpoint asked');
wait_for_status($node, $other, 'confirmed', name => "another chain's network, too");
is($session->value("SELECT string_agg(chain || '/' || network || ' ' || kind || ' ' || chain_id || ' ' || endpoints::text, ', ' ORDER BY chain) FROM reconciler.networks WHERE network = 'side'"),
	'ethereum/side evm 31337 {}, polygon/side evm 31337 {}', 'with its chain id and without an endpoint');
is($session->value("SELECT endpoints::text FROM reconciler.networks WHERE network = 'local'"), "{$secret_url}", "the database's endpoints stay as they were");
is($daemon->terminate, 0, 'stops');
unlike($daemon->log, qr/planted/, 'no secret in the log');

# An endpoint that comes up later than the daemon

my $down = start_proxy($chain, mode => 'answer', status => 503, body => 'not yet');
$daemon = Reconciler::Daemon->start($node, %role, worker_id => 'early',
	env => { RECONCILER_EVM_RPC_URLS_JSON => '{"later":"' . $down->url . '"}' });
ok($daemon->wait_for_log(qr/endpoint doesn't tell its chain .*chain=ethereum network=later .*503/), 'an endpoint that is not ready is logged');
$id = paid_request();
$down->set(mode => 'pass');
ok($daemon->wait_for_log(qr/network registered .*kind=evm chain=ethereum network=later chain_id=31337/), 'and asked again until it tells its chain');
is($daemon->terminate, 0, 'stops');

# An Esplora endpoint tells its network by the genesis block's hash
my $esplora = start_misbehaving(status => 200, body => '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206');
$daemon = Reconciler::Daemon->start($node, %role, worker_id => 'bitcoin',
	env => { RECONCILER_BTC_ESPLORA_BASE_URL => $esplora->url . '/planted-key/' });
ok($daemon->wait_for_log(qr/network registered .*kind=esplora chain=bitcoin network=regtest/), 'an Esplora endpoint tells its network');
is($session->value("SELECT kind || endpoints::text FROM reconciler.networks WHERE chain = 'bitcoin' AND network = 'regtest'"), 'esplora{}',
	'which is registered without the endpoint');
is($daemon->terminate, 0, 'stops');
unlike($daemon->log, qr/planted/, 'no secret in the log');

# Several daemons with one name for a heartbeat file are told apart
$daemon = Reconciler::Daemon->start($node, %role);
ok($daemon->wait_for_log(qr/started/), 'one daemon');
my $second = Reconciler::Daemon->start($node, %role,
	env => { RECONCILER_HEARTBEAT_FILE => $daemon->{variables}{RECONCILER_HEARTBEAT_FILE} });
is($second->exit_code, 78, 'another with its heartbeat file');
like($second->log, qr/CONFIG_RECONCILER_HEARTBEAT_FILE_INVALID: .*in use by another reconcilerd/, 'is told so');
$daemon->signal('KILL');
$daemon->wait_for_end(60);
my ($code, $complaint) = $daemon->healthcheck;
is($code, 1, 'a killed daemon is not healthy, though its file is there');

$node->stop;
done_testing();
