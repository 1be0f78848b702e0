-- Resync: the queue brought in line with the tables; and explain.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', ARRAY['http://127.0.0.1:8545'], 31337) AS net \gset
CREATE TABLE r (id text PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa',
	token_contract text, expires_at timestamptz, created_at timestamptz DEFAULT now());
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO r (id) VALUES ('same'), ('gone'), ('closed'), ('moved'), ('status'), ('late');
UPDATE reconciler.queue SET seen = 1, settled = 1;
SELECT reconciler.resync('r'), reconciler.resync();

-- Whatever happened while the triggers were off
ALTER TABLE r DISABLE TRIGGER USER;
DELETE FROM r WHERE id = 'gone';
UPDATE r SET status = 'confirmed' WHERE id = 'closed';
UPDATE r SET address_canonical = '0x00000000000000000000000000000000000000bb' WHERE id = 'moved';
UPDATE r SET status = 'detected' WHERE id = 'status';
UPDATE r SET expires_at = '2030-01-01' WHERE id = 'late';
INSERT INTO r (id, created_at) VALUES ('young', '2029-01-01'), ('old', '2001-01-01');
INSERT INTO r (id, expected_amount_minor, created_at) VALUES ('bad', -1, '2029-01-02');
INSERT INTO r (id, network, created_at) VALUES ('elsewhere', 'nowhere', '2029-01-03');
SELECT reconciler.resync('r'), reconciler.resync('r') AS again;
SELECT request_id, status, right(address, 2) AS address, seen, expires_at IS NOT NULL AS expires, chain, network, invalid FROM reconciler.queue ORDER BY seq;

-- An emptied queue comes back in order of arrival
DELETE FROM reconciler.queue;
SELECT reconciler.resync();
SELECT string_agg(request_id, ' ' ORDER BY seq) AS arrival FROM reconciler.queue WHERE request_id IN ('old', 'same', 'young', 'bad', 'elsewhere');
-- rows of a source that is no more
INSERT INTO reconciler.queue (source_id, network_id, request_id, status) VALUES (0, 0, 'orphan', 'pending');
SELECT reconciler.resync();
SELECT reconciler.resync('pg_class');

-- The queue is empty as after a crash: the next claim builds it
DELETE FROM reconciler.queue;
DELETE FROM reconciler.batches;
SELECT count(*) AS claimed FROM reconciler.claim('w', :net, -1, 100, '1 min', '1 min');
SELECT count(*) AS queued FROM reconciler.queue;

-- Why is it where it is?
UPDATE reconciler.queue SET seen = 40, settled = 0 WHERE request_id = 'same';
CREATE VIEW waits AS SELECT id, (SELECT string_agg(value, '') FROM reconciler.explain('r', id) WHERE item = 'waits for') FROM r ORDER BY id COLLATE "C";
SELECT * FROM waits;
UPDATE reconciler.batches SET lease_until = NULL, lease_owner = NULL, due_at = clock_timestamp() + interval '1 hour';
UPDATE reconciler.queue SET error = 'execution reverted' WHERE request_id = 'old';
UPDATE reconciler.queue SET seen = 100 WHERE request_id = 'status';
INSERT INTO r (id) VALUES ('untriggered');
SELECT * FROM waits;
UPDATE reconciler.batches SET error = 'connection refused';
SELECT * FROM waits WHERE id = 'same';
SELECT reconciler.set_network('ethereum', 'local', enabled => false);
SELECT * FROM waits WHERE id = 'same';
SELECT item, regexp_replace(value, '\d{4}-\d\d-\d\d .*', '<time>') AS value FROM reconciler.explain('r', 'late');
INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason, block_height, worker_id, at)
VALUES ((SELECT source_id FROM reconciler.sources), 'public.r', 'closed', 'pending', 'confirmed', 'settled', 17, 'w', '2030-01-01');
SELECT item, regexp_replace(value, '\d{4}-\d\d-\d\d [^,]*', '<time>') AS value FROM reconciler.explain('r', 'closed');
SELECT * FROM reconciler.explain('r', 'no such');
SELECT * FROM reconciler.explain('pg_class', '1');
DROP VIEW waits;
DROP TABLE r;
DROP EXTENSION reconciler;
