-- Pruning: history and payments that nothing needs any more.
--
-- What keeps money safe stays:
--   the last transition of a request decides whether its row, should it be saved
--   as open once more, is observed again. It goes only when the request has been
--   missing from its table in two sweeps, with the whole retention between them: a
--   table that is emptied and loaded again must not lose what was decided.
--   a payment keeps its credit from being counted for another request, however old
--   the blocks are that are read again. Its row goes, spent_credits keeps the credit.
--   payments that are in no block, or not proven to be, and those of requests that
--   are not confirmed: whose they are isn't settled yet.

-- Credits whose payments were pruned.
CREATE TABLE spent_credits (
	hash uuid PRIMARY KEY
);

COMMENT ON TABLE spent_credits IS 'Credits whose payments were pruned, by a hash: they pay no other request';

-- Where the sweep of old rows has come to, a part of it with each upkeep.
CREATE UNLOGGED TABLE prune_state (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	transition_id bigint NOT NULL DEFAULT 0,
	payment_id bigint NOT NULL DEFAULT 0
);

COMMENT ON TABLE prune_state IS 'One row: up to where the present sweep has looked at transitions and payments';

CREATE FUNCTION _credit_hash(chain text, network text, kind text, txid text, block_hash text, key bytea, ordinal int) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT left(encode(sha256(convert_to(CASE WHEN txid IS NOT NULL THEN jsonb_build_array(chain, network, kind, txid, ordinal)
		ELSE jsonb_build_array(chain, network, kind, block_hash, encode(key, 'hex'), ordinal) END::text, 'UTF8')), 'hex'), 32)::uuid
$$;

COMMENT ON FUNCTION _credit_hash(text, text, text, text, text, bytea, int) IS 'What tells a credit from all others: as the unique indexes of payments do';

