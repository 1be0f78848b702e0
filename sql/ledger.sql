-- The ledger: which request a credit pays, what a reorganisation does to evidence,
-- whose turn it is, and what matching a block costs. No node: the protocol's
-- functions are called by hand.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('bitcoin', 'regtest', kind => 'bitcoind', confirmations => 2) AS net \gset
CREATE TABLE invoices (id text PRIMARY KEY, chain text DEFAULT 'bitcoin', network text DEFAULT 'regtest', status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 1000, address_canonical text, token_contract text, expires_at timestamptz);
SELECT reconciler.attach('invoices', allow_superuser_owner => true) > 0 AS attached;

-- An address and the hex of the script that pays it
\set one bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080
\set key 0014751e76e8199196d454941c45d1b3a323f1433bd6
SELECT reconciler._request_key('bitcoind', 'regtest', :'one', NULL) = decode(:'key', 'hex') AS script,
	   reconciler._request_key('evm', 'x', '0x00000000000000000000000000000000000000aa', NULL) AS native,
	   reconciler._request_key('evm', 'x', '0x00000000000000000000000000000000000000aa', '0x00000000000000000000000000000000000000bb') AS token,
	   reconciler._request_key('evm', 'x', 'nonsense', NULL) AS none, reconciler._request_key('none', 'x', :'one', NULL) AS unregistered;

CREATE TABLE held (token xid8, height bigint);
CREATE FUNCTION claim() RETURNS void LANGUAGE sql AS $$
	DELETE FROM held;
	INSERT INTO held SELECT c.token, coalesce(c.height, 99) FROM reconciler.networks n, reconciler.claim_cursor('w', n.network_id, '1 min', '1 s') c
	WHERE n.kind = 'bitcoind';
$$;
CREATE FUNCTION work(height bigint) RETURNS text LANGUAGE sql AS $$ SELECT lpad(to_hex(2 * height + 2), 64, '0') $$;
-- Reads the next block, of a branch; outputs: [[txid, index, script, amount], …]
CREATE FUNCTION read_block(branch text, outputs jsonb DEFAULT '[]') RETURNS int LANGUAGE sql AS $$
	UPDATE held SET height = height + 1;
	SELECT reconciler.advance_cursor('w', n.network_id, h.token, '1 min',
		jsonb_build_object('height', h.height, 'hash', branch || h.height, 'time', 1700000000 + h.height * 600,
			'previous', (SELECT c.hash FROM reconciler.cursors c), 'work', work(h.height)), outputs)
	FROM reconciler.networks n, held h WHERE n.kind = 'bitcoind';
$$;
CREATE FUNCTION undo(to_height bigint) RETURNS int LANGUAGE sql AS $$
	UPDATE held SET height = to_height;
	SELECT reconciler.undo_blocks('w', n.network_id, h.token, '1 min', to_height, work(1000)) FROM reconciler.networks n, held h WHERE n.kind = 'bitcoind';
$$;
CREATE FUNCTION look_back() RETURNS void LANGUAGE sql AS $$
	SELECT reconciler.begin_look_back('w', n.network_id, h.token, '1 min') FROM reconciler.networks n, held h WHERE n.kind = 'bitcoind';
	SELECT reconciler.end_look_back('w', n.network_id, h.token, '1 min', NULL) FROM reconciler.networks n, held h WHERE n.kind = 'bitcoind';
$$;
CREATE FUNCTION settle() RETURNS TABLE (request_id text, outcome text, to_status text, reason text) LANGUAGE sql AS $$
	SELECT s.request_id, s.outcome, s.to_status, s.reason FROM reconciler.networks n, held h, reconciler.settle_network('w', n.network_id, h.token, true) s
	WHERE n.kind = 'bitcoind' ORDER BY 1;
$$;
CREATE VIEW ledger AS SELECT request_id, txid, ordinal, amount, block_height, block_hash, unproven, gone_at IS NOT NULL AS gone
	FROM reconciler.payments ORDER BY payment_id;

