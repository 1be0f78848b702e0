-- Triggers of the application's that get in the way: of the queue, by changing a
-- row again before ours fires; of other tables' requests, by the code of an error.
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE EXTENSION reconciler;
CREATE ROLE regress_attack_shop;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, confirmations => 1) AS net \gset
CREATE TABLE requests (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', what text);
CREATE TABLE neighbours (LIKE requests INCLUDING ALL);
SELECT reconciler.attach('requests', allow_superuser_owner => true) > 0 AS attached;
SELECT reconciler.attach('neighbours', allow_superuser_owner => true) > 0 AS attached;

-- Fires before reconciler_insert and reconciler_update: triggers of an event fire by their names.
CREATE FUNCTION change_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() > 1 THEN
		RETURN NULL;
	END IF;
	CASE NEW.what
		WHEN 'address' THEN
			UPDATE requests SET address_canonical = '0x00000000000000000000000000000000000000bb' WHERE id = NEW.id;
		WHEN 'twice' THEN
			UPDATE requests SET address_canonical = '0x00000000000000000000000000000000000000cc' WHERE id = NEW.id;
			UPDATE requests SET address_canonical = '0x00000000000000000000000000000000000000dd' WHERE id = NEW.id;
		WHEN 'undone' THEN
			BEGIN
				UPDATE requests SET address_canonical = '0x00000000000000000000000000000000000000cc' WHERE id = NEW.id;
				RAISE EXCEPTION 'undo';
			EXCEPTION WHEN raise_exception THEN
				NULL;
			END;
		WHEN 'note' THEN UPDATE requests SET what = 'noted' WHERE id = NEW.id;
		WHEN 'close' THEN UPDATE requests SET status = 'cancelled' WHERE id = NEW.id;
		WHEN 'open' THEN UPDATE requests SET status = 'pending' WHERE id = NEW.id;
		WHEN 'delete' THEN DELETE FROM requests WHERE id = NEW.id;
		WHEN 'id' THEN UPDATE requests SET id = NEW.id + 1000 WHERE id = NEW.id;
		WHEN 'others' THEN UPDATE requests SET address_canonical = '0x00000000000000000000000000000000000000ee' WHERE what = 'others';
		WHEN 'lock' THEN PERFORM FROM requests WHERE id = NEW.id FOR UPDATE;
		ELSE NULL;
	END CASE;
	RETURN NULL;
END
$$;
CREATE TRIGGER change_again AFTER INSERT OR UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION change_again();

CREATE VIEW differences AS
SELECT coalesce(r.id::text, q.request_id) AS id, r.what, r.status, q.status AS queued, r.address_canonical, q.address
FROM requests r FULL JOIN reconciler.queue q ON q.request_id = r.id::text
WHERE (r.status IN ('pending', 'detected')) IS DISTINCT FROM (q.status IS NOT NULL) OR q.address <> r.address_canonical OR q.status <> r.status;

INSERT INTO requests (id, address_canonical, what) VALUES (1, '', 'address'), (2, '', 'twice'), (3, '0x00000000000000000000000000000000000000aa', 'undone');
INSERT INTO requests (id, what) VALUES (4, 'note'), (5, 'close'), (6, 'delete'), (7, 'id'), (8, 'others'), (9, 'others'), (10, 'lock');
INSERT INTO requests (id, status, what) VALUES (11, 'draft', 'open');
SELECT request_id, status, address, invalid FROM reconciler.queue ORDER BY request_id::int;
SELECT * FROM differences;
-- The same by UPDATE
UPDATE requests SET address_canonical = '0x0000000000000000000000000000000000abcd11', what = w.what
FROM unnest(ARRAY[1, 2, 3, 4, 5, 8, 9, 10, 11, 1007], ARRAY['twice', 'address', 'id', 'undone', 'open', 'others', 'others', 'delete', 'close', 'note']) AS w(id, what)
WHERE requests.id = w.id;
SELECT request_id, status, address, invalid FROM reconciler.queue ORDER BY request_id::int;
SELECT * FROM differences;
SELECT reconciler.resync('requests') AS left_for_resync;

-- One table's trigger raises errors of classes that would stop the whole look.
TRUNCATE requests;
DROP TRIGGER change_again ON requests;
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.what IS NOT NULL THEN
		RAISE EXCEPTION 'no' USING ERRCODE = NEW.what;
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER poison BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION poison();
INSERT INTO requests (id, what) VALUES (1, '57014'), (2, '53100'), (3, '58030'), (4, '57P01'), (5, '53200'), (6, NULL);
INSERT INTO neighbours (id) VALUES (1), (2);
CREATE FUNCTION settle_all() RETURNS TABLE (outcome text, source text, request_id text, to_status text, reason text) LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', '100', 'settled', '100')) AS requests INTO c
	FROM reconciler.claim('w', 1, -1, 100, '15 s', '15 s') x;
	RETURN QUERY SELECT s.outcome, s.source, s.request_id, s.to_status, s.reason
	FROM reconciler.settle('w', 1, c.lo, c.token, jsonb_build_object(
		'tip', jsonb_build_object('height', 9, 'time', 4000000000), 'depth', jsonb_build_object('height', 9), 'requests', c.requests)) s
	ORDER BY s.source, s.request_id;
END
$$;
SELECT * FROM settle_all();
-- What a trigger makes of a confirmation: an event says confirmed where the request is closed by it
TRUNCATE requests, reconciler.transitions;
CREATE OR REPLACE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.status := coalesce(NEW.what, NEW.status); RETURN NEW; END $$;
INSERT INTO requests (id, what) VALUES (1, 'detected'), (2, 'review'), (3, NULL);
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
DELETE FROM reconciler.events;
SELECT outcome, request_id, to_status, reason FROM settle_all();
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT outcome, request_id, to_status, reason FROM settle_all();
SELECT kind, request_id, payload ->> 'to' AS to_status, payload ->> 'reason' AS reason FROM reconciler.events ORDER BY request_id, event_id;
-- One that opens again what was confirmed or has expired, in the statement that does it
TRUNCATE requests, reconciler.transitions;
ALTER TABLE requests ADD expires_at timestamptz;
SELECT reconciler.detach('requests');
SELECT reconciler.attach('requests', allow_superuser_owner => true) > 0 AS attached;
DROP TRIGGER poison ON requests;
CREATE FUNCTION open_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.status = 'pending' AND NEW.status IN ('confirmed', 'expired') THEN
		CASE NEW.what
			WHEN 'open' THEN UPDATE requests SET status = 'pending' WHERE id = NEW.id;
			WHEN 'new' THEN
				DELETE FROM requests WHERE id = NEW.id;
				INSERT INTO requests (id) VALUES (NEW.id);
			WHEN 'later' THEN UPDATE requests SET status = 'pending', expires_at = '2100-01-01' WHERE id = NEW.id;
			ELSE NULL;
		END CASE;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER open_again AFTER UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION open_again();
INSERT INTO requests (id, what) VALUES (1, 'open'), (2, 'new'), (3, 'later'), (4, NULL);
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT outcome, request_id, to_status, reason FROM settle_all();
SELECT id, status FROM requests ORDER BY id;
SELECT request_id FROM reconciler.queue ORDER BY 1;
INSERT INTO requests (id, what, expected_amount_minor, expires_at) VALUES (11, 'open', 101, '2000-01-01'), (12, 'later', 101, '2000-01-01'), (13, NULL, 101, '2000-01-01');
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT outcome, request_id, to_status, reason FROM settle_all();
SELECT id, status FROM requests WHERE id > 10 ORDER BY id;
SELECT request_id, expires_at FROM reconciler.queue ORDER BY 1;
-- Settings that would end the session, and with it the worker: by a statement, and by the function's own
TRUNCATE requests, reconciler.transitions;
ALTER TABLE requests OWNER TO regress_attack_shop;
CREATE OR REPLACE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.what IS NOT NULL THEN
		PERFORM set_config(NEW.what, '1', true);
		PERFORM pg_sleep(0.1);
		RAISE EXCEPTION 'no';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER poison BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION poison();
INSERT INTO requests (id, what) VALUES (1, 'exit_on_error'), (2, 'transaction_timeout'), (3, NULL);
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT outcome, request_id, to_status FROM settle_all();
CREATE FUNCTION exits() RETURNS trigger LANGUAGE plpgsql SET exit_on_error = on AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
DROP TRIGGER poison ON requests;
CREATE TRIGGER exits BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION exits();
DELETE FROM requests WHERE id = 2;
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT outcome, request_id, to_status FROM settle_all();
DROP TRIGGER exits ON requests;
CREATE TRIGGER poison BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION poison();
-- Locks that end with the session: the worker's doesn't
TRUNCATE requests, reconciler.transitions;
CREATE OR REPLACE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_lock(42), pg_advisory_lock_shared(43);
	IF NEW.what IS NOT NULL THEN
		RAISE EXCEPTION 'no';
	END IF;
	RETURN NEW;
END
$$;
INSERT INTO requests (id, what) VALUES (1, 'fails'), (2, NULL);
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT outcome, request_id, to_status FROM settle_all();
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
-- It is the server's cancel that ends a look, as ever.
INSERT INTO requests (id) VALUES (20);
CREATE OR REPLACE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1) FROM generate_series(1, 1000); RETURN NEW; END $$;
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SET statement_timeout = '300ms';
SELECT * FROM settle_all();
RESET statement_timeout;

DROP VIEW differences;
DROP TABLE requests, neighbours;
DROP FUNCTION change_again, poison, open_again, exits, settle_all;
DROP ROLE regress_attack_shop;
DROP EXTENSION reconciler;
