-- What workers found out, written down.

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
	heights_grow boolean,		-- false: a chain whose past may be rewritten at will
	best_height bigint,			-- the highest tip that is known of the network
	unverified boolean,			-- what it saw is final only when a trusted session has seen it, too
	tip_time timestamptz,
	answer text,				-- observed, failed or none: see the state machine
	failure text,				-- why nothing was observed, or why it isn't believed
	followed boolean			-- it is about requests that are followed; false: about those of a batch; null: about any
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

-- The time in which nobody looked (the server was down, workers were off) is no
-- failure of anybody's: the first look afterwards must not make a request expire
-- by failing.
CREATE FUNCTION _failed_enough(since timestamptz, looked_at timestamptz, grace interval)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT coalesce(since, looked_at) <= looked_at - grace
$$;

COMMENT ON FUNCTION _failed_enough(timestamptz, timestamptz, interval) IS
'Whether looks have failed for longer than the grace. since: the first of those that failed one after the other, null: there was none before this';

CREATE FUNCTION _failing_since(since timestamptz, failed_at timestamptz, looked_at timestamptz, poll_interval interval)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	-- An endpoint rests for ten minutes at the most.
	SELECT CASE WHEN failed_at >= looked_at - greatest(poll_interval * 4, interval '15 minutes') AND since <= looked_at THEN since ELSE looked_at END
$$;

COMMENT ON FUNCTION _failing_since(timestamptz, timestamptz, timestamptz, interval) IS
'Since when looks have failed one after the other, now that this one has, too: those count after which the next came soon';

CREATE FUNCTION _decide(look _look, findings _finding[], statuses text[])
RETURNS TABLE (finding _finding, reason text, changed boolean, status text, error_at timestamptz, to_verify boolean)
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
	RETURN QUERY
	SELECT ROW(q.seq, q.source_id, q.request_id,
			   CASE WHEN a.answer <> 'observed' THEN q.seen ELSE f.seen END,
			   CASE WHEN a.answer <> 'observed' THEN q.settled ELSE f.settled END, f.error)::reconciler._finding,
		   CASE WHEN look.unverified IS NOT TRUE OR t.reason IN ('seen', 'gone') THEN t.reason
				WHEN t.reason = 'settled' AND s.status = 'pending' THEN 'seen' END,
		   CASE WHEN a.answer = 'none' THEN false
				WHEN f.error IS NOT NULL THEN q.error IS DISTINCT FROM f.error
				ELSE q.error IS NOT NULL OR (q.seen, q.settled) IS DISTINCT FROM (f.seen, f.settled) END,
		   s.status, q.error_at, look.unverified AND t.reason NOT IN ('seen', 'gone')
	FROM ROWS FROM (unnest(findings), unnest(statuses))
		 AS f(seq, source_id, request_id, seen, settled, error, status)
	CROSS JOIN LATERAL (SELECT * FROM reconciler.queue x
						WHERE x.network_id = look.network_id AND x.seq = f.seq AND x.followed = coalesce(look.followed, x.followed)
						  AND (x.invalid IS NULL OR f.error IS NOT NULL) LIMIT 1) q
	-- OFFSET 0: each stage is computed once and is a plain value to the next, so
	-- that the functions below are inlined. One that isn't costs as much as a row.
	CROSS JOIN LATERAL (SELECT CASE WHEN _decide.statuses IS NULL THEN q.status ELSE f.status END OFFSET 0) s(status)
	-- A height that nobody reaches any more binds nobody: see _note_tip.
	CROSS JOIN LATERAL (SELECT least(q.seen_height, look.best_height) OFFSET 0) h(known_height)
	-- A node that knows less than another one did already can't take it back.
	CROSS JOIN LATERAL (SELECT CASE WHEN f.error IS NOT NULL OR f.seen IS NULL OR f.settled IS NULL THEN 'failed'
									WHEN look.heights_grow AND look.tip_height < h.known_height AND f.seen < q.seen THEN 'none'
									ELSE 'observed' END OFFSET 0) a(answer)
	CROSS JOIN LATERAL (SELECT reconciler._paid(q.expected, f.seen, f.settled, look.detected_bps, look.confirmed_bps),
							   reconciler._paid(q.expected, q.seen, q.settled, look.detected_bps, look.confirmed_bps)
						OFFSET 0) p(paid, paid_before)
	CROSS JOIN LATERAL (SELECT reconciler._expired(q.expires_at, a.answer, p.paid, look.looked_at, look.chain_time, look.grace)
							   AND (a.answer <> 'failed' OR look.failure IS NOT NULL OR q.invalid IS NOT NULL
									OR reconciler._failed_enough(CASE WHEN q.error IS NOT NULL THEN q.failing_since END,
																 look.looked_at, look.grace)) OFFSET 0) e(expired)
	CROSS JOIN LATERAL (SELECT reconciler._gone(p.paid_before, p.paid, h.known_height, look.tip_height, look.confirmations,
												look.heights_grow) OFFSET 0) g(gone)
	CROSS JOIN LATERAL (SELECT reconciler._transition(s.status, a.answer, p.paid, e.expired, g.gone) OFFSET 0) t(reason);
