-- Pruning: what goes, and what stays so that nothing is confirmed twice: a row that is
-- saved once more as it was, an address that is used again, a table that is loaded again.
\set SHOW_CONTEXT never
SET client_min_messages = error;
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('bitcoin', 'regtest', kind => 'bitcoind', confirmations => 2) AS net \gset
CREATE TABLE invoices (id text PRIMARY KEY, chain text DEFAULT 'bitcoin', network text DEFAULT 'regtest', status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 1000, address_canonical text, expires_at timestamptz, created_at timestamptz DEFAULT now());
SELECT reconciler.attach('invoices', allow_superuser_owner => true) > 0 AS attached;
\set one bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080
\set key 0014751e76e8199196d454941c45d1b3a323f1433bd6
CREATE TABLE held (token xid8, height bigint);
CREATE FUNCTION claim() RETURNS void LANGUAGE sql AS $$
	DELETE FROM held;
	INSERT INTO held SELECT c.token, coalesce(c.height, 99) FROM reconciler.networks n, reconciler.claim_cursor('w', n.network_id, '1 min', '1 s') c WHERE n.network_id <> 0;
$$;
CREATE FUNCTION read_block(credits jsonb DEFAULT '[]') RETURNS int LANGUAGE sql AS $$
	UPDATE held SET height = height + 1;
	SELECT reconciler.advance_cursor('w', n.network_id, h.token, '1 min',
		jsonb_build_object('height', h.height, 'hash', 'x' || h.height, 'time', 1700000000 + h.height * 600,
			'previous', (SELECT c.hash FROM reconciler.cursors c), 'work', lpad(to_hex(2 * h.height + 2), 64, '0')), credits)
	FROM reconciler.networks n, held h WHERE n.network_id <> 0;
$$;
CREATE FUNCTION look_back(block bigint, credits jsonb) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	net int := (SELECT network_id FROM reconciler.networks WHERE network_id <> 0);
	found int := 0;
	next record;
BEGIN
	SELECT * INTO next FROM reconciler.begin_look_back('w', net, (SELECT token FROM held), '1 min');
	WHILE next.next_height >= block LOOP
		found := found + reconciler.look_back('w', net, (SELECT token FROM held), '1 min',
			jsonb_build_object('height', next.next_height, 'hash', 'x' || next.next_height, 'previous', 'x' || next.next_height - 1, 'time', 1700000000 + next.next_height * 600),
			CASE WHEN next.next_height = block THEN credits ELSE '[]' END);
		next.next_height := next.next_height - 1;
	END LOOP;
	PERFORM reconciler.end_look_back('w', net, (SELECT token FROM held), '1 min', NULL);
	RETURN found;
END $$;
CREATE FUNCTION settle() RETURNS TABLE (request_id text, outcome text, to_status text, reason text) LANGUAGE sql AS $$
	SELECT s.request_id, s.outcome, s.to_status, s.reason FROM reconciler.networks n, held h, reconciler.settle_network('w', n.network_id, h.token, true) s
	WHERE n.network_id <> 0 ORDER BY 1;
$$;
-- Time passes
CREATE FUNCTION later(days int) RETURNS void LANGUAGE sql AS $$
	UPDATE reconciler.transitions SET at = at - days * interval '1 day', missing_since = missing_since - days * interval '1 day';
	UPDATE reconciler.payments SET first_seen = first_seen - days * interval '1 day';
	UPDATE reconciler.watched SET until = until - days * interval '1 day';
$$;
CREATE VIEW history AS SELECT request_id, to_status, reason, missing_since IS NOT NULL AS missing FROM reconciler.transitions ORDER BY transition_id;

-- One is confirmed, one is paid in part, one is paid late and in no block
INSERT INTO invoices (id, address_canonical) VALUES ('paid', :'one');
SELECT claim(), look_back(99, '[]');
SELECT read_block(jsonb_build_array(jsonb_build_array('t1', 0, :'key', 1000)));
SELECT * FROM settle();
SELECT claim();
SELECT read_block();
SELECT * FROM settle();
INSERT INTO invoices (id, address_canonical) VALUES ('part', :'one');
SELECT claim(), look_back(101, '[]');
SELECT read_block(jsonb_build_array(jsonb_build_array('t2', 0, :'key', 400)));
SELECT * FROM settle();
SELECT claim();
SELECT count(read_block()) FROM generate_series(1, 300);
SELECT * FROM settle();
SELECT request_id, txid, block_height FROM reconciler.payments ORDER BY 2;
SELECT * FROM history;

