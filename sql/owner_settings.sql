-- Triggers of an attached table run with the settings that its owner's own
-- sessions begin with, whatever the session that calls settle has set.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1) AS net \gset
CREATE ROLE regress_settings_worker;
CREATE ROLE regress_settings_shop;
SELECT reconciler.grant_worker('regress_settings_worker');
GRANT CREATE, USAGE ON SCHEMA public TO regress_settings_shop;
-- The owner's own choice counts, here before everywhere
ALTER ROLE regress_settings_shop SET extra_float_digits = 2;
ALTER ROLE regress_settings_shop SET bytea_output = 'hex';
ALTER ROLE regress_settings_shop IN DATABASE contrib_regression SET bytea_output = 'escape';
SET ROLE regress_settings_shop;
CREATE TABLE requests (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');
CREATE TABLE settings (id int, name text, value text, PRIMARY KEY (id, name));
CREATE TABLE notes (id int, note text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO settings SELECT NEW.id, n, current_setting(n) FROM unnest(ARRAY['standard_conforming_strings', 'backslash_quote',
		'transform_null_equals', 'array_nulls', 'quote_all_identifiers', 'DateStyle', 'IntervalStyle', 'TimeZone', 'extra_float_digits',
		'bytea_output', 'xmlbinary', 'xmloption', 'lc_numeric', 'gin_fuzzy_search_limit', 'check_function_bodies',
		'plpgsql.check_asserts', 'client_min_messages', 'session_replication_role', 'row_security', 'search_path']) n;
	-- By the caller's rules the first literal would end later
	EXECUTE 'INSERT INTO notes VALUES (' || NEW.id || ', ''a\'' || '' b'')';
	INSERT INTO notes SELECT NEW.id, 'null = null' WHERE NULL = NULL;
	ASSERT NEW.id <> 4, 'never 4';
	RETURN NEW;
END
$$;
CREATE TRIGGER note BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION note();
RESET ROLE;
SELECT reconciler.attach('requests') > 0 AS attached;
INSERT INTO requests (id) VALUES (1), (2), (3), (4);
-- One after the other
CREATE FUNCTION pay(id int) RETURNS TABLE (outcome text, reason text) LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	SELECT x.lo, x.token, min(x.seq) OVER () + id - 1 AS paid INTO c FROM reconciler.claim('w', 1, -1, 100, '15 s', '1 us') x;
	RETURN QUERY SELECT s.outcome, s.reason
	FROM reconciler.settle('w', 1, c.lo, c.token, format('{"tip": {"height": 9, "time": %s}, "depth": {"height": 9},
		"requests": [{"seq": %s, "seen": "100", "settled": "100"}]}', floor(extract(epoch FROM now())), c.paid)::jsonb) s;
END
$$;
-- A superuser's session that has set nothing; one that has
SELECT * FROM pay(1);
SET session_replication_role = replica;
SET bytea_output = hex;
SET xmloption = document;
SELECT * FROM pay(1);
RESET session_replication_role;
RESET bytea_output;
RESET xmloption;

-- A worker's session that tries everything. (What pg_regress asked for when it connected is not the owner's, either.)
SET SESSION AUTHORIZATION regress_settings_worker;
-- (PostgreSQL 19 has these no more)
DO $$ BEGIN SET standard_conforming_strings = off; EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN SET escape_string_warning = off; EXCEPTION WHEN OTHERS THEN NULL; END $$;
SET backslash_quote = on;
SET transform_null_equals = on;
SET array_nulls = off;
SET quote_all_identifiers = on;
SET DateStyle = 'German';
SET IntervalStyle = 'iso_8601';
SET TimeZone = 'Asia/Tokyo';
SET extra_float_digits = -15;
SET xmlbinary = hex;
SET xmloption = document;
SET gin_fuzzy_search_limit = 1;
SET check_function_bodies = off;
SET plpgsql.check_asserts = off;
SET client_min_messages = debug1;
SET search_path = pg_temp;
SET client_min_messages = warning;
SELECT * FROM public.pay(1);
SELECT * FROM public.pay(1);
SHOW backslash_quote;
SHOW search_path;
RESET ALL;
RESET SESSION AUTHORIZATION;

SELECT a.name, a.value AS untouched, nullif(b.value, a.value) AS superuser, nullif(c.value, a.value) AS worker
FROM settings a LEFT JOIN settings b ON b.id = 2 AND b.name = a.name LEFT JOIN settings c ON c.id = 3 AND c.name = a.name WHERE a.id = 1 ORDER BY a.name COLLATE "C";
SELECT * FROM notes ORDER BY id;
SELECT id, status FROM requests ORDER BY id;

DROP EXTENSION reconciler CASCADE;
DROP TABLE requests, settings, notes;
DROP FUNCTION pay, note;
REVOKE ALL ON SCHEMA public FROM regress_settings_shop;
DROP ROLE regress_settings_worker, regress_settings_shop;
