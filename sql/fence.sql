-- What a worker must name to be believed: a token, and the version of the
-- network that it knows. What a tip must satisfy. Who looks after requests that
-- nobody can ask about.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'mainnet', chain_id => 1) AS net \gset
CREATE TABLE invoices (id int PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'mainnet',
	status text DEFAULT 'pending', expected_amount_minor numeric DEFAULT 100,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', expires_at timestamptz);
SELECT reconciler.attach('invoices', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO invoices (id) VALUES (1);
INSERT INTO invoices (id, address_canonical) VALUES (2, 'nowhere');
SELECT seq AS invalid_seq FROM reconciler.queue WHERE invalid IS NOT NULL \gset
SELECT seq AS valid_seq FROM reconciler.queue WHERE invalid IS NULL \gset
CREATE FUNCTION paid(VARIADIC seqs bigint[]) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('tip', jsonb_build_object('height', 1000, 'time', floor(extract(epoch FROM clock_timestamp()))),
		'depth', jsonb_build_object('height', 900), 'chain_id', 1,
		'requests', jsonb_agg(jsonb_build_object('seq', s, 'seen', '100', 'settled', '100'))) FROM unnest(seqs) AS s
$$;
CREATE PROCEDURE pass_time() LANGUAGE sql AS $$
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = lease_until - interval '1 day'
$$;

-- No token holds nothing, least of all a batch that nobody holds
DO $$ BEGIN PERFORM reconciler._build_batches((SELECT max(network_id) FROM reconciler.networks), 10); END $$;
\set VERBOSITY sqlstate
SELECT * FROM reconciler.settle('w', :net, 0, NULL, paid(:valid_seq));
SELECT * FROM reconciler.settle_network('w', :net, NULL, false);
SELECT reconciler.renew('w', :net, 0, NULL, '10 s');
SELECT reconciler.release('w', :net, 0, NULL);
SELECT * FROM reconciler.settle('w', :net, 0, '1', paid(:valid_seq));
SELECT * FROM reconciler.settle('w', :net, NULL, '1', paid(:valid_seq));
\set VERBOSITY default
SELECT lo, token FROM reconciler.claim('w', :net, -1, 10, '10 s', '10 s') \gset
\set VERBOSITY sqlstate
SELECT * FROM reconciler.settle('w', :net, :lo, NULL, paid(:valid_seq));
\set VERBOSITY default
-- What nobody can observe, nobody has observed
SELECT outcome, request_id FROM reconciler.settle('w', :net, :lo, :'token', paid(:invalid_seq));
SELECT id, status FROM invoices ORDER BY id;

-- Every change has a version of its own, whoever makes it
SELECT version FROM reconciler.networks WHERE network_id = :net;
SELECT reconciler.set_network('ethereum', 'mainnet', confirmations => 20);
SELECT reconciler.set_network('ethereum', 'mainnet', confirmations => 20);
SELECT version FROM reconciler.networks WHERE network_id = :net;
UPDATE reconciler.networks SET block_tag = 'finalized', version = 1 WHERE network_id = :net;
SELECT version FROM reconciler.networks WHERE network_id = :net;
SELECT version FROM reconciler.worker_networks('w') WHERE network_id = :net;

-- A claim that names another one is refused, and takes no lease
CALL pass_time();
\set VERBOSITY sqlstate
SELECT * FROM reconciler.claim('w', :net, -1, 10, '10 s', '10 s', 2);
\set VERBOSITY default
SELECT * FROM reconciler.claim('w', :net, -1, 10, '10 s', '10 s', 4);
SELECT count(*) FROM reconciler.claim('w', :net, -1, 10, '10 s', '10 s', 3);

-- What a tip must satisfy, by the database's clock
CREATE VIEW bounds AS
SELECT extract(epoch FROM clock_timestamp())::bigint - min_tip_time BETWEEN 598 AND 620 AS min_ok,
	   max_tip_time - extract(epoch FROM clock_timestamp())::bigint BETWEEN 880 AND 902 AS max_ok,
	   tip_floor, extract(epoch FROM clock_timestamp())::bigint - floor_min_time BETWEEN 28 AND 50 AS floor_time_ok
FROM reconciler.claim('w', (SELECT max(network_id) FROM reconciler.networks), -1, 10, '10 s', '10 s');
CALL pass_time();
UPDATE reconciler.network_state SET best_height = NULL, best_at = NULL;
SELECT * FROM bounds;
CALL pass_time();
UPDATE reconciler.network_state SET best_height = 5000, best_at = clock_timestamp();
SELECT * FROM bounds;
CALL pass_time();
UPDATE reconciler.network_state SET best_at = clock_timestamp() - interval '11 minutes';
SELECT * FROM bounds;
CALL pass_time();
SELECT reconciler.set_network('ethereum', 'mainnet', reset => '{max_tip_age}');
SELECT * FROM bounds;

-- Leases end before long, whatever a worker asks for
SELECT * FROM reconciler.claim('w', :net, -1, 10, '1 hour 1 s', '10 s');
SELECT * FROM reconciler.claim('w', :net, -1, 10, '10 s', '2 days');
SELECT reconciler.renew('w', :net, :lo, :'token', '1000 years');
SELECT lease_ms, poll_interval_ms FROM reconciler.worker_networks('w', NULL, '2 h', '2 days') WHERE network_id = :net;

-- A network that nobody has registered: its requests stay open, and come along
-- when it is registered, also those whose transaction didn't see that
INSERT INTO invoices (id, chain, expires_at) VALUES (3, 'polygon', clock_timestamp() - interval '10 years');
SELECT count(*) FROM reconciler.claim('w', 0, -1, 10, '10 s', '10 s');
SELECT reconciler.maintain('w');
SELECT status FROM invoices WHERE id = 3;
SELECT count(*) FROM reconciler.batches WHERE network_id = 0;
SELECT reconciler.add_network('polygon', 'mainnet', chain_id => 137) AS polygon \gset
UPDATE reconciler.queue SET network_id = 0, chain = 'polygon', network = 'mainnet' WHERE request_id = '3';
SELECT count(*) FROM reconciler.claim('w', 0, -1, 10, '10 s', '10 s');
SELECT network_id = :polygon AS adopted FROM reconciler.queue WHERE request_id = '3';

DROP EXTENSION reconciler CASCADE;
DROP TABLE invoices;
DROP FUNCTION paid;
DROP PROCEDURE pass_time;
