-- health(): what is wrong, and what to do about it.

CREATE FUNCTION _library_version() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'reconciler_library_version';

COMMENT ON FUNCTION _library_version() IS 'The version of the library that the server has loaded';

CREATE TYPE _health_finding AS (
	severity text,				-- critical: requests aren't observed, or money is at stake; warning; info
	code text,					-- doesn't change from version to version
	chain text,
	network text,
	what text,
	hint text
);

-- How many of a server's workers are meant for this database: they take turns, in the order of the list.
CREATE FUNCTION _workers_wanted() RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT count(*)::int
	FROM (SELECT array_agg(btrim(d.name, ' "') ORDER BY d.n) AS names
		  FROM unnest(string_to_array(nullif(current_setting('reconciler.database', true), ''), ',')) WITH ORDINALITY AS d (name, n)) AS l,
		generate_series(0, reconciler._setting_int('workers') - 1) AS w
	WHERE l.names[1 + w % cardinality(l.names)] = current_database()
$$;

CREATE FUNCTION _is_preloaded() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT current_setting('shared_preload_libraries') ~ '(^|[,/ "])reconciler($|[, "])'
$$;

COMMENT ON FUNCTION _workers_wanted() IS 'How many of the server''s workers are meant for this database';
COMMENT ON FUNCTION _is_preloaded() IS 'Whether the server loads the library at its start';

CREATE FUNCTION _health_server() RETURNS SETOF _health_finding
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	wanted int := CASE WHEN reconciler._is_preloaded() THEN reconciler._workers_wanted() ELSE 0 END;
	running int := (SELECT count(*) FROM reconciler.stat_get_workers() AS w WHERE w.database = current_database());
	daemons int := (SELECT count(*) FROM reconciler.workers AS w
					WHERE w.role <> 'worker' AND w.state <> 'stopped' AND w.reported_at > clock_timestamp() - interval '1 minute');
	installed text := (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'reconciler');
BEGIN
	IF reconciler._library_version() <> installed THEN
		RETURN NEXT ROW('critical', 'versions_differ', NULL, NULL,
			format('the library is version %s, the extension in this database %s', reconciler._library_version(), installed),
			'ALTER EXTENSION reconciler UPDATE; if the library is the older one, restart the server')::reconciler._health_finding;
	END IF;
	IF wanted + daemons = 0 THEN
		RETURN NEXT CASE
			WHEN NOT reconciler._is_preloaded() THEN ROW('critical', 'not_preloaded', NULL, NULL,
				'no reconcilerd runs, and reconciler is not in shared_preload_libraries',
				'add it there and restart the server, or run reconcilerd')::reconciler._health_finding
			WHEN reconciler._setting_int('workers') = 0 THEN ROW('critical', 'workers_off', NULL, NULL,
				'no reconcilerd runs, and reconciler.workers is 0',
				'ALTER SYSTEM SET reconciler.workers = 2; SELECT pg_reload_conf();')::reconciler._health_finding
			ELSE ROW('critical', 'database_not_listed', NULL, NULL,
				format('no reconcilerd runs, and none of the server''s workers is meant for database %s', current_database()),
				'add the database to reconciler.database and restart the server; reconciler.workers must be at least the number of databases')::reconciler._health_finding END;
	ELSIF running < wanted THEN
		RETURN NEXT ROW(CASE WHEN running + daemons = 0 THEN 'critical' ELSE 'warning' END, 'workers_missing', NULL, NULL,
			format('%s of %s workers run', running, wanted),
			'the server''s log says why (grep "reconciler"): max_worker_processes may be too low, or the extension was just created')::reconciler._health_finding;
	END IF;
END $$;

COMMENT ON FUNCTION _health_server() IS 'Findings about library, workers and daemons';

