-- The state machine: what settle makes of observations.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;

-- Thresholds round up, in exact arithmetic; nothing paid is never enough
SELECT e AS expected, bps, reconciler._threshold(e, bps)
FROM (VALUES (100::numeric, 10000), (100, 9999), (100, 1), (101, 5000), (1, 1), (0, 10000), (NULL, 10000),
	  (115792089237316195423570985008687907853269984665640564039457584007913129639935, 10000),
	  (115792089237316195423570985008687907853269984665640564039457584007913129639935, 9999),
	  (10000000000000000000000000000000000001, 5000)) AS v(e, bps);
SELECT v AS reported, reconciler._amount(v)
FROM unnest(ARRAY['0', '00017', '115792089237316195423570985008687907853269984665640564039457584007913129639935',
				  '115792089237316195423570985008687907853269984665640564039457584007913129639936',
				  repeat('9', 79), '-1', '1.0', '1e3', 'NaN', '', ' 1', '0x10', NULL]) v;

-- 3 confirmations, a tip that must be at most 10 minutes old
SELECT reconciler.add_network('ethereum', 'mainnet', chain_id => 1, confirmations => 3, max_tip_age => '10 min',
	detected_bps => 9000, expiry_grace => '1 hour') AS net \gset
CREATE TABLE invoices (
	id int PRIMARY KEY,
	chain text DEFAULT 'ethereum',
	network text DEFAULT 'mainnet',
	status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 101,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa',
	token_contract text,
	expires_at timestamptz,
	updated_at timestamptz
);
SELECT reconciler.attach('invoices', allow_superuser_owner => true) > 0 AS attached;

/*
 * One cycle: claims all that is due and settles what is given, {id: [seen,
 * settled] or "error"}, at a block of this height and age, with the depth block
 * where it belongs. more replaces parts of the observation.
 */
CREATE FUNCTION cycle(results jsonb, height int DEFAULT 100, age interval DEFAULT '0', more jsonb DEFAULT '{}')
RETURNS TABLE (outcome text, request_id text, from_status text, to_status text, reason text)
LANGUAGE plpgsql AS $$
DECLARE
	c record;
	found jsonb;
BEGIN
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
	UPDATE reconciler.network_state SET observed_at = NULL, error_at = NULL;
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_object_agg(q.request_id, x.seq) AS seqs INTO c
	FROM reconciler.claim('w1', (SELECT max(network_id) FROM reconciler.networks), -1, 100, '15 s', '15 s') x
	LEFT JOIN reconciler.queue q USING (seq);
	SELECT jsonb_agg(CASE jsonb_typeof(r.value)
					 WHEN 'array' THEN jsonb_build_object('seq', c.seqs -> r.key, 'seen', r.value -> 0, 'settled', r.value -> 1)
					 ELSE jsonb_build_object('seq', c.seqs -> r.key, 'error', r.value) END)
	INTO found FROM jsonb_each(results) r WHERE c.seqs ? r.key;
	RETURN QUERY
	SELECT s.outcome, s.request_id, s.from_status, s.to_status, s.reason
	FROM reconciler.settle('w1', (SELECT max(network_id) FROM reconciler.networks), c.lo, c.token,
		jsonb_build_object(
			'tip', jsonb_build_object('height', height, 'hash', '0xtip' || height, 'time', extract(epoch FROM clock_timestamp() - age)),
			'depth', jsonb_build_object('height', height - 2, 'hash', '0xdepth' || height - 2),
			'requests', coalesce(found, '[]'), 'release', true) || more) s
	ORDER BY s.request_id::int;
END
$$;
CREATE VIEW known AS
SELECT request_id, status, seen, settled, seen_height, error FROM reconciler.queue ORDER BY request_id::int;

-- Paid, in part and in full, at the tip and at depth
INSERT INTO invoices (id) SELECT generate_series(1, 8);
SELECT * FROM cycle('{"1": ["0", "0"], "2": ["90", "0"], "3": ["91", "0"], "4": ["101", "100"], "5": ["101", "101"],
					  "6": ["0", "101"], "7": ["0", "95"], "8": "no balanceOf"}');
