-- A status is set for the subject that was observed, and for no other: what the
-- queue has is compared with the row, and the row once more when it is written.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1, expiry_grace => '0') AS net \gset
SELECT reconciler.add_network('ethereum', 'other', chain_id => 1) AS other \gset
CREATE TYPE state AS ENUM ('pending', 'detected', 'confirmed', 'expired', 'cancelled');
CREATE DOMAIN chain_name AS text;
-- Amounts as text, an enum, a domain, a constant, a token that may be empty
CREATE TABLE bills (
	id int PRIMARY KEY,
	state state DEFAULT 'pending',
	net chain_name DEFAULT 'local',
	amount varchar(90) DEFAULT '0100',
	pay_to text DEFAULT '0x00000000000000000000000000000000000000aa',
	token text DEFAULT '',
	due timestamptz
);
SELECT reconciler.attach('bills', '{"status": "state", "chain": "=ethereum", "network": "net", "expected_amount_minor": "amount",
	"address_canonical": "pay_to", "token_contract": "token", "expires_at": "due"}', allow_superuser_owner => true) > 0 AS attached;

-- Claims all that is due, lets something happen, and settles what was claimed as (seen, settled)
CREATE FUNCTION look(meanwhile text, tip_amount text, depth_amount text) RETURNS TABLE (outcome text, request_id text, to_status text, reason text)
LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', tip_amount, 'settled', depth_amount)) AS requests INTO c
	FROM reconciler.claim('w', 1, -1, 100, '15 s', '15 s') x;
	EXECUTE meanwhile;
	RETURN QUERY
	SELECT s.outcome, s.request_id, s.to_status, s.reason
	FROM reconciler.settle('w', 1, c.lo, c.token, jsonb_build_object(
		'tip', jsonb_build_object('height', 9, 'time', 4000000000), 'depth', jsonb_build_object('height', 9), 'requests', c.requests)) s
	ORDER BY s.request_id::int;
END
$$;
-- What the application does without the queue hearing of it
CREATE PROCEDURE behind_our_back(what text) LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE before ON COMMIT DROP AS SELECT * FROM reconciler.queue;
	EXECUTE what;
	DELETE FROM reconciler.queue;
	INSERT INTO reconciler.queue OVERRIDING SYSTEM VALUE SELECT * FROM before;
	DROP TABLE before;
END
$$;
CREATE VIEW queued AS
SELECT q.request_id AS id, n.network, q.status, q.address, q.token_contract, q.expected, q.expires_at, q.seen, q.invalid
FROM reconciler.queue q JOIN reconciler.networks n USING (network_id) ORDER BY q.request_id::int;

-- The trigger was off for a while: money at the old address is not for the new one
INSERT INTO bills (id) VALUES (1);
SELECT * FROM look('', '0', '0');
SET client_min_messages = error;
ALTER TABLE bills DISABLE TRIGGER reconciler_update;
UPDATE bills SET pay_to = '0x00000000000000000000000000000000000000bb';
ALTER TABLE bills ENABLE ALWAYS TRIGGER reconciler_update;
RESET client_min_messages;
SELECT * FROM look('', '100', '100');
SELECT state, address, seen FROM bills, queued;
TRUNCATE bills, reconciler.transitions;

