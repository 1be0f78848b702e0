-- Status changes: in the application's table, in the history, to listeners.

-- An open request as its row in the application's table says it, locked
CREATE TYPE _row AS (
	request_id text,
	status text,
	chain text,
	network text,
	address text,
	token_contract text,
	expected numeric,
	expires_at timestamptz,
	invalid text,				-- why the row is no request that can be observed
	held text[]					-- the columns under chain to expected as they stand there
);

-- A status change, and the row on which it rests
CREATE TYPE _change AS (
	seq bigint,
	request_id text,
	from_status text,
	to_status text,
	reason text,
	seen numeric,
	settled numeric,
	expires_at timestamptz,
	held text[]
);

-- Locks those that nobody else has locked, whatever their status: what is closed is no business of the queue's.
CREATE FUNCTION _lock_open(source_id int, ids text[]) RETURNS SETOF _row
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reconciler_lock_open';

-- Compares and sets: a row whose status or subject is another one than the
-- change rests on stays as it is. Returns the requests that were changed, with
-- the status that they have got. patience: milliseconds.
CREATE FUNCTION _set_status(source_id int, changes _change[], patience int)
RETURNS TABLE (request_id text, status text)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reconciler_set_status';

-- Fires what triggers the caller has deferred, as the caller. Before the first
-- statement that runs as somebody else: their errors are the caller's, too.
CREATE FUNCTION _fire_deferred() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_fire_deferred';

-- Queues open requests as their rows are now, as if they had just arrived.
CREATE FUNCTION _requeue(source_id int, ids text[]) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reconciler_requeue';

COMMENT ON FUNCTION _lock_open(int, text[]) IS 'Locks the rows of requests, and reads them as the trigger does; passes by those that somebody else has locked';
COMMENT ON FUNCTION _set_status(int, _change[], int) IS
'Sets statuses, as the owner of the table, where status and subject are still those that the change rests on; raises RC003 when the application''s triggers take longer than patience (ms)';
COMMENT ON FUNCTION _fire_deferred() IS 'Fires the deferred triggers of the transaction with the rights of the session''s role';
COMMENT ON FUNCTION _requeue(int, text[]) IS 'Queues open requests anew, as their rows are now';