SELECT id, status, updated_at IS NOT NULL AS touched FROM invoices ORDER BY id;
SELECT * FROM known;
SELECT lease_owner, lease_until, lease_token, failures, error FROM reconciler.batches;
-- The same again changes nothing
SELECT * FROM cycle('{"1": ["0", "0"], "2": ["90", "0"], "3": ["91", "0"], "4": ["101", "100"], "7": ["0", "95"], "8": "no balanceOf"}');
-- Detected stays detected, whatever happens before it expires; then it confirms
SELECT * FROM cycle('{"2": ["95", "0"], "3": ["0", "0"], "4": ["101", "101"], "7": ["500", "101"], "8": ["1", "0"]}', 101);
SELECT * FROM known;
SELECT source, request_id, from_status, to_status, reason, seen, settled, block_height, block_hash, worker_id
FROM reconciler.transitions ORDER BY transition_id;

-- What the network is known for
SELECT tip_height, tip_hash, best_height, failures, error FROM reconciler.network_state;

-- No expected amount: anything above 0. A 256-bit amount
TRUNCATE invoices, reconciler.transitions;
INSERT INTO invoices (id, expected_amount_minor) VALUES (1, NULL), (2, NULL),
	(3, 115792089237316195423570985008687907853269984665640564039457584007913129639935);
SELECT * FROM cycle('{"1": ["0", "0"], "2": ["1", "1"],
	"3": ["115792089237316195423570985008687907853269984665640564039457584007913129639935", "115792089237316195423570985008687907853269984665640564039457584007913129639934"]}', 110);
-- What isn't an amount is an error, and no amount
SELECT * FROM cycle('{"1": ["1e9", "0"], "3": ["1", "-1"]}', 111);
SELECT request_id, status, seen > 0 AS seen_some, error FROM known;

-- Expiry: the last look comes at or after it, by our clock and by the chain's
TRUNCATE invoices, reconciler.transitions;
INSERT INTO invoices (id, status, expires_at) VALUES
	(1, 'pending', clock_timestamp() - interval '1 min'),
	(2, 'pending', clock_timestamp() - interval '1 min'),
	(3, 'pending', clock_timestamp() - interval '1 min'),
	(4, 'detected', clock_timestamp() - interval '1 min'),
	(5, 'detected', clock_timestamp() - interval '1 min'),
	(6, 'pending', clock_timestamp() + interval '1 hour'),
	(7, 'pending', clock_timestamp() - interval '1 min'),
	(8, 'pending', 'infinity'), (9, 'pending', '294276-12-31'), (10, 'pending', '-infinity');
-- The block is from before it
SELECT * FROM cycle('{"1": ["0", "0"], "2": ["50", "0"], "3": ["0", "0"], "4": ["101", "0"], "5": ["0", "0"], "6": ["0", "0"], "7": "no answer"}', 120, '2 min');
-- Not listed, not looked at
SELECT * FROM cycle('{"6": ["0", "0"], "8": ["0", "0"], "9": ["0", "0"]}', 121);
SELECT * FROM cycle('{"1": ["0", "0"], "2": ["50", "0"], "3": ["101", "0"], "4": ["101", "0"], "5": ["0", "0"], "6": ["0", "0"], "7": "no answer"}', 122);
-- Paid late, it is still paid: seen, it waits for its confirmations
SELECT * FROM cycle('{"3": ["101", "0"], "4": ["101", "101"], "7": "no answer"}', 123);
-- Gone, says a node that is not as far as the one that saw it
SELECT * FROM cycle('{"3": ["0", "0"]}', 121);
-- Gone in fact, and back again
SELECT * FROM cycle('{"3": ["0", "0"]}', 124);
SELECT * FROM cycle('{"3": ["101", "0"]}', 125);
-- Gone for good: after as many blocks as would have confirmed it
SELECT * FROM cycle('{"3": ["0", "0"]}', 126);
SELECT * FROM cycle('{"3": ["0", "0"]}', 127);
SELECT * FROM known;
SELECT * FROM cycle('{"3": ["0", "0"]}', 128);
-- The look must begin after the expiry, not only end after it
INSERT INTO invoices (id) VALUES (30);
UPDATE reconciler.batches SET due_at = '-infinity';
SELECT lo, token, seq FROM reconciler.claim('w1', :net, -1, 100, '15 s', '15 s') ORDER BY seq DESC LIMIT 1 \gset
UPDATE invoices SET expires_at = clock_timestamp() WHERE id = 30;
SELECT * FROM reconciler.settle('w1', :net, :lo, :'token', jsonb_build_object(
	'tip', jsonb_build_object('height', 129, 'time', extract(epoch FROM clock_timestamp() + interval '1 min')),
	'requests', jsonb_build_array(jsonb_build_object('seq', :seq, 'seen', '0', 'settled', '0'))));
