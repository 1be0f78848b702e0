-- The ledger of an EVM network, of which tokens are followed and the chain's own coin
-- isn't: who has which request, blocks that link by hash without work, forks A-B-A,
-- and what settings can be. No node: the protocol's functions are called by hand.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;

-- Settings, each for the kinds that have it
SELECT reconciler.add_network('bitcoin', 'x', kind => 'bitcoind', tokens => 'logs');
SELECT reconciler.add_network('ethereum', 'x', chain_id => 5, in_time => 'seen');
SELECT reconciler.add_network('ethereum', 'x', chain_id => 5, tokens => 'nonsense');
SELECT reconciler.add_network('ethereum', 'x', chain_id => 5, native => 'logs');
SELECT reconciler.add_network('ethereum', 'x', chain_id => 5, watch_after => '-1 s');
SELECT reconciler.add_network('ethereum', 'x', chain_id => 5, tip_interval => '1 ms');
SELECT reconciler.add_network('ethereum', 'x', chain_id => 5, quorum => 2);
SELECT reconciler.add_network('ethereum', 'main', chain_id => 5, confirmations => 3) AS net \gset
SELECT reconciler.add_network('bitcoin', 'regtest', kind => 'bitcoind') > 0 AS added;
SELECT network, tokens, native, traces, in_time, watch_after, tip_interval, quorum FROM reconciler.network_settings ORDER BY 1;
SELECT network, tokens, native, traces, tip_interval_ms, has_cursor, has_batches FROM reconciler.worker_networks('w') ORDER BY 1;

CREATE TABLE bills (id text PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'main', status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 1000, address_canonical text, token_contract text, expires_at timestamptz);
SELECT reconciler.attach('bills', allow_superuser_owner => true) > 0 AS attached;
CREATE FUNCTION address(i int) RETURNS text LANGUAGE sql AS $$ SELECT '0x' || lpad(to_hex(i), 40, 'a') $$;
INSERT INTO bills (id, address_canonical, token_contract)
SELECT k || i, address(i), CASE k WHEN 't' THEN address(4096) WHEN 'u' THEN address(8192) END
FROM unnest(ARRAY['t', 'u', 'n']) k, generate_series(1, 3) i;

-- All in batches; then tokens are followed; then the coin, too
SELECT count(*), count(key), bool_or(followed) FROM reconciler.queue;
SELECT count(*) FROM reconciler.claim('w', :net, -1, 100, '1 min', '1 s');
SELECT reconciler.set_network('ethereum', 'main', tokens => 'logs');
SELECT token_contract IS NOT NULL AS token, count(*), count(key), bool_or(followed), bool_or(look_back_due) FROM reconciler.queue GROUP BY 1 ORDER BY 1;
SELECT network, has_cursor, has_batches FROM reconciler.worker_networks('w') WHERE network = 'main';
INSERT INTO bills (id, address_canonical, token_contract) VALUES ('t4', address(4), address(4096)), ('n4', address(4), NULL);
SELECT request_id, followed, encode(key, 'hex') AS key FROM reconciler.queue WHERE request_id IN ('t4', 'n4') ORDER BY 1;
SELECT reconciler.release_leases('ethereum', 'main');
CREATE TABLE batch AS SELECT * FROM reconciler.claim('w', :net, -1, 100, '1 min', '1 s');
SELECT q.request_id FROM batch JOIN reconciler.queue q USING (seq) ORDER BY 1;

-- A batch's look says nothing of what is followed, though its numbers be named
SELECT outcome, request_id, to_status FROM reconciler.settle('w', :net, (SELECT lo FROM batch LIMIT 1), (SELECT token FROM batch LIMIT 1),
	jsonb_build_object('tip', jsonb_build_object('height', 100, 'hash', 'x', 'time', extract(epoch FROM now())::bigint), 'depth', jsonb_build_object('height', 98, 'hash', 'y'),
		'requests', (SELECT jsonb_agg(jsonb_build_object('seq', q.seq, 'seen', '1000', 'settled', '0')) FROM reconciler.queue q)))