-- One credit, one request: the first of those that are not paid yet
INSERT INTO invoices (id, address_canonical) SELECT i, :'one' FROM unnest(ARRAY['a', 'b', 'c']) i;
SELECT claim(), look_back();
SELECT read_block('x', jsonb_build_array(jsonb_build_array('t1', 0, :'key', 600), jsonb_build_array('t1', 1, :'key', 400),
	jsonb_build_array('t2', 0, :'key', 1000)));
SELECT * FROM ledger;
SELECT read_block('x');
SELECT * FROM settle();

-- Its request is closed: what it was paid with pays nobody else, however often it is read
SELECT claim();
UPDATE invoices SET address_canonical = lower(address_canonical), expected_amount_minor = 999 WHERE id = 'c';
SELECT requests, next_height, next_hash FROM reconciler.begin_look_back('w', :net, (SELECT token FROM held), '1 min');
SELECT reconciler.look_back('w', :net, (SELECT token FROM held), '1 min', '{"height": 101, "hash": "y101", "previous": "x100", "time": 1700060600}', '[]');
SELECT reconciler.look_back('w', :net, (SELECT token FROM held), '1 min', '{"height": 101, "hash": "x101", "previous": "x100", "time": 1700060600}', '[]') AS found;
SELECT reconciler.look_back('w', :net, (SELECT token FROM held), '1 min', '{"height": 100, "hash": "x100", "previous": "x99", "time": 1700060000}',
	jsonb_build_array(jsonb_build_array('t1', 0, :'key', 600), jsonb_build_array('t2', 0, :'key', 1000))) AS found;
SELECT reconciler.end_look_back('w', :net, (SELECT token FROM held), '1 min', NULL) AS looked_back_for;
SELECT reconciler.note_mempool('w', :net, (SELECT token FROM held), '1 min',
	jsonb_build_array(jsonb_build_array('t1', 1, :'key', 400)), '[]') AS in_mempool;
SELECT count(*) FROM ledger WHERE request_id = 'c';

-- All are paid: the first has the rest
SELECT reconciler.note_mempool('w', :net, (SELECT token FROM held), '1 min',
	jsonb_build_array(jsonb_build_array('t3', 0, :'key', 5000), jsonb_build_array('t4', 0, :'key', 1)), '[]') AS in_mempool;
SELECT request_id, txid FROM ledger WHERE txid IN ('t3', 't4');
SELECT * FROM settle();

-- A reorganisation: unconfirmed again, then in another block, also of a closed request
SELECT claim();
-- A chain with less work takes nothing back, nor does one that says nothing of its work
SELECT reconciler.undo_blocks('w', :net, (SELECT token FROM held), '1 min', 100, work(100));
SELECT reconciler.undo_blocks('w', :net, (SELECT token FROM held), '1 min', 100, NULL);
SELECT undo(100);
SELECT read_block('y', '[]'), read_block('y', jsonb_build_array(jsonb_build_array('t1', 0, :'key', 600), jsonb_build_array('t1', 1, :'key', 400)));
SELECT * FROM ledger;

-- One deeper than the blocks that are remembered, and a restarted cursor: the evidence of a
-- closed request stays, that of an open one must be found again
SELECT read_block('y', jsonb_build_array(jsonb_build_array('t2', 0, :'key', 1000), jsonb_build_array('t3', 0, :'key', 5000)));
SELECT * FROM settle();
SELECT claim();
SELECT undo(-1);
SELECT request_id, txid, block_height, unproven, gone FROM ledger;
SELECT height, hash FROM reconciler.cursors;
SELECT * FROM reconciler.unconfirmed_payments(:net) ORDER BY 1;
SELECT request_id, look_back_due, seen_height FROM reconciler.queue;
UPDATE held SET height = 200;
SELECT requests, since <= 1700061800 AS since_the_payment FROM reconciler.begin_look_back('w', :net, (SELECT token FROM held), '1 min');
-- A chain that takes the place of another has more work
SELECT read_block('z', jsonb_build_array(jsonb_build_array('t3', 0, :'key', 5000)));
SELECT request_id, txid, block_height, unproven, gone FROM ledger WHERE txid IN ('t1', 't3');

