-- What a worker's role can't do, however it calls the protocol; and what a
-- network keeps for workers in the server (verify => 'server').
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
CREATE ROLE regress_daemon;
SELECT reconciler.grant_worker('regress_daemon');
SELECT reconciler.add_network('ethereum', 'mainnet', chain_id => 1, expiry_grace => '1 hour') AS net \gset
CREATE TABLE invoices (id int PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'mainnet',
	status text DEFAULT 'pending', expected_amount_minor numeric DEFAULT 100,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', expires_at timestamptz);
SELECT reconciler.attach('invoices', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO invoices (id) SELECT generate_series(1, 3);

-- A claim, a look with that answer for every request, and settle
CREATE FUNCTION look(amount text, height bigint DEFAULT 1000, failure text DEFAULT NULL, worker_id text DEFAULT 'w',
	OUT requests bigint, OUT outcomes text) LANGUAGE plpgsql AS $$
DECLARE
	net int := current_setting('test.net');
	now_is numeric := floor(extract(epoch FROM clock_timestamp()));
	c record;
BEGIN
	SELECT x.lo, x.token, count(*) AS n, jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', amount, 'settled', amount)) AS found INTO c
	FROM reconciler.claim(worker_id, net, -1, 100, '1 min', '1 min') x GROUP BY 1, 2;
	requests := coalesce(c.n, 0);
	IF c.n > 0 THEN
		SELECT string_agg(concat_ws(' ', s.outcome, s.request_id, s.to_status, s.reason), ', ' ORDER BY s.request_id) INTO outcomes
		FROM reconciler.settle(worker_id, net, c.lo, c.token, jsonb_strip_nulls(jsonb_build_object('failure', failure,
			'tip', jsonb_build_object('height', height, 'time', now_is), 'depth', jsonb_build_object('height', height - 11),
			'requests', c.found))) s;
	END IF;
END $$;
CREATE PROCEDURE pass_time() LANGUAGE sql AS $$
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = lease_until - interval '1 day';
	UPDATE reconciler.network_state SET observed_at = observed_at - interval '1 minute'
$$;
SELECT set_config('test.net', :'net', false) = :'net' AS net;
CREATE VIEW shown AS SELECT string_agg(id || ' ' || status, ', ' ORDER BY id) AS statuses FROM invoices;
GRANT SELECT ON shown TO regress_daemon;

-- Names: in logs and views they pass for nothing else
SELECT reconciler.claim('', :net, -1, 10, '10 s', '10 s');
SELECT reconciler.claim(repeat('w', 101), :net, -1, 10, '10 s', '10 s');
SELECT reconciler.claim(E'w\nlevel=info', :net, -1, 10, '10 s', '10 s');
SELECT reconciler.claim('w' || chr(8238), :net, -1, 10, '10 s', '10 s');
SELECT reconciler.report(E'w\t', 'reconcilerd', 1, 'idle', '{}', false);
SELECT reconciler.report('w', repeat('r', 101), 1, 'idle', '{}', false);
SELECT reconciler.maintain(E'\x7f');
SELECT reconciler.claim_cursor('', :net, '10 s', '10 s');
SELECT reconciler.register_network('evm', repeat('x', 101), 'local', 1);
SELECT reconciler.register_network('evm', E'x\ny', 'local', 1);
SELECT count(*) FROM reconciler.claim('Zürich #3', :net, -1, 10, '10 s', '10 s');

-- Networks: a hundred of them
SET SESSION AUTHORIZATION regress_daemon;
SELECT count(reconciler.register_network('evm', 'chain' || i, 'local', i)) FROM generate_series(1, 100) i;
SELECT reconciler.register_network('evm', 'chain101', 'local', 101);
SELECT reconciler.register_network('evm', 'chain1', 'local', 1) > 0 AS known_is_no_new_one;
RESET SESSION AUTHORIZATION;
SELECT reconciler.add_network('chain101', 'local', chain_id => 101) > 0 AS an_administrator_may;
SELECT registered_by, count(*) FROM reconciler.networks WHERE network_id > :net GROUP BY 1 ORDER BY 1;
SELECT count(reconciler.remove_network('chain' || i, 'local')) FROM generate_series(1, 101) i;

-- The rate limit: an hour ahead at most, and an administrator frees it
SELECT reconciler.set_network('ethereum', 'mainnet', rate_limit => 0.001);
SELECT reconciler.take_budget(:net, 10001);
SELECT reconciler.take_budget(:net, 10000);
SELECT reconciler.take_budget(:net, 10000) <= 3600000 AS an_hour_at_most;
SELECT spent_until <= clock_timestamp() + interval '1 hour' AS an_hour_at_most FROM reconciler.budgets;
SELECT reconciler.release_leases('ethereum', 'mainnet');
SELECT reconciler.take_budget(:net, 1);
SELECT reconciler.set_network('ethereum', 'mainnet', reset => '{rate_limit}');

-- Heights and times that can't be
SELECT lo, token FROM reconciler.claim('w', :net, -1, 10, '10 s', '10 s') LIMIT 1 \gset
SELECT reconciler.settle('w', :net, :lo, :'token', '{"tip": {"height": 9223372036854775807, "time": 1}}');
SELECT reconciler.settle('w', :net, :lo, :'token', '{"tip": {"height": -1, "time": 1}}');
SELECT reconciler.settle('w', :net, :lo, :'token', '{"tip": {"height": 1000000000001, "time": 1}}');
SELECT reconciler.settle('w', :net, :lo, :'token', '{"tip": {"height": 1, "time": 1700000000000}}');
SELECT reconciler.settle('w', :net, :lo, :'token', '{"tip": {"height": 1, "time": "infinity"}}');
SELECT reconciler.settle('w', :net, :lo, :'token', '{"tip": {"height": 1, "time": 1e300}}');
SELECT reconciler.settle('w', :net, :lo, :'token', NULL);
SELECT reconciler.settle('w', :net, :lo, :'token', '[]');
SELECT reconciler.settle('w', :net, :lo, :'token', jsonb_build_object('tip', '{"height": 1, "time": 1}'::jsonb,
	'requests', (SELECT jsonb_agg(jsonb_build_object('seq', i)) FROM generate_series(1, 2000) i)));
SELECT reconciler.settle('w', :net, :lo, :'token', jsonb_build_object('failure', repeat('x', 10000000)));
SELECT reconciler.release('w', :net, :lo, :'token');

-- Leases end when their role may not work any more
CALL pass_time();
SET SESSION AUTHORIZATION regress_daemon;
SELECT count(*) FROM reconciler.claim('d', :net, -1, 10, '1 hour', '1 hour');
RESET SESSION AUTHORIZATION;
SELECT reconciler.revoke_worker('regress_daemon');
SELECT lease_owner, due_at FROM reconciler.batches WHERE network_id = :net;
SELECT reconciler.grant_worker('regress_daemon');

-- verify => 'server': what a daemon says makes nothing final
SELECT reconciler.set_network('ethereum', 'mainnet', verify => 'daemon');
SELECT reconciler.set_network('ethereum', 'mainnet', verify => 'server');
SELECT verify FROM reconciler.network_settings WHERE network_id = :net;
SET SESSION AUTHORIZATION regress_daemon;
SELECT * FROM look('100');
SELECT * FROM shown;
-- nor a second time, nor under another name or role
SELECT * FROM look('100');
RESET SESSION AUTHORIZATION;
SELECT DISTINCT value FROM invoices, reconciler.explain('invoices', id::text) WHERE item = 'waits for';
CALL pass_time();
SET SESSION AUTHORIZATION regress_daemon;
SELECT * FROM look('100', worker_id => 'reconciler worker 1');
SELECT * FROM shown;
SELECT reconciler.due_in(:net) > 0 AS nothing_due_for_it;
RESET SESSION AUTHORIZATION;
-- A worker in the server looks at once, and what it sees counts
SELECT reconciler.due_in(:net);
SELECT * FROM look('99');
SELECT * FROM shown;
SELECT reconciler.due_in(:net) > 0 AS nothing_due;
CALL pass_time();
SET SESSION AUTHORIZATION regress_daemon;
SELECT * FROM look('100');
RESET SESSION AUTHORIZATION;
SELECT * FROM look('100');
SELECT * FROM shown;
-- Nor can a daemon end what was paid: not by an answer, not by a failure
TRUNCATE reconciler.transitions;
UPDATE invoices SET status = 'pending', expires_at = clock_timestamp() - interval '1 minute' WHERE id < 3;
UPDATE invoices SET status = 'pending', expires_at = clock_timestamp() - interval '2 hours' WHERE id = 3;
CALL pass_time();
SET SESSION AUTHORIZATION regress_daemon;
SELECT * FROM look('0');
RESET SESSION AUTHORIZATION;
UPDATE reconciler.batches SET verify = false, failing_since = clock_timestamp() - interval '2 hours', failed_at = clock_timestamp();
CALL pass_time();
SET SESSION AUTHORIZATION regress_daemon;
SELECT * FROM look('0', failure => 'nobody answers');
SELECT * FROM shown;
RESET SESSION AUTHORIZATION;
SELECT * FROM look('100');
SELECT * FROM shown;
-- A height that it makes up keeps nobody from being believed
INSERT INTO invoices (id) VALUES (4);
CALL pass_time();
SET SESSION AUTHORIZATION regress_daemon;
SELECT * FROM look('1', height => 900000000000);
RESET SESSION AUTHORIZATION;
CALL pass_time();
SELECT * FROM look('0', height => 1001);
SELECT seen, seen_height FROM reconciler.queue;
SELECT tip_height, best_height FROM reconciler.network_state WHERE network_id = :net;
-- Chains that are followed: only by workers in the server
SELECT reconciler.add_network('bitcoin', 'mainnet', kind => 'bitcoind', verify => 'server') AS btc \gset
SET SESSION AUTHORIZATION regress_daemon;
SELECT count(*) FROM reconciler.claim_cursor('d', :btc, '10 s', '10 s');
RESET SESSION AUTHORIZATION;
SELECT count(token), max(token::text) AS token FROM reconciler.claim_cursor('w', :btc, '10 s', '10 s') \gset
SET SESSION AUTHORIZATION regress_daemon;
\set VERBOSITY sqlstate
SELECT reconciler.advance_cursor('d', :btc, :'token', '10 s', '{"height": 1, "hash": "aa", "time": 1}', '[]');
\set VERBOSITY default
RESET SESSION AUTHORIZATION;

-- It has no batches either, and its lease is ended like others
SELECT count(*) FROM reconciler.claim('w', :btc, -1, 10, '10 s', '10 s');
SELECT reconciler.release_leases('bitcoin', 'mainnet');
SELECT lease_owner, lease_token, due_at FROM reconciler.cursor_leases;

-- Heights of a former endpoint bind no other: forgotten with it
SELECT reconciler.set_network('ethereum', 'mainnet', reset => '{verify}');
CALL pass_time();
SELECT * FROM look('1', height => 900000000000);
CALL pass_time();
SELECT * FROM look('0', height => 1002);
SELECT seen, seen_height FROM reconciler.queue;
SELECT reconciler.set_network('ethereum', 'mainnet', endpoints => '{http://127.0.0.1:1}');
SELECT * FROM look('0', height => 1003);
CALL pass_time();
SELECT * FROM look('0', height => 1004);
SELECT seen, seen_height FROM reconciler.queue;
SELECT best_height FROM reconciler.network_state WHERE network_id = :net;

-- Whatever the session makes of strings, dates and intervals
\c -
SELECT set_config('test.net', :'net', false) = :'net' AS net;
-- (PostgreSQL 19 has these no more)
DO $$ BEGIN SET standard_conforming_strings = off; EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN SET escape_string_warning = off; EXCEPTION WHEN OTHERS THEN NULL; END $$;
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Pacific/Kiritimati';
SET IntervalStyle = 'sql_standard';
SELECT poll_interval_ms, lease_ms FROM reconciler.worker_networks('w') WHERE network_id = :net;
SELECT reconciler.set_network('ethereum', 'mainnet', endpoints => '{https://node.example/key?a=b}');
SELECT reconciler.set_network('ethereum', 'mainnet', endpoints => '{https://node.example\\x}');
SELECT reconciler.claim(E'w\nx', :net, -1, 10, '10 s', '10 s');
SELECT * FROM look('0', height => 1005);
SELECT tip_time > clock_timestamp() - interval '1 minute' AS now FROM reconciler.network_state WHERE network_id = :net;
RESET ALL;

DROP EXTENSION reconciler CASCADE;
DROP TABLE invoices CASCADE;
DROP FUNCTION look;
DROP PROCEDURE pass_time;
DROP ROLE regress_daemon;
