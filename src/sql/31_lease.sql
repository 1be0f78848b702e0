-- Leases: fencing tokens, renew, release, and when something comes due. A batch row
-- carries the lease of all requests in its run of the queue.

-- Code that the server runs as somebody else than the session: a trigger while a
-- worker sets a status, a function of an index that autovacuum analyses.
CREATE FUNCTION _is_restricted() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'reconciler_is_restricted';

COMMENT ON FUNCTION _is_restricted() IS
'Whether this runs in a security-restricted operation, that is, in a session of which it isn''t the master';

-- What is called by every claim or settle sets nothing of its own: it runs by the
-- search_path and the planner's settings of the protocol's functions.
CREATE FUNCTION _check_worker(worker_id text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	IF reconciler._is_restricted() THEN
		RAISE EXCEPTION 'what workers call can''t be called by a trigger or an index in another role''s session'
			USING ERRCODE = 'insufficient_privilege', HINT = 'Call it from a session of the worker''s own.';
	END IF;
	IF worker_id IS NULL THEN
		RAISE EXCEPTION 'worker_id must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF NOT reconciler._is_name(worker_id) THEN
		RAISE EXCEPTION 'worker_id must have 1 to 100 characters, none of them invisible'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give each worker a short name of its own.';
	END IF;
END
$$;

COMMENT ON FUNCTION _check_worker(text) IS 'Refuses what is no name of a worker';

CREATE FUNCTION _check_lease(lease interval)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
	IF lease IS NULL OR lease <= interval '0' OR lease > interval '1 hour' THEN
		RAISE EXCEPTION 'lease must be above 0 and at most 1 hour'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'A worker takes it from reconciler.worker_networks().';
	END IF;
END
$$;

COMMENT ON FUNCTION _check_lease(interval) IS 'Refuses a lease that would outlast a dead worker for long';

-- Workers in the server run as its superuser, whom nobody else can pass for:
-- SET ROLE and SECURITY DEFINER leave the session's user as it is. Code of others
-- runs in such sessions, too, but in a security-restricted operation only.
CREATE FUNCTION _is_trusted()
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT r.rolsuper AND NOT reconciler._is_restricted() FROM pg_roles AS r WHERE r.rolname = session_user);
END
$$;

COMMENT ON FUNCTION _is_trusted() IS
'Whether the session is a worker in the server (or a superuser''s): what it saw is final where a network has verify => ''server''';

-- An unsigned whole number; else an error of class 22, which a worker takes for
-- a failed look.
CREATE FUNCTION _natural(value text, most bigint, what text)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF value ~ '^[0-9]{1,18}$' AND value::bigint <= most THEN
		RETURN value::bigint;
	ELSIF value IS NOT NULL THEN
		RAISE EXCEPTION '% is no number from 0 to %: %', what, most, left(value, 40) USING ERRCODE = 'numeric_value_out_of_range';
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION _natural(text, bigint, text) IS 'A number from 0 to most, null for null; anything else is an error';

CREATE FUNCTION _height(value text)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
	RETURN reconciler._natural(value, 1000000000000, 'the height of a block');
END
$$;

COMMENT ON FUNCTION _height(text) IS 'The height of a block';

CREATE FUNCTION _seconds(value text)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
	RETURN to_timestamp(reconciler._natural(split_part(value, '.', 1), 99999999999, 'a time in seconds since 1970'));
END
$$;

COMMENT ON FUNCTION _seconds(text) IS 'A time in seconds since 1970, of which whole ones count; milliseconds are out of range';

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

-- The tables first: whoever reads one, and so locks its indexes, and only then
-- comes to write it would deadlock with REINDEX TABLE.
CREATE FUNCTION _hold_batch(network_id int, lo bigint, token xid8)
RETURNS batches
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	b reconciler.batches;
BEGIN
	LOCK TABLE reconciler.batches, reconciler.queue, reconciler.network_state IN ROW EXCLUSIVE MODE;
	SELECT x.* INTO b FROM reconciler.batches AS x
	WHERE x.network_id = _hold_batch.network_id AND x.lo = _hold_batch.lo FOR UPDATE;
	-- A batch that nobody holds has no token either.
	IF b.lease_token IS NULL OR token IS NULL OR b.lease_token <> token THEN
		PERFORM reconciler._lease_lost(network_id, lo, token);
	END IF;
	RETURN b;
END
$$;

COMMENT ON FUNCTION _hold_batch(int, bigint, xid8) IS
'The batch, locked, if it is held under the token; else raises RC001. No token holds nothing';

-- No transaction id, though it would be free: a claim writes nothing but
-- unlogged tables, so its commit is flushed late, and after a crash (or by a
-- promoted standby) the same id is given out again. A daemon that outlived the
-- crash would then hold the new lease, with an observation of the old queue.
CREATE FUNCTION _new_token()
RETURNS xid8
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	RETURN ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1024 + floor(random() * 1024)::bigint)::text::xid8;
END
$$;

COMMENT ON FUNCTION _new_token() IS
'A fencing token: microseconds since 1970 and some random bits, so that none comes twice, not even after a crash';

CREATE FUNCTION _check_version(n networks, version bigint)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
	IF version <> n.version THEN
		RAISE EXCEPTION 'network has changed'
			USING ERRCODE = 'RC002',
				DETAIL = format('Network %s/%s has version %s; version %s was named.', n.chain, n.network, n.version, version),
				HINT = 'Read reconciler.worker_networks() anew.';
	END IF;
END
$$;

