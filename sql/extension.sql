-- The extension as a whole: it comes and goes cleanly, and everything in it is described.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT extversion, extnamespace::regnamespace FROM pg_extension WHERE extname = 'reconciler';
SELECT c.oid::regclass AS undescribed FROM pg_class c WHERE relnamespace = 'reconciler'::regnamespace AND relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL ORDER BY 1;
SELECT p.oid::regprocedure AS undescribed FROM pg_proc p WHERE pronamespace = 'reconciler'::regnamespace AND proname NOT LIKE '\_%' AND obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;

-- Off by default
SHOW reconciler.workers;

-- Only caches are unlogged; they aren't dumped, and what is, is
SELECT relname FROM pg_class WHERE relnamespace = 'reconciler'::regnamespace AND relkind = 'r' AND relpersistence = 'u' ORDER BY 1;
SELECT c.oid::regclass AS dumped FROM pg_extension e, unnest(e.extconfig) AS c (oid) WHERE e.extname = 'reconciler' ORDER BY 1;

-- With tables attached it goes without CASCADE, and takes nothing of theirs along
CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text, network text, expected_amount_minor numeric, address_canonical text);
CREATE TABLE p (id int PRIMARY KEY, status text DEFAULT 'pending', chain text, network text, expected_amount_minor numeric, address_canonical text) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (10);
CREATE TRIGGER own BEFORE UPDATE ON r FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
SELECT reconciler.attach('p', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO r VALUES (1);
INSERT INTO p VALUES (1);
BEGIN;
DROP EXTENSION reconciler;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN ('r'::regclass, 'p'::regclass, 'p1'::regclass);
UPDATE r SET status = 'cancelled';
SELECT count(*) AS event_triggers FROM pg_event_trigger;
ROLLBACK;
DROP EXTENSION reconciler CASCADE;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN ('r'::regclass, 'p'::regclass, 'p1'::regclass);
SELECT id, status FROM r;
SELECT count(*) AS left_over FROM pg_namespace WHERE nspname = 'reconciler';
SELECT count(*) AS left_over FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE l.lanname = 'c' AND p.probin LIKE '%reconciler%';

-- and comes again in the same session
CREATE EXTENSION reconciler;
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO r VALUES (2);
SELECT request_id FROM reconciler.queue ORDER BY seq;
SELECT reconciler.detach('r');
DROP TABLE r, p;
DROP EXTENSION reconciler;
