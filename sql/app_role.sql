-- The application's role: what grant_app gives, and that it is no way to what others own.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) > 0 AS added;
CREATE ROLE regress_reconciler_app;
CREATE ROLE regress_reconciler_clerk;
CREATE ROLE regress_reconciler_other;
SELECT reconciler.grant_app('regress_reconciler_app');
SELECT reconciler.grant_app('regress_reconciler_clerk'), reconciler.grant_app('regress_reconciler_other');
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'reconciler'::regnamespace AND has_function_privilege('regress_reconciler_app', oid, 'EXECUTE') ORDER BY 1;
CREATE SCHEMA app AUTHORIZATION regress_reconciler_app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
SET ROLE regress_reconciler_app;
SELECT reconciler.create_table('app.r');
INSERT INTO app.r (id, chain, network, expected_amount_minor, address_canonical)
VALUES ('00000000-0000-0000-0000-000000000001', 'ethereum', 'local', 5, '0x00000000000000000000000000000000000000aa'),
	('00000000-0000-0000-0000-000000000002', 'ethereum', 'local', 5, '0x00000000000000000000000000000000000000aa');
SELECT item, value FROM reconciler.explain('app.r', '00000000-0000-0000-0000-000000000001') WHERE item = 'address';
SELECT reconciler.resync('app.r'), reconciler.resync();
SELECT reconciler.reopen('app.r', '00000000-0000-0000-0000-000000000001');
RESET ROLE;

-- Others see what they could read, change what they could write
SET ROLE regress_reconciler_other;
SELECT * FROM reconciler.explain('app.r', '00000000-0000-0000-0000-000000000001');
SELECT reconciler.reopen('app.r', '00000000-0000-0000-0000-000000000001');
SELECT reconciler.resync('app.r');
SELECT reconciler.resync();
SELECT reconciler.detach('app.r');
SELECT * FROM reconciler._explain('app.r', '00000000-0000-0000-0000-000000000001');
SELECT reconciler._note_reopening(1, '00000000-0000-0000-0000-000000000001', 'confirmed');
SELECT reconciler._resync_tables('app.r', 10);
RESET ROLE;
GRANT SELECT ON app.r TO regress_reconciler_other;
SET ROLE regress_reconciler_other;
SELECT count(*) > 0 AS explained FROM reconciler.explain('app.r', '00000000-0000-0000-0000-000000000001');
SELECT reconciler.reopen('app.r', '00000000-0000-0000-0000-000000000001');
RESET ROLE;
-- also through a function of the application's, which asks as its owner
SET ROLE regress_reconciler_app;
CREATE FUNCTION app.why(id uuid) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
	$$ SELECT value FROM reconciler.explain('app.r', id::text) WHERE item = 'status' $$;
REVOKE SELECT ON app.r FROM regress_reconciler_other;
SET ROLE regress_reconciler_other;
SELECT app.why('00000000-0000-0000-0000-000000000001');
RESET ROLE;

-- UPDATE on another column is no right to reopen; on the status it is
SET ROLE regress_reconciler_app;
UPDATE app.r SET status = 'confirmed';
GRANT SELECT, UPDATE (asset) ON app.r TO regress_reconciler_clerk;
SET ROLE regress_reconciler_clerk;
SELECT reconciler.reopen('app.r', '00000000-0000-0000-0000-000000000001');
RESET ROLE;
GRANT UPDATE (status) ON app.r TO regress_reconciler_clerk;
SET ROLE regress_reconciler_clerk;
SELECT reconciler.reopen('app.r', '00000000-0000-0000-0000-000000000001');
SELECT status, updated_at = created_at AS untouched FROM app.r WHERE id = '00000000-0000-0000-0000-000000000001';
RESET ROLE;

-- Policies of the table's hold: who can't see a request can't ask about it
ALTER TABLE app.r ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON app.r TO regress_reconciler_clerk USING (id = '00000000-0000-0000-0000-000000000001');
SET ROLE regress_reconciler_clerk;
SELECT count(*) > 0 AS explained FROM reconciler.explain('app.r', '00000000-0000-0000-0000-000000000001');
SELECT * FROM reconciler.explain('app.r', '00000000-0000-0000-0000-000000000002');
SELECT reconciler.reopen('app.r', '00000000-0000-0000-0000-000000000002');
RESET ROLE;

-- Deferred triggers of the caller's run as the caller
SET ROLE regress_reconciler_clerk;
CREATE TEMP TABLE lure (a int);
CREATE FUNCTION pg_temp.who() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''deferred, as %'', current_user; RETURN NULL; END';
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON lure DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.who();
BEGIN;
INSERT INTO lure VALUES (1);
UPDATE app.r SET status = 'failed';
SELECT reconciler.reopen('app.r', '00000000-0000-0000-0000-000000000001');
SELECT count(*) > 0 AS explained FROM reconciler.explain('app.r', '00000000-0000-0000-0000-000000000001');
COMMIT;
DROP TABLE lure;
DROP FUNCTION pg_temp.who;
RESET ROLE;

