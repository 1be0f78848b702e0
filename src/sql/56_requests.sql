-- What was asked for and what came of it, for each request that is open or watched still.

-- For those who may read the request's table, all of its rows.
CREATE VIEW requests WITH (security_barrier) AS
SELECT pg_catalog.format('%I.%I', ns.nspname, cl.relname) AS source, r.request_id, coalesce(r.chain, n.chain) AS chain, coalesce(r.network, n.network) AS network,
	   r.status, r.expires_at, r.expected, a.received, a.settled,
	   greatest(r.expected - a.received, 0) AS missing, greatest(a.received - r.expected, 0) AS excess,
	   CASE WHEN a.received = 0 THEN 'none' WHEN a.received < r.expected THEN 'partial'
			WHEN a.received > r.expected THEN 'over' ELSE 'exact' END AS amount_state,
	   CASE WHEN r.followed THEN p.payments END AS payments, p.first_paid_at, p.last_paid_at,
	   CASE WHEN r.followed THEN p.late_amount END AS late_amount, r.watched_until
FROM (
	SELECT q.source_id, q.request_id, q.network_id, q.chain, q.network, q.status::text AS status, q.expires_at, q.expected,
		   q.seen, q.settled, q.followed, NULL::timestamptz AS watched_until
	FROM reconciler.queue q
	UNION ALL
	SELECT w.source_id, w.request_id, w.network_id, NULL, NULL, t.to_status, w.expires_at, w.expected, NULL, NULL, true, w.until
	FROM reconciler.watched w
	LEFT JOIN LATERAL (
		SELECT CASE WHEN x.to_status NOT IN ('pending', 'detected') THEN x.to_status END AS to_status FROM reconciler.transitions x
		WHERE x.source_id = w.source_id AND x.request_id = w.request_id ORDER BY x.transition_id DESC LIMIT 1) t ON true
	WHERE w.until > pg_catalog.clock_timestamp()
	  AND NOT EXISTS (SELECT FROM reconciler.queue q WHERE q.source_id = w.source_id AND q.request_id = w.request_id)) r
JOIN reconciler.sources s ON s.source_id = r.source_id
JOIN pg_catalog.pg_class cl ON cl.oid = s.relation
JOIN pg_catalog.pg_namespace ns ON ns.oid = cl.relnamespace
JOIN reconciler.networks n ON n.network_id = r.network_id
LEFT JOIN reconciler.cursors c ON c.network_id = r.network_id
CROSS JOIN LATERAL (
	SELECT count(*) AS payments, coalesce(sum(x.amount) FILTER (WHERE NOT x.late), 0) AS received,
		   coalesce(sum(x.amount) FILTER (WHERE NOT x.late AND x.block_height <= c.settled_depth), 0) AS settled,
		   min(coalesce(x.block_time, x.first_seen)) AS first_paid_at, max(coalesce(x.block_time, x.first_seen)) AS last_paid_at,
		   coalesce(sum(x.amount) FILTER (WHERE x.late), 0) AS late_amount
	FROM reconciler.payments x
	WHERE x.source_id = r.source_id AND x.request_id = r.request_id AND x.network_id = r.network_id
	  AND x.gone_at IS NULL AND NOT x.unproven) p
CROSS JOIN LATERAL (
	SELECT CASE WHEN r.followed THEN p.received ELSE coalesce(greatest(r.seen, r.settled), 0) END AS received,
		   CASE WHEN r.followed THEN p.settled ELSE coalesce(r.settled, 0) END AS settled) a
WHERE pg_catalog.has_table_privilege(s.relation, 'SELECT') AND NOT pg_catalog.row_security_active(s.relation);

COMMENT ON VIEW requests IS
'Open requests, and those that ended less than watch_after ago: what was expected, and what came in time (received; settled: at the depth), in minor units; missing and excess, amount_state (none, partial, exact, over); how many payments, when, and what came late. Of networks that are not followed block by block payments are not known one by one: null. status null: the application ended it. Rows of tables that the reader may SELECT, without row-level security';