CREATE FUNCTION _health_networks() RETURNS SETOF _health_finding
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH n AS (
		SELECT s.*, coalesce(r.poll_interval, reconciler._setting_interval('poll_interval')) AS poll, r.max_tip_age,
			EXISTS (SELECT FROM reconciler.stat_endpoints AS e WHERE e.network_id = s.network_id) AS has_endpoint
		FROM reconciler.stat_networks AS s JOIN reconciler.networks AS r ON r.network_id = s.network_id
	)
	SELECT f.severity, f.code, n.chain, n.network, f.what, f.hint
	FROM n CROSS JOIN LATERAL (VALUES
		(n.network_id = 0, 'warning', 'network_unregistered', format('%s open requests are of networks that are not registered', n.open_requests),
			'SELECT DISTINCT chain, network FROM reconciler.queue WHERE network_id = 0; then reconciler.add_network'),
		(n.network_id <> 0 AND NOT n.enabled AND n.open_requests > 0, 'warning', 'network_paused', format('it is paused, with %s open requests', n.open_requests),
			format('SELECT reconciler.resume_network(%L, %L)', n.chain, n.network)),
		(n.network_id <> 0 AND n.enabled AND n.open_requests > 0 AND NOT n.has_endpoint, 'critical', 'no_endpoint', 'no worker has an endpoint for it',
			format('SELECT reconciler.set_network(%L, %L, endpoints => ARRAY[…]), or give reconcilerd one', n.chain, n.network)),
		(n.network_id <> 0 AND n.enabled AND n.open_requests > 0 AND n.has_endpoint AND n.workers IS NULL, 'critical', 'no_worker',
			'no worker has reported of it within a minute', 'SELECT * FROM reconciler.stat_workers; the findings about workers say what to do'),
		(n.enabled AND n.error IS NOT NULL AND n.error_at > coalesce(n.observed_at, '-infinity'),
			CASE WHEN n.observed_at > clock_timestamp() - interval '5 minutes' THEN 'warning' ELSE 'critical' END, 'network_failing',
			format('looks fail since %s: %s', coalesce(n.observed_at, n.error_at)::timestamptz(0), n.error), 'SELECT * FROM reconciler.stat_endpoints shows which endpoint, and why'),
		(n.network_id <> 0 AND n.enabled AND n.overdue_since < clock_timestamp() - greatest(2 * n.poll, interval '1 minute'),
			CASE WHEN n.overdue_since < clock_timestamp() - greatest(10 * n.poll, interval '10 minutes') THEN 'critical' ELSE 'warning' END, 'overdue',
			format('%s requests are due since %s', n.due_requests, n.overdue_since::timestamptz(0)),
			'more workers (reconciler.workers, or another reconcilerd), a higher rate_limit, a longer poll_interval'),
		(n.enabled AND n.mode IN ('followed', 'both') AND n.max_tip_age IS NOT NULL AND n.tip_age > greatest(n.max_tip_age, interval '10 minutes'), 'warning', 'chain_behind',
			format('the chain was read up to block %s of %s', n.cursor_height, n.tip_time::timestamptz(0)),
			'blocks_per_second in reconciler.stat_networks: above 0, it is catching up; else see stat_endpoints and the log'),
		(n.network_id <> 0 AND n.invalid_requests > 0, 'info', 'requests_invalid', format('%s open requests can''t be observed as they are', n.invalid_requests),
			'SELECT request_id, invalid FROM reconciler.queue WHERE invalid IS NOT NULL'),
		(n.doubts > 0 AND n.error ~ 'behind|ahead|older', 'warning', 'tip_doubted', format('%s observations were not believed', n.doubts),
			'a node is behind or its clock is off: see stat_endpoints')
	) AS f (holds, severity, code, what, hint)
	WHERE f.holds
$$;

COMMENT ON FUNCTION _health_networks() IS 'Findings about networks';

CREATE FUNCTION _health_endpoints() RETURNS SETOF _health_finding
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN e.all_bad THEN 'critical' ELSE 'warning' END, CASE WHEN e.all_bad THEN 'endpoints_all_bad' ELSE 'endpoint_bad' END, e.chain, e.network,
		format('endpoint %s is %s%s: %s', e.endpoint, CASE e.state WHEN 'mixed' THEN 'resting' ELSE e.state END,
			   CASE WHEN e.state = 'mixed' THEN format(' for %s of %s workers', cardinality(e.bad_for), cardinality(e.bad_for) + cardinality(e.good_for)) END,
			   e.error),
		CASE e.error_code
			WHEN 'refused' THEN 'check the credentials in its URL: SELECT reconciler.set_network(…, endpoints => …)'
			WHEN 'wrong_chain' THEN 'it serves another chain: correct its URL, or chain_id'
			WHEN 'limited' THEN 'it wants to be asked less often: set rate_limit, a longer poll_interval, or add an endpoint'
			WHEN 'behind' THEN 'its node is syncing or pruned: another endpoint takes over, if there is one'
			WHEN 'timed_out' THEN 'it is slow: p99_ms in reconciler.stat_endpoints; a longer request_timeout, or another endpoint'
			ELSE 'another endpoint takes over, if there is one' END
	FROM (SELECT s.*, bool_and(s.state IN ('resting', 'refused')) OVER (PARTITION BY s.network_id) AS all_bad FROM reconciler.stat_endpoints AS s) AS e
	JOIN reconciler.networks AS n ON n.network_id = e.network_id AND n.enabled
	WHERE e.state IN ('resting', 'refused', 'mixed')
