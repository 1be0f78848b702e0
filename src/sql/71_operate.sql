-- For administrators: holding a network, and looking at a request at once.

CREATE FUNCTION pause_network(chain text, network text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n reconciler.networks := reconciler._find_network(chain, network);
BEGIN
	-- A look that is under way is refused as stale: its network has changed.
	UPDATE reconciler.networks AS r SET enabled = false WHERE r.network_id = n.network_id AND r.enabled;
	PERFORM reconciler.release_leases(n.chain, n.network);
END $$;

CREATE FUNCTION resume_network(chain text, network text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n reconciler.networks := reconciler._find_network(chain, network);
BEGIN
	UPDATE reconciler.networks AS r SET enabled = true WHERE r.network_id = n.network_id AND NOT r.enabled;
END $$;

CREATE FUNCTION look_now(relation regclass, request_id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	of_source int := reconciler._source_id(relation);
	q reconciler.queue;
	n reconciler.networks;
	b reconciler.batches;
	s reconciler.network_state;
BEGIN
	SELECT * INTO q FROM reconciler.queue AS k WHERE k.source_id = of_source AND k.request_id = look_now.request_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found',
			MESSAGE = format('request %s of table %s is not observed', look_now.request_id, relation),
			HINT = format('SELECT * FROM reconciler.explain(%L, %L); says why.', relation::text, look_now.request_id);
	END IF;
	SELECT * INTO n FROM reconciler.networks AS k WHERE k.network_id = q.network_id;
	UPDATE reconciler.batches AS k SET due_at = '-infinity'
		WHERE k.network_id = q.network_id AND k.lo <= q.seq AND k.hi > q.seq AND NOT q.followed RETURNING k.* INTO b;
	IF q.followed THEN
		INSERT INTO reconciler.payment_changes (network_id, source_id, request_id) VALUES (q.network_id, of_source, q.request_id)
			ON CONFLICT DO NOTHING;
		UPDATE reconciler.cursor_leases AS l SET due_at = '-infinity' WHERE l.network_id = q.network_id
			RETURNING l.network_id, l.lease_owner, l.lease_until, l.due_at INTO b.network_id, b.lease_owner, b.lease_until, b.due_at;
	END IF;
	SELECT * INTO s FROM reconciler.network_state AS k WHERE k.network_id = q.network_id;
	q.error := NULL;
	b.due_at := clock_timestamp();
	RETURN reconciler._waits_for(q, n, b, s);
END $$;

COMMENT ON FUNCTION pause_network(text, text) IS
'For administrators: nobody looks at requests of the network until resume_network; they stay open meanwhile. Looks that are under way count for nothing';
COMMENT ON FUNCTION resume_network(text, text) IS 'For administrators: ends pause_network; what came due meanwhile is looked at at once';
COMMENT ON FUNCTION look_now(regclass, text) IS
'For administrators: makes a request due at once, with its neighbours in the batch, or the cursor of its chain. Returns what it waits for now, as explain says it';
