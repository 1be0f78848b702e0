-- Claims: which batch a worker gets, and how batches keep their size.
--
-- Plans are made once in a session and kept, perhaps while a table is empty.
-- Hence the planner settings of the functions below: what is found by its key
-- today must not be found by reading the whole table tomorrow.

CREATE FUNCTION _build_batches(network_id int, batch_size int)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on
SET enable_bitmapscan = on
SET enable_hashjoin = on
SET enable_mergejoin = on
AS $$
#variable_conflict use_column
BEGIN
	IF NOT reconciler._lock_upkeep() THEN
		RETURN false;
	END IF;
	IF EXISTS (SELECT FROM reconciler.batches b WHERE b.network_id = _build_batches.network_id) THEN
		RETURN true;
	END IF;

	-- What can't be had of it now (maintain tries again within the minute) will find
	-- its batch: together they cover every seq.
	PERFORM reconciler._rebuild_lost_queue();

	INSERT INTO reconciler.batches (network_id, lo, hi)
	SELECT _build_batches.network_id, s.lo, lead(s.lo, 1, 9223372036854775807) OVER (ORDER BY s.lo)
	FROM (SELECT 0::bigint AS lo
		  UNION
		  SELECT r.seq
		  FROM (SELECT q.seq, row_number() OVER (ORDER BY q.seq) AS n
				FROM reconciler.queue q
				WHERE q.network_id = _build_batches.network_id AND NOT q.followed) r
		  WHERE r.n > 1 AND (r.n - 1) % _build_batches.batch_size = 0) s;
	RETURN true;
END
$$;

COMMENT ON FUNCTION _build_batches(int, int) IS
'Makes the batches of a network that has none, and the queue when it was lost; false while somebody else does so';

CREATE FUNCTION _check_claim(worker_id text, network_id int, batch_size int, lease interval, poll_interval interval)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
	IF worker_id IS NULL OR network_id IS NULL THEN
		RAISE EXCEPTION 'worker_id and network_id must not be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 100000 THEN
		RAISE EXCEPTION 'batch_size must be between 1 and 100000'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'A worker takes it from reconciler.worker_networks().';
	END IF;
	PERFORM reconciler._check_worker(worker_id);
	PERFORM reconciler._check_lease(lease);
	IF poll_interval IS NULL OR poll_interval <= interval '0' OR poll_interval > interval '1 day' THEN
		RAISE EXCEPTION 'poll_interval must be above 0 and at most 1 day'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'A worker takes it from reconciler.worker_networks().';
	END IF;
END
$$;

COMMENT ON FUNCTION _check_claim(text, int, int, interval, interval) IS 'Refuses what no worker should ask for';

CREATE FUNCTION _adopt()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF reconciler._lock_upkeep() THEN
		PERFORM reconciler._adopt_requests();
	END IF;
EXCEPTION WHEN lock_not_available THEN
	NULL;			-- the application is changing one of them: the next time
END
$$;

COMMENT ON FUNCTION _adopt() IS
'Gives requests of unregistered networks that arrived while their network was being registered to it';

CREATE FUNCTION _due_batch(network_id int, after bigint, at timestamptz, trusted boolean)
RETURNS batches
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
	b reconciler.batches;
BEGIN
	SELECT * INTO b
	FROM reconciler.batches x
	WHERE x.network_id = _due_batch.network_id AND x.lo > _due_batch.after
	  AND (x.due_at <= at OR (trusted AND x.verify)) AND (x.lease_until IS NULL OR x.lease_until <= at)
	ORDER BY x.lo LIMIT 1 FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		SELECT * INTO b
		FROM reconciler.batches x
		WHERE x.network_id = _due_batch.network_id AND x.lo <= _due_batch.after
		  AND (x.due_at <= at OR (trusted AND x.verify)) AND (x.lease_until IS NULL OR x.lease_until <= at)
		ORDER BY x.lo LIMIT 1 FOR UPDATE SKIP LOCKED;
	END IF;
	RETURN b;
END
$$;

COMMENT ON FUNCTION _due_batch(int, bigint, timestamptz, boolean) IS
'The first batch of the network after the position, then from the start, that is due and free, locked; null: there is none. trusted: a batch is due, too, when a trusted session must see what another one has seen';

