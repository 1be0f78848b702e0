# The application inserts, changes, cancels and deletes requests at full speed
# while workers settle them: no deadlock, no error, and the queue stays in step.
# TEST_LOAD_SECONDS says for how long.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $seconds = $ENV{TEST_LOAD_SECONDS} || 60;

my $chain = start_anvil();
my $node = new_node(conf => <<'CONF');
reconciler.batch_size = 50
reconciler.poll_interval = '100ms'
deadlock_timeout = '100ms'
CONF
set_up_shop($node, $chain);
audit_leases($node);
my $session = session($node);

# Addresses that are paid, so that workers settle what the application works on
my @paid = map { '0x' . sprintf '%040x', 0xdead0000 + $_ } 0 .. 9;
$chain->set_balances(map { [ $_, 1000 ] } @paid);
$chain->mine(2);
$session->query('ALTER TABLE payment_requests ADD COLUMN n bigserial');
$session->query('CREATE INDEX ON payment_requests (n)');
set_workers($node, 3);

my $script = $node->basedir . '/application.sql';
append_to_file($script, <<'SQL');
\set what random(1, 100)
\set who random(0, 99)
\set back random(0, 2000)
\if :what <= 50
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, expires_at)
VALUES ('ethereum', 'local', 'ETH', 500, '0x' || lpad(to_hex(3735879680 + :who), 40, '0'), now() + interval '5 seconds');
\elif :what <= 65
UPDATE payment_requests SET status = 'cancelled' WHERE n = (SELECT max(n) FROM payment_requests) - :back AND status IN ('pending', 'detected');
\elif :what <= 80
UPDATE payment_requests SET expected_amount_minor = 700 WHERE n BETWEEN (SELECT max(n) FROM payment_requests) - :back AND (SELECT max(n) FROM payment_requests) - :back + 3;
\elif :what <= 90
DELETE FROM payment_requests WHERE n = (SELECT max(n) FROM payment_requests) - :back;
\else
BEGIN;
UPDATE payment_requests SET expires_at = now() + interval '3 seconds' WHERE n = (SELECT max(n) FROM payment_requests) - :back;
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical)
VALUES ('ethereum', 'local', 'ETH', NULL, '0x' || lpad(to_hex(3735879680 + :who), 40, '0'));
END;
\endif
SQL
my ($out, $error) = run_command([
	'pgbench', '-n', '--random-seed', random_seed(), '-c', 4, '-j', 2, '-T', $seconds, '-f', $script, '-d', $node->connstr('postgres') ]);
like($out, qr/number of transactions actually processed: [1-9]/, 'the application worked');
unlike($error, qr/ERROR|aborted/, 'without an error');
diag(grep { /tps/ } split /\n/, $out) if $ENV{TEST_VERBOSE};
cmp_ok($session->value("SELECT count(*) FROM reconciler.transitions"), '>', 0, 'while workers moved requests');
is($session->value("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), 0, 'there was no deadlock');
is(join("\n", log_lines($node, qr/ (?:ERROR|FATAL|PANIC): /)), '', 'nor an error in the log');

# The queue is what the table says
my $difference = <<'SQL';
SELECT count(*) FROM
  (SELECT id::text AS id, status, expected_amount_minor, address_canonical FROM payment_requests WHERE status IN ('pending', 'detected')) p
  FULL JOIN (SELECT request_id AS id, status, expected, address FROM reconciler.queue) q ON q.id = p.id
 WHERE p.id IS NULL OR q.id IS NULL OR q.status <> p.status OR q.expected IS DISTINCT FROM p.expected_amount_minor
SQL
is($session->value($difference), 0, 'the queue is in step with the table');
ok(wait_until(sub { $session->value(<<'SQL') == 0 }), 'every request that is due comes to its end');
SELECT count(*) FROM payment_requests
 WHERE status IN ('pending', 'detected') AND (expires_at < now() OR right(address_canonical, 2) < '0a')
SQL
is($session->value($difference), 0, 'and the queue is still in step');
is($session->value(<<'SQL'), 0, 'what was paid was never expired');
SELECT count(*) FROM payment_requests WHERE status = 'expired' AND right(address_canonical, 2) < '0a'
SQL
is($session->value(<<'SQL'), 0, 'what was not paid was never confirmed');
SELECT count(*) FROM payment_requests WHERE status IN ('detected', 'confirmed') AND right(address_canonical, 2) >= '0a'
SQL
my $report = audit_report($node);
is($report->{$_}, 0, "no $_") for qw(overlaps duplicate_transitions contradictions);

$session->close;
$node->stop;
done_testing();
