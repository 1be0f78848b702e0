# A daemon outlives the server's crash, and comes with what it saw before. The
# queue has been built anew meanwhile, with other arrival numbers.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

# The claim's commit is not on disk when the server crashes
my $node = new_node(conf => "wal_writer_delay = '10s'\n");
$node->safe_psql('postgres', <<'SQL');
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337);
CREATE TABLE invoices (
	id int PRIMARY KEY,
	chain text NOT NULL DEFAULT 'ethereum',
	network text NOT NULL DEFAULT 'local',
	status text NOT NULL DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 100,
	address_canonical text NOT NULL
);
SELECT reconciler.attach('invoices', allow_superuser_owner => true);
INSERT INTO invoices (id, address_canonical)
SELECT i, '0xaa0000000000000000000000000000000000000' || i FROM generate_series(1, 3) i;
UPDATE invoices SET status = 'cancelled' WHERE id = 1;
-- So that the claim below writes no WAL but its commit: the queue is built, the table's page is pruned
SELECT count(*) FROM reconciler.claim('early', 1, -1, 10, '1 ms', '1 ms');
SELECT reconciler.resync();
CHECKPOINT;
SQL

sub claim
{
	my ($worker) = @_;
	return split /\|/, $node->safe_psql('postgres',
		"SELECT lo, token, max(seq) FILTER (WHERE address LIKE '%2') FROM reconciler.claim('$worker', 1, -1, 10, '1 min', '1 min')"
		  . ' GROUP BY 1, 2');
}

my ($lo, $token, $seq) = claim('one');
$node->stop('immediate');
$node->start;
my ($lo_again, $token_again) = claim('two');

is($lo_again, $lo, 'after a crash the batch is there again');
isnt($token_again, $token, 'and its lease has another token');

my ($code, undef, $error) = $node->psql('postgres',
	"SELECT * FROM reconciler.settle('one', 1, $lo, '$token', '"
	  . qq({"tip": {"height": 10, "time": 1}, "depth": {"height": 10}, "requests": [{"seq": $seq, "seen": "100", "settled": "100"}]})
	  . "')");
like($error, qr/lease lost/, 'what was seen before the crash is refused');
is($node->safe_psql('postgres', "SELECT count(*) FROM invoices WHERE status = 'confirmed'"), '0', 'nothing is confirmed by it');

done_testing();
