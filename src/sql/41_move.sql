-- Status changes: in the application's table, in the history, to listeners.

CREATE FUNCTION _record(look _look, source text, moves _finding[], reasons text[], from_statuses text[], to_statuses text[])
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
BEGIN
	INSERT INTO reconciler.transitions (source, request_id, from_status, to_status, reason,
										seen, settled, block_height, block_hash, worker_id)
	SELECT _record.source, m.request_id, m.from_status, m.to_status, m.reason, m.seen, m.settled,
		   CASE m.reason WHEN 'unobserved' THEN NULL WHEN 'settled' THEN look.depth_height ELSE look.tip_height END,
		   CASE m.reason WHEN 'unobserved' THEN NULL WHEN 'settled' THEN look.depth_hash ELSE look.tip_hash END,
		   look.worker_id
	FROM ROWS FROM (unnest(moves), unnest(reasons), unnest(from_statuses), unnest(to_statuses))
		 AS m(seq, source_id, request_id, seen, settled, error, reason, from_status, to_status);

	-- The application's trigger has done this; unless triggers are off.
	DELETE FROM reconciler.queue q
	USING (SELECT x.ctid AS row_id
		   FROM ROWS FROM (unnest(moves), unnest(to_statuses))
				AS m(seq, source_id, request_id, seen, settled, error, to_status)
		   CROSS JOIN LATERAL (SELECT x.ctid FROM reconciler.queue x
							   WHERE x.network_id = look.network_id AND x.seq = m.seq LIMIT 1) x
		   WHERE m.to_status NOT IN ('pending', 'detected')) gone
	WHERE q.ctid = gone.row_id;

	UPDATE reconciler.queue q
	SET status = 'detected', seen = d.seen, settled = d.settled, seen_height = look.tip_height,
		error = NULL, error_at = NULL
	FROM (SELECT x.ctid AS row_id, m.seen, m.settled
		  FROM ROWS FROM (unnest(moves), unnest(to_statuses))
			   AS m(seq, source_id, request_id, seen, settled, error, to_status)
		  CROSS JOIN LATERAL (SELECT x.ctid FROM reconciler.queue x
							  WHERE x.network_id = look.network_id AND x.seq = m.seq LIMIT 1) x
		  WHERE m.to_status = 'detected') d
	WHERE q.ctid = d.row_id;
END
$$;

COMMENT ON FUNCTION _record(_look, text, _finding[], text[], text[], text[]) IS
'Writes the history of status changes that were made, and keeps the queue in step';

CREATE FUNCTION _forget(network_id int, seqs bigint[])
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	DELETE FROM reconciler.queue q WHERE q.network_id = $1 AND q.seq = ANY ($2)
$$;

COMMENT ON FUNCTION _forget(int, bigint[]) IS 'Drops queue rows of requests that turned out not to be open';

-- Runs the application's triggers. So the planner's settings are the usual ones,
-- and what they wait for is given up before it could become a deadlock
-- (deadlock_timeout is 1 s) in which the application might be the victim.
CREATE FUNCTION _move(look _look, source_id int, findings _finding[])
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET enable_seqscan = on
SET enable_bitmapscan = on
SET enable_hashjoin = on
SET enable_mergejoin = on
AS $$
#variable_conflict use_column
DECLARE
	v_source text := (SELECT s.relation::text FROM reconciler.sources s WHERE s.source_id = _move.source_id);
	v_statuses text[];
	v_moves reconciler._finding[];
	v_from text[];
	v_to text[];
	v_reasons text[];
	v_ids text[];
	v_closed bigint[];
	v_skipped jsonb;
	v_done text[];
	v_became text[];
	v_outcomes jsonb;