CREATE FUNCTION _record(look _look, source_id int, source text, changes _change[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	WITH made AS (
	INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason,
										seen, settled, block_height, block_hash, worker_id, network_id, tip_time)
	SELECT _record.source_id, _record.source, m.request_id, m.from_status, m.to_status, m.reason, m.seen, m.settled,
		   CASE m.reason WHEN 'unobserved' THEN NULL WHEN 'settled' THEN look.depth_height ELSE look.tip_height END,
		   CASE m.reason WHEN 'unobserved' THEN NULL WHEN 'settled' THEN look.depth_hash ELSE look.tip_hash END,
		   look.worker_id, look.network_id, CASE WHEN m.reason <> 'unobserved' THEN look.tip_time END
	FROM unnest(changes) m
	RETURNING *)
	INSERT INTO reconciler.events (kind, source_id, source, request_id, at, payload)
	-- A trigger of the application's may have left it open.
	SELECT 'request.' || CASE WHEN t.to_status IN ('pending', 'detected') THEN t.to_status ELSE reconciler._status_after(t.reason) END, t.source_id, t.source, t.request_id, t.at, reconciler._transition_payload(t)
	FROM made t;

	-- The table's trigger has done this; unless triggers are off, or another one has
	-- opened the request again, before what was decided of it could be known.
	DELETE FROM reconciler.queue q
	USING (SELECT x.ctid AS row_id
		   FROM unnest(changes) m
		   CROSS JOIN LATERAL (SELECT x.ctid, x.seq, x.expires_at FROM reconciler.queue x
							   WHERE x.source_id = _record.source_id AND x.request_id = m.request_id LIMIT 1) x
		   WHERE m.to_status NOT IN ('pending', 'detected')
			 AND (x.seq = m.seq OR reconciler._is_over(m.to_status, m.reason, clock_timestamp(), x.expires_at))) gone
	WHERE q.ctid = gone.row_id;

	UPDATE reconciler.queue q
	SET status = d.to_status, seen = d.seen, settled = d.settled, seen_height = look.tip_height,
		error = NULL, error_at = NULL
	FROM (SELECT x.ctid AS row_id, m.seen, m.settled, m.to_status
		  FROM unnest(changes) m
		  CROSS JOIN LATERAL (SELECT x.ctid FROM reconciler.queue x
							  WHERE x.network_id = look.network_id AND x.seq = m.seq LIMIT 1) x
		  WHERE m.to_status IN ('pending', 'detected')) d
	WHERE q.ctid = d.row_id;
END
$$;

COMMENT ON FUNCTION _record(_look, int, text, _change[]) IS
'Writes the history of status changes that were made, and keeps the queue in step';

CREATE FUNCTION _forget(network_id int, seqs bigint[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	DELETE FROM reconciler.queue q WHERE q.network_id = $1 AND q.seq = ANY ($2);
END
$$;

COMMENT ON FUNCTION _forget(int, bigint[]) IS 'Drops queue rows of requests that turned out not to be open';

CREATE FUNCTION _unlike(look _look, findings _finding[], held _row[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	n reconciler.networks;
BEGIN
	SELECT * INTO n FROM reconciler.networks x WHERE x.network_id = look.network_id;
	-- By the same comparisons by which the trigger and a resync queue a request anew
	RETURN (
		SELECT array_agg(f.request_id)
		FROM ROWS FROM (unnest(findings), unnest(held))
			 AS f(seq, source_id, request_id, seen, settled, error,
				  row_id, status, chain, network, address, token_contract, expected, expires_at, invalid, held)
		CROSS JOIN LATERAL (SELECT * FROM reconciler.queue x
							WHERE x.network_id = look.network_id AND x.seq = f.seq LIMIT 1) q
		WHERE f.status IN ('pending', 'detected')
		  AND ((f.address, f.token_contract, f.expected, f.expires_at, coalesce(f.chain, ''), coalesce(f.network, ''))
			   IS DISTINCT FROM (q.address, q.token_contract, q.expected, q.expires_at,
								 coalesce(q.chain, n.chain), coalesce(q.network, n.network))
			   OR q.invalid IS DISTINCT FROM CASE
					WHEN q.invalid IS NULL THEN f.invalid
					ELSE coalesce(f.invalid, reconciler._request_problem(n.kind, n.network, f.address, f.token_contract)) END));
END
$$;

COMMENT ON FUNCTION _unlike(_look, _finding[], _row[]) IS
'The requests that the queue has another subject or expiry of than the application''s row: triggers were off, or what they wrote was lost';

CREATE FUNCTION _lock_rows(look _look, source_id int, findings _finding[])
RETURNS _row[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
	v_rows reconciler._row[];
	v_closed bigint[];
	v_absent boolean;
	v_unlike text[];
BEGIN
	SELECT array_agg(l ORDER BY f.n), array_agg(f.seq) FILTER (WHERE l.status NOT IN ('pending', 'detected')),
		   bool_or(l.status IS NULL)
	INTO v_rows, v_closed, v_absent
	FROM unnest(findings) WITH ORDINALITY AS f(seq, source_id, request_id, seen, settled, error, n)
	LEFT JOIN reconciler._lock_open(_lock_rows.source_id, ARRAY(SELECT x.request_id FROM unnest(findings) x)) l
		ON l.request_id = f.request_id;

	-- Which of them was paid? And the two lists would no longer go together.
	IF cardinality(v_rows) <> cardinality(findings) THEN
		RAISE EXCEPTION 'an id stands in more than one row of table %', (SELECT s.relation FROM reconciler.sources s WHERE s.source_id = _lock_rows.source_id)
			USING ERRCODE = 'cardinality_violation', HINT = 'Give every request an id of its own.';
	END IF;

	IF v_absent THEN
		-- Locked, or not there at all (triggers were off)?
		SELECT v_closed || array_agg(f.seq) INTO v_closed
		FROM ROWS FROM (unnest(findings), unnest(v_rows))
			 AS f(seq, source_id, request_id, seen, settled, error, row_id)
		WHERE f.row_id IS NULL AND f.request_id NOT IN (
			SELECT s.request_id FROM reconciler._status_of(_lock_rows.source_id, ARRAY(SELECT x.request_id FROM unnest(findings) x)) s);
	END IF;
	v_unlike := reconciler._unlike(look, findings, v_rows);
	IF v_unlike IS NOT NULL THEN
		v_closed := v_closed || ARRAY(SELECT f.seq FROM unnest(findings) f WHERE f.request_id = ANY (v_unlike));
	END IF;
	IF v_closed IS NOT NULL THEN
		PERFORM reconciler._forget(look.network_id, v_closed);
	END IF;
	IF v_unlike IS NOT NULL THEN
		-- Forgotten first: should it not be queued again, nothing is judged by what the queue had.
		PERFORM reconciler._requeue(source_id, v_unlike);
		RAISE LOG 'the queue was out of date for % requests of source %, which are observed anew', cardinality(v_unlike), source_id;
	END IF;
	RETURN v_rows;
END
$$;

COMMENT ON FUNCTION _lock_rows(_look, int, _finding[]) IS
'The application''s rows that belong to findings, locked; null where somebody else has them. The queue is put right where it is not as they are: what is closed is forgotten, what has another subject is queued anew';

CREATE FUNCTION _due_changes(look _look, source text, findings _finding[], held _row[], OUT changes _change[], OUT skipped jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
#variable_conflict use_column
BEGIN
	SELECT array_agg(ROW((d.finding).seq, r.request_id, r.status, reconciler._status_after(d.reason), d.reason,
						 (d.finding).seen, (d.finding).settled, r.expires_at, r.held)::reconciler._change)
			   FILTER (WHERE d.reason IS NOT NULL AND r.status IN ('pending', 'detected')),
		   jsonb_agg(jsonb_build_object('outcome', 'skipped', 'source', _due_changes.source, 'request_id', (d.finding).request_id))
			   FILTER (WHERE r.status IS NULL)
	INTO changes, skipped
	FROM reconciler._decide(look, findings, ARRAY(SELECT x.status FROM unnest(held) x)) d
	LEFT JOIN unnest(held) r ON r.request_id = (d.finding).request_id;
END
$$;

COMMENT ON FUNCTION _due_changes(_look, text, _finding[], _row[]) IS
'The changes that findings make due, judged once more with the rows locked; skipped: outcomes of those that somebody else has locked';

CREATE FUNCTION _may_refuse(source_id int)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	RETURN (
		SELECT EXISTS (SELECT FROM reconciler.sources s
					   CROSS JOIN LATERAL (SELECT s.relation::oid UNION SELECT p.relid FROM pg_partition_tree(s.relation) p) AS r(relid)
					   WHERE s.source_id = $1
						 AND (EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.relid AND t.tgtype & 19 = 19 AND t.tgenabled <> 'D')
							  OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = r.relid AND w.ev_type = '2'))));
END
$$;

COMMENT ON FUNCTION _may_refuse(int) IS 'Has the table a trigger or a rule that can keep a row from being updated?';

CREATE FUNCTION _missed(look _look, source_id int, source text, changes _change[])
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
	v_rows reconciler._row[] := reconciler._lock_rows(look, source_id, ARRAY(
		SELECT ROW(c.seq, _missed.source_id, c.request_id, NULL, NULL, NULL)::reconciler._finding FROM unnest(changes) c));
	v_may_refuse boolean := reconciler._may_refuse(source_id);
BEGIN
	RETURN (
		SELECT jsonb_agg(
			jsonb_build_object('source', _missed.source, 'request_id', c.request_id, 'seq', c.seq)
			|| CASE WHEN v_may_refuse AND r.status = c.from_status AND r.held IS NOT DISTINCT FROM c.held
						 AND (c.to_status <> 'expired' OR r.expires_at IS NOT DISTINCT FROM c.expires_at)
					THEN jsonb_build_object('outcome', 'failed', 'reason', reconciler._left_at(c.from_status))
					ELSE jsonb_build_object('outcome', 'skipped') END)
		FROM unnest(changes) c LEFT JOIN unnest(v_rows) r ON r.request_id = c.request_id);
END
$$;

COMMENT ON FUNCTION _missed(_look, int, text, _change[]) IS
'Outcomes of changes that met another row than the one they rest on, after reading it again: skipped, or failed where nothing but a trigger can have kept it';

CREATE FUNCTION _left_at(status text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
	SELECT pg_catalog.format('settle: a trigger of the table leaves the status at "%s"', status)
$$;

COMMENT ON FUNCTION _left_at(text) IS 'What failed when the application''s triggers keep a status from changing';

CREATE FUNCTION _changed(look _look, source_id int, source text, changes _change[], ids text[], statuses text[])
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
	v_made reconciler._change[];
	v_missed reconciler._change[];
	v_outcomes jsonb;
BEGIN
	-- A trigger of the application's may have set another status, or the old one: what it is now counts.
	SELECT array_agg(ROW(c.seq, c.request_id, c.from_status, d.became, c.reason, c.seen, c.settled, NULL, NULL)::reconciler._change)
			   FILTER (WHERE d.became <> c.from_status),
		   array_agg(c) FILTER (WHERE d.became IS NULL),
		   jsonb_agg(jsonb_build_object('source', _changed.source, 'request_id', c.request_id, 'seq', c.seq)
					 || CASE WHEN d.became = c.from_status
							 THEN jsonb_build_object('outcome', 'failed', 'reason', reconciler._left_at(c.from_status))
							 ELSE jsonb_build_object('outcome', 'transition', 'from_status', c.from_status,
													 'to_status', left(d.became, 200), 'reason', c.reason) END)
			   FILTER (WHERE d.became IS NOT NULL)
	INTO v_made, v_missed, v_outcomes
	FROM unnest(changes) c
	LEFT JOIN ROWS FROM (unnest(ids), unnest(statuses)) AS d(request_id, became) ON d.request_id = c.request_id;

	IF v_made IS NOT NULL THEN
		PERFORM reconciler._record(look, source_id, source, v_made);
	END IF;
	IF v_missed IS NOT NULL THEN
		v_outcomes := coalesce(v_outcomes, '[]') || reconciler._missed(look, source_id, source, v_missed);
	END IF;
	RETURN v_outcomes;
END
$$;

COMMENT ON FUNCTION _changed(_look, int, text, _change[], text[], text[]) IS
'Records the changes that were made (ids, and the statuses that they have got) and returns an outcome for each change';

-- Runs the application's triggers. So the planner's settings are the usual ones,
-- and what they wait for is given up before it could become a deadlock
-- (deadlock_timeout is 1 s) in which the application might be the victim.
CREATE FUNCTION _move(look _look, source_id int, findings _finding[], patience int)
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
	v_changes reconciler._change[];
	v_skipped jsonb;
	v_ids text[];
	v_statuses text[];
BEGIN
	-- Application rows first; then the queue as it is now, with them locked.
	SELECT d.changes, coalesce(d.skipped, '[]') INTO v_changes, v_skipped
	FROM reconciler._due_changes(look, v_source, findings, reconciler._lock_rows(look, source_id, findings)) d;
	IF v_changes IS NULL THEN
		RETURN v_skipped;
	END IF;
	SELECT array_agg(s.request_id), array_agg(s.status) INTO v_ids, v_statuses
	FROM reconciler._set_status(_move.source_id, v_changes, patience) s;
	RETURN v_skipped || reconciler._changed(look, source_id, v_source, v_changes, v_ids, v_statuses);
END
$$;

COMMENT ON FUNCTION _move(_look, int, _finding[], int) IS
'Changes the status of requests of one source where that is due, all or none (an error of the application''s triggers goes through); returns an outcome for each';

CREATE FUNCTION _try_move(look _look, findings _finding[], patience int, OUT outcomes jsonb, OUT timed_out boolean)
LANGUAGE plpgsql
AS $$
DECLARE
	v_first reconciler._finding := findings[1];
BEGIN
	outcomes := reconciler._move(look, v_first.source_id, findings, patience);
-- (An ASSERT that fails is none of OTHERS.)
EXCEPTION WHEN OTHERS OR assert_failure THEN
	-- Not a matter of one row: out of resources, an operator, the system
	IF left(SQLSTATE, 2) IN ('53', '57', '58') THEN
		RAISE;
	END IF;
	timed_out := SQLSTATE = 'RC003';
	IF cardinality(findings) = 1 THEN
		outcomes := jsonb_build_array(jsonb_build_object(
			'outcome', 'failed',
			'source', (SELECT s.relation::text FROM reconciler.sources s WHERE s.source_id = v_first.source_id),
			'request_id', v_first.request_id, 'seq', v_first.seq,
			'reason', left(format('settle: %s (SQLSTATE %s)', SQLERRM, SQLSTATE), 1000)));
	END IF;
END
$$;

COMMENT ON FUNCTION _try_move(_look, _finding[], int) IS
'Like _move, but what fails is undone: the outcome of one request alone, null for several. timed_out: because the application''s triggers took longer than patience (ms)';

CREATE FUNCTION _skip(findings _finding[])
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
	RETURN (
		SELECT jsonb_agg(jsonb_build_object('outcome', 'skipped', 'source', s.relation::text, 'request_id', f.request_id))
		FROM unnest($1) f LEFT JOIN reconciler.sources s ON s.source_id = f.source_id);
END
$$;

COMMENT ON FUNCTION _skip(_finding[]) IS 'The outcomes of requests that wait for the next look';

-- A trigger that hangs must not hold up more than its own request: what takes
-- longer than a second together is tried in parts of half a second, then one by
-- one, and what failed the last time goes alone, behind all others, with the
-- time that is left.
CREATE FUNCTION _move_each(look _look, moves _finding[], alone boolean[])
RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
	v_from int[];
	v_to int[];
	v_patience int[];
	v_next int;
	v_alone boolean;
	v_left int;
	v_part reconciler._finding[];
	v_size int;
	v_outcomes jsonb := '[]';
	v_tried record;
	v_end timestamptz := clock_timestamp() + interval '5 seconds';
BEGIN
	PERFORM reconciler._fire_deferred();
	FOREACH v_alone IN ARRAY ARRAY[false, true] LOOP
		-- Runs of one source
		SELECT array_agg(r.first ORDER BY r.first), array_agg(r.last ORDER BY r.first), array_agg(CASE WHEN v_alone THEN 5000 ELSE 1000 END)
		INTO v_from, v_to, v_patience
		FROM (SELECT min(m.n)::int AS first, max(m.n)::int AS last
			  FROM ROWS FROM (unnest(moves), unnest(alone)) WITH ORDINALITY
				   AS m(seq, source_id, request_id, seen, settled, error, alone, n)
			  WHERE m.alone = v_alone
			  GROUP BY m.source_id, CASE WHEN m.alone THEN m.n END) r;
		v_next := 1;
		WHILE v_next <= cardinality(v_from) LOOP
			v_part := moves[v_from[v_next]:v_to[v_next]];
			v_left := ceil(extract(epoch FROM v_end - clock_timestamp()) * 1000);
			IF v_left <= 0 THEN
				-- The application is slow to accept them: the rest waits for the next look.
				v_outcomes := v_outcomes || reconciler._skip(v_part);
			ELSE
				v_tried := reconciler._try_move(look, v_part, least(v_left, v_patience[v_next]));
				v_outcomes := v_outcomes || coalesce(v_tried.outcomes, '[]');
				IF v_tried.outcomes IS NULL THEN
					-- Halves; of what takes too long, few parts and small ones
					v_size := CASE WHEN v_tried.timed_out THEN floor(sqrt(cardinality(v_part))) ELSE (cardinality(v_part) + 1) / 2 END;
					FOR v_start IN v_from[v_next] .. v_to[v_next] BY v_size LOOP
						v_from := v_from || v_start;
						v_to := v_to || least(v_start + v_size - 1, v_to[v_next]);
						v_patience := v_patience || CASE WHEN v_tried.timed_out THEN 500 ELSE v_patience[v_next] END;
					END LOOP;
				END IF;
			END IF;
			v_next := v_next + 1;
		END LOOP;
	END LOOP;
	-- Those that triggers have taken: in the application's sessions they end with the session, here nothing would end them.
	PERFORM pg_advisory_unlock_all();
	RETURN v_outcomes;
END
$$;

COMMENT ON FUNCTION _move_each(_look, _finding[], boolean[]) IS
'Like _move for requests of any source, but one that fails stops no other: what fails is divided until the culprit stands alone. alone: it failed the last time';

-- A notification is a hint, and must not undo what it tells of: not by its
-- length, nor because a listener that doesn't read has filled the server's queue.
CREATE FUNCTION _notify(outcomes jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_notification_queue_usage() > 0.5 THEN
		RAISE LOG 'not notified: the notification queue is more than half full (a session that listens keeps a transaction open)';
		RETURN;
	END IF;
	PERFORM pg_notify('reconciler', '[' || string_agg(c.item, ',' ORDER BY c.n) || ']')
	FROM (SELECT e.item, e.n, floor(sum(octet_length(e.item) + 1) OVER (ORDER BY e.n) / 5000) AS chunk
		  FROM (SELECT o.n, CASE WHEN octet_length(j.item) < 1900 THEN j.item
								 -- Six bytes for a character at the most: \u0001
								 ELSE json_build_object('source', left(o.source, 140), 'request_id', NULL,
														'from', left(o.from_status, 40), 'to', left(o.to_status, 40))::text END AS item
				FROM (SELECT row_number() OVER () AS n, r.*
					  FROM jsonb_to_recordset(outcomes)
						   AS r(outcome text, source text, request_id text, from_status text, to_status text)
					  WHERE r.outcome = 'transition') o
				CROSS JOIN LATERAL (SELECT json_build_object('source', o.source, 'request_id', o.request_id,
															 'from', o.from_status, 'to', o.to_status)::text) j(item)) e) c
	GROUP BY c.chunk;
EXCEPTION WHEN OTHERS THEN
	IF left(SQLSTATE, 2) = '57' THEN
		RAISE;
	END IF;
	RAISE WARNING 'not notified: %', SQLERRM USING ERRCODE = SQLSTATE;
END
$$;

COMMENT ON FUNCTION _notify(jsonb) IS
'Tells listeners on channel reconciler of transitions: a JSON array of {source, request_id, from, to}, in as few notifications as their size (8,000 bytes) allows. Cut to fit: request_id null where it is too long. Never fails';
