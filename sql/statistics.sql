-- Statistics: what workers report, what views make of it, and who can do what with it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_reconciler_worker;
CREATE ROLE regress_reconciler_monitor IN ROLE pg_monitor;
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', ARRAY['https://me:s3cret@a.example/k3y', 'https://b.example/?k3y'], 31337) AS net \gset
SELECT reconciler.grant_worker('regress_reconciler_worker');
CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local', expected_amount_minor numeric, address_canonical text);
SELECT reconciler.attach('r', allow_superuser_owner => true);
INSERT INTO r SELECT i, 'pending', 'ethereum', 'local', 5, '0x' || lpad(i::text, 40, '1') FROM generate_series(1, 5) i;

-- Histograms
SELECT reconciler._bucket(ms) FROM unnest(ARRAY[0, 0.9, 1, 1.9, 2, 1000, 1e9]) ms;
SELECT reconciler._quantile('{}', 0.5), reconciler._quantile('{0,0,0,0,10}', 0.5), reconciler._quantile('{0,0,90,0,0,0,0,0,0,10}', 0.99), reconciler._quantile('{4}', 1);
SELECT reconciler._add('{1}'::bigint[], '{0,-5,9000000000000000000}'::bigint[]);

-- Nobody has looked yet
SELECT chain, network, mode, open_requests, invalid_requests, due_requests, overdue_since, leases, workers, error FROM reconciler.stat_networks;
SELECT endpoint, position, own, state, calls, errors, p50_ms FROM reconciler.stat_endpoints ORDER BY position;

-- Two workers see the second endpoint differently; a third brings one of its own
SELECT json_build_array(json_build_object('network_id', :net, 'scanned', 60, 'blocks', 6, 'all', true, 'endpoints', json_build_array(
	json_build_object('position', 1, 'url', 'https://me:s3cret@a.example/k3y', 'state', 'good', 'calls', 10, 'bytes_sent', 1000, 'bytes_received', 2000,
		'learned', json_build_object('balances_a_call', 100), 'errors', json_build_object(), 'latency', '[0,0,0,0,10]'::json),
	json_build_object('position', 2, 'url', 'https://b.example/?k3y', 'state', 'good', 'calls', 1, 'latency', '[1]'::json)))) AS one,
	json_build_array(json_build_object('network_id', :net, 'all', true, 'endpoints', json_build_array(
	json_build_object('position', 2, 'url', 'https://b.example/?k3y', 'state', 'resting', 'error', E'HTTP 429:\n\x1b[31m slow down', 'code', 'limited',
		'error_age_ms', 100, 'rests_ms', 5000, 'calls', 4, 'errors', json_build_object('limited', 3, 'timed_out', 1), 'latency', '[0,0,0,0,0,0,0,0,0,0,0,0,4]'::json)))) AS two,
	json_build_array(json_build_object('network_id', :net, 'own', true, 'all', true, 'endpoints', json_build_array(
	json_build_object('position', 1, 'url', 'http://mine:p4ss@localhost/k3y', 'state', 'refused', 'error', 'wrong chain', 'code', 'wrong_chain', 'calls', 1)))) AS three \gset
SELECT reconciler.report('one', 'reconcilerd', 1, 'observing', '{"cycles": 1, "scanned": 60, "http_calls": 11}', false, json_build_object('host', 'h1', 'network', 'ethereum/local', 'networks', :'one'::json)::jsonb);
SELECT reconciler.report('two', 'reconcilerd', 2, 'idle', '{"cycles": 1, "errors": 2}', false, json_build_object('error', 'it broke', 'error_age_ms', 1000, 'networks', :'two'::json)::jsonb);
SET SESSION AUTHORIZATION regress_reconciler_worker;
SELECT reconciler.report('three', 'reconcilerd', 3, 'idle', '{}', false, json_build_object('networks', :'three'::json)::jsonb);
-- It can't pass for a worker in the server, nor write another role's rows
SELECT reconciler.report('main:1', 'worker', 3, 'idle', '{}', false);
SELECT reconciler.report('one', 'reconcilerd', 3, 'idle', '{"cycles": -5, "scanned": 9000000000000000000}', false);
SELECT reconciler.report('three', 'reconcilerd', 3, 'idle', '{}', false, '{"networks": [{"network_id": 77, "endpoints": []}]}');
SELECT reconciler.report('three', 'reconcilerd', 3, 'idle', '{}', false, '{"networks": {"no": 1}}');
RESET SESSION AUTHORIZATION;
SELECT worker_id, login = session_user AS mine, host, pid, state, network, cycles, scanned, errors, http_calls, last_error, last_error_at < now() AS then FROM reconciler.stat_workers ORDER BY 1, 2;

