-- In time or late: the chain's time decides, whoever looks when; ended requests get what
-- still comes; a confirmation whose payment is undone is reported once. No node.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'main', chain_id => 5, confirmations => 3, tokens => 'logs') AS net \gset
CREATE TABLE bills (id text PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'main', status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 1000, address_canonical text, token_contract text, expires_at timestamptz, created_at timestamptz DEFAULT '2020-01-01');
SELECT reconciler.attach('bills', allow_superuser_owner => true) > 0 AS attached;
CREATE FUNCTION address(i int) RETURNS text LANGUAGE sql AS $$ SELECT '0x' || lpad(to_hex(i), 40, 'a') $$;

-- Block h is of ten seconds times h after the base, an hour ago
CREATE TABLE clock (base timestamptz);
INSERT INTO clock VALUES (date_trunc('second', now()) - interval '1 hour');
CREATE FUNCTION at(h numeric) RETURNS timestamptz LANGUAGE sql AS $$ SELECT base + h * interval '10 s' FROM clock $$;
CREATE TABLE held (token xid8);
CREATE FUNCTION claim() RETURNS void LANGUAGE sql AS $$
	DELETE FROM held;
	SELECT reconciler.release_leases('ethereum', 'main');
	INSERT INTO held SELECT c.token FROM reconciler.networks n, reconciler.claim_cursor('w', n.network_id, '1 min', '1 s') c WHERE n.network = 'main';
	UPDATE reconciler.queue SET look_back_due = false WHERE request_id NOT LIKE 'old%';
$$;
-- The next block of a branch; credits: 'txid ordinal holder amount'
CREATE FUNCTION read_block(branch text, VARIADIC credits text[]) RETURNS int LANGUAGE sql AS $$
	SELECT reconciler.advance_cursor('w', n.network_id, h.token, '1 min',
		jsonb_build_object('height', coalesce(c.height, 99) + 1, 'hash', branch || coalesce(c.height, 99) + 1, 'previous', c.hash, 'time', extract(epoch FROM at(coalesce(c.height, 99) + 1))::bigint),
		coalesce((SELECT jsonb_agg(jsonb_build_array(split_part(x, ' ', 1), split_part(x, ' ', 2)::int, ltrim(address(4096), '0x') || ltrim(address(split_part(x, ' ', 3)::int), '0x'),
			split_part(x, ' ', 4), 'token', address(99))) FROM unnest(credits) x WHERE x <> ''), '[]'))
	FROM reconciler.networks n JOIN reconciler.cursors c USING (network_id), held h WHERE n.network = 'main';
$$;
CREATE FUNCTION read_blocks(branch text, n int) RETURNS void LANGUAGE sql AS $$ SELECT read_block(branch, '') FROM generate_series(1, n) $$;
CREATE FUNCTION undo(to_height bigint) RETURNS int LANGUAGE sql AS $$
	SELECT reconciler.undo_blocks('w', n.network_id, h.token, '1 min', to_height, NULL, 1000) FROM reconciler.networks n, held h WHERE n.network = 'main';
$$;
CREATE FUNCTION settle() RETURNS TABLE (request_id text, outcome text, to_status text, reason text) LANGUAGE sql AS $$
	SELECT s.request_id, s.outcome, s.to_status, s.reason FROM reconciler.networks n, held h, reconciler.settle_network('w', n.network_id, h.token, true) s
	WHERE n.network = 'main' ORDER BY 1;
$$;
CREATE VIEW ledger AS SELECT request_id, txid, ordinal, amount, block_height AS height, block_hash AS hash, late, gone_at IS NOT NULL AS gone
	FROM reconciler.payments ORDER BY payment_id;
CREATE VIEW told AS SELECT kind, request_id, payload - '{chain,network,sender,block_time,first_seen,block_hash,kind}'::text[] AS payload
	FROM reconciler.events WHERE kind LIKE 'payment.%' OR kind LIKE 'confirmation.%' ORDER BY event_id;

-- All expired long ago by our clock; the chain is at block 99 when they are looked at first
INSERT INTO bills (id, address_canonical, token_contract, expires_at) VALUES
	('exact', address(1), address(4096), at(102)), ('late', address(2), address(4096), at(102)),
	('partial', address(3), address(4096), at(102)), ('put off', address(4), address(4096), at(102)), ('none', address(5), address(4096), at(101.95));
SELECT claim();
SELECT read_block('a', 'x1 0 3 600');
SELECT * FROM settle();
SELECT claim();
-- In the block of that very second it is in time, in the next one it isn't; nothing in this says so before block 103 is three deep
SELECT read_block('a', ''), read_block('a', 'x2 0 1 1000', 'x2 1 5 1000'), read_block('a', 'x3 0 2 1000', 'x3 1 3 400', 'x3 2 4 1000');
SELECT * FROM settle();
SELECT * FROM ledger;
SELECT claim();
UPDATE bills SET expires_at = at(103) WHERE id = 'put off';
SELECT reconciler._watch_on(n) FROM reconciler.networks n WHERE network_id = :net;
SELECT read_block('a', '');
SELECT * FROM settle();
SELECT claim();
SELECT read_block('a', '');
SELECT * FROM settle();
SELECT claim();
SELECT read_block('a', '');
SELECT * FROM settle();
SELECT id, status FROM bills ORDER BY 1;
SELECT * FROM told;

