# Webhooks under attack: a name that points inside, a certificate that nobody
# has signed, ids and payloads that try to be headers or to break the JSON; and a
# worker that sends thousands of messages doesn't grow.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Receiver;
use Reconciler::Test;

my $receiver = Reconciler::Receiver->start;
my $tls = Reconciler::Receiver->start(tls => 1);
my $node = new_node(workers => 1, conf => <<'CONF');
reconciler.webhook_hosts = 'localhost, *.example'
reconciler.webhook_timeout = '2s'
reconciler.webhook_retry = '50ms'
CONF
my $session = session($node);
$session->query("SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");
my $source = $session->value('SELECT source_id FROM reconciler.sources');

sub set_hosts
{
	my ($hosts) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET reconciler.webhook_hosts = '$hosts'");
	$node->reload;
	return wait_until(sub { $session->value('SHOW reconciler.webhook_hosts') eq $hosts });
}

sub error_of { my ($name) = @_; return $session->value("SELECT coalesce(error, '') FROM reconciler.stat_webhooks WHERE name = '$name'") }
sub try_again { return $session->query("UPDATE reconciler.webhook_deliveries SET due_at = now(); UPDATE reconciler.webhook_state SET rest_until = now(), failures = 0, error = NULL") }

# A list that is none is refused
my ($status, undef, $complaint) = $node->psql('postgres', "ALTER SYSTEM SET reconciler.webhook_hosts = 'http://x'");
isnt($status, 0, 'a list of hosts that is none is refused');
like($complaint, qr/"http:\/\/x" is neither the name of a host nor an address or a network/, 'with the reason');

# The name is listed, and leads to an address that isn't: nothing is sent, and no connection made
$session->query("SELECT reconciler.add_webhook('inside', '" . $receiver->url('/ok?inside', 'localhost') . "')");
$session->query("SELECT reconciler._event('request.confirmed', $source, 'first', '{}')");
ok(wait_until(sub { error_of('inside') ne '' }, 30), 'the worker has tried');
is(error_of('inside'), "the host's address is none that may be connected to", 'a name that leads inside is no way inside');
is(scalar($receiver->received), 0, 'nothing has come there');
# Listed since it was added, and no longer
set_hosts('127.0.0.0/8, ::1, localhost');
try_again();
ok(wait_until(sub { $receiver->received('/ok?inside') == 1 }, 30), 'when the address is listed, too, the message comes');
set_hosts('other.example');
$session->query("SELECT reconciler._event('request.confirmed', $source, 'second', '{}')");
ok(wait_until(sub { error_of('inside') =~ /isn't listed/ }, 30), 'a host that was taken off the list gets nothing more');
is(scalar($receiver->received('/ok?inside')), 1, 'indeed');
set_hosts('127.0.0.0/8, ::1, localhost');
try_again();
ok(wait_until(sub { $receiver->received('/ok?inside') == 2 }, 30), 'until it is listed again');

# TLS
SKIP:
{
	skip 'no openssl here to make a certificate', 2 unless $tls;
	(my $url = $tls->url('/ok?tls')) =~ s/^http:/https:/;
	$session->query("SELECT reconciler.add_webhook('tls', '$url')");
	$session->query("SELECT reconciler._event('request.confirmed', $source, 'third', '{}')");
	ok(wait_until(sub { error_of('tls') =~ /certificate/i }, 30), 'a certificate that nobody has signed is refused') or diag(error_of('tls'));
	is(scalar($tls->received), 0, 'and nothing sent');
	$session->query("SELECT reconciler.remove_webhook('tls')");
}

# Ids and payloads of others
my @ids = ("a\r\nX-Evil: 1", 'q"uo\'te\\', "\x{e9}\x{1f600}", '{"type":"forged"}', 'x' x 2000, '../../etc', ' ', '%00');
my $long = JSON::PP->new->utf8->encode({ text => 'y' x 100_000, deep => [ map { { n => $_ } } 1 .. 100 ] });
for my $id (@ids)
{
	my $hex = unpack 'H*', do { my $bytes = $id; utf8::encode($bytes); $bytes };
	$session->query("SELECT reconciler._event('request.expired', $source, convert_from(decode('$hex', 'hex'), 'UTF8'), \$j\$$long\$j\$)");
}
ok(wait_until(sub { (grep { $_->{message}{type} eq 'request.expired' } $receiver->received('/ok?inside')) >= @ids }, 30), 'whatever the ids are, the messages come');
my @odd = grep { $_->{message}{type} eq 'request.expired' } $receiver->received('/ok?inside');
is_deeply([ sort map { $_->{message}{data}{request_id} } @odd ], [ sort @ids ], 'with the ids as they are');
is(scalar(grep { exists $_->{headers}{'x-evil'} } @odd), 0, 'none has become a header');
is(scalar(grep { length $_->{message}{data}{text} == 100_000 } @odd), scalar @ids, 'and the payload as it is');
# A payload that says what the message says itself
$session->query("SELECT reconciler._event('request.confirmed', $source, 'honest', '{\"request_id\": \"forged\", \"event_id\": 0, \"source\": \"forged\"}')");
ok(wait_until(sub { grep { $_->{message}{data}{request_id} eq 'honest' && $_->{message}{data}{source} eq 'public.payment_requests' } $receiver->received('/ok?inside') }, 30),
	"a payload can't pass for another request's");

# Thousands of messages
my $pid = $session->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'reconciler worker'");
sub memory { my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m; return $kb }
sub delivered { return $session->value("SELECT delivered FROM reconciler.stat_webhooks WHERE name = 'inside'") }
sub send_many
{
	my ($n) = @_;
	my $before = delivered();
	$session->query("SELECT reconciler._event('request.confirmed', $source, 'many' || i, '{\"seen\": \"1\"}') FROM generate_series(1, $n) i");
	return wait_until(sub { delivered() >= $before + $n }, 120);
}
ok(send_many(1000), 'a thousand are sent');
my $before = memory();
my $started = time();
ok(send_many(4000), 'four thousand more are sent');
note(sprintf '%d messages a second', 4000 / ((time() - $started) || 1));
my $grown = memory() - $before;
cmp_ok($grown, '<', 2000, "the worker has not grown ($grown kB)");
is(scalar(log_lines($node, qr/PANIC|terminated by signal/)), 0, 'nothing has crashed');
$session->close;
done_testing();