ORDER BY 2;
-- Nor does a failed one end it
UPDATE reconciler.networks SET expiry_grace = '0' WHERE network_id = :net;
UPDATE bills SET expires_at = '2020-01-01';
DELETE FROM batch;
INSERT INTO batch SELECT * FROM reconciler.claim('w', :net, -1, 100, '1 min', '1 s');
SELECT count(*) FROM reconciler.settle('w', :net, (SELECT lo FROM batch LIMIT 1), (SELECT token FROM batch LIMIT 1), '{"failure": "it hangs"}');
SELECT left(id, 1) AS kind, status, count(*) FROM bills GROUP BY 1, 2 ORDER BY 1;
UPDATE bills SET expires_at = NULL;

-- What is asked of the chain
SELECT reconciler.follow_keys(:net, NULL, 2) AS key;
SELECT reconciler.follow_keys(:net, (SELECT max(k) FROM reconciler.follow_keys(:net, NULL, 2) k), 100) AS key;
SELECT * FROM reconciler.follow_tokens(:net) ORDER BY 1;

-- Blocks, which link by their hashes
CREATE TABLE held (token xid8);
CREATE FUNCTION claim() RETURNS TABLE (height bigint, hash text, best_work text) LANGUAGE sql AS $$
	DELETE FROM held;
	WITH c AS (SELECT c.* FROM reconciler.networks n, reconciler.claim_cursor('w', n.network_id, '1 min', '1 s') c WHERE n.network = 'main'),
		h AS (INSERT INTO held SELECT c.token FROM c)
	SELECT c.height, c.hash, c.best_work FROM c;
$$;
CREATE FUNCTION read_block(height bigint, branch text, previous text, credits jsonb DEFAULT '[]', more jsonb DEFAULT '{}') RETURNS int LANGUAGE sql AS $$
	SELECT reconciler.advance_cursor('w', n.network_id, h.token, '1 min',
		jsonb_build_object('height', height, 'hash', branch || height, 'previous', previous, 'time', extract(epoch FROM now())::bigint - 1000 + height) || more, credits)
	FROM reconciler.networks n, held h WHERE n.network = 'main';
$$;
-- Amounts to holder i of the first token: [[txid, ordinal, i, amount], …]
CREATE FUNCTION credits(VARIADIC of_holders text[]) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(jsonb_build_array(split_part(c, ' ', 1), split_part(c, ' ', 2)::int, ltrim(address(4096), '0x') || ltrim(address(split_part(c, ' ', 3)::int), '0x'),
		split_part(c, ' ', 4), 'token', address(99))) FROM unnest(of_holders) c
$$;
CREATE FUNCTION settle(depth jsonb DEFAULT NULL) RETURNS TABLE (request_id text, outcome text, to_status text, reason text) LANGUAGE sql AS $$
	SELECT s.request_id, s.outcome, s.to_status, s.reason FROM reconciler.networks n, held h, reconciler.settle_network('w', n.network_id, h.token, true, depth) s
	WHERE n.network = 'main' ORDER BY 1;
$$;
CREATE VIEW ledger AS SELECT request_id, chain, network, kind, txid, ordinal, sender, amount, block_height AS height, block_hash AS hash, gone_at IS NOT NULL AS gone
	FROM reconciler.payments ORDER BY payment_id;
SELECT * FROM claim();
SELECT requests FROM reconciler.begin_look_back('w', :net, (SELECT token FROM held), '1 min');
SELECT reconciler.end_look_back('w', :net, (SELECT token FROM held), '1 min', NULL);
SELECT read_block(10, 'a', 'a9', more => '{"work": "00"}');
SELECT read_block(10, 'a', 'a9', credits('x1 0 1 400', 'x1 1 1 600', 'x1 2 9 5', 'x2 0 2 999'));
SELECT read_block(12, 'a', 'a11');
SELECT read_block(11, 'a', 'b10');
SELECT read_block(11, 'a', 'a10', jsonb_build_array(jsonb_build_array(NULL, 0, ltrim(address(4096), '0x') || ltrim(address(3), '0x'), '1000', 'internal', NULL)));
SELECT * FROM ledger;
SELECT * FROM settle();

