-- Claims: which batch, which requests, in which order; splitting, merging,
-- rebuilding.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, expiry_grace => '1 hour') AS net \gset
CREATE TABLE invoices (
	id int PRIMARY KEY,
	chain text DEFAULT 'ethereum',
	network text DEFAULT 'local',
	status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 100,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa',
	token_contract text,
	expires_at timestamptz
);
SELECT reconciler.attach('invoices', allow_superuser_owner => true) > 0 AS attached;

-- A claim as it is of interest here: the requests and the flags
CREATE FUNCTION claimed(batch_size int, after bigint DEFAULT -1, worker_id text DEFAULT 'w1',
						OUT requests text, OUT expiring text, OUT unknown text, OUT failing bool)
LANGUAGE sql AS $$
	SELECT string_agg(q.request_id, ' ' ORDER BY c.seq),
		   string_agg(q.request_id, ' ' ORDER BY c.seq) FILTER (WHERE c.expiring),
		   string_agg(q.request_id, ' ' ORDER BY c.seq) FILTER (WHERE c.seen IS NULL),
		   bool_or(c.failing)
	FROM reconciler.claim(worker_id, (SELECT max(network_id) FROM reconciler.networks), after, batch_size, '15 s', '15 s') c
	LEFT JOIN reconciler.queue q USING (seq)
$$;

-- The batches of the network, with the requests in them
CREATE VIEW runs AS
SELECT row_number() OVER (ORDER BY b.lo) AS n,
	   (SELECT string_agg(q.request_id, ' ' ORDER BY q.seq) FROM reconciler.queue q
		WHERE q.network_id = b.network_id AND q.seq >= b.lo AND q.seq < b.hi) AS requests,
	   b.lease_owner, b.due_at > clock_timestamp() AS waits,
	   b.lo = coalesce(lag(b.hi) OVER (ORDER BY b.lo), 0) AS adjoins,
	   b.hi = 9223372036854775807 AS open_end
FROM reconciler.batches b WHERE b.network_id <> 0;

-- Time passes: every lease ends and everything comes due
CREATE PROCEDURE pass_time() LANGUAGE sql AS $$
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = lease_until - interval '1 hour'
$$;

-- Nothing open: nothing claimed, and the batch isn't due again at once
SELECT * FROM claimed(4);
SELECT * FROM runs;
SELECT reconciler.due_in(:net) BETWEEN 1 AND 15000 AS later;
SELECT reconciler.due_in(-5) IS NULL AS no_batches;

-- Arrival order, a batch at a time, split off as needed
CALL pass_time();
INSERT INTO invoices (id) SELECT generate_series(1, 10);
SELECT reconciler.due_in(:net);
SELECT * FROM claimed(4, worker_id => 'w1');
SELECT * FROM runs;
SELECT * FROM claimed(4, worker_id => 'w2');
SELECT * FROM claimed(4, worker_id => 'w3');
SELECT * FROM claimed(4);
SELECT * FROM runs;
SELECT reconciler.due_in(:net) BETWEEN 1 AND 15000 AS later;

-- Closed requests are out of the way
CALL pass_time();
UPDATE invoices SET status = 'cancelled' WHERE id IN (1, 3);
DELETE FROM invoices WHERE id = 4;
SELECT * FROM claimed(4);

-- From where the worker last was, then from the start
CALL pass_time();
SELECT b.lo AS second FROM reconciler.batches b WHERE b.network_id = :net ORDER BY b.lo OFFSET 1 LIMIT 1 \gset
SELECT * FROM claimed(4, :second);
SELECT * FROM claimed(4, :second);
SELECT * FROM claimed(4, :second);

-- A changed request arrives anew, at the end; one that merely moves on stays
UPDATE invoices SET expected_amount_minor = 7 WHERE id = 5;
UPDATE invoices SET status = 'detected' WHERE id = 6;
CALL pass_time();
SELECT * FROM claimed(4);
SELECT * FROM claimed(4);
SELECT * FROM runs;

-- Few are left: neighbours that are free are swallowed, those under lease are not
CALL pass_time();
SELECT lo AS last_lo FROM reconciler.batches WHERE network_id = :net ORDER BY lo DESC LIMIT 1 \gset
SELECT * FROM claimed(4, :last_lo - 1, 'w2');
UPDATE invoices SET status = 'failed' WHERE id IN (2, 6, 7);
SELECT * FROM claimed(4);
SELECT * FROM runs;
CALL pass_time();
SELECT * FROM claimed(4);
SELECT * FROM runs;

-- A lease that ended without a word: somebody else's turn, under another token
TRUNCATE invoices, reconciler.transitions;
CALL pass_time();
INSERT INTO invoices (id) SELECT generate_series(1, 3);
SELECT DISTINCT token AS first_token FROM reconciler.claim('w1', :net, -1, 10, '15 s', '15 s') \gset
SELECT * FROM claimed(10, worker_id => 'w2');
CALL pass_time();
SELECT * FROM claimed(10, worker_id => 'w2');
SELECT lease_owner, lease_token <> :'first_token' AS other_token FROM reconciler.batches WHERE network_id = :net;