-- Not what is young, or not said to be old
SELECT * FROM reconciler.prune(now() - interval '1 hour');
SELECT * FROM reconciler.prune(NULL);
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT later(100);
-- Nor what is watched still: without its payments, its confirmation would seem undone
BEGIN;
UPDATE reconciler.watched SET until = now() + interval '1 hour';
SELECT * FROM reconciler.prune(now() - interval '90 days');
ROLLBACK;
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT * FROM history;
SELECT request_id, txid FROM reconciler.payments ORDER BY 2;
SELECT count(*) AS spent FROM reconciler.spent_credits;
SELECT * FROM reconciler.prune(now() - interval '90 days');

-- A stale save: the row as it was before it was confirmed
UPDATE invoices SET status = 'pending' WHERE id = 'paid';
SELECT count(*) FROM reconciler.queue WHERE request_id = 'paid';
SELECT reconciler.resync('invoices');
SELECT count(*) FROM reconciler.queue WHERE request_id = 'paid';
UPDATE invoices SET status = 'confirmed' WHERE id = 'paid';

-- The address is used again, by a request that says it is older than the payment
INSERT INTO invoices (id, address_canonical, created_at) VALUES ('again', :'one', '2020-01-01');
UPDATE invoices SET status = 'cancelled' WHERE id = 'part';
SELECT claim();
SELECT look_back(100, jsonb_build_array(jsonb_build_array('t1', 0, :'key', 1000))) AS found;
SELECT * FROM settle();
SELECT id, status FROM invoices ORDER BY id;
SELECT request_id, txid FROM reconciler.payments ORDER BY 2;
-- It would have been its payment, were it not remembered
BEGIN;
DELETE FROM reconciler.spent_credits;
UPDATE reconciler.queue SET look_back_due = true;
SELECT claim();
SELECT look_back(100, jsonb_build_array(jsonb_build_array('t1', 0, :'key', 1000))) AS found;
ROLLBACK;

-- Evidence that isn't settled stays: of blocks that were given up, of what has gone, and of blocks that are not deep
UPDATE reconciler.cursors SET look_back_next = NULL;
INSERT INTO reconciler.payments (network_id, source_id, source, request_id, chain, network, kind, txid, ordinal, key, amount, block_height, block_hash, block_time, unproven, gone_at, first_seen)
SELECT :net, 1, 'invoices', 'paid', 'bitcoin', 'regtest', 'output', v.txid, 0, '\x01', 5, v.height, 'h', '2023-12-01', v.unproven, v.gone, '2023-12-01'
FROM (VALUES ('unproven', 100, true, NULL), ('gone', NULL, false, now()), ('pool', NULL, false, NULL), ('fresh', 390, false, NULL)) v (txid, height, unproven, gone);
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT txid FROM reconciler.payments ORDER BY 1;
DELETE FROM reconciler.payments WHERE key = '\x01';

-- A table that is emptied and loaded again keeps what was decided
INSERT INTO invoices (id, address_canonical, expires_at) VALUES ('x', 'nonsense', now() - interval '2 days');
SELECT reconciler.maintain('w');
CREATE TABLE copy AS SELECT * FROM invoices;
SELECT later(100);
DELETE FROM invoices;
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT * FROM history;
INSERT INTO invoices SELECT (jsonb_populate_record(c, '{"status": "pending"}')).* FROM copy c;
SELECT request_id FROM reconciler.queue ORDER BY 1;
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT * FROM history;
-- Requests that are deleted for good: by the second sweep, with the time between
DELETE FROM invoices;
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT later(100);
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT * FROM history;

-- A table that is detached, and one that was dropped
INSERT INTO invoices (id, address_canonical, expires_at) VALUES ('y', 'nonsense', now() - interval '2 days');
SELECT reconciler.maintain('w');
SELECT later(100);
SELECT reconciler.detach('invoices');
SELECT later(100) FROM reconciler.prune(now() - interval '90 days') LIMIT 1;
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT * FROM history;
DROP TABLE invoices CASCADE;
SELECT later(100) FROM reconciler.prune(now() - interval '90 days') LIMIT 1;
SELECT * FROM reconciler.prune(now() - interval '90 days');
SELECT * FROM history;

DROP VIEW history;
DROP FUNCTION claim(), read_block(jsonb), look_back(bigint, jsonb), settle(), later(int);
DROP EXTENSION reconciler CASCADE;
DROP TABLE held, copy;
