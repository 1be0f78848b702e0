# Webhooks: receivers that time out, fail, ask for patience, hang up, answer
# late or for ever, redirect, or refuse get what is theirs in the end, each
# request's in order, or it becomes a dead letter; none holds up another. The
# specification's own library finds the signatures good. Daemons send, too, what
# one that was killed had begun. No secret stands in a log.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Daemon;
use Reconciler::Receiver;
use Reconciler::Test;

my $requests = 12;
my $receiver = Reconciler::Receiver->start;
my $node = new_node(conf => <<'CONF');
reconciler.webhook_hosts = '127.0.0.1'
reconciler.webhook_timeout = '1s'
reconciler.webhook_retry = '20ms'
reconciler.webhook_give_up = '1h'
CONF
my $session = session($node);
$session->query("SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true)");
my $source = $session->value('SELECT source_id FROM reconciler.sources');

my %secret;
sub add_webhook
{
	my ($name, $path) = @_;
	my $url = $path =~ m{^/} ? $receiver->url("$path?s3cret-$name") : $path;
	my $secret = $session->value("SELECT reconciler.add_webhook('$name', '$url')");
	$secret{"$path?s3cret-$name"} = [$secret];
	return;
}

# Each request is detected, then confirmed, then reopened, one transaction each
sub write_events
{
	my ($prefix, $n) = @_;
	for my $kind (qw(detected confirmed reopened))
	{
		$session->query("SELECT reconciler._event('request.$kind', $source, '$prefix$_', jsonb_build_object('n', $_))") for 1 .. $n;
	}
	return;
}

# What has not been delivered, nor given up
sub waiting
{
	my ($name) = @_;
	return $session->value("SELECT waiting + (SELECT count(*) FROM reconciler.events e, reconciler.webhook_place p WHERE NOT reconciler._is_read(p.place, e))"
		  . " FROM reconciler.stat_webhooks WHERE name = '$name'");
}