CREATE FUNCTION _measure(b batches, most int, OUT n int, OUT valid int, OUT last bigint, OUT last_valid bigint)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	SELECT count(*), count(*) FILTER (WHERE s.invalid IS NULL), max(s.seq), max(s.seq) FILTER (WHERE s.invalid IS NULL)
	INTO n, valid, last, last_valid
	FROM (SELECT q.seq, q.invalid
		  FROM reconciler.queue AS q
		  WHERE q.network_id = b.network_id AND q.seq >= b.lo AND q.seq < b.hi AND NOT q.followed
		  ORDER BY q.seq LIMIT most) AS s;
END
$$;

COMMENT ON FUNCTION _measure(batches, int) IS
'How many requests are in a batch, counted up to a number, how many of them can be observed, and the last of either';

-- A batch that is locked: its new end, and how many requests in it can be observed.
CREATE FUNCTION _size_batch(b batches, batch_size int, at timestamptz, OUT hi bigint, OUT valid int)
LANGUAGE plpgsql
AS $$
DECLARE
	size record := reconciler._measure(b, batch_size + 1);
	next reconciler.batches;
	more record;
	room int;
BEGIN
	hi := b.hi;
	valid := size.valid;
	IF size.n > batch_size THEN
		-- Too many: the rest becomes a batch of its own.
		INSERT INTO reconciler.batches (network_id, lo, hi) VALUES (b.network_id, size.last, b.hi);
		hi := size.last;
		valid := valid - CASE WHEN size.last_valid = size.last THEN 1 ELSE 0 END;
		RETURN;
	END IF;

	-- Few: swallow what follows, as long as all of it leaves some room.
	WHILE size.n <= batch_size / 2 AND hi < 9223372036854775807 LOOP
		room := greatest(batch_size * 3 / 4, 1) - size.n;
		SELECT x.* INTO next FROM reconciler.batches AS x
		WHERE x.network_id = b.network_id AND x.lo = _size_batch.hi;
		EXIT WHEN NOT FOUND;
		more := reconciler._measure(next, room + 1);
		EXIT WHEN more.n > room;
		SELECT x.* INTO next FROM reconciler.batches AS x
		WHERE x.network_id = b.network_id AND x.lo = _size_batch.hi
		  AND (x.lease_until IS NULL OR x.lease_until <= at)
		FOR UPDATE SKIP LOCKED;
		EXIT WHEN NOT FOUND;
		DELETE FROM reconciler.batches AS x WHERE x.network_id = b.network_id AND x.lo = next.lo;
		hi := next.hi;
		size.n := size.n + more.n;
		valid := valid + more.valid;
	END LOOP;
END
$$;

COMMENT ON FUNCTION _size_batch(batches, int, timestamptz) IS
'Splits a batch that has grown too large, lets a small one swallow those behind it';

CREATE FUNCTION _lease_batch(b batches, worker_id text, lease interval, poll_interval interval, at timestamptz,
	token xid8, floor bigint, requests int)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	UPDATE reconciler.batches AS x
	SET hi = b.hi,
		lease_owner = CASE WHEN token IS NOT NULL THEN _lease_batch.worker_id END,
		lease_until = CASE WHEN token IS NOT NULL THEN at + lease END,
		lease_token = token,
		lease_role = CASE WHEN token IS NOT NULL THEN to_regrole(quote_ident(session_user)) END,
		verify = x.verify AND NOT reconciler._is_trusted(),
		requests = _lease_batch.requests,
		claimed_at = at,
		tip_floor = floor,
		poll_interval = _lease_batch.poll_interval,
		-- Should this worker die, others look when its lease ends, and not only
		-- at the next turn. Where both are the same, a look that finds nothing
		-- new has nothing more to write.
		due_at = at + least(_lease_batch.poll_interval, lease)
	WHERE x.network_id = b.network_id AND x.lo = b.lo;
END
$$;

COMMENT ON FUNCTION _lease_batch(batches, text, interval, interval, timestamptz, xid8, bigint, int) IS
'Writes the lease of a locked batch; token null: there is nothing to observe in it until it is due again';

-- The next batch under lease; nulls: nothing is due.
CREATE FUNCTION _take_batch(n networks, worker_id text, after bigint, batch_size int, lease interval, poll_interval interval,
	floor bigint, OUT b batches, OUT at timestamptz, OUT token xid8)
LANGUAGE plpgsql
AS $$
DECLARE
	size record;
	position bigint := coalesce(after, -1);
	trusted boolean := n.verify = 'server' AND reconciler._is_trusted();
