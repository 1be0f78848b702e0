-- Columns for what came of a request: written with each status, and never in its way.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
CREATE ROLE regress_reconciler_results;
CREATE SCHEMA r AUTHORIZATION regress_reconciler_results;
SELECT reconciler.grant_app('regress_reconciler_results');
SELECT reconciler.add_network('ethereum', 'mainnet', chain_id => 1) AS net \gset
SET ROLE regress_reconciler_results;
CREATE DOMAIN r.positive AS numeric CHECK (VALUE > 0);
CREATE TABLE r.r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'mainnet',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', updated_at timestamptz,
	received_amount_minor numeric(6, 2), big bigint NOT NULL DEFAULT 0, narrow numeric(4), words text, word varchar(5), domained r.positive,
	paid_at timestamptz, paid timestamp, tx text, made text GENERATED ALWAYS AS (network) STORED);
-- Columns of these names are the application's, unless the mapping says so
SELECT reconciler.attach('r.r') > 0 AS attached;
RESET ROLE;
SELECT columns ? 'paid_at' OR columns ? 'received_amount_minor' AS mapped FROM reconciler.sources;
SELECT reconciler.detach('r.r');
SET ROLE regress_reconciler_results;
-- What can't be one
SELECT reconciler.attach('r.r', '{"received_amount_minor": "big"}');
SELECT reconciler.attach('r.r', '{"received_amount_minor": "domained"}');
SELECT reconciler.attach('r.r', '{"received_amount_minor": {"column": "received_amount_minor", "decimals": 3}}');
SELECT reconciler.attach('r.r', '{"received_amount_minor": "expected_amount_minor"}');
SELECT reconciler.attach('r.r', '{"paid_at": "updated_at"}');
SELECT reconciler.attach('r.r', '{"paid_at": "paid"}');
SELECT reconciler.attach('r.r', '{"transaction_id": "made"}');
SELECT reconciler.attach('r.r', '{"transaction_id": "status"}');
SELECT reconciler.attach('r.r', '{"transaction_id": "=0x1"}');
ALTER TABLE r.r ALTER big DROP NOT NULL;
-- Sets statuses as settle does it
RESET ROLE;
CREATE FUNCTION set_status(source int, id text, to_status text, seen numeric) RETURNS TABLE (request_id text, status text) LANGUAGE sql AS $$
	SELECT s.* FROM reconciler._set_status($1, ARRAY(
		SELECT ROW(NULL, r.request_id, r.status, $3, NULL, $4, $4, r.expires_at, r.held)::reconciler._change
		FROM reconciler._lock_open($1, ARRAY[$2]) AS r), 5000) AS s
$$;
CREATE FUNCTION attach_with(received jsonb) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM reconciler.detach(s.relation) FROM reconciler.sources AS s;
	DELETE FROM r.r;
	INSERT INTO r.r (id) VALUES (1), (2), (3);
	RETURN reconciler.attach('r.r', received || '{"paid_at": {"column": "paid", "zone": "Asia/Tokyo"}, "transaction_id": "word"}');
END $$;
SELECT attach_with('{"received_amount_minor": {"column": "received_amount_minor", "decimals": 2}}') AS source \gset
INSERT INTO reconciler.payments (network_id, source_id, source, request_id, chain, network, kind, txid, ordinal, key, amount, block_height, block_hash, block_time, gone_at) VALUES
	(:net, :source, 'r.r', '1', 'ethereum', 'mainnet', 'native', '0x1', 0, '\x00', 60, 10, '0xb1', '2030-01-01 10:00+00', NULL),
	(:net, :source, 'r.r', '1', 'ethereum', 'mainnet', 'native', '0x2', 0, '\x00', 40, 12, '0xb2', '2030-01-01 12:00+00', NULL),
	(:net, :source, 'r.r', '1', 'ethereum', 'mainnet', 'native', '0x3', 0, '\x00', 40, NULL, NULL, NULL, now()),
	(:net, :source, 'r.r', '3', 'ethereum', 'mainnet', 'native', '0x4567', 0, '\x00', 40, 12, '0xb2', '2030-01-01 12:00+00', NULL);
SELECT * FROM set_status(:source, '1', 'detected', 60);
SELECT id, status, received_amount_minor, paid, word FROM r.r WHERE id = 1;
SELECT * FROM set_status(:source, '1', 'confirmed', 100);
SELECT * FROM set_status(:source, '2', 'confirmed', 999999);
SELECT * FROM set_status(:source, '3', 'confirmed', 1000000);
SELECT id, status, received_amount_minor, paid, word, updated_at IS NOT NULL AS touched FROM r.r ORDER BY id;
-- One that a transaction has changed meanwhile gets nothing
UPDATE r.r SET status = 'cancelled', received_amount_minor = NULL WHERE id = 2;
SELECT array_agg(ROW(NULL, '2', 'pending', 'confirmed', NULL, 5, 5, NULL, ARRAY['pending', 'ethereum', 'mainnet', '0x00000000000000000000000000000000000000aa', NULL, '100'])::reconciler._change) AS changes \gset
SELECT * FROM reconciler._set_status(:source, :'changes', 5000);
SELECT status, received_amount_minor FROM r.r WHERE id = 2;
SELECT * FROM reconciler._set_status(:source, '{}', 5000);
SELECT attach_with('{"received_amount_minor": "big"}') AS source \gset
SELECT * FROM set_status(:source, '1', 'confirmed', 9223372036854775807);
SELECT * FROM set_status(:source, '2', 'confirmed', 9223372036854775808);
SELECT id, status, big FROM r.r ORDER BY id;
SELECT attach_with('{"received_amount_minor": "words"}') AS source \gset
SELECT * FROM set_status(:source, '1', 'confirmed', 115792089237316195423570985008687907853269984665640564039457584007913129639935);
SELECT id, status, words FROM r.r WHERE id = 1;
SELECT attach_with('{"received_amount_minor": {"column": "words", "decimals": 18}}') AS source \gset
SELECT * FROM set_status(:source, '1', 'confirmed', 115792089237316195423570985008687907853269984665640564039457584007913129639935);
SELECT * FROM set_status(:source, '2', 'confirmed', 1);
SELECT id, status, words FROM r.r ORDER BY id;
SELECT attach_with('{"received_amount_minor": "narrow"}') AS source \gset
-- A column that becomes narrower, or wider
ALTER TABLE r.r ALTER narrow TYPE numeric(2);
SELECT * FROM set_status(:source, '1', 'confirmed', 100);
ALTER TABLE r.r ALTER narrow TYPE numeric(3);
SELECT * FROM set_status(:source, '2', 'confirmed', 100);
SELECT id, status, narrow FROM r.r ORDER BY id;
ALTER TABLE r.r ALTER narrow TYPE boolean USING true;
ALTER TABLE r.r DROP COLUMN narrow;
ALTER TABLE r.r ALTER narrow SET NOT NULL;
-- With a word for detected left out, the rows are written when they say something new
SELECT reconciler.detach('r.r');
DELETE FROM r.r;
INSERT INTO r.r (id) VALUES (4);
SELECT reconciler.attach('r.r', '{"received_amount_minor": "words"}', statuses => '{"detected": null}') AS source \gset
SELECT * FROM set_status(:source, '4', 'detected', 100);
SELECT id, status, words FROM r.r;
SELECT * FROM set_status(:source, '4', 'confirmed', 100);
SELECT id, status, words FROM r.r;
SET client_min_messages = warning;
DROP SCHEMA r CASCADE;
DROP FUNCTION set_status, attach_with;
DROP EXTENSION reconciler;
DROP ROLE regress_reconciler_results;
