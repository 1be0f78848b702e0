-- What workers do now and then beside their claims.

-- Requests that can't be observed as they are (a bad address, say): nobody looks at them, so nobody settles them.
CREATE FUNCTION _expire_invalid(n networks, worker_id text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	look reconciler._look;
	moves reconciler._finding[];
	alone boolean[];
	outcomes jsonb;
	o record;
BEGIN
	look.worker_id := worker_id;
	look.network_id := n.network_id;
	look.looked_at := clock_timestamp();
	look.grace := least(coalesce(n.expiry_grace, reconciler._setting_interval('expiry_grace')), interval '1000 years');
	-- A thousand a call; what failed the last time stands behind the others.
	SELECT array_agg(ROW(q.seq, q.source_id, q.request_id, NULL, NULL, q.invalid)::reconciler._finding
					 ORDER BY q.error_at IS NOT NULL, q.source_id, q.error_at, q.seq),
		   array_agg(q.error_at IS NOT NULL ORDER BY q.error_at IS NOT NULL, q.source_id, q.error_at, q.seq)
	INTO moves, alone
	FROM (SELECT x.* FROM reconciler.queue AS x
		  WHERE x.network_id = n.network_id AND x.status = 'pending' AND x.invalid IS NOT NULL
			AND x.expires_at <= look.looked_at - look.grace
		  ORDER BY x.error_at NULLS FIRST LIMIT 1000) AS q;
	IF moves IS NULL THEN
		RETURN;
	END IF;
	outcomes := reconciler._move_each(look, moves, alone);
	PERFORM reconciler._note(look, (
		SELECT array_agg(ROW(f.seq, NULL, NULL, NULL, NULL, f.reason)::reconciler._finding)
		FROM jsonb_to_recordset(outcomes) AS f(outcome text, seq bigint, reason text)
		WHERE f.outcome = 'failed'));
	PERFORM reconciler._notify(outcomes);
	FOR o IN SELECT * FROM jsonb_to_recordset(outcomes)
				 AS t(outcome text, source text, request_id text, from_status text, to_status text, reason text)
			 WHERE t.outcome = 'transition' LOOP
		RAISE LOG 'transition worker_id=% source=% request_id=% from=% to=% reason=%',
			reconciler._log_value(worker_id), reconciler._log_value(o.source), reconciler._log_value(o.request_id),
			reconciler._log_value(o.from_status), reconciler._log_value(o.to_status), reconciler._log_value(o.reason);
	END LOOP;
END
$$;

COMMENT ON FUNCTION _expire_invalid(networks, text) IS
'Expires requests of a network that can''t be observed as they are, after the grace';

CREATE FUNCTION _resyncs_due()
RETURNS SETOF sources
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH judged AS (
		SELECT s, r.source_id IS NULL
				OR (r.failures > 0 AND r.tried_at <= n.now_is - least(interval '20 seconds' * 2 ^ least(r.failures - 1, 10), interval '1 hour'))
				OR (r.failures = 0 AND r.tried_at <= n.now_is - interval '20 seconds'
					AND (r.left_over > 0 OR r.running IS NULL OR NOT r.running <@ reconciler._running()
						 OR NOT r.networks <@ n.networks)) AS urgent,
			r.failures = 0 AND s.resynced_at <= n.now_is - interval '1 hour' AS hourly, s.resynced_at
		FROM reconciler.sources AS s LEFT JOIN reconciler.resyncs AS r ON r.source_id = s.source_id
			CROSS JOIN (SELECT clock_timestamp(), reconciler._networks_as_they_are()) AS n (now_is, networks)
	)
	SELECT (j.s).* FROM judged AS j WHERE j.urgent
	UNION ALL
	-- One table a call, so that no worker is away for long; none that its owner is resyncing
	(SELECT (j.s).* FROM (SELECT * FROM judged AS k WHERE k.hourly AND NOT k.urgent ORDER BY k.resynced_at OFFSET 0) AS j
		CROSS JOIN LATERAL (SELECT FROM reconciler.resyncs AS r WHERE r.source_id = (j.s).source_id FOR UPDATE SKIP LOCKED) AS free
	 LIMIT 1)
$$;

COMMENT ON FUNCTION _resyncs_due() IS
'The tables to be resynced now: those that the queue was built without (it failed, then it is tried again after 20 seconds, and less and less often), or with rows left out, or under whose changes it was built, and after a network was removed or changed; and one for which it has not been done for an hour';

-- A network that came after a table's last resync must be missed when it is removed
-- or changed: its requests would else be sought after an hour only.
CREATE FUNCTION _note_new_networks()
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE reconciler.resyncs AS r SET networks = f.networks
	FROM (SELECT x.ctid AS row_id, n.networks || x.networks AS networks
		  FROM reconciler.resyncs AS x CROSS JOIN reconciler._networks_as_they_are() AS n (networks)
		  WHERE NOT n.networks || x.networks <@ x.networks FOR UPDATE OF x SKIP LOCKED) AS f
	WHERE r.ctid = f.row_id
$$;

COMMENT ON FUNCTION _note_new_networks() IS
'Adds networks that came since to those that each table''s last resync knew';

-- A server's clock that was ahead and has been put right leaves leases, and times
-- at which something is due, that lie as far ahead as it was wrong.
CREATE FUNCTION _forget_the_future()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ahead timestamptz := clock_timestamp() + interval '1 minute';
	batches bigint;
	cursors bigint;
BEGIN
	UPDATE reconciler.batches AS b
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, due_at = '-infinity', failing_since = NULL, failed_at = NULL
	FROM (SELECT x.ctid AS row_id FROM reconciler.batches AS x WHERE x.claimed_at > ahead FOR UPDATE SKIP LOCKED) AS f
	WHERE b.ctid = f.row_id;
	GET DIAGNOSTICS batches = ROW_COUNT;
	UPDATE reconciler.cursor_leases AS l
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, due_at = '-infinity', failing_since = NULL, failed_at = NULL
	FROM (SELECT x.ctid AS row_id FROM reconciler.cursor_leases AS x WHERE x.claimed_at > ahead FOR UPDATE SKIP LOCKED) AS f
	WHERE l.ctid = f.row_id;
	GET DIAGNOSTICS cursors = ROW_COUNT;
	UPDATE reconciler.network_state AS s SET best_height = NULL, best_at = NULL, observed_at = NULL, error_at = NULL
	FROM (SELECT x.ctid AS row_id FROM reconciler.network_state AS x
		  WHERE greatest(x.best_at, x.observed_at, x.error_at) > ahead FOR UPDATE SKIP LOCKED) AS f
	WHERE s.ctid = f.row_id;
	-- Nobody can reserve more than an hour, or hold events for longer; no delivery is put off for more than a day.
	DELETE FROM reconciler.budgets AS b WHERE b.spent_until > ahead + interval '1 hour';
	UPDATE reconciler.event_consumers AS c SET lease_until = NULL, reader = NULL
	FROM (SELECT x.ctid AS row_id FROM reconciler.event_consumers AS x
		  WHERE x.lease_until > ahead + interval '1 hour' FOR UPDATE SKIP LOCKED) AS f
	WHERE c.ctid = f.row_id;
	UPDATE reconciler.webhook_deliveries AS d
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, lease_role = NULL, due_at = '-infinity', first_at = NULL
	FROM (SELECT x.ctid AS row_id FROM reconciler.webhook_deliveries AS x
		  WHERE greatest(x.lease_until, x.due_at) > ahead + interval '1 day' FOR UPDATE SKIP LOCKED) AS f
	WHERE d.ctid = f.row_id;
	UPDATE reconciler.webhook_state AS s SET rest_until = '-infinity', failing_since = NULL
	WHERE s.rest_until > ahead + interval '1 day';
	UPDATE reconciler.resyncs AS r SET tried_at = '-infinity'
	FROM (SELECT x.ctid AS row_id FROM reconciler.resyncs AS x WHERE x.tried_at > ahead FOR UPDATE SKIP LOCKED) AS f
	WHERE r.ctid = f.row_id;
	UPDATE reconciler.sources AS s SET resynced_at = '-infinity'
	FROM (SELECT x.ctid AS row_id FROM reconciler.sources AS x WHERE x.resynced_at > ahead FOR UPDATE SKIP LOCKED) AS f
	WHERE s.ctid = f.row_id;
	RETURN batches + cursors;
END
$$;

COMMENT ON FUNCTION _forget_the_future() IS
'Ends leases that were taken, and makes due what was put off, by a clock that was ahead of this one; returns how many leases and pauses that were';

CREATE FUNCTION maintain(worker_id text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $$
DECLARE
	id int;
	n reconciler.networks;
	s reconciler.sources;
	changes bigint := 0;
	future bigint;
BEGIN
	PERFORM reconciler._check_worker(worker_id);
	IF NOT reconciler._lock_upkeep() THEN
		RETURN 0;
	END IF;
	future := reconciler._forget_the_future();
	IF future > 0 THEN
		RAISE WARNING 'the clock of the server has gone back: % leases and pauses that were to end later have ended', future;
	END IF;
	-- The tables first, as _hold_batch does.
	LOCK TABLE reconciler.queue, reconciler.sources, reconciler.resyncs IN ROW EXCLUSIVE MODE;
	IF EXISTS (SELECT FROM reconciler.sources AS r
			   WHERE NOT EXISTS (SELECT FROM reconciler.resyncs AS k WHERE k.source_id = r.source_id)) THEN
		changes := reconciler._rebuild_lost_queue();
	END IF;
	FOR s IN SELECT * FROM reconciler._resyncs_due() LOOP
		changes := changes + reconciler._try_resync(s);
	END LOOP;
	PERFORM reconciler._note_new_networks();
	PERFORM reconciler._forget_workers(interval '1 day');
	PERFORM reconciler._prune_some();
	IF changes > 0 THEN
		RAISE LOG 'resync worker_id=% changes=%', reconciler._log_value(worker_id), changes;
	END IF;
	-- Last, as it locks rows of the application's.
	-- No cursor is open meanwhile: a trigger could fetch from it, by its name.
	FOREACH id IN ARRAY ARRAY(
		SELECT r.network_id FROM reconciler.networks AS r
		WHERE r.enabled AND EXISTS (SELECT FROM reconciler.queue AS q WHERE q.network_id = r.network_id AND q.invalid IS NOT NULL)
		ORDER BY 1)
	LOOP
		SELECT * INTO n FROM reconciler.networks AS r WHERE r.network_id = id;
		PERFORM reconciler._expire_invalid(n, worker_id);
	END LOOP;
	RETURN changes;
END
$$;

COMMENT ON FUNCTION maintain(text) IS
'Called by each worker about once a minute: ends what a clock that was ahead has put off, expires what can''t be observed, brings the queue in line with an attached table once an hour (triggers may have been off), and with all of them when the queue was lost. Returns the number of changes';
