-- Views: leases, workers, networks.

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
	OUT reported_at timestamptz)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'reconciler_stat_get_workers';

COMMENT ON FUNCTION stat_get_workers() IS
'The workers that run inside this server, of all databases, one row each; no rows where reconciler is not in shared_preload_libraries';

CREATE VIEW leases AS
SELECT pg_catalog.format('%I.%I', s.nspname, c.relname) AS source, q.request_id,
	   coalesce(q.chain, n.chain) AS chain, coalesce(q.network, n.network) AS network,
	   b.lease_owner, b.lease_until, b.lease_token
FROM reconciler.queue q
JOIN reconciler.networks n ON n.network_id = q.network_id
JOIN reconciler.sources a ON a.source_id = q.source_id
JOIN pg_catalog.pg_class c ON c.oid = a.relation
JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
LEFT JOIN LATERAL (
	(SELECT x.hi, x.lease_owner, x.lease_until, x.lease_token
	 FROM reconciler.batches x
	 WHERE x.network_id = q.network_id AND x.lo <= q.seq AND NOT q.followed
	 ORDER BY x.lo DESC LIMIT 1)
	UNION ALL
	SELECT 9223372036854775807, l.lease_owner, l.lease_until, l.lease_token
	FROM reconciler.cursor_leases l WHERE l.network_id = q.network_id AND q.followed) b
	ON q.seq < b.hi AND b.lease_until > pg_catalog.clock_timestamp() AND q.invalid IS NULL;

COMMENT ON VIEW leases IS
'One row per open request, with the lease that it is under; nulls where it is free';

CREATE VIEW stat_workers AS
SELECT l.worker_id, l.role, l.database, l.pid, l.state, l.cycles, l.claimed, l.scanned, l.detected,
	   l.confirmed, l.expired, l.skipped, l.errors, l.started_at, l.reported_at
FROM reconciler.stat_get_workers() l
UNION ALL
SELECT w.worker_id, w.role, pg_catalog.current_database(), w.pid, w.state, w.cycles, w.claimed, w.scanned, w.detected,
	   w.confirmed, w.expired, w.skipped, w.errors, w.started_at, w.reported_at
FROM reconciler.workers w
WHERE w.reported_at > pg_catalog.clock_timestamp() - interval '5 minutes';

COMMENT ON VIEW stat_workers IS
'Workers and what they did since they started: those in this server, and daemons that reported within five minutes (of this database)';

CREATE VIEW network_status AS
	SELECT n.network_id, n.chain, n.network, n.kind, n.chain_id, n.enabled,
		ARRAY(SELECT reconciler._redact_url(u.url)
			  FROM unnest(n.endpoints) WITH ORDINALITY AS u (url, position) ORDER BY u.position) AS endpoints,
		n.confirmations, n.block_tag, n.detected_bps, n.confirmed_bps, n.batch_size, n.poll_interval,
		n.lease_duration, n.request_timeout, n.expiry_grace, n.max_tip_age, n.rate_limit, n.verify,
		k.tokens, k.native, k.traces, CASE WHEN n.network_id <> 0 THEN reconciler._in_time(n) END AS in_time,
		coalesce(n.watch_after, interval '24 hours') AS watch_after,
		coalesce(n.tip_interval, interval '1 second') AS tip_interval, coalesce(n.quorum, 1) AS quorum,
		q.open_requests, q.invalid_requests, b.batches, b.leased_batches,
		s.tip_height, s.tip_hash, s.tip_time, s.observed_at, coalesce(s.failures, 0) AS failures,
		coalesce(s.doubts, 0) AS doubts, s.error, s.error_at
	FROM reconciler.networks AS n
		CROSS JOIN LATERAL (
			SELECT CASE WHEN i.has_assets THEN coalesce(n.tokens, 'balances') END AS tokens,
				CASE WHEN i.has_assets THEN coalesce(n.native, 'balances') END AS native,
				CASE WHEN i.has_assets THEN coalesce(n.traces, false) END AS traces
			FROM reconciler._kind(n.kind) AS i) AS k
		LEFT JOIN reconciler.network_state AS s ON s.network_id = n.network_id
		CROSS JOIN LATERAL (
			SELECT count(*) AS open_requests, count(k.invalid) AS invalid_requests
			FROM reconciler.queue AS k WHERE k.network_id = n.network_id) AS q
		CROSS JOIN LATERAL (
			SELECT count(*) AS batches, count(*) FILTER (WHERE k.lease_until > clock_timestamp()) AS leased_batches
			FROM (SELECT x.network_id, x.lease_until FROM reconciler.batches AS x
				  UNION ALL SELECT x.network_id, x.lease_until FROM reconciler.cursor_leases AS x) AS k
			WHERE k.network_id = n.network_id) AS b
	WHERE n.network_id <> 0 OR q.open_requests > 0;
