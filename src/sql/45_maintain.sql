-- What workers do now and then beside their claims.

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

CREATE FUNCTION maintain(worker_id text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $$
DECLARE
	v_source reconciler.sources;
	v_changes bigint := 0;
BEGIN
	-- The lock under which the queue is built: one at a time
	IF NOT pg_try_advisory_xact_lock(1919118947, 1) THEN
		RETURN 0;
	END IF;
	IF NOT EXISTS (SELECT FROM reconciler.batches) THEN
		v_changes := reconciler.resync();
	ELSE
		-- One table a call, so that no worker is away for long
		SELECT * INTO v_source FROM reconciler.sources s
		WHERE s.resynced_at <= clock_timestamp() - interval '1 hour'
		ORDER BY s.resynced_at LIMIT 1 FOR UPDATE SKIP LOCKED;
		IF FOUND THEN
			UPDATE reconciler.sources s SET resynced_at = clock_timestamp() WHERE s.source_id = v_source.source_id;
			-- What fails is tried again in an hour, and doesn't keep the others waiting.
			BEGIN
				v_changes := reconciler.resync(v_source.relation);
			EXCEPTION WHEN OTHERS THEN
				IF left(SQLSTATE, 2) IN ('53', '57', '58') THEN
					RAISE;
				END IF;
				RAISE WARNING 'table % could not be resynced: %', v_source.relation, SQLERRM USING ERRCODE = SQLSTATE;
			END;
		END IF;
	END IF;
	IF v_changes > 0 THEN
		RAISE LOG 'resync worker_id=% changes=%', reconciler._log_value(worker_id), v_changes;
	END IF;
	RETURN v_changes;
END
$$;

COMMENT ON FUNCTION maintain(text) IS
'Called by each worker about once a minute: brings the queue in line with an attached table once an hour (triggers may have been off), and with all of them when the queue was lost. Returns the number of changes';
