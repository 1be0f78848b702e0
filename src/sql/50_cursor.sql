-- Following a chain: the cursor of a network reads each new block once. Cursors have
-- leases of their own (cursor_leases, with the other tables).

-- How far a chain has been read. Written once a block.
CREATE TABLE cursors (
	network_id int PRIMARY KEY REFERENCES networks ON DELETE CASCADE,
	height bigint,				-- the last block read; null: none yet
	hash text,
	block_time timestamptz,
	work text COLLATE "C" CHECK (work ~ '^[0-9a-f]{64}$'),	-- of the chain up to it; compares as text
	best_work text COLLATE "C" CHECK (best_work ~ '^[0-9a-f]{64}$'),	-- the most that was ever read
	settled_depth bigint,		-- up to this height payments have been counted as settled
	settings text,				-- confirmations and thresholds they were counted by
	look_back_next bigint,		-- the next block to be read again for requests that came later, from the cursor downwards
	look_back_hash text,
	look_back_since timestamptz,	-- when the oldest of them was made
	read_until timestamptz		-- the time of the last block of a reading that was given up
);

COMMENT ON TABLE cursors IS
'How far the chain of each network that is followed has been read: height, hash and work of the last block, and the block down to which blocks have been read again for requests that came after their payment';

-- The blocks below the cursor, for finding where a reorganisation forks off
CREATE TABLE cursor_blocks (
	network_id int NOT NULL REFERENCES networks ON DELETE CASCADE,
	height bigint NOT NULL,
	hash text NOT NULL,
	block_time timestamptz,
	work text COLLATE "C",
	PRIMARY KEY (network_id, height)
);

COMMENT ON TABLE cursor_blocks IS 'The last blocks that were read, 288 at least, for finding where a reorganisation forks off';

-- The ledger that a cursor's holder writes is what its network is settled by.
CREATE FUNCTION _may_follow(network_id int)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.verify IS NULL OR reconciler._is_trusted() FROM reconciler.networks AS n WHERE n.network_id = $1
$$;

COMMENT ON FUNCTION _may_follow(int) IS 'Whether this session may follow the chain: where verify is ''server'', only workers in the server may';

CREATE FUNCTION _hold_cursor(network_id int, token xid8)
RETURNS cursor_leases
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	l reconciler.cursor_leases;
BEGIN
	LOCK TABLE reconciler.cursor_leases, reconciler.queue IN ROW EXCLUSIVE MODE;
	SELECT x.* INTO l FROM reconciler.cursor_leases AS x WHERE x.network_id = _hold_cursor.network_id FOR UPDATE;
	IF l.lease_token IS NULL OR token IS NULL OR l.lease_token <> token OR NOT reconciler._may_follow(network_id) THEN
		PERFORM reconciler._lease_lost(network_id, 0, token);
	END IF;
	RETURN l;
END
$$;

COMMENT ON FUNCTION _hold_cursor(int, xid8) IS
'The lease of a network''s cursor, locked, if it is held under the token; else raises RC001. No token holds nothing';

CREATE FUNCTION _prolong_cursor(network_id int, token xid8, lease interval)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
	PERFORM reconciler._check_lease(lease);
	PERFORM reconciler._hold_cursor(network_id, token);
	UPDATE reconciler.cursor_leases AS l
	SET lease_until = greatest(l.lease_until, clock_timestamp() + lease)
	WHERE l.network_id = _prolong_cursor.network_id;
END
$$;

COMMENT ON FUNCTION _prolong_cursor(int, xid8, interval) IS
'Prolongs the lease of a cursor, and keeps its row locked; raises RC001 when the token is not the current one';

CREATE FUNCTION renew_cursor(worker_id text, network_id int, token xid8, lease interval)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
BEGIN
	PERFORM reconciler._check_worker(worker_id);
	PERFORM reconciler._prolong_cursor(network_id, token, lease);
	RETURN true;
END
$$;

COMMENT ON FUNCTION renew_cursor(text, int, xid8, interval) IS
'Prolongs the lease of a cursor while a call to the node is under way; raises RC001 when the token is not the current one';