-- More requests than one settling takes wait for something: every one gets its turn
TRUNCATE invoices;
SELECT reconciler.end_look_back('w', :net, (SELECT token FROM held), '1 min', NULL) AS looked_back_for;
INSERT INTO invoices (id, address_canonical) VALUES ('last', 'bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry');
SELECT look_back();
INSERT INTO reconciler.payment_changes SELECT :net, 0, 'none' || i FROM generate_series(1, 6000) i;
SELECT settle();
SELECT count(*) FROM reconciler.payment_changes;

-- So does every request that expires: 6,000 that nothing can be said of stand before it
SELECT claim();
INSERT INTO invoices (id, address_canonical, expires_at) SELECT 'e' || i, :'one', timestamptz '2020-01-01' + i * interval '1 s' FROM generate_series(1, 6000) i;
INSERT INTO invoices (id, address_canonical, expires_at) VALUES ('turn', :'one', '2021-01-01');
UPDATE reconciler.queue SET look_back_due = false WHERE request_id = 'turn';
SELECT * FROM settle();
SELECT claim();
SELECT * FROM settle();
DELETE FROM invoices WHERE id LIKE 'e%';

-- A cursor that stands on a chain with less work than was read settles nothing
SELECT claim();
UPDATE reconciler.cursors SET best_work = work(100000);
SELECT * FROM settle();
UPDATE reconciler.cursors SET best_work = work;
SELECT count(*) FROM settle();

-- The queue is lost: who was looked back for needs it no more, unless his row has changed since
SELECT claim();
INSERT INTO invoices (id, address_canonical) SELECT i, :'one' FROM unnest(ARRAY['kept', 'changed', 'never']) i;
UPDATE reconciler.queue SET look_back_due = (request_id = 'never');
DELETE FROM reconciler.follow_marks;
SELECT reconciler._mark_followed(:net);
SELECT count(*) AS while_one_is_due FROM reconciler.follow_marks;
DELETE FROM invoices WHERE id = 'never';
SELECT reconciler._mark_followed(:net);
SELECT count(*) AS then FROM reconciler.follow_marks;
UPDATE invoices SET expected_amount_minor = 77 WHERE id = 'changed';
INSERT INTO invoices (id, address_canonical) VALUES ('new', :'one');
TRUNCATE reconciler.queue, reconciler.batches, reconciler.cursor_leases;
SELECT claim();
SELECT request_id, look_back_due FROM reconciler.queue ORDER BY 1;
SELECT count(*) FROM settle();

-- What matching a block costs: 4,800 outputs, 10,000 open requests, a queue that was never
-- analysed. Each output is looked up; what is read of the queue doesn't grow with it.
SELECT claim();
INSERT INTO invoices (id, address_canonical) SELECT 'x' || i, 'x' || i FROM generate_series(1, 10000) i;
UPDATE reconciler.queue SET invalid = NULL, key = '\x0014' || decode(lpad(to_hex(substr(request_id, 2)::int), 40, '0'), 'hex')
	WHERE request_id LIKE 'x%';
BEGIN;
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) AS before FROM pg_stat_xact_all_tables WHERE schemaname = 'reconciler' \gset
SELECT read_block('z', (SELECT jsonb_agg(jsonb_build_array('m' || i, 0, '0014' || lpad(to_hex(9900 + i), 40, '0'), 1)) FROM generate_series(1, 4800) i));
SELECT sum(seq_tup_read + idx_tup_fetch) - :before < 5000 AS few_rows_read FROM pg_stat_xact_all_tables WHERE schemaname = 'reconciler';
COMMIT;
DROP EXTENSION reconciler CASCADE;
DROP TABLE invoices, held;
DROP FUNCTION work(bigint), claim(), read_block(text, jsonb), undo(bigint), look_back(), settle();