BEGIN
	-- Application rows first; what somebody else has locked stays null.
	SELECT array_agg(l.status ORDER BY f.n), array_agg(f.seq) FILTER (WHERE l.status NOT IN ('pending', 'detected'))
	INTO v_statuses, v_closed
	FROM unnest(findings) WITH ORDINALITY AS f(seq, source_id, request_id, seen, settled, error, n)
	LEFT JOIN reconciler._lock_open(_move.source_id, ARRAY(SELECT x.request_id FROM unnest(findings) x)) l
		ON l.request_id = f.request_id;

	-- Which of them was paid? And the two lists would no longer go together.
	IF cardinality(v_statuses) <> cardinality(findings) THEN
		RAISE EXCEPTION 'an id stands in more than one row of table %', v_source
			USING ERRCODE = 'cardinality_violation', HINT = 'Give every request an id of its own.';
	END IF;

	-- Then the queue as it is now, with them locked.
	SELECT array_agg(d.finding) FILTER (WHERE m.moves), array_agg(d.status) FILTER (WHERE m.moves),
		   array_agg(d.reason) FILTER (WHERE m.moves), array_agg((d.finding).request_id) FILTER (WHERE m.moves),
		   array_agg(reconciler._status_after(d.reason)) FILTER (WHERE m.moves),
		   jsonb_agg(jsonb_build_object('outcome', 'skipped', 'source', v_source, 'request_id', (d.finding).request_id))
			   FILTER (WHERE d.status IS NULL)
	INTO v_moves, v_from, v_reasons, v_ids, v_to, v_skipped
	FROM reconciler._decide(look, findings, v_statuses) d
	CROSS JOIN LATERAL (SELECT d.reason IS NOT NULL AND d.status IN ('pending', 'detected')) m(moves);

	IF v_skipped IS NOT NULL THEN
		-- Locked, or not there at all (triggers were off)?
		SELECT v_closed || array_agg(f.seq) INTO v_closed
		FROM ROWS FROM (unnest(findings), unnest(v_statuses))
			 AS f(seq, source_id, request_id, seen, settled, error, status)
		WHERE f.status IS NULL AND NOT EXISTS (
			SELECT FROM reconciler._status_of(_move.source_id, ARRAY[f.request_id]));
	END IF;
	IF v_closed IS NOT NULL THEN
		PERFORM reconciler._forget(look.network_id, v_closed);
	END IF;
	IF v_moves IS NULL THEN
		RETURN coalesce(v_skipped, '[]');
	END IF;

	SELECT array_agg(s.request_id), array_agg(s.status) INTO v_done, v_became
	FROM reconciler._set_status(_move.source_id, v_ids, v_from, v_to) AS s(request_id, status);

	-- A trigger of the application's may have kept a row from being updated, or
	-- have set another status: what it is now counts.
	SELECT array_agg(r.finding) FILTER (WHERE r.became <> r.status),
		   array_agg(r.reason) FILTER (WHERE r.became <> r.status),
		   array_agg(r.status) FILTER (WHERE r.became <> r.status),
		   array_agg(r.became) FILTER (WHERE r.became <> r.status),
		   coalesce(jsonb_agg(jsonb_build_object('outcome', 'transition', 'source', v_source,
							  'request_id', (r.finding).request_id, 'from_status', r.status, 'to_status', r.became,
							  'reason', r.reason)) FILTER (WHERE r.became <> r.status), '[]')
		   || coalesce(jsonb_agg(jsonb_build_object('outcome', 'failed', 'source', v_source,
							  'request_id', (r.finding).request_id, 'seq', (r.finding).seq,
							  'reason', format('settle: a trigger of the table leaves the status at "%s"', r.status)))
					   FILTER (WHERE r.became IS NULL OR r.became = r.status), '[]')
	INTO v_moves, v_reasons, v_from, v_became, v_outcomes
	FROM (SELECT v_moves[m.n] AS finding, m.reason, m.status, d.became
		  FROM ROWS FROM (unnest(v_ids), unnest(v_reasons), unnest(v_from)) WITH ORDINALITY AS m(request_id, reason, status, n)
		  LEFT JOIN ROWS FROM (unnest(v_done), unnest(v_became)) AS d(request_id, became) ON d.request_id = m.request_id) r;

	IF v_moves IS NOT NULL THEN
		PERFORM reconciler._record(look, v_source, v_moves, v_reasons, v_from, v_became);
	END IF;
	RETURN coalesce(v_skipped, '[]') || v_outcomes;
END
$$;

COMMENT ON FUNCTION _move(_look, int, _finding[]) IS
'Changes the status of requests of one source where that is due, all or none (an error of the application''s triggers goes through); returns an outcome for each';

