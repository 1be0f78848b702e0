-- What attach finds out about a table that could not be settled, or in which nothing would be observed.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
CREATE ROLE regress_reconciler_shop;
CREATE SCHEMA shop AUTHORIZATION regress_reconciler_shop;
SELECT reconciler.grant_app('regress_reconciler_shop');
SET ROLE regress_reconciler_shop;
CREATE TABLE shop.r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text, network text, expected_amount_minor numeric, address_canonical text);
-- Checks on the status alone, and of a partition
ALTER TABLE shop.r ADD CONSTRAINT known CHECK (status IN ('pending', 'paid', 'expired'));
SELECT reconciler.attach('shop.r');
SELECT reconciler.attach('shop.r', statuses => '{"detected": "detected", "confirmed": "paid"}');
SELECT reconciler.attach('shop.r', statuses => '{"detected": null, "confirmed": "paid"}') > 0 AS attached;
-- nor does it come later
ALTER TABLE shop.r ADD CHECK (status <> 'paid');
ALTER TABLE shop.r DROP CONSTRAINT known, ADD CONSTRAINT known CHECK (status IN ('pending', 'paid', 'expired', 'new'));
SELECT reconciler.detach('shop.r');
ALTER TABLE shop.r DROP CONSTRAINT known;
-- without expires_at nothing is set to expired
ALTER TABLE shop.r ADD CONSTRAINT known CHECK (status IN ('pending', 'detected', 'confirmed'));
SELECT reconciler.attach('shop.r') > 0 AS attached;
SELECT reconciler.detach('shop.r');
-- A check that calls a function: it runs as the owner, and leaves no trace
CREATE TABLE shop.log (role name);
CREATE FUNCTION shop.allowed(word text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO shop.log VALUES (current_user);
	RAISE NOTICE 'asked as %', current_user;
	RETURN word <> 'detected';
END $$;
ALTER TABLE shop.r DROP CONSTRAINT known, ADD CONSTRAINT allowed CHECK (shop.allowed(status));
RESET ROLE;
SELECT reconciler.attach('shop.r');
SELECT count(*) AS traces FROM shop.log;
SET ROLE regress_reconciler_shop;
CREATE OR REPLACE FUNCTION shop.allowed(word text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END';
SELECT reconciler.attach('shop.r');
ALTER TABLE shop.r DROP CONSTRAINT allowed;
-- varchar, a domain, a domain over an enum
ALTER TABLE shop.r ALTER status TYPE varchar(8);
SELECT reconciler.attach('shop.r');
CREATE DOMAIN shop.word AS varchar(9) CHECK (VALUE <> 'detected');
ALTER TABLE shop.r ALTER status TYPE shop.word;
SELECT reconciler.attach('shop.r');
SELECT reconciler.attach('shop.r', statuses => '{"detected": null}') > 0 AS attached;
SELECT reconciler.detach('shop.r');
CREATE TYPE shop.state AS ENUM ('new', 'paid', 'detected');
CREATE DOMAIN shop.strict_state AS shop.state CHECK (VALUE <> 'paid');
ALTER TABLE shop.r ALTER status DROP DEFAULT;
ALTER TABLE shop.r ALTER status TYPE shop.strict_state USING status::text::shop.state;
SELECT reconciler.attach('shop.r', statuses => '{"pending": ["new", "pending"], "confirmed": "paid"}');
ALTER TABLE shop.r ALTER status TYPE text;
-- A table of the words
CREATE TABLE shop.words (word text PRIMARY KEY);
INSERT INTO shop.words VALUES ('pending'), ('detected');
ALTER TABLE shop.r ADD CONSTRAINT known FOREIGN KEY (status) REFERENCES shop.words;
SELECT reconciler.attach('shop.r');
INSERT INTO shop.words VALUES ('confirmed');
SELECT reconciler.attach('shop.r') > 0 AS attached;
SELECT reconciler.detach('shop.r');
ALTER TABLE shop.r DROP CONSTRAINT known;
-- Checks that name other columns: can't be told, or told by the requests that are there
ALTER TABLE shop.r ADD paid_at timestamptz, ADD CONSTRAINT when_paid CHECK (status <> 'confirmed' OR paid_at IS NOT NULL);
SELECT reconciler.attach('shop.r') > 0 AS attached;
SELECT reconciler.detach('shop.r');
INSERT INTO shop.r VALUES (1, 'pending', 'ethereum', 'mainnet', 1, '0x00000000000000000000000000000000000000aa');
SELECT reconciler.attach('shop.r') > 0 AS attached;
SELECT reconciler.detach('shop.r');
UPDATE shop.r SET paid_at = now();
SELECT reconciler.attach('shop.r') > 0 AS attached;
SELECT reconciler.detach('shop.r');
ALTER TABLE shop.r DROP CONSTRAINT when_paid;
-- Nothing that is open
UPDATE shop.r SET status = 'draft';
INSERT INTO shop.r (id, status) VALUES (2, 'paid'), (3, NULL);
ALTER TABLE shop.r ALTER status SET DEFAULT 'draft';
SELECT reconciler.attach('shop.r') > 0 AS attached;
SELECT reconciler.detach('shop.r');
SELECT reconciler.attach('shop.r', statuses => '{"pending": ["draft", "pending"]}') > 0 AS attached;
SELECT reconciler.detach('shop.r');
-- Keys: the hint is one that works
ALTER TABLE shop.r DROP CONSTRAINT r_pkey, ADD no int, ALTER id DROP NOT NULL;
SELECT reconciler.attach('shop.r', '{"id": "no"}');
UPDATE shop.r SET no = id;
ALTER TABLE shop.r ADD PRIMARY KEY (no);
SELECT reconciler.attach('shop.r');
ALTER TABLE shop.r ALTER COLUMN id SET NOT NULL, ADD UNIQUE (id);
ALTER TABLE shop.r ALTER COLUMN id DROP NOT NULL;
SELECT reconciler.attach('shop.r');
ALTER TABLE shop.r ALTER COLUMN id SET NOT NULL;
SELECT reconciler.attach('shop.r') > 0 AS attached;
SELECT reconciler.detach('shop.r');
CREATE TABLE shop.parts (region text, id int NOT NULL, status text, chain text, network text, expected_amount_minor numeric, address_canonical text)
	PARTITION BY LIST (region);
SELECT reconciler.attach('shop.parts');
ALTER TABLE shop.parts ADD PRIMARY KEY (id, region);
SELECT reconciler.attach('shop.parts') > 0 AS attached;
-- All that is wrong at once, also what a superuser's table has
CREATE TABLE shop.s (no int, status text CHECK (status <> 'detected'), chain text, expected_amount_minor numeric(20,2), address_canonical text, expires_at date);
SELECT reconciler.attach('shop.s', '{"id": "no"}');
ALTER TABLE shop.s ADD PRIMARY KEY (no);
SELECT reconciler.attach('shop.s', '{"id": "no", "network": "=mainnet", "expires_at": null, "expected_amount_minor": {"column": "expected_amount_minor", "decimals": 2}}');
RESET ROLE;
ALTER TABLE shop.s OWNER TO postgres;
SELECT reconciler.attach('shop.s', '{"id": "no", "expires_at": null}');
DROP SCHEMA shop CASCADE;
DROP EXTENSION reconciler;
DROP ROLE regress_reconciler_shop;