# What a receiver has accepted: every event once or more, those of a request in order
sub is_complete
{
	my ($name, $path, $n, $prefix) = @_;
	my (%events, %last);
	my $disordered = 0;
	my %rank = ('request.detected' => 1, 'request.confirmed' => 2, 'request.reopened' => 3);
	for my $message (grep { $_->{status} =~ /^20[04]$/ } $receiver->received("$path?s3cret-$name"))
	{
		my $data = $message->{message}{data};
		next unless $data->{request_id} =~ /^$prefix/;
		next if $events{ $data->{event_id} }++;
		my $rank = $rank{ $message->{message}{type} };
		$disordered++ if $rank != ($last{ $data->{request_id} } // 0) + 1;
		$last{ $data->{request_id} } = $rank;
	}
	is(scalar keys %events, 3 * $n, "$name: every event has been accepted");
	return is($disordered, 0, "$name: those of each request in order");
}

my %good = (ok => '/ok', slow => '/slow', late => '/late/1', endless => '/endless', flaky => '/flaky/2', limited => '/limited', hangup => '/hangup/1');
add_webhook($_, $good{$_}) for sort keys %good;
add_webhook($_, "/$_") for qw(hang redirect refuse);
add_webhook('closed', 'http://127.0.0.1:1/');
set_workers($node, 2);
write_events('a', $requests);

ok(wait_until(sub { waiting('ok') == 0 }, 30), 'the good receiver has everything');
cmp_ok(waiting($_), '>', 0, "while $_ waits") for qw(hang closed);
for my $name (sort keys %good)
{
	ok(wait_until(sub { waiting($name) == 0 }, 60), "$name: delivered in the end")
	  or diag(join "\n", map { join ' | ', @$_ } $session->query('SELECT * FROM reconciler.stat_webhooks'), $session->query("SELECT * FROM reconciler.webhook_deliveries WHERE webhook_id = 1 LIMIT 20"));
	is_complete($name, $good{$name}, $requests, 'a');
}
my @limited = $receiver->received('/limited?s3cret-limited');
my ($refused) = grep { $_->{status} == 429 } @limited;
my $soon = grep { $_->{came} > $refused->{answered} + 0.3 && $_->{came} < $refused->{answered} + 0.9 } @limited;
is($soon, 0, 'who says Retry-After is left alone for so long');
is(scalar(grep { $_->{path} =~ /stolen/ } $receiver->received), 0, 'nobody was followed to another address');
is($session->value("SELECT count(*) FROM reconciler.stat_webhooks WHERE name IN ('redirect', 'refuse') AND error IN ('HTTP status 307', 'HTTP status 400')"), 2, 'what was answered is known');
like($session->value("SELECT error FROM reconciler.stat_webhooks WHERE name = 'hang'"), qr/timed out/, 'and who did not answer');
like($session->value("SELECT error FROM reconciler.stat_webhooks WHERE name = 'closed'"), qr/connect/i, 'and who was not there');
is($session->value("SELECT failures >= 5 AND waiting > 0 FROM reconciler.stat_webhooks WHERE name = 'closed'"), 't', 'an endpoint that is not there rests');

# Signatures, by the specification's library
my $library = qx("$FindBin::Bin/../standardwebhooks");
chomp $library;
SKIP:
{
	skip 'the Standard Webhooks library for Python is not here (test/setup fetches it)', 2 unless $library;
	my ($good, $bad) = $receiver->verify($library, \%secret);
	cmp_ok($good, '>=', 7 * 3 * $requests, "$good signatures are good");
	is($bad, 0, 'none is bad');
}
my ($first) = $receiver->received('/ok?s3cret-ok');
is($first->{headers}{'content-type'}, 'application/json', 'it is JSON');
is_deeply([ sort keys %{ $first->{message} } ], [qw(data timestamp type)], 'of the form that the specification has');
like($first->{message}{timestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'with a time');

# Both secrets sign while the receiver changes over
my $new = $session->value("SELECT reconciler.rotate_webhook_secret('ok')");
write_events('rotated', 1);
ok(wait_until(sub { waiting('ok') == 0 }, 30), 'after a change of the secret');
my ($last) = (grep { $_->{message}{data}{request_id} eq 'rotated1' } $receiver->received('/ok?s3cret-ok'))[0];
is(scalar(split ' ', $last->{headers}{'webhook-signature'}), 2, 'two signatures');

# Given up, seen, sent again
$node->safe_psql('postgres', "ALTER SYSTEM SET reconciler.webhook_give_up = 0");
$node->reload;
$session->query("UPDATE reconciler.webhook_deliveries SET due_at = now() WHERE webhook_id IN (SELECT webhook_id FROM reconciler.webhooks WHERE name IN ('redirect', 'refuse'))");
ok(wait_until(sub { $session->query("UPDATE reconciler.webhook_state SET rest_until = now() WHERE rest_until > now() + interval '1 s'"); waiting('refuse') == 0 }, 60), 'what is refused for too long is given up');
is($session->value("SELECT count(*) FROM reconciler.webhook_dead_letters WHERE name = 'refuse' AND request_id LIKE 'a%' AND status = 400"), 3 * $requests, 'as dead letters');
$node->safe_psql('postgres', "ALTER SYSTEM RESET reconciler.webhook_give_up");
$node->reload;
$session->query("SELECT reconciler.set_webhook('refuse', url => '" . $receiver->url('/ok?s3cret-refuse') . "')");
cmp_ok($session->value("SELECT reconciler.retry_webhook('refuse')"), '>=', 3 * $requests, 'they are sent again');
ok(wait_until(sub { waiting('refuse') == 0 }, 30), 'and delivered');
is_complete('refuse', '/ok', $requests, 'a');
is($session->value("SELECT dead FROM reconciler.stat_webhooks WHERE name = 'refuse'"), 0, 'none is left');

# Daemons send, with the rights of a worker's role; what one that was killed had begun, another one sends
set_workers($node, 0);
$session->query("SELECT reconciler.remove_webhook(name) FROM reconciler.webhooks WHERE name NOT IN ('ok', 'hang')");
$session->query("DELETE FROM reconciler.webhook_deliveries; DELETE FROM reconciler.webhook_state");
$session->query("CREATE ROLE sender LOGIN; SELECT reconciler.grant_worker('sender')");
my $daemon = Reconciler::Daemon->start($node, user => 'sender', worker_id => 'one');
ok($daemon->wait_for_log(qr/started|ready|connected/, 30), 'a daemon runs') or diag($daemon->log);
write_events('b', 3);
ok(wait_until(sub { waiting('ok') == 0 }, 30), 'it has sent everything');
is_complete('ok', '/ok', 3, 'b');
$session->query("SELECT reconciler.set_webhook('ok', url => '" . $receiver->url('/hang?s3cret-ok') . "')");
$session->query("SELECT reconciler._event('request.confirmed', $source, 'killed', '{}')");
ok(wait_until(sub { $session->value("SELECT count(*) FROM reconciler.webhook_deliveries WHERE request_id = 'killed' AND lease_owner LIKE '%one%'") > 0 }, 30), 'it is sending');
$daemon->signal('KILL');
$daemon->wait_for_end(5);
$session->query("SELECT reconciler.set_webhook('ok', url => '" . $receiver->url('/ok?s3cret-ok') . "')");
my $second = Reconciler::Daemon->start($node, user => 'sender', worker_id => 'two');
$session->query("UPDATE reconciler.webhook_deliveries SET lease_until = now(), due_at = now() WHERE request_id = 'killed' AND lease_owner LIKE '%one%'");
ok(wait_until(sub { waiting('ok') == 0 }, 30), 'another one has sent what a daemon that was killed had under lease');
is(scalar(grep { $_->{message}{data}{request_id} eq 'killed' && $_->{status} == 204 } $receiver->received('/ok?s3cret-ok')), 1, 'it has come');
# One that is asked to stop gives it back
$session->query("SELECT reconciler._event('request.confirmed', $source, 'given back', '{}')");
ok(wait_until(sub { $session->value("SELECT count(*) FROM reconciler.webhook_deliveries WHERE request_id = 'given back' AND lease_owner LIKE '%two%'") > 0 }, 30), 'it is sending to who does not answer');
is($second->terminate(20), 0, 'it stops');
is($session->value("SELECT count(*) FROM reconciler.webhook_deliveries WHERE lease_token IS NOT NULL AND lease_owner LIKE '%two%'"), 0, 'and leaves no lease');

# One that runs once sends what there is
$session->query("UPDATE reconciler.webhook_deliveries SET due_at = '-infinity'; UPDATE reconciler.webhook_state SET rest_until = '-infinity', failures = 0");
$session->query("SELECT reconciler.set_webhook('ok', url => '" . $receiver->url('/ok?s3cret-ok') . "'); SELECT reconciler.remove_webhook('hang')");
write_events('c', 3);
my $third = Reconciler::Daemon->start($node, user => 'sender', worker_id => 'three', args => ['--once']);
is($third->exit_code(30), 0, 'a daemon that runs once ends');
is(waiting('ok'), 0, 'and has sent everything');
is_complete('ok', '/ok', 3, 'c');

my @secrets = ('s3cret', map { substr $_->[0], 6 } values %secret);
my $pattern = join '|', map { quotemeta } @secrets, substr $new, 6;
is(scalar(grep { !/STATEMENT|LOG:  statement/ } log_lines($node, qr/$pattern/)), 0, "no secret in the server's log");
unlike($daemon->log . $second->log, qr/$pattern/, "nor in a daemon's");
unlike($session->value("SELECT string_agg(s::text, ' ') || (SELECT coalesce(string_agg(d::text, ' '), '') FROM reconciler.webhook_dead_letters d) FROM reconciler.stat_webhooks s"), qr/$pattern/, 'nor in a view');
like(join("\n", log_lines($node, qr/webhook given up/)), qr/webhook=refuse .*HTTP status 400/, 'what was given up is logged');
$session->close;
$receiver->stop;
done_testing();
