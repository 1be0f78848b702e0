-- The queue in line with the tables: the comparison, and when it is made.

CREATE FUNCTION _warn_of_reopening(of_source int, over bigint, example text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	relation regclass := (SELECT s.relation FROM reconciler.sources AS s WHERE s.source_id = of_source);
BEGIN
	RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
		MESSAGE = format('%s open requests of table %s are not observed again, %s among them: reconciler has confirmed or expired them before',
			over, relation, example),
		HINT = format('Were old copies of the rows saved over them? To have one observed again: SELECT reconciler.reopen(%L, %L); all of them: detach the table and attach it with reopen => true.',
			relation::text, example);
END $$;

-- What the queue should hold of a request
CREATE TYPE _wanted AS (
	arrival bigint,
	request_id text,
	status text,
	network_id int,
	expected numeric,
	address text,
	token_contract text,
	expires_at timestamptz,
	invalid text,
	chain text,
	network text,
	key bytea,
	followed boolean
);

-- Do its rows say pending, whatever was detected? Then history says it.
CREATE FUNCTION _hides_detected(source_id int) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT s.statuses -> 'detected' = '[]' FROM reconciler.sources AS s WHERE s.source_id = $1
$$;

-- Where the queue differs from a table; by the calling statement's snapshot, for
-- both. The queue's statistics are as good as none just when this matters: a
-- nested loop over what is taken for an empty table would never end.
CREATE FUNCTION _compare(source_id int)
RETURNS TABLE (wanted _wanted, queued text, seq bigint, what text)
LANGUAGE sql STABLE ROWS 100000 SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
SET plan_cache_mode = force_custom_plan SET jit = off AS $$
	WITH found AS MATERIALIZED (
		SELECT o.*, coalesce((
			SELECT t.to_status FROM reconciler.transitions AS t
			WHERE t.source_id = $1 AND t.request_id = o.request_id AND o.status = 'pending' AND reconciler._hides_detected($1)
			ORDER BY t.transition_id DESC LIMIT 1), '') = 'detected' AS detected, coalesce((
			SELECT reconciler._is_over(t.to_status, t.reason, t.at, o.expires_at) FROM reconciler.transitions AS t
			WHERE t.source_id = $1 AND t.request_id = o.request_id
			ORDER BY t.transition_id DESC LIMIT 1), false) AS over
		FROM reconciler._open_requests($1) AS o
	), wanted AS MATERIALIZED (
		SELECT o.arrival, o.request_id, CASE WHEN o.detected THEN 'detected' ELSE o.status END, n.network_id, o.expected, o.address, o.token_contract, o.expires_at,
			coalesce(o.invalid, reconciler._request_problem(n.kind, n.network, o.address, o.token_contract)) AS invalid,
			CASE WHEN n.network_id = 0 THEN left(coalesce(o.chain, ''), 101) END AS chain,
			CASE WHEN n.network_id = 0 THEN left(coalesce(o.network, ''), 101) END AS network,
			reconciler._queue_key(n, o.address, o.token_contract) AS key,
			reconciler._is_followed(n, o.token_contract) AS followed
		FROM found AS o
			LEFT JOIN reconciler.networks AS r ON r.chain = o.chain AND r.network = o.network
			JOIN reconciler.networks AS n ON n.network_id = coalesce(r.network_id, 0)
		WHERE NOT o.over
	)
	SELECT ROW(w.*)::reconciler._wanted, q.request_id, q.seq, c.what
	FROM wanted AS w
		FULL JOIN (SELECT * FROM reconciler.queue AS k WHERE k.source_id = $1) AS q ON q.request_id = w.request_id
		CROSS JOIN LATERAL (SELECT CASE
			WHEN w.request_id IS NULL THEN 'stale'
			WHEN q.request_id IS NULL THEN 'missing'
			WHEN (w.network_id, w.expected, w.address, w.token_contract, w.chain, w.network)
				IS DISTINCT FROM (q.network_id, q.expected, q.address, q.token_contract, q.chain, q.network)
				OR (w.key, w.followed) IS DISTINCT FROM (q.key, q.followed) THEN 'changed'
			WHEN (w.status, w.expires_at, w.invalid) IS DISTINCT FROM (q.status, q.expires_at, q.invalid) THEN 'touched'
			END AS what) AS c
	WHERE c.what IS NOT NULL
	UNION ALL
	SELECT NULL, f.request_id, NULL, 'over' FROM found AS f WHERE f.over
$$;

-- Queues requests; those that a transaction of the application's is just
-- queueing itself are passed by, after the others: halves what has to wait until
-- the culprit stands alone.
CREATE FUNCTION _put_missing(source_id int, missing _wanted[], until timestamptz, OUT put bigint, OUT left_over bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '20ms' AS $$
DECLARE
	middle int := cardinality(missing) / 2;
BEGIN
	INSERT INTO reconciler.queue (source_id, network_id, request_id, status, expected, address,
			token_contract, expires_at, invalid, chain, network, key, followed, look_back_due)
		SELECT _put_missing.source_id, m.network_id, m.request_id, m.status, m.expected, m.address,
			m.token_contract, m.expires_at, m.invalid, m.chain, m.network, m.key, m.followed, m.followed
		FROM unnest(missing) AS m ORDER BY m.arrival
		ON CONFLICT DO NOTHING;
	GET DIAGNOSTICS put = ROW_COUNT;
	left_over := 0;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
	IF middle = 0 OR clock_timestamp() > until THEN
		put := 0;
		left_over := cardinality(missing);
		RETURN;
	END IF;
	SELECT sum(p.put), sum(p.left_over) INTO put, left_over
		FROM (VALUES (missing[:middle]), (missing[middle + 1:])) AS half (rows)
			CROSS JOIN LATERAL reconciler._put_missing(source_id, half.rows, until) AS p;
END $$;

-- Brings the queue rows of a source in line with its table, and leaves what the
-- application is changing meanwhile to the triggers; left_over: how many.
CREATE FUNCTION _resync(source_id int, OUT changes bigint, OUT left_over bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET enable_hashagg = off AS $$
DECLARE
	until timestamptz := clock_timestamp() + interval '20 seconds';
	part record;
	done record;
BEGIN
	changes := 0;
	left_over := 0;
	FOR part IN
		WITH compared AS MATERIALIZED (
			SELECT c.* FROM reconciler._compare(_resync.source_id) AS c
		), locked AS MATERIALIZED (
			SELECT c.* FROM compared AS c JOIN reconciler.queue AS q
				ON q.source_id = _resync.source_id AND q.request_id = c.queued AND q.seq = c.seq
			FOR UPDATE OF q SKIP LOCKED
		), stale AS (
			DELETE FROM reconciler.queue AS q USING locked AS c
			WHERE c.what = 'stale' AND q.source_id = _resync.source_id AND q.request_id = c.queued AND q.seq = c.seq
			RETURNING 1
		), changed AS (
			UPDATE reconciler.queue AS q
			SET seq = DEFAULT, network_id = (c.wanted).network_id, status = (c.wanted).status, expected = (c.wanted).expected,
				address = (c.wanted).address, token_contract = (c.wanted).token_contract, expires_at = (c.wanted).expires_at,
				seen = NULL, settled = NULL, error = NULL, error_at = NULL, invalid = (c.wanted).invalid,
				chain = (c.wanted).chain, network = (c.wanted).network, key = (c.wanted).key,
				followed = (c.wanted).followed, look_back_due = (c.wanted).followed, looking_back = false, look_back_error = NULL
			FROM locked AS c
			WHERE c.what = 'changed' AND q.source_id = _resync.source_id AND q.request_id = c.queued AND q.seq = c.seq
			RETURNING 1
		), touched AS (
			UPDATE reconciler.queue AS q
			SET status = (c.wanted).status, expires_at = (c.wanted).expires_at, invalid = (c.wanted).invalid
			FROM locked AS c
			WHERE c.what = 'touched' AND q.source_id = _resync.source_id AND q.request_id = c.queued AND q.seq = c.seq
			RETURNING 1
		), written AS (
			SELECT (SELECT count(*) FROM stale) + (SELECT count(*) FROM changed) + (SELECT count(*) FROM touched) AS n
		)
		SELECT -1 AS n, NULL::reconciler._wanted[] AS missing, w.n AS changes,
			(SELECT count(*) FROM compared AS c WHERE c.what NOT IN ('missing', 'over')) - w.n AS left_over,
			(SELECT count(*) FROM compared AS c WHERE c.what = 'over') AS over,
			(SELECT min(c.queued) FROM compared AS c WHERE c.what = 'over') AS example
		FROM written AS w
		UNION ALL
		SELECT m.n, array_agg(m.wanted), 0, 0, 0, NULL
		FROM (SELECT c.wanted, (row_number() OVER (ORDER BY (c.wanted).arrival) - 1) / 1000 AS n
			  FROM compared AS c WHERE c.what = 'missing') AS m
		GROUP BY m.n
		ORDER BY 1
	LOOP
		IF part.over > 0 THEN
			PERFORM reconciler._warn_of_reopening(source_id, part.over, part.example);
		END IF;
		done := reconciler._put_missing(source_id, part.missing, until);
		changes := changes + part.changes + done.put;
		left_over := left_over + part.left_over + done.left_over;
	END LOOP;
	PERFORM reconciler._unmark(source_id, changes);
END $$;

-- How far the queue has each table's requests; lost together with the queue
CREATE UNLOGGED TABLE resyncs (
	source_id int PRIMARY KEY,
	left_over bigint NOT NULL,		-- rows that others were changing
	failures int NOT NULL,			-- of the last tries, one after the other
	tried_at timestamptz NOT NULL,
	running xid8[],					-- their changes may have missed the queue; null: not looked up yet
	networks jsonb					-- what the networks were like
);

-- A transaction of the application's that queues a request while a network is
-- removed, or comes to be observed in another way, isn't seen by whoever changes
-- the network, and queues the request for the network of before.
CREATE FUNCTION _networks_as_they_are() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_object_agg(n.network_id, concat_ws(' ', n.kind, n.chain_id, n.tokens = 'logs', n.native = 'blocks'))
	FROM reconciler.networks AS n
$$;

-- What was under way when the queue was lost, or before its building was
-- committed, didn't see it, and what was prepared survives a crash that the queue
-- doesn't: so the table is compared once more after building, and again whenever
-- one of the transactions has ended that were running then.
CREATE FUNCTION _running() RETURNS xid8[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT ARRAY(SELECT x FROM pg_snapshot_xip(pg_current_snapshot()) AS x ORDER BY x)
$$;

CREATE FUNCTION _note_resync(source_id int, left_over bigint, running xid8[], networks jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO reconciler.resyncs AS r (source_id, left_over, failures, tried_at, running, networks)
		VALUES (_note_resync.source_id, coalesce(_note_resync.left_over, 0),
			CASE WHEN _note_resync.left_over IS NULL THEN 1 ELSE 0 END, clock_timestamp(), NULL, _note_resync.networks)
		ON CONFLICT ON CONSTRAINT resyncs_pkey DO UPDATE
		SET left_over = excluded.left_over, tried_at = excluded.tried_at,
			failures = CASE WHEN excluded.failures > 0 THEN least(r.failures, 1000) + 1 ELSE 0 END,
			networks = coalesce(excluded.networks, r.networks),
			running = CASE WHEN excluded.failures > 0 THEN r.running
						   WHEN NOT r.networks <@ excluded.networks THEN _note_resync.running
						   WHEN r.running IS NULL THEN CASE WHEN r.failures = 0 THEN _note_resync.running END
						   ELSE ARRAY(SELECT unnest(r.running) INTERSECT SELECT unnest(_note_resync.running)) END;
	IF _note_resync.left_over = 0 THEN
		UPDATE reconciler.sources AS s SET resynced_at = clock_timestamp() WHERE s.source_id = _note_resync.source_id;
	END IF;
END $$;

-- One table that can't be read (a right was revoked, a column is gone) must not
-- stop the others.
CREATE FUNCTION _try_resync(s sources) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	running xid8[] := reconciler._running();
	networks jsonb := reconciler._networks_as_they_are();
	done record;
BEGIN
	done := reconciler._resync(s.source_id);
	PERFORM reconciler._note_resync(s.source_id, done.left_over, running, networks);
	RETURN done.changes;
EXCEPTION WHEN OTHERS THEN
	IF left(SQLSTATE, 2) IN ('53', '57', '58') THEN
		RAISE;
	END IF;
	RAISE WARNING 'table % could not be resynced: %', s.relation, SQLERRM USING ERRCODE = SQLSTATE;
	BEGIN
		PERFORM reconciler._note_resync(s.source_id, NULL, NULL, NULL);
	EXCEPTION WHEN lock_not_available THEN
		NULL;		-- its owner resyncs it in a transaction that is open still
	END;
	RETURN 0;
END $$;

COMMENT ON TABLE resyncs IS 'When the queue was brought in line with each table, and what that left out';
COMMENT ON FUNCTION _compare(int) IS 'Where the queue differs from a table: stale, missing, changed (another payment is asked for) or touched rows; over: requests that are open in the table, but are not observed again';
COMMENT ON FUNCTION _put_missing(int, _wanted[], timestamptz) IS 'Queues requests, but for those that others are just queueing';
COMMENT ON FUNCTION _resync(int) IS 'Brings the queue in line with one table; left_over: rows that others are changing';
COMMENT ON FUNCTION _running() IS 'The transactions that are under way, prepared ones too';
COMMENT ON FUNCTION _networks_as_they_are() IS
'The networks, each with what the queue rows of its requests depend on: contained in this of another time, if none was removed or changed since';
COMMENT ON FUNCTION _note_resync(int, bigint, xid8[], jsonb) IS 'Keeps that a table was resynced; left_over null: it failed';
COMMENT ON FUNCTION _try_resync(sources) IS 'Resyncs one table; warns and returns 0 when that fails';

-- With the caller's rights: of the tables that are the caller's.
CREATE FUNCTION resync(relation regclass DEFAULT NULL) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_resync';

CREATE FUNCTION _resync_tables(relation regclass, caller oid) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	running xid8[] := reconciler._running();
	networks jsonb := reconciler._networks_as_they_are();
	changes bigint := 0;
	orphans bigint;
	s reconciler.sources;
	done record;
BEGIN
	IF relation IS NOT NULL THEN
		IF NOT (SELECT pg_has_role(caller, c.relowner, 'USAGE') FROM pg_class AS c WHERE c.oid = relation) THEN
			RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
				MESSAGE = format('must be owner of table %s to resync it', relation);
		END IF;
		done := reconciler._resync(reconciler._source_id(relation));
		PERFORM reconciler._note_resync(reconciler._source_id(relation), done.left_over, running, networks);
		RETURN done.changes;
	END IF;
	FOR s IN SELECT r.* FROM reconciler.sources AS r JOIN pg_class AS c ON c.oid = r.relation
			 WHERE pg_has_role(caller, c.relowner, 'USAGE') ORDER BY r.source_id LOOP
		changes := changes + reconciler._try_resync(s);
	END LOOP;
	DELETE FROM reconciler.queue AS q
		WHERE NOT EXISTS (SELECT FROM reconciler.sources AS r WHERE r.source_id = q.source_id);
	GET DIAGNOSTICS orphans = ROW_COUNT;
	DELETE FROM reconciler.resyncs AS k
		WHERE NOT EXISTS (SELECT FROM reconciler.sources AS r WHERE r.source_id = k.source_id);
	RETURN changes + orphans;
END $$;

COMMENT ON FUNCTION resync(regclass) IS
'Brings the queue in line with an attached table of the caller''s (null: all of them), after its triggers were off; returns the number of changes';
