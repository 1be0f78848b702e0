-- What came of a request, for the columns that an attached table has for it.

CREATE TYPE _result AS (
	change _change,
	received numeric,			-- minor units, as far as they were seen
	paid_at timestamptz,		-- of the payment that made it enough, or else of the last: its block's time, or when it was first seen; null: the network isn't followed
	transaction_id text			-- of that payment
);

CREATE FUNCTION _results(source_id int, changes _change[]) RETURNS _result[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
	SELECT array_agg(ROW(c, greatest(c.seen, c.settled), p.paid_at, p.txid)::reconciler._result)
	FROM unnest($2) AS c
		LEFT JOIN LATERAL (
			SELECT coalesce(x.block_time, x.first_seen) AS paid_at, x.txid
			FROM (SELECT y.*, sum(y.amount) OVER (ORDER BY y.block_height NULLS LAST, y.payment_id) AS until_then
				  FROM reconciler.payments AS y
				  WHERE y.source_id = $1 AND y.request_id = c.request_id AND y.gone_at IS NULL AND NOT y.unproven AND NOT y.late
					AND y.amount > 0) AS x
				LEFT JOIN reconciler.queue AS q ON q.source_id = $1 AND q.request_id = c.request_id
				LEFT JOIN reconciler.networks AS n ON n.network_id = q.network_id
			ORDER BY x.until_then >= reconciler._threshold(q.expected, n.confirmed_bps) DESC NULLS LAST,
				CASE WHEN x.until_then >= reconciler._threshold(q.expected, n.confirmed_bps) THEN x.until_then END,
				x.until_then DESC LIMIT 1) AS p ON true
$$;

COMMENT ON FUNCTION _results(int, _change[]) IS
'For each change what was received until then, and when and by which transaction it was enough; while it isn''t, those of the last payment';
