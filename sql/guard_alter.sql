-- Whatever changes an attached table beneath its mapping is refused, or said and made good.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) > 0 AS added;
CREATE TYPE state AS ENUM ('draft', 'pending', 'detected', 'confirmed', 'expired');
CREATE TYPE chains AS ENUM ('ethereum', 'bitcoin');
CREATE TABLE r (id int PRIMARY KEY, status state DEFAULT 'pending', chain chains DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 1, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', note text);
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
CREATE VIEW marked AS SELECT relation, resynced_at = '-infinity' AS to_be_resynced FROM reconciler.sources ORDER BY source_id;

-- Columns renamed through statements for other kinds of relations
ALTER VIEW r RENAME COLUMN network TO net;
ALTER MATERIALIZED VIEW r RENAME COLUMN network TO net;
ALTER FOREIGN TABLE r RENAME COLUMN network TO net;
ALTER TYPE r RENAME ATTRIBUTE network TO net;
ALTER VIEW r RENAME COLUMN note TO remark;

-- Values renamed
ALTER TYPE state RENAME VALUE 'pending' TO 'waiting';
ALTER TYPE state RENAME VALUE 'draft' TO 'sketch';
ALTER TYPE chains ADD VALUE 'dogecoin';
UPDATE reconciler.sources SET resynced_at = clock_timestamp();
ALTER TYPE chains RENAME VALUE 'bitcoin' TO 'btc';
SELECT * FROM marked;
UPDATE reconciler.sources SET resynced_at = clock_timestamp();

-- The key
BEGIN;
ALTER TABLE r DROP CONSTRAINT r_pkey;
ROLLBACK;
BEGIN;
ALTER TABLE r ADD CONSTRAINT other UNIQUE (id);
ALTER TABLE r DROP CONSTRAINT r_pkey;
ALTER TABLE r ALTER id DROP NOT NULL;
ROLLBACK;
CREATE TABLE k (id int NOT NULL, status text DEFAULT 'pending', chain text, network text, expected_amount_minor numeric, address_canonical text);
CREATE UNIQUE INDEX key_of_k ON k (id);
SELECT reconciler.attach('k', allow_superuser_owner => true) > 0 AS attached;
DROP INDEX key_of_k;
DROP TABLE k;

-- Triggers that were off fire as before, and what they missed is looked for
ALTER TABLE r DISABLE TRIGGER ALL;
INSERT INTO r (id) VALUES (1);
SELECT * FROM marked;
ALTER TABLE r ENABLE TRIGGER ALL;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'r'::regclass ORDER BY 1;
SELECT * FROM marked;
SELECT reconciler.resync('r') AS found;
UPDATE reconciler.sources SET resynced_at = clock_timestamp();
ALTER TABLE r DISABLE TRIGGER USER, ADD more text;
ALTER TABLE r ENABLE REPLICA TRIGGER reconciler_insert;
ALTER TABLE r ENABLE TRIGGER USER;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'r'::regclass ORDER BY 1;
SELECT * FROM marked;
UPDATE reconciler.sources SET resynced_at = clock_timestamp();
ALTER TABLE r DISABLE TRIGGER reconciler_insert;
ALTER TABLE r ENABLE ALWAYS TRIGGER reconciler_insert;
SELECT * FROM marked;
DROP TABLE r;

-- A parent's columns are its children's, a type's those of its tables
CREATE TABLE parent (id int, status text, network text);
CREATE TABLE child (PRIMARY KEY (id), chain text, expected_amount_minor numeric, address_canonical text) INHERITS (parent);
SELECT reconciler.attach('child', allow_superuser_owner => true) > 0 AS attached;
ALTER TABLE parent RENAME COLUMN network TO net;
DROP TABLE parent CASCADE;
CREATE TYPE shape AS (id int, status text, network text, chain text, expected_amount_minor numeric, address_canonical text);
CREATE TABLE typed OF shape (PRIMARY KEY (id));
SELECT reconciler.attach('typed', allow_superuser_owner => true) > 0 AS attached;
ALTER TYPE shape RENAME ATTRIBUTE network TO net CASCADE;
DROP TYPE shape CASCADE;

-- Partitions come with requests in them, and their triggers are turned off alone
CREATE TABLE parts (id int, region text, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 1, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', PRIMARY KEY (id, region))
	PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
SELECT reconciler.attach('parts', allow_superuser_owner => true) > 0 AS attached;
CREATE TABLE parts_us (LIKE parts INCLUDING ALL);
INSERT INTO parts_us VALUES (1, 'us');
SELECT * FROM marked;
ALTER TABLE parts ATTACH PARTITION parts_us FOR VALUES IN ('us');
SELECT * FROM marked;
SELECT reconciler.resync('parts') AS found;
UPDATE reconciler.sources SET resynced_at = clock_timestamp();
ALTER TABLE parts_us DISABLE TRIGGER USER;
ALTER TABLE parts_us ENABLE TRIGGER USER;
ALTER TABLE parts DISABLE TRIGGER ALL;
ALTER TABLE parts ENABLE TRIGGER ALL;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE 'reconciler%' ORDER BY 1, 2;
SELECT * FROM marked;
DROP TABLE parts;
SELECT * FROM marked;
DROP VIEW marked;
DROP EXTENSION reconciler;
DROP TYPE state, chains;
