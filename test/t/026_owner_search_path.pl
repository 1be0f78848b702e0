# A trigger of the application's runs with the rights of the table's owner. The
# role of reconcilerd, which may call settle, must not choose what names mean in it.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Reconciler::Test;

my $node = new_node();
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE shop;
CREATE SCHEMA shop AUTHORIZATION shop;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE ROLE reconcilerd LOGIN;
SELECT reconciler.grant_worker('reconcilerd');
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337);
SET ROLE shop;
CREATE TABLE shop.secrets (secret text);
INSERT INTO shop.secrets VALUES ('treasure');
CREATE TABLE shop.audit (id int, status text);
CREATE TABLE shop.invoices (
	id int PRIMARY KEY,
	chain text NOT NULL DEFAULT 'ethereum',
	network text NOT NULL DEFAULT 'local',
	status text NOT NULL DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 100,
	address_canonical text NOT NULL DEFAULT '0x00000000000000000000000000000000000000aa'
);
CREATE FUNCTION shop.audit() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO audit VALUES (NEW.id, NEW.status); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER UPDATE ON shop.invoices FOR EACH ROW EXECUTE FUNCTION shop.audit();
RESET ROLE;
ALTER DATABASE postgres SET search_path = shop, public;
SELECT reconciler.attach('shop.invoices');
INSERT INTO shop.invoices (id) VALUES (1);
SQL

my $loot = do
{
	local $ENV{PGUSER} = 'reconcilerd';
	local $ENV{PGOPTIONS} = '-c search_path=pg_temp,shop';
	$node->safe_psql('postgres', <<'SQL');
CREATE TEMP TABLE loot (secret text);
CREATE TEMP TABLE audit (id int, status text);
GRANT ALL ON loot, audit TO PUBLIC;
CREATE FUNCTION pg_temp.steal() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO loot SELECT secret FROM shop.secrets; RETURN NEW; END $$;
CREATE TRIGGER steal BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION pg_temp.steal();
DO $$
DECLARE
	c record;
BEGIN
	SELECT * INTO STRICT c FROM reconciler.claim('w', 1, -1, 10, '1 min', '1 min');
	PERFORM reconciler.settle('w', 1, c.lo, c.token, format(
		'{"tip": {"height": 10, "time": 1}, "depth": {"height": 10}, "requests": [{"seq": %s, "seen": "100", "settled": "100"}]}',
		c.seq)::jsonb);
END $$;
SELECT count(*) FROM loot;
SQL
};

is($loot, '0', 'no statement ran with the rights of the owner');
is($node->safe_psql('postgres', 'SELECT * FROM shop.audit'), '1|confirmed', 'the trigger found its own table');

done_testing();
