-- What came of a request, for the columns that an attached table has for it.

CREATE TYPE _result AS (
	change _change,
	received numeric,			-- minor units, as far as they were seen
	paid_at timestamptz,		-- of the last payment's block, or when it was first seen; null: the network isn't followed
	transaction_id text			-- of the last payment
);

CREATE FUNCTION _results(source_id int, changes _change[]) RETURNS _result[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
	SELECT array_agg(ROW(c, greatest(c.seen, c.settled), p.paid_at, p.txid)::reconciler._result)
	FROM unnest($2) AS c
		LEFT JOIN LATERAL (
			SELECT coalesce(x.block_time, x.first_seen) AS paid_at, x.txid FROM reconciler.payments AS x
			WHERE x.source_id = $1 AND x.request_id = c.request_id AND x.gone_at IS NULL AND x.amount > 0
			ORDER BY x.block_height DESC NULLS FIRST, x.payment_id DESC LIMIT 1) AS p ON true
$$;

COMMENT ON FUNCTION _results(int, _change[]) IS 'For each change what was received until then, when and by which transaction the last of it came';
