-- Leases: renew, release, the fencing token, what the views show; and what
-- workers report.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337) AS net \gset
CREATE TABLE "My Invoices" (id text PRIMARY KEY, chain text, network text, status text DEFAULT 'pending',
	expected_amount_minor numeric, address_canonical text, token_contract text, expires_at timestamptz);
SELECT reconciler.attach('"My Invoices"', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO "My Invoices" (id, chain, network, expected_amount_minor, address_canonical)
SELECT 'r' || i, 'ethereum', 'local', 100, '0xaa' || lpad(i::text, 38, '0') FROM generate_series(1, 4) i;
INSERT INTO "My Invoices" VALUES ('elsewhere', 'dogecoin', 'mainnet', 'pending', 5, 'D6', NULL, NULL);

-- One row per open request, nulls where it is free
SELECT source, request_id, chain, network, lease_owner, lease_until FROM reconciler.leases ORDER BY request_id;
SELECT DISTINCT lo, token FROM reconciler.claim('w1', :net, -1, 2, '30 s', '10 s') \gset
SELECT request_id, lease_owner, lease_until > clock_timestamp() + interval '20 s' AS for_long
FROM reconciler.leases ORDER BY request_id;
SELECT lease_token = :'token' AS same_token FROM reconciler.batches WHERE network_id = :net AND lo = :lo;

-- Renewed, it lasts from now on; it is never shortened
SELECT reconciler.renew('w1', :net, :lo, :'token', '1 hour');
SELECT reconciler.renew('w1', :net, :lo, :'token', '1 s');
SELECT DISTINCT lease_until > clock_timestamp() + interval '50 min' AS prolonged FROM reconciler.leases WHERE lease_owner = 'w1';

-- A lease that has run out shows as free, and stays its worker's until somebody claims it
UPDATE reconciler.batches SET lease_until = clock_timestamp() - interval '1 s' WHERE lease_token = :'token';
SELECT count(*) AS under_lease FROM reconciler.leases WHERE lease_owner IS NOT NULL;
SELECT reconciler.renew('w1', :net, :lo, :'token', '30 s');
SELECT count(*) AS under_lease FROM reconciler.leases WHERE lease_owner IS NOT NULL;

-- Taken over: whatever the old worker says is refused
UPDATE reconciler.batches SET lease_until = clock_timestamp() - interval '1 s', due_at = '-infinity' WHERE lease_token = :'token';
SELECT DISTINCT c.lo = :lo AS same_batch, c.token <> :'token' AS other_token, c.token AS token2
FROM reconciler.claim('w2', :net, :lo - 1, 2, '30 s', '10 s') c \gset
SELECT :'same_batch' AS same_batch, :'other_token' AS other_token;
\set VERBOSITY sqlstate
SELECT reconciler.renew('w1', :net, :lo, :'token', '30 s');
SELECT reconciler.release('w1', :net, :lo, :'token');
SELECT * FROM reconciler.settle('w1', :net, :lo, :'token', '{"tip": {"height": 1, "time": 1}}');
\set VERBOSITY default
SELECT DISTINCT lease_owner FROM reconciler.leases WHERE lease_owner IS NOT NULL;

-- Released: free at once, due when it would have been
SELECT reconciler.release('w2', :net, :lo, :'token2');
SELECT count(*) AS under_lease FROM reconciler.leases WHERE lease_owner IS NOT NULL;
SELECT due_at > clock_timestamp() AS waits, lease_owner, lease_until, lease_token FROM reconciler.batches WHERE network_id = :net AND lo = :lo;
\set VERBOSITY sqlstate
SELECT reconciler.release('w2', :net, :lo, :'token2');
\set VERBOSITY default
-- Or at once, when nobody has looked
UPDATE reconciler.batches SET due_at = '-infinity';
SELECT DISTINCT lo, token FROM reconciler.claim('w1', :net, -1, 2, '30 s', '10 s') \gset
SELECT reconciler.release('w1', :net, :lo, :'token', true);
SELECT reconciler.due_in(:net);

-- Looks that are further apart than a lease is long: a worker that dies is followed
-- when its lease ends, one that has looked at the next turn
UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
SELECT DISTINCT lo, token FROM reconciler.claim('w1', :net, -1, 2, '5 s', '1 hour') \gset
SELECT due_at = lease_until AS due_when_the_lease_ends FROM reconciler.batches WHERE lease_token = :'token';
SELECT reconciler.release('w1', :net, :lo, :'token') IS NOT NULL AS released;
SELECT due_at - claimed_at AS next_turn FROM reconciler.batches WHERE network_id = :net AND lo = :lo;

-- The other network is home to what nobody can observe
SELECT seen, expiring, error FROM reconciler.claim('w1', 0, -1, 10, '30 s', '10 s');
SELECT chain, network, lease_owner FROM reconciler.leases WHERE request_id = 'elsewhere';

-- Bad arguments
SELECT reconciler.renew('w1', :net, :lo, :'token', NULL);
SELECT reconciler.report(NULL, 'reconcilerd', 1, 'idle', '{}', false);

-- Workers outside the server report
SELECT reconciler.report('d1', 'reconcilerd', 42, 'observing', '{"cycles": 3, "claimed": 30, "confirmed": 2, "unknown": 1}', false);
SELECT reconciler.report('d2', 'reconcilerd', 43, 'idle', NULL, false);
SELECT worker_id, role, database = current_database() AS here, pid, state, cycles, claimed, scanned, detected, confirmed, expired, skipped, errors
FROM reconciler.stat_workers ORDER BY worker_id;
SELECT started_at AS first_start FROM reconciler.stat_workers WHERE worker_id = 'd1' \gset
SELECT reconciler.report('d1', 'reconcilerd', 42, 'idle', '{"cycles": 4, "errors": 1}', false);
SELECT cycles, errors, started_at = :'first_start' AS same_run FROM reconciler.stat_workers WHERE worker_id = 'd1';
SELECT reconciler.report('d1', 'reconcilerd', 77, 'idle', '{"cycles": 1}', false);
SELECT cycles, started_at = :'first_start' AS same_run FROM reconciler.stat_workers WHERE worker_id = 'd1';
-- One that stopped, and one that went away without a word
UPDATE reconciler.workers SET reported_at = reported_at - interval '2 days' WHERE worker_id = 'd2';
SELECT reconciler.report('d1', 'reconcilerd', 77, 'idle', '{"cycles": 1}', true);
SELECT worker_id, state FROM reconciler.stat_workers;
SELECT reconciler.maintain('d1');
SELECT worker_id FROM reconciler.workers;

DROP EXTENSION reconciler CASCADE;
DROP TABLE "My Invoices";