END
$$;

COMMENT ON FUNCTION _decide(_look, _finding[], text[]) IS
'Judges findings against the queue rows as they are now; findings whose request has changed or closed fall out. statuses: the status of each as the application''s table has it, null: take the queue''s. to_verify: a change that a trusted session must see, too';

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
		error_at = CASE WHEN c.failed THEN clock_timestamp() END,
		failing_since = CASE WHEN c.failed THEN coalesce(CASE WHEN q.error IS NOT NULL THEN q.failing_since END, look.looked_at) END
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

CREATE FUNCTION _note_tip(look _look, doubted boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
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
	ELSIF (look.failure IS NULL AND s.error IS NULL AND s.best_height IS NOT NULL AND s.observed_at > v_now - interval '1 second')
	   OR (look.failure = s.error AND s.error_at > v_now - interval '1 second' AND NOT doubted) THEN
		RETURN;
	END IF;
	SELECT * INTO s FROM reconciler.network_state x WHERE x.network_id = look.network_id FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	IF look.failure IS NOT NULL THEN
		UPDATE reconciler.network_state x
		SET failures = least(s.failures, 1000000000) + 1, doubts = s.doubts + doubted::int,
			error = look.failure, error_at = v_now
		WHERE x.network_id = look.network_id;
	ELSE
		-- The mark of the best height gives way when nobody has reached it for a
		-- while, and at once on a chain that may be rewritten at will.
		-- Who isn't trusted can't set a mark that keeps others from being believed.
		v_mark := look.unverified IS NOT TRUE AND (s.best_height IS NULL OR look.tip_height >= s.best_height
			OR NOT look.heights_grow OR s.best_at <= v_now - interval '10 minutes');
		UPDATE reconciler.network_state x
		SET tip_height = look.tip_height, tip_hash = look.tip_hash, tip_time = look.tip_time,
			observed_at = v_now, failures = 0, error = NULL, error_at = NULL,
			best_height = CASE WHEN v_mark THEN look.tip_height ELSE s.best_height END,
			best_at = CASE WHEN v_mark THEN v_now ELSE s.best_at END
		WHERE x.network_id = look.network_id;
	END IF;
END
$$;

COMMENT ON FUNCTION _note_tip(_look, boolean) IS
'Keeps the tip of a network, or why it can''t be observed, about once a second. doubted: something was observed, and isn''t believed';

CREATE FUNCTION _amount(value text)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	-- A regular expression with a bounded repetition costs twenty times as much.
	SELECT CASE WHEN octet_length(value) BETWEEN 1 AND 78 AND translate(value, '0123456789', '') = '' THEN
		CASE WHEN value::numeric < 115792089237316195423570985008687907853269984665640564039457584007913129639936
			 THEN value::numeric END END
$$;

COMMENT ON FUNCTION _amount(text) IS 'An unsigned 256-bit integer in decimal, or null if it is none';

CREATE FUNCTION _doubt_tip(look _look, batch batches, network networks)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	v_time text := to_char(look.tip_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS');
BEGIN
	IF look.tip_height IS NULL THEN
		RETURN 'the observation names no tip';
	END IF;
	IF look.tip_height NOT BETWEEN 0 AND 4611686018427387903 OR look.depth_height > look.tip_height THEN
		RETURN format('block %s and block %s can''t be tip and depth of a chain', look.tip_height, look.depth_height);
	END IF;
	IF network.max_tip_age IS NULL THEN
		RETURN NULL;
	END IF;
	IF look.tip_time IS NULL THEN
		RETURN 'the observation names no time of its tip';
	END IF;
	IF look.tip_time < batch.claimed_at - network.max_tip_age THEN
		RETURN format('the node is behind: its tip, block %s, is of %s UTC', look.tip_height, v_time);
	END IF;
	IF extract(epoch FROM look.tip_time) > (reconciler._tip_bounds(network, batch.claimed_at)).max_tip_time THEN
		RETURN format('the node''s clock is wrong: its tip, block %s, is of %s UTC', look.tip_height, v_time);
	END IF;
	-- Where blocks come every second, nodes differ by several of them.
	IF look.tip_height < batch.tip_floor AND look.tip_time < batch.claimed_at - interval '30 seconds' THEN
		RETURN format('the node is behind: its tip is block %s, another was beyond block %s already', look.tip_height, batch.tip_floor);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION _doubt_tip(_look, batches, networks) IS
'Why the tip of an observation can''t be the chain''s, or null. Workers hold tips against the same bounds, and ask another endpoint';

CREATE FUNCTION _doubt(look _look, batch batches, network networks, observation jsonb)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF observation ? 'chain_id' AND (observation ->> 'chain_id')::numeric IS DISTINCT FROM network.chain_id THEN
		RETURN format('chain %s was looked at, but the network is chain %s', observation ->> 'chain_id', network.chain_id);
	END IF;

	-- Read for other settings than those of now?
	IF network.block_tag IS NULL AND look.depth_height > look.tip_height - (network.confirmations - 1)
	   AND EXISTS (SELECT FROM jsonb_array_elements(observation -> 'requests') r WHERE r ->> 'settled' <> '0') THEN
		RETURN format('block %s is not at the depth of %s confirmations below block %s', look.depth_height,
					  network.confirmations, look.tip_height);
	END IF;
	RETURN reconciler._doubt_tip(look, batch, network);
END
$$;

COMMENT ON FUNCTION _doubt(_look, batches, networks, jsonb) IS
'Why an observation must not be believed, or null. It never makes a request expire: nobody has said that the payment isn''t there';

CREATE FUNCTION _check_observation(observation jsonb, requests int)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
	n int := CASE WHEN jsonb_typeof(observation -> 'requests') = 'array' THEN jsonb_array_length(observation -> 'requests')
				  WHEN observation ? 'requests' THEN 2147483647 ELSE 0 END;
BEGIN
	IF observation IS NULL OR jsonb_typeof(observation) <> 'object' OR n > coalesce(requests, 100000) + 1000
	   OR pg_column_size(observation) > 65536 + 4096 * n THEN
		RAISE EXCEPTION 'the observation is no answer to a claim of % requests', requests
			USING ERRCODE = 'invalid_parameter_value', HINT = 'One finding for each request of the batch is enough.';
	END IF;
END
$$;

COMMENT ON FUNCTION _check_observation(jsonb, int) IS 'Refuses an observation with more in it than was asked for';

CREATE FUNCTION _begin_look(network networks, worker_id text, looked_at timestamptz)
RETURNS _look
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	v_look reconciler._look;
BEGIN
	PERFORM reconciler._check_worker(worker_id);
	v_look.worker_id := worker_id;
	v_look.network_id := network.network_id;
	v_look.confirmations := network.confirmations;
	v_look.detected_bps := network.detected_bps;
	v_look.confirmed_bps := network.confirmed_bps;
	v_look.looked_at := looked_at;
	v_look.grace := least(coalesce(network.expiry_grace, reconciler._setting_interval('expiry_grace')), interval '1000 years');
	v_look.heights_grow := network.max_tip_age IS NOT NULL;
	v_look.best_height := (SELECT s.best_height FROM reconciler.network_state AS s WHERE s.network_id = network.network_id);
	v_look.followed := false;
	v_look.unverified := coalesce(network.verify = 'server', false) AND NOT reconciler._is_trusted();
	RETURN v_look;
END
$$;

COMMENT ON FUNCTION _begin_look(networks, text, timestamptz) IS
'A look at a network as far as its settings say what it is; blocks and failure are still to be filled in';

-- Bitcoin's blocks may be of up to two hours ahead: only what their median is past is past.
CREATE FUNCTION _take_blocks(network networks, look _look, observation jsonb)
RETURNS _look
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
	look.tip_height := reconciler._height(observation #>> '{tip,height}');
	look.tip_hash := left(observation #>> '{tip,hash}', 100);
	look.tip_time := reconciler._seconds(observation #>> '{tip,time}');
	look.chain_time := CASE WHEN look.heights_grow THEN look.tip_time END;
	IF look.heights_grow AND (reconciler._kind(network.kind)).has_mempool THEN
		look.chain_time := least(look.tip_time, coalesce(reconciler._seconds(observation #>> '{tip,median_time}'),
														 look.tip_time - (reconciler._kind(network.kind)).time_slack));
	END IF;
	-- Below 0: the chain isn't that long yet.
	look.depth_height := reconciler._height(CASE WHEN left(observation #>> '{depth,height}', 1) <> '-'
													 THEN observation #>> '{depth,height}' END);
	look.depth_hash := left(observation #>> '{depth,hash}', 100);
	look.failure := left(observation ->> 'failure', 1000);
	look.answer := CASE WHEN look.failure IS NULL THEN 'observed'
						WHEN (observation ->> 'asked')::boolean IS FALSE THEN 'none'
						ELSE 'failed' END;
	RETURN look;
END
$$;

COMMENT ON FUNCTION _take_blocks(networks, _look, jsonb) IS 'Fills in which blocks were looked at, or why none were';

CREATE FUNCTION _observed_findings(observation jsonb, lo bigint, hi bigint)
RETURNS _finding[]
LANGUAGE plpgsql IMMUTABLE
AS $$
#variable_conflict use_column
BEGIN
	RETURN (
		SELECT array_agg(ROW(r.seq, NULL, NULL, a.seen, a.settled,
							 CASE WHEN r.error IS NOT NULL THEN left(r.error, 1000)
								  WHEN a.seen IS NULL OR a.settled IS NULL THEN 'the worker reported no valid amount' END)::reconciler._finding)
		FROM (SELECT DISTINCT ON (x.seq) x.*
			  FROM jsonb_to_recordset(observation -> 'requests') AS x(seq bigint, seen text, settled text, error text)) r
		CROSS JOIN LATERAL (SELECT reconciler._amount(r.seen), reconciler._amount(r.settled)) a(seen, settled)
		WHERE r.seq >= $2 AND r.seq < $3);
END
$$;

COMMENT ON FUNCTION _observed_findings(jsonb, bigint, bigint) IS
'The findings of an observation, those whose seq lies in [lo, hi)';

CREATE FUNCTION _failed_findings(look _look, lo bigint, hi bigint)
RETURNS _finding[]
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
	RETURN (
		SELECT array_agg(ROW(q.seq, NULL, NULL, NULL, NULL, $1.failure)::reconciler._finding)
		FROM reconciler.queue q
		WHERE q.network_id = $1.network_id AND q.seq >= $2 AND q.seq < $3 AND q.status = 'pending' AND q.invalid IS NULL
		  AND q.followed = $1.followed AND q.expires_at <= $1.looked_at - $1.grace);
END
$$;

COMMENT ON FUNCTION _failed_findings(_look, bigint, bigint) IS
'What a failed look says of the requests with seq in [lo, hi) whose grace is over';

CREATE FUNCTION _judge(look _look, findings _finding[])
RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
	v_moves reconciler._finding[];
	v_alone boolean[];
	v_notes reconciler._finding[];
	v_outcomes jsonb := '[]';
	v_verify jsonb;
BEGIN
	IF findings IS NULL THEN
		RETURN v_outcomes;
	END IF;
	SELECT array_agg(d.finding ORDER BY d.alone, (d.finding).source_id, d.error_at, (d.finding).seq)
			   FILTER (WHERE d.reason IS NOT NULL),
		   array_agg(d.alone ORDER BY d.alone, (d.finding).source_id, d.error_at, (d.finding).seq)
			   FILTER (WHERE d.reason IS NOT NULL),
		   array_agg(d.finding) FILTER (WHERE d.reason IS NULL AND d.changed AND look.failure IS NULL),
		   CASE WHEN bool_or(d.to_verify) THEN '[{"outcome": "to verify"}]'::jsonb ELSE '[]' END
	INTO v_moves, v_alone, v_notes, v_verify
	FROM (SELECT x.*, x.error_at IS NOT NULL AS alone
		  FROM reconciler._decide(look, findings, NULL) x) d;

	IF v_moves IS NOT NULL THEN
		v_outcomes := reconciler._move_each(look, v_moves, v_alone);
		v_notes := v_notes || (SELECT array_agg(ROW(o.seq, NULL, NULL, NULL, NULL, o.reason)::reconciler._finding)
							   FROM jsonb_to_recordset(v_outcomes) AS o(outcome text, seq bigint, reason text)
							   WHERE o.outcome = 'failed');
	END IF;
	IF v_notes IS NOT NULL THEN
		PERFORM reconciler._note(look, v_notes);
	END IF;
	IF v_outcomes <> '[]' THEN
		PERFORM reconciler._notify(v_outcomes);
	END IF;
	RETURN v_outcomes || v_verify;
END
$$;

COMMENT ON FUNCTION _judge(_look, _finding[]) IS
'The core of settling: changes statuses where findings make that due, keeps what is known of the others, tells listeners. Returns the outcomes, [{outcome, source, request_id, from_status, to_status, reason}, …], and one with outcome "to verify" where a trusted session must see something, too. Knows no batch and no lease: the caller holds whatever keeps others from judging by an older look';

CREATE FUNCTION _outcomes(outcomes jsonb)
RETURNS TABLE (outcome text, source text, request_id text, from_status text, to_status text, reason text)
LANGUAGE sql IMMUTABLE
AS $$
	SELECT o.outcome, o.source, o.request_id, o.from_status, o.to_status, o.reason
	FROM jsonb_to_recordset($1)
		 AS o(outcome text, source text, request_id text, from_status text, to_status text, reason text)
	WHERE o.outcome <> 'to verify'
$$;

COMMENT ON FUNCTION _outcomes(jsonb) IS 'What _judge returns, as settle''s rows';

CREATE FUNCTION _end_lease(b batches, look _look, keep boolean)
RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
	-- Not finite: an administrator wants the batch looked at now.
	v_due timestamptz := CASE WHEN look.answer = 'failed' OR isfinite(b.due_at)
							  THEN b.claimed_at + b.poll_interval ELSE b.due_at END;
BEGIN
	IF look.failure IS NULL AND keep AND v_due = b.lease_until THEN
		UPDATE reconciler.batches x SET failures = 0, error = NULL, failing_since = NULL, failed_at = NULL
		WHERE x.network_id = b.network_id AND x.lo = b.lo AND x.failures > 0;
		RETURN;
	END IF;
	UPDATE reconciler.batches x
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, due_at = v_due, error = look.failure,
		failing_since = CASE WHEN look.failure IS NOT NULL THEN b.failing_since END,
		failed_at = CASE WHEN look.failure IS NOT NULL THEN b.claimed_at END,
		failures = CASE WHEN look.failure IS NULL THEN 0 ELSE least(b.failures, 1000) + 1 END
	WHERE x.network_id = b.network_id AND x.lo = b.lo;
END
$$;

COMMENT ON FUNCTION _end_lease(batches, _look, boolean) IS
'Gives back the lease of a batch that was looked at, and says when it is due again. keep: a lease that ends when the batch comes due may as well stay';

CREATE FUNCTION _end_unused_lease(b batches)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	UPDATE reconciler.batches x
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, due_at = least(x.due_at, clock_timestamp())
	WHERE x.network_id = $1.network_id AND x.lo = $1.lo;
END
$$;

COMMENT ON FUNCTION _end_unused_lease(batches) IS
'Gives back the lease of a batch at which nobody has looked, or not as the network is now: it is due at once, and nothing has failed';

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
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
	b reconciler.batches;
	v_network reconciler.networks;
	v_look reconciler._look;
	v_doubt text;
	v_outcomes jsonb;
BEGIN
	b := reconciler._hold_batch(settle.network_id, settle.lo, settle.token);
	SELECT * INTO v_network FROM reconciler.networks x WHERE x.network_id = settle.network_id;
	IF NOT FOUND THEN
		PERFORM reconciler._lease_lost(settle.network_id, settle.lo, settle.token);
	END IF;
	PERFORM reconciler._check_observation(settle.observation, b.requests);
	IF (observation ->> 'version')::bigint <> v_network.version THEN
		PERFORM reconciler._end_unused_lease(b);
		RETURN QUERY SELECT * FROM reconciler._outcomes('[{"outcome": "stale", "reason": "the network has changed"}]');
		RETURN;
	END IF;
	v_look := reconciler._take_blocks(v_network, reconciler._begin_look(v_network, settle.worker_id, b.claimed_at), observation);
	IF v_look.answer = 'none' THEN
		PERFORM reconciler._end_unused_lease(b);
		RETURN;
	END IF;
	IF v_look.answer = 'observed' THEN
		v_doubt := reconciler._doubt(v_look, b, v_network, observation);
		v_look.failure := v_doubt;
	END IF;
	b.failing_since := reconciler._failing_since(b.failing_since, b.failed_at, b.claimed_at, b.poll_interval);
	v_outcomes := reconciler._judge(v_look,
		CASE WHEN v_look.failure IS NULL THEN reconciler._observed_findings(observation, b.lo, b.hi)
			 WHEN v_doubt IS NULL AND reconciler._failed_enough(b.failing_since, v_look.looked_at, v_look.grace)
			 THEN reconciler._failed_findings(v_look, b.lo, b.hi) END);
	IF v_outcomes @> '[{"outcome": "to verify"}]' THEN
		UPDATE reconciler.batches x SET verify = true WHERE x.network_id = b.network_id AND x.lo = b.lo;
	END IF;
	PERFORM reconciler._end_lease(b, v_look, (observation ->> 'release')::boolean IS FALSE AND v_outcomes = '[]');
	PERFORM reconciler._note_tip(v_look, v_doubt IS NOT NULL);
	IF v_doubt IS NOT NULL THEN
		v_outcomes := jsonb_build_array(jsonb_build_object('outcome', 'doubted', 'reason', v_doubt));
	END IF;
	RETURN QUERY SELECT * FROM reconciler._outcomes(v_outcomes);
END
$$;

COMMENT ON FUNCTION settle(text, int, bigint, xid8, jsonb) IS
'Takes what was observed of a claimed batch: changes statuses where that is due, keeps what is known, gives the lease back. One row for each request that something happened to: transition, skipped (locked by the application: seen to at the next look) or failed (reason: the error). Or one row for the whole look: doubted (reason: why the observation is not believed) or stale (the network has changed since the claim). Raises RC001 when the token is not the current one';
