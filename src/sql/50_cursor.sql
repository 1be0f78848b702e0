-- Following a chain: the cursor of a network reads each new block once. A network
-- of kind bitcoind has one batch, [0, end): its lease is the lease of the cursor.

-- How far a chain has been read. Written once a block.
CREATE TABLE cursors (
	network_id int PRIMARY KEY REFERENCES networks ON DELETE CASCADE,
	height bigint,				-- the last block read; null: none yet
	hash text,
	block_time timestamptz,
	settled_depth bigint,		-- up to this height payments have been counted as settled
	settings text,				-- confirmations and thresholds they were counted by
	look_back_next bigint,		-- blocks still to be read again for requests that came later
	look_back_end bigint,
	look_back_problem text,		-- why not all of what was due could be read
	read_until timestamptz		-- the time of the last block of a reading that was given up
);

COMMENT ON TABLE cursors IS
'How far the chain of each network of kind bitcoind has been read: height and hash of the last block, and the range of blocks that is being read again for requests that came after their payment';

-- The blocks below the cursor, for finding where a reorganisation forks off
CREATE TABLE cursor_blocks (
	network_id int NOT NULL REFERENCES networks ON DELETE CASCADE,
	height bigint NOT NULL,
	hash text NOT NULL,
	block_time timestamptz,
	PRIMARY KEY (network_id, height)
);

COMMENT ON TABLE cursor_blocks IS 'The last 288 blocks that were read, for finding where a reorganisation forks off';

-- The ledger that a cursor's holder writes is what its network is settled by.
CREATE FUNCTION _may_follow(network_id int)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.verify IS NULL OR reconciler._is_trusted() FROM reconciler.networks AS n WHERE n.network_id = $1
$$;

COMMENT ON FUNCTION _may_follow(int) IS 'Whether this session may follow the chain: where verify is ''server'', only workers in the server may';

-- The lease of the cursor, locked; raises RC001
CREATE FUNCTION _hold_cursor(network_id int, token xid8, lease interval)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	PERFORM reconciler._check_lease(_hold_cursor.lease);
	IF NOT reconciler._may_follow(_hold_cursor.network_id) THEN
		PERFORM reconciler._lease_lost(_hold_cursor.network_id, 0, _hold_cursor.token);
	END IF;
	UPDATE reconciler.batches b
	SET lease_until = greatest(b.lease_until, clock_timestamp() + _hold_cursor.lease)
	WHERE b.network_id = _hold_cursor.network_id AND b.lo = 0 AND b.lease_token = _hold_cursor.token;
	IF NOT FOUND THEN
		PERFORM reconciler._lease_lost(_hold_cursor.network_id, 0, _hold_cursor.token);
	END IF;
END
$$;

COMMENT ON FUNCTION _hold_cursor(int, xid8, interval) IS
'Prolongs the lease of a cursor, and keeps its row locked; raises RC001 when the token is not the current one';

-- One batch, from 0 to the end, as an earlier kind of the network may have left several
CREATE FUNCTION _single_batch(network_id int)
RETURNS batches
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	b reconciler.batches;
	v_now timestamptz := clock_timestamp();
	v_locked int;
BEGIN
	IF NOT EXISTS (SELECT FROM reconciler.batches x WHERE x.network_id = _single_batch.network_id)
	   AND NOT reconciler._build_batches(_single_batch.network_id, 2147483647) THEN
		RETURN NULL;
	END IF;
	SELECT count(*) INTO v_locked
	FROM (SELECT FROM reconciler.batches x
		  WHERE x.network_id = _single_batch.network_id AND (x.lease_until IS NULL OR x.lease_until <= v_now)
		  ORDER BY x.lo FOR UPDATE SKIP LOCKED) l;
	IF v_locked = 0 OR v_locked <> (SELECT count(*) FROM reconciler.batches x WHERE x.network_id = _single_batch.network_id) THEN
		RETURN NULL;
	END IF;
	SELECT * INTO b FROM reconciler.batches x
	WHERE x.network_id = _single_batch.network_id ORDER BY x.due_at LIMIT 1;
	IF v_locked > 1 OR b.lo <> 0 OR b.hi <> 9223372036854775807 THEN
		DELETE FROM reconciler.batches x WHERE x.network_id = _single_batch.network_id;
		INSERT INTO reconciler.batches (network_id, lo, hi, due_at)
		VALUES (_single_batch.network_id, 0, 9223372036854775807, b.due_at)
		RETURNING * INTO b;
	END IF;
	RETURN b;
