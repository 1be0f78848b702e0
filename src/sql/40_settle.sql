-- What workers found out, written down: settle and report.

-- What holds for a whole look at a batch
CREATE TYPE _look AS (
	worker_id text,
	network_id int,
	confirmations int,
	detected_bps int,
	confirmed_bps int,
	looked_at timestamptz,		-- the look began at or after it
	chain_time timestamptz,		-- time of the tip; null where it proves nothing
	grace interval,
	tip_height bigint,
	tip_hash text,
	depth_height bigint,
	depth_hash text,
	heights_grow boolean		-- false: a chain whose past may be rewritten at will
);

-- What a look found out about one request
CREATE TYPE _finding AS (
	seq bigint,
	source_id int,
	request_id text,
	seen numeric,
	settled numeric,
	error text					-- not null: this request was not observed
);

CREATE FUNCTION _decide(look _look, findings _finding[], statuses text[])
RETURNS TABLE (finding _finding, reason text, changed boolean, status text, error_at timestamptz)
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
	RETURN QUERY
	SELECT ROW(q.seq, q.source_id, q.request_id,
			   CASE WHEN d.failed THEN q.seen ELSE f.seen END,
			   CASE WHEN d.failed THEN q.settled ELSE f.settled END, f.error)::reconciler._finding,
		   CASE WHEN v.reason = 'vanished' AND g.gone IS NOT TRUE THEN NULL ELSE v.reason END,
		   CASE WHEN d.stale THEN false
				WHEN f.error IS NOT NULL THEN q.error IS DISTINCT FROM f.error
				ELSE q.error IS NOT NULL OR (q.seen, q.settled) IS DISTINCT FROM (f.seen, f.settled) END,
		   s.status, q.error_at
	FROM ROWS FROM (unnest(findings), unnest(statuses))
		 AS f(seq, source_id, request_id, seen, settled, error, status)
	CROSS JOIN LATERAL (SELECT * FROM reconciler.queue x
						WHERE x.network_id = look.network_id AND x.seq = f.seq LIMIT 1) q
	-- A node that knows less than another one did already can't take it back.
	CROSS JOIN LATERAL (SELECT coalesce(look.heights_grow AND look.tip_height < q.seen_height
										AND f.seen < q.seen, false)) t(stale)
	CROSS JOIN LATERAL (SELECT f.error IS NOT NULL OR t.stale, t.stale) d(failed, stale)
	CROSS JOIN LATERAL (SELECT CASE WHEN _decide.statuses IS NULL THEN q.status ELSE f.status END) s(status)
	CROSS JOIN LATERAL (SELECT reconciler._verdict(s.status, q.expected, q.expires_at, f.seen, f.settled, d.failed,
							   look.detected_bps, look.confirmed_bps, look.looked_at, look.chain_time, look.grace)) v(reason)
	-- What a reorganisation takes away, the next block mostly brings back: a
	-- payment has gone when it was gone already as many blocks ago as would
	-- have confirmed it.
	CROSS JOIN LATERAL (SELECT greatest(q.seen, q.settled) < reconciler._threshold(q.expected, look.detected_bps)
							   AND (NOT look.heights_grow OR look.tip_height >= q.seen_height + look.confirmations - 1)) g(gone);
END
$$;

COMMENT ON FUNCTION _decide(_look, _finding[], text[]) IS
'Judges findings against the queue rows as they are now; findings whose request has changed or closed fall out. statuses: the status of each as the application''s table has it, null: take the queue''s';

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

CREATE FUNCTION _note(look _look, notes _finding[])
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
	UPDATE reconciler.queue q
	SET seen = CASE WHEN c.failed THEN q.seen ELSE c.seen END,
		settled = CASE WHEN c.failed THEN q.settled ELSE c.settled END,
		seen_height = CASE WHEN c.failed THEN q.seen_height ELSE look.tip_height END,
		error = c.error,
		error_at = CASE WHEN c.failed THEN clock_timestamp() END
	FROM (SELECT x.ctid AS row_id, n.seen, n.settled, n.error, n.error IS NOT NULL AS failed
		  FROM unnest(notes) n
		  CROSS JOIN LATERAL (SELECT x.ctid FROM reconciler.queue x
							  WHERE x.network_id = look.network_id AND x.seq = n.seq
							  LIMIT 1 FOR UPDATE SKIP LOCKED) x) c
	WHERE q.ctid = c.row_id;
