-- Events: each status change, and each reopening, leaves one in the transaction that makes it true.
\set SHOW_CONTEXT never
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', ARRAY['http://127.0.0.1:8545'], 31337) AS net \gset
SELECT reconciler.create_table('public.r', allow_superuser_owner => true);
INSERT INTO r (id, chain, network, expected_amount_minor, address_canonical, expires_at)
SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'ethereum', 'local', 5, '0x00000000000000000000000000000000000000a' || i,
	CASE i WHEN 3 THEN now() - interval '1 second' END
FROM generate_series(1, 4) i;
CREATE FUNCTION look(amounts text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	net int := (SELECT network_id FROM reconciler.networks WHERE network = 'local');
	c record;
	asked jsonb;
BEGIN
	UPDATE reconciler.batches SET due_at = '-infinity', lease_until = NULL;
	SELECT lo, token, jsonb_agg(jsonb_build_object('seq', seq, 'seen', amounts[substr(address, 42)::int],
		'settled', amounts[substr(address, 42)::int])) AS requests
		INTO c FROM reconciler.claim('w', net, -1, 100, '1 min', '1 min') GROUP BY lo, token;
	asked := jsonb_build_object('tip', jsonb_build_object('height', 10, 'hash', '0x10', 'time', extract(epoch FROM clock_timestamp())::bigint),
		'depth', jsonb_build_object('height', 9, 'hash', '0x9', 'time', extract(epoch FROM clock_timestamp())::bigint), 'requests', c.requests);
	RETURN (SELECT count(*) FROM reconciler.settle('w', net, c.lo, c.token, asked) s WHERE s.outcome = 'transition');
END $$;
SELECT look('{5,5,0,0}');
SELECT e.kind, e.source, right(e.request_id, 1) AS request, e.payload, e.at = t.at AS same_time
FROM reconciler.events e JOIN reconciler.transitions t USING (source_id, request_id) ORDER BY e.event_id;

-- A reopening is one, too, whoever it is that reopens
BEGIN;
SELECT reconciler.reopen('r', '00000000-0000-0000-0000-000000000001');
SELECT kind, right(request_id, 1) AS request, payload, xid = pg_current_xact_id() AS same_transaction FROM reconciler.events ORDER BY event_id DESC LIMIT 1;
ROLLBACK;
SELECT reconciler.detach('r');
UPDATE r SET status = 'pending';
SELECT reconciler.attach('r', allow_superuser_owner => true, reopen => true) > 0 AS attached;
SELECT kind, right(request_id, 1) AS request, payload FROM reconciler.events WHERE kind = 'request.reopened' ORDER BY request_id;

DROP TABLE r;
DROP FUNCTION look;
DROP EXTENSION reconciler;
