-- What workers do now and then beside their claims.

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
		RAISE LOG 'resync role=worker worker_id=% changes=%', worker_id, v_changes;
	END IF;
	RETURN v_changes;
END
$$;

COMMENT ON FUNCTION maintain(text) IS
'Called by each worker about once a minute: brings the queue in line with an attached table once an hour (triggers may have been off), and with all of them when the queue was lost. Returns the number of changes';
