-- Words of the table's for statuses: several are read, one is written, detected can be left out.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
CREATE ROLE regress_reconciler_words;
CREATE SCHEMA words AUTHORIZATION regress_reconciler_words;
SELECT reconciler.grant_app('regress_reconciler_words');
SELECT reconciler.add_network('ethereum', 'mainnet', chain_id => 1, confirmations => 3, max_tip_age => '10 min') > 0 AS added;
-- What a worker does: claims what is due, and says what it has seen of each request
CREATE FUNCTION cycle(sees text, settles text, height int DEFAULT 100)
RETURNS TABLE (outcome text, request_id text, from_status text, to_status text, reason text)
LANGUAGE plpgsql AS $$
DECLARE
	net int := (SELECT max(network_id) FROM reconciler.networks);
	c record;
BEGIN
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
	UPDATE reconciler.network_state SET observed_at = NULL, error_at = NULL;
	SELECT min(x.lo) AS lo, min(x.token::text)::xid8 AS token,
		   jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', sees, 'settled', settles)) FILTER (WHERE x.seq IS NOT NULL) AS found INTO c
	FROM reconciler.claim('w1', net, -1, 100, '15 s', '15 s') AS x;
	RETURN QUERY
	SELECT s.outcome, s.request_id, s.from_status, s.to_status, s.reason
	FROM reconciler.settle('w1', net, c.lo, c.token,
		jsonb_build_object(
			'tip', jsonb_build_object('height', height, 'hash', '0xtip' || height, 'time', extract(epoch FROM clock_timestamp())),
			'depth', jsonb_build_object('height', height - 2, 'hash', '0xdepth' || height - 2),
			'requests', coalesce(c.found, '[]'), 'release', true)) AS s ORDER BY 2;
END $$;
CREATE VIEW now_is AS SELECT q.request_id, q.status, q.seen FROM reconciler.queue AS q ORDER BY 1;

