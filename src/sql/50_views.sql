-- Views on leases and workers

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
	SELECT x.hi, x.lease_owner, x.lease_until, x.lease_token
	FROM reconciler.batches x
	WHERE x.network_id = q.network_id AND x.lo <= q.seq
	ORDER BY x.lo DESC LIMIT 1) b
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
