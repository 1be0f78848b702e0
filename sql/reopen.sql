-- A request that was decided stays so: old copies of rows that are saved over
-- newer ones, rows deleted and inserted again, and rows changed behind the
-- triggers are said, and not observed again. reopen does it on purpose.
\set SHOW_CONTEXT never
SET datestyle = ISO;
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1, expiry_grace => '0') AS net \gset
CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa',
	expires_at timestamptz, note text, updated_at timestamptz);
SELECT reconciler.attach('r', allow_superuser_owner => true) AS source \gset

-- A look that finds this amount for all that are queued
CREATE FUNCTION look(amount text) RETURNS TABLE (request_id text, from_status text, to_status text, reason text)
LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', amount, 'settled', amount)) AS requests INTO c
	FROM reconciler.claim('w', (SELECT n.network_id FROM reconciler.networks n WHERE n.network = 'local'), -1, 100, '15 s', '15 s') x;
	IF c.lo IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT s.request_id, s.from_status, s.to_status, s.reason
	FROM reconciler.settle('w', (SELECT n.network_id FROM reconciler.networks n WHERE n.network = 'local'), c.lo, c.token, jsonb_build_object(
		'tip', jsonb_build_object('height', 9, 'hash', '0x9', 'time', floor(extract(epoch FROM clock_timestamp()))),
		'depth', jsonb_build_object('height', 9, 'hash', '0x9'), 'requests', c.requests)) s
	WHERE s.outcome = 'transition' ORDER BY s.request_id::int;
END
$$;
CREATE VIEW state AS SELECT r.id, r.status, q.request_id IS NOT NULL AS observed
FROM r LEFT JOIN reconciler.queue q ON q.request_id = r.id::text ORDER BY r.id;
INSERT INTO r (id) SELECT generate_series(1, 6);
INSERT INTO r (id, status) VALUES (7, 'cancelled');
SELECT * FROM look('100');
UPDATE r SET status = 'shipped' WHERE id = 2;

-- save() of an object that was loaded before
UPDATE r SET status = 'pending', note = 'x', updated_at = now() WHERE id = 1;
UPDATE r SET status = 'detected' WHERE id = 2;
SELECT * FROM state;
-- an upsert, a row that is deleted and made again, a bulk load
INSERT INTO r (id) VALUES (3) ON CONFLICT (id) DO UPDATE SET status = excluded.status;
DELETE FROM r WHERE id = 4;
INSERT INTO r (id) VALUES (4);
DELETE FROM r WHERE id = 5;
COPY r (id, status) FROM stdin;
5	detected
\.
SELECT * FROM state;
-- A further change of such a row, and one that closes it
UPDATE r SET expected_amount_minor = 1 WHERE id = 5;
UPDATE r SET status = 'confirmed' WHERE id = 5;
-- What the application has closed itself it may open
UPDATE r SET status = 'pending' WHERE id = 7;
SELECT * FROM state WHERE id IN (5, 7);
UPDATE r SET status = 'cancelled' WHERE id = 7;
-- Nothing is confirmed twice
SELECT * FROM look('100');
SELECT item, regexp_replace(value, '\d{4}-\d\d-\d\d [^ ,]*', '<time>') AS value FROM reconciler.explain('r', '1') WHERE item <> 'history';
SELECT request_id, count(*) FROM reconciler.transitions WHERE to_status = 'confirmed' GROUP BY 1 HAVING count(*) > 1;

-- Behind the triggers: found, and not taken up
ALTER TABLE r DISABLE TRIGGER USER;
UPDATE r SET status = 'pending' WHERE id = 6;
SET client_min_messages = error;
ALTER TABLE r ENABLE TRIGGER USER;
RESET client_min_messages;
SELECT reconciler.resync('r') AS changes;
DELETE FROM reconciler.queue;
SELECT reconciler.resync() AS changes;
SELECT * FROM state;
SELECT * FROM look('100');

-- Many in one statement: some are named
INSERT INTO r (id) SELECT generate_series(101, 130);
SELECT count(*) FROM look('100');
UPDATE r SET status = 'pending' WHERE id > 100;
UPDATE r SET status = 'confirmed' WHERE id > 100;
BEGIN;
UPDATE r SET status = 'pending' WHERE id = 101;
UPDATE r SET status = 'pending' WHERE id = 102;
ROLLBACK;
TRUNCATE r;
INSERT INTO r (id) VALUES (1), (140);
SELECT * FROM state;

