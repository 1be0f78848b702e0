-- Nothing about a notification undoes a settle.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1) AS net \gset
CREATE TABLE requests (id text PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');
SELECT reconciler.attach('requests', allow_superuser_owner => true) > 0 AS attached;
-- A status that is far too long, of characters that JSON writes with six bytes
CREATE FUNCTION at_length() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id LIKE 'long%' THEN
		NEW.status := repeat(chr(1), 9000);
	ELSIF NEW.id LIKE 'wide%' THEN
		NEW.status := repeat('€"\', 3000);
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER at_length BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION at_length();
INSERT INTO requests (id) SELECT 'short ' || i FROM generate_series(1, 100) i;
INSERT INTO requests (id) SELECT 'long ' || i FROM generate_series(1, 50) i;
INSERT INTO requests (id) SELECT 'wide ' || i FROM generate_series(1, 50) i;
INSERT INTO requests (id) SELECT 'id ' || i || repeat(chr(31), 2000) FROM generate_series(1, 50) i;
CREATE FUNCTION settle_all() RETURNS TABLE (outcome text, n bigint, longest int) LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', '100', 'settled', '100')) AS requests INTO c
	FROM reconciler.claim('w', 1, -1, 1000, '15 s', '15 s') x;
	RETURN QUERY SELECT s.outcome, count(*), max(length(s.to_status))
	FROM reconciler.settle('w', 1, c.lo, c.token, jsonb_build_object('tip', jsonb_build_object('height', 9, 'time', floor(extract(epoch FROM now()))),
		'depth', jsonb_build_object('height', 9), 'requests', c.requests)) s GROUP BY 1;
END
$$;
SELECT * FROM settle_all();
SELECT left(id, 2) AS id, min(length(status)) AS status, count(*) FROM requests GROUP BY 1 ORDER BY 1;
SELECT count(*), max(length(to_status)) FROM reconciler.transitions;
-- What it can't send, it says and lets be: as outcomes of any shape
SELECT reconciler._notify('[{"outcome": "transition"}]');
SELECT reconciler._notify('{"outcome": "transition"}');
SELECT reconciler._notify(jsonb_build_array(jsonb_build_object('outcome', 'transition', 'source', repeat(chr(2), 5000),
	'request_id', repeat('x', 100000), 'from_status', repeat(chr(3), 5000), 'to_status', repeat(chr(4), 5000))));

DROP EXTENSION reconciler CASCADE;
DROP TABLE requests;
DROP FUNCTION settle_all, at_length;