-- Names and values that try to be code when they are mapped
SET ROLE regress_reconciler_app;
CREATE TABLE app."t; DROP TABLE app.r; --" ("id"" = 1); DROP TABLE app.r; --" int PRIMARY KEY, "st'atus" text DEFAULT 'pending',
	"%I$1" numeric DEFAULT 3, "a"".""b" text DEFAULT '0x00000000000000000000000000000000000000aa', "=x" timestamptz);
SELECT reconciler.attach('app."t; DROP TABLE app.r; --"', $${"id": "id\" = 1); DROP TABLE app.r; --", "status": "st'atus", "chain": "=e'); DROP TABLE app.r; --",
	"network": "='; SELECT 1/0; --", "expected_amount_minor": "%I$1", "address_canonical": "a\".\"b"}$$) > 0 AS attached;
INSERT INTO app."t; DROP TABLE app.r; --" VALUES (1);
UPDATE app."t; DROP TABLE app.r; --" SET "st'atus" = 'detected';
RESET ROLE;
SELECT request_id, status, expected, chain, network FROM reconciler.queue WHERE chain IS NOT NULL;
SET ROLE regress_reconciler_app;
SELECT reconciler.explain('app."t; DROP TABLE app.r; --"', '1') LIMIT 1;
SELECT reconciler.detach('app."t; DROP TABLE app.r; --"');
SELECT reconciler.attach('app."t; DROP TABLE app.r; --"', '{"id": "=x"}');
-- System columns, and those that aren't there
SELECT reconciler.attach('app.r', '{"id": "ctid"}');
SELECT reconciler.detach('app.r');
SELECT reconciler.attach('app.r', '{"id": "tableoid"}');
-- Operators, functions and types of the role's own, which the owner of the extension must not run
CREATE FUNCTION app.boom() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''run as %'', current_user; END';
CREATE FUNCTION app.boom(a text, b text) RETURNS boolean LANGUAGE sql AS 'SELECT app.boom()';
CREATE FUNCTION app.boom_in(text) RETURNS boolean LANGUAGE sql AS 'SELECT app.boom()';
CREATE OPERATOR app.= (LEFTARG = text, RIGHTARG = text, FUNCTION = app.boom);
CREATE DOMAIN app.state AS text CHECK (current_user = 'regress_reconciler_app' OR VALUE IS NULL OR app.boom());
CREATE DOMAIN app.amount AS numeric(78, 0) CHECK (current_user = 'regress_reconciler_app' OR VALUE IS NULL OR app.boom());
CREATE TABLE app.d (id int PRIMARY KEY, status app.state DEFAULT 'pending', chain app.state DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor app.amount DEFAULT 7, address_canonical app.state DEFAULT '0x00000000000000000000000000000000000000aa');
INSERT INTO app.d (id) VALUES (1);
SET search_path = app, pg_catalog;
SELECT reconciler.attach('app.d') > 0 AS attached;
INSERT INTO app.d (id) VALUES (2);
UPDATE app.d SET status = 'detected' WHERE id = 2;
SELECT reconciler.resync('app.d') AS changes;
RESET search_path;
RESET ROLE;
SELECT q.request_id, q.status, q.expected FROM reconciler.queue q JOIN reconciler.sources s USING (source_id) WHERE s.relation = 'app.d'::regclass ORDER BY 1;
SELECT reconciler.resync('app.d') AS changes;
-- The trigger function is nobody's to use
SET ROLE regress_reconciler_app;
CREATE TABLE app.forged (id int);
CREATE TRIGGER t AFTER INSERT ON app.forged FOR EACH ROW
	EXECUTE FUNCTION reconciler.queue_request('1', 'id', 'status', 'chain', 'network', 'address_canonical', '', 'expected_amount_minor', '');
RESET ROLE;

SELECT reconciler.revoke_app('regress_reconciler_clerk');
SELECT has_schema_privilege('regress_reconciler_clerk', 'reconciler', 'USAGE') AS usage, count(*) AS functions
FROM pg_proc p WHERE pronamespace = 'reconciler'::regnamespace AND has_function_privilege('regress_reconciler_clerk', oid, 'EXECUTE');
-- A role may be both
SELECT reconciler.grant_worker('regress_reconciler_app'), reconciler.revoke_app('regress_reconciler_app');
SELECT has_schema_privilege('regress_reconciler_app', 'reconciler', 'USAGE') AS usage;
SELECT reconciler.grant_app('regress_reconciler_app'), reconciler.revoke_worker('regress_reconciler_app');
SELECT has_schema_privilege('regress_reconciler_app', 'reconciler', 'USAGE') AS usage;
DROP EXTENSION reconciler CASCADE;
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
DROP ROLE regress_reconciler_app, regress_reconciler_clerk, regress_reconciler_other;