BEGIN
	-- Batches without anything to observe are passed by, but not too many in
	-- one transaction.
	FOR i IN 1 .. 64 LOOP
		at := clock_timestamp();
		b := reconciler._due_batch(n.network_id, position, at, trusted);
		IF b.network_id IS NULL THEN
			EXIT WHEN EXISTS (SELECT FROM reconciler.batches AS x WHERE x.network_id = n.network_id)
				OR NOT reconciler._build_batches(n.network_id, batch_size);
			CONTINUE;
		END IF;
		position := b.lo;
		size := reconciler._size_batch(b, batch_size, at);
		b.hi := size.hi;
		IF size.valid > 0 THEN
			token := reconciler._new_token();
		END IF;
		PERFORM reconciler._lease_batch(b, worker_id, lease, poll_interval, at, token, floor, size.valid);
		EXIT WHEN size.valid > 0;
	END LOOP;
END
$$;

COMMENT ON FUNCTION _take_batch(networks, text, bigint, int, interval, interval, bigint) IS
'Finds, sizes and leases the next due batch of a network; token null: there is none with anything to observe';

CREATE FUNCTION claim(worker_id text, network_id int, after bigint, batch_size int, lease interval, poll_interval interval,
	version bigint DEFAULT NULL)
RETURNS TABLE (lo bigint, token xid8, seq bigint, address text, token_contract text,
	seen numeric, settled numeric, expiring boolean, error text, failing boolean,
	min_tip_time bigint, max_tip_time bigint, tip_floor bigint, floor_min_time bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	n reconciler.networks;
	p record;
	t record;
	b reconciler.batches;
BEGIN
	PERFORM reconciler._check_claim(claim.worker_id, claim.network_id, claim.batch_size, claim.lease, claim.poll_interval);
	-- The tables first, as _hold_batch does.
	LOCK TABLE reconciler.batches, reconciler.queue IN ROW EXCLUSIVE MODE;
	SELECT * INTO n FROM reconciler.networks x WHERE x.network_id = claim.network_id AND x.enabled;
	IF NOT FOUND OR NOT reconciler._has_batches(n) THEN
		RETURN;
	END IF;
	PERFORM reconciler._check_version(n, claim.version);
	IF n.network_id = 0 THEN
		PERFORM reconciler._adopt();
		RETURN;
	END IF;
	p := reconciler._tip_bounds(n, clock_timestamp());
	t := reconciler._take_batch(n, claim.worker_id, claim.after, claim.batch_size, claim.lease, claim.poll_interval, p.tip_floor);
	IF t.token IS NULL THEN
		RETURN;
	END IF;
	b := t.b;

	-- A status that is due for what is known already (it was locked when it was
	-- found out, or a threshold has changed since), or will be if nothing changes,
	-- must be reported once more: hence the nulls.
	RETURN QUERY
	SELECT b.lo, t.token, q.seq, q.address, q.token_contract,
		   CASE WHEN NOT k.due THEN coalesce(q.seen, 0) END, CASE WHEN NOT k.due THEN coalesce(q.settled, 0) END,
		   coalesce(q.expires_at <= t.at, false), q.error, b.failures > 0,
		   p.min_tip_time, p.max_tip_time, p.tip_floor, p.floor_min_time
	FROM reconciler.queue q
	CROSS JOIN LATERAL (
		SELECT CASE WHEN q.seen > 0 OR q.settled > 0 OR q.status = 'detected'
					THEN reconciler._known_is_due(q.status, q.expires_at, reconciler._paid(q.expected, q.seen, q.settled,
												  n.detected_bps, n.confirmed_bps))
					ELSE false END AS due) k
	WHERE q.network_id = n.network_id AND q.seq >= b.lo AND q.seq < b.hi AND q.invalid IS NULL AND NOT q.followed
	ORDER BY q.seq;
END
$$;

COMMENT ON FUNCTION claim(text, int, bigint, int, interval, interval, bigint) IS
'Leases the first due batch of a network after the position given (then from the start), and returns its open requests, oldest first; no rows: nothing is due. failing: the last look at it failed. min_tip_time to floor_min_time: see _tip_bounds. version: the network''s that the worker knows; raises RC002 when it has changed. Of network 0, the home of requests whose network is not registered, there is never anything to look at: it is put in order. Of requests that are followed neither: see claim_cursor. Waits for nobody';
