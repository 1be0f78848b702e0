-- Looks follow the tip: of the workers that look at a network's requests, one at a
-- time asks for its tip, and when a block has come all batches are due at once.
-- Between blocks there is nothing to see; poll_interval is the longest time without
-- a look, whatever the tip seems to be.

CREATE UNLOGGED TABLE tips (
	network_id int PRIMARY KEY,
	due_at timestamptz NOT NULL DEFAULT '-infinity',	-- when it is asked for next
	height bigint,
	raised_at timestamptz		-- since when that is the height
) WITH (fillfactor = 50);

COMMENT ON TABLE tips IS 'The height that workers have seen last of networks whose requests are looked at, for looking when a block has come';

CREATE FUNCTION claim_tip(worker_id text, network_id int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' SET enable_seqscan = off AS $$
DECLARE
	pause interval;
	due timestamptz;
	now_is timestamptz := clock_timestamp();
BEGIN
	PERFORM reconciler._check_worker(worker_id);
	SELECT coalesce(n.tip_interval, interval '1 second') INTO pause FROM reconciler.networks AS n
	WHERE n.network_id = claim_tip.network_id AND n.enabled;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	SELECT t.due_at INTO due FROM reconciler.tips AS t WHERE t.network_id = claim_tip.network_id;
	IF NOT FOUND THEN
		INSERT INTO reconciler.tips (network_id) VALUES (claim_tip.network_id) ON CONFLICT DO NOTHING;
		due := '-infinity';
	END IF;

	-- No pause is longer than an hour: a clock that was ahead has been put right.
	IF due > now_is AND due <= now_is + interval '1 hour' THEN
		RETURN ceil(extract(epoch FROM due - now_is) * 1000);
	END IF;

	-- Where nobody waits for a payment, nobody needs the tip.
	IF NOT EXISTS (SELECT FROM reconciler.queue AS q
				   WHERE q.network_id = claim_tip.network_id AND NOT q.followed AND q.invalid IS NULL) THEN
		RETURN ceil(extract(epoch FROM pause) * 1000);
	END IF;
	UPDATE reconciler.tips AS t SET due_at = now_is + pause
	WHERE t.network_id = (SELECT x.network_id FROM reconciler.tips AS x
						  WHERE x.network_id = claim_tip.network_id AND x.due_at = due FOR UPDATE SKIP LOCKED);
	RETURN CASE WHEN FOUND THEN 0 ELSE ceil(extract(epoch FROM pause) * 1000) END;
END $$;

CREATE FUNCTION note_tip(worker_id text, network_id int, height bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' SET enable_seqscan = off AS $$
BEGIN
	PERFORM reconciler._check_worker(worker_id);

	-- A lower height is that of a node that is behind, unless nobody has seen another for a while.
	UPDATE reconciler.tips AS t SET height = note_tip.height, raised_at = clock_timestamp()
	WHERE t.network_id = note_tip.network_id
	  AND (t.height IS NULL OR note_tip.height > t.height
		   OR (note_tip.height < t.height AND t.raised_at < clock_timestamp() - interval '1 minute'));
	IF NOT FOUND THEN
		RETURN false;
	END IF;

	-- One that is being looked at stays due: its look may have begun before the block came.
	UPDATE reconciler.batches AS b SET due_at = '-infinity'
	FROM (SELECT x.network_id, x.lo FROM reconciler.batches AS x
		  WHERE x.network_id = note_tip.network_id AND isfinite(x.due_at) FOR UPDATE SKIP LOCKED) AS f
	WHERE b.network_id = f.network_id AND b.lo = f.lo;
	RETURN true;
END $$;

COMMENT ON FUNCTION claim_tip(text, int) IS
'Whether this worker is to ask for the tip of a network whose requests are looked at: 0: it is, and no other until the network''s tip_interval is over; else the milliseconds after which to ask again (always where no request is looked at). Null: there is no such network';
COMMENT ON FUNCTION note_tip(text, int, bigint) IS
'Tells the height of a network''s tip; true: a block has come since it was told last, and the network''s batches are due at once';