-- Each part of the subject, changed before the look
INSERT INTO bills (id) SELECT generate_series(1, 12);
SELECT * FROM look('', '0', '0');
CALL behind_our_back('UPDATE bills SET pay_to = ''0x00000000000000000000000000000000000000bb'' WHERE id = 1');
CALL behind_our_back('UPDATE bills SET amount = 500000 WHERE id = 2');
CALL behind_our_back('UPDATE bills SET token = ''0x00000000000000000000000000000000000000cc'' WHERE id = 3');
CALL behind_our_back('UPDATE bills SET net = ''other'' WHERE id = 4');
CALL behind_our_back('UPDATE bills SET net = ''nowhere'' WHERE id = 5');
CALL behind_our_back('UPDATE bills SET amount = NULL WHERE id = 6');
CALL behind_our_back('UPDATE bills SET amount = ''1e9'' WHERE id = 7');
CALL behind_our_back('UPDATE bills SET state = ''cancelled'' WHERE id = 8');
CALL behind_our_back('UPDATE bills SET state = ''detected'' WHERE id = 9');
-- The same subject, written otherwise
CALL behind_our_back('UPDATE bills SET amount = ''100.000'', token = NULL WHERE id = 10');
CALL behind_our_back('UPDATE bills SET due = ''2000-01-01'' WHERE id = 11');
SELECT * FROM look('', '100', '100');
SELECT id, state FROM bills ORDER BY id;
SELECT * FROM queued;
-- Observed anew, they confirm
SELECT * FROM look('', '100', '100');
SELECT id, state FROM bills WHERE state <> 'confirmed' ORDER BY id;
SELECT source_id IS NOT NULL AS of_source, "session_user" = session_user AS by_us, count(*) FROM reconciler.transitions GROUP BY 1, 2;

-- The same between the claim and the settle
TRUNCATE bills, reconciler.transitions;
INSERT INTO bills (id) SELECT generate_series(1, 3);
SELECT * FROM look($$CALL behind_our_back('UPDATE bills SET pay_to = ''0x00000000000000000000000000000000000000bb'' WHERE id = 2')$$, '100', '100');
SELECT id, state FROM bills ORDER BY id;
SELECT id, address, seen FROM queued;

-- One that must not be queued again, being confirmed already: it is not judged by what the queue had of it
TRUNCATE bills;
INSERT INTO bills (id) VALUES (1001), (1002);
SELECT * FROM look('', '0', '0');
CALL behind_our_back('UPDATE bills SET pay_to = ''0x00000000000000000000000000000000000000bb'' WHERE id = 1001');
INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason)
SELECT source_id, relation::text, '1001', 'pending', 'confirmed', 'settled' FROM reconciler.sources;
SELECT * FROM look('', '100', '100');
SELECT id, state FROM bills ORDER BY id;
SELECT id, address FROM queued;

-- An expiry that was put off, or called off
TRUNCATE bills, reconciler.transitions;
INSERT INTO bills (id, due) SELECT i, '2000-01-01' FROM generate_series(1, 4) i;
CALL behind_our_back('UPDATE bills SET due = ''2100-01-01'' WHERE id = 1');
CALL behind_our_back('UPDATE bills SET due = NULL WHERE id = 2');
CALL behind_our_back('UPDATE bills SET pay_to = ''0x00000000000000000000000000000000000000bb'' WHERE id = 3');
SELECT * FROM look('', '0', '0');
SELECT id, state FROM bills ORDER BY id;
SELECT id, expires_at, address, seen FROM queued;

-- A bad request that was put right is not expired for what it was
TRUNCATE bills, reconciler.transitions;
INSERT INTO bills (id, pay_to, due) SELECT i, 'nowhere', '2000-01-01' FROM generate_series(1, 2) i;
INSERT INTO bills (id) VALUES (3);
SELECT id, invalid FROM queued;
CALL behind_our_back('UPDATE bills SET pay_to = ''0x00000000000000000000000000000000000000bb'' WHERE id = 1');
SELECT * FROM look('SELECT reconciler.maintain(''w'')', '0', '0');
SELECT id, state FROM bills WHERE id = 1;
SELECT id, invalid FROM queued;

-- The write itself compares, should the row be another one than was read
TRUNCATE bills, reconciler.transitions;
INSERT INTO bills (id) SELECT generate_series(1, 6);
SELECT max(source_id) AS source FROM reconciler.sources \gset
SELECT array_agg(ROW(NULL, r.request_id, r.status, 'confirmed', NULL, NULL, NULL, r.expires_at, r.held)::reconciler._change ORDER BY r.request_id) AS changes
FROM reconciler._lock_open(:source, '{1,2,3,4,5,6}') r \gset
UPDATE bills SET pay_to = '0x00000000000000000000000000000000000000bb' WHERE id = 2;
UPDATE bills SET amount = '100' WHERE id = 3;
UPDATE bills SET token = NULL WHERE id = 4;
UPDATE bills SET due = '2000-01-01' WHERE id = 5;
UPDATE bills SET net = 'LOCAL' WHERE id = 6;
SELECT * FROM reconciler._set_status(:source, :'changes', 1000) ORDER BY 1;