-- What ended is watched: late ones and second ones change no status
SELECT request_id, round(extract(epoch FROM until - ended_at) / 3600) AS hours FROM reconciler.watched ORDER BY 1;
SELECT claim();
SELECT read_block('a', 'x4 0 1 50', 'x4 1 2 60', 'x4 2 77 5');
SELECT * FROM settle();
SELECT * FROM ledger WHERE txid = 'x4';
SELECT id, status FROM bills ORDER BY 1;
-- An open one of the same payee is first; what is late for one is another's
SELECT claim();
INSERT INTO bills (id, address_canonical, token_contract, expires_at) VALUES ('over', address(1), address(4096), at(90)), ('again', address(1), address(4096), NULL);
UPDATE reconciler.queue SET look_back_due = false;
SELECT read_block('a', 'x5 0 1 10');
SELECT request_id FROM ledger WHERE txid = 'x5';
DELETE FROM bills WHERE id IN ('over', 'again');
-- Not for ever, and not at all where it is not wanted
UPDATE reconciler.watched SET until = now() WHERE request_id = 'late';
SELECT read_block('a', 'x6 0 2 1');
SELECT count(*) FROM ledger WHERE txid = 'x6';
SELECT reconciler._watch_on(n) FROM reconciler.networks n WHERE network_id = :net;
SELECT count(*) FROM reconciler.watched WHERE request_id = 'late';
SELECT reconciler.set_network('ethereum', 'main', watch_after => '0');
INSERT INTO bills (id, address_canonical, token_contract) VALUES ('unwatched', address(6), address(4096));
UPDATE bills SET status = 'cancelled' WHERE id = 'unwatched';
SELECT count(*) FROM reconciler.watched WHERE request_id = 'unwatched';
SELECT reconciler.set_network('ethereum', 'main', reset => '{watch_after}');
SELECT right(k, 6) AS key FROM reconciler.follow_keys(:net) k;
SELECT right(token, 6) AS token, holders FROM reconciler.follow_tokens(:net);

-- A payment older than its request: not by reading on, where the table says when it was made
INSERT INTO bills (id, address_canonical, token_contract, created_at) VALUES ('old', address(7), address(4096), now()), ('old without', address(8), address(4096), NULL);
SELECT claim();
SELECT read_block('a', 'x7 0 7 1000');
SELECT requests FROM reconciler.begin_look_back('w', :net, (SELECT token FROM held), '1 min');
SELECT reconciler.look_back('w', :net, (SELECT token FROM held), '1 min', jsonb_build_object('height', c.height, 'hash', c.hash, 'previous', 'x', 'time', extract(epoch FROM c.block_time)::bigint),
	jsonb_build_array(jsonb_build_array('x7', 0, ltrim(address(4096), '0x') || ltrim(address(7), '0x'), '1000', 'token'))) AS found
FROM reconciler.cursors c WHERE c.network_id = :net;
SELECT reconciler.end_look_back('w', :net, (SELECT token FROM held), '1 min', NULL);
SELECT count(*) FROM ledger WHERE txid = 'x7';
DELETE FROM bills WHERE id LIKE 'old%';

-- Undone, deeper than the confirmations: one report, however often it is settled
SELECT * FROM settle();
DELETE FROM reconciler.events;
SELECT claim();
SELECT undo(101);
SELECT read_blocks('b', 3);
SELECT * FROM settle();
SELECT claim();
SELECT read_block('b', '');
SELECT * FROM settle();
SELECT * FROM told;
SELECT request_id, needed, in_blocks, restored_at FROM reconciler.undone_confirmations ORDER BY 1;
-- Back to the first chain: as it was
SELECT claim();
SELECT undo(101);
SELECT read_block('a', 'x2 0 1 1000', 'x2 1 5 1000'), read_block('a', 'x3 0 2 1000', 'x3 1 3 400', 'x3 2 4 1000'), read_blocks('a', 2), read_block('a', 'x4 0 1 50', 'x4 1 2 60');
SELECT * FROM settle();
SELECT * FROM ledger;
SELECT kind, request_id, count(*) FROM told GROUP BY 1, 2 ORDER BY 1, 2;
SELECT request_id, in_blocks, restored_at IS NOT NULL AS restored FROM reconciler.undone_confirmations ORDER BY 1;
SELECT id, status FROM bills ORDER BY 1;

-- Mined again at another place of the block: the same payments, and nobody else's
SELECT claim();
INSERT INTO bills (id, address_canonical, token_contract) VALUES ('greedy', address(1), address(4096));
UPDATE reconciler.queue SET look_back_due = false;
SELECT undo(101);
SELECT read_block('c', 'x2 5 1 1000', 'x2 6 5 1000');
SELECT request_id, ordinal, amount, hash FROM ledger WHERE txid = 'x2';
DELETE FROM bills WHERE id = 'greedy';
SELECT * FROM settle();

