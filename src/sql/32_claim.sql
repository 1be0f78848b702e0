-- Claims: which batch a worker gets, and how batches keep their size.
--
-- Plans are made once in a session and kept, perhaps while a table is empty.
-- Hence the planner settings of the functions below: what is found by its key
-- today must not be found by reading the whole table tomorrow.

CREATE FUNCTION _build_batches(network_id int, batch_size int)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '30s'
SET enable_seqscan = on
SET enable_bitmapscan = on
SET enable_hashjoin = on
SET enable_mergejoin = on
AS $$
#variable_conflict use_column
BEGIN
	-- Two keys, the first made up: "rcnc"
	IF NOT pg_try_advisory_xact_lock(1919118947, 1) THEN
		RETURN false;
	END IF;
	IF EXISTS (SELECT FROM reconciler.batches b WHERE b.network_id = _build_batches.network_id) THEN
		RETURN true;
	END IF;

	-- No batch of any network: the queue was lost with them (a crash, a
	-- promotion, a restore), or there never was one.
	IF NOT EXISTS (SELECT FROM reconciler.batches) THEN
		PERFORM reconciler.resync();
	END IF;

	INSERT INTO reconciler.batches (network_id, lo, hi)
	SELECT _build_batches.network_id, s.lo, lead(s.lo, 1, 9223372036854775807) OVER (ORDER BY s.lo)
	FROM (SELECT 0::bigint AS lo
		  UNION
		  SELECT r.seq
		  FROM (SELECT q.seq, row_number() OVER (ORDER BY q.seq) AS n
				FROM reconciler.queue q
				WHERE q.network_id = _build_batches.network_id) r
		  WHERE r.n > 1 AND (r.n - 1) % _build_batches.batch_size = 0) s;
	RETURN true;
END
$$;

COMMENT ON FUNCTION _build_batches(int, int) IS
'Makes the batches of a network that has none, and the queue when it was lost; false while somebody else does so';

CREATE FUNCTION claim(worker_id text, network_id int, after bigint, batch_size int, lease interval, poll_interval interval)
RETURNS TABLE (lo bigint, token xid8, seq bigint, address text, token_contract text,
	seen numeric, settled numeric, expiring boolean, error text, failing boolean)
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
	v_network reconciler.networks;
	v_grace interval;
	v_after bigint := coalesce(claim.after, -1);
	v_now timestamptz;
	b reconciler.batches;
	n reconciler.batches;
	v_count int;
	v_valid int;
	v_last bigint;
	v_last_valid bigint;
	v_overdue boolean;
	v_more int;
	v_more_valid int;
	v_more_overdue boolean;
	v_room int;
	v_token xid8 := reconciler._new_token();
