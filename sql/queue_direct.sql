-- The trigger knows networks and sources from before, and writes the queue
-- without a statement: it must notice every change, and do what a statement does.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
CREATE TABLE r (id text PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor text DEFAULT '100', address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa',
	token_contract text, expires_at timestamptz);
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
CREATE VIEW queued AS
	SELECT q.request_id, q.status, n.kind, q.chain, q.network, q.key IS NOT NULL AS has_key, q.followed, q.look_back_due, q.looking_back, q.invalid
	FROM reconciler.queue q JOIN reconciler.networks n USING (network_id) ORDER BY seq;

-- A network that comes, is rolled back, changes its kind, and goes; all in the session that knows it otherwise
INSERT INTO r (id) VALUES ('none yet');
BEGIN;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) > 0 AS added;
INSERT INTO r (id) VALUES ('in its transaction');
SELECT * FROM queued;
ROLLBACK;
INSERT INTO r (id) VALUES ('rolled back');
SELECT * FROM queued;
BEGIN;
SAVEPOINT s;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) > 0 AS added;
ROLLBACK TO s;
INSERT INTO r (id) VALUES ('savepoint');
COMMIT;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) > 0 AS added;
INSERT INTO r (id) VALUES ('added');
SELECT * FROM queued;
UPDATE reconciler.networks SET kind = 'bitcoind', chain_id = NULL WHERE network = 'local';
INSERT INTO r (id) VALUES ('not its address');
INSERT INTO r (id, address_canonical) VALUES ('followed', 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080');
SELECT * FROM queued WHERE request_id IN ('not its address', 'followed');
SELECT reconciler.remove_network('ethereum', 'local');
INSERT INTO r (id, network) VALUES ('removed', 'local'), ('nameless', '');
SELECT count(*), count(*) FILTER (WHERE kind = 'none') AS waiting FROM queued;
-- Also where triggers are off
SET session_replication_role = replica;
INSERT INTO reconciler.networks (chain, network, chain_id) VALUES ('ethereum', 'replicated', 1);
RESET session_replication_role;
INSERT INTO r (id, network) VALUES ('of a replica', 'replicated');
SELECT * FROM queued WHERE request_id = 'of a replica';
DELETE FROM r;
SELECT count(*) FROM reconciler.queue;

-- A row that is there already is replaced, as an arrival
ALTER TABLE r DISABLE TRIGGER ALL;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) > 0 AS added;
ALTER TABLE r ENABLE TRIGGER ALL;
INSERT INTO r (id) VALUES ('twice');
UPDATE reconciler.queue SET seen = 5, error = 'x';
CREATE TEMP TABLE before AS SELECT seq FROM reconciler.queue;
SET session_replication_role = replica;
ALTER TABLE r DISABLE TRIGGER reconciler_delete;
DELETE FROM r;
ALTER TABLE r ENABLE ALWAYS TRIGGER reconciler_delete;
RESET session_replication_role;
INSERT INTO r (id, expected_amount_minor) VALUES ('twice', '7');
SELECT q.request_id, q.expected, q.seen, q.error, q.seq > b.seq AS arrives_anew FROM reconciler.queue q CROSS JOIN before b;

-- One statement that writes the same request several times
WITH gone AS (UPDATE r SET status = 'cancelled' WHERE id = 'twice' RETURNING id)
	INSERT INTO r (id) SELECT 'after ' || id FROM gone;
SELECT request_id FROM queued;
CREATE FUNCTION close() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE r SET status = 'cancelled' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER zz AFTER INSERT ON r FOR EACH ROW EXECUTE FUNCTION close();
INSERT INTO r (id) VALUES ('closed at once'), ('and this');
SELECT request_id FROM queued;
DROP TRIGGER zz ON r;
BEGIN;
INSERT INTO r (id) VALUES ('undone');
ROLLBACK;
SELECT request_id FROM queued;

-- What an administrator puts on the queue isn't passed by
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% %', TG_OP, coalesce(NEW.request_id, OLD.request_id); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT OR DELETE ON reconciler.queue FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO r (id) VALUES ('noted');
DELETE FROM r WHERE id = 'noted';
DROP TRIGGER note ON reconciler.queue;
CREATE TRIGGER note AFTER DELETE ON reconciler.queue FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO r (id) VALUES ('noted');
DELETE FROM r WHERE id = 'noted';
DROP TRIGGER note ON reconciler.queue;
CREATE INDEX further ON reconciler.queue (lower(request_id)) WHERE request_id > 'a';
INSERT INTO r (id) VALUES ('INDEXED'), ('indexed');
SET enable_seqscan = off;
SELECT request_id FROM reconciler.queue WHERE lower(request_id) = 'indexed' AND request_id > 'a';
RESET enable_seqscan;
DROP INDEX reconciler.further;
ALTER TABLE reconciler.queue ADD COLUMN remark text DEFAULT 'none', ADD COLUMN number int DEFAULT 7;
ALTER TABLE reconciler.queue DROP COLUMN remark;
INSERT INTO r (id) VALUES ('other columns');
SELECT request_id, number FROM reconciler.queue WHERE request_id = 'other columns';
ALTER TABLE reconciler.queue ADD CHECK (request_id <> 'checked');
\set VERBOSITY terse
INSERT INTO r (id) VALUES ('checked');
\set VERBOSITY default
ALTER TABLE reconciler.queue DROP CONSTRAINT queue_request_id_check;

-- Serializable, and by a snapshot that is older than the queue's row
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM r;
INSERT INTO r (id) VALUES ('repeatable');
UPDATE r SET status = 'cancelled' WHERE id = 'repeatable';
INSERT INTO r (id) VALUES ('and more');
COMMIT;
SELECT request_id FROM queued WHERE request_id IN ('repeatable', 'and more');

-- A partition that goes has no say any more, and one that comes has
CREATE TABLE p (id int, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local', expected_amount_minor int DEFAULT 9,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (10) PARTITION BY RANGE (id);
CREATE TABLE p11 PARTITION OF p1 FOR VALUES FROM (1) TO (5);
SELECT reconciler.attach('p', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO p VALUES (1);
INSERT INTO p11 VALUES (2);
SELECT request_id FROM queued WHERE request_id IN ('1', '2', '3', '4');
CREATE TABLE p12 (LIKE p INCLUDING ALL);
ALTER TABLE p1 ATTACH PARTITION p12 FOR VALUES FROM (5) TO (10);
INSERT INTO p12 VALUES (6);
SELECT request_id FROM queued WHERE request_id = '6';
ALTER TABLE p DETACH PARTITION p1;
INSERT INTO p11 VALUES (3);
SELECT count(*) FROM queued WHERE request_id = '3';

-- Detached and attached again
SELECT reconciler.detach('r');
INSERT INTO r (id) VALUES ('detached');
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO r (id) VALUES ('attached again');
SELECT request_id FROM queued WHERE request_id IN ('detached', 'attached again') ORDER BY 1;

-- Another extension of this name
DROP EXTENSION reconciler CASCADE;
INSERT INTO r (id) VALUES ('no extension');
CREATE EXTENSION reconciler;
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO r (id) VALUES ('new extension');
SELECT count(*) FROM reconciler.queue WHERE request_id IN ('no extension', 'new extension');
DROP EXTENSION reconciler;
DROP TABLE r, p, p1 CASCADE;
DROP FUNCTION close(), note();