-- What is no mapping
SET ROLE regress_reconciler_words;
CREATE TYPE words.state AS ENUM ('draft', 'awaiting', 'AWAITING', 'processing', 'paid', 'void', 'pending');
CREATE TABLE words.r (id int PRIMARY KEY, status words.state NOT NULL DEFAULT 'awaiting', chain text DEFAULT 'ethereum',
	network text DEFAULT 'mainnet', expected_amount_minor numeric DEFAULT 100,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', expires_at timestamptz, updated_at timestamptz);
SELECT reconciler.attach('words.r', statuses => '[]');
SELECT reconciler.attach('words.r', statuses => '{"paid": "confirmed"}');
SELECT reconciler.attach('words.r', statuses => '{"pending": 5}');
SELECT reconciler.attach('words.r', statuses => '{"pending": []}');
SELECT reconciler.attach('words.r', statuses => '{"pending": [null]}');
SELECT reconciler.attach('words.r', statuses => '{"pending": null}');
SELECT reconciler.attach('words.r', statuses => '{"confirmed": null}');
SELECT reconciler.attach('words.r', statuses => '{"detected": ""}');
SELECT reconciler.attach('words.r', statuses => '{"pending": ["awaiting", "paid"], "confirmed": "paid"}');
SELECT reconciler.attach('words.r', statuses => '{"pending": "detected"}');
-- Words that the type hasn't got
SELECT reconciler.attach('words.r');
SELECT reconciler.attach('words.r', statuses => '{"pending": ["awaiting", "waiting"], "detected": "processing", "confirmed": "paid", "expired": "void"}');
-- Requests that expire, and no word for it
SELECT reconciler.attach('words.r', statuses => '{"pending": "awaiting", "detected": null, "confirmed": "paid", "expired": null}');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'words.r'::regclass;

-- Several read, one written
SELECT reconciler.attach('words.r', statuses => '{"pending": ["awaiting", "AWAITING"], "detected": "processing", "confirmed": "paid", "expired": "void"}') > 0 AS attached;
RESET ROLE;
SELECT statuses, arguments FROM reconciler.sources;
SELECT tgname, regexp_replace(pg_get_triggerdef(oid), '^.* (FOR EACH)', '\1') AS definition FROM pg_trigger WHERE tgrelid = 'words.r'::regclass ORDER BY 1;
INSERT INTO words.r (id, status) VALUES (1, 'awaiting'), (2, 'AWAITING'), (3, 'draft'), (4, 'pending'), (5, 'processing'), (6, 'paid');
SELECT * FROM now_is;
SELECT * FROM reconciler.explain('words.r', '2') LIMIT 2;
SELECT * FROM reconciler.explain('words.r', '3');
SELECT * FROM reconciler.explain('words.r', '4');
SELECT * FROM reconciler.explain('words.r', '6');
SELECT * FROM cycle('100', '0');
SELECT id, status, updated_at IS NOT NULL AS touched FROM words.r ORDER BY id;
SELECT * FROM cycle('100', '0');
-- A row whose word has changed, though it means the same, is not written
SELECT reconciler._resync(1);
UPDATE words.r SET status = 'AWAITING' WHERE id = 1;
UPDATE words.r SET status = 'draft' WHERE id = 2;
SELECT * FROM now_is;
SELECT * FROM cycle('100', '100');
SELECT id, status FROM words.r ORDER BY id;
SELECT request_id, from_status, to_status, reason FROM reconciler.transitions ORDER BY transition_id;
-- An old copy of a row is saved over it: it stays decided
UPDATE words.r SET status = 'awaiting' WHERE id = 1;
SELECT item, regexp_replace(value, ' at .* \(', ' at (time) (') AS value FROM reconciler.explain('words.r', '1') LIMIT 2;
SELECT reconciler.reopen('words.r', '1');
SELECT reconciler.reopen('words.r', '1');
SELECT reconciler.reopen('words.r', '5');
SELECT * FROM now_is;
SELECT id, status FROM words.r ORDER BY id;
-- The comparison is by the word that was read: several mean the same
UPDATE words.r SET status = 'AWAITING' WHERE id = 1;
SELECT array_agg(ROW(NULL, r.request_id, r.status, 'confirmed', NULL, NULL, NULL, r.expires_at, r.held)::reconciler._change) AS changes
FROM reconciler._lock_open(1, '{1}') AS r \gset
SELECT held[1] FROM reconciler._lock_open(1, '{1}');
UPDATE words.r SET status = 'awaiting' WHERE id = 1;
SELECT * FROM reconciler._set_status(1, :'changes', 5000);
UPDATE words.r SET status = 'AWAITING' WHERE id = 1;
SELECT * FROM reconciler._set_status(1, :'changes', 5000);
-- Expiry; a trigger of the table's that has its own mind
CREATE FUNCTION words.keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.status := CASE NEW.id WHEN 7 THEN 'draft' WHEN 8 THEN OLD.status ELSE NEW.status END;
	RETURN NEW;
END $$;
CREATE TRIGGER keep BEFORE UPDATE ON words.r FOR EACH ROW EXECUTE FUNCTION words.keep();
INSERT INTO words.r (id, expires_at) SELECT i, '2020-01-01' FROM generate_series(7, 9) AS i;
SELECT * FROM cycle('0', '0') WHERE request_id IN ('7', '8', '9');
SELECT id, status FROM words.r WHERE id BETWEEN 7 AND 9 ORDER BY id;
DROP TRIGGER keep ON words.r;
SELECT reconciler._resync(1);
SELECT reconciler.detach('words.r');
DELETE FROM words.r;
TRUNCATE reconciler.transitions;

-- Without a word for detected: the row isn't touched, the reconciler knows it
SET ROLE regress_reconciler_words;
SELECT reconciler.attach('words.r', statuses => '{"pending": ["awaiting", "AWAITING"], "detected": null, "confirmed": "paid", "expired": "void"}') > 0 AS attached;
RESET ROLE;
INSERT INTO words.r (id, status) VALUES (1, 'awaiting'), (2, 'AWAITING'), (3, 'processing');
SELECT * FROM cycle('100', '0');
SELECT * FROM cycle('100', '0');
SELECT id, status, updated_at IS NOT NULL AS touched FROM words.r ORDER BY id;
SELECT * FROM now_is;
SELECT * FROM reconciler.explain('words.r', '2') LIMIT 2;
-- It stays known whatever happens to the row, and to the queue
UPDATE words.r SET expires_at = '2100-01-01' WHERE id = 1;
UPDATE words.r SET status = 'awaiting' WHERE id = 2;
SELECT * FROM now_is;
SELECT reconciler._resync(1);
SELECT * FROM now_is;
DELETE FROM reconciler.queue;
SELECT reconciler._resync(1);
SELECT * FROM now_is;
UPDATE words.r SET expected_amount_minor = 150 WHERE id = 1;
SELECT * FROM now_is;
SELECT reconciler._resync(1);
-- A payment that was seen and is gone
SELECT * FROM cycle('0', '0', 101);
SELECT * FROM cycle('0', '0', 104);
SELECT * FROM now_is;
SELECT id, status FROM words.r ORDER BY id;
SELECT * FROM cycle('100', '0', 105);
-- Confirmed: now the row says it
SELECT * FROM cycle('150', '150', 110);
SELECT id, status, updated_at IS NOT NULL AS touched FROM words.r ORDER BY id;
SELECT request_id, from_status, to_status, reason FROM reconciler.transitions ORDER BY transition_id;
SELECT reconciler.reopen('words.r', '1');
SELECT * FROM now_is;
SELECT id, status FROM words.r ORDER BY id;
-- A trigger that leaves the word which stands for both
CREATE FUNCTION words.leave() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.status := OLD.status; RETURN NEW; END';
CREATE TRIGGER leave BEFORE UPDATE ON words.r FOR EACH ROW EXECUTE FUNCTION words.leave();
SELECT * FROM cycle('150', '0', 111);
SELECT * FROM cycle('150', '150', 111);
DROP TRIGGER leave ON words.r;
SELECT * FROM cycle('150', '150', 111);
-- A word must not go
ALTER TYPE words.state RENAME VALUE 'paid' TO 'settled';
ALTER TYPE words.state RENAME VALUE 'draft' TO 'sketch';
SET client_min_messages = warning;
DROP SCHEMA words CASCADE;
DROP VIEW now_is;
DROP EXTENSION reconciler;
DROP FUNCTION cycle;
DROP ROLE regress_reconciler_words;
