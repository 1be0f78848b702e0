-- What attach refuses for the money's and the server's sake: a superuser's table, amounts that aren't in minor units.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
CREATE ROLE regress_reconciler_app;
CREATE ROLE regress_reconciler_root SUPERUSER;
CREATE SCHEMA app AUTHORIZATION regress_reconciler_app;
GRANT CREATE ON SCHEMA app TO PUBLIC;
GRANT USAGE ON SCHEMA reconciler TO regress_reconciler_app;
GRANT EXECUTE ON FUNCTION reconciler.attach, reconciler.detach, reconciler.create_table TO regress_reconciler_app;
CREATE TABLE app.r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');

-- A table that belongs to a superuser makes superusers of all who may put a trigger on it
SELECT reconciler.attach('app.r');
SELECT reconciler.attach('app.r', '{}', NULL);
SELECT reconciler.create_table('app.made');
SELECT to_regclass('app.made') AS made;
ALTER TABLE app.r OWNER TO regress_reconciler_root;
SELECT reconciler.attach('app.r');
ALTER TABLE app.r OWNER TO regress_reconciler_app;
SELECT reconciler.attach('app.r') > 0 AS attached;
-- nor does it become one later
ALTER TABLE app.r OWNER TO regress_reconciler_root;
ALTER TABLE app.r ADD note text, OWNER TO regress_reconciler_root;
SELECT relowner::regrole FROM pg_class WHERE oid = 'app.r'::regclass;
SELECT reconciler.detach('app.r');
ALTER TABLE app.r OWNER TO regress_reconciler_root;
-- unless it was said
SELECT reconciler.attach('app.r', allow_superuser_owner => true) > 0 AS attached;
ALTER TABLE app.r OWNER TO regress_reconciler_app;
ALTER TABLE app.r OWNER TO regress_reconciler_root;
SELECT reconciler.detach('app.r');
SELECT reconciler.create_table('app.made', allow_superuser_owner => true);
SELECT reconciler.detach('app.made');
DROP TABLE app.made;
ALTER TABLE app.r OWNER TO regress_reconciler_app;
-- the application's role just does it
SET ROLE regress_reconciler_app;
SELECT reconciler.create_table('app.made');
SELECT reconciler.attach('app.r') > 0 AS attached;
SELECT reconciler.detach('app.r');
RESET ROLE;

-- Where no guard is asked, nothing is done with such a table
INSERT INTO app.made (id, chain, network, address_canonical)
VALUES ('00000000-0000-0000-0000-000000000001', 'ethereum', 'local', '0x00000000000000000000000000000000000000aa');
ALTER ROLE regress_reconciler_app SUPERUSER;
SELECT reconciler.resync('app.made');
SELECT reconciler.explain('app.made', '00000000-0000-0000-0000-000000000001');
ALTER ROLE regress_reconciler_app NOSUPERUSER;
SELECT reconciler.resync('app.made') AS changes;
REASSIGN OWNED BY regress_reconciler_app TO regress_reconciler_root;
SELECT reconciler.resync() AS changes;
SELECT reconciler.reopen('app.made', '00000000-0000-0000-0000-000000000001');
REASSIGN OWNED BY regress_reconciler_root TO regress_reconciler_app;
SELECT reconciler.resync() AS changes;
SELECT reconciler.detach('app.made');

-- 2.00 is no amount of minor units, whatever holds it
CREATE DOMAIN app.money AS numeric(20, 2);
CREATE DOMAIN app.more_money AS app.money CHECK (VALUE > 0);
CREATE DOMAIN app.units AS numeric(78, 0);
ALTER TABLE app.r ALTER expected_amount_minor TYPE numeric(20, 18);
SELECT reconciler.attach('app.r');
ALTER TABLE app.r ALTER expected_amount_minor TYPE app.more_money;
SELECT reconciler.attach('app.r');
ALTER TABLE app.r RENAME expected_amount_minor TO amount;
SELECT reconciler.attach('app.r', '{"expected_amount_minor": "amount"}');
ALTER TABLE app.r RENAME amount TO expected_amount_minor;
ALTER TABLE app.r ALTER expected_amount_minor TYPE app.units;
SELECT reconciler.attach('app.r') > 0 AS attached;
-- not by a change, either
-- (How PostgreSQL words its own detail differs between versions)
\set VERBOSITY terse
ALTER TABLE app.r ALTER expected_amount_minor TYPE numeric(20, 2);
ALTER TABLE app.r ALTER expected_amount_minor TYPE numeric(20, 0);
ALTER TABLE app.r ALTER expected_amount_minor TYPE numeric;
\set VERBOSITY default
-- a computed column does
ALTER TABLE app.r ADD eth numeric(20, 18), ADD wei numeric(78, 0) GENERATED ALWAYS AS (eth * 1000000000000000000) STORED;
SELECT reconciler.detach('app.r');
SELECT reconciler.attach('app.r', '{"expected_amount_minor": "wei"}') > 0 AS attached;
INSERT INTO app.r (id, eth) VALUES (1, 2);
SELECT request_id, expected FROM reconciler.queue;

DROP EXTENSION reconciler CASCADE;
DROP SCHEMA app CASCADE;
DROP ROLE regress_reconciler_app, regress_reconciler_root;
