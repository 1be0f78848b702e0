-- For administrators: why a request is where it is.

-- One sentence: what an open request waits for.
CREATE FUNCTION _waits_for(q queue, n networks, b batches, s network_state) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN n.network_id = 0 THEN
			format('network %s/%s is not registered: SELECT reconciler.add_network(%1$L, %2$L, …)', q.chain, q.network)
		WHEN q.invalid IS NOT NULL THEN 'it can''t be observed: ' || q.invalid
		WHEN NOT n.enabled THEN
			format('network %s/%s is disabled: SELECT reconciler.set_network(%1$L, %2$L, enabled => true)', n.chain, n.network)
		WHEN b.network_id IS NULL THEN 'no worker has looked at its network yet: are there any? (reconciler.stat_workers)'
		WHEN q.error IS NOT NULL THEN 'the last look at it failed: ' || q.error
		WHEN b.error IS NOT NULL THEN 'the last look at its network failed: ' || b.error
		WHEN s.error IS NOT NULL AND s.error_at > coalesce(s.observed_at, '-infinity') THEN
			'the last look at its network failed: ' || s.error
		WHEN b.lease_until > clock_timestamp() THEN format('worker %s is looking at it', b.lease_owner)
		WHEN b.due_at <= clock_timestamp() - interval '1 minute' THEN
			'it is overdue: too few workers, or none (reconciler.stat_workers)'
		WHEN b.due_at <= clock_timestamp() THEN 'it is due: the next free worker looks at it'
		WHEN coalesce(q.seen, 0) < reconciler._threshold(q.expected, n.detected_bps) THEN 'a payment'
		WHEN coalesce(q.settled, 0) < reconciler._threshold(q.expected, n.confirmed_bps) THEN
			CASE WHEN q.seen < reconciler._threshold(q.expected, n.confirmed_bps) THEN 'the rest of the payment'
				 ELSE 'confirmations: ' || coalesce(n.block_tag, n.confirmations::text) END
		WHEN n.verify = 'server' THEN
			'a worker in the server to see it, too (verify): does one run, and has the network endpoints of its own?'
		ELSE 'the next look' END
$$;

-- One sentence: why a status is no open one.
CREATE FUNCTION _not_open(of_source int, word text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('nothing: status %s is not one of the open ones (%s)', coalesce('"' || $2 || '"', 'null'),
				  array_to_string(reconciler._open_words(s.statuses), ', '))
	FROM reconciler.sources AS s WHERE s.source_id = $1
$$;

CREATE FUNCTION _status_and_word(status text, word text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT $1 || CASE WHEN $1 NOT IN ($2, '"' || $2 || '"') THEN format(' (the table says "%s")', $2) ELSE '' END
$$;

-- One sentence: why a request isn't queued.
CREATE FUNCTION _why_not_queued(of_source int, relation regclass, id text, status text, word text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN $4 IN ('confirmed', 'expired') THEN 'nothing: it is closed'
				WHEN coalesce($4 NOT IN ('pending', 'detected'), true) THEN reconciler._not_open($1, $5) ELSE coalesce(
		(SELECT CASE WHEN t.to_status NOT IN ('pending', 'detected') THEN
				format('nothing: it was set to %s at %s (%s) and is not observed again, until it is reopened: SELECT reconciler.reopen(%L, %L)',
					   t.to_status, t.at, t.reason, $2::text, $3) END
		 FROM reconciler.transitions AS t WHERE t.source_id = $1 AND t.request_id = $3
		 ORDER BY t.transition_id DESC LIMIT 1),
		format('it is open but not queued: SELECT reconciler.resync(%L)', $2::text)) END
$$;

-- The caller must be able to read the request.
CREATE FUNCTION explain(relation regclass, request_id text) RETURNS TABLE (item text, value text)
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_explain';

CREATE FUNCTION _explain(relation regclass, request_id text) RETURNS TABLE (item text, value text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	of_source int := reconciler._source_id(relation);
	of_request text := request_id;
	now_is record;		-- its status, and the table's word for it
	q reconciler.queue;
	n reconciler.networks;
	b reconciler.batches;
	s reconciler.network_state;
BEGIN
	SELECT r.status, r.word INTO now_is FROM reconciler._status_of(of_source, ARRAY[of_request]) AS r;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found',
			MESSAGE = format('table %s has no request %s', _explain.relation, of_request),
			HINT = 'Give the request''s id as text.';
	END IF;
	SELECT * INTO q FROM reconciler.queue AS k WHERE k.source_id = of_source AND k.request_id = of_request;
	SELECT * INTO n FROM reconciler.networks AS k WHERE k.network_id = q.network_id;
	-- The caller's session shows the values that statements are given (debug_print_plan).
	n.endpoints := NULL;
	SELECT * INTO b FROM reconciler.batches AS k WHERE k.network_id = q.network_id AND k.lo <= q.seq AND k.hi > q.seq;
	IF q.followed THEN
		SELECT l.network_id, l.lease_owner, l.lease_until, l.due_at, l.error
		INTO b.network_id, b.lease_owner, b.lease_until, b.due_at, b.error
		FROM reconciler.cursor_leases AS l WHERE l.network_id = q.network_id;
	END IF;
	SELECT * INTO s FROM reconciler.network_state AS k WHERE k.network_id = q.network_id;

	RETURN QUERY SELECT 'status', reconciler._status_and_word(coalesce(q.status, now_is.status), now_is.word);
	IF q.seq IS NULL THEN
		RETURN QUERY SELECT 'waits for',
			reconciler._why_not_queued(of_source, _explain.relation, of_request, now_is.status, now_is.word);
	ELSE
		RETURN QUERY SELECT v.item, v.value FROM (VALUES
			('waits for', reconciler._waits_for(q, n, b, s)),
			('network', CASE WHEN n.network_id = 0 THEN q.chain || '/' || q.network ELSE n.chain || '/' || n.network END),
			('address', q.address),
			('token contract', q.token_contract),
			('expected', coalesce(q.expected::text, 'any amount')),
			('seen', coalesce(q.seen, 0)
				|| format(' (detected from %s)', reconciler._threshold(q.expected, n.detected_bps))),
			('settled', coalesce(q.settled, 0)
				|| format(' (confirmed from %s at depth %s)', reconciler._threshold(q.expected, n.confirmed_bps),
						  coalesce(n.block_tag, n.confirmations::text))),
			('expires at', coalesce(q.expires_at::text, 'never')),
			('leased by', b.lease_owner || ' until ' || b.lease_until),
			('due at', CASE WHEN b.due_at = '-infinity' THEN 'now' ELSE b.due_at::text END),
			('tip', s.tip_height || ' at ' || s.tip_time)) AS v (item, value)
			WHERE v.value IS NOT NULL;
	END IF;
	RETURN QUERY SELECT 'history',
			format('%s -> %s (%s) at %s%s%s', t.from_status, t.to_status, t.reason, t.at,
				   ', block ' || t.block_height, ', by ' || t.worker_id)
		FROM reconciler.transitions AS t
		WHERE t.source_id = of_source AND t.request_id = of_request ORDER BY t.transition_id;
END $$;

COMMENT ON FUNCTION explain(regclass, text) IS
'Why a request is where it is: what it waits for, what was seen of it, its history; for those who can read it';