-- reopen: what is open already, what is closed, what is observed
SELECT reconciler.reopen('r', '1');
SELECT reconciler.reopen('r', '1') AS again, reconciler.reopen('r', '140') AS never_closed;
INSERT INTO r (id, status) VALUES (2, 'shipped'), (3, 'confirmed');
SELECT reconciler.reopen('r', '2'), reconciler.reopen('r', '3');
SELECT * FROM state;
SELECT updated_at IS NOT NULL AS touched FROM r WHERE id = 2;
-- the queue may be lost meanwhile
DELETE FROM reconciler.queue;
SELECT reconciler.resync('r') AS changes;
-- it ends as any, and stays so
SELECT * FROM look('100');
UPDATE r SET status = 'pending' WHERE id = 2;
SELECT item, regexp_replace(value, '\d{4}-\d\d-\d\d [^ ,]*', '<time>') AS value FROM reconciler.explain('r', '2') WHERE item = 'history';
SELECT reconciler.reopen('r', '99');
SELECT reconciler.reopen('r', 'no number');
SELECT reconciler.reopen('pg_class', '1');
SELECT reconciler.reopen('r', NULL);
SELECT reconciler.reopen(NULL, '1');
-- a trigger of the application's that has another opinion
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.status := OLD.status; RETURN NEW; END';
CREATE TRIGGER keep BEFORE UPDATE ON r FOR EACH ROW EXECUTE FUNCTION keep();
SELECT reconciler.reopen('r', '3');
SELECT count(*) FROM reconciler.transitions WHERE request_id = '3' AND reason = 'reopened';
DROP TRIGGER keep ON r;
DROP FUNCTION keep;

-- Expired: a later expires_at opens it, too, and none
TRUNCATE r;
INSERT INTO r (id, expires_at) SELECT i, '2001-01-01' FROM generate_series(201, 206) i;
SELECT * FROM look('0');
UPDATE r SET status = 'pending' WHERE id = 201;
UPDATE r SET status = 'pending', expires_at = expires_at + interval '1 second' WHERE id = 202;
UPDATE r SET status = 'pending', expires_at = '2100-01-01' WHERE id = 203;
UPDATE r SET status = 'pending', expires_at = NULL WHERE id = 204;
DELETE FROM r WHERE id = 205;
INSERT INTO r (id, expires_at) VALUES (205, '2001-01-01');
SELECT reconciler.reopen('r', '206');
SELECT * FROM state;
-- the expiry alone is put off later, of a row that stayed open in vain
UPDATE r SET expires_at = '2100-01-01' WHERE id = 201;
SELECT * FROM state;
-- the same when the queue is built anew, also after that expiry has passed
DELETE FROM reconciler.queue;
SELECT reconciler.resync('r') AS changes;
UPDATE r SET expires_at = clock_timestamp() WHERE id = 203;
DELETE FROM reconciler.queue;
SELECT reconciler.resync('r') AS changes;
SELECT * FROM state;
SELECT * FROM look('0');
-- A confirmed one needs more than that
INSERT INTO r (id) VALUES (301);
SELECT * FROM look('100');
UPDATE r SET status = 'pending', expires_at = '2100-01-01' WHERE id = 301;
SELECT * FROM state WHERE id = 301;

-- A new name changes nothing, nor does letting go and taking back
ALTER TABLE r RENAME TO renamed;
UPDATE renamed SET note = 'y', expires_at = NULL WHERE id = 301;
SELECT item, regexp_replace(value, '\d{4}-\d\d-\d\d [^ ,]*', '<time>') AS value FROM reconciler.explain('renamed', '301');
ALTER TABLE renamed RENAME TO r;
SELECT reconciler.detach('r');
SELECT reconciler.attach('r', allow_superuser_owner => true) = :source AS same;
SELECT * FROM state WHERE id = 301;
SELECT reconciler.detach('r');
SELECT reconciler.attach('r', allow_superuser_owner => true, reopen => true) = :source AS same;
SELECT * FROM state WHERE id = 301;
SELECT * FROM look('100');
-- Another table of the same name is another table
DROP TABLE r CASCADE;
CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');
INSERT INTO r (id) VALUES (301);
SELECT reconciler.attach('r', allow_superuser_owner => true) <> :source AS other;
SELECT count(*) FROM reconciler.queue;
SELECT reconciler.detach('r');
DROP TABLE r;
SELECT * FROM reconciler.former_sources;

-- Partitions, and rows that move between them
CREATE TABLE parts (id int, region text, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', PRIMARY KEY (id, region))
	PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us') PARTITION BY LIST (region);
CREATE TABLE parts_us_all PARTITION OF parts_us DEFAULT;
SELECT reconciler.attach('parts', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO parts (id, region) VALUES (1, 'eu'), (2, 'us'), (3, 'us');
UPDATE parts SET region = 'us' WHERE id = 1;
SELECT request_id FROM reconciler.queue ORDER BY 1;
SELECT * FROM look('100');
UPDATE parts SET status = 'pending', region = 'eu' WHERE id = 1;
UPDATE parts_us_all SET status = 'pending' WHERE id = 2;
SELECT reconciler.reopen('parts', '3');
SELECT request_id FROM reconciler.queue ORDER BY 1;
DROP TABLE parts;
DROP EXTENSION reconciler;
DROP FUNCTION look;
