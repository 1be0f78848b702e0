-- A table whose triggers came with a copy of a schema, from a database that has
-- the extension, too: they name a source that is another table here. None of
-- its rows is anybody's request, and none of the other table's is touched.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1) AS net \gset
CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 1000000, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');
SELECT reconciler.attach('r', allow_superuser_owner => true) AS source \gset
INSERT INTO r (id) VALUES (1), (2);

-- As pg_dump -n writes it
CREATE SCHEMA copied;
CREATE PROCEDURE copy_triggers(target regclass, source_id int) LANGUAGE plpgsql AS $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT tgname, pg_get_triggerdef(oid) AS definition FROM pg_trigger WHERE tgrelid = 'public.r'::regclass LOOP
		EXECUTE replace(replace(t.definition, ' ON public.r ', format(' ON %s ', target)), 'queue_request(''1''', format('queue_request(''%s''', source_id));
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', target, t.tgname);
	END LOOP;
END $$;
CREATE TABLE copied.r (LIKE r INCLUDING ALL);
CALL copy_triggers('copied.r', :source);
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'copied.r'::regclass;
CREATE VIEW queued AS SELECT request_id, status, expected FROM reconciler.queue ORDER BY seq;

-- The attack: 1,000,000 paid by 1. Said once, and queued never
INSERT INTO copied.r (id, expected_amount_minor) VALUES (2, 1), (3, 1);
INSERT INTO copied.r (id, expected_amount_minor) VALUES (4, 1);
COPY copied.r (id) FROM stdin;
5
\.
UPDATE copied.r SET expected_amount_minor = 2;
SELECT * FROM queued;
UPDATE copied.r SET status = 'detected' WHERE id = 2;
UPDATE copied.r SET id = 1 WHERE id = 2;
UPDATE copied.r SET status = 'cancelled' WHERE id = 1;
DELETE FROM copied.r WHERE id = 1;
SELECT * FROM queued;
TRUNCATE copied.r;
SELECT * FROM queued;
SELECT count(*) AS rows FROM copied.r;

-- A source that isn't there
CREATE TABLE copied.later (LIKE r INCLUDING ALL);
CALL copy_triggers('copied.later', 4711);
INSERT INTO copied.later (id) VALUES (1);
SELECT * FROM queued;

-- Partitions of such a copy, of two levels; the other way round, too
CREATE TABLE copied.parts (LIKE r, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE copied.low PARTITION OF copied.parts FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
CREATE TABLE copied.lowest PARTITION OF copied.low FOR VALUES FROM (0) TO (5);
CALL copy_triggers('copied.parts', :source);
INSERT INTO copied.parts (id, status, chain, network, expected_amount_minor) VALUES (1, 'pending', 'ethereum', 'local', 1);
INSERT INTO copied.low (id, status, chain, network, expected_amount_minor) VALUES (2, 'pending', 'ethereum', 'local', 1);
UPDATE copied.lowest SET status = 'detected';
TRUNCATE copied.parts;
SELECT * FROM queued;

-- Attached, it is a table like any other: the foreign triggers give way
INSERT INTO copied.r (id, expected_amount_minor) VALUES (1, 7);
SELECT reconciler.attach('copied.r', allow_superuser_owner => true) <> :source AS attached;
SELECT reconciler.attach('copied.parts', allow_superuser_owner => true) <> :source AS attached;
INSERT INTO copied.r (id, expected_amount_minor) VALUES (2, 8);
INSERT INTO copied.parts (id, status, chain, network, expected_amount_minor) VALUES (1, 'pending', 'ethereum', 'local', 9);
INSERT INTO copied.lowest (id, status, chain, network, expected_amount_minor) VALUES (2, 'pending', 'ethereum', 'local', 10);
SELECT relation, request_id, expected FROM reconciler.queue JOIN reconciler.sources USING (source_id) ORDER BY seq;
SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgname LIKE 'reconciler%' GROUP BY 1 ORDER BY 1;
-- An attached partitioned table may become part of a larger one
CREATE TABLE copied.larger (LIKE r) PARTITION BY LIST (network);
ALTER TABLE copied.parts ADD CONSTRAINT here CHECK (network = 'local' AND network IS NOT NULL);
ALTER TABLE copied.larger ATTACH PARTITION copied.parts FOR VALUES IN ('local');
INSERT INTO copied.larger (id, status, chain, network, expected_amount_minor) VALUES (3, 'pending', 'ethereum', 'local', 11);
SELECT relation, request_id, expected FROM reconciler.queue JOIN reconciler.sources USING (source_id) WHERE request_id = '3';
-- A copy of the definition alone takes no triggers along
CREATE TABLE copied.bare (LIKE r INCLUDING ALL);
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'copied.bare'::regclass;

DROP VIEW queued;
DROP TABLE r;
SET client_min_messages = warning;
DROP EXTENSION reconciler CASCADE;
DROP SCHEMA copied CASCADE;
DROP PROCEDURE copy_triggers;
