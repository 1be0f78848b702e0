-- Rights, and what a dump takes along.

-- What a worker calls; grant_worker gives these and nothing else.
CREATE FUNCTION _worker_functions() RETURNS SETOF regprocedure
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.oid::regprocedure FROM pg_proc AS p
	WHERE p.pronamespace = 'reconciler'::regnamespace
		AND p.proname IN ('worker_networks', 'claim', 'due_in', 'settle', 'renew', 'release', 'report', 'register_network', 'maintain',
			'take_budget', 'claim_tip', 'note_tip', 'claim_cursor', 'renew_cursor', 'release_cursor', 'fail_network', 'advance_cursor', 'undo_blocks', 'note_mempool', 'unconfirmed_payments',
			'begin_look_back', 'look_back', 'look_back_scripts', 'end_look_back', 'settle_network', 'follow_keys', 'follow_tokens', 'follow_among',
			'retire_events', 'webhooks_due', 'claim_webhook', 'finish_webhook', 'health')
	ORDER BY p.proname
$$;

-- A role may be a worker's and an application's.
CREATE FUNCTION _revoke_schema(role regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_proc AS p CROSS JOIN LATERAL aclexplode(p.proacl) AS a
				   WHERE p.pronamespace = 'reconciler'::regnamespace AND a.grantee = role) THEN
		EXECUTE format('REVOKE USAGE ON SCHEMA reconciler FROM %s', role);
	END IF;
END $$;

CREATE FUNCTION grant_worker(role regrole) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f regprocedure;
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA reconciler TO %s', role);
	FOR f IN SELECT reconciler._worker_functions() LOOP
		EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s', f, role);
	END LOOP;
END $$;

CREATE FUNCTION revoke_worker(role regrole) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN SELECT reconciler._worker_functions() LOOP
		EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM %s', f, role);
	END LOOP;
	PERFORM reconciler._revoke_schema(role);
	PERFORM reconciler._release_role(role);
END $$;

-- What the application's role calls. Each checks what the caller may do with the table in question.
CREATE FUNCTION _app_functions() RETURNS SETOF regprocedure
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.oid::regprocedure FROM pg_proc AS p
	WHERE p.pronamespace = 'reconciler'::regnamespace
		AND p.proname IN ('attach', 'detach', 'create_table', 'explain', 'resync', 'reopen',
			'create_consumer', 'restart_consumer', 'drop_consumer', 'read_events', 'ack_events', 'wait_for_events')
	ORDER BY p.proname
$$;

CREATE FUNCTION grant_app(role regrole) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f regprocedure;
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA reconciler TO %s', role);
	FOR f IN SELECT reconciler._app_functions() LOOP
		EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s', f, role);
	END LOOP;
	EXECUTE format('GRANT SELECT ON reconciler.consumers, reconciler.requests TO %s', role);
END $$;

CREATE FUNCTION revoke_app(role regrole) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN SELECT reconciler._app_functions() LOOP
		EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM %s', f, role);
	END LOOP;
	EXECUTE format('REVOKE SELECT ON reconciler.consumers, reconciler.requests FROM %s', role);
	PERFORM reconciler._revoke_schema(role);
END $$;

COMMENT ON FUNCTION grant_worker(regrole) IS 'Lets a role run reconcilerd: gives it the protocol''s functions, and nothing else';
COMMENT ON FUNCTION revoke_worker(regrole) IS 'Takes back what grant_worker gave, and ends the leases that the role''s sessions hold';
COMMENT ON FUNCTION grant_app(regrole) IS
'Lets the application''s role attach, detach and create tables of its own, and call explain, reopen and resync for tables that it may read, update or owns, and see what came of the requests of tables that it may read (the view requests); gives no right on any table of others';
COMMENT ON FUNCTION revoke_app(regrole) IS 'Takes back what grant_app gave';

