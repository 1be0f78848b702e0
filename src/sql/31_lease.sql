-- Leases: fencing tokens, renew, release, and when something comes due. A batch row
-- carries the lease of all requests in its run of the queue.

CREATE FUNCTION _lease_lost(network_id int, lo bigint, token xid8)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'lease lost'
		USING ERRCODE = 'RC001',
			DETAIL = format('Batch %s of network %s is not held under token %s.', lo, network_id, token),
			HINT = 'Drop the observation and claim again.';
END
$$;

COMMENT ON FUNCTION _lease_lost(int, bigint, xid8) IS 'Raises RC001';

-- No transaction id, though it would be free: a claim writes nothing but
-- unlogged tables, so its commit is flushed late, and after a crash (or by a
-- promoted standby) the same id is given out again. A daemon that outlived the
-- crash would then hold the new lease, with an observation of the old queue.
CREATE FUNCTION _new_token()
RETURNS xid8
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1024 + floor(random() * 1024)::bigint)::text::xid8
$$;

COMMENT ON FUNCTION _new_token() IS
'A fencing token: microseconds since 1970 and some random bits, so that none comes twice, not even after a crash';

CREATE FUNCTION due_in(network_id int)
RETURNS int
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	v_due timestamptz;
	v_now timestamptz := clock_timestamp();
BEGIN
	SELECT min(greatest(b.due_at, b.lease_until)) INTO v_due
	FROM reconciler.batches b WHERE b.network_id = due_in.network_id;
	RETURN CASE WHEN v_due IS NULL THEN NULL
				WHEN v_due <= v_now THEN 0
				ELSE ceil(extract(epoch FROM least(v_due, v_now + interval '20 days') - v_now) * 1000) END;
END
$$;

COMMENT ON FUNCTION due_in(int) IS
'Milliseconds until a batch of the network comes due: 0 now, null if it has no batch';

CREATE FUNCTION renew(worker_id text, network_id int, lo bigint, token xid8, lease interval)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	IF renew.lease IS NULL OR renew.lease <= interval '0' THEN
		RAISE EXCEPTION 'lease must be positive' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	UPDATE reconciler.batches b
	SET lease_until = greatest(b.lease_until, clock_timestamp() + renew.lease)
	WHERE b.network_id = renew.network_id AND b.lo = renew.lo AND b.lease_token = renew.token;
	IF NOT FOUND THEN
		PERFORM reconciler._lease_lost(renew.network_id, renew.lo, renew.token);
	END IF;
	RETURN true;
END
$$;

COMMENT ON FUNCTION renew(text, int, bigint, xid8, interval) IS
'Prolongs a lease; raises RC001 when the token is not the current one';

CREATE FUNCTION release(worker_id text, network_id int, lo bigint, token xid8, due_now boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	UPDATE reconciler.batches b
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL,
		due_at = CASE WHEN release.due_now OR NOT isfinite(b.due_at) THEN '-infinity'
					  ELSE coalesce(b.claimed_at + b.poll_interval, b.due_at) END
	WHERE b.network_id = release.network_id AND b.lo = release.lo AND b.lease_token = release.token;
	IF NOT FOUND THEN
		PERFORM reconciler._lease_lost(release.network_id, release.lo, release.token);
	END IF;
	RETURN true;
END
$$;

COMMENT ON FUNCTION release(text, int, bigint, xid8, boolean) IS
'Gives a lease back; with due_now (nobody has looked) the batch comes due at once. Raises RC001 when the token is not the current one';
