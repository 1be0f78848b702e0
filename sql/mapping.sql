-- Mappings that say more than a column's name: decimals, zones, keys of several columns, constants, none.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
CREATE ROLE regress_reconciler_tenant;
CREATE SCHEMA m AUTHORIZATION regress_reconciler_tenant;
SELECT reconciler.grant_app('regress_reconciler_tenant');
SELECT reconciler.add_network('ethereum', 'mainnet', chain_id => 1) > 0 AS added;
CREATE VIEW queued AS SELECT request_id, status, expected, expires_at AT TIME ZONE 'UTC' AS expires_at, invalid FROM reconciler.queue ORDER BY seq;
SET ROLE regress_reconciler_tenant;
-- What is no mapping
CREATE TABLE m.r (tenant text, no bigint, status text DEFAULT 'pending', amount numeric(40,20), pay_to text, due timestamp, made timestamp,
	touched timestamp, PRIMARY KEY (tenant, no));
SELECT reconciler.attach('m.r', '{"status": ["status", "pay_to"]}');
SELECT reconciler.attach('m.r', '{"id": []}');
SELECT reconciler.attach('m.r', '{"id": ["no", "no"]}');
SELECT reconciler.attach('m.r', '{"id": ["no", "=5"]}');
SELECT reconciler.attach('m.r', '{"id": {"column": "no"}}');
SELECT reconciler.attach('m.r', '{"expected_amount_minor": {"column": "amount", "decimals": 78}}');
SELECT reconciler.attach('m.r', '{"expected_amount_minor": {"column": "amount", "decimals": -1}}');
SELECT reconciler.attach('m.r', '{"expected_amount_minor": {"column": "amount", "zone": "UTC"}}');
SELECT reconciler.attach('m.r', '{"expected_amount_minor": {"decimals": 18}}');
SELECT reconciler.attach('m.r', '{"expires_at": {"column": "due", "zone": "Atlantis"}}');
-- What it would take, told step by step
SELECT reconciler.attach('m.r', '{"id": "no", "address_canonical": "pay_to", "chain": "=ethereum", "network": "=mainnet", "expected_amount_minor": "amount", "expires_at": "due"}');
SELECT reconciler.attach('m.r', '{"id": ["tenant", "no"], "address_canonical": "pay_to", "chain": "=ethereum", "network": "=mainnet",
	"expected_amount_minor": {"column": "amount", "decimals": 18}, "expires_at": {"column": "due", "zone": "Europe/Berlin"},
	"created_at": {"column": "made", "zone": "Europe/Berlin"}, "updated_at": {"column": "touched", "zone": "Asia/Tokyo"}}') > 0 AS attached;
RESET ROLE;
SELECT columns, arguments FROM reconciler.sources;
INSERT INTO m.r (tenant, no, amount, pay_to, due, made) VALUES
	('acme', 1, 1.5, '0x00000000000000000000000000000000000000aa', '2100-07-01 12:00', '2030-01-01'),
	('a/b%c', 2, 0.000000000000000001, '0x00000000000000000000000000000000000000ab', '2100-01-01 12:00', '2030-01-01'),
	('', 3, 0.0000000000000000005, '0x00000000000000000000000000000000000000ac', 'infinity', '2030-01-01'),
	('acme', 4, 0, '0x00000000000000000000000000000000000000ad', '294276-12-31', '2030-01-01'),
	('acme', 5, NULL, '0x00000000000000000000000000000000000000ae', NULL, '2030-01-01'),
	('acme', 6, -1, '0x00000000000000000000000000000000000000af', NULL, '2030-01-01');
