-- Views: leases, settings of networks, and the workers of this server.

-- What the server itself knows of its workers: read from shared memory.
CREATE FUNCTION stat_get_workers(
	OUT worker_id text,
	OUT role text,
	OUT pid int,
	OUT database name,
	OUT state text,
	OUT cycles bigint,
	OUT claimed bigint,
	OUT scanned bigint,
	OUT detected bigint,
	OUT confirmed bigint,
	OUT expired bigint,
	OUT skipped bigint,
	OUT errors bigint,
	OUT started_at timestamptz,
	OUT reported_at timestamptz,
	OUT network text)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'reconciler_stat_get_workers';

COMMENT ON FUNCTION stat_get_workers() IS
'The workers that run inside this server, of all databases, one row each; no rows where reconciler is not in shared_preload_libraries';

-- A standby can't even plan a query on unlogged tables; plpgsql plans one when it comes to it.
CREATE FUNCTION _leases()
RETURNS TABLE (source text, request_id text, chain text, network text, lease_owner text, lease_until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF pg_is_in_recovery() THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT format('%I.%I', s.nspname, c.relname), q.request_id, coalesce(q.chain, n.chain), coalesce(q.network, n.network),
		   b.lease_owner, b.lease_until
	FROM reconciler.queue q
	JOIN reconciler.networks n ON n.network_id = q.network_id
	JOIN reconciler.sources a ON a.source_id = q.source_id
	JOIN pg_class c ON c.oid = a.relation
	JOIN pg_namespace s ON s.oid = c.relnamespace
	LEFT JOIN LATERAL (
		(SELECT x.hi, x.lease_owner, x.lease_until
		 FROM reconciler.batches x
		 WHERE x.network_id = q.network_id AND x.lo <= q.seq AND NOT q.followed
		 ORDER BY x.lo DESC LIMIT 1)
		UNION ALL
		SELECT 9223372036854775807, l.lease_owner, l.lease_until
		FROM reconciler.cursor_leases l WHERE l.network_id = q.network_id AND q.followed) b
		ON q.seq < b.hi AND b.lease_until > clock_timestamp() AND q.invalid IS NULL;
END
$$;

COMMENT ON FUNCTION _leases() IS 'Open requests and their leases; no rows on a standby';

CREATE VIEW leases AS SELECT * FROM reconciler._leases();

COMMENT ON VIEW leases IS
'One row per open request, with the lease that it is under; nulls where it is free';

CREATE VIEW network_settings AS
	SELECT n.network_id, n.chain, n.network, n.kind, n.chain_id, n.enabled,
		ARRAY(SELECT reconciler._redact_url(u.url)
			  FROM pg_catalog.unnest(n.endpoints) WITH ORDINALITY AS u (url, position) ORDER BY u.position) AS endpoints,
		n.confirmations, n.block_tag, n.detected_bps, n.confirmed_bps, n.batch_size, n.poll_interval,
		n.lease_duration, n.request_timeout, n.expiry_grace, n.max_tip_age, n.rate_limit, n.verify,
		k.tokens, k.native, k.traces, reconciler._in_time(n) AS in_time, coalesce(n.watch_after, interval '24 hours') AS watch_after,
		coalesce(n.tip_interval, interval '1 second') AS tip_interval, coalesce(n.quorum, 1) AS quorum, n.registered_by
	FROM reconciler.networks AS n
		CROSS JOIN LATERAL (
			SELECT CASE WHEN i.has_assets THEN coalesce(n.tokens, 'balances') END AS tokens,
				CASE WHEN i.has_assets THEN coalesce(n.native, 'balances') END AS native,
				CASE WHEN i.has_assets THEN coalesce(n.traces, false) END AS traces
			FROM reconciler._kind(n.kind) AS i) AS k
	WHERE n.network_id <> 0;

COMMENT ON VIEW network_settings IS
'The networks as they are set (nulls take the setting of the same name), their endpoints without secrets; how they are doing: stat_networks';
