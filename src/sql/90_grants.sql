-- Rights, and what a dump takes along.

-- Whoever owns the schema could put functions into it that the extension's own would find.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_namespace AS n
			   WHERE n.nspname = 'reconciler' AND n.nspowner <> (SELECT r.oid FROM pg_catalog.pg_roles AS r
																  WHERE r.rolname = current_user)) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'schema reconciler exists and belongs to another role',
			HINT = 'DROP SCHEMA reconciler, or rename it: the extension makes its own.';
	END IF;
END $$;

-- What a worker calls; grant_worker gives these and nothing else.
CREATE FUNCTION _worker_functions() RETURNS SETOF regprocedure
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.oid::regprocedure FROM pg_proc AS p
	WHERE p.pronamespace = 'reconciler'::regnamespace
		AND p.proname IN ('worker_networks', 'claim', 'due_in', 'settle', 'renew', 'release', 'report', 'register_network')
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA reconciler FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA reconciler FROM PUBLIC;

-- Monitoring sees no URL and no application data but ids.
GRANT USAGE ON SCHEMA reconciler TO pg_monitor;
GRANT SELECT ON network_status TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('networks', 'WHERE network_id <> 0');
SELECT pg_catalog.pg_extension_config_dump('sources', '');
SELECT pg_catalog.pg_extension_config_dump('transitions', '');
SELECT pg_catalog.pg_extension_config_dump('networks_network_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sources_source_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('transitions_transition_id_seq', '');