SELECT * FROM queued;
SELECT reconciler._resync(1);
SELECT request_id, created_at AT TIME ZONE 'UTC' AS created_at FROM reconciler._created_at(1, '{acme/1,a%2Fb%25c/2,/3,x/9}') ORDER BY 1;
-- Every function takes the id as text, and both columns' index
SELECT * FROM reconciler._status_of(1, '{acme/1,a%2Fb%25c/2,/3,acme/2}') ORDER BY 1;
SELECT request_id, status, held FROM reconciler._lock_open(1, '{acme/1,a%2Fb%25c/2,/3,acme/1}') ORDER BY 1;
SELECT array_agg(ROW(NULL, r.request_id, r.status, 'confirmed', NULL, NULL, NULL, r.expires_at, r.held)::reconciler._change ORDER BY r.request_id) AS changes
FROM reconciler._lock_open(1, '{acme/1,a%2Fb%25c/2}') AS r \gset
SELECT * FROM reconciler._set_status(1, :'changes', 5000) ORDER BY 1;
SELECT tenant, no, status, abs(extract(epoch FROM touched - timezone('Asia/Tokyo', now()))) < 60 AS in_tokyo FROM m.r WHERE status = 'confirmed' ORDER BY 1;
UPDATE m.r SET due = '2101-01-01' WHERE no = 3;
-- an expiry that isn't the row's any more
SELECT array_agg(ROW(NULL, r.request_id, r.status, 'expired', NULL, NULL, NULL, r.expires_at, r.held)::reconciler._change) AS changes
FROM reconciler._lock_open(1, '{/3}') AS r \gset
UPDATE m.r SET due = '2100-01-01' WHERE no = 3;
SELECT * FROM reconciler._set_status(1, :'changes', 5000);
UPDATE m.r SET due = '2101-01-01' WHERE no = 3;
SELECT * FROM reconciler._set_status(1, :'changes', 5000);
SELECT * FROM reconciler.explain('m.r', 'acme/5') LIMIT 1;
SELECT * FROM reconciler.explain('m.r', 'acme');
SELECT * FROM reconciler.explain('m.r', 'acme/x');
SELECT * FROM reconciler.explain('m.r', 'acme/5/5');
SELECT * FROM reconciler.explain('m.r', 'acme/99');
SELECT reconciler.reopen('m.r', 'a%2Fb%25c/2');
SELECT tenant, no, status FROM m.r WHERE no = 2;
UPDATE m.r SET tenant = 'other' WHERE no = 2;
SELECT request_id FROM queued WHERE request_id LIKE '%2';
DELETE FROM m.r WHERE no = 2;
SELECT request_id FROM queued;
DO $$
DECLARE
	line text;
	plan text := '';
BEGIN
	INSERT INTO m.r (tenant, no) SELECT 't' || i % 10, i FROM generate_series(100, 3000) AS i;
	ANALYZE m.r;
	FOR line IN EXPLAIN (COSTS OFF) SELECT FROM ONLY m.r AS t WHERE EXISTS (SELECT FROM unnest('{acme/1,acme/5}'::text[]) AS u (id)
		WHERE t.tenant OPERATOR(pg_catalog.=) replace(replace(split_part(u.id, '/', 1), '%2F', '/'), '%25', '%')::text
			AND t.no OPERATOR(pg_catalog.=) replace(replace(split_part(u.id, '/', 2), '%2F', '/'), '%25', '%')::bigint) FOR UPDATE SKIP LOCKED
	LOOP
		plan := plan || line || E'\n';
	END LOOP;
	RAISE NOTICE 'by the key: %', plan LIKE '%r_pkey%' AND plan LIKE '%Index Cond: ((tenant = %AND (no = %';
END $$;
-- The key, and the columns, must stay
ALTER TABLE m.r RENAME COLUMN tenant TO customer;
ALTER TABLE m.r DROP CONSTRAINT r_pkey;
SELECT reconciler.detach('m.r');
DROP TABLE m.r;
-- Decimals from text and from whole numbers; as many as there are
SET ROLE regress_reconciler_tenant;
CREATE TABLE m.t (id uuid PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'mainnet',
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', amount text, expires_at timestamptz);
SELECT reconciler.attach('m.t', '{"expected_amount_minor": {"column": "amount", "decimals": 6}, "expires_at": {"column": "expires_at", "zone": "UTC"}}');
SELECT reconciler.attach('m.t', '{"expected_amount_minor": {"column": "amount", "decimals": 6}, "expires_at": null}') > 0 AS attached;
RESET ROLE;
INSERT INTO m.t (id, amount) SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, a FROM unnest(ARRAY[
	'1', '0001.5', '1.', '.5', '1.2345678', '1.2345670000', '0.000001', '0.0000001', '0.000', '1e3', 'NaN', '', ' 1', '1,5',
	'115792089237316195423570985008687907853269984665640564039457584007913129.639935',
	'115792089237316195423570985008687907853269984665640564039457584007913129.639936']) WITH ORDINALITY AS x (a, i);
SELECT amount, expected, invalid FROM m.t LEFT JOIN reconciler.queue AS q ON q.request_id = t.id::text ORDER BY id;
SELECT * FROM reconciler.explain('m.t', '5');
SELECT * FROM reconciler.explain('m.t', '00000000-0000-0000-0000-00000000000g');
SELECT * FROM reconciler.explain('m.t', '00000000000000000000000000000001') LIMIT 1;
DROP TABLE m.t;
SET client_min_messages = warning;
DROP SCHEMA m CASCADE;
DROP VIEW queued;
DROP EXTENSION reconciler;
DROP ROLE regress_reconciler_tenant;
