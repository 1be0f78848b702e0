-- Looking back: reading old blocks for requests that came after their payment.

CREATE FUNCTION _created_at(source_id int, ids text[]) RETURNS TABLE (request_id text, created_at timestamptz, age int)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reconciler_created_at';

COMMENT ON FUNCTION _created_at(int, text[]) IS
'When requests were made, as the application''s table has it (null: it doesn''t say), and the age of the transaction that wrote them last';

CREATE FUNCTION _date_look_back(network_id int, source_id int, ids text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	-- A table that doesn't say when its requests were made: since then the chain may not have been read.
	v_unknown timestamptz := (SELECT least(c.read_until, clock_timestamp()) FROM reconciler.cursors c
							  WHERE c.network_id = _date_look_back.network_id);
BEGIN
	UPDATE reconciler.queue q
	SET look_back_since = greatest(least(coalesce(a.made, v_unknown), p.paid, clock_timestamp()), '1970-01-01'::timestamptz)
	FROM unnest(ids) AS i(id)
	LEFT JOIN (SELECT x.request_id, min(x.created_at) AS made
			   FROM reconciler._created_at(_date_look_back.source_id, ids) x GROUP BY 1) a ON a.request_id = i.id
	CROSS JOIN LATERAL (
		SELECT min(least(x.first_seen, x.block_time)) AS paid FROM reconciler.payments x
		WHERE x.source_id = _date_look_back.source_id AND x.request_id = i.id AND x.network_id + 0 = _date_look_back.network_id
		OFFSET 0) p
	WHERE q.source_id = _date_look_back.source_id AND q.request_id = i.id AND q.looking_back;
END
$$;

COMMENT ON FUNCTION _date_look_back(int, int, text[]) IS
'Notes from when on blocks are to be read again for requests: when they were made, or the first payment known of them if that was earlier';

CREATE FUNCTION _start_look_back(network_id int)
RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	r record;
BEGIN
	UPDATE reconciler.queue q SET look_back_due = false, looking_back = true, look_back_since = NULL
	FROM (SELECT x.ctid AS row_id FROM reconciler.queue x
		  WHERE x.network_id = _start_look_back.network_id AND x.look_back_due AND x.invalid IS NULL
		  ORDER BY x.look_back_error IS NOT NULL, x.seq LIMIT 10000 FOR UPDATE SKIP LOCKED) m
	WHERE q.ctid = m.row_id;

	-- All that bear the mark, an earlier step's too: they end together.
	FOR r IN
		SELECT q.source_id, array_agg(q.request_id) AS ids FROM reconciler.queue q
		WHERE q.network_id = _start_look_back.network_id AND q.looking_back
		GROUP BY q.source_id
	LOOP
		BEGIN
			PERFORM reconciler._date_look_back(_start_look_back.network_id, r.source_id, r.ids);
		EXCEPTION WHEN OTHERS THEN
			-- The table is at fault: its requests wait, and nobody else's.
			RAISE WARNING 'requests of source % can not be looked back for: %', r.source_id, SQLERRM;
			UPDATE reconciler.queue q SET look_back_due = true, looking_back = false, look_back_error = left(SQLERRM, 1000)
			WHERE q.source_id = r.source_id AND q.request_id = ANY (r.ids);
		END;
	END LOOP;
	RETURN (SELECT count(*) FROM reconciler.queue q WHERE q.network_id = _start_look_back.network_id AND q.looking_back);
END
$$;

COMMENT ON FUNCTION _start_look_back(int) IS 'Marks requests that are to be looked back for, as many as go together; returns how many';

CREATE FUNCTION begin_look_back(worker_id text, network_id int, token xid8, lease interval)
RETURNS TABLE (requests int, next_height bigint, next_hash text, since bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	v_requests int;
BEGIN
	PERFORM reconciler._prolong_cursor(begin_look_back.network_id, begin_look_back.token, begin_look_back.lease);
	v_requests := reconciler._start_look_back(begin_look_back.network_id);
	RETURN QUERY
	UPDATE reconciler.cursors x
	SET look_back_next = CASE WHEN v_requests > 0 THEN x.height END,
		look_back_hash = CASE WHEN v_requests > 0 THEN x.hash END,
		look_back_since = (SELECT min(coalesce(q.look_back_since, clock_timestamp())) FROM reconciler.queue q
						   WHERE q.network_id = begin_look_back.network_id AND q.looking_back)
	WHERE x.network_id = begin_look_back.network_id
	RETURNING v_requests, x.look_back_next, x.look_back_hash, floor(extract(epoch FROM x.look_back_since))::bigint;
END
$$;

COMMENT ON FUNCTION begin_look_back(text, int, xid8, interval) IS
'Marks requests that no block was matched against yet; returns how many, the block to begin with (the cursor''s; from there downwards, each being the parent of the one before), and when the oldest request was made (Unix seconds): blocks since then are to be read again for them';

CREATE FUNCTION look_back(worker_id text, network_id int, token xid8, lease interval, block jsonb, credits jsonb)
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
BEGIN
	PERFORM reconciler._prolong_cursor(look_back.network_id, look_back.token, look_back.lease);
	SELECT * INTO n FROM reconciler.networks x WHERE x.network_id = look_back.network_id;
	SELECT * INTO c FROM reconciler.cursors x WHERE x.network_id = look_back.network_id;
	IF (block ->> 'height', block ->> 'hash') IS DISTINCT FROM (c.look_back_next::text, c.look_back_hash)
	   OR c.look_back_hash IS NULL OR block ->> 'previous' IS NULL THEN
		RAISE EXCEPTION 'block % (%) is not the next one to be read again: % (%)', block ->> 'height', block ->> 'hash',
			c.look_back_next, c.look_back_hash
			USING ERRCODE = 'invalid_parameter_value', HINT = 'A block that doesn''t join those above it says nothing of this chain.';
	END IF;
	UPDATE reconciler.cursors x SET look_back_next = x.look_back_next - 1, look_back_hash = block ->> 'previous'
	WHERE x.network_id = look_back.network_id;
	RETURN reconciler._match_credits(n, credits, c.look_back_next, c.look_back_hash,
		to_timestamp((block ->> 'time')::double precision), true);
END
$$;

COMMENT ON FUNCTION look_back(text, int, xid8, interval, jsonb, jsonb) IS
'Takes a block ({height, hash, previous, time}) that is read again for the marked requests: the one that begin_look_back named, then its parent, and so on; returns the number of payments found';

CREATE FUNCTION look_back_scripts(network_id int)
RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	SELECT encode(q.key, 'hex')
	FROM reconciler.queue q
	WHERE q.network_id = $1 AND q.looking_back AND q.key IS NOT NULL
$$;

COMMENT ON FUNCTION look_back_scripts(int) IS 'The keys, in hex, of the marked requests: the mempool may have had payments to them before they came';

CREATE FUNCTION end_look_back(worker_id text, network_id int, token xid8, lease interval, problem text)
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	v_requests int;
	v_problem text := left(problem, 1000);
BEGIN
	PERFORM reconciler._prolong_cursor(end_look_back.network_id, end_look_back.token, end_look_back.lease);
	WITH done AS (
		UPDATE reconciler.queue q SET looking_back = false, look_back_error = v_problem
		FROM (SELECT x.ctid AS row_id FROM reconciler.queue x
			  WHERE x.network_id = end_look_back.network_id AND x.looking_back
			  FOR UPDATE SKIP LOCKED) m
		WHERE q.ctid = m.row_id
		RETURNING q.source_id, q.request_id
	), noted AS (
		INSERT INTO reconciler.payment_changes (network_id, source_id, request_id)
		SELECT end_look_back.network_id, d.source_id, d.request_id FROM done d
		WHERE v_problem IS NOT NULL
		   OR EXISTS (SELECT FROM reconciler.payments p WHERE p.source_id = d.source_id AND p.request_id = d.request_id)
		ON CONFLICT DO NOTHING
	)
	SELECT count(*) INTO v_requests FROM done;
	UPDATE reconciler.cursors x SET look_back_next = NULL, look_back_hash = NULL, look_back_since = NULL
	WHERE x.network_id = end_look_back.network_id;
	PERFORM reconciler._mark_followed(end_look_back.network_id);
	RETURN v_requests;
END
$$;

COMMENT ON FUNCTION end_look_back(text, int, xid8, interval, text) IS
'All blocks since the marked requests were made have been matched against them, as far as the node has them; problem: what stood against reading all of them (it has pruned the others). Returns how many requests';

-- By transaction ids, as rows bear them, because no time says when a row was
-- committed. Ids below the snapshot's xmin are those of transactions that had
-- ended, subtransactions too: their rows were in the queue.
CREATE FUNCTION _mark_followed(network_id int)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	INSERT INTO reconciler.follow_marks AS m (network_id, source_id, before, but)
	SELECT _mark_followed.network_id, s.source_id, pg_snapshot_xmin(pg_current_snapshot()), e.ids
	FROM reconciler.sources s
	CROSS JOIN LATERAL (
		SELECT ARRAY(SELECT q.request_id FROM reconciler.queue q
					 WHERE q.network_id = _mark_followed.network_id AND q.followed AND q.source_id = s.source_id
					   AND q.look_back_error IS NOT NULL LIMIT 1001) AS ids) e
	WHERE cardinality(e.ids) <= 1000
	  AND NOT EXISTS (SELECT FROM reconciler.queue q
					  WHERE q.network_id = _mark_followed.network_id AND (q.look_back_due OR q.looking_back) AND q.invalid IS NULL)
	ON CONFLICT (network_id, source_id) DO UPDATE SET before = excluded.before, but = excluded.but;
	UPDATE reconciler.cursor_leases l SET marked_at = clock_timestamp() WHERE l.network_id = _mark_followed.network_id;
END
$$;

COMMENT ON FUNCTION _mark_followed(int) IS
'Where no request of a network is still to be looked back for: notes that, for the day when the queue is lost';

CREATE FUNCTION _spare_look_back(m follow_marks)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	v_ids text[] := ARRAY(SELECT q.request_id FROM reconciler.queue q
						  WHERE q.network_id = m.network_id AND q.source_id = m.source_id AND q.look_back_due
							AND NOT q.request_id = ANY (m.but));
	v_before bigint := m.before::text::bigint;
	v_distance bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint - v_before;
BEGIN
	-- Ids in rows have 32 bits: what lies further back can't be told from what comes.
	IF v_distance BETWEEN 0 AND 2000000000 THEN
		UPDATE reconciler.queue q SET look_back_due = false
		FROM reconciler._created_at(m.source_id, v_ids) a
		WHERE q.source_id = m.source_id AND q.request_id = a.request_id AND q.network_id = m.network_id
		  AND a.age > age((v_before % 4294967296)::text::xid);
	END IF;
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'requests of source % are looked back for once more: %', m.source_id, SQLERRM;
END
$$;

COMMENT ON FUNCTION _spare_look_back(follow_marks) IS
'In a queue that was just built again: requests that were looked back for before it was lost, and have not changed since, need it no more';

CREATE FUNCTION _rebuild_lost_queue()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changes bigint := 0;
BEGIN
	IF reconciler._queue_is_lost() THEN
		changes := reconciler.resync();
		PERFORM reconciler._spare_look_back(m) FROM reconciler.follow_marks AS m;
	END IF;
	RETURN changes;
END
$$;

COMMENT ON FUNCTION _rebuild_lost_queue() IS 'Fills the queue from the attached tables if it was lost, and returns how many rows that wrote; under the lock of _lock_upkeep';
