-- What the caller has queued for the end of its transaction runs as the caller,
-- not as the owner of the table whose statuses are being set.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1, expiry_grace => '0') AS net \gset
CREATE ROLE regress_deferred_worker;
CREATE ROLE regress_deferred_shop;
SELECT reconciler.grant_worker('regress_deferred_worker');
CREATE SCHEMA shop AUTHORIZATION regress_deferred_shop;
CREATE TABLE requests (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', expires_at timestamptz);
SELECT reconciler.attach('requests', allow_superuser_owner => true) > 0 AS attached;
-- Who ran it
CREATE TABLE witness (n int GENERATED ALWAYS AS IDENTITY, what text, who text, path text);
GRANT ALL ON witness TO PUBLIC;

CREATE PROCEDURE requests_due() LANGUAGE sql SECURITY DEFINER AS $$
	TRUNCATE requests, reconciler.transitions;
	INSERT INTO requests (id) VALUES (1), (2);
	INSERT INTO requests (id, address_canonical, expires_at) VALUES (3, 'nowhere', '2000-01-01');
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
	TRUNCATE witness;
$$;
-- A worker that found everything paid
CREATE FUNCTION pg_temp.settle_all() RETURNS TABLE (outcome text, request_id text, to_status text, reason text) LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', '100', 'settled', '100')) AS requests INTO c
	FROM reconciler.claim('w', 1, -1, 100, '15 s', '15 s') x;
	RETURN QUERY SELECT s.outcome, s.request_id, s.to_status, s.reason
	FROM reconciler.settle('w', 1, c.lo, c.token, jsonb_build_object(
		'tip', jsonb_build_object('height', 9, 'time', 4000000000), 'depth', jsonb_build_object('height', 9), 'requests', c.requests)) s
	ORDER BY s.request_id;
END
$$;
GRANT EXECUTE ON FUNCTION pg_temp.settle_all() TO PUBLIC;

-- The attack: code of the worker's, deferred
CREATE SCHEMA evil AUTHORIZATION regress_deferred_worker;
SET ROLE regress_deferred_worker;
CREATE TABLE evil.fuse (n int);
CREATE FUNCTION evil.attack() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.witness (what, who, path) VALUES (TG_NAME, current_user, current_setting('search_path'));
	BEGIN
		ALTER ROLE regress_deferred_worker SUPERUSER;
	EXCEPTION WHEN insufficient_privilege THEN
		NULL;
	END;
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER one AFTER INSERT ON evil.fuse DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.attack();
CALL public.requests_due();
BEGIN;
INSERT INTO evil.fuse VALUES (1);
SELECT * FROM pg_temp.settle_all();
COMMIT;
SELECT what, who FROM witness ORDER BY n;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_deferred_worker';

-- By way of claim, and of what maintain does about bad requests
CALL public.requests_due();
BEGIN;
INSERT INTO evil.fuse VALUES (1);
SELECT count(*) AS claimed FROM reconciler.claim('w', 1, -1, 100, '15 s', '15 s');
SELECT reconciler.maintain('w') >= 0 AS maintained;
-- before the commit, that is, by what maintain did
SELECT what, who FROM witness;
COMMIT;
RESET ROLE;
SELECT id, status FROM requests WHERE id = 3;
SET ROLE regress_deferred_worker;

-- One that defers another in its turn
CREATE TABLE evil.second (n int);
CREATE CONSTRAINT TRIGGER two AFTER INSERT ON evil.second DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.attack();
CREATE FUNCTION evil.chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.n > 1 THEN
		SET CONSTRAINTS ALL DEFERRED;
	END IF;
	INSERT INTO evil.second VALUES (1);
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER chain AFTER INSERT ON evil.fuse DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.chain();
CALL public.requests_due();
BEGIN;
INSERT INTO evil.fuse VALUES (1);
SELECT outcome, request_id FROM pg_temp.settle_all();
COMMIT;
SELECT what, who FROM witness ORDER BY n;
-- and keeps it deferred: refused, and nothing runs as the owner
CALL public.requests_due();
BEGIN;
INSERT INTO evil.fuse VALUES (2);
SELECT outcome, request_id, reason FROM pg_temp.settle_all();
ROLLBACK;
SELECT what, who FROM witness ORDER BY n;

-- The owner's own trigger, which makes all constraints immediate
RESET ROLE;
CREATE FUNCTION shop.at_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; RETURN NEW; END $$;
CREATE TRIGGER at_once BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION shop.at_once();
SET ROLE regress_deferred_worker;
CALL public.requests_due();
BEGIN;
INSERT INTO evil.fuse VALUES (2);
SELECT outcome, request_id, reason FROM pg_temp.settle_all();
ROLLBACK;
DROP TRIGGER chain ON evil.fuse;

-- Settings that it leaves behind are not those that the rest of settle runs with
CREATE OR REPLACE FUNCTION evil.attack() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	SET search_path = evil, pg_catalog;
	BEGIN
		SET standard_conforming_strings = off;
	EXCEPTION WHEN OTHERS THEN
		NULL;	-- PostgreSQL 19 has it no more
	END;
	RETURN NULL;
END
$$;
CREATE FUNCTION evil.left(text, int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.witness (what, who) VALUES ('left', current_user);
	RETURN $1;
END
$$;
CALL public.requests_due();
BEGIN;
INSERT INTO evil.fuse VALUES (1);
SELECT outcome, request_id FROM pg_temp.settle_all();
SHOW search_path;
COMMIT;
SELECT what, who FROM witness;

-- An identity that the trigger tries to get at
CREATE OR REPLACE FUNCTION evil.attack() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (ARRAY['RESET ROLE', 'RESET SESSION AUTHORIZATION', 'SET ROLE NONE', 'SET SESSION AUTHORIZATION DEFAULT'])[NEW.n];
	INSERT INTO public.witness (what, who) VALUES (TG_NAME, current_user);
	RETURN NULL;
END
$$;
\set VERBOSITY terse
CALL public.requests_due();
BEGIN;
INSERT INTO evil.fuse VALUES (1);
SELECT outcome, request_id, reason FROM pg_temp.settle_all();
ROLLBACK;
BEGIN;
INSERT INTO evil.fuse VALUES (2);
SELECT outcome, request_id, reason FROM pg_temp.settle_all();
ROLLBACK;
BEGIN;
INSERT INTO evil.fuse VALUES (3);
SELECT outcome, request_id, reason FROM pg_temp.settle_all();
ROLLBACK;
\set VERBOSITY default
SELECT what, who FROM witness;

-- Deferred constraints of the owner's own are checked before settle returns, as the owner
RESET ROLE;
DROP TRIGGER at_once ON requests;
CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.witness (what, who) VALUES (NEW.id, current_user);
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON requests DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.note();
ALTER TABLE requests OWNER TO regress_deferred_shop;
SET ROLE regress_deferred_worker;
CALL public.requests_due();
BEGIN;
SELECT outcome, request_id FROM pg_temp.settle_all();
SELECT what, who FROM witness ORDER BY n;
COMMIT;
RESET ROLE;

DROP EXTENSION reconciler CASCADE;
SET client_min_messages = warning;
DROP SCHEMA evil, shop CASCADE;
DROP TABLE requests, witness;
DROP PROCEDURE requests_due;
DROP ROLE regress_deferred_worker, regress_deferred_shop;
