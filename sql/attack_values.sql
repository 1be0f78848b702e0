-- Values that an application may well write: none makes its statement fail, or a
-- request wait for ever.
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1) AS net \gset
CREATE TABLE requests (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', expires_at timestamptz);
SELECT reconciler.attach('requests', allow_superuser_owner => true) > 0 AS attached;
CREATE FUNCTION noise(letters int) RETURNS text LANGUAGE sql AS $$
	SELECT left(string_agg(md5(i::text), ''), letters) FROM generate_series(1, letters / 32 + 1) i
$$;

-- Names that are too long for an index, by statement and by resync
INSERT INTO requests (id, chain) VALUES (1, noise(6000)), (2, repeat('ü', 3000)), (3, NULL), (4, noise(100)), (5, noise(100) || 'x');
INSERT INTO requests (id, network) VALUES (6, noise(200000));
SELECT request_id, network_id, length(chain) AS chain, length(network) AS network FROM reconciler.queue ORDER BY request_id::int;
SELECT reconciler.resync('requests') AS left_for_resync;
DELETE FROM reconciler.queue;
SELECT reconciler.resync('requests') AS put_by_resync;
SELECT request_id, network_id, length(chain) AS chain, length(network) AS network FROM reconciler.queue ORDER BY request_id::int;
-- What is cut is no other's name
SELECT reconciler.add_network(noise(100), 'local', chain_id => 31337) > :net AS added;
SELECT request_id, network_id > 0 AS registered FROM reconciler.queue ORDER BY request_id::int;
TRUNCATE requests;

-- No expiry in two ways
CREATE FUNCTION look(amount text, height int) RETURNS TABLE (outcome text, request_id text, to_status text, reason text) LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', amount, 'settled', '0')) AS requests INTO c
	FROM reconciler.claim('w', 1, -1, 100, '15 s', '15 s') x;
	RETURN QUERY SELECT s.outcome, s.request_id, s.to_status, s.reason
	FROM reconciler.settle('w', 1, c.lo, c.token, jsonb_build_object('tip', jsonb_build_object('height', height, 'time', 4000000000),
		'depth', jsonb_build_object('height', height), 'requests', c.requests)) s
	ORDER BY s.request_id;
END
$$;
INSERT INTO requests (id, expires_at) VALUES (1, NULL), (2, 'infinity');
SELECT request_id, expires_at FROM reconciler.queue ORDER BY request_id;
SELECT * FROM look('100', 9);
SELECT * FROM look('0', 10);
SELECT * FROM look('0', 11);
SELECT * FROM look('100', 12);
SELECT reconciler.resync('requests') AS left_for_resync;
UPDATE requests SET expires_at = CASE id WHEN 1 THEN 'infinity'::timestamptz END;
SELECT request_id, expires_at FROM reconciler.queue ORDER BY request_id;
-- One that expired is open again with either
UPDATE requests SET expires_at = '-infinity';
SELECT * FROM look('0', 13);
SELECT * FROM look('0', 14);
UPDATE requests SET status = 'pending', expires_at = CASE id WHEN 1 THEN 'infinity'::timestamptz END;
SELECT request_id, status, expires_at FROM reconciler.queue ORDER BY request_id;
DROP TABLE requests;
DROP FUNCTION noise, look;
DROP EXTENSION reconciler;
