-- Looking back: reading old blocks for requests that came after their payment.

CREATE FUNCTION _created_at(source_id int, ids text[]) RETURNS TABLE (request_id text, created_at text)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reconciler_created_at';

COMMENT ON FUNCTION _created_at(int, text[]) IS 'When requests were made, as the application''s table has it';

CREATE FUNCTION _date_look_back(network_id int, source_id int, ids text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	-- A table that doesn't say when its requests were made: since then the chain may not have been read.
	v_unknown timestamptz := (SELECT least(c.read_until, clock_timestamp()) FROM reconciler.cursors c
							  WHERE c.network_id = _date_look_back.network_id);
BEGIN
	UPDATE reconciler.queue q
	SET look_back_since = greatest(least(coalesce(a.made, v_unknown), p.paid, clock_timestamp()), '1970-01-01'::timestamptz)
	FROM unnest(ids) AS i(id)
	LEFT JOIN (SELECT x.request_id, min(x.created_at::timestamptz) AS made
			   FROM reconciler._created_at(_date_look_back.source_id, ids) x GROUP BY 1) a ON a.request_id = i.id
	CROSS JOIN LATERAL (
		SELECT min(least(x.first_seen, x.block_time)) AS paid FROM reconciler.payments x
		WHERE x.source_id = _date_look_back.source_id AND x.request_id = i.id AND x.network_id + 0 = _date_look_back.network_id
		OFFSET 0) p
	WHERE q.source_id = _date_look_back.source_id AND q.request_id = i.id AND q.looking_back;
END
$$;

COMMENT ON FUNCTION _date_look_back(int, int, text[]) IS
'Notes from when on blocks are to be read again for requests: when they were made, or the first payment known of them if that was earlier';

CREATE FUNCTION begin_look_back(worker_id text, network_id int, token xid8, lease interval)
RETURNS TABLE (requests int, since double precision)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	r record;
BEGIN
	PERFORM reconciler._hold_cursor(begin_look_back.network_id, begin_look_back.token, begin_look_back.lease);
	UPDATE reconciler.queue q SET look_back_due = false, looking_back = true, look_back_since = NULL
	FROM (SELECT x.ctid AS row_id FROM reconciler.queue x
		  WHERE x.network_id = begin_look_back.network_id AND x.look_back_due AND x.invalid IS NULL
		  ORDER BY x.look_back_error IS NOT NULL, x.seq LIMIT 10000 FOR UPDATE SKIP LOCKED) m
	WHERE q.ctid = m.row_id;

	-- All that bear the mark, an earlier step's too: they end together.
	FOR r IN
		SELECT q.source_id, array_agg(q.request_id) AS ids FROM reconciler.queue q
		WHERE q.network_id = begin_look_back.network_id AND q.looking_back
		GROUP BY q.source_id
	LOOP
		BEGIN
			PERFORM reconciler._date_look_back(begin_look_back.network_id, r.source_id, r.ids);
		EXCEPTION WHEN OTHERS THEN
			-- The table is at fault: its requests wait, and nobody else's.
			RAISE WARNING 'requests of source % can not be looked back for: %', r.source_id, SQLERRM;
			UPDATE reconciler.queue q SET look_back_due = true, looking_back = false, look_back_error = left(SQLERRM, 1000)
			WHERE q.source_id = r.source_id AND q.request_id = ANY (r.ids);
		END;
	END LOOP;
	RETURN QUERY
	SELECT count(*)::int, extract(epoch FROM coalesce(min(q.look_back_since), clock_timestamp()))::double precision
	FROM reconciler.queue q
	WHERE q.network_id = begin_look_back.network_id AND q.looking_back;
END
$$;

COMMENT ON FUNCTION begin_look_back(text, int, xid8, interval) IS
'Marks requests that no block was matched against yet; returns how many, and when the oldest was made (Unix seconds): blocks since then are to be read again for them';

CREATE FUNCTION look_back(worker_id text, network_id int, token xid8, lease interval,
	next_height bigint, end_height bigint, problem text, block jsonb, outputs jsonb)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	v_found int := 0;
BEGIN
	PERFORM reconciler._hold_cursor(look_back.network_id, look_back.token, look_back.lease);
	IF block IS NOT NULL THEN
		v_found := reconciler._match_outputs(look_back.network_id, outputs, (block ->> 'height')::bigint, block ->> 'hash',
			to_timestamp((block ->> 'time')::double precision), true);
	END IF;
	UPDATE reconciler.cursors x
	SET look_back_next = look_back.next_height, look_back_end = look_back.end_height,
		look_back_problem = coalesce(left(problem, 1000), x.look_back_problem)
	WHERE x.network_id = look_back.network_id;
	RETURN v_found;
END
$$;

COMMENT ON FUNCTION look_back(text, int, xid8, interval, bigint, bigint, text, jsonb, jsonb) IS
'Takes a block that is read again for the marked requests (null: none), and keeps which are still to be read, and what stands against reading all that should be (blocks that the node has pruned); returns the number of payments found';

CREATE FUNCTION look_back_scripts(network_id int)
RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	SELECT encode(q.key, 'hex')
	FROM reconciler.queue q
	WHERE q.network_id = $1 AND q.looking_back AND q.key IS NOT NULL
$$;

COMMENT ON FUNCTION look_back_scripts(int) IS 'The keys, in hex, of the marked requests: the mempool may have had payments to them before they came';

CREATE FUNCTION end_look_back(worker_id text, network_id int, token xid8, lease interval)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	v_requests int;
	v_problem text := (SELECT x.look_back_problem FROM reconciler.cursors x WHERE x.network_id = end_look_back.network_id);
BEGIN
	PERFORM reconciler._hold_cursor(end_look_back.network_id, end_look_back.token, end_look_back.lease);
	WITH done AS (
		UPDATE reconciler.queue q SET looking_back = false, look_back_error = v_problem
		FROM (SELECT x.ctid AS row_id FROM reconciler.queue x
			  WHERE x.network_id = end_look_back.network_id AND x.looking_back
			  FOR UPDATE SKIP LOCKED) m
		WHERE q.ctid = m.row_id
		RETURNING q.source_id, q.request_id
	), noted AS (
		INSERT INTO reconciler.payment_changes (network_id, source_id, request_id)
		SELECT end_look_back.network_id, d.source_id, d.request_id FROM done d
		WHERE v_problem IS NOT NULL
		   OR EXISTS (SELECT FROM reconciler.payments p WHERE p.source_id = d.source_id AND p.request_id = d.request_id)
		ON CONFLICT DO NOTHING
	)
	SELECT count(*) INTO v_requests FROM done;
	UPDATE reconciler.cursors x SET look_back_next = NULL, look_back_end = NULL, look_back_problem = NULL
	WHERE x.network_id = end_look_back.network_id;
	RETURN v_requests;
END
$$;

COMMENT ON FUNCTION end_look_back(text, int, xid8, interval) IS
'All blocks since the marked requests were made have been matched against them, as far as the node has them; returns how many requests';
