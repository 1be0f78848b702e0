-- The server's clock was a year ahead, and has been put right: what was leased and
-- put off meanwhile doesn't wait for a year. All times that a worker has left
-- behind are moved, which is what a clock that goes back amounts to.
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', chain_id => 31337, rate_limit => 1) AS net \gset
SELECT reconciler.add_network('bitcoin', 'regtest', kind => 'bitcoind') AS btc \gset
CREATE TABLE requests (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'ethereum', network text DEFAULT 'local',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa');
SELECT reconciler.attach('requests', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO requests (id) VALUES (1), (2);
CREATE PROCEDURE clock_goes_back(by interval) LANGUAGE sql AS $$
	UPDATE reconciler.batches SET lease_until = lease_until + by, claimed_at = claimed_at + by, due_at = due_at + by;
	UPDATE reconciler.cursor_leases SET lease_until = lease_until + by, claimed_at = claimed_at + by, due_at = due_at + by;
	UPDATE reconciler.network_state SET best_at = best_at + by, observed_at = observed_at + by;
	UPDATE reconciler.budgets SET spent_until = spent_until + by;
	UPDATE reconciler.resyncs SET tried_at = tried_at + by;
	UPDATE reconciler.sources SET resynced_at = resynced_at + by;
	UPDATE reconciler.event_consumers SET lease_until = lease_until + by;
	UPDATE reconciler.webhook_deliveries SET lease_until = lease_until + by, due_at = due_at + by;
	UPDATE reconciler.webhook_state SET rest_until = rest_until + by;
$$;
-- One batch under lease, one put off; a cursor; a budget; a tip
SELECT count(*) FROM reconciler.claim('w', :net, -1, 1, '15 s', '15 s');
SELECT lo, token FROM reconciler.claim('w', :net, 0, 1, '15 s', '15 s') \gset
SELECT count(*) FROM reconciler.settle('w', :net, :lo, :'token', '{"tip": {"height": 1000, "hash": "a", "time": 1}, "requests": []}');
SELECT count(*) FROM reconciler.claim_cursor('w', :btc, '15 s', '15 s');
SELECT reconciler.take_budget(:net, 10), reconciler.take_budget(:net, 10) > 9000 AS must_wait;
-- An event under lease, one that is being delivered, an endpoint that rests
SELECT reconciler.create_consumer('c');
SELECT reconciler.add_webhook('h', 'https://example.com/') <> '' AS added;
INSERT INTO requests (id, chain, status) VALUES (3, 'nowhere', 'confirmed');
SELECT reconciler.reopen('requests', '3');
SELECT kind FROM reconciler.read_events('c', reader => 'r1');
SELECT webhook_id FROM reconciler.webhooks_due('w') WHERE webhook_id IS NOT NULL;
SELECT count(*) FROM reconciler.claim_webhook('w', 1, 10);
UPDATE reconciler.webhook_state SET rest_until = clock_timestamp();
CALL clock_goes_back('1 year');
SELECT kind FROM reconciler.read_events('c', reader => 'r2');
SELECT count(*) FROM reconciler.claim_webhook('w2', 1, 10);
SELECT count(*) FROM reconciler.claim('w2', :net, -1, 10, '15 s', '15 s');
SELECT reconciler.due_in(:net) > 86400000 AS for_days;
SELECT reconciler.maintain('w2');
SELECT reconciler.due_in(:net), reconciler.due_in(:btc);
SELECT count(*) FROM reconciler.claim('w2', :net, -1, 10, '15 s', '15 s');
SELECT count(*) FROM reconciler.claim_cursor('w2', :btc, '15 s', '15 s');
SELECT reconciler.take_budget(:net, 10);
SELECT best_height, best_at, observed_at FROM reconciler.network_state WHERE network_id = :net;
SELECT kind FROM reconciler.read_events('c', reader => 'r2');
SELECT count(*) FROM reconciler.claim_webhook('w2', 1, 10);
SELECT count(*) FROM reconciler.resyncs WHERE tried_at > clock_timestamp();
SELECT count(*) FROM reconciler.sources WHERE resynced_at > clock_timestamp();
-- The old lease is over
SELECT reconciler.renew('w', :net, :lo, :'token', '15 s');
-- A clock that is put right by less than a minute ends no lease
CALL clock_goes_back('50 s');
SELECT reconciler.maintain('w2');
SELECT count(*) FROM reconciler.leases;
DROP TABLE requests;
DROP PROCEDURE clock_goes_back;
DROP EXTENSION reconciler;