-- What a worker is told: what is known, what expires, and what must be told again
UPDATE reconciler.queue SET seen = 10, settled = 0 WHERE request_id = '1';
UPDATE reconciler.queue SET seen = 100, settled = 0 WHERE request_id = '2';
UPDATE invoices SET expires_at = clock_timestamp() - interval '1 s' WHERE id = 3;
UPDATE reconciler.batches SET failures = 1;
CALL pass_time();
SELECT * FROM claimed(10);
-- A lower threshold makes the first one due
SELECT reconciler.set_network('ethereum', 'local', detected_bps => 1000);
CALL pass_time();
SELECT * FROM claimed(10);
SELECT reconciler.set_network('ethereum', 'local', detected_bps => 10000);

-- What can't be observed is not handed out
INSERT INTO invoices (id, address_canonical, expires_at) VALUES
	(11, 'nowhere', clock_timestamp() - interval '59 min'),
	(12, 'nowhere', clock_timestamp() - interval '61 min'),
	(13, 'nowhere', NULL);
CALL pass_time();
SELECT * FROM claimed(10);
SELECT id, status FROM invoices WHERE id > 10 ORDER BY id;
-- and expires after the grace, when workers tidy up
SELECT reconciler.maintain('w1');
SELECT id, status FROM invoices WHERE id > 10 ORDER BY id;
SELECT source, request_id, from_status, to_status, reason, seen, block_height, worker_id
FROM reconciler.transitions ORDER BY transition_id;

-- Batches of nothing but those are passed by
DELETE FROM invoices WHERE id < 10;
INSERT INTO invoices (id) VALUES (20);
CALL pass_time();
SELECT * FROM claimed(2);
SELECT * FROM runs;

-- The queue is lost, as after a crash, and comes back with the next claim
TRUNCATE invoices, reconciler.transitions;
INSERT INTO invoices (id, status) SELECT i, CASE WHEN i % 3 = 0 THEN 'confirmed' ELSE 'pending' END FROM generate_series(1, 9) i;
TRUNCATE reconciler.queue, reconciler.batches, reconciler.network_state;
INSERT INTO invoices (id) VALUES (10);
SELECT * FROM claimed(3);
SELECT * FROM runs;

-- A network that is switched off or unknown is left alone
SELECT reconciler.set_network('ethereum', 'local', enabled => false);
CALL pass_time();
SELECT * FROM claimed(3);
SELECT * FROM reconciler.claim('w1', 4711, -1, 3, '15 s', '15 s');
SELECT reconciler.set_network('ethereum', 'local', enabled => true);

-- Bad arguments
SELECT * FROM reconciler.claim(NULL, :net, -1, 3, '15 s', '15 s');
SELECT * FROM reconciler.claim('w1', :net, -1, 0, '15 s', '15 s');
SELECT * FROM reconciler.claim('w1', :net, -1, 3, '-1 s', '15 s');
SELECT * FROM reconciler.claim('w1', :net, -1, 3, '15 s', '0 s');

-- Plans that were made while the tables were empty must do when they aren't: a
-- claim reads its batch, and not the table. Counted within the transaction.
TRUNCATE invoices, reconciler.transitions;
TRUNCATE reconciler.batches;
VACUUM ANALYZE reconciler.queue, reconciler.batches, reconciler.network_state;
DO $$
BEGIN
	FOR i IN 1 .. 10 LOOP
		UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
		PERFORM reconciler.claim('w1', (SELECT max(network_id) FROM reconciler.networks), -1, 10, '15 s', '15 s');
	END LOOP;
END $$;
INSERT INTO invoices (id) SELECT generate_series(1, 20000);
CALL pass_time();
BEGIN;
CREATE TEMP VIEW work AS
SELECT sum(seq_scan) AS seq_scans, sum(n_tup_ins) AS inserted, sum(n_tup_upd) AS updated, sum(n_tup_hot_upd) AS hot_updated,
	   sum(idx_tup_fetch) AS fetched
FROM pg_stat_xact_user_tables WHERE schemaname = 'reconciler' AND relname IN ('queue', 'batches');
SELECT * FROM work \gset before_
SELECT count(*) FROM reconciler.claim('w1', :net, -1, 10, '15 s', '15 s');
SELECT seq_scans - :before_seq_scans AS seq_scans, inserted - :before_inserted AS inserted, updated - :before_updated AS updated,
	   hot_updated - :before_hot_updated AS hot_updated, fetched - :before_fetched < 50 AS only_its_batch
FROM work;
COMMIT;

DROP EXTENSION reconciler CASCADE;
DROP FUNCTION claimed;
DROP PROCEDURE pass_time;
DROP TABLE invoices;
