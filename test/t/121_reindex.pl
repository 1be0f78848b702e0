# REINDEX TABLE of the tables that workers write, while they write: it waits, and
# is waited for, and nobody is the victim of a deadlock.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node(conf => "deadlock_timeout = '100ms'\nlog_lock_waits = off\n");
$node->safe_psql('postgres', <<'SQL');
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337);
CREATE TABLE invoices (
	id int PRIMARY KEY,
	chain text NOT NULL DEFAULT 'ethereum',
	network text NOT NULL DEFAULT 'local',
	status text NOT NULL DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 100,
	address_canonical text NOT NULL DEFAULT '0x00000000000000000000000000000000000000aa'
);
SELECT reconciler.attach('invoices', allow_superuser_owner => true);
INSERT INTO invoices (id) SELECT generate_series(1, 2000);

-- What was claimed is seen: each time another amount, so that settle has something to write
CREATE FUNCTION seen(seqs text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('tip', '{"height": 10, "time": 1}'::jsonb, 'requests', jsonb_agg(jsonb_build_object('seq', s, 'settled', '0',
		'seen', CASE WHEN random() < 0.01 THEN 100 ELSE floor(random() * 90) END::text)))
	FROM string_to_table(seqs, ' ') s
$$;
SQL

my $worker = <<'SQL';
SELECT coalesce(min(lo), -1) AS lo, coalesce(min(token::text), '0') AS token, string_agg(seq::text, ' ') AS seqs FROM reconciler.claim('w' || :client_id, 1, :client_id * 300, 50, '10 s', '1 ms') \gset
\if :lo >= 0
SELECT count(*) FROM reconciler.settle('w' || :client_id, 1, :lo, ':token'::xid8, seen(':seqs'));
\endif
SQL
my $application = <<'SQL';
\set id random(1, 2000)
UPDATE invoices SET expected_amount_minor = 100 + random() WHERE id = :id;
UPDATE invoices SET status = CASE status WHEN 'pending' THEN 'cancelled' ELSE 'pending' END WHERE id = :id;
SQL
my $operator = <<'SQL';
REINDEX TABLE reconciler.queue;
REINDEX TABLE reconciler.batches;
REINDEX TABLE reconciler.network_state;
SQL

my $directory = PostgreSQL::Test::Utils::tempdir();
my %scripts = (worker => $worker, application => $application, operator => $operator);
my @runs;
for my $name (sort keys %scripts)
{
	append_to_file("$directory/$name.sql", $scripts{$name});
	my $out = '';
	my $clients = $name eq 'operator' ? 1 : 3;
	push @runs, [ $name, \$out, IPC::Run::start(
		[ 'pgbench', '-n', '-T', '5', '-c', $clients, '-j', '1', '-f', "$directory/$name.sql", $node->connstr('postgres') ],
		'>&', \$out) ];
}
for my $run (@runs)
{
	my ($name, $out, $process) = @$run;
	$process->finish;
	like($$out, qr/number of transactions actually processed: [1-9]/, "$name worked") or diag $$out;
	unlike($$out, qr/deadlock|aborted/, "$name was nobody's victim") or diag $$out;
}
my @deadlocks = log_lines($node, qr/deadlock detected/);
is(scalar @deadlocks, 0, 'no deadlock');
done_testing();