-- What is lower than what was read takes nothing back, nor does a chain of which no block was read
SELECT count(*) FROM claim();
SELECT reconciler.undo_blocks('w', :net, (SELECT token FROM held), '1 min', 10, NULL, 10);
SELECT reconciler.undo_blocks('w', :net, (SELECT token FROM held), '1 min', 10, NULL);
SELECT reconciler.undo_blocks('w', :net, (SELECT token FROM held), '1 min', 9, NULL, 20);
-- A to B: what B doesn't have has gone; what it has elsewhere is there
SELECT read_block(12, 'a', 'a11', credits('x3 0 2 1'));
SELECT reconciler.undo_blocks('w', :net, (SELECT token FROM held), '1 min', 10, NULL, 12);
SELECT * FROM ledger WHERE height > 10;
SELECT read_block(11, 'b', 'a10'), read_block(12, 'b', 'b11', credits('x3 0 2 1')), read_block(13, 'b', 'b12');
SELECT * FROM ledger WHERE height > 10;
SELECT * FROM settle();
-- And back to A
SELECT count(*) FROM claim();
SELECT reconciler.undo_blocks('w', :net, (SELECT token FROM held), '1 min', 10, NULL, 14);
SELECT read_block(11, 'a', 'a10', jsonb_build_array(jsonb_build_array(NULL, 0, ltrim(address(4096), '0x') || ltrim(address(3), '0x'), '1000', 'internal', NULL))),
	read_block(12, 'a', 'a11', credits('x3 0 2 1')), read_block(13, 'a', 'a12'), read_block(14, 'a', 'a13');
SELECT * FROM ledger WHERE height > 10;
SELECT * FROM settle();
\set VERBOSITY terse
-- A lease that was given back writes nothing
SELECT reconciler.advance_cursor('w', :net, (SELECT token FROM held), '1 min', '{"height": 15, "hash": "a15", "previous": "a14", "time": 1}', '[]');
\set VERBOSITY default

-- Settled at the block with a tag: no sooner, and by no other block's hash
SELECT reconciler.set_network('ethereum', 'main', block_tag => 'finalized');
INSERT INTO bills (id, address_canonical, token_contract) VALUES ('t5', address(5), address(4096));
UPDATE reconciler.queue SET look_back_due = false;
SELECT count(*) FROM claim();
SELECT read_block(15, 'a', 'a14', credits('x5 0 5 1000')), read_block(16, 'a', 'a15'), read_block(17, 'a', 'a16'), read_block(18, 'a', 'a17');
SELECT * FROM settle();
SELECT count(*) FROM claim();
SELECT * FROM settle('{"height": 15, "hash": "b15"}');
SELECT * FROM settle('{"height": 14, "hash": "a14"}');
SELECT count(*) FROM claim();
SELECT * FROM settle('{"height": 15, "hash": "a15"}');
SELECT request_id, block_height, block_hash FROM reconciler.transitions WHERE request_id = 't5' ORDER BY transition_id;

-- Not followed any more: all are in batches again
SELECT reconciler.set_network('ethereum', 'main', reset => '{tokens}');
SELECT count(*), count(key), bool_or(followed) FROM reconciler.queue WHERE network_id = :net;
SELECT count(*) FROM claim();

-- Removed and registered again: a credit pays nobody else, and counts when it is read anew
SELECT reconciler.remove_network('ethereum', 'main');
SELECT reconciler.add_network('ethereum', 'main', chain_id => 5, confirmations => 3, tokens => 'logs') AS net \gset
INSERT INTO bills (id, address_canonical, token_contract, expected_amount_minor) VALUES ('t1 again', address(1), address(4096), 10);
SELECT count(*) FROM claim();
UPDATE reconciler.queue SET look_back_due = false;
SELECT read_block(10, 'a', 'a9', credits('x1 0 1 400', 'x1 1 1 600', 'x2 0 2 999', 'x3 0 2 1', 'x6 0 1 10'));
SELECT p.request_id, p.txid, p.ordinal, p.amount, p.network_id = :net AS rehomed FROM reconciler.payments p WHERE p.block_height = 10 ORDER BY 2, 3;
SELECT * FROM settle();
DROP EXTENSION reconciler CASCADE;
DROP TABLE bills, batch, held;
DROP FUNCTION address(int), claim(), read_block(bigint, text, text, jsonb, jsonb), credits(text[]), settle(jsonb);
