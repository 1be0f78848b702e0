-- What settle does not believe, and what of it may and may not make a request
-- expire: doubts, looks that asked nobody, settings that have changed
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'mainnet', chain_id => 1, confirmations => 3, max_tip_age => '10 min',
	expiry_grace => '1 hour') AS net \gset
CREATE TABLE invoices (
	id int PRIMARY KEY,
	chain text DEFAULT 'ethereum',
	network text DEFAULT 'mainnet',
	status text DEFAULT 'pending',
	expected_amount_minor numeric DEFAULT 100,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa',
	token_contract text,
	expires_at timestamptz
);
SELECT reconciler.attach('invoices', allow_superuser_owner => true) > 0 AS attached;

-- Overdue for longer than the grace, as long as looks have failed: one more, and it is over
CREATE FUNCTION fresh() RETURNS void LANGUAGE sql AS $$
	TRUNCATE invoices, reconciler.transitions;
	INSERT INTO invoices (id, expires_at) VALUES (1, clock_timestamp() - interval '2 hours');
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL, lease_token = NULL, failures = 0,
		failing_since = clock_timestamp() - interval '2 hours', failed_at = clock_timestamp();
	DELETE FROM reconciler.network_state;
$$;
-- Claims, and settles an observation: time is added to now, in s; null: left out
CREATE FUNCTION look(failure text DEFAULT NULL, asked boolean DEFAULT NULL, height bigint DEFAULT 100,
	shift numeric DEFAULT 0, seen text DEFAULT '0', more jsonb DEFAULT '{}')
RETURNS TABLE (outcome text, reason text, status text, failures int, due text, doubts bigint, shown boolean)
LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	SELECT x.lo, x.token, x.seq INTO c FROM reconciler.claim('w1',
		(SELECT n.network_id FROM reconciler.networks n WHERE n.chain = 'ethereum'), -1, 100, '15 s', '15 s') x;
	SELECT s.outcome, regexp_replace(s.reason, '[0-9-]{10,} [0-9:]{8}', '(time)') INTO outcome, reason
	FROM reconciler.settle('w1', (SELECT n.network_id FROM reconciler.networks n WHERE n.chain = 'ethereum'), c.lo, c.token,
		jsonb_strip_nulls(jsonb_build_object('failure', failure, 'asked', asked,
			'tip', jsonb_build_object('height', height, 'hash', 'h', 'time', floor(extract(epoch FROM clock_timestamp()) + shift)),
			'depth', jsonb_build_object('height', height - 2, 'hash', 'd'),
			'requests', jsonb_build_array(jsonb_build_object('seq', c.seq, 'seen', seen, 'settled', seen)))) || more) s;
	SELECT i.status INTO status FROM invoices i;
	SELECT b.failures, CASE WHEN b.due_at <= clock_timestamp() THEN 'now' ELSE (b.due_at - b.claimed_at)::text END
	INTO failures, due FROM reconciler.batches b WHERE b.network_id <> 0;
	SELECT n.doubts, n.error IS NOT NULL INTO doubts, shown FROM reconciler.stat_networks n WHERE n.chain = 'ethereum';
	RETURN NEXT;
END
$$;

-- A failed look of an endpoint that was asked. The first one ends nothing: nobody has looked before
SELECT fresh();
SELECT * FROM look('connection refused');
SELECT fresh();
SELECT * FROM look('connection refused');
SELECT fresh();
SELECT * FROM look('connection refused', asked => true);
-- Nobody was asked: no failure, and somebody else may look at once
SELECT fresh();
SELECT * FROM look('all endpoints rest', asked => false);

-- Doubts: behind, ahead of all clocks, in ms, without a time, without a tip, at a height that can't be
SELECT fresh();
SELECT * FROM look(shift => -660);
SELECT fresh();
SELECT * FROM look(shift => 960);
SELECT fresh();
SELECT * FROM look(shift => 960, seen => '100');
SELECT fresh();
\set VERBOSITY sqlstate
SELECT * FROM look(shift => 1767225600000 - 1767225600, seen => '100');
\set VERBOSITY default
SELECT fresh();
SELECT * FROM look(more => '{"tip": {"height": 100}}');
SELECT fresh();
SELECT * FROM look(more => '{"tip": null}');
SELECT fresh();
SELECT * FROM look(height => 9223372036854775807);
SELECT fresh();
SELECT * FROM look(height => -5);
SELECT fresh();
SELECT * FROM look(more => '{"depth": {"height": 101, "hash": "d"}}', seen => '100');
SELECT fresh();
SELECT * FROM look(more => '{"chain_id": 5}', seen => '100');
-- They are counted, also when they come often
SELECT fresh();
SELECT doubts FROM look(more => '{"chain_id": 5}');
UPDATE reconciler.batches SET due_at = '-infinity';
SELECT doubts FROM look(more => '{"chain_id": 5}');

-- A time that is none is refused; a tip of a minute ahead is believed
SELECT fresh();
SELECT * FROM look(more => '{"tip": {"height": 100, "hash": "h", "time": 1e300}}');
SELECT fresh();
SELECT * FROM look(shift => 60, seen => '100');

-- Behind by height: only where the tip is old, too
SELECT fresh();
INSERT INTO reconciler.network_state (network_id, best_height, best_at) VALUES (:net, 200, clock_timestamp());
SELECT * FROM look(shift => -60);
SELECT fresh();
INSERT INTO reconciler.network_state (network_id, best_height, best_at) VALUES (:net, 200, clock_timestamp());
SELECT * FROM look(shift => -10, seen => '100');

-- Settings that have changed since the claim: nothing is believed, nothing has
-- failed, and a look by the new ones may begin at once. The same goes for a failure
SELECT version FROM reconciler.networks WHERE chain = 'ethereum' \gset
SELECT fresh();
SELECT * FROM look(seen => '100', more => format('{"version": %s}', :version)::jsonb);
SELECT fresh();
SELECT lo, token, seq FROM reconciler.claim('w1', :net, -1, 100, '15 s', '15 s', :version) \gset
SELECT reconciler.set_network('ethereum', 'mainnet', confirmations => 30);
SELECT * FROM reconciler.settle('w1', :net, :lo, :'token', format(
	'{"version": %s, "tip": {"height": 100, "hash": "h", "time": %s}, "depth": {"height": 98, "hash": "d"},
	  "requests": [{"seq": %s, "seen": "100", "settled": "100"}]}', :version,
	(SELECT floor(extract(epoch FROM clock_timestamp()))), :seq)::jsonb);
SELECT lease_token, failures, error, due_at <= clock_timestamp() AS due FROM reconciler.batches WHERE network_id = :net;
SELECT status FROM invoices;
SELECT * FROM look('connection refused', more => format('{"version": %s}', :version)::jsonb);
SELECT * FROM reconciler.claim('w1', :net, -1, 100, '15 s', '15 s', :version);
SELECT reconciler.set_network('ethereum', 'mainnet', confirmations => 3);

-- What a node that knows less doesn't see any more is no failed look either
SELECT fresh();
UPDATE reconciler.queue SET seen = 50, settled = 0, seen_height = 120;
SELECT * FROM look(shift => -10, seen => '0');

DROP FUNCTION fresh, look;
DROP TABLE invoices;
DROP EXTENSION reconciler CASCADE;
