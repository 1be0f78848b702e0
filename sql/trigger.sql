-- The trigger: what the application's statements do to the queue.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) AS net \gset
SELECT reconciler.add_network('ethereum', 'other', chain_id => 1337) > 0 AS added;
SELECT reconciler.add_network('bitcoin', 'regtest', kind => 'esplora') > 0 AS added;
CREATE TABLE r (id text PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor text DEFAULT '100', address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa',
	token_contract text, expires_at timestamptz, note text);
SELECT reconciler.attach('r', allow_superuser_owner => true) > 0 AS attached;
CREATE VIEW queued AS SELECT request_id, status, expected, right(address, 2) AS address, token_contract, expires_at IS NOT NULL AS expires, seen, invalid
	FROM reconciler.queue ORDER BY seq;

-- Arrivals: only open ones
INSERT INTO r (id, status) VALUES ('a', 'pending'), ('b', 'detected'), ('c', 'confirmed'), ('d', NULL), ('e', 'PENDING'), ('f', 'cancelled');
SELECT * FROM queued;

-- The queue row stays when nothing changes for the reconciler
UPDATE reconciler.queue SET seen = 7, settled = 5;
CREATE TEMP TABLE before AS SELECT request_id, seq, ctid AS place FROM reconciler.queue;
UPDATE r SET note = 'x';
UPDATE r SET status = status, address_canonical = address_canonical;
SELECT bool_and(q.ctid = b.place) AS untouched FROM reconciler.queue q JOIN before b USING (request_id);
-- status and expiry change in place, what was seen still counts
UPDATE r SET status = 'detected', expires_at = '2030-01-01' WHERE id = 'a';
SELECT q.seq = b.seq AS same_place, q.status, q.seen, q.expires_at IS NOT NULL AS expires FROM reconciler.queue q JOIN before b USING (request_id) WHERE request_id = 'a';
-- anything else makes it another request
UPDATE r SET address_canonical = '0x00000000000000000000000000000000000000bb' WHERE id = 'a';
SELECT q.seq > b.seq AS anew, q.seen, right(q.address, 2) AS address FROM reconciler.queue q JOIN before b USING (request_id) WHERE request_id = 'a';
UPDATE r SET expected_amount_minor = 50 WHERE id = 'b';
UPDATE r SET network = 'other' WHERE id = 'a';
UPDATE r SET token_contract = '0x00000000000000000000000000000000000000CC' WHERE id = 'b';
SELECT request_id, n.network, expected, token_contract, seen FROM reconciler.queue JOIN reconciler.networks n USING (network_id) ORDER BY seq;

-- Closing, opening again, another id, deletion
UPDATE r SET status = 'cancelled' WHERE id = 'a';
SELECT * FROM queued;
UPDATE r SET status = 'pending' WHERE id IN ('a', 'c');
UPDATE r SET id = 'z' WHERE id = 'c';
DELETE FROM r WHERE id IN ('b', 'f');
SELECT * FROM queued;
INSERT INTO r (id) VALUES ('a') ON CONFLICT (id) DO UPDATE SET status = 'failed';
INSERT INTO r (id) VALUES ('d') ON CONFLICT (id) DO UPDATE SET status = 'pending';
SELECT request_id FROM queued;

-- What a transaction takes back was never there
BEGIN;
INSERT INTO r (id) VALUES ('rolled back');
SAVEPOINT s;
DELETE FROM r WHERE id = 'd';
ROLLBACK TO s;
SELECT request_id FROM queued;
ROLLBACK;
SELECT request_id FROM queued;
TRUNCATE r;
SELECT count(*) FROM queued;

-- Amounts: whole, above 0, up to 2^256 - 1; a bad one never fails the application's statement
INSERT INTO r (id, expected_amount_minor) VALUES
	('any', NULL), ('one', '1'), ('padded', '007'), ('scale', '12.000'), ('max', '115792089237316195423570985008687907853269984665640564039457584007913129639935'),
	('over', '115792089237316195423570985008687907853269984665640564039457584007913129639936'), ('long', repeat('9', 1000)),
	('zero', '0'), ('zeros', '000'), ('minus', '-1'), ('fraction', '1.5'), ('word', 'ten'), ('empty', ''), ('blank', ' 1'), ('exponent', '1e3'), ('hex', '0x10'),
	('wide', repeat('é', 50));
SELECT request_id, expected, invalid FROM queued;
TRUNCATE r;
-- and as numeric
CREATE TABLE rn (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');
SELECT reconciler.attach('rn', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO rn (id, expected_amount_minor) VALUES (1, 1.0), (2, 0.5), (3, 'NaN'), (4, 'Infinity'), (5, -3), (6, 2::numeric ^ 256), (7, 2::numeric ^ 256 - 1), (8, 1e20);
SELECT request_id, expected, invalid FROM queued;
DROP TABLE rn;

-- Addresses, by the kind of network
INSERT INTO r (id, address_canonical, token_contract) VALUES
	('lower', '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed', NULL), ('checksum', '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed', NULL),
	('typo', '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee', NULL), ('short', '0x5aaeb6', NULL), ('none', NULL, NULL), ('blank', '', NULL),
	('token', '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed', '0x00000000000000000000000000000000000000cc'),
	('native', '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed', ''),
	('zero token', '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed', '0x0000000000000000000000000000000000000000'),
	('bad token', '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed', 'USDC');
INSERT INTO r (id, chain, network, address_canonical, token_contract) VALUES
	('bitcoin token', 'bitcoin', 'regtest', 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', '0x00000000000000000000000000000000000000cc'),
	('unknown', 'dogecoin', 'mainnet', 'D8', NULL), ('nowhere', NULL, NULL, 'D8', NULL);
SELECT request_id, token_contract, invalid FROM queued;
TRUNCATE r;

-- Rows that arrive by replication or another bulk load are followed, too
SET session_replication_role = replica;
INSERT INTO r (id) VALUES ('replicated');
RESET session_replication_role;
SELECT request_id FROM queued;

-- The application's role needs no right on anything of ours, whatever its search_path
CREATE ROLE regress_reconciler_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON r TO regress_reconciler_app;
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.never(int, int) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.never);
SET ROLE regress_reconciler_app;
SET search_path = evil, pg_catalog, public;
INSERT INTO r (id) VALUES ('by app');
UPDATE r SET status = 'detected' WHERE id = 'by app';
DELETE FROM r WHERE id = 'replicated';
SELECT current_user;
RESET search_path;
RESET ROLE;
SELECT request_id, status, network_id = :net AS registered FROM queued JOIN reconciler.queue USING (request_id, status);

-- Nobody calls it but a trigger that attach has made
SELECT reconciler.queue_request();
CREATE TABLE other (id int);
CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION reconciler.queue_request('1');
INSERT INTO other VALUES (1);
DROP TABLE other;
DROP SCHEMA evil CASCADE;
DROP VIEW queued;
DROP TABLE r;
DROP ROLE regress_reconciler_app;
DROP EXTENSION reconciler;