BEGIN
	IF claim.worker_id IS NULL OR claim.network_id IS NULL THEN
		RAISE EXCEPTION 'worker_id and network_id must not be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF claim.batch_size IS NULL OR claim.batch_size NOT BETWEEN 1 AND 100000 THEN
		RAISE EXCEPTION 'batch_size must be between 1 and 100000'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'A worker takes it from reconciler.worker_networks().';
	END IF;
	IF claim.lease IS NULL OR claim.lease <= interval '0' OR claim.poll_interval IS NULL OR claim.poll_interval <= interval '0' THEN
		RAISE EXCEPTION 'lease and poll_interval must be positive'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'A worker takes them from reconciler.worker_networks().';
	END IF;

	SELECT * INTO v_network
	FROM reconciler.networks x WHERE x.network_id = claim.network_id AND x.enabled;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	v_grace := least(coalesce(v_network.expiry_grace, reconciler._setting_interval('expiry_grace')), interval '1000 years');

	-- Batches without anything to observe are passed by, but not too many in
	-- one transaction.
	FOR i IN 1 .. 64 LOOP
		v_now := clock_timestamp();
		SELECT * INTO b
		FROM reconciler.batches x
		WHERE x.network_id = claim.network_id AND x.lo > v_after
		  AND x.due_at <= v_now AND (x.lease_until IS NULL OR x.lease_until <= v_now)
		ORDER BY x.lo LIMIT 1 FOR UPDATE SKIP LOCKED;
		IF NOT FOUND THEN
			SELECT * INTO b
			FROM reconciler.batches x
			WHERE x.network_id = claim.network_id AND x.lo <= v_after
			  AND x.due_at <= v_now AND (x.lease_until IS NULL OR x.lease_until <= v_now)
			ORDER BY x.lo LIMIT 1 FOR UPDATE SKIP LOCKED;
		END IF;
		IF NOT FOUND THEN
			IF EXISTS (SELECT FROM reconciler.batches x WHERE x.network_id = claim.network_id)
			   OR NOT reconciler._build_batches(claim.network_id, claim.batch_size) THEN
				RETURN;
			END IF;
			CONTINUE;
		END IF;
		v_after := b.lo;

		-- Requests that arrived while their network was being registered
		IF b.network_id = 0 THEN
			BEGIN
				PERFORM reconciler._adopt_requests(b.lo, b.hi);
			EXCEPTION WHEN lock_not_available THEN
				NULL;			-- the application is changing one of them: the next time
			END;
		END IF;

		SELECT count(*), count(*) FILTER (WHERE s.invalid IS NULL), max(s.seq), max(s.seq) FILTER (WHERE s.invalid IS NULL),
			   coalesce(bool_or(s.invalid IS NOT NULL AND s.expires_at <= v_now - v_grace), false)
		INTO v_count, v_valid, v_last, v_last_valid, v_overdue
		FROM (SELECT q.seq, q.invalid, q.expires_at
			  FROM reconciler.queue q
			  WHERE q.network_id = b.network_id AND q.seq >= b.lo AND q.seq < b.hi
			  ORDER BY q.seq LIMIT claim.batch_size + 1) s;

		IF v_count > claim.batch_size THEN
			-- Too many: the rest becomes a batch of its own.
			INSERT INTO reconciler.batches (network_id, lo, hi) VALUES (b.network_id, v_last, b.hi);
			b.hi := v_last;
			v_valid := v_valid - CASE WHEN v_last_valid = v_last THEN 1 ELSE 0 END;
		ELSE
			-- Few: swallow what follows, as long as all of it leaves some room.
			WHILE v_count <= claim.batch_size / 2 AND b.hi < 9223372036854775807 LOOP
				v_room := greatest(claim.batch_size * 3 / 4, 1) - v_count;
				SELECT * INTO n FROM reconciler.batches x
				WHERE x.network_id = b.network_id AND x.lo = b.hi;
				EXIT WHEN NOT FOUND;
				SELECT count(*), count(*) FILTER (WHERE s.invalid IS NULL),
					   coalesce(bool_or(s.invalid IS NOT NULL AND s.expires_at <= v_now - v_grace), false)
				INTO v_more, v_more_valid, v_more_overdue
				FROM (SELECT q.invalid, q.expires_at
					  FROM reconciler.queue q
					  WHERE q.network_id = n.network_id AND q.seq >= n.lo AND q.seq < n.hi
					  ORDER BY q.seq LIMIT v_room + 1) s;
				EXIT WHEN v_more > v_room;
				SELECT * INTO n FROM reconciler.batches x
				WHERE x.network_id = b.network_id AND x.lo = b.hi
				  AND (x.lease_until IS NULL OR x.lease_until <= v_now)
				FOR UPDATE SKIP LOCKED;
				EXIT WHEN NOT FOUND;
				DELETE FROM reconciler.batches x WHERE x.network_id = n.network_id AND x.lo = n.lo;
				b.hi := n.hi;
				v_count := v_count + v_more;
				v_valid := v_valid + v_more_valid;
				v_overdue := v_overdue OR v_more_overdue;
			END LOOP;
		END IF;

		UPDATE reconciler.batches x
		SET hi = b.hi,
			lease_owner = CASE WHEN v_valid > 0 THEN claim.worker_id END,
			lease_until = CASE WHEN v_valid > 0 THEN v_now + claim.lease END,
			lease_token = CASE WHEN v_valid > 0 THEN v_token END,
			claimed_at = v_now,
			tip_floor = (SELECT s.best_height - greatest(v_network.confirmations, 3)
						 FROM reconciler.network_state s
						 WHERE s.network_id = b.network_id AND v_network.max_tip_age IS NOT NULL
						   AND s.best_at > v_now - interval '10 minutes'),
			poll_interval = claim.poll_interval,
			-- Should this worker die, others look when its lease ends, and not only
			-- at the next turn. Where both are the same, a look that finds nothing
			-- new has nothing more to write.
			due_at = v_now + least(claim.poll_interval, claim.lease)
		WHERE x.network_id = b.network_id AND x.lo = b.lo;

		-- Nobody can observe these, so nobody settles them.
		IF v_overdue THEN
			PERFORM reconciler._expire_invalid(claim.worker_id, b.network_id, b.lo, b.hi, v_now, v_grace);
		END IF;
		EXIT WHEN v_valid > 0;
	END LOOP;

	-- A status that is due for what is known already (it was locked when it was
	-- found out, or a threshold has changed since) must be reported once more:
	-- hence the nulls.
	RETURN QUERY
	SELECT b.lo, v_token, q.seq, q.address, q.token_contract,
		   CASE WHEN NOT k.due THEN coalesce(q.seen, 0) END, CASE WHEN NOT k.due THEN coalesce(q.settled, 0) END,
		   coalesce(q.expires_at <= v_now, false), q.error, b.failures > 0
	FROM reconciler.queue q
	CROSS JOIN LATERAL (
		SELECT CASE WHEN q.seen > 0 OR q.settled > 0
					THEN reconciler._verdict(q.status, q.expected, NULL, q.seen, q.settled, false,
											 v_network.detected_bps, v_network.confirmed_bps, v_now, NULL, v_grace) IS NOT NULL
					ELSE false END AS due) k
	WHERE v_valid > 0
	  AND q.network_id = b.network_id AND q.seq >= b.lo AND q.seq < b.hi
	  AND q.invalid IS NULL
	ORDER BY q.seq;
END
$$;

COMMENT ON FUNCTION claim(text, int, bigint, int, interval, interval) IS
'Leases the first due batch of a network after the position given (then from the start), and returns its open requests, oldest first; no rows: nothing is due. failing: the last look at it failed. Waits for nobody';
