-- health(): what is wrong, from situations that are made; pausing; looking at once.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_reconciler_monitor IN ROLE pg_monitor;
CREATE EXTENSION reconciler;
CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local', expected_amount_minor numeric, address_canonical text, expires_at timestamptz);
SELECT reconciler.attach('r', allow_superuser_owner => true);
SELECT severity, code FROM reconciler.health();

-- A worker that does nothing wrong, on a network where nothing is wrong
SELECT reconciler.add_network('ethereum', 'local', ARRAY['https://a.example/k3y', 'https://b.example/k3y'], 31337) AS net \gset
CREATE FUNCTION pg_temp.report(net int, first text, second text, code text) RETURNS void LANGUAGE sql AS $$
	SELECT reconciler.report('d', 'reconcilerd', 1, 'idle', '{}', false, jsonb_build_object('networks', jsonb_build_array(jsonb_build_object('network_id', net, 'all', true,
		'endpoints', jsonb_build_array(jsonb_build_object('position', 1, 'url', 'https://a.example/k3y', 'state', first, 'error', CASE WHEN first <> 'good' THEN 'no k3y' END, 'code', code, 'error_age_ms', 1),
			jsonb_build_object('position', 2, 'url', 'https://b.example/k3y', 'state', second, 'error', CASE WHEN second <> 'good' THEN 'no' END, 'code', code, 'error_age_ms', 1))))));
$$;
SELECT pg_temp.report(:net, 'good', 'good', NULL);
INSERT INTO r SELECT i, 'pending', 'ethereum', 'local', 5, '0x' || lpad(i::text, 40, '1') FROM generate_series(1, 3) i;
SELECT * FROM reconciler.health();

-- One endpoint, all endpoints
SELECT pg_temp.report(:net, 'refused', 'good', 'refused');
SET ROLE regress_reconciler_monitor;
SELECT * FROM reconciler.health();
RESET ROLE;
SELECT pg_temp.report(:net, 'resting', 'resting', 'limited');
SELECT severity, code, what, hint FROM reconciler.health();
SELECT pg_temp.report(:net, 'good', 'good', NULL);

-- Looks that fail, a look that is overdue, a request that can't be settled
SELECT DISTINCT lo, token FROM reconciler.claim('d', :net, -1, 10, '30 s', '10 s') \gset
SELECT reconciler.settle('d', :net, :lo, :'token', '{"failure": "https://a.example: HTTP 500"}');
SELECT severity, code, regexp_replace(what, 'since [^:]*:[^:]*:[^:]*:', 'since …:') AS what FROM reconciler.health();
UPDATE reconciler.network_state SET observed_at = clock_timestamp(), error_at = clock_timestamp() - interval '1 s';
UPDATE reconciler.batches SET due_at = clock_timestamp() - interval '5 minutes' WHERE network_id = :net;
UPDATE reconciler.queue SET error = 'no: 4711 of 9000 cents', error_at = now() WHERE request_id = '1';
SELECT severity, code, regexp_replace(what, 'since .*', 'since …') AS what, hint FROM reconciler.health();
UPDATE reconciler.queue SET error = NULL, error_at = NULL;

-- Looked at at once; held; going on
UPDATE reconciler.batches SET due_at = clock_timestamp() + interval '1 hour' WHERE network_id = :net;
UPDATE reconciler.network_state SET error = NULL;
UPDATE reconciler.batches SET error = NULL;
SELECT reconciler.due_in(:net) > 1000 AS later;
SELECT reconciler.look_now('r', '1');
SELECT reconciler.due_in(:net);
SELECT reconciler.look_now('r', '77');
SELECT DISTINCT lo, token FROM reconciler.claim('d', :net, -1, 10, '30 s', '10 s') \gset
SELECT reconciler.look_now('r', '1');
SELECT reconciler.pause_network('ethereum', 'local');
\set VERBOSITY terse
SELECT reconciler.settle('d', :net, :lo, :'token', '{"failure": "late"}');
\set VERBOSITY default
SELECT count(*) FROM reconciler.claim('d', :net, -1, 10, '30 s', '10 s');
SELECT severity, code, what, hint FROM reconciler.health();
SELECT reconciler.resume_network('ethereum', 'local');
SELECT count(*) FROM reconciler.claim('d', :net, -1, 10, '30 s', '10 s');
SELECT reconciler.pause_network('no', 'such');

-- What was lost: requests that nobody could look at, confirmations that were undone
INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason, network_id) VALUES (1, 'r', '9', 'pending', 'expired', 'unobserved', :net);
SELECT reconciler._event('confirmation.undone', 1, '8', '{}');
-- Settings that can't work together; networks that nobody knows; requests that are none
SELECT reconciler.set_network('ethereum', 'local', lease_duration => '2 s', request_timeout => '5 s', max_tip_age => '1 s', verify => 'server');
INSERT INTO r VALUES (10, 'pending', 'dogecoin', 'main', 5, 'D'), (11, 'pending', 'ethereum', 'local', 5, 'nonsense');
SELECT reconciler.add_network('ethereum', 'empty', chain_id => 5) > 0 AS added;
INSERT INTO r VALUES (12, 'pending', 'ethereum', 'empty', 5, '0x1111111111111111111111111111111111111111');
-- A consumer that nobody reads
SELECT reconciler.create_consumer('slow', 'beginning');
UPDATE reconciler.events SET at = at - interval '2 hours';
SELECT severity, code, chain, network, regexp_replace(what, 'oldest of .*', 'oldest of …') AS what, hint FROM reconciler.health();
SELECT code FROM reconciler.health() ORDER BY severity, code LIMIT 1;

SET ROLE regress_reconciler_monitor;
SELECT reconciler.look_now('r', '1');
SELECT reconciler.pause_network('ethereum', 'local');
SELECT * FROM reconciler.prune(now() - interval '90 days');
RESET ROLE;

DROP EXTENSION reconciler CASCADE;
DROP TABLE r;
DROP ROLE regress_reconciler_monitor;
