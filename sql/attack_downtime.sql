-- A followed network that nobody has read for longer than the grace: the first
-- failure afterwards makes nothing expire, failures for as long as the grace do.
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('bitcoin', 'regtest', kind => 'bitcoind', expiry_grace => '1 hour') AS net \gset
CREATE TABLE requests (id int PRIMARY KEY, status text DEFAULT 'pending', chain text DEFAULT 'bitcoin', network text DEFAULT 'regtest',
	expected_amount_minor numeric DEFAULT 100, address_canonical text DEFAULT 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', expires_at timestamptz);
SELECT reconciler.attach('requests', allow_superuser_owner => true) > 0 AS attached;
INSERT INTO requests (id, expires_at) VALUES (1, now() - interval '2 hours'), (2, now() - interval '30 minutes'), (3, NULL);
CREATE FUNCTION fail() RETURNS TABLE (outcome text, request_id text, to_status text, reason text) LANGUAGE plpgsql AS $$
DECLARE
	t xid8;
BEGIN
	UPDATE reconciler.cursor_leases SET due_at = '-infinity', lease_until = NULL;
	SELECT c.token INTO t FROM reconciler.claim_cursor('w', 1, '15 s', '15 s') c;
	RETURN QUERY SELECT f.outcome, f.request_id, f.to_status, f.reason FROM reconciler.fail_network('w', 1, t, 'connection refused', true) f;
END
$$;
CREATE PROCEDURE pass(by interval) LANGUAGE sql AS $$
	UPDATE reconciler.cursor_leases SET failing_since = failing_since - by, failed_at = failed_at - by;
$$;
SELECT * FROM fail();
CALL pass('30 minutes');
-- So long nobody has looked: the failures begin anew
SELECT * FROM fail();
SELECT failures, failing_since > now() - interval '1 minute' AS anew FROM reconciler.cursor_leases;
CALL pass('10 minutes');
SELECT * FROM fail();
SELECT failures, failing_since > now() - interval '1 minute' AS anew FROM reconciler.cursor_leases;
UPDATE reconciler.cursor_leases SET failing_since = now() - interval '61 minutes';
SELECT * FROM fail();
SELECT id, status FROM requests ORDER BY id;
-- Another endpoint: its failures are its own
INSERT INTO requests (id, expires_at) VALUES (4, now() - interval '2 hours');
SELECT reconciler.set_network('bitcoin', 'regtest', endpoints => '{http://127.0.0.1:1}');
SELECT * FROM fail();
SELECT id, status FROM requests ORDER BY id;
DROP TABLE requests;
DROP FUNCTION fail;
DROP PROCEDURE pass;
DROP EXTENSION reconciler;