SELECT status FROM invoices WHERE id = 30;
SELECT * FROM cycle('{"30": ["0", "0"]}', 129, '-1 min');

-- Looks that fail change nothing, until the grace is over; and then nothing that was seen
TRUNCATE invoices, reconciler.transitions;
INSERT INTO invoices (id, status, expires_at) VALUES
	(1, 'pending', clock_timestamp() - interval '50 min'),
	(2, 'pending', clock_timestamp() - interval '61 min'),
	(3, 'detected', clock_timestamp() - interval '61 min'),
	(4, 'pending', clock_timestamp() - interval '61 min');
SELECT * FROM cycle('{"2": "no answer", "3": "no answer"}', 130);
SELECT * FROM cycle('{}', 131, more => '{"failure": "connection refused"}');
SELECT id, status FROM invoices ORDER BY id;
-- The grace is a time in which looks have failed: that nobody looked is no failure
UPDATE reconciler.queue SET failing_since = clock_timestamp() - interval '61 min' WHERE error IS NOT NULL;
SELECT * FROM cycle('{"2": "no answer", "3": "no answer"}', 130);
UPDATE reconciler.batches SET failing_since = clock_timestamp() - interval '61 min', failed_at = clock_timestamp() - interval '16 min';
SELECT * FROM cycle('{}', 131, more => '{"failure": "connection refused"}');
UPDATE reconciler.batches SET failing_since = clock_timestamp() - interval '61 min';
SELECT * FROM cycle('{}', 131, more => '{"failure": "connection refused"}');
SELECT id, status FROM invoices ORDER BY id;
SELECT failures, error, lease_owner, due_at - claimed_at AS back_off FROM reconciler.batches;
SELECT failures, error, tip_height FROM reconciler.network_state;
UPDATE reconciler.batches SET due_at = '-infinity';
SELECT bool_and(failing) AS failing FROM reconciler.claim('w1', :net, -1, 100, '15 s', '15 s');
SELECT * FROM cycle('{}', 131, more => '{"failure": "connection refused"}');
SELECT failures, due_at - claimed_at AS back_off FROM reconciler.batches;
-- The next look is no later than after a success: what rests is the endpoint
UPDATE reconciler.batches SET failures = 10;
UPDATE invoices SET expires_at = clock_timestamp() - interval '59 min' WHERE id = 1;
SELECT * FROM cycle('{}', 131, more => '{"failure": "connection refused"}');
SELECT due_at - claimed_at BETWEEN '15 s' AND '1 min' AS in_time_for_1 FROM reconciler.batches;
DELETE FROM invoices WHERE id = 1;
SELECT * FROM cycle('{}', 131, more => '{"failure": "connection refused"}');
SELECT failures, due_at - claimed_at AS back_off FROM reconciler.batches;
-- A failure while an administrator has just asked for a look
UPDATE reconciler.batches SET due_at = '-infinity';
SELECT DISTINCT lo, token FROM reconciler.claim('w1', :net, -1, 100, '15 s', '15 s') \gset
UPDATE reconciler.batches SET due_at = '-infinity';
SELECT * FROM reconciler.settle('w1', :net, :lo, :'token', '{"failure": "timeout"}');
-- A success ends it
SELECT * FROM cycle('{}', 132);
SELECT failures, error FROM reconciler.batches;
SELECT failures, error, tip_height FROM reconciler.network_state;

