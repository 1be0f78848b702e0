-- Addresses that nobody can have: a request with one is invalid, and never confirmed by what lies there.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', ARRAY['http://127.0.0.1:8545'], 31337) > 0 AS added;
CREATE TABLE r (id text PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 1, address_canonical text DEFAULT '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed', token_contract text);
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO r (id, address_canonical) VALUES ('to zero', '0x' || repeat('0', 40)), ('to ZERO', '0X' || repeat('0', 40));
INSERT INTO r (id, address_canonical) SELECT 'to ' || n, '0x' || lpad(to_hex(n), 40, '0') FROM unnest(ARRAY[1, 2, 10, 17, 18, 255, 256, 257]) n;
INSERT INTO r (id, token_contract) VALUES ('token zero', '0x' || repeat('0', 40));
INSERT INTO r (id, token_contract) SELECT 'token ' || n, '0x' || lpad(to_hex(n), 40, '0') FROM generate_series(1, 18) n;
INSERT INTO r (id, token_contract) SELECT 'token ' || n, '0x' || lpad(to_hex(n), 40, '0') FROM unnest(ARRAY[255, 256, 257]) n;
-- the last bytes alone don't make one
INSERT INTO r (id, address_canonical) VALUES ('to one like it', '0x01' || repeat('0', 37) || '1');
SELECT request_id, invalid FROM reconciler.queue ORDER BY seq;
-- found likewise when the queue is built anew
DELETE FROM reconciler.queue;
SELECT reconciler.resync('r') AS changes;
SELECT count(*) FILTER (WHERE invalid IS NULL) AS sound, count(*) FILTER (WHERE invalid IS NOT NULL) AS invalid FROM reconciler.queue;
DROP TABLE r;
DROP EXTENSION reconciler;