END
$$;

COMMENT ON FUNCTION _single_batch(int) IS 'The batch that carries the lease of a cursor, locked; null while somebody else has it';

CREATE FUNCTION _look_back_anew(network_id int)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
	UPDATE reconciler.queue AS q SET look_back_due = true, looking_back = false, seen_height = NULL
	WHERE q.network_id = _look_back_anew.network_id AND (NOT q.look_back_due OR q.seen_height IS NOT NULL);
END
$$;

COMMENT ON FUNCTION _look_back_anew(int) IS 'Nothing that was read counts any more: every open request of the network is looked back for';

CREATE FUNCTION claim_cursor(worker_id text, network_id int, lease interval, poll_interval interval)
RETURNS TABLE (token xid8, height bigint, hash text, recent jsonb,
	unfollowed boolean, look_back_next bigint, look_back_end bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	v_network reconciler.networks;
	v_now timestamptz := clock_timestamp();
	b reconciler.batches;
	c reconciler.cursors;
	v_token xid8 := reconciler._new_token();
BEGIN
	IF claim_cursor.worker_id IS NULL OR claim_cursor.network_id IS NULL THEN
		RAISE EXCEPTION 'worker_id and network_id must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM reconciler._check_worker(claim_cursor.worker_id);
	PERFORM reconciler._check_lease(claim_cursor.lease);
	IF claim_cursor.poll_interval IS NULL OR claim_cursor.poll_interval <= interval '0' THEN
		RAISE EXCEPTION 'poll_interval must be positive'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'A worker takes it from reconciler.worker_networks().';
	END IF;
	SELECT * INTO v_network FROM reconciler.networks x
	WHERE x.network_id = claim_cursor.network_id AND x.enabled AND x.kind = 'bitcoind';
	IF NOT FOUND OR NOT reconciler._may_follow(claim_cursor.network_id) THEN
		RETURN;
	END IF;
	b := reconciler._single_batch(claim_cursor.network_id);
	IF b.network_id IS NULL OR b.due_at > v_now THEN
		RETURN;
	END IF;

	-- The worker that followed last knows the mempool: others leave it the first chance.
	IF b.last_owner <> claim_cursor.worker_id AND isfinite(b.due_at)
	   AND v_now < b.due_at + least(claim_cursor.poll_interval, interval '10 seconds') THEN
		RETURN;
	END IF;

	v_now := clock_timestamp();
	UPDATE reconciler.batches x
	SET lease_owner = claim_cursor.worker_id, lease_until = v_now + claim_cursor.lease,
		lease_token = v_token, last_owner = claim_cursor.worker_id, claimed_at = v_now,
		tip_floor = (SELECT s.best_height - greatest(v_network.confirmations, 3)
					 FROM reconciler.network_state s
					 WHERE s.network_id = b.network_id AND v_network.max_tip_age IS NOT NULL
					   AND s.best_at > v_now - interval '10 minutes'),
		poll_interval = claim_cursor.poll_interval,
		due_at = v_now + least(claim_cursor.poll_interval, claim_cursor.lease)
	WHERE x.network_id = b.network_id AND x.lo = 0;

	SELECT * INTO c FROM reconciler.cursors x WHERE x.network_id = claim_cursor.network_id;
	IF NOT FOUND THEN
		INSERT INTO reconciler.cursors (network_id) VALUES (claim_cursor.network_id);
		PERFORM reconciler._look_back_anew(claim_cursor.network_id);
	END IF;

	RETURN QUERY
	SELECT v_token, c.height, c.hash,
		   (SELECT coalesce(jsonb_agg(jsonb_build_array(r.height, r.hash) ORDER BY r.height DESC), '[]')
			FROM reconciler.cursor_blocks r WHERE r.network_id = claim_cursor.network_id),
		   EXISTS (SELECT FROM reconciler.queue q
				   WHERE q.network_id = claim_cursor.network_id AND q.look_back_due AND q.invalid IS NULL),
		   c.look_back_next, c.look_back_end;
END
$$;

COMMENT ON FUNCTION claim_cursor(text, int, interval, interval) IS
'Leases the cursor of a network of kind bitcoind if it is due: its position (height null: none yet), the blocks read last as [[height, hash], …], whether there are requests that no block was matched against yet, and the blocks to be read again for such. No rows: not due, or somebody else has it';

CREATE FUNCTION advance_cursor(worker_id text, network_id int, token xid8, lease interval, block jsonb, outputs jsonb)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	c reconciler.cursors;
	v_height bigint := (block ->> 'height')::bigint;
	v_hash text := block ->> 'hash';
	v_time timestamptz := to_timestamp((block ->> 'time')::double precision);
	v_found int;
BEGIN
	PERFORM reconciler._hold_cursor(advance_cursor.network_id, advance_cursor.token, advance_cursor.lease);
	SELECT * INTO c FROM reconciler.cursors x WHERE x.network_id = advance_cursor.network_id;
	IF v_height IS NULL OR v_hash IS NULL
	   OR (c.hash IS NOT NULL AND (v_height <> c.height + 1 OR block ->> 'previous' IS DISTINCT FROM c.hash)) THEN
		RAISE EXCEPTION 'block % (%) does not follow block % (%)', v_height, v_hash, c.height, c.hash
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Undo blocks down to the fork first.';
	END IF;
	v_found := reconciler._match_outputs(advance_cursor.network_id, outputs, v_height, v_hash, v_time, false);
	INSERT INTO reconciler.cursor_blocks (network_id, height, hash, block_time)
	VALUES (advance_cursor.network_id, v_height, v_hash, v_time);
	DELETE FROM reconciler.cursor_blocks r
	WHERE r.network_id = advance_cursor.network_id AND r.height <= v_height - 288;
	UPDATE reconciler.cursors x
	SET height = v_height, hash = v_hash, block_time = v_time
	WHERE x.network_id = advance_cursor.network_id;
	RETURN v_found;
END
$$;

COMMENT ON FUNCTION advance_cursor(text, int, xid8, interval, jsonb, jsonb) IS
'Takes the block after the cursor ({height, hash, previous, time}; the first one of all may be any) with its outputs [[txid, index, script in hex, amount], …]; prolongs the lease; returns the number of payments found';

CREATE FUNCTION _give_up_reading(network_id int, above bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	-- Nobody looks again for what closed requests were paid: their evidence stays,
	-- but counts for nothing until a block has it again.
	UPDATE reconciler.payments p SET unproven = true
	WHERE p.network_id = _give_up_reading.network_id AND p.block_height > above AND NOT p.unproven;
	INSERT INTO reconciler.payment_changes (network_id, source_id, request_id)
	SELECT q.network_id, q.source_id, q.request_id FROM reconciler.queue q
	WHERE q.network_id = _give_up_reading.network_id
	  AND EXISTS (SELECT FROM reconciler.payments p WHERE p.source_id = q.source_id AND p.request_id = q.request_id)
	ON CONFLICT DO NOTHING;

	DELETE FROM reconciler.cursor_blocks r WHERE r.network_id = _give_up_reading.network_id;
	UPDATE reconciler.cursors x
	SET height = NULL, hash = NULL, read_until = coalesce(x.block_time, x.read_until), block_time = NULL, settled_depth = NULL,
		look_back_next = NULL, look_back_end = NULL, look_back_problem = NULL
	WHERE x.network_id = _give_up_reading.network_id;
	DELETE FROM reconciler.network_state s WHERE s.network_id = _give_up_reading.network_id;
	PERFORM reconciler._look_back_anew(_give_up_reading.network_id);
END
$$;

COMMENT ON FUNCTION _give_up_reading(int, bigint) IS
'Forgets where the reading of a chain stood; what was found in blocks above the height must be found again before it counts';

CREATE FUNCTION undo_blocks(worker_id text, network_id int, token xid8, lease interval, height bigint)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	v_hash text;
	v_time timestamptz;
	v_undone int;
BEGIN
	PERFORM reconciler._hold_cursor(undo_blocks.network_id, undo_blocks.token, undo_blocks.lease);
	SELECT r.hash, r.block_time INTO v_hash, v_time FROM reconciler.cursor_blocks r
	WHERE r.network_id = undo_blocks.network_id AND r.height = undo_blocks.height;

	-- Unconfirmed again: whether still in the mempool, the look at it will tell.
	WITH undone AS (
		UPDATE reconciler.payments p SET block_height = NULL, block_hash = NULL, block_time = NULL
		WHERE p.network_id = undo_blocks.network_id AND p.block_height > undo_blocks.height AND v_hash IS NOT NULL
		  AND NOT p.unproven
		RETURNING p.source_id, p.request_id
	), noted AS (
		INSERT INTO reconciler.payment_changes (network_id, source_id, request_id)
		SELECT DISTINCT undo_blocks.network_id, u.source_id, u.request_id FROM undone u
		ON CONFLICT DO NOTHING
	)
	SELECT count(*) INTO v_undone FROM undone;

	DELETE FROM reconciler.cursor_blocks r
	WHERE r.network_id = undo_blocks.network_id AND r.height > undo_blocks.height;
	IF v_hash IS NOT NULL THEN
		UPDATE reconciler.cursors x
		SET height = undo_blocks.height, hash = v_hash, block_time = v_time,
			settled_depth = least(x.settled_depth, undo_blocks.height),
			look_back_end = least(x.look_back_end, undo_blocks.height)
		WHERE x.network_id = undo_blocks.network_id;
	ELSE
		-- Another chain altogether: everything is looked for anew.
		PERFORM reconciler._give_up_reading(undo_blocks.network_id, -1);
	END IF;
	RETURN v_undone;
END
$$;

COMMENT ON FUNCTION undo_blocks(text, int, xid8, interval, bigint) IS
'Takes back all blocks above the height, which must be one that was read (else all of the chain is): their payments are unconfirmed again';

CREATE FUNCTION restart_cursor(chain text, network text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	n reconciler.networks := reconciler._find_network(chain, network);
BEGIN
	IF n.kind <> 'bitcoind' THEN
		PERFORM reconciler._refuse(format('network %s/%s is not followed block by block', n.chain, n.network),
			'Only networks of kind bitcoind have a cursor.');
	END IF;

	-- Whoever holds the lease has lost it.
	DELETE FROM reconciler.batches b WHERE b.network_id = n.network_id;

	-- Without the blocks that were read, a fork among them can't be found any
	-- more: what was not deep enough to be settled has to be found anew.
	PERFORM reconciler._give_up_reading(n.network_id, (
		SELECT c.height - n.confirmations + 1 FROM reconciler.cursors c WHERE c.network_id = n.network_id));
END
$$;

COMMENT ON FUNCTION restart_cursor(text, text) IS
'Gives up where the reading of a chain stood (blocks that no node has any more, say): it starts again at the tip, and for each open request looks back as far as the request''s age and the node allow';