CREATE FUNCTION _move_each(look _look, moves _finding[], alone boolean[])
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_from int[];
	v_to int[];
	v_middle int;
	v_next int := 1;
	v_first reconciler._finding;
	v_outcomes jsonb := '[]';
	v_part jsonb;
	v_end timestamptz := clock_timestamp() + interval '5 seconds';
BEGIN
	-- Runs of one source; what failed the last time goes alone, behind them.
	SELECT array_agg(r.first ORDER BY r.first), array_agg(r.last ORDER BY r.first) INTO v_from, v_to
	FROM (SELECT min(m.n)::int AS first, max(m.n)::int AS last
		  FROM ROWS FROM (unnest(moves), unnest(alone)) WITH ORDINALITY
			   AS m(seq, source_id, request_id, seen, settled, error, alone, n)
		  GROUP BY m.source_id, m.alone, CASE WHEN m.alone THEN m.n END) r;

	WHILE v_next <= cardinality(v_from) LOOP
		v_first := moves[v_from[v_next]];
		IF clock_timestamp() > v_end THEN
			-- The application is slow to accept them: the rest waits for the next look.
			v_outcomes := v_outcomes || (
				SELECT jsonb_agg(jsonb_build_object('outcome', 'skipped', 'source', s.relation::text, 'request_id', m.request_id))
				FROM unnest(moves[v_from[v_next]:v_to[v_next]]) m
				LEFT JOIN reconciler.sources s ON s.source_id = m.source_id);
		ELSE
			BEGIN
				v_part := reconciler._move(look, v_first.source_id, moves[v_from[v_next]:v_to[v_next]]);
				v_outcomes := v_outcomes || v_part;
			EXCEPTION WHEN OTHERS THEN
				-- Not a matter of one row: out of resources, an operator, the system
				IF left(SQLSTATE, 2) IN ('53', '57', '58') THEN
					RAISE;
				END IF;
				IF v_from[v_next] < v_to[v_next] THEN
					v_middle := (v_from[v_next] + v_to[v_next]) / 2;
					v_from := v_from || v_from[v_next] || (v_middle + 1);
					v_to := v_to || v_middle || v_to[v_next];
				ELSE
					v_outcomes := v_outcomes || jsonb_build_array(jsonb_build_object(
						'outcome', 'failed',
						'source', (SELECT s.relation::text FROM reconciler.sources s WHERE s.source_id = v_first.source_id),
						'request_id', v_first.request_id, 'seq', v_first.seq,
						'reason', left(format('settle: %s (SQLSTATE %s)', SQLERRM, SQLSTATE), 1000)));
				END IF;
			END;
		END IF;
		v_next := v_next + 1;
	END LOOP;
	RETURN v_outcomes;
END
$$;

COMMENT ON FUNCTION _move_each(_look, _finding[], boolean[]) IS
'Like _move for requests of any source, but one that fails stops no other: halves what fails until the culprit stands alone';

CREATE FUNCTION _notify(outcomes jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM pg_notify('reconciler', '[' || string_agg(c.item, ',' ORDER BY c.n) || ']')
	FROM (SELECT e.item, e.n, sum(octet_length(e.item) + 1) OVER (ORDER BY e.n) / 6000 AS chunk
		  FROM (SELECT o.n, CASE WHEN octet_length(j.item) < 1900 THEN j.item
								 ELSE json_build_object('source', o.source, 'request_id', NULL,
														'from', o.from_status, 'to', o.to_status)::text END AS item
				FROM (SELECT row_number() OVER () AS n, r.*
					  FROM jsonb_to_recordset(outcomes)
						   AS r(outcome text, source text, request_id text, from_status text, to_status text)
					  WHERE r.outcome = 'transition') o
				CROSS JOIN LATERAL (SELECT json_build_object('source', o.source, 'request_id', o.request_id,
															 'from', o.from_status, 'to', o.to_status)::text) j(item)) e) c
	GROUP BY c.chunk::bigint;
END
$$;

COMMENT ON FUNCTION _notify(jsonb) IS
'Tells listeners on channel reconciler of transitions: a JSON array of {source, request_id, from, to}, in as few notifications as their size (8,000 bytes) allows';