SET ROLE regress_reconciler_monitor;
SELECT endpoint, position, own, state, good_for, bad_for, resting_until > clock_timestamp() AS rests, error, error_code, learned, calls, errors, errors_by_code, bytes_sent, bytes_received, p50_ms, p99_ms
FROM reconciler.stat_endpoints ORDER BY own, position;
SELECT mode, workers, scanned, round(scanned_per_second) AS scanned_per_second, blocks, blocks_per_second > 0 AS blocks_come FROM reconciler.stat_networks;
SELECT count(*) FROM reconciler.leases;
-- No token, no address, no way to write
SELECT lease_token FROM reconciler.leases;
SELECT count(*) FROM reconciler.endpoint_reports;
SELECT reconciler.stat_reset();
RESET ROLE;

-- Reported again, it adds up; what isn't in the list any more is no endpoint of that worker's
SELECT reconciler.report('one', 'reconcilerd', 1, 'idle', '{"cycles": 1}', false, json_build_object('networks', :'one'::json)::jsonb);
SELECT reconciler.report('two', 'reconcilerd', 2, 'idle', '{}', false, json_build_object('networks', json_build_array(json_build_object('network_id', :net, 'all', true, 'endpoints', '[]'::json)))::jsonb);
SELECT endpoint, position, state, bad_for, calls, errors, latency_ms FROM reconciler.stat_endpoints WHERE NOT own ORDER BY position;
-- Another endpoint in its place
SELECT reconciler.set_network('ethereum', 'local', ARRAY['https://c.example/', 'https://b.example/?k3y']);
SELECT endpoint, position, state, calls FROM reconciler.stat_endpoints WHERE NOT own ORDER BY position;

-- Confirmed within the last hour: from block to status
INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason, network_id, tip_time, at)
SELECT 1, 'r', 'x' || i, 'pending', 'confirmed', 'settled', :net, t.at - i * interval '1 second', t.at
FROM generate_series(1, 10) i CROSS JOIN (SELECT clock_timestamp() - interval '1 minute' AS at) t;
INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason, network_id, tip_time, at)
SELECT 1, 'r', 'old', 'pending', 'confirmed', 'settled', :net, now() - interval '5 hours', now() - interval '2 hours';
SELECT confirmed_hour, confirmed_p50_ms, confirmed_p99_ms, confirmed_ms FROM reconciler.stat_networks;

-- A worker that is gone for long: forgotten, but for what it counted
UPDATE reconciler.workers SET reported_at = reported_at - interval '2 days' WHERE worker_id = 'two';
SELECT reconciler.maintain('one');
SELECT worker_id FROM reconciler.workers ORDER BY 1;
SELECT endpoint, calls, errors_by_code FROM reconciler.stat_endpoints WHERE position = 2;

-- From the start
SELECT reconciler.stat_reset();
SELECT worker_id, cycles, scanned, last_error FROM reconciler.stat_workers ORDER BY 1, 2;
SELECT endpoint, state, error, calls, errors, latency_ms FROM reconciler.stat_endpoints ORDER BY own, position;

DROP EXTENSION reconciler CASCADE;
DROP TABLE r;
DROP ROLE regress_reconciler_worker, regress_reconciler_monitor;