$$;

COMMENT ON FUNCTION _health_endpoints() IS 'Findings about endpoints';

-- A trigger's words may hold amounts: no figures of them.
CREATE FUNCTION _health_requests() RETURNS SETOF _health_finding
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	(SELECT 'warning', 'requests_not_settled', n.chain, n.network, format('%s open requests failed at their last look: %s', count(*), f.reason),
			format('SELECT * FROM reconciler.explain(%L, %L); is one of them', min(s.relation::text), min(q.request_id))
	 FROM reconciler.queue AS q JOIN reconciler.networks AS n ON n.network_id = q.network_id
		JOIN reconciler.sources AS s ON s.source_id = q.source_id
		CROSS JOIN LATERAL (SELECT regexp_replace(left(reconciler._shown(q.error, 100), 80), '[0-9]+', '#', 'g') AS reason) AS f
	 WHERE q.error IS NOT NULL GROUP BY n.chain, n.network, f.reason ORDER BY count(*) DESC LIMIT 10)
	UNION ALL
	SELECT 'warning', 'expired_unobserved', n.chain, n.network, format('%s requests expired within a day without having been observed', count(*)),
		'its endpoints failed for longer than expiry_grace: were they paid? SELECT * FROM reconciler.transitions WHERE reason = ''unobserved''; reconciler.reopen'
	FROM reconciler.transitions AS t LEFT JOIN reconciler.networks AS n ON n.network_id = t.network_id
	WHERE t.at > clock_timestamp() - interval '1 day' AND t.reason = 'unobserved' GROUP BY n.chain, n.network HAVING count(*) > 0
	UNION ALL
	SELECT 'critical', 'confirmation_undone', NULL, NULL, format('%s confirmed requests lost their payment within a day', count(*)),
		'SELECT * FROM reconciler.events WHERE kind = ''confirmation.undone''; was it delivered? Raise confirmations of the network'
	FROM reconciler.events AS e
	WHERE e.kind = 'confirmation.undone' AND e.at > clock_timestamp() - interval '1 day'
		AND e.event_id > (SELECT max(x.event_id) - 100000 FROM reconciler.events AS x)
	HAVING count(*) > 0
$$;

COMMENT ON FUNCTION _health_requests() IS 'Findings about requests: what can''t be settled, what was lost';

CREATE FUNCTION _health_settings() RETURNS SETOF _health_finding
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'warning', f.code, n.chain, n.network, f.what, f.hint
	FROM reconciler.networks AS n
	CROSS JOIN LATERAL (SELECT coalesce(n.lease_duration, reconciler._setting_interval('lease_duration')) AS lease,
		coalesce(n.request_timeout, reconciler._setting_interval('request_timeout')) AS timeout,
		coalesce(n.poll_interval, reconciler._setting_interval('poll_interval')) AS poll) AS v
	CROSS JOIN LATERAL (VALUES
		(v.lease < v.timeout, 'lease_too_short', format('lease_duration %s is shorter than request_timeout %s', v.lease, v.timeout),
			'a worker that waits for one call would need to renew: make lease_duration at least twice request_timeout'),
		(v.poll < v.timeout AND n.rate_limit IS NOT NULL AND v.poll < interval '1 second', 'poll_too_short',
			format('poll_interval %s with a rate_limit of %s a second', v.poll, n.rate_limit), 'looks wait for the rate limit: a longer poll_interval costs nothing'),
		(n.max_tip_age < v.poll, 'tip_age_too_short', format('max_tip_age %s is shorter than poll_interval %s', n.max_tip_age, v.poll), 'make max_tip_age several blocks long'),
		(n.verify = 'server' AND reconciler._workers_wanted() = 0, 'verify_without_server', 'verify => ''server'', but no worker runs in the server',
			'nothing is ever final: set reconciler.workers, or reset verify')
	) AS f (holds, code, what, hint)
	WHERE f.holds AND n.enabled AND n.network_id <> 0
	UNION ALL
	SELECT 'warning', 'too_few_processes', NULL, NULL, format('max_worker_processes is %s, reconciler.workers %s and its launcher 1',
		current_setting('max_worker_processes'), reconciler._setting_int('workers')), 'raise max_worker_processes and restart the server'
	WHERE reconciler._is_preloaded() AND current_setting('max_worker_processes')::int < reconciler._setting_int('workers') + 1
	UNION ALL
	SELECT 'warning', 'triggers_off', NULL, NULL, format('triggers of %s are off: changes are noticed once an hour', s.relation),
		format('ALTER TABLE %s ENABLE ALWAYS TRIGGER …; then SELECT reconciler.resync(%L)', s.relation, s.relation::text)
	FROM reconciler.sources AS s WHERE s.triggers_off
