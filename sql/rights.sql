-- Rights: who may do what, and whose rights the application's code meets.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
-- Sets statuses as settle does it
CREATE FUNCTION set_status(source int, ids text[], from_status text[], to_status text[])
RETURNS TABLE (request_id text, status text) LANGUAGE sql AS $$
	SELECT s.* FROM reconciler._set_status($1, ARRAY(
		SELECT ROW(NULL, c.id, c.from_status, c.to_status, NULL, NULL, NULL, r.expires_at, r.held)::reconciler._change
		FROM ROWS FROM (unnest($2), unnest($3), unnest($4)) AS c(id, from_status, to_status)
		LEFT JOIN reconciler._lock_open($1, $2) AS r ON r.request_id = c.id), 5000) AS s
$$;
SELECT reconciler.add_network('ethereum', 'local', ARRAY['http://127.0.0.1:8545/s3cret'], 31337) AS net \gset
CREATE ROLE regress_reconciler_shop;
CREATE ROLE regress_reconciler_thief;
CREATE ROLE regress_reconciler_worker;
CREATE ROLE regress_reconciler_monitor IN ROLE pg_monitor;
CREATE SCHEMA shop AUTHORIZATION regress_reconciler_shop;

-- Nothing is anybody's
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'reconciler'::regnamespace AND has_function_privilege('regress_reconciler_thief', oid, 'EXECUTE');
SELECT oid::regclass FROM pg_class WHERE relnamespace = 'reconciler'::regnamespace AND relkind IN ('r', 'v')
	AND has_table_privilege('regress_reconciler_thief', oid, 'SELECT, INSERT, UPDATE, DELETE');
SELECT p.oid::regprocedure AS without_a_path FROM pg_proc p WHERE pronamespace = 'reconciler'::regnamespace AND prosecdef
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false);

-- A table's owner who may attach: their own table, and nobody else's
GRANT USAGE ON SCHEMA reconciler TO regress_reconciler_shop, regress_reconciler_thief;
GRANT EXECUTE ON FUNCTION reconciler.attach, reconciler.detach, reconciler.create_table TO regress_reconciler_shop, regress_reconciler_thief;
SET ROLE regress_reconciler_shop;
CREATE TABLE shop.r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 1, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');
INSERT INTO shop.r (id) SELECT generate_series(1, 4);
GRANT ALL ON SCHEMA shop TO regress_reconciler_thief;
GRANT ALL ON shop.r TO regress_reconciler_thief;
SET ROLE regress_reconciler_thief;
SELECT reconciler.attach('shop.r');
CREATE TRIGGER mine AFTER INSERT ON shop.r FOR EACH ROW EXECUTE FUNCTION reconciler.queue_request('1');
SELECT reconciler._attach('shop.r', '{}', true, true);
SELECT * FROM reconciler.networks;
SET ROLE regress_reconciler_shop;
SELECT reconciler.attach('shop.r') > 0 AS attached;
SET ROLE regress_reconciler_thief;
SELECT reconciler.detach('shop.r');
SET ROLE regress_reconciler_shop;
SELECT current_user;
SELECT reconciler.create_table('shop.made');
SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'shop.made'::regclass;
SELECT reconciler.detach('shop.made');
DROP TABLE shop.made;
ALTER TABLE shop.r RENAME COLUMN network TO net;
SELECT * FROM reconciler.queue;
RESET ROLE;

-- Forced row-level security would hide requests from their owner
ALTER TABLE shop.r FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.r ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON shop.r USING (id % 2 = 1);
SELECT source_id AS source FROM reconciler.sources \gset
SELECT count(*) FROM reconciler._status_of(:source, '{1,2,3,4}');

-- The application's triggers run with the owner's rights. Here: the status is
-- set as settle does it, by a superuser in whose session the rest happens.
CREATE TABLE witness (who text, via text);
GRANT ALL ON witness TO PUBLIC;
SET ROLE regress_reconciler_shop;
CREATE FUNCTION shop.spy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.witness VALUES (current_user, TG_NAME);
	RETURN NEW;
END $$;
CREATE TRIGGER plain AFTER UPDATE ON shop.r FOR EACH ROW EXECUTE FUNCTION shop.spy();
CREATE TRIGGER before BEFORE UPDATE ON shop.r FOR EACH ROW EXECUTE FUNCTION shop.spy();
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON shop.r DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.spy();
RESET ROLE;
BEGIN;
SELECT * FROM set_status(:source, '{1}', '{pending}', '{detected}');
SELECT * FROM witness ORDER BY via;
COMMIT;
SELECT * FROM witness ORDER BY via;
SELECT current_user, current_setting('search_path'), current_setting('row_security');

-- What it tries to get hold of, it doesn't get
SET ROLE regress_reconciler_shop;
CREATE OR REPLACE FUNCTION shop.spy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.expected_amount_minor > 7 THEN
		RETURN NEW;
	END IF;
	EXECUTE (ARRAY['SELECT count(*) FROM pg_authid', 'CREATE ROLE regress_reconciler_super', 'RESET ROLE', 'RESET SESSION AUTHORIZATION',
		'SELECT count(*) FROM reconciler.networks', 'SET CONSTRAINTS ALL DEFERRED', 'CREATE TEMP TABLE x ()'])[NEW.expected_amount_minor];
	RETURN NEW;
