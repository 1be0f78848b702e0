# One attached table that can't be read doesn't keep the others from being reconciled.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node();
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE broken;
GRANT CREATE ON SCHEMA public TO broken;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337);
SET ROLE broken;
CREATE TABLE broken_requests (
	id int PRIMARY KEY,
	chain text NOT NULL DEFAULT 'ethereum',
	network text NOT NULL DEFAULT 'local',
	status text NOT NULL DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 100,
	address_canonical text NOT NULL DEFAULT '0x00000000000000000000000000000000000000aa'
);
RESET ROLE;
CREATE TABLE requests (LIKE broken_requests INCLUDING ALL);
SELECT reconciler.attach('broken_requests'), reconciler.attach('requests', allow_superuser_owner => true);
INSERT INTO broken_requests (id) VALUES (1);
INSERT INTO requests (id) VALUES (1), (2);
REVOKE SELECT ON broken_requests FROM broken;
SQL

my $claimed = "SELECT count(*) FROM reconciler.claim('w', 1, -1, 10, '1 min', '1 min')";
$node->stop('immediate');
$node->start;
my ($code, $count, $error) = $node->psql('postgres', $claimed);
is($count, '2', 'after a crash the requests of the other table are claimed');
like($error, qr/WARNING: .*broken_requests could not be resynced: permission denied/, 'and it is said which table is not');

# The broken one is the first in the turn of the hourly resync
$node->safe_psql('postgres', <<'SQL');
UPDATE reconciler.sources SET resynced_at = CASE relation::text WHEN 'requests' THEN clock_timestamp() - interval '2 hours' ELSE '-infinity' END;
DELETE FROM reconciler.queue WHERE request_id = '2';
SQL
$node->psql('postgres', "SELECT reconciler.maintain('w')") for 1 .. 2;
is($node->safe_psql('postgres', 'SELECT count(*) FROM reconciler.queue'), '2', 'nor does it keep the others from their turn');

$node->safe_psql('postgres', 'GRANT SELECT ON broken_requests TO broken; SELECT reconciler.resync()');
is($node->safe_psql('postgres', 'SELECT count(*) FROM reconciler.queue'), '3', 'put right, it is back');

done_testing();