-- Default privileges of the database (GRANT SELECT ON TABLES TO readonly, say)
-- were made for other tables than these, which hold keys: what comes with
-- creation goes, whoever has got it.
DO $$
DECLARE
	granted record;
BEGIN
	FOR granted IN
		SELECT DISTINCT o.what, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
		FROM (
			SELECT 'SCHEMA reconciler' AS what, n.nspowner AS owner, n.nspacl AS acl
				FROM pg_namespace AS n WHERE n.nspname = 'reconciler'
			UNION ALL
			SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass, c.relowner, c.relacl
				FROM pg_class AS c WHERE c.relnamespace = 'reconciler'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
			UNION ALL
			SELECT 'ROUTINE ' || p.oid::regprocedure, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
				FROM pg_proc AS p WHERE p.pronamespace = 'reconciler'::regnamespace
			UNION ALL
			SELECT 'TYPE ' || t.oid::regtype, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
				FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
				WHERE t.typnamespace = 'reconciler'::regnamespace AND t.typelem = 0 AND coalesce(c.relkind = 'c', true)
		) AS o (what, owner, acl)
			CROSS JOIN LATERAL aclexplode(o.acl) AS a
		WHERE a.grantee <> o.owner
	LOOP
		EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', granted.what, granted.role);
	END LOOP;
END $$;

-- Monitoring sees no URL and no application data but ids.
GRANT USAGE ON SCHEMA reconciler TO pg_monitor;
GRANT SELECT ON consumers, network_settings, leases, stat_workers, stat_networks, stat_endpoints, history TO pg_monitor;
-- Which these views call
GRANT EXECUTE ON FUNCTION _redact_url(text), _kinds(), _kind(text), _in_time(networks), stat_get_workers(), _leases(),
	_stat_workers(), _stat_networks(), _stat_endpoints(), _webhook_states(), health(), _quantile(bigint[], double precision) TO pg_monitor;
GRANT SELECT ON stat_webhooks, webhook_dead_letters TO pg_monitor;

COMMENT ON TABLE queue IS 'The open requests, one row each: a cache that resync fills from the attached tables';
COMMENT ON TABLE cursor_leases IS 'The leases of the cursors of networks that are followed; see the view leases';
COMMENT ON TABLE follow_marks IS 'Which open requests need not be looked back for when the queue was lost and is built again';
COMMENT ON TABLE batches IS 'Runs of the queue, the unit of lease; see the view leases';
COMMENT ON TABLE transitions IS
'Every status change, with what was seen, where, and by which worker. This counts: a notification on channel reconciler is a hint to look here, which anybody can send';
COMMENT ON TABLE network_state IS 'What workers know of a network at present; see the view stat_networks';

SELECT pg_catalog.pg_extension_config_dump('networks', 'WHERE network_id <> 0');
SELECT pg_catalog.pg_extension_config_dump('sources', '');
SELECT pg_catalog.pg_extension_config_dump('former_sources', '');
SELECT pg_catalog.pg_extension_config_dump('transitions', '');
SELECT pg_catalog.pg_extension_config_dump('events', '');
SELECT pg_catalog.pg_extension_config_dump('event_consumers', '');
SELECT pg_catalog.pg_extension_config_dump('webhooks', '');
SELECT pg_catalog.pg_extension_config_dump('webhook_place', '');
SELECT pg_catalog.pg_extension_config_dump('webhook_deliveries', '');
SELECT pg_catalog.pg_extension_config_dump('payments', '');
SELECT pg_catalog.pg_extension_config_dump('spent_credits', '');
SELECT pg_catalog.pg_extension_config_dump('watched', '');
SELECT pg_catalog.pg_extension_config_dump('undone_confirmations', '');
SELECT pg_catalog.pg_extension_config_dump('cursors', '');
SELECT pg_catalog.pg_extension_config_dump('cursor_blocks', '');
SELECT pg_catalog.pg_extension_config_dump('networks_network_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sources_source_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('transitions_transition_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('payments_payment_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('events_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('webhooks_webhook_id_seq', '');
