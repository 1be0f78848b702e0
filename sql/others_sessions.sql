-- What a role can reach by code of its own that runs in another's session.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT count(reconciler.add_network('ethereum', 'n' || n, ARRAY['http://127.0.0.1:8545/s3cret'], 31337, expiry_grace => '0')) AS networks
FROM generate_series(1, 12) AS n;
SELECT reconciler.add_network('ethereum', 'local', ARRAY['http://127.0.0.1:8545/s3cret'], 31337, verify => 'server') AS net \gset
CREATE ROLE regress_others_shop;
CREATE ROLE regress_others_worker;
SELECT reconciler.grant_app('regress_others_shop'), reconciler.grant_worker('regress_others_worker');
CREATE SCHEMA shop AUTHORIZATION regress_others_shop;
CREATE SCHEMA evil AUTHORIZATION regress_others_worker;
SET ROLE regress_others_shop;
SELECT reconciler.create_table('shop.r');
INSERT INTO shop.r (id, chain, network, address_canonical)
VALUES ('00000000-0000-0000-0000-000000000001', 'ethereum', 'local', '0x00000000000000000000000000000000000000aa');

-- A trigger that reads from the cursors of the statement that has called it
CREATE TABLE shop.loot (what text);
CREATE FUNCTION shop.read_on() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	portal refcursor;
	r record;
BEGIN
	FOR i IN 1 .. 300 LOOP
		portal := '<unnamed portal ' || i || '>';
		BEGIN
			FETCH NEXT FROM portal INTO r;
			INSERT INTO shop.loot SELECT r::text WHERE FOUND;
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	RETURN NEW;
END $$;
CREATE TRIGGER reader BEFORE UPDATE ON shop.r FOR EACH ROW EXECUTE FUNCTION shop.read_on();
INSERT INTO shop.r (chain, network, address_canonical, expires_at)
SELECT 'ethereum', 'n' || n, 'nowhere', '2000-01-01' FROM generate_series(1, 12) AS n;
RESET ROLE;
SELECT reconciler.maintain('w') >= 0 AS maintained;
SELECT count(*) AS loot FROM shop.loot;
SELECT status, count(*) FROM shop.r GROUP BY 1 ORDER BY 1;
DROP TRIGGER reader ON shop.r;

-- A worker role's function in a session that is a superuser's: of an index that
-- autovacuum (here: somebody) analyses, or of a trigger while a status is set
SET ROLE regress_others_worker;
CREATE TABLE evil.note (what text);
CREATE FUNCTION evil.settle() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	c record;
	o text;
BEGIN
	SELECT * INTO c FROM reconciler.claim('evil', (SELECT network_id FROM reconciler.worker_networks('evil') WHERE network = 'local'),
		-1, 100, '1 min', '1 min') LIMIT 1;
	SELECT s.to_status INTO o FROM reconciler.settle('evil', (SELECT network_id FROM reconciler.worker_networks('evil') WHERE network = 'local'),
		c.lo, c.token, jsonb_build_object('tip', jsonb_build_object('height', 9, 'time', 4000000000), 'depth', jsonb_build_object('height', 9),
			'requests', jsonb_build_array(jsonb_build_object('seq', c.seq, 'seen', '5', 'settled', '5')))) AS s;
	INSERT INTO evil.note VALUES ('got ' || o);
EXCEPTION WHEN OTHERS THEN
	INSERT INTO evil.note VALUES (SQLERRM);
END $$;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT EXECUTE ON FUNCTION evil.settle TO PUBLIC;
CREATE TABLE evil.bait (n int);
INSERT INTO evil.bait VALUES (1);
CREATE FUNCTION evil.indexed(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n; END $$;
CREATE INDEX ON evil.bait (evil.indexed(n));
CREATE OR REPLACE FUNCTION evil.indexed(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM evil.settle();
	RETURN n;
END $$;
RESET ROLE;
ANALYZE evil.bait;
SELECT what FROM evil.note;
SELECT status FROM shop.r WHERE network = 'local';
TRUNCATE evil.note;
SET ROLE regress_others_shop;
CREATE FUNCTION shop.collude() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM evil.settle(); RETURN NEW; END';
CREATE TRIGGER collude BEFORE UPDATE ON shop.r FOR EACH ROW EXECUTE FUNCTION shop.collude();
INSERT INTO shop.r (chain, network, address_canonical, expires_at) VALUES ('ethereum', 'n1', 'nowhere', '2000-01-01');
RESET ROLE;
SELECT reconciler.maintain('w') >= 0 AS maintained;
SELECT what FROM evil.note;
SELECT status FROM shop.r WHERE network = 'local';
SELECT count(*) AS forged FROM reconciler.transitions WHERE worker_id = 'evil';

DROP EXTENSION reconciler CASCADE;
SET client_min_messages = warning;
DROP SCHEMA evil, shop CASCADE;
DROP ROLE regress_others_shop, regress_others_worker;