CREATE FUNCTION _end_cursor_lease(l cursor_leases, due_now boolean, failure text, next_at timestamptz, next_seq bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
	UPDATE reconciler.cursor_leases AS x
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, error = failure,
		failures = CASE WHEN failure IS NULL THEN 0 ELSE least(l.failures, 1000) + 1 END,
		failing_since = CASE WHEN failure IS NOT NULL THEN l.failing_since END,
		failed_at = CASE WHEN failure IS NOT NULL THEN l.failed_at END,
		due_at = CASE WHEN due_now OR NOT isfinite(l.due_at) THEN '-infinity' ELSE l.claimed_at + l.poll_interval END,
		expiry_at = next_at, expiry_seq = next_seq
	WHERE x.network_id = l.network_id;
END
$$;

COMMENT ON FUNCTION _end_cursor_lease(cursor_leases, boolean, text, timestamptz, bigint) IS
'Gives back the lease of a cursor; due_now: there is more to do at once. Keeps where the next settling goes on with what expires';

CREATE FUNCTION release_cursor(worker_id text, network_id int, token xid8, due_now boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
DECLARE
	l reconciler.cursor_leases;
BEGIN
	PERFORM reconciler._check_worker(worker_id);
	l := reconciler._hold_cursor(network_id, token);
	PERFORM reconciler._end_cursor_lease(l, due_now, l.error, l.expiry_at, l.expiry_seq);
	RETURN true;
END
$$;

COMMENT ON FUNCTION release_cursor(text, int, xid8, boolean) IS
'Gives the lease of a cursor back without settling; due_now: there is more to do at once. Raises RC001 when the token is not the current one';

CREATE FUNCTION _look_back_anew(network_id int)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
	UPDATE reconciler.queue AS q SET look_back_due = true, looking_back = false, seen_height = NULL
	WHERE q.network_id = _look_back_anew.network_id AND (NOT q.look_back_due OR q.seen_height IS NOT NULL);
	DELETE FROM reconciler.follow_marks AS m WHERE m.network_id = _look_back_anew.network_id;
END
$$;

COMMENT ON FUNCTION _look_back_anew(int) IS 'Nothing that was read counts any more: every open request of the network is looked back for';

CREATE FUNCTION _free_cursor(network_id int)
RETURNS cursor_leases
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	l reconciler.cursor_leases;
BEGIN
	-- Without its row the network is new, or the queue was lost with it.
	IF NOT EXISTS (SELECT FROM reconciler.cursor_leases AS x WHERE x.network_id = _free_cursor.network_id) THEN
		IF NOT reconciler._lock_upkeep() THEN
			RETURN NULL;
		END IF;
		PERFORM reconciler._rebuild_lost_queue();
		INSERT INTO reconciler.cursor_leases (network_id) VALUES (_free_cursor.network_id) ON CONFLICT DO NOTHING;
	END IF;
	SELECT x.* INTO l FROM reconciler.cursor_leases AS x
	WHERE x.network_id = _free_cursor.network_id AND x.due_at <= clock_timestamp()
	  AND (x.lease_until IS NULL OR x.lease_until <= clock_timestamp())
	FOR UPDATE SKIP LOCKED;
	RETURN l;
END
$$;

COMMENT ON FUNCTION _free_cursor(int) IS 'The lease of a cursor that is due and free, locked; null: there is none, or somebody builds the queue';

CREATE FUNCTION _lease_cursor(l cursor_leases, n networks, worker_id text, lease interval, poll_interval interval)
RETURNS cursor_leases
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	now timestamptz := clock_timestamp();
BEGIN
	UPDATE reconciler.cursor_leases AS x
	SET lease_owner = _lease_cursor.worker_id, lease_until = now + lease, lease_token = reconciler._new_token(),
		lease_role = to_regrole(quote_ident(session_user)), last_owner = _lease_cursor.worker_id, claimed_at = now, poll_interval = _lease_cursor.poll_interval,
		due_at = now + least(_lease_cursor.poll_interval, lease)
	WHERE x.network_id = l.network_id
	RETURNING x.* INTO l;
	IF NOT EXISTS (SELECT FROM reconciler.cursors AS c WHERE c.network_id = l.network_id) THEN
		INSERT INTO reconciler.cursors (network_id) VALUES (l.network_id);
		PERFORM reconciler._look_back_anew(l.network_id);
	END IF;
	RETURN l;
END
$$;

COMMENT ON FUNCTION _lease_cursor(cursor_leases, networks, text, interval, interval) IS
'Writes the lease of a cursor that is locked, and makes the cursor of a network that has none';

CREATE FUNCTION claim_cursor(worker_id text, network_id int, lease interval, poll_interval interval, version bigint DEFAULT NULL)
RETURNS TABLE (token xid8, height bigint, hash text, best_work text, recent jsonb,
	look_back_due boolean, look_back_next bigint, look_back_hash text, look_back_since bigint,
	min_tip_time bigint, max_tip_time bigint, tip_floor bigint, floor_min_time bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	n reconciler.networks;
	l reconciler.cursor_leases;
BEGIN
	PERFORM reconciler._check_claim(claim_cursor.worker_id, claim_cursor.network_id, 1, claim_cursor.lease, claim_cursor.poll_interval);
	LOCK TABLE reconciler.cursor_leases, reconciler.queue IN ROW EXCLUSIVE MODE;
	SELECT * INTO n FROM reconciler.networks x
	WHERE x.network_id = claim_cursor.network_id AND x.enabled AND reconciler._has_cursor(x);
	IF NOT FOUND OR NOT reconciler._may_follow(n.network_id) THEN
		RETURN;
	END IF;
	PERFORM reconciler._check_version(n, claim_cursor.version);
	l := reconciler._free_cursor(n.network_id);

	-- The worker that followed last knows the mempool: others leave it the first chance.
	IF l.network_id IS NULL OR (l.last_owner <> claim_cursor.worker_id AND isfinite(l.due_at)
		AND clock_timestamp() < l.due_at + least(claim_cursor.poll_interval, interval '10 seconds')) THEN
		RETURN;
	END IF;
	l := reconciler._lease_cursor(l, n, claim_cursor.worker_id, claim_cursor.lease, claim_cursor.poll_interval);
	RETURN QUERY
	SELECT l.lease_token, c.height, c.hash, c.best_work::text,
		   (SELECT coalesce(jsonb_agg(jsonb_build_array(r.height, r.hash) ORDER BY r.height DESC), '[]')
			FROM reconciler.cursor_blocks r WHERE r.network_id = n.network_id AND r.height > c.height - 288),
		   EXISTS (SELECT FROM reconciler.queue q WHERE q.network_id = n.network_id AND q.look_back_due AND q.invalid IS NULL),
		   c.look_back_next, c.look_back_hash, floor(extract(epoch FROM c.look_back_since))::bigint,
		   b.min_tip_time, b.max_tip_time, b.tip_floor, b.floor_min_time
	FROM reconciler.cursors c CROSS JOIN reconciler._tip_bounds(n, l.claimed_at) b
	WHERE c.network_id = n.network_id;
END
$$;

COMMENT ON FUNCTION claim_cursor(text, int, interval, interval, bigint) IS
'Leases the cursor of a network that is followed, if it is due: its position (height null: none yet), the most work of a chain that was read (null: of its blocks none is known), the blocks read last as [[height, hash], …], whether there are requests that are still to be looked back for, and the next block to be read again for those that are; min_tip_time to floor_min_time: see _tip_bounds. version: the network''s that the worker knows; raises RC002 when it has changed. No rows: not due, or somebody else has it';

CREATE FUNCTION _check_next_block(n networks, c cursors, block jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	height bigint := (block ->> 'height')::bigint;
	has_work boolean := (reconciler._kind(n.kind)).has_work;
BEGIN
	IF height IS NULL OR height NOT BETWEEN 0 AND 1000000000000 OR block ->> 'hash' IS NULL
	   OR (c.hash IS NOT NULL AND (height <> c.height + 1 OR block ->> 'previous' IS DISTINCT FROM c.hash)) THEN
		RAISE EXCEPTION 'block % (%) does not follow block % (%)', height, block ->> 'hash', c.height, c.hash
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Undo blocks down to the fork first.';
	END IF;
	IF NOT has_work AND coalesce(block ->> 'work', '') <> '' THEN
		RAISE EXCEPTION 'block % (%) names work, which no block of a network of kind % has', height, block ->> 'hash', n.kind
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave work out.';
	END IF;
	IF has_work AND ((block ->> 'work') !~ '^[0-9a-f]{64}$' IS NOT FALSE OR (block ->> 'work') COLLATE "C" <= c.work) THEN
		RAISE EXCEPTION 'block % (%) adds no work to the chain: % after %', height, block ->> 'hash', block ->> 'work', c.work
			USING ERRCODE = 'invalid_parameter_value', HINT = 'work is 64 hex digits.';
	END IF;
END
$$;

COMMENT ON FUNCTION _check_next_block(networks, cursors, jsonb) IS 'Refuses a block that doesn''t follow the cursor''s';

CREATE FUNCTION advance_cursor(worker_id text, network_id int, token xid8, lease interval, block jsonb, credits jsonb)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	n reconciler.networks;
	c reconciler.cursors;
	v_height bigint := (block ->> 'height')::bigint;
	v_hash text := block ->> 'hash';
	v_work text COLLATE "C" := nullif(block ->> 'work', '');
	v_time timestamptz := to_timestamp((block ->> 'time')::double precision);
	v_found int;
BEGIN
	PERFORM reconciler._prolong_cursor(advance_cursor.network_id, advance_cursor.token, advance_cursor.lease);
	SELECT * INTO n FROM reconciler.networks x WHERE x.network_id = advance_cursor.network_id;
	SELECT * INTO c FROM reconciler.cursors x WHERE x.network_id = advance_cursor.network_id;
	PERFORM reconciler._check_next_block(n, c, block);
	v_found := reconciler._match_credits(n, credits, v_height, v_hash, v_time, false);
	INSERT INTO reconciler.cursor_blocks (network_id, height, hash, block_time, work)
	VALUES (advance_cursor.network_id, v_height, v_hash, v_time, v_work);
	-- The last 288, and down to what is settled: its time decides what has expired.
	DELETE FROM reconciler.cursor_blocks r
	WHERE r.network_id = advance_cursor.network_id AND r.height <= v_height - 288
	  AND (r.height < coalesce(c.settled_depth, v_height) OR r.height <= v_height - 20000);
	UPDATE reconciler.cursors x
	SET height = v_height, hash = v_hash, block_time = v_time, work = v_work, best_work = greatest(x.best_work, v_work)
	WHERE x.network_id = advance_cursor.network_id;
	RETURN v_found;
END
$$;

COMMENT ON FUNCTION advance_cursor(text, int, xid8, interval, jsonb, jsonb) IS
'Takes the block after the cursor ({height, hash, previous, time, work: that of the chain up to it, 64 hex digits, on kinds whose blocks have it}; the first one of all may be any) with its credits [[txid, ordinal, key in hex, amount, kind, sender], …]; prolongs the lease; returns the number of payments found';

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
	SET height = NULL, hash = NULL, work = NULL, read_until = coalesce(x.block_time, x.read_until), block_time = NULL,
		settled_depth = NULL, look_back_next = NULL, look_back_hash = NULL, look_back_since = NULL
	WHERE x.network_id = _give_up_reading.network_id;
	DELETE FROM reconciler.network_state s WHERE s.network_id = _give_up_reading.network_id;
	PERFORM reconciler._look_back_anew(_give_up_reading.network_id);
END
$$;

COMMENT ON FUNCTION _give_up_reading(int, bigint) IS
'Forgets where the reading of a chain stood; what was found in blocks above the height must be found again before it counts';

CREATE FUNCTION _undo_to(n networks, block cursor_blocks)
RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	v_mempool boolean := (reconciler._kind(n.kind)).has_mempool;
	p reconciler.payments;
	v_undone int := 0;
BEGIN
	-- Unconfirmed again: whether still in the mempool, the look at it will tell. Where there
	-- is none it has gone, and keeps its block, until a block has it again.
	FOR p IN
		UPDATE reconciler.payments x
		SET block_height = CASE WHEN NOT v_mempool THEN x.block_height END,
			block_hash = CASE WHEN NOT v_mempool THEN x.block_hash END,
			block_time = CASE WHEN NOT v_mempool THEN x.block_time END,
			gone_at = CASE WHEN NOT v_mempool THEN clock_timestamp() END
		WHERE x.network_id = n.network_id AND x.block_height > block.height AND NOT x.unproven AND x.gone_at IS NULL
		RETURNING x.*
	LOOP
		v_undone := v_undone + 1;
		INSERT INTO reconciler.payment_changes (network_id, source_id, request_id)
		VALUES (n.network_id, p.source_id, p.request_id)
		ON CONFLICT DO NOTHING;
		IF p.gone_at IS NOT NULL THEN
			PERFORM reconciler._payment_event('payment.gone', p);
		END IF;
	END LOOP;

	-- What was looked back over above the fork is read forward again.
	DELETE FROM reconciler.cursor_blocks r WHERE r.network_id = n.network_id AND r.height > block.height;
	UPDATE reconciler.cursors x
	SET height = block.height, hash = block.hash, block_time = block.block_time, work = block.work,
		settled_depth = least(x.settled_depth, block.height),
		-- (Of a null, least makes a height: there would be a look back that nobody has begun.)
		look_back_next = CASE WHEN x.look_back_hash IS NOT NULL THEN least(x.look_back_next, block.height) END,
		look_back_hash = CASE WHEN x.look_back_hash IS NOT NULL AND x.look_back_next >= block.height THEN block.hash ELSE x.look_back_hash END
	WHERE x.network_id = n.network_id;
	RETURN v_undone;
END
$$;

COMMENT ON FUNCTION _undo_to(networks, cursor_blocks) IS 'Takes back all blocks above one that was read; returns how many payments were in them';

-- Without work, height decides: what is lower than what was read comes from a
-- node that is behind. Not where time stands still: there a chain is begun anew at will.
CREATE FUNCTION _check_fork(n networks, c cursors, height bigint, tip_work text, tip_height bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF (reconciler._kind(n.kind)).has_work THEN
		IF tip_work IS NULL OR tip_work !~ '^[0-9a-f]{64}$' OR tip_work COLLATE "C" < c.best_work THEN
			RAISE EXCEPTION 'a chain with less work takes back no block: % after %', tip_work, c.best_work
				USING ERRCODE = 'invalid_parameter_value', HINT = 'Its node is behind, or on a fork that has lost.';
		END IF;
		RETURN;
	END IF;
	IF tip_height IS NULL OR (tip_height < c.height AND n.max_tip_age IS NOT NULL) THEN
		RAISE EXCEPTION 'a lower chain takes back no block: its tip is block %, block % was read', tip_height, c.height
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Its node is behind: wait.';
	END IF;
	IF n.max_tip_age IS NOT NULL AND c.height IS NOT NULL
	   AND NOT EXISTS (SELECT FROM reconciler.cursor_blocks AS r WHERE r.network_id = n.network_id AND r.height = _check_fork.height) THEN
		RAISE EXCEPTION 'no block that was read is in the chain of the node: it forks off below block %',
			(SELECT min(r.height) FROM reconciler.cursor_blocks AS r WHERE r.network_id = n.network_id)
			USING ERRCODE = 'invalid_parameter_value',
				HINT = format('Is it another chain? If this one was begun anew: SELECT reconciler.restart_cursor(%L, %L);', n.chain, n.network);
	END IF;
END
$$;

COMMENT ON FUNCTION _check_fork(networks, cursors, bigint, text, bigint) IS
'Refuses a reorganisation on the word of a node that may be behind, or on another chain';

CREATE FUNCTION undo_blocks(worker_id text, network_id int, token xid8, lease interval, height bigint, tip_work text,
	tip_height bigint DEFAULT NULL)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	n reconciler.networks;
	c reconciler.cursors;
	r reconciler.cursor_blocks;
BEGIN
	PERFORM reconciler._prolong_cursor(undo_blocks.network_id, undo_blocks.token, undo_blocks.lease);
	SELECT * INTO n FROM reconciler.networks x WHERE x.network_id = undo_blocks.network_id;
	SELECT * INTO c FROM reconciler.cursors x WHERE x.network_id = undo_blocks.network_id;
	PERFORM reconciler._check_fork(n, c, undo_blocks.height, undo_blocks.tip_work, undo_blocks.tip_height);
	SELECT * INTO r FROM reconciler.cursor_blocks x
	WHERE x.network_id = undo_blocks.network_id AND x.height = undo_blocks.height;
	IF FOUND THEN
		RETURN reconciler._undo_to(n, r);
	END IF;
	-- Another chain altogether: everything is looked for anew.
	PERFORM reconciler._give_up_reading(undo_blocks.network_id, -1);
	RETURN 0;
END
$$;

COMMENT ON FUNCTION undo_blocks(text, int, xid8, interval, bigint, text, bigint) IS
'Takes back all blocks above the height, which must be one that was read (else all of the chain is, where blocks have work; where they haven''t it is refused): their payments are unconfirmed again, or gone where there is no mempool to find them in. tip_work: of the chain that takes their place; a chain with less than was ever read takes none back. tip_height: likewise, where blocks have no work';

CREATE FUNCTION restart_cursor(chain text, network text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n reconciler.networks := reconciler._find_network(chain, network);
BEGIN
	IF NOT reconciler._has_cursor(n) THEN
		PERFORM reconciler._refuse(format('network %s/%s is not followed block by block', n.chain, n.network),
			'Only networks that are have a cursor.');
	END IF;

	-- Whoever holds the lease has lost it.
	UPDATE reconciler.cursor_leases AS l
	SET lease_owner = NULL, lease_until = NULL, lease_token = NULL, due_at = '-infinity' WHERE l.network_id = n.network_id;

	-- Without the blocks that were read, a fork among them can't be found any
	-- more: what was not deep enough to be settled has to be found anew.
	PERFORM reconciler._give_up_reading(n.network_id, (
		SELECT c.height - n.confirmations + 1 FROM reconciler.cursors AS c WHERE c.network_id = n.network_id));
	UPDATE reconciler.cursors AS c SET best_work = NULL WHERE c.network_id = n.network_id;
END
$$;

COMMENT ON FUNCTION restart_cursor(text, text) IS
'Gives up where the reading of a chain stood (blocks that no node has any more, a chain that was begun anew): it starts again at the tip, and for each open request looks back as far as the request''s age and the node allow';
