-- What is late, what ended requests still get, and confirmations that lost their payment.

CREATE FUNCTION _date_payments(n networks, source_ids int[], request_ids text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	v_in_time text := reconciler._in_time(n);
	p reconciler.payments;
BEGIN
	FOR p IN
		UPDATE reconciler.payments x SET late = NOT x.late
		FROM unnest(source_ids, request_ids) AS k(source_id, request_id)
		CROSS JOIN LATERAL (
			SELECT q.expires_at FROM reconciler.queue q WHERE q.source_id = k.source_id AND q.request_id = k.request_id
			UNION ALL
			SELECT w.expires_at FROM reconciler.watched w WHERE w.source_id = k.source_id AND w.request_id = k.request_id
			LIMIT 1) e
		WHERE x.source_id = k.source_id AND x.request_id = k.request_id AND x.network_id + 0 = n.network_id
		  AND x.late <> reconciler._is_late(e.expires_at, v_in_time, x.first_seen, x.block_time)
		RETURNING x.*
	LOOP
		IF p.late AND p.gone_at IS NULL THEN
			PERFORM reconciler._payment_event('payment.late', p);
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION _date_payments(networks, int[], text[]) IS
'Says anew which payments of requests are late: their block has come, or another one, or the request has another expires_at';

CREATE FUNCTION _note_over(n networks, source_id int, request_id text)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	SELECT reconciler._event('payment.over', $2, $3, jsonb_build_object('chain', n.chain, 'network', n.network,
		'expected', e.expected::text, 'received', r.received::text, 'excess', (r.received - e.expected)::text))
	FROM (SELECT q.expected FROM reconciler.queue AS q WHERE q.source_id = $2 AND q.request_id = $3
		  UNION ALL
		  SELECT w.expected FROM reconciler.watched AS w WHERE w.source_id = $2 AND w.request_id = $3 LIMIT 1) AS e
	CROSS JOIN (SELECT sum(p.amount) AS received FROM reconciler.payments AS p
				WHERE p.source_id = $2 AND p.request_id = $3 AND p.chain = n.chain AND p.network = n.network
				  AND p.confirmed AND p.gone_at IS NULL AND NOT p.late) AS r
	WHERE r.received > e.expected
$$;

COMMENT ON FUNCTION _note_over(networks, int, text) IS 'Tells of a request that has got more than it asked for';

-- As often as what is confirmed grows, and in the transaction that settles it
CREATE FUNCTION _note_confirmed(n networks, source_ids int[], request_ids text[], depth bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	told reconciler.payments[] := '{}';
	p reconciler.payments;
BEGIN
	FOR p IN
		WITH told AS (
			UPDATE reconciler.payments x SET confirmed = true
			FROM unnest(source_ids, request_ids) AS k(source_id, request_id)
			WHERE x.source_id = k.source_id AND x.request_id = k.request_id AND x.network_id + 0 = n.network_id
			  AND x.block_height <= depth AND NOT x.confirmed AND x.gone_at IS NULL AND NOT x.unproven
			RETURNING x.*
		)
		SELECT t.* FROM told t ORDER BY t.payment_id
	LOOP
		PERFORM reconciler._payment_event('payment.confirmed', p);
		told := told || p;
	END LOOP;
	PERFORM reconciler._note_over(n, k.source_id, k.request_id)
	FROM (SELECT DISTINCT t.source_id, t.request_id FROM unnest(told) AS t WHERE NOT t.late) AS k;
END
$$;

COMMENT ON FUNCTION _note_confirmed(networks, int[], text[], bigint) IS
'Tells, once, of payments that have reached the depth, and of requests that have got too much by them';

-- An expires_at that was put off makes late payments ones in time, and no block says so.
CREATE FUNCTION _watch_on(n networks)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	DELETE FROM reconciler.watched w
	USING (SELECT x.source_id, x.request_id FROM reconciler.watched x
		   WHERE x.network_id = n.network_id AND x.until <= clock_timestamp() LIMIT 10000 FOR UPDATE SKIP LOCKED) d
	WHERE w.source_id = d.source_id AND w.request_id = d.request_id;

	INSERT INTO reconciler.payment_changes (network_id, source_id, request_id)
	SELECT DISTINCT n.network_id, p.source_id, p.request_id FROM reconciler.payments p
	CROSS JOIN LATERAL (SELECT q.expires_at FROM reconciler.queue q
						WHERE q.source_id = p.source_id AND q.request_id = p.request_id OFFSET 0) q
	WHERE p.network_id = n.network_id AND p.late AND p.first_seen > clock_timestamp() - interval '7 days'
	  AND NOT reconciler._is_late(q.expires_at, reconciler._in_time(n), p.first_seen, p.block_time)
	ON CONFLICT DO NOTHING;
END
$$;

COMMENT ON FUNCTION _watch_on(networks) IS
'Once a minute: forgets requests that have been watched long enough, and has those judged anew whose late payments are in time by now';

-- Confirmed requests whose payment was taken back afterwards: deeper than the
-- confirmations that were waited for. Nothing changes their status; somebody must know.
CREATE TABLE undone_confirmations (
	source_id int NOT NULL,
	request_id text NOT NULL,
	source text NOT NULL,
	chain text NOT NULL,
	network text NOT NULL,
	needed numeric NOT NULL,		-- minor units that must be in blocks
	in_blocks numeric NOT NULL,		-- that were, when it was found out
	undone_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	restored_at timestamptz,		-- they are again since then
	PRIMARY KEY (source_id, request_id)
);

COMMENT ON TABLE undone_confirmations IS
'Requests that were confirmed, and whose payment a reorganisation deeper than networks.confirmations took away; restored_at: blocks have it again. Whoever has seen to one may delete its row';

CREATE FUNCTION _report_undone(c undone_confirmations)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	what text := CASE WHEN c.restored_at IS NULL THEN 'undone' ELSE 'restored' END;
BEGIN
	INSERT INTO reconciler.undone_confirmations AS u
	SELECT (c).*
	ON CONFLICT (source_id, request_id) DO UPDATE
	SET needed = excluded.needed, in_blocks = excluded.in_blocks, restored_at = excluded.restored_at,
		undone_at = CASE WHEN c.restored_at IS NULL THEN excluded.undone_at ELSE u.undone_at END;
	PERFORM reconciler._event('confirmation.' || what, c.source_id, c.request_id, jsonb_build_object(
		'chain', c.chain, 'network', c.network, 'needed', c.needed::text, 'in_blocks', c.in_blocks::text));
	RAISE WARNING 'confirmation % source=% request_id=% chain=% network=% needed=% in_blocks=%', what,
		reconciler._log_value(c.source), reconciler._log_value(c.request_id), reconciler._log_value(c.chain),
		reconciler._log_value(c.network), c.needed, c.in_blocks;
END
$$;

COMMENT ON FUNCTION _report_undone(undone_confirmations) IS
'Keeps that the payment of a confirmed request was taken away, or is back, and tells of it in events and log';

-- What was enough must be in blocks still, at whatever depth. The request says
-- what is enough, as long as it is watched; else what it was confirmed with.
CREATE FUNCTION _note_undone(n networks, source_ids int[], request_ids text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT k.source_id, k.request_id, t.source, coalesce(reconciler._threshold(w.expected, n.confirmed_bps), t.settled) AS needed,
			   s.in_blocks, s.found, u.source_id IS NOT NULL AND u.restored_at IS NULL AS undone
		FROM unnest(source_ids, request_ids) AS k(source_id, request_id)
		CROSS JOIN LATERAL (SELECT * FROM reconciler.transitions x
							WHERE x.source_id = k.source_id AND x.request_id = k.request_id
							ORDER BY x.transition_id DESC LIMIT 1) t
		LEFT JOIN reconciler.watched w ON w.source_id = k.source_id AND w.request_id = k.request_id
		LEFT JOIN reconciler.undone_confirmations u ON u.source_id = k.source_id AND u.request_id = k.request_id
		CROSS JOIN LATERAL (
			SELECT coalesce(sum(p.amount) FILTER (WHERE p.block_height IS NOT NULL AND p.gone_at IS NULL), 0) AS in_blocks,
				   coalesce(sum(p.amount), 0) AS found
			FROM reconciler.payments p
			WHERE p.source_id = k.source_id AND p.request_id = k.request_id AND p.chain = n.chain AND p.network = n.network
			  AND NOT p.late) s
		WHERE t.reason = 'settled'
		  AND NOT EXISTS (SELECT FROM reconciler.queue q WHERE q.source_id = k.source_id AND q.request_id = k.request_id)
		ORDER BY k.source_id, k.request_id
	LOOP
		IF (c.in_blocks < c.needed AND c.found >= c.needed AND NOT c.undone) OR (c.in_blocks >= c.needed AND c.undone) THEN
			PERFORM reconciler._report_undone(ROW(c.source_id, c.request_id, c.source, n.chain, n.network, c.needed, c.in_blocks,
				clock_timestamp(), CASE WHEN c.undone THEN clock_timestamp() END)::reconciler.undone_confirmations);
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION _note_undone(networks, int[], text[]) IS
'Reports, once, confirmed requests of which blocks don''t have the payment any more, and when they have it again';