END
$$;

COMMENT ON FUNCTION _note(_look, _finding[]) IS
'Keeps what is known of requests that stay as they are; passes by the rows that the application is changing';

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

CREATE FUNCTION _note_tip(look _look, failure text, tip_time timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	v_now timestamptz := clock_timestamp();
	s reconciler.network_state;
	v_mark boolean;
BEGIN
	SELECT * INTO s FROM reconciler.network_state x WHERE x.network_id = look.network_id;
	IF NOT FOUND THEN
		INSERT INTO reconciler.network_state (network_id) VALUES (look.network_id) ON CONFLICT DO NOTHING;
	ELSIF (failure IS NULL AND s.error IS NULL AND s.observed_at > v_now - interval '1 second')
	   OR (failure = s.error AND s.error_at > v_now - interval '1 second') THEN
		RETURN;
	END IF;
	SELECT * INTO s FROM reconciler.network_state x WHERE x.network_id = look.network_id FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	IF failure IS NOT NULL THEN
		UPDATE reconciler.network_state x
		SET failures = least(s.failures, 1000000000) + 1, error = failure, error_at = v_now
		WHERE x.network_id = look.network_id;
	ELSE
		-- The mark of the best height gives way when nobody has reached it for a
		-- while, and at once on a chain that may be rewritten at will.
		v_mark := s.best_height IS NULL OR look.tip_height >= s.best_height OR NOT look.heights_grow
			OR s.best_at <= v_now - interval '10 minutes';
		UPDATE reconciler.network_state x
		SET tip_height = look.tip_height, tip_hash = look.tip_hash, tip_time = _note_tip.tip_time,
			observed_at = v_now, failures = 0, error = NULL, error_at = NULL,
			best_height = CASE WHEN v_mark THEN look.tip_height ELSE s.best_height END,
			best_at = CASE WHEN v_mark THEN v_now ELSE s.best_at END
		WHERE x.network_id = look.network_id;
	END IF;
END
$$;

COMMENT ON FUNCTION _note_tip(_look, text, timestamptz) IS
'Keeps the tip of a network, or why it can''t be observed, about once a second';

CREATE FUNCTION _amount(value text)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE WHEN value ~ '^[0-9]{1,78}$' THEN
		CASE WHEN value::numeric < 115792089237316195423570985008687907853269984665640564039457584007913129639936
			 THEN value::numeric END END
$$;

COMMENT ON FUNCTION _amount(text) IS 'An unsigned 256-bit integer in decimal, or null if it is none';

CREATE FUNCTION _doubt(look _look, batch batches, network networks, tip_time timestamptz, observation jsonb)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF look.tip_height IS NULL THEN
		RETURN 'the observation names no tip';
	END IF;

	-- Workers hear of a change of the network a little later, and claim meanwhile.
	IF observation ? 'chain_id' AND (observation ->> 'chain_id')::numeric IS DISTINCT FROM network.chain_id THEN
		RETURN format('chain %s was looked at, but the network is chain %s', observation ->> 'chain_id', network.chain_id);
	END IF;
	IF network.max_tip_age IS NOT NULL THEN
		IF tip_time IS NULL THEN
			RETURN 'the observation names no time of its tip';
		END IF;
		IF tip_time < batch.claimed_at - network.max_tip_age THEN
			RETURN format('the node is behind: its tip, block %s, is of %s UTC', look.tip_height,
						  to_char(tip_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'));
		END IF;

		-- Where blocks come every second, nodes differ by several of them.
		IF look.tip_height < batch.tip_floor AND tip_time < batch.claimed_at - interval '30 seconds' THEN
			RETURN format('the node is behind: its tip is block %s, another was at %s already', look.tip_height,
						  batch.tip_floor + greatest(network.confirmations, 3));
		END IF;
	END IF;

	-- Read for other settings than those of now?
	IF network.block_tag IS NULL AND look.depth_height > look.tip_height - (network.confirmations - 1)
	   AND EXISTS (SELECT FROM jsonb_array_elements(observation -> 'requests') r WHERE r ->> 'settled' <> '0') THEN
		RETURN format('block %s is not at the depth of %s confirmations below block %s', look.depth_height,
					  network.confirmations, look.tip_height);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION _doubt(_look, batches, networks, timestamptz, jsonb) IS
'Why an observation must not be believed, or null';

CREATE FUNCTION settle(worker_id text, network_id int, lo bigint, token xid8, observation jsonb)
RETURNS TABLE (outcome text, source text, request_id text, from_status text, to_status text, reason text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	b reconciler.batches;
	v_network reconciler.networks;
	v_look reconciler._look;
	v_failure text := left(observation ->> 'failure', 1000);
	v_tip_time timestamptz := to_timestamp((observation #>> '{tip,time}')::double precision);
	v_findings reconciler._finding[];
	v_moves reconciler._finding[];
	v_alone boolean[];
	v_notes reconciler._finding[];
	v_outcomes jsonb := '[]';
	v_poll interval;
	v_due timestamptz;
	v_next_expiry timestamptz;
BEGIN
	SELECT * INTO b FROM reconciler.batches x
	WHERE x.network_id = settle.network_id AND x.lo = settle.lo FOR UPDATE;
	IF NOT FOUND OR b.lease_token IS DISTINCT FROM settle.token THEN
		PERFORM reconciler._lease_lost(settle.network_id, settle.lo, settle.token);
	END IF;
	SELECT * INTO v_network FROM reconciler.networks x WHERE x.network_id = settle.network_id;
	IF NOT FOUND THEN
		PERFORM reconciler._lease_lost(settle.network_id, settle.lo, settle.token);
	END IF;

	v_look.worker_id := settle.worker_id;
	v_look.network_id := settle.network_id;
	v_look.confirmations := v_network.confirmations;
	v_look.detected_bps := v_network.detected_bps;
	v_look.confirmed_bps := v_network.confirmed_bps;
	v_look.looked_at := b.claimed_at;
	v_look.grace := least(coalesce(v_network.expiry_grace, reconciler._setting_interval('expiry_grace')), interval '1000 years');
	v_look.tip_height := (observation #>> '{tip,height}')::bigint;
	v_look.tip_hash := observation #>> '{tip,hash}';
	v_look.depth_height := (observation #>> '{depth,height}')::bigint;
	v_look.depth_hash := observation #>> '{depth,hash}';
	v_look.heights_grow := v_network.max_tip_age IS NOT NULL;
	v_look.chain_time := CASE WHEN v_look.heights_grow THEN v_tip_time END;
	v_failure := coalesce(v_failure, reconciler._doubt(v_look, b, v_network, v_tip_time, observation));

	IF v_failure IS NULL THEN
		SELECT array_agg(ROW(r.seq, NULL, NULL, a.seen, a.settled,
							 CASE WHEN r.error IS NOT NULL THEN left(r.error, 1000)
								  WHEN a.seen IS NULL OR a.settled IS NULL THEN 'the worker reported no valid amount' END)::reconciler._finding)
		INTO v_findings
		FROM (SELECT DISTINCT ON (x.seq) x.*
			  FROM jsonb_to_recordset(observation -> 'requests') AS x(seq bigint, seen text, settled text, error text)) r
		CROSS JOIN LATERAL (SELECT reconciler._amount(r.seen), reconciler._amount(r.settled)) a(seen, settled)
		WHERE r.seq >= b.lo AND r.seq < b.hi;
	ELSE
		SELECT array_agg(ROW(q.seq, NULL, NULL, NULL, NULL, v_failure)::reconciler._finding)
			   FILTER (WHERE q.expires_at <= b.claimed_at - v_look.grace),
			   min(q.expires_at) FILTER (WHERE q.expires_at > b.claimed_at - v_look.grace
											   AND q.expires_at < b.claimed_at - v_look.grace + interval '10 minutes')
		INTO v_findings, v_next_expiry
		FROM reconciler.queue q
		WHERE q.network_id = b.network_id AND q.seq >= b.lo AND q.seq < b.hi AND q.status = 'pending';
	END IF;

	IF v_findings IS NOT NULL THEN
		SELECT array_agg(d.finding ORDER BY d.alone, (d.finding).source_id, d.error_at, (d.finding).seq)
				   FILTER (WHERE d.reason IS NOT NULL),
			   array_agg(d.alone ORDER BY d.alone, (d.finding).source_id, d.error_at, (d.finding).seq)
				   FILTER (WHERE d.reason IS NOT NULL),
			   array_agg(d.finding) FILTER (WHERE d.reason IS NULL AND d.changed AND v_failure IS NULL)
		INTO v_moves, v_alone, v_notes
		FROM (SELECT x.*, x.error_at IS NOT NULL AS alone
			  FROM reconciler._decide(v_look, v_findings, NULL) x) d;
	END IF;

	IF v_moves IS NOT NULL THEN
		v_outcomes := reconciler._move_each(v_look, v_moves, v_alone);
		v_notes := v_notes || (SELECT array_agg(ROW(o.seq, NULL, NULL, NULL, NULL, o.reason)::reconciler._finding)
							   FROM jsonb_to_recordset(v_outcomes) AS o(outcome text, seq bigint, reason text)
							   WHERE o.outcome = 'failed');
	END IF;
	IF v_notes IS NOT NULL THEN
		PERFORM reconciler._note(v_look, v_notes);
	END IF;

	IF v_failure IS NOT NULL THEN
		v_poll := b.poll_interval;
		b.failures := least(b.failures, 1000) + 1;
		v_due := greatest(b.claimed_at + v_poll,
			least(b.claimed_at + greatest(least(v_poll * (2 ^ least(b.failures, 16)), interval '5 minutes'), v_poll),
				  v_next_expiry + v_look.grace));
	ELSE
		b.failures := 0;
		-- Not finite: an administrator wants the batch looked at now.
		v_due := CASE WHEN isfinite(b.due_at) THEN b.claimed_at + b.poll_interval ELSE b.due_at END;
	END IF;
	IF v_failure IS NULL AND (observation ->> 'release')::boolean IS FALSE
	   AND v_due = b.lease_until AND v_outcomes = '[]' THEN
		UPDATE reconciler.batches x SET failures = 0, error = NULL
		WHERE x.network_id = b.network_id AND x.lo = b.lo AND x.failures > 0;
	ELSE
		UPDATE reconciler.batches x
		SET lease_owner = NULL, lease_until = NULL, lease_token = NULL,
			due_at = v_due, failures = b.failures, error = v_failure
		WHERE x.network_id = b.network_id AND x.lo = b.lo;
	END IF;

	PERFORM reconciler._note_tip(v_look, v_failure, v_tip_time);
	IF v_outcomes <> '[]' THEN
		PERFORM reconciler._notify(v_outcomes);
		RETURN QUERY
		SELECT o.outcome, o.source, o.request_id, o.from_status, o.to_status, o.reason
		FROM jsonb_to_recordset(v_outcomes)
			 AS o(outcome text, source text, request_id text, from_status text, to_status text, reason text);
	END IF;
END
$$;

COMMENT ON FUNCTION settle(text, int, bigint, xid8, jsonb) IS
'Takes what was observed of a claimed batch: changes statuses where that is due, keeps what is known, gives the lease back. One row for each request that something happened to: transition, skipped (locked by the application: seen to at the next look) or failed (reason: the error). Raises RC001 when the token is not the current one';

CREATE FUNCTION _expire_invalid(worker_id text, network_id int, lo bigint, hi bigint, looked_at timestamptz, grace interval)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	v_look reconciler._look;
	v_moves reconciler._finding[];
	v_alone boolean[];
	v_outcomes jsonb;
	o record;
BEGIN
	v_look.worker_id := _expire_invalid.worker_id;
	v_look.network_id := _expire_invalid.network_id;
	v_look.looked_at := _expire_invalid.looked_at;
	v_look.grace := _expire_invalid.grace;

	-- A few at a time: claim is not to be held up.
	SELECT array_agg(ROW(q.seq, q.source_id, q.request_id, NULL, NULL, q.invalid)::reconciler._finding
					 ORDER BY q.error_at IS NOT NULL, q.source_id, q.error_at, q.seq),
		   array_agg(q.error_at IS NOT NULL ORDER BY q.error_at IS NOT NULL, q.source_id, q.error_at, q.seq)
	INTO v_moves, v_alone
	FROM (SELECT * FROM reconciler.queue x
		  WHERE x.network_id = _expire_invalid.network_id AND x.seq >= _expire_invalid.lo AND x.seq < _expire_invalid.hi
			AND x.status = 'pending' AND x.invalid IS NOT NULL
			AND x.expires_at <= _expire_invalid.looked_at - _expire_invalid.grace
		  ORDER BY x.error_at NULLS FIRST LIMIT 100) q;
	IF v_moves IS NULL THEN
		RETURN;
	END IF;
	v_outcomes := reconciler._move_each(v_look, v_moves, v_alone);
	PERFORM reconciler._note(v_look, (
		SELECT array_agg(ROW(f.seq, NULL, NULL, NULL, NULL, f.reason)::reconciler._finding)
		FROM jsonb_to_recordset(v_outcomes) AS f(outcome text, seq bigint, reason text)
		WHERE f.outcome = 'failed'));
	PERFORM reconciler._notify(v_outcomes);
	FOR o IN SELECT * FROM jsonb_to_recordset(v_outcomes)
				 AS t(outcome text, source text, request_id text, from_status text, to_status text, reason text)
			 WHERE t.outcome = 'transition' LOOP
		RAISE LOG 'transition worker_id=% source=% request_id=% from=% to=% reason=%',
			worker_id, o.source, o.request_id, o.from_status, o.to_status, o.reason;
	END LOOP;
END
$$;

COMMENT ON FUNCTION _expire_invalid(text, int, bigint, bigint, timestamptz, interval) IS
'Expires requests that can''t be observed as they are (a bad address, say), after the grace';

CREATE FUNCTION report(worker_id text, role text, pid int, state text, counters jsonb, stopped boolean)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $$
#variable_conflict use_column
BEGIN
	IF report.worker_id IS NULL OR report.role IS NULL OR report.state IS NULL THEN
		RAISE EXCEPTION 'worker_id, role and state must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	INSERT INTO reconciler.workers AS w (worker_id, role, pid, state, cycles, claimed, scanned, detected,
										 confirmed, expired, skipped, errors)
	SELECT report.worker_id, report.role, report.pid,
		   CASE WHEN report.stopped THEN 'stopped' ELSE report.state END,
		   coalesce(c.cycles, 0), coalesce(c.claimed, 0), coalesce(c.scanned, 0), coalesce(c.detected, 0),
		   coalesce(c.confirmed, 0), coalesce(c.expired, 0), coalesce(c.skipped, 0), coalesce(c.errors, 0)
	FROM jsonb_to_record(coalesce(report.counters, '{}'))
		 AS c(cycles bigint, claimed bigint, scanned bigint, detected bigint,
			  confirmed bigint, expired bigint, skipped bigint, errors bigint)
	ON CONFLICT (worker_id) DO UPDATE
	SET role = excluded.role, pid = excluded.pid, state = excluded.state, cycles = excluded.cycles,
		claimed = excluded.claimed, scanned = excluded.scanned, detected = excluded.detected,
		confirmed = excluded.confirmed, expired = excluded.expired, skipped = excluded.skipped,
		errors = excluded.errors, reported_at = excluded.reported_at,
		-- Counters that went back are those of a new process.
		started_at = CASE WHEN excluded.pid IS DISTINCT FROM w.pid OR excluded.cycles < w.cycles
						  THEN excluded.started_at ELSE w.started_at END;
	IF report.stopped THEN
		DELETE FROM reconciler.workers w WHERE w.reported_at < clock_timestamp() - interval '1 day';
	END IF;
END
$$;

COMMENT ON FUNCTION report(text, text, int, text, jsonb, boolean) IS
'A worker outside the server tells its state and its counters (cycles, claimed, scanned, detected, confirmed, expired, skipped, errors) since it started';
