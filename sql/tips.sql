-- Looks follow the tip: who asks for it, and what a block makes due
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'tips', ARRAY['http://127.0.0.1:1'], 31337, tip_interval => '1 hour') AS net \gset

SELECT reconciler.claim_tip('w1', -1) IS NULL AS no_such_network;
SELECT reconciler.claim_tip('w1', :net) BETWEEN 3500000 AND 3600000 AS nobody_waits;
CREATE TABLE r (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'tips',
	expected_amount_minor numeric, address_canonical text, expires_at timestamptz);
SELECT reconciler.attach('r', allow_superuser_owner => true);
INSERT INTO r (id, address_canonical) VALUES (1, '0x' || repeat('a1', 20));
SELECT reconciler.claim_tip('w1', :net);
SELECT reconciler.claim_tip('w2', :net) BETWEEN 3500000 AND 3600000 AS one_at_a_time;

-- After a clock that was ahead was put right
UPDATE reconciler.tips SET due_at = clock_timestamp() + interval '1 day' WHERE network_id = :net;
SELECT reconciler.claim_tip('w2', :net);

-- Batches: one that waits, one that is being looked at
INSERT INTO reconciler.batches (network_id, lo, hi, due_at) VALUES (:net, 0, 10, now() + interval '1 hour');
INSERT INTO reconciler.batches (network_id, lo, hi, due_at, lease_owner, lease_until, lease_token)
VALUES (:net, 10, 20, now() + interval '1 hour', 'w', now() + interval '1 hour', '5');
SELECT reconciler.note_tip('w1', :net, 100);
SELECT lo, due_at, lease_owner FROM reconciler.batches WHERE network_id = :net ORDER BY lo;
UPDATE reconciler.batches SET due_at = now() + interval '1 hour' WHERE network_id = :net;
SELECT reconciler.note_tip('w1', :net, 100) AS again, reconciler.note_tip('w1', :net, 99) AS behind;
SELECT bool_and(isfinite(due_at)) AS nothing_is_due FROM reconciler.batches WHERE network_id = :net;
SELECT reconciler.note_tip('w1', :net, 101);

-- A chain that is lower for long has been rolled back
UPDATE reconciler.tips SET raised_at = now() - interval '2 minutes' WHERE network_id = :net;
SELECT reconciler.note_tip('w1', :net, 50);

-- Nobody but a worker
SELECT reconciler.claim_tip(NULL, :net);
SELECT reconciler.note_tip('', :net, 1);
SELECT reconciler.remove_network('ethereum', 'tips');
SELECT count(*) FROM reconciler.tips;
DROP EXTENSION reconciler CASCADE;
DROP TABLE r;
