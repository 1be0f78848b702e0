-- Attaching and detaching tables: columns, types, rights, traces.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
-- Sets statuses as settle does it
CREATE FUNCTION set_status(source int, ids text[], from_status text[], to_status text[])
RETURNS TABLE (request_id text, status text) LANGUAGE sql AS $$
	SELECT s.* FROM reconciler._set_status($1, ARRAY(
		SELECT ROW(NULL, c.id, c.from_status, c.to_status, NULL, NULL, NULL, r.expires_at, r.held)::reconciler._change
		FROM ROWS FROM (unnest($2), unnest($3), unnest($4)) AS c(id, from_status, to_status)
		LEFT JOIN reconciler._lock_open($1, $2) AS r ON r.request_id = c.id), 5000) AS s
$$;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) > 0 AS added;

-- All that the catalogs hold of a table
CREATE FUNCTION definition_of(relation regclass) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(E'\n',
		(SELECT c::text FROM (SELECT relname, relowner, relkind, relhastriggers AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation) AS triggers,
			relacl, reloptions, relrowsecurity, relreplident FROM pg_class WHERE oid = relation) c),
		(SELECT string_agg(a::text, E'\n' ORDER BY a.attnum) FROM pg_attribute a WHERE attrelid = relation),
		(SELECT string_agg(pg_get_constraintdef(oid), E'\n' ORDER BY conname) FROM pg_constraint WHERE conrelid = relation),
		(SELECT string_agg(pg_get_indexdef(indexrelid), E'\n' ORDER BY indexrelid) FROM pg_index WHERE indrelid = relation),
		(SELECT string_agg(pg_get_triggerdef(oid), E'\n' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = relation),
		(SELECT string_agg(d::text, E'\n' ORDER BY d::text) FROM pg_depend d WHERE refobjid = relation AND refclassid = 'pg_class'::regclass AND deptype <> 'i'))
$$;

-- A table with other names, wider types, an enum, and requests in it
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('draft', 'pending', 'detected', 'confirmed', 'expired', 'cancelled');
CREATE DOMAIN shop.amount AS numeric CHECK (VALUE >= 0);
CREATE TABLE shop.invoices (no bigint PRIMARY KEY, state shop.state NOT NULL, chain varchar(20), net varchar(20), amount shop.amount,
	pay_to varchar(64), token text, due timestamptz, made timestamp, "Touched At" timestamptz, note jsonb);
CREATE TRIGGER own AFTER INSERT ON shop.invoices FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER TABLE shop.invoices DISABLE TRIGGER own;
INSERT INTO shop.invoices
SELECT i, CASE WHEN i % 3 = 0 THEN 'confirmed' WHEN i % 3 = 1 THEN 'pending' ELSE 'detected' END::shop.state, 'ethereum', 'local', i * 100,
	'0xaa' || lpad(i::text, 38, '0'), NULL, NULL, timestamp '2030-01-01' - i * interval '1 day'
FROM generate_series(1, 6) i;
SELECT definition_of('shop.invoices') AS before \gset

-- What is missing or wrong, each by name, with a call that could work
SELECT reconciler.attach('shop.invoices');
SELECT reconciler.attach('shop.invoices', '{"id": "no", "status": "state", "network": "net", "expected_amount_minor": "note", "address_canonical": "pay_too"}');
SELECT reconciler.attach('shop.invoices', '{"iid": "no"}');
SELECT reconciler.attach('shop.invoices', '{"id": 5}');
SELECT reconciler.attach('shop.invoices', '[]');
SELECT reconciler.attach('shop.invoices', NULL);
SELECT reconciler.attach('shop.invoices', '{"id": null}');
SELECT reconciler.attach('shop.invoices', '{"id": "=1", "status": "state", "network": "net", "expected_amount_minor": "amount", "address_canonical": "pay_to"}');
SELECT reconciler.attach('shop.invoices', '{"id": "no", "status": "state", "network": "net", "expected_amount_minor": "amount", "address_canonical": "pay_to", "expires_at": "made"}');
SELECT definition_of('shop.invoices') = :'before' AS untouched;

-- Right: the open ones are taken, the oldest first
SELECT reconciler.attach('shop.invoices', '{"id": "no", "status": "state", "network": "net", "expected_amount_minor": "amount",
	"address_canonical": "pay_to", "token_contract": "token", "expires_at": "due", "created_at": "made", "updated_at": "Touched At"}', true) > 0 AS attached;
SELECT request_id, status, expected, address FROM reconciler.queue ORDER BY seq;
SELECT columns FROM reconciler.sources;
SELECT reconciler.attach('shop.invoices');

-- Statuses are set with the table's own types, and the time of it
SELECT source_id AS source FROM reconciler.sources \gset
SELECT * FROM set_status(:source, '{1,2,4,99}', '{pending,pending,pending,pending}', '{detected,detected,confirmed,expired}') ORDER BY 1;
SELECT no, state, "Touched At" IS NOT NULL AS touched FROM shop.invoices ORDER BY no;
SELECT request_id, status FROM reconciler.queue ORDER BY request_id;

-- Changes that would break it are refused, others are not
ALTER TABLE shop.invoices RENAME COLUMN net TO network;
ALTER TABLE shop.invoices DROP COLUMN pay_to CASCADE;
-- (How PostgreSQL words its own detail differs between versions)
\set VERBOSITY terse
ALTER TABLE shop.invoices ALTER COLUMN amount TYPE text;
\set VERBOSITY default
BEGIN;
DROP TRIGGER reconciler_update ON shop.invoices;
ROLLBACK;
ALTER TABLE shop.invoices RENAME COLUMN note TO remark;
ALTER TABLE shop.invoices RENAME TO bills;
INSERT INTO shop.bills (no, state, chain, net, amount, pay_to) VALUES (7, 'pending', 'ethereum', 'local', 7, '0x00000000000000000000000000000000000000aa');
SELECT count(*) FROM reconciler.queue WHERE request_id = '7';
ALTER TABLE shop.bills RENAME TO invoices;
ALTER TABLE shop.invoices RENAME COLUMN remark TO note;

