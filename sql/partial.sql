-- Requests that were detected and come to no good end: a part that is never
-- followed by the rest, a payment that goes and had all the time in the world.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'mainnet', chain_id => 1, confirmations => 3, expiry_grace => '1 hour',
	detected_bps => 5000) AS net \gset
CREATE ROLE regress_shop;
CREATE TABLE invoices (id int PRIMARY KEY, chain text DEFAULT 'ethereum', network text DEFAULT 'mainnet',
	status text DEFAULT 'pending', expected_amount_minor numeric DEFAULT 100,
	address_canonical text DEFAULT '0x00000000000000000000000000000000000000aa', expires_at timestamptz);
ALTER TABLE invoices OWNER TO regress_shop;
SELECT reconciler.attach('invoices') > 0 AS attached;

-- A look as a worker makes it: what is unchanged and needn't be reported isn't
CREATE FUNCTION look(height bigint, amounts jsonb, at_depth jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	net int := (SELECT max(network_id) FROM reconciler.networks);
	c record;
	said text;
BEGIN
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = lease_until - interval '1 day';
	UPDATE reconciler.network_state SET observed_at = observed_at - interval '1 minute';
	SELECT x.lo, x.token, coalesce(jsonb_agg(jsonb_build_object('seq', x.seq, 'seen', a.seen, 'settled', a.settled))
			FILTER (WHERE x.expiring OR (x.seen, x.settled) IS DISTINCT FROM (a.seen::numeric, a.settled::numeric)), '[]') AS found INTO c
	FROM reconciler.claim('w', net, -1, 100, '1 min', '1 min') x JOIN reconciler.queue q USING (seq)
	CROSS JOIN LATERAL (SELECT coalesce(amounts ->> q.request_id, '0'), coalesce(coalesce(at_depth, amounts) ->> q.request_id, '0')) a(seen, settled)
	GROUP BY 1, 2;
	SELECT string_agg(concat_ws(' ', s.outcome, s.request_id, s.from_status, s.to_status, s.reason), ', ' ORDER BY s.request_id) INTO said
	FROM reconciler.settle('w', net, c.lo, c.token, jsonb_build_object(
		'tip', jsonb_build_object('height', height, 'time', floor(extract(epoch FROM clock_timestamp()))),
		'depth', jsonb_build_object('height', height - 2), 'requests', c.found)) s;
	RETURN said;
END $$;
CREATE PROCEDURE expire(id int, ago interval) LANGUAGE sql AS $$
	UPDATE invoices SET expires_at = clock_timestamp() - ago WHERE invoices.id = expire.id
$$;

-- Half is paid: detected, and the rest may come until the grace is over
INSERT INTO invoices (id, expires_at) VALUES (1, clock_timestamp() + interval '1 hour');
SELECT look(100, '{"1": "50"}');
SELECT look(110, '{"1": "50"}');
CALL expire(1, '59 minutes');
SELECT look(120, '{"1": "50"}');
-- The rest is seen in time, and waits for its depth, however long
SELECT look(121, '{"1": "100"}', '{"1": "50"}');
CALL expire(1, '61 minutes');
SELECT look(122, '{"1": "100"}', '{"1": "50"}');
-- A reorganisation takes the rest away: that doesn't end it at once
SELECT look(123, '{"1": "50"}');
SELECT look(124, '{"1": "100"}', '{"1": "50"}');
SELECT look(125, '{"1": "100"}');
-- The rest never comes
INSERT INTO invoices (id, expires_at) VALUES (2, clock_timestamp() + interval '1 hour');
SELECT look(130, '{"2": "99"}');
CALL expire(2, '59 minutes');
SELECT look(140, '{"2": "99"}');
CALL expire(2, '61 minutes');
SELECT look(141, '{"2": "99"}');
SELECT seen, settled FROM reconciler.transitions WHERE request_id = '2' ORDER BY transition_id;
-- The rest was there, and goes: after as many blocks as would have confirmed it
INSERT INTO invoices (id, expires_at) VALUES (3, clock_timestamp() + interval '1 hour');
SELECT look(150, '{"3": "100"}', '{"3": "50"}');
CALL expire(3, '61 minutes');
SELECT look(151, '{"3": "50"}');
SELECT look(152, '{"3": "50"}');
SELECT look(153, '{"3": "50"}');
-- Without an end there is none
INSERT INTO invoices (id) VALUES (4);
SELECT look(160, '{"4": "50"}');
SELECT look(1000, '{"4": "50"}');

-- A payment goes, and the request has no end: it is pending again, and the
-- payment is noticed when it comes back
SELECT look(1001, '{"4": "0"}');
SELECT look(1002, '{"4": "0"}');
SELECT look(1003, '{"4": "0"}');
SELECT id, status FROM invoices WHERE id = 4;
SELECT status, seen FROM reconciler.queue WHERE request_id = '4';
SELECT look(1004, '{"4": "0"}');
SELECT look(1005, '{"4": "100"}', '{}');
SELECT look(1006, '{"4": "0"}');
SELECT look(1007, '{"4": "100"}', '{}');
SELECT look(1009, '{"4": "100"}');
-- With an end it is as before
INSERT INTO invoices (id, expires_at) VALUES (5, clock_timestamp() + interval '1 hour');
SELECT look(1100, '{"5": "100"}', '{}');
SELECT look(1101, '{"5": "0"}');
SELECT look(1110, '{"5": "0"}');
CALL expire(5, '1 minute');
SELECT look(1111, '{"5": "0"}');
-- Without the table's triggers the queue is kept in step, too
INSERT INTO invoices (id) VALUES (6);
SELECT look(1200, '{"6": "100"}', '{}');
ALTER TABLE invoices DISABLE TRIGGER ALL;
SELECT look(1201, '{"6": "0"}');
SELECT look(1204, '{"6": "0"}');
SELECT i.status, q.status AS queued FROM invoices i JOIN reconciler.queue q ON q.request_id = i.id::text WHERE i.id = 6;
SELECT from_status, to_status, reason FROM reconciler.transitions WHERE request_id IN ('4', '6') ORDER BY transition_id;

DROP EXTENSION reconciler CASCADE;
DROP TABLE invoices;
DROP FUNCTION look;
DROP PROCEDURE expire;
DROP ROLE regress_shop;
