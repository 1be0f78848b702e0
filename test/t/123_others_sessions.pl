# An application's session sees no key in the plans of explain's statements, and
# one that leaves a transaction open after resync doesn't stop maintain.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Session;
use Reconciler::Test;

my $key = 'Zq7Kp3Vx9Tn2';
my $node = new_node(workers => 0);

$node->safe_psql('postgres', <<"SQL");
SELECT reconciler.add_network('ethereum', 'local', ARRAY['http://127.0.0.1:8545/$key'], 31337);
CREATE ROLE shop LOGIN;
GRANT CREATE ON SCHEMA public TO shop;
SELECT reconciler.grant_app('shop');
SET ROLE shop;
SELECT reconciler.create_table('requests');
INSERT INTO requests (id, chain, network, address_canonical)
VALUES ('00000000-0000-0000-0000-000000000001', 'ethereum', 'local', '0x00000000000000000000000000000000000000aa');
SQL

my ($status, $stdout, $stderr) = $node->psql('postgres', <<'SQL');
SET ROLE shop;
SET plan_cache_mode = force_custom_plan;
SET debug_print_plan = on;
SET client_min_messages = log;
SELECT count(*) FROM reconciler.explain('requests', '00000000-0000-0000-0000-000000000001');
SQL
# Plans show values byte by byte, and break their lines anywhere.
my $bytes = join ' ', unpack 'c*', $key;
$stderr =~ s/\s+/ /g;
like($stderr, qr/PLANNEDSTMT/, 'the session shows the plans');
unlike($stderr, qr/\Q$bytes\E|\Q$key\E/, 'and no key is in them');

$node->safe_psql('postgres', q{UPDATE reconciler.sources SET resynced_at = '-infinity'});
my $owner = Reconciler::Session->new($node->connstr('postgres') . ' user=shop');
$owner->query('BEGIN');
$owner->query(q{SELECT reconciler.resync('requests')});
($status, $stdout, $stderr) = $node->psql('postgres', q{SELECT reconciler.maintain('w')});
is($status, 0, 'maintain goes on while an owner resyncs') or diag $stderr;
$owner->query('COMMIT');
$node->safe_psql('postgres', q{SELECT reconciler.maintain('w')});
is($node->safe_psql('postgres', q{SELECT resynced_at > '-infinity' FROM reconciler.sources}), 't', 'and takes its turn afterwards');

done_testing();