END $$;
DROP TRIGGER plain ON shop.r;
DROP TRIGGER before ON shop.r;
DROP TRIGGER late ON shop.r;
CREATE TRIGGER early BEFORE UPDATE OF status ON shop.r FOR EACH ROW EXECUTE FUNCTION shop.spy();
CREATE FUNCTION shop.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''late, as %'', current_user; RETURN NULL; END';
CREATE CONSTRAINT TRIGGER late AFTER UPDATE OF status ON shop.r DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.nothing();
RESET ROLE;
UPDATE shop.r SET expected_amount_minor = id WHERE id <= 4;
INSERT INTO shop.r (id, expected_amount_minor) VALUES (5, 5), (6, 6), (7, 7), (8, 8), (10, 10);
\set VERBOSITY terse
SELECT * FROM set_status(:source, '{1}', '{detected}', '{confirmed}');
SELECT * FROM set_status(:source, '{2}', '{pending}', '{confirmed}');
SELECT * FROM set_status(:source, '{3}', '{pending}', '{confirmed}');
SELECT * FROM set_status(:source, '{4}', '{pending}', '{confirmed}');
SELECT * FROM set_status(:source, '{5}', '{pending}', '{confirmed}');
SELECT * FROM set_status(:source, '{6}', '{pending}', '{confirmed}');
SELECT * FROM set_status(:source, '{7}', '{pending}', '{confirmed}');
SELECT * FROM set_status(:source, '{8}', '{pending}', '{confirmed}');
\set VERBOSITY default
SELECT current_user, session_user = current_user AS still_us, current_setting('search_path');

-- Settled in one batch, those that fail stop no other
SELECT lo, token FROM reconciler.claim('w', :net, -1, 100, '1 min', '1 min') LIMIT 1 \gset
SELECT json_build_object('tip', json_build_object('height', 10, 'hash', '0x1', 'time', extract(epoch FROM clock_timestamp())::bigint),
	'depth', json_build_object('height', 10, 'hash', '0x1', 'time', extract(epoch FROM clock_timestamp())::bigint),
	'requests', (SELECT json_agg(json_build_object('seq', seq, 'seen', '99', 'settled', '99')) FROM reconciler.queue)) AS observation \gset
-- of another amount than was observed: left to the next look
UPDATE shop.r SET expected_amount_minor = 9 WHERE id = 7;
INSERT INTO shop.r (id) VALUES (9);
\set VERBOSITY terse
SELECT outcome, request_id, from_status, to_status, reason FROM reconciler.settle('w', :net, :lo, :'token', :'observation') ORDER BY request_id;
\set VERBOSITY default
SELECT id, status FROM shop.r ORDER BY id;
SELECT request_id, status, error FROM reconciler.queue ORDER BY request_id;

-- Types of the application's own can't bring code in, either
SET ROLE regress_reconciler_shop;
CREATE TYPE shop.state AS ENUM ('pending', 'detected', 'confirmed', 'expired');
CREATE FUNCTION shop.as_text(shop.state) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'cast as %', current_user;
	RETURN CASE WHEN $1 = 'pending' THEN 'pending' ELSE 'detected' END;
END $$;
CREATE CAST (shop.state AS text) WITH FUNCTION shop.as_text(shop.state) AS ASSIGNMENT;
CREATE TABLE shop.typed (id int PRIMARY KEY, status shop.state DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 1, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');
INSERT INTO shop.typed VALUES (1);
SELECT reconciler.attach('shop.typed') > 0 AS attached;
RESET ROLE;
INSERT INTO shop.typed VALUES (2);
SELECT reconciler.resync('shop.typed') AS changes;
SELECT max(source_id) AS source FROM reconciler.sources \gset
SELECT * FROM set_status(:source, '{1}', '{pending}', '{confirmed}');
SELECT request_id, status FROM reconciler.queue WHERE source_id = :source;

-- A worker's role: the protocol and nothing else
SELECT reconciler.grant_worker('regress_reconciler_worker');
SELECT proname FROM pg_proc WHERE pronamespace = 'reconciler'::regnamespace AND has_function_privilege('regress_reconciler_worker', oid, 'EXECUTE') ORDER BY 1;
SET ROLE regress_reconciler_worker;
SELECT endpoints FROM reconciler.worker_networks('w') WHERE network = 'local';
SELECT count(*) > 0 AS claimed FROM reconciler.claim('w2', :net, -1, 100, '1 min', '1 min');
SELECT * FROM reconciler.networks;
SELECT * FROM reconciler.queue;
SELECT reconciler.add_network('x', 'y', chain_id => 1);
SELECT reconciler._set_status(:source, '{}', 1000);
SELECT * FROM shop.r;
RESET ROLE;
SELECT reconciler.revoke_worker('regress_reconciler_worker');
SELECT count(*) AS rights FROM pg_proc WHERE pronamespace = 'reconciler'::regnamespace AND has_function_privilege('regress_reconciler_worker', oid, 'EXECUTE');

-- Monitoring sees how things are, and no secret
SET ROLE regress_reconciler_monitor;
SELECT chain, network, endpoints FROM reconciler.network_settings;
SELECT endpoints FROM reconciler.networks;
RESET ROLE;

DROP EXTENSION reconciler;
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
DROP TABLE witness;
DROP FUNCTION set_status;
DROP ROLE regress_reconciler_shop, regress_reconciler_thief, regress_reconciler_worker, regress_reconciler_monitor;
-- A schema that is somebody else's is no place for it
CREATE SCHEMA reconciler;
CREATE EXTENSION reconciler;
DROP SCHEMA reconciler;