-- What was missed so is read again, and is no failure
CREATE FUNCTION missed(what text) RETURNS TABLE (outcome text, request_id text, reason text) LANGUAGE plpgsql AS $$
DECLARE
	looked reconciler._look;
	changes reconciler._change[];
BEGIN
	looked.network_id := 1;
	SELECT array_agg(ROW(q.seq, r.request_id, r.status, 'confirmed', 'settled', 1, 1, r.expires_at, r.held)::reconciler._change) INTO changes
	FROM reconciler._lock_open((SELECT max(source_id) FROM reconciler.sources), '{1}') r JOIN reconciler.queue q USING (request_id);
	EXECUTE what;
	RETURN QUERY SELECT o.outcome, o.request_id, o.reason
	FROM jsonb_to_recordset(reconciler._missed(looked, (SELECT max(source_id) FROM reconciler.sources), 'bills', changes))
		AS o(outcome text, request_id text, reason text);
END
$$;
TRUNCATE bills, reconciler.transitions;
INSERT INTO bills (id) VALUES (1);
SELECT * FROM missed('');
SELECT id, address FROM queued;
SELECT * FROM missed($$CALL behind_our_back('UPDATE bills SET pay_to = ''0x00000000000000000000000000000000000000bb''')$$);
SELECT id, address FROM queued;
SELECT * FROM missed($$CALL behind_our_back('UPDATE bills SET state = ''detected''')$$);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER might BEFORE UPDATE ON bills FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT * FROM missed('');
SELECT * FROM missed($$CALL behind_our_back('UPDATE bills SET state = ''pending''')$$);
DROP TRIGGER might ON bills;
SELECT * FROM missed($$CALL behind_our_back('UPDATE bills SET state = ''cancelled''')$$);
SELECT id, address FROM queued;

-- A row that a trigger changes before its turn comes has another subject then
TRUNCATE bills, reconciler.transitions;
INSERT INTO bills (id) VALUES (1), (2);
CREATE FUNCTION swap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.state = 'confirmed' AND NEW.id = 1 THEN
		UPDATE bills SET pay_to = '0x00000000000000000000000000000000000000bb' WHERE id = 2 AND state = 'pending';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER swap BEFORE UPDATE ON bills FOR EACH ROW EXECUTE FUNCTION swap();
SELECT * FROM look('', '100', '100');
SELECT id, state, pay_to FROM bills ORDER BY id;
SELECT id, address FROM queued;
DROP TRIGGER swap ON bills;

-- Collations that take addresses for the same don't confirm the one by the other
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE loose (id int PRIMARY KEY, status text COLLATE any_case DEFAULT 'pending', chain text DEFAULT 'ethereum',
	network text DEFAULT 'local', expected_amount_minor numeric DEFAULT 100.00,
	address_canonical text COLLATE any_case DEFAULT '0x00000000000000000000000000000000000000aa');
SELECT reconciler.attach('loose', allow_superuser_owner => true) AS source \gset
INSERT INTO loose (id) VALUES (1), (2), (3);
SELECT array_agg(ROW(NULL, r.request_id, r.status, 'confirmed', NULL, NULL, NULL, r.expires_at, r.held)::reconciler._change ORDER BY r.request_id) AS changes
FROM reconciler._lock_open(:source, '{1,2,3}') r \gset
UPDATE loose SET address_canonical = upper(address_canonical) WHERE id = 1;
UPDATE loose SET status = 'PENDING' WHERE id = 2;
UPDATE loose SET expected_amount_minor = 100 WHERE id = 3;
SELECT * FROM reconciler._set_status(:source, :'changes', 1000) ORDER BY 1;

DROP EXTENSION reconciler CASCADE;
DROP TABLE bills, loose;
DROP FUNCTION look, missed, nothing, swap;
DROP PROCEDURE behind_our_back;
DROP TYPE state;
DROP DOMAIN chain_name;
DROP COLLATION any_case;
