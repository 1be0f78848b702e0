-- What was asked for and what came of it: the view requests, and result columns, on a chain
-- that is followed and on one that is asked. No node.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'main', chain_id => 5, confirmations => 2, tokens => 'logs') AS net \gset
CREATE ROLE regress_reconciler_reader;
CREATE ROLE regress_reconciler_nobody;
SELECT reconciler.grant_app('regress_reconciler_reader'), reconciler.grant_app('regress_reconciler_nobody');
CREATE TABLE bills (id text PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'main', status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 1000, address_canonical text, token_contract text, expires_at timestamptz,
	got numeric, paid_at timestamptz, tx text);
GRANT SELECT ON bills TO regress_reconciler_reader;
SELECT reconciler.attach('bills', '{"received_amount_minor": "got", "paid_at": "paid_at", "transaction_id": "tx"}', allow_superuser_owner => true) > 0 AS attached;
CREATE FUNCTION address(i int) RETURNS text LANGUAGE sql AS $$ SELECT '0x' || lpad(to_hex(i), 40, 'a') $$;
INSERT INTO bills (id, address_canonical, token_contract, expires_at)
SELECT k, address(i::int), address(4096), '2030-01-01 00:00:30+00' FROM unnest(ARRAY['none', 'partial', 'exact', 'over', 'late']) WITH ORDINALITY AS u(k, i);
INSERT INTO bills (id, address_canonical, expected_amount_minor) VALUES ('coin', address(1), 500), ('any', address(2), NULL);
UPDATE reconciler.queue SET look_back_due = false;
SELECT c.token FROM reconciler.claim_cursor('w', :net, '1 min', '1 s') c \gset
-- Blocks of ten seconds
CREATE FUNCTION credit(txid text, holder int, amount int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_array(txid, 0, ltrim(address(4096), '0x') || ltrim(address(holder), '0x'), amount::text, 'token', address(99)) $$;
CREATE FUNCTION block(h int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('height', h, 'hash', 'a' || h, 'previous', 'a' || h - 1, 'time', extract(epoch FROM timestamptz '2030-01-01 00:00:00+00')::bigint + h * 10) $$;
SELECT reconciler.advance_cursor('w', :net, :'token', '1 min', block(1), jsonb_build_array(credit('x1', 2, 600), credit('x2', 3, 400), credit('x3', 4, 900)));
SELECT reconciler.advance_cursor('w', :net, :'token', '1 min', block(2), jsonb_build_array(credit('x4', 3, 600), credit('x5', 4, 200)));
SELECT reconciler.advance_cursor('w', :net, :'token', '1 min', block(3), jsonb_build_array(credit('x6', 4, 50)));
SELECT reconciler.advance_cursor('w', :net, :'token', '1 min', block(4), jsonb_build_array(credit('x7', 5, 1000), credit('x8', 2, 400)));
SELECT request_id, to_status, reason FROM reconciler.settle_network('w', :net, :'token', true) ORDER BY 1;
SELECT lo, token FROM reconciler.claim('w', :net, -1, 10, '1 min', '1 s') LIMIT 1 \gset
SELECT outcome, request_id, to_status FROM reconciler.settle('w', :net, :lo, :'token', jsonb_build_object('tip', jsonb_build_object('height', 5, 'hash', 'x', 'time', extract(epoch FROM now())::bigint),
	'depth', jsonb_build_object('height', 4, 'hash', 'y'), 'requests', (SELECT jsonb_agg(jsonb_build_object('seq', q.seq, 'seen', '450', 'settled', '200')) FROM reconciler.queue q WHERE NOT q.followed)));
SET timezone = 'UTC';
SELECT request_id, status, expected, received, settled, missing, excess, amount_state, payments, late_amount, watched_until IS NOT NULL AS watched FROM reconciler.requests ORDER BY 1;
SELECT source, request_id, chain, network, to_char(expires_at, 'SS') AS expires, to_char(first_paid_at, 'SS') AS first, to_char(last_paid_at, 'SS') AS last
FROM reconciler.requests WHERE request_id IN ('exact', 'over', 'partial') ORDER BY 2;
-- What made it enough, and not what came after it
SELECT id, status, got, to_char(paid_at, 'SS') AS paid, tx FROM bills ORDER BY 1;
SELECT reconciler.follow_among(:net, jsonb_build_array(credit('', 3, 0) -> 2, credit('', 9, 0) -> 2)) = credit('', 3, 0) ->> 2 AS watched;
-- For who may read the table
SET ROLE regress_reconciler_reader;
SELECT count(*) FROM reconciler.requests;
SET ROLE regress_reconciler_nobody;
SELECT count(*) FROM reconciler.requests;
RESET ROLE;
ALTER TABLE bills ENABLE ROW LEVEL SECURITY;
SET ROLE regress_reconciler_reader;
SELECT count(*) FROM reconciler.requests;
RESET ROLE;
SELECT reconciler.revoke_app('regress_reconciler_reader');
SELECT has_table_privilege('regress_reconciler_reader', 'reconciler.requests', 'SELECT') AS still;
DROP EXTENSION reconciler CASCADE;
DROP TABLE bills;
DROP FUNCTION address(int), credit(text, int, int), block(int);
DROP ROLE regress_reconciler_reader, regress_reconciler_nobody;