$$;

COMMENT ON FUNCTION _health_settings() IS 'Findings about settings that can''t work together';

CREATE FUNCTION _health_upkeep() RETURNS SETOF _health_finding
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN c.missed > 0 THEN 'critical' ELSE 'warning' END, CASE WHEN c.missed > 0 THEN 'consumer_missed' ELSE 'consumer_behind' END, NULL, NULL,
		CASE WHEN c.missed > 0 THEN format('consumer %s has missed %s events', reconciler._shown(c.name, 100), c.missed)
			 ELSE format('consumer %s has not acknowledged %s events, the oldest of %s', reconciler._shown(c.name, 100), c.unread, c.oldest_unread_at::timestamptz(0)) END,
		'does its reader run? SELECT * FROM reconciler.consumers; drop_consumer for one that nobody needs'
	FROM reconciler.consumers AS c WHERE c.missed > 0 OR c.oldest_unread_at < clock_timestamp() - interval '1 hour'
	UNION ALL
	SELECT 'info', 'table_grows', NULL, NULL, format('reconciler.%s has %s', c.relname, pg_size_pretty(pg_total_relation_size(c.oid))),
		CASE WHEN c.relname = 'events' THEN 'reconciler.event_retention says how long events are kept; a consumer that is behind holds them up'
			 ELSE 'set reconciler.retention, or SELECT * FROM reconciler.prune(…)' END
	FROM pg_class AS c
	WHERE c.relnamespace = 'reconciler'::regnamespace AND c.relname IN ('transitions', 'payments', 'events')
		AND pg_total_relation_size(c.oid) > 1073741824 AND (c.relname = 'events' OR reconciler._setting_interval('retention') = interval '0')
	UNION ALL
	SELECT 'warning', 'table_bloated', NULL, NULL, format('reconciler.%s has %s dead rows and %s live ones', t.relname, t.n_dead_tup, t.n_live_tup),
		'does autovacuum come to it, and does no old transaction or replication slot hold it back? VACUUM reconciler.' || t.relname
	FROM pg_stat_all_tables AS t
	WHERE t.schemaname = 'reconciler' AND t.n_dead_tup > 100000 AND t.n_dead_tup > 5 * t.n_live_tup
$$;

COMMENT ON FUNCTION _health_upkeep() IS 'Findings about consumers and tables';

CREATE FUNCTION health()
RETURNS TABLE (severity text, code text, chain text, network text, what text, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF pg_is_in_recovery() THEN
		RETURN QUERY SELECT 'info', 'standby', NULL, NULL, 'this server is a standby: nothing runs here until it is promoted', 'ask the primary';
		RETURN;
	END IF;
	RETURN QUERY
	SELECT f.severity, f.code, f.chain, f.network, reconciler._shown(f.what, 1000), f.hint
	FROM (SELECT * FROM reconciler._health_server()
		  UNION ALL SELECT * FROM reconciler._health_networks()
		  UNION ALL SELECT * FROM reconciler._health_endpoints()
		  UNION ALL SELECT * FROM reconciler._health_requests()
		  UNION ALL SELECT * FROM reconciler._health_settings()
		  UNION ALL SELECT * FROM reconciler._health_webhooks()
		  UNION ALL SELECT * FROM reconciler._health_upkeep()) AS f
	ORDER BY CASE f.severity WHEN 'critical' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END, f.code, f.chain, f.network, f.what;
END $$;

COMMENT ON FUNCTION health() IS
'What is wrong, the worst first: severity (critical: requests aren''t observed, or money is at stake; warning; info), a code that stays the same, the network that it is about, what it is, and what to do. No rows: all is well. docs/operations.md explains each code';