-- Blocks taken back twice begin no look back
SELECT look_back_next, look_back_hash, look_back_since FROM reconciler.cursors;

-- Bitcoin: seen in time is in time, unless only blocks count
SELECT reconciler.remove_network('ethereum', 'main');
SELECT reconciler.add_network('bitcoin', 'main', kind => 'bitcoind', confirmations => 1) AS net \gset
\set one bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080
UPDATE reconciler.networks SET network = 'regtest' WHERE network_id = :net;
INSERT INTO bills (id, chain, network, address_canonical, expires_at) VALUES ('seen', 'bitcoin', 'regtest', :'one', now() + interval '1 hour');
UPDATE reconciler.queue SET look_back_due = false;
CREATE TABLE coins AS SELECT c.token FROM reconciler.claim_cursor('w', :net, '1 min', '1 s') c;
SELECT reconciler.note_mempool('w', :net, (SELECT token FROM coins), '1 min', '[["m1", 0, "0014751e76e8199196d454941c45d1b3a323f1433bd6", 1000]]', '[]');
CREATE FUNCTION mine(h int, offset_s int, credits jsonb DEFAULT '[]') RETURNS int LANGUAGE sql AS $$
	SELECT reconciler.advance_cursor('w', n.network_id, c.token, '1 min', jsonb_build_object('height', h, 'hash', 'b' || h, 'previous', 'b' || h - 1,
		'time', extract(epoch FROM now())::bigint + offset_s, 'work', lpad(to_hex(h), 64, '0')), credits)
	FROM coins c, reconciler.networks n WHERE n.kind = 'bitcoind'
$$;
CREATE FUNCTION settle_coins() RETURNS TABLE (request_id text, to_status text, reason text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT s.request_id, s.to_status, s.reason FROM reconciler.networks n, coins c, reconciler.settle_network('w', n.network_id, c.token, true) s WHERE n.kind = 'bitcoind' ORDER BY 1;
	DELETE FROM coins;
	INSERT INTO coins SELECT c.token FROM reconciler.networks n, reconciler.claim_cursor('w', n.network_id, '1 min', '1 s') c WHERE n.kind = 'bitcoind';
END
$$;
SELECT mine(100, 7000, '[["m1", 0, "0014751e76e8199196d454941c45d1b3a323f1433bd6", 1000]]');
SELECT txid, late FROM reconciler.payments WHERE txid = 'm1';
SELECT reconciler.set_network('bitcoin', 'regtest', in_time => 'block');
SELECT * FROM settle_coins();
SELECT txid, late FROM reconciler.payments WHERE txid = 'm1';
SELECT reconciler.set_network('bitcoin', 'regtest', reset => '{in_time}');
SELECT * FROM settle_coins();
SELECT txid, late FROM reconciler.payments WHERE txid = 'm1';

-- A tip that is ahead of time ends nothing: the median of eleven blocks does
INSERT INTO bills (id, chain, network, address_canonical, expires_at) VALUES ('expiring', 'bitcoin', 'regtest', :'one', now() - interval '1 min');
UPDATE reconciler.queue SET look_back_due = false;
SELECT mine(h, h - 10000) FROM generate_series(101, 111) h;
SELECT mine(112, 7000);
SELECT * FROM settle_coins();
SELECT mine(h, 7000) FROM generate_series(113, 116) h;
SELECT * FROM settle_coins();
SELECT mine(117, 0);
SELECT * FROM settle_coins();

-- Nor does Esplora's: it says the median, or its tip is not trusted by two hours
SELECT reconciler.set_network('bitcoin', 'regtest', kind => 'esplora');
INSERT INTO bills (id, chain, network, address_canonical, expires_at) VALUES ('asked', 'bitcoin', 'regtest', :'one', now() - interval '1 min');
CREATE FUNCTION look(more jsonb) RETURNS TABLE (request_id text, to_status text, reason text) LANGUAGE sql AS $$
	SELECT s.request_id, s.to_status, s.reason FROM reconciler.networks n
	CROSS JOIN LATERAL (SELECT c.lo, c.token, jsonb_agg(jsonb_build_object('seq', c.seq, 'seen', '0', 'settled', '0')) AS found
						FROM reconciler.claim('w', n.network_id, -1, 10, '1 min', '1 s') c GROUP BY 1, 2) c
	CROSS JOIN LATERAL reconciler.settle('w', n.network_id, c.lo, c.token, jsonb_build_object('tip', jsonb_build_object('height', 200, 'hash', 'x', 'time', extract(epoch FROM now())::bigint) || more, 'requests', c.found)) s
	WHERE n.kind = 'esplora'
$$;
SELECT * FROM look('{}');
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT * FROM look(jsonb_build_object('median_time', extract(epoch FROM now())::bigint - 3600));
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT * FROM look(jsonb_build_object('median_time', extract(epoch FROM now())::bigint - 10));
DROP EXTENSION reconciler CASCADE;
DROP TABLE bills, clock, held, coins;
DROP FUNCTION address(int), at(numeric), claim(), read_block(text, text[]), read_blocks(text, int), undo(bigint), settle(), mine(int, int, jsonb), settle_coins(), look(jsonb);