COMMENT ON FUNCTION _check_version(networks, bigint) IS
'Raises RC002 when the network has changed since the version that a worker knows; a null isn''t checked';

-- By the database's clock. On a chain without a max_tip_age (a development chain)
-- time is what somebody made it, so it bounds nothing.
CREATE FUNCTION _tip_bounds(n networks, at timestamptz,
	OUT min_tip_time bigint, OUT max_tip_time bigint, OUT tip_floor bigint, OUT floor_min_time bigint)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF n.max_tip_age IS NULL THEN
		RETURN;
	END IF;
	min_tip_time := extract(epoch FROM at - least(n.max_tip_age, interval '50 years'));
	max_tip_time := extract(epoch FROM at + (reconciler._kind(n.kind)).max_tip_lead);
	-- Of the highest tip of the last minutes; where blocks come every second, nodes differ by several.
	SELECT greatest(s.best_height - greatest(n.confirmations, 3), 0) INTO tip_floor
	FROM reconciler.network_state AS s
	WHERE s.network_id = n.network_id AND s.best_at > at - interval '10 minutes';
	IF tip_floor IS NOT NULL THEN
		floor_min_time := extract(epoch FROM at - interval '30 seconds');
	END IF;
END
$$;

COMMENT ON FUNCTION _tip_bounds(networks, timestamptz) IS
'What a tip must satisfy to be believed, times in seconds since 1970, nulls: no bound. A tip below tip_floor comes from a node that is behind, if its time is also before floor_min_time';

CREATE FUNCTION due_in(network_id int, of_cursor boolean DEFAULT NULL)
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
	FROM (SELECT CASE WHEN x.verify AND reconciler._is_trusted() THEN '-infinity' ELSE x.due_at END AS due_at, x.lease_until
		  FROM reconciler.batches x WHERE x.network_id = due_in.network_id AND of_cursor IS NOT TRUE
		  UNION ALL
		  SELECT x.due_at, x.lease_until FROM reconciler.cursor_leases x
		  WHERE x.network_id = due_in.network_id AND of_cursor IS NOT FALSE) b;
	RETURN CASE WHEN v_due IS NULL THEN NULL
				WHEN v_due <= v_now THEN 0
				ELSE ceil(extract(epoch FROM least(v_due, v_now + interval '20 days') - v_now) * 1000) END;
END
$$;

COMMENT ON FUNCTION due_in(int, boolean) IS
'Milliseconds until a batch of the network, or its cursor, comes due: 0 now, null if it has neither. of_cursor: of the cursor alone; false: of batches alone';

CREATE FUNCTION renew(worker_id text, network_id int, lo bigint, token xid8, lease interval)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
SET enable_seqscan = off
AS $$
BEGIN
	PERFORM reconciler._check_worker(worker_id);
	PERFORM reconciler._check_lease(lease);
	PERFORM reconciler._hold_batch(network_id, lo, token);
	UPDATE reconciler.batches AS b
	SET lease_until = greatest(b.lease_until, clock_timestamp() + renew.lease)
	WHERE b.network_id = renew.network_id AND b.lo = renew.lo;
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
BEGIN
	PERFORM reconciler._check_worker(worker_id);
	PERFORM reconciler._hold_batch(network_id, lo, token);
	UPDATE reconciler.batches AS b
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL,
		due_at = CASE WHEN release.due_now OR NOT isfinite(b.due_at) THEN '-infinity'
					  ELSE coalesce(b.claimed_at + b.poll_interval, b.due_at) END
	WHERE b.network_id = release.network_id AND b.lo = release.lo;
	RETURN true;
END
$$;

COMMENT ON FUNCTION release(text, int, bigint, xid8, boolean) IS
'Gives a lease back; with due_now (nobody has looked) the batch comes due at once. Raises RC001 when the token is not the current one';

CREATE FUNCTION release_leases(chain text, network text)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n reconciler.networks := reconciler._find_network(chain, network);
	released int;
BEGIN
	UPDATE reconciler.batches AS b
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, lease_role = NULL, due_at = '-infinity'
	WHERE b.network_id = n.network_id AND b.lease_token IS NOT NULL;
	GET DIAGNOSTICS released = ROW_COUNT;
	UPDATE reconciler.cursor_leases AS l
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, lease_role = NULL, due_at = '-infinity'
	WHERE l.network_id = n.network_id AND l.lease_token IS NOT NULL;
	IF FOUND THEN
		released := released + 1;
	END IF;
	DELETE FROM reconciler.budgets AS b WHERE b.network_id = n.network_id;
	RETURN released;
END
$$;

COMMENT ON FUNCTION release_leases(text, text) IS
'For administrators: ends all leases on the requests of a network, which come due at once, and forgets what is reserved of its rate_limit. Workers that look meanwhile have lost their lease. Returns the number of leases';

CREATE FUNCTION _release_role(role oid)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE reconciler.batches AS b
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, lease_role = NULL, due_at = '-infinity'
	WHERE b.lease_role = role AND b.lease_token IS NOT NULL;
	UPDATE reconciler.cursor_leases AS l
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, lease_role = NULL, due_at = '-infinity'
	WHERE l.lease_role = role AND l.lease_token IS NOT NULL;
	UPDATE reconciler.webhook_deliveries AS d
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, lease_role = NULL, due_at = '-infinity'
	WHERE d.lease_role = role AND d.lease_token IS NOT NULL
$$;

COMMENT ON FUNCTION _release_role(oid) IS 'Ends all leases that sessions of a role hold';