-- Gone without a trace
SELECT reconciler.detach('shop.invoices');
SELECT definition_of('shop.invoices') = :'before' AS untouched;
SELECT (SELECT count(*) FROM reconciler.sources) AS sources, (SELECT count(*) FROM reconciler.queue) AS queued;
SELECT reconciler.detach('shop.invoices');

-- A table without chain and network: constants
CREATE TABLE tips (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), status text DEFAULT 'pending', expected_amount_minor bigint, address_canonical text);
SELECT reconciler.attach('tips', '{"chain": "=''ethereum''", "network": "=local"}', true) > 0 AS attached;
INSERT INTO tips (expected_amount_minor, address_canonical) VALUES (3, '0x00000000000000000000000000000000000000aa');
SELECT n.chain, n.network, q.expected FROM reconciler.queue q JOIN reconciler.networks n USING (network_id);

-- A dropped table is forgotten
DROP TABLE tips;
SELECT (SELECT count(*) FROM reconciler.sources) AS sources, (SELECT count(*) FROM reconciler.queue) AS queued;

-- What can't be a source
CREATE VIEW v AS SELECT 1;
SELECT reconciler.attach('v');
CREATE TEMP TABLE t (LIKE shop.invoices);
SELECT reconciler.attach('t');
SELECT reconciler.attach(NULL);
SELECT reconciler.attach(1::regclass);
CREATE TABLE nokey (id int, status text, chain text, network text, expected_amount_minor numeric, address_canonical text);
SELECT reconciler.attach('nokey');
ALTER TABLE nokey ADD UNIQUE (id);
SELECT reconciler.attach('nokey');
ALTER TABLE nokey ALTER COLUMN id SET NOT NULL;
CREATE TABLE child () INHERITS (nokey);
SELECT reconciler.attach('nokey');
DROP TABLE child;
SELECT reconciler.attach('nokey', allow_superuser_owner => true) > 0 AS attached;
-- its children's rows would be no part of it
CREATE TABLE child () INHERITS (nokey);
INSERT INTO child VALUES (1, 'pending', 'ethereum', 'local', 1, '0x00000000000000000000000000000000000000aa');
SELECT reconciler.resync('nokey') AS found;
DROP TABLE nokey CASCADE;
CREATE TYPE poor AS ENUM ('pending', 'confirmed', 'expired');
CREATE TABLE nolabel (id int PRIMARY KEY, status poor, chain text, network text, expected_amount_minor numeric, address_canonical text);
SELECT reconciler.attach('nolabel');
CREATE TABLE inexact (id int PRIMARY KEY, status text, chain text, network text, expected_amount_minor double precision, address_canonical text);
SELECT reconciler.attach('inexact');

-- Partitioned tables: partitions now and later, updates that move rows between them
CREATE TABLE parts (id int, region text, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 1, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', PRIMARY KEY (id, region))
	PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
INSERT INTO parts VALUES (1, 'eu');
SELECT reconciler.attach('parts_eu');
SELECT definition_of('parts') AS before, definition_of('parts_eu') AS eu_before \gset
SELECT reconciler.attach('parts', allow_superuser_owner => true) > 0 AS attached;
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
INSERT INTO parts VALUES (2, 'us'), (3, 'eu');
UPDATE parts SET region = 'us' WHERE id = 3;
UPDATE parts_us SET status = 'cancelled' WHERE id = 2;
SELECT request_id, status FROM reconciler.queue ORDER BY request_id;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE 'reconciler%' ORDER BY 1, 2;
SELECT max(source_id) AS source FROM reconciler.sources \gset
SELECT * FROM set_status(:source, '{1,3}', '{pending,pending}', '{confirmed,expired}') ORDER BY 1;
SELECT * FROM parts ORDER BY id;
SELECT reconciler.resync('parts') AS found;
-- a partition that leaves takes no trigger along
ALTER TABLE parts DETACH PARTITION parts_us;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'parts_us'::regclass;
SELECT reconciler.detach('parts');
SELECT definition_of('parts') = :'before' AS untouched, definition_of('parts_eu') = :'eu_before' AS eu_untouched;

-- A table of our making
CREATE SCHEMA "My App";
SET search_path = "My App";
SELECT reconciler.create_table('payment_requests', allow_superuser_owner => true);
INSERT INTO payment_requests (chain, network, asset, expected_amount_minor, address_canonical, token_contract, expires_at)
VALUES ('ethereum', 'local', 'ETH', 100, '0x00000000000000000000000000000000000000aa', NULL, '2030-01-01 00:00+00');
RESET search_path;
SELECT reconciler.create_table('shop."Odd Name"', allow_superuser_owner => true);
SELECT reconciler.create_table('a.b.c');
SELECT status, expected, expires_at = '2030-01-01 00:00+00' AS in_time FROM reconciler.queue;
SELECT relation FROM reconciler.sources ORDER BY source_id;
DROP SCHEMA "My App" CASCADE;
SELECT relation FROM reconciler.sources ORDER BY source_id;
DROP EXTENSION reconciler;
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
DROP TABLE nolabel, inexact, parts, parts_us;
DROP TYPE poor;
DROP VIEW v;
DROP FUNCTION definition_of, set_status;