-- Nodes that must not be believed
TRUNCATE invoices, reconciler.transitions;
INSERT INTO invoices (id, expires_at) VALUES (1, clock_timestamp() - interval '15 min');
CREATE FUNCTION doubt() RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(error, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d', '<time>') FROM reconciler.batches
$$;
SELECT outcome, regexp_replace(reason, '[0-9-]{10} [0-9:]{8}', '(time)') AS reason FROM cycle('{"1": ["101", "101"]}', 133, '11 min');
SELECT doubt();
SELECT * FROM cycle('{"1": ["101", "101"]}', more => '{"tip": null}');
SELECT doubt();
SELECT * FROM cycle('{"1": ["101", "101"]}', more => '{"tip": {"height": 134}}');
SELECT doubt();
-- behind another node (blocks of a minute ago)
SELECT * FROM cycle('{"1": ["101", "101"]}', 128, '1 min');
SELECT doubt();
SELECT * FROM cycle('{"1": ["101", "101"]}', 128, '1 min', '{"failure": "and does not say"}');
-- not as deep as it should be
SELECT * FROM cycle('{"1": ["101", "101"]}', 134, more => '{"depth": {"height": 133}}');
SELECT doubt();
SELECT status FROM invoices;
-- The mark of the highest block fades when nobody reaches it for 10 minutes
UPDATE reconciler.network_state SET best_at = clock_timestamp() - interval '10 min';
SELECT * FROM cycle('{"1": ["101", "0"]}', 120, '1 min');
SELECT best_height FROM reconciler.network_state;

-- A chain that is rewritten at will is taken as it is
SELECT reconciler.set_network('ethereum', 'mainnet', reset => '{max_tip_age}');
SELECT * FROM cycle('{"1": ["0", "0"]}', 2, '100 days');
SELECT * FROM cycle('{"1": ["0", "0"]}', 1, '100 days');
SELECT best_height FROM reconciler.network_state;

-- What the application does meanwhile counts
TRUNCATE invoices, reconciler.transitions;
INSERT INTO invoices (id) SELECT generate_series(1, 5);
UPDATE reconciler.batches SET due_at = '-infinity';
SELECT lo, token, min(seq) AS seq FROM reconciler.claim('w1', :net, -1, 100, '15 s', '15 s') GROUP BY 1, 2 \gset
UPDATE invoices SET status = 'cancelled' WHERE id = 1;
UPDATE invoices SET expected_amount_minor = 1000 WHERE id = 2;
DELETE FROM invoices WHERE id = 3;
UPDATE invoices SET status = 'detected' WHERE id = 4;
SELECT jsonb_build_object('tip', '{"height": 3, "time": 1}'::jsonb, 'requests', jsonb_agg(
	jsonb_build_object('seq', :seq + i, 'seen', 101, 'settled', 101))) AS all_paid FROM generate_series(-1, 10) i \gset
SELECT * FROM reconciler.settle('w1', :net, :lo, :'token', :'all_paid') ORDER BY request_id;
SELECT id, status FROM invoices ORDER BY id;
-- Settled once, the lease is over
\set VERBOSITY sqlstate
SELECT * FROM reconciler.settle('w1', :net, :lo, :'token', :'all_paid');
\set VERBOSITY default
-- Where more is to come, it may be kept, if that was the whole interval; a transition ends it
UPDATE reconciler.batches SET due_at = '-infinity';
SELECT lo, token, min(seq) AS seq FROM reconciler.claim('w1', :net, -1, 100, '15 s', '15 s') GROUP BY 1, 2 \gset
SELECT * FROM reconciler.settle('w1', :net, :lo, :'token', '{"tip": {"height": 3, "time": 1}, "release": false}');
SELECT lease_owner FROM reconciler.batches;
SELECT jsonb_build_object('tip', '{"height": 3, "time": 1}'::jsonb, 'release', false, 'requests', jsonb_build_array(
	jsonb_build_object('seq', :seq, 'seen', 1000, 'settled', 0), jsonb_build_object('seq', :seq, 'seen', 1000, 'settled', 0))) AS one_paid \gset
SELECT request_id, to_status FROM reconciler.settle('w1', :net, :lo, :'token', :'one_paid');
SELECT lease_owner FROM reconciler.batches;

-- A request that the application's own trigger won't let go stops no other
TRUNCATE invoices, reconciler.transitions;
INSERT INTO invoices (id) SELECT generate_series(1, 9);
CREATE FUNCTION stubborn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id IN (3, 8) THEN
		RAISE EXCEPTION 'no, not %', NEW.id;
	ELSIF NEW.id = 5 THEN
		RETURN NULL;
	ELSIF NEW.id = 6 THEN
		NEW.status := 'paid';
	ELSIF NEW.id = 7 THEN
		NEW.status := 'pending';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER stubborn BEFORE UPDATE ON invoices FOR EACH ROW EXECUTE FUNCTION stubborn();
\set paid '{"1": ["101", "101"], "2": ["101", "101"], "3": ["101", "101"], "4": ["101", "101"], "5": ["101", "101"], "6": ["101", "101"], "7": ["101", "101"], "8": ["101", "101"], "9": ["101", "101"]}'
SELECT * FROM cycle(:'paid');
SELECT id, status FROM invoices ORDER BY id;
SELECT request_id, error FROM known;
-- Again and again, until it lets it
SELECT request_id, outcome FROM cycle(:'paid');
DROP TRIGGER stubborn ON invoices;
SELECT * FROM cycle(:'paid');

-- Rows of the queue whose request is closed, or is there no more, go
TRUNCATE invoices, reconciler.transitions;
INSERT INTO invoices (id) VALUES (1), (2), (3);
SET session_replication_role = replica;
ALTER TABLE invoices DISABLE TRIGGER USER;
UPDATE invoices SET status = 'cancelled' WHERE id = 1;
DELETE FROM invoices WHERE id = 2;
ALTER TABLE invoices ENABLE TRIGGER USER;
RESET session_replication_role;
SELECT * FROM cycle('{"1": ["101", "101"], "2": ["101", "101"]}');
SELECT * FROM cycle('{"1": ["101", "101"], "2": ["101", "101"]}');
SELECT * FROM known;

-- Malformed observations are refused as a whole
\set VERBOSITY sqlstate
SELECT * FROM cycle('{"3": ["101", "101"]}', more => '{"tip": {"height": "x"}}');
SELECT * FROM cycle('{"3": ["101", "101"]}', more => '{"requests": 1}');
\set VERBOSITY default

-- An observation of another chain than the network is by now (its worker hasn't
-- heard of the change yet) is a failure
SELECT * FROM cycle('{"3": ["101", "101"]}', more => '{"chain_id": 5}');
SELECT status, error FROM invoices JOIN reconciler.batches ON true WHERE id = 3;
SELECT * FROM cycle('{"3": ["0", "0"]}', more => '{"chain_id": 1}');

-- One payment confirms one request, where the key of a partitioned table allows two of an id
CREATE TABLE parts (
	id int, day int, chain text DEFAULT 'ethereum', network text DEFAULT 'mainnet', status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 101,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', PRIMARY KEY (id, day)
) PARTITION BY LIST (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
TRUNCATE invoices, reconciler.transitions;
SELECT reconciler.attach('parts', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO parts (id, day) VALUES (1, 1), (1, 2), (2, 1);
SELECT * FROM cycle('{"1": ["101", "101"], "2": ["101", "101"]}');
SELECT id, day, status FROM parts ORDER BY 1, 2;

DROP EXTENSION reconciler CASCADE;
DROP FUNCTION cycle, doubt, stubborn;
DROP TABLE invoices, parts;