-- Of a table that can't be read now, nothing is known to be missing.
CREATE FUNCTION _missing(of_source int, ids text[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF EXISTS (SELECT FROM reconciler.sources AS s WHERE s.source_id = of_source) THEN
		RETURN ARRAY(SELECT i FROM unnest(ids) AS i
					 EXCEPT SELECT s.request_id FROM reconciler._status_of(of_source, ids) AS s
					 EXCEPT SELECT q.request_id FROM reconciler.queue AS q WHERE q.source_id = of_source AND q.request_id = ANY (ids));
	ELSIF EXISTS (SELECT FROM reconciler.former_sources AS f WHERE f.source_id = of_source) THEN
		RETURN '{}';
	END IF;
	RETURN ids;
EXCEPTION WHEN OTHERS THEN
	RAISE LOG 'prune: requests of source % can''t be looked for: %', of_source, SQLERRM;
	RETURN '{}';
END $$;

COMMENT ON FUNCTION _missing(int, text[]) IS
'Those requests that are not in their table; of a table that is detached but there, none; of one that was dropped, all';

CREATE FUNCTION _prune_transitions(before timestamptz, after bigint, most int, OUT next bigint, OUT pruned bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
	seen int;
	old bigint[];
	last record;
	missing text[];
	n bigint;
BEGIN
	SELECT count(*), max(x.transition_id), array_agg(x.transition_id) FILTER (WHERE x.at < before AND x.source_id IS NOT NULL)
	INTO seen, next, old
	FROM (SELECT t.* FROM reconciler.transitions AS t WHERE t.transition_id > after ORDER BY t.transition_id LIMIT most) AS x;
	next := CASE WHEN seen = most AND old IS NOT NULL THEN next END;
	DELETE FROM reconciler.transitions AS t WHERE t.transition_id = ANY (old)
		AND EXISTS (SELECT FROM reconciler.transitions AS l
					WHERE l.source_id = t.source_id AND l.request_id = t.request_id AND l.transition_id > t.transition_id);
	GET DIAGNOSTICS pruned = ROW_COUNT;
	FOR last IN
		SELECT t.source_id, array_agg(t.request_id) AS ids, array_agg(t.transition_id) AS transition_ids
		FROM reconciler.transitions AS t WHERE t.transition_id = ANY (old) GROUP BY t.source_id
	LOOP
		missing := reconciler._missing(last.source_id, last.ids);
		DELETE FROM reconciler.transitions AS t WHERE t.transition_id = ANY (last.transition_ids)
			AND t.request_id = ANY (missing) AND t.missing_since < before;
		GET DIAGNOSTICS n = ROW_COUNT;
		pruned := pruned + n;
		UPDATE reconciler.transitions AS t
			SET missing_since = CASE WHEN t.request_id = ANY (missing) THEN clock_timestamp() END
			WHERE t.transition_id = ANY (last.transition_ids) AND (t.request_id = ANY (missing)) <> (t.missing_since IS NOT NULL);
	END LOOP;
END $$;

COMMENT ON FUNCTION _prune_transitions(timestamptz, bigint, int) IS
'Deletes transitions from before a time, among so many behind one: those that a later one of their request follows, and the last of requests that have been missing since before it. next: where to go on, null at the end';

CREATE FUNCTION _prune_payments(before timestamptz, after bigint, most int, OUT next bigint, OUT pruned bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
	seen int;
BEGIN
	SELECT count(*), max(x.payment_id) INTO seen, next
	FROM (SELECT p.payment_id FROM reconciler.payments AS p WHERE p.payment_id > after ORDER BY p.payment_id LIMIT most) AS x;
	WITH old AS (
		DELETE FROM reconciler.payments AS p
		USING reconciler.cursors AS c
		WHERE p.payment_id > after AND p.payment_id <= next AND c.network_id = p.network_id
			AND p.block_time < before AND p.first_seen < before AND p.gone_at IS NULL AND NOT p.unproven
			-- So deep that no fork comes to it: the blocks by which one is found are fewer.
			AND p.block_height < c.height - 288 AND p.block_height <= c.settled_depth
			AND NOT EXISTS (SELECT FROM reconciler.queue AS q WHERE q.source_id = p.source_id AND q.request_id = p.request_id)
			-- What is watched is compared with the sum of its payments: without one, its confirmation would seem undone.
			AND NOT EXISTS (SELECT FROM reconciler.watched AS w WHERE w.source_id = p.source_id AND w.request_id = p.request_id
							AND w.until > clock_timestamp())
			AND NOT EXISTS (SELECT FROM reconciler.payments AS o WHERE o.source_id = p.source_id AND o.request_id = p.request_id
							AND (o.gone_at IS NOT NULL OR o.unproven OR o.block_height IS NULL))
			AND (SELECT t.reason = 'settled' AND t.at < before FROM reconciler.transitions AS t
				 WHERE t.source_id = p.source_id AND t.request_id = p.request_id ORDER BY t.transition_id DESC LIMIT 1)
		RETURNING p.*
	), spent AS (
		INSERT INTO reconciler.spent_credits (hash)
		SELECT reconciler._credit_hash(o.chain, o.network, o.kind, o.txid, o.block_hash, o.key, o.ordinal) FROM old AS o
		ON CONFLICT DO NOTHING
	)
	SELECT count(*) INTO pruned FROM old;
	next := CASE WHEN seen = most THEN next END;
END $$;

COMMENT ON FUNCTION _prune_payments(timestamptz, bigint, int) IS
'Deletes payments from before a time to confirmed requests, among so many behind one, and remembers their credits as spent. next: where to go on, null at the end';

-- Payments first: the last transition says that their request was confirmed.
CREATE FUNCTION prune(before timestamptz) RETURNS TABLE (what text, pruned bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	part record;
	position bigint := 0;
BEGIN
	IF before IS NULL OR before > clock_timestamp() - interval '1 day' THEN
		PERFORM reconciler._refuse('before must be at least a day ago',
			'Say, SELECT * FROM reconciler.prune(now() - interval ''90 days''); to do it regularly, set reconciler.retention.');
	END IF;
	what := 'payments';
	pruned := 0;
	WHILE position IS NOT NULL LOOP
		part := reconciler._prune_payments(before, position, 10000);
		pruned := pruned + part.pruned;
		position := part.next;
	END LOOP;
	RETURN NEXT;
	what := 'transitions';
	pruned := 0;
	position := 0;
	WHILE position IS NOT NULL LOOP
		part := reconciler._prune_transitions(before, position, 10000);
		pruned := pruned + part.pruned;
		position := part.next;
	END LOOP;
	RETURN NEXT;
END $$;

CREATE FUNCTION _prune_some(most int DEFAULT 5000) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	kept interval := reconciler._setting_interval('retention');
	before timestamptz := clock_timestamp() - greatest(kept, interval '1 day');
	s reconciler.prune_state;
	p record;
	t record;
BEGIN
	IF kept <= interval '0' THEN
		RETURN;
	END IF;
	INSERT INTO reconciler.prune_state DEFAULT VALUES ON CONFLICT DO NOTHING;
	SELECT * INTO s FROM reconciler.prune_state;
	p := reconciler._prune_payments(before, s.payment_id, most);
	t := reconciler._prune_transitions(before, s.transition_id, most);
	UPDATE reconciler.prune_state SET payment_id = coalesce(p.next, 0), transition_id = coalesce(t.next, 0);
	IF p.pruned + t.pruned > 0 THEN
		RAISE LOG 'prune payments=% transitions=%', p.pruned, t.pruned;
	END IF;
END $$;

COMMENT ON FUNCTION prune(timestamptz) IS
'For administrators: deletes transitions and payments from before a time (at least a day ago), but for what keeps a request from being confirmed twice: the last transition of requests that are in their table (and of those found missing for the first time), and payments of requests that are not confirmed or not deep in the chain. reconciler.retention does it by itself';
COMMENT ON FUNCTION _prune_some(int) IS 'A part of the sweep that reconciler.retention asks for; each upkeep does one';
