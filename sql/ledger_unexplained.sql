-- A gain that no transaction explains, and transactions that explain it: the same money, told by two endpoints
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'main', chain_id => 5, confirmations => 3, tokens => 'logs', native => 'blocks') AS net \gset
CREATE TABLE bills (id text PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'main', status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 100000, address_canonical text, token_contract text, expires_at timestamptz, created_at timestamptz DEFAULT '2020-01-01');
SELECT reconciler.attach('bills', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO bills (id, address_canonical, token_contract) VALUES
	('token', '0x' || repeat('a1', 20), '0x' || repeat('c1', 20)), ('coin', '0x' || repeat('a2', 20), NULL);
CREATE FUNCTION credit(key text, txid text, ordinal int, amount int, kind text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_array(jsonb_build_array(txid, ordinal, key, amount, kind, CASE WHEN txid IS NOT NULL THEN '0x' || repeat('b1', 20) END))
$$;
CREATE FUNCTION taken(hash text, VARIADIC credits jsonb[]) RETURNS SETOF int LANGUAGE sql AS $$
	SELECT reconciler._match_credits(n, c, 100, hash, now(), false) FROM reconciler.networks n, unnest(credits) c WHERE n.network = 'main'
$$;
\set token 'c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1'
\set coin '0000000000000000000000000000000000000000a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2'

-- By balances first, then by events; and the other way round in another block
SELECT taken('h1', credit(:'token', NULL, 0, 30, 'internal'), credit(:'token', 't1', 0, 10, 'token'), credit(:'token', 't2', 0, 20, 'token'));
SELECT taken('h2', credit(:'token', 't3', 0, 10, 'token'), credit(:'token', 't3', 1, 20, 'token'), credit(:'token', NULL, 0, 30, 'internal'));

-- What a transaction pays and what a contract does are two things; a trace and a balance of the latter are one
SELECT taken('h3', credit(:'coin', 't4', 0, 5, 'native'), credit(:'coin', NULL, 0, 7, 'internal'), credit(:'coin', 't5', 0, 7, 'internal'));
SELECT taken('h4', credit(:'coin', 't6', 0, 5, 'native'), credit(:'coin', 't7', 0, 7, 'internal'), credit(:'coin', NULL, 0, 7, 'internal'));
SELECT request_id, block_hash, sum(amount), string_agg(kind || ' ' || coalesce(txid, '-'), ', ' ORDER BY payment_id) FROM reconciler.payments GROUP BY 1, 2 ORDER BY 2;
DROP EXTENSION reconciler CASCADE;
DROP TABLE bills;
