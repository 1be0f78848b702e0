-- Rights, and what a dump takes along.

-- What a worker calls; grant_worker gives these and nothing else.
CREATE FUNCTION _worker_functions() RETURNS SETOF regprocedure
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.oid::regprocedure FROM pg_proc AS p
	WHERE p.pronamespace = 'reconciler'::regnamespace
		AND p.proname IN ('worker_networks', 'claim', 'due_in', 'settle', 'renew', 'release', 'report', 'register_network', 'maintain',
			'take_budget', 'claim_cursor', 'advance_cursor', 'undo_blocks', 'note_mempool', 'unconfirmed_payments',
			'begin_look_back', 'look_back', 'look_back_scripts', 'end_look_back', 'settle_network')
	ORDER BY p.proname
$$;

CREATE FUNCTION grant_worker(role regrole) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f regprocedure;
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA reconciler TO %s', role);
	FOR f IN SELECT reconciler._worker_functions() LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f, role);
	END LOOP;
END $$;

CREATE FUNCTION revoke_worker(role regrole) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN SELECT reconciler._worker_functions() LOOP
		EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %s', f, role);
	END LOOP;
	EXECUTE format('REVOKE USAGE ON SCHEMA reconciler FROM %s', role);
END $$;

COMMENT ON FUNCTION grant_worker(regrole) IS 'Lets a role run reconcilerd: gives it the protocol''s functions, and nothing else';
COMMENT ON FUNCTION revoke_worker(regrole) IS 'Takes back what grant_worker gave';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA reconciler FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA reconciler FROM PUBLIC;

-- Monitoring sees no URL and no application data but ids.
GRANT USAGE ON SCHEMA reconciler TO pg_monitor;
GRANT SELECT ON network_status, leases, stat_workers TO pg_monitor;
GRANT EXECUTE ON FUNCTION _redact_url(text), stat_get_workers() TO pg_monitor;	-- which these views call

COMMENT ON TABLE queue IS 'The open requests, one row each: a cache that resync fills from the attached tables';
COMMENT ON TABLE batches IS 'Runs of the queue, the unit of lease; see the view leases';
COMMENT ON TABLE transitions IS 'Every status change, with what was seen, where, and by which worker';
COMMENT ON TABLE network_state IS 'What workers know of a network at present; see the view network_status';
COMMENT ON TABLE workers IS 'What workers outside the server report of themselves; see the view stat_workers';

SELECT pg_catalog.pg_extension_config_dump('networks', 'WHERE network_id <> 0');
SELECT pg_catalog.pg_extension_config_dump('sources', '');
SELECT pg_catalog.pg_extension_config_dump('transitions', '');
SELECT pg_catalog.pg_extension_config_dump('payments', '');
SELECT pg_catalog.pg_extension_config_dump('cursors', '');
SELECT pg_catalog.pg_extension_config_dump('cursor_blocks', '');
SELECT pg_catalog.pg_extension_config_dump('networks_network_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sources_source_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('transitions_transition_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('payments_payment_id_seq', '');
