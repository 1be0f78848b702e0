-- Statistics: what workers report of themselves, of networks and of endpoints, and
-- the views that show it.
--
-- A worker reports once a second at most, and only what has changed: what it did
-- since its last report. Its rows are its own (worker_id and login are their
-- key), so no worker waits for another one's, and a role can't touch another's.
--
-- A histogram is an array: its first element counts what took less than 1 ms,
-- the k-th less than 2^(k-1), the last (20th) everything else.
--
-- The tables are UNLOGGED, and a standby can't even plan a query on them: views go
-- through functions of plpgsql, which plans a statement when it comes to it.

-- Workers, in the server and outside of it.
CREATE UNLOGGED TABLE workers (
	worker_id text NOT NULL,
	login text NOT NULL DEFAULT session_user,
	role text NOT NULL,
	pid int,
	host text,
	state text NOT NULL,
	network text,				-- which networks it waits for
	cycles bigint NOT NULL DEFAULT 0,
	claimed bigint NOT NULL DEFAULT 0,
	scanned bigint NOT NULL DEFAULT 0,
	detected bigint NOT NULL DEFAULT 0,
	confirmed bigint NOT NULL DEFAULT 0,
	expired bigint NOT NULL DEFAULT 0,
	skipped bigint NOT NULL DEFAULT 0,
	errors bigint NOT NULL DEFAULT 0,
	http_calls bigint NOT NULL DEFAULT 0,
	bytes_sent bigint NOT NULL DEFAULT 0,
	bytes_received bigint NOT NULL DEFAULT 0,
	last_error text,
	last_error_at timestamptz,
	started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	stats_reset timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (worker_id, login)
) WITH (fillfactor = 50);

-- An endpoint as a worker sees it. worker_id '': of workers that are forgotten.
CREATE UNLOGGED TABLE endpoint_reports (
	worker_id text NOT NULL,
	login text NOT NULL,
	network_id int NOT NULL,
	position int NOT NULL,		-- in the list that the worker has
	endpoint text NOT NULL,		-- without what may be secret
	own boolean NOT NULL,		-- the worker's own, in place of the network's
	current boolean NOT NULL DEFAULT true,	-- it is in the list still
	state text NOT NULL,
	resting_until timestamptz,
	error text,
	error_code text,
	error_at timestamptz,
	learned jsonb,
	calls bigint NOT NULL DEFAULT 0,
	bytes_sent bigint NOT NULL DEFAULT 0,
	bytes_received bigint NOT NULL DEFAULT 0,
	errors jsonb NOT NULL DEFAULT '{}',		-- by code
	latency bigint[] NOT NULL DEFAULT '{}',
	PRIMARY KEY (network_id, position, own, worker_id, login)
) WITH (fillfactor = 50);

-- What a worker did on a network.
CREATE UNLOGGED TABLE network_reports (
	worker_id text NOT NULL,
	login text NOT NULL,
	network_id int NOT NULL,
	scanned bigint NOT NULL DEFAULT 0,
	blocks bigint NOT NULL DEFAULT 0,
	transactions bigint NOT NULL DEFAULT 0,
	payments bigint NOT NULL DEFAULT 0,
	scanned_rate double precision NOT NULL DEFAULT 0,	-- a second, as of rated_at
	blocks_rate double precision NOT NULL DEFAULT 0,
	rated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (network_id, worker_id, login)
) WITH (fillfactor = 50);

COMMENT ON TABLE workers IS 'What workers report of themselves; see the view stat_workers';
COMMENT ON TABLE endpoint_reports IS 'What workers report of endpoints; see the view stat_endpoints';
COMMENT ON TABLE network_reports IS 'What workers did on networks; see the view stat_networks';

-- A count that somebody reports: whatever it is, sums over it stay within a bigint.
CREATE FUNCTION _count(value bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT least(greatest(coalesce($1, 0), 0), 1000000000000000)
$$;

CREATE FUNCTION _add(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_agg(reconciler._count(coalesce(a[i], 0) + reconciler._count(b[i])) ORDER BY i) FROM generate_series(1, 20) AS i
$$;

CREATE FUNCTION _add(a jsonb, b jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(jsonb_object_agg(s.key, s.n), '{}')
	FROM (SELECT e.key, reconciler._count(sum(e.value::bigint)::bigint) AS n
		  FROM (SELECT * FROM jsonb_each_text(a) UNION ALL SELECT * FROM jsonb_each_text(b)) AS e GROUP BY e.key) AS s
$$;

CREATE AGGREGATE _total(bigint[]) (SFUNC = _add, STYPE = bigint[], INITCOND = '{}');
CREATE AGGREGATE _total(jsonb) (SFUNC = _add, STYPE = jsonb, INITCOND = '{}');

CREATE FUNCTION _quantile(histogram bigint[], q double precision) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT round((b.low + (b.high - b.low) * (q * b.total - b.before) / b.n)::numeric, 1)
	FROM (SELECT u.i, u.n, CASE u.i WHEN 1 THEN 0 ELSE 2 ^ (u.i - 2) END AS low, 2 ^ (u.i - 1) AS high,
				 sum(u.n) OVER () AS total, sum(u.n) OVER (ORDER BY u.i) - u.n AS before
		  FROM unnest(histogram) WITH ORDINALITY AS u (n, i)) AS b
	WHERE b.n > 0 AND b.before + b.n >= q * b.total
	ORDER BY b.i LIMIT 1
$$;

-- 1 to 20: where a number of milliseconds stands in a histogram.
CREATE FUNCTION _bucket(ms double precision) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN ms < 1 THEN 1 ELSE least(pg_catalog.floor(pg_catalog.log(2.0, least(ms, 1e15)::numeric))::int + 2, 20) END
$$;

CREATE FUNCTION _within_day(ms bigint) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
	SELECT least(greatest($1, 0), 86400000) * interval '1 millisecond'
$$;

-- A text that a worker sends: cut, and nothing in it that a terminal obeys.
CREATE FUNCTION _shown(value text, most int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT regexp_replace(left(value, most), E'[\\x01-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]', '?', 'g')
$$;

COMMENT ON FUNCTION _count(bigint) IS 'A count that is reported: not negative, and small enough to be summed up';
COMMENT ON FUNCTION _add(bigint[], bigint[]) IS 'The sum of two histograms';
COMMENT ON FUNCTION _add(jsonb, jsonb) IS 'The sum of two objects of counts';
COMMENT ON AGGREGATE _total(bigint[]) IS 'The sum of histograms';
COMMENT ON AGGREGATE _total(jsonb) IS 'The sum of objects of counts';
COMMENT ON FUNCTION _quantile(bigint[], double precision) IS
'Milliseconds below which this part of a histogram lies, interpolated within a bucket; null: it is empty';
COMMENT ON FUNCTION _bucket(double precision) IS 'The position of a number of milliseconds in a histogram';
COMMENT ON FUNCTION _within_day(bigint) IS 'Milliseconds that a worker names, a day at most';
COMMENT ON FUNCTION _shown(text, int) IS 'A text of at most so many characters, with ? in place of those that can''t be seen';

CREATE FUNCTION _with(r endpoint_reports, more endpoint_reports) RETURNS endpoint_reports
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Another endpoint stands at this place by now.
	IF r.endpoint IS DISTINCT FROM more.endpoint THEN
		RETURN more;
	END IF;
	more.calls := reconciler._count(r.calls + more.calls);
	more.bytes_sent := reconciler._count(r.bytes_sent + more.bytes_sent);
	more.bytes_received := reconciler._count(r.bytes_received + more.bytes_received);
	more.errors := reconciler._add(r.errors, more.errors);
	more.latency := reconciler._add(r.latency, more.latency);
	IF more.error IS NULL THEN
		more.error := r.error;
		more.error_code := r.error_code;
		more.error_at := r.error_at;
	END IF;
	RETURN more;
END
$$;

COMMENT ON FUNCTION _with(endpoint_reports, endpoint_reports) IS 'What is known of an endpoint, with what came since';

CREATE FUNCTION _room_for_worker()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF (SELECT count(*) FROM reconciler.workers) < 1000 THEN
		RETURN;
	END IF;
	PERFORM reconciler._forget_workers(interval '5 minutes');
	IF (SELECT count(*) FROM reconciler.workers) >= 1000 THEN
		RAISE EXCEPTION '1000 workers have reported within five minutes' USING ERRCODE = 'program_limit_exceeded',
			HINT = 'A worker keeps its worker_id while it runs.';
	END IF;
END
$$;

COMMENT ON FUNCTION _room_for_worker() IS 'Refuses more workers than can be real; forgets those that are silent first';

CREATE FUNCTION _forget_workers(silent interval)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	WITH gone AS (
		DELETE FROM reconciler.workers AS w
		USING (SELECT x.ctid AS row_id FROM reconciler.workers AS x
			   WHERE x.reported_at < clock_timestamp() - silent FOR UPDATE SKIP LOCKED) AS s
		WHERE w.ctid = s.row_id
		RETURNING w.worker_id, w.login
	), endpoints AS (
		DELETE FROM reconciler.endpoint_reports AS e USING gone AS g
		WHERE e.worker_id = g.worker_id AND e.login = g.login RETURNING e.*
	), work AS (
		DELETE FROM reconciler.network_reports AS r USING gone AS g
		WHERE r.worker_id = g.worker_id AND r.login = g.login RETURNING r.*
	), kept AS (
		INSERT INTO reconciler.network_reports AS r (worker_id, login, network_id, scanned, blocks, transactions, payments)
		SELECT '', '', w.network_id, sum(w.scanned), sum(w.blocks), sum(w.transactions), sum(w.payments) FROM work AS w GROUP BY w.network_id
		ON CONFLICT (network_id, worker_id, login) DO UPDATE
		SET scanned = r.scanned + excluded.scanned, blocks = r.blocks + excluded.blocks,
			transactions = r.transactions + excluded.transactions, payments = r.payments + excluded.payments
	)
	INSERT INTO reconciler.endpoint_reports AS r (worker_id, login, network_id, position, endpoint, own, current, state,
												  calls, bytes_sent, bytes_received, errors, latency)
	SELECT DISTINCT ON (e.network_id, e.position, e.own) '', '', e.network_id, e.position, e.endpoint, e.own, false, 'unused',
		   sum(e.calls), sum(e.bytes_sent), sum(e.bytes_received), reconciler._total(e.errors), reconciler._total(e.latency)
	FROM endpoints AS e GROUP BY e.network_id, e.position, e.endpoint, e.own
	ORDER BY e.network_id, e.position, e.own, sum(e.calls) DESC
	ON CONFLICT (network_id, position, own, worker_id, login) DO UPDATE SET (calls, bytes_sent, bytes_received, errors, latency) = (
		SELECT a.calls, a.bytes_sent, a.bytes_received, a.errors, a.latency FROM reconciler._with(r, excluded) AS a), endpoint = excluded.endpoint;
END
$$;

COMMENT ON FUNCTION _forget_workers(interval) IS
'Removes workers that have been silent for so long; what they counted on networks and endpoints stays, so that counters don''t go back';

CREATE FUNCTION _report_endpoints(worker_id text, work jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_network int := (work ->> 'network_id')::int;
	is_own boolean := coalesce((work ->> 'own')::boolean, false);
BEGIN
	IF (work ->> 'all')::boolean THEN
		UPDATE reconciler.endpoint_reports AS r SET current = false
		WHERE r.network_id = of_network AND r.worker_id = _report_endpoints.worker_id AND r.login = session_user AND r.current;
	END IF;
	INSERT INTO reconciler.endpoint_reports AS r (worker_id, login, network_id, position, endpoint, own, state, resting_until,
												  error, error_code, error_at, learned, calls, bytes_sent, bytes_received, errors, latency)
	SELECT _report_endpoints.worker_id, session_user, of_network, e.position, reconciler._redact_url(left(e.url, 300)), is_own,
		   CASE WHEN e.state IN ('good', 'resting', 'refused') THEN e.state ELSE 'unused' END,
		   clock_timestamp() + reconciler._within_day(e.rests_ms),
		   reconciler._shown(e.error, 500), reconciler._shown(e.code, 30), clock_timestamp() - reconciler._within_day(e.error_age_ms),
		   CASE WHEN pg_column_size(e.learned) < 1000 THEN e.learned END,
		   reconciler._count(e.calls), reconciler._count(e.bytes_sent), reconciler._count(e.bytes_received),
		   (SELECT coalesce(jsonb_object_agg(reconciler._shown(c.key, 30), reconciler._count(c.value::bigint)), '{}')
			FROM (SELECT * FROM jsonb_each_text(e.errors) LIMIT 20) AS c),
		   reconciler._add('{}', e.latency)
	FROM jsonb_to_recordset(work -> 'endpoints') AS e (position int, url text, state text, rests_ms bigint, error text, code text,
		error_age_ms bigint, learned jsonb, calls bigint, bytes_sent bigint, bytes_received bigint, errors jsonb, latency bigint[])
	WHERE e.position BETWEEN 1 AND 100 AND e.url IS NOT NULL
	ON CONFLICT (network_id, position, own, worker_id, login) DO UPDATE
	SET (calls, bytes_sent, bytes_received, errors, latency, error, error_code, error_at) = (
			SELECT a.calls, a.bytes_sent, a.bytes_received, a.errors, a.latency, a.error, a.error_code, a.error_at
			FROM reconciler._with(r, excluded) AS a),
		endpoint = excluded.endpoint, current = true, state = excluded.state, resting_until = excluded.resting_until,
		learned = excluded.learned;
END
$$;

COMMENT ON FUNCTION _report_endpoints(text, jsonb) IS
'Takes what a worker says of the endpoints of a network: {network_id, own, all, endpoints: [{position, url, state, rests_ms, error, code, error_age_ms, learned, calls, bytes_sent, bytes_received, errors, latency}, …]}; all: these and no others are in its list';

CREATE FUNCTION _report_network(worker_id text, work jsonb)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	-- The rate of the last minute: what was counted t seconds ago weighs e^(-t/60).
	tau CONSTANT double precision := 60;
BEGIN
	IF EXISTS (SELECT FROM reconciler.networks AS n WHERE n.network_id = (work ->> 'network_id')::int) THEN
		PERFORM reconciler._report_endpoints(worker_id, work);
		INSERT INTO reconciler.network_reports AS r (worker_id, login, network_id, scanned, blocks, transactions, payments,
													 scanned_rate, blocks_rate)
		SELECT _report_network.worker_id, session_user, w.network_id, reconciler._count(w.scanned), reconciler._count(w.blocks),
			   reconciler._count(w.transactions), reconciler._count(w.payments),
			   reconciler._count(w.scanned) / tau, reconciler._count(w.blocks) / tau
		FROM jsonb_to_record(work) AS w (network_id int, scanned bigint, blocks bigint, transactions bigint, payments bigint)
		ON CONFLICT (network_id, worker_id, login) DO UPDATE
		SET scanned = reconciler._count(r.scanned + excluded.scanned), blocks = reconciler._count(r.blocks + excluded.blocks),
			transactions = reconciler._count(r.transactions + excluded.transactions),
			payments = reconciler._count(r.payments + excluded.payments), rated_at = excluded.rated_at,
			scanned_rate = excluded.scanned_rate + r.scanned_rate * exp(-least(extract(epoch FROM excluded.rated_at - r.rated_at), 6000) / tau),
			blocks_rate = excluded.blocks_rate + r.blocks_rate * exp(-least(extract(epoch FROM excluded.rated_at - r.rated_at), 6000) / tau);
	END IF;
END
$$;

COMMENT ON FUNCTION _report_network(text, jsonb) IS
'Takes what a worker did on a network since its last report: {network_id, scanned, blocks, transactions, payments}, and its endpoints';

CREATE FUNCTION report(worker_id text, role text, pid int, state text, counters jsonb, stopped boolean, details jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $$
#variable_conflict use_column
BEGIN
	IF report.worker_id IS NULL OR report.role IS NULL OR report.state IS NULL THEN
		RAISE EXCEPTION 'worker_id, role and state must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM reconciler._check_worker(report.worker_id);
	IF NOT (reconciler._is_name(report.role) AND reconciler._is_name(report.state)) THEN
		RAISE EXCEPTION 'role and state must have 1 to 100 characters, none of them invisible'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF report.role = 'worker' AND NOT reconciler._is_trusted() THEN
		RAISE EXCEPTION 'role worker is that of workers in the server' USING ERRCODE = 'insufficient_privilege';
	END IF;
	IF NOT EXISTS (SELECT FROM reconciler.workers w WHERE w.worker_id = report.worker_id AND w.login = session_user) THEN
		PERFORM reconciler._room_for_worker();
	END IF;
	INSERT INTO reconciler.workers AS w (worker_id, role, pid, host, state, network, cycles, claimed, scanned, detected, confirmed, expired,
										 skipped, errors, http_calls, bytes_sent, bytes_received, last_error, last_error_at)
	SELECT report.worker_id, report.role, report.pid, reconciler._shown(d.host, 100),
		   CASE WHEN report.stopped THEN 'stopped' ELSE report.state END, reconciler._shown(d.network, 200),
		   reconciler._count(c.cycles), reconciler._count(c.claimed), reconciler._count(c.scanned), reconciler._count(c.detected),
		   reconciler._count(c.confirmed), reconciler._count(c.expired), reconciler._count(c.skipped), reconciler._count(c.errors),
		   reconciler._count(c.http_calls), reconciler._count(c.bytes_sent), reconciler._count(c.bytes_received),
		   reconciler._shown(d.error, 500), clock_timestamp() - reconciler._within_day(d.error_age_ms)
	FROM jsonb_to_record(coalesce(report.counters, '{}'))
		 AS c(cycles bigint, claimed bigint, scanned bigint, detected bigint, confirmed bigint, expired bigint, skipped bigint,
			  errors bigint, http_calls bigint, bytes_sent bigint, bytes_received bigint),
		 jsonb_to_record(coalesce(report.details, '{}')) AS d(host text, network text, error text, error_age_ms bigint)
	ON CONFLICT (worker_id, login) DO UPDATE
	SET role = excluded.role, pid = excluded.pid, host = excluded.host, state = excluded.state, network = excluded.network,
		cycles = reconciler._count(w.cycles + excluded.cycles), claimed = reconciler._count(w.claimed + excluded.claimed),
		scanned = reconciler._count(w.scanned + excluded.scanned), detected = reconciler._count(w.detected + excluded.detected),
		confirmed = reconciler._count(w.confirmed + excluded.confirmed), expired = reconciler._count(w.expired + excluded.expired),
		skipped = reconciler._count(w.skipped + excluded.skipped), errors = reconciler._count(w.errors + excluded.errors),
		http_calls = reconciler._count(w.http_calls + excluded.http_calls), bytes_sent = reconciler._count(w.bytes_sent + excluded.bytes_sent),
		bytes_received = reconciler._count(w.bytes_received + excluded.bytes_received),
		last_error = coalesce(excluded.last_error, w.last_error), last_error_at = coalesce(excluded.last_error_at, w.last_error_at),
		reported_at = excluded.reported_at,
		started_at = CASE WHEN excluded.pid IS DISTINCT FROM w.pid THEN excluded.started_at ELSE w.started_at END;
	PERFORM reconciler._report_network(report.worker_id, n.value)
	FROM (SELECT * FROM jsonb_array_elements(report.details -> 'networks') LIMIT 200) AS n;
END
$$;

COMMENT ON FUNCTION report(text, text, int, text, jsonb, boolean, jsonb) IS
'A worker tells its state, and what it did since its last report: counters (cycles, claimed, scanned, detected, confirmed, expired, skipped, errors, http_calls, bytes_sent, bytes_received); details: host, network (for which it waits), error, error_age_ms, and networks as _report_network takes them';

CREATE FUNCTION _stat_workers()
RETURNS SETOF workers
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT pg_is_in_recovery() THEN
		RETURN QUERY SELECT w.* FROM reconciler.workers AS w WHERE w.reported_at > clock_timestamp() - interval '5 minutes';
	END IF;
END
$$;

COMMENT ON FUNCTION _stat_workers() IS 'The workers that reported within five minutes; none on a standby';

CREATE VIEW stat_workers AS
SELECT coalesce(w.worker_id, l.worker_id) AS worker_id, coalesce(w.role, l.role) AS role, w.login,
	   coalesce(l.database, pg_catalog.current_database()) AS database, w.host, coalesce(l.pid, w.pid) AS pid,
	   coalesce(l.state, w.state) AS state, CASE WHEN l.worker_id IS NULL THEN w.network ELSE l.network END AS network,
	   coalesce(l.started_at, w.started_at) AS started_at, greatest(l.reported_at, w.reported_at) AS reported_at,
	   coalesce(w.cycles, l.cycles) AS cycles, coalesce(w.claimed, l.claimed) AS claimed, coalesce(w.scanned, l.scanned) AS scanned,
	   coalesce(w.detected, l.detected) AS detected, coalesce(w.confirmed, l.confirmed) AS confirmed,
	   coalesce(w.expired, l.expired) AS expired, coalesce(w.skipped, l.skipped) AS skipped, coalesce(w.errors, l.errors) AS errors,
	   w.http_calls, w.bytes_sent, w.bytes_received, w.last_error, w.last_error_at, w.stats_reset
FROM reconciler._stat_workers() w
FULL JOIN reconciler.stat_get_workers() l
	ON l.worker_id = w.worker_id AND l.role = w.role AND l.database = pg_catalog.current_database();

COMMENT ON VIEW stat_workers IS
'Workers: those that run in this server (of other databases, too: what they did since they started) and those of this database that reported within five minutes, with what they did since stats_reset';

CREATE FUNCTION _stat_endpoints()
RETURNS TABLE (network_id int, chain text, network text, endpoint text, "position" int, own boolean, state text,
	good_for text[], bad_for text[], resting_until timestamptz, error text, error_code text, error_at timestamptz,
	learned jsonb, calls bigint, errors bigint, errors_by_code jsonb, bytes_sent bigint, bytes_received bigint, latency bigint[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF pg_is_in_recovery() THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH reports AS (
		SELECT r.*, r.current AND w.reported_at > clock_timestamp() - interval '1 minute' AND w.state <> 'stopped' AND r.state <> 'unused' AS fresh
		FROM reconciler.endpoint_reports r
		LEFT JOIN reconciler.workers w ON w.worker_id = r.worker_id AND w.login = r.login
	), listed AS (
		SELECT n.network_id, u.position::int, reconciler._redact_url(u.url) AS endpoint, false AS own
		FROM reconciler.networks n CROSS JOIN unnest(n.endpoints) WITH ORDINALITY AS u (url, position)
		UNION
		SELECT r.network_id, r.position, r.endpoint, true FROM reports r WHERE r.own AND r.current
	)
	SELECT l.network_id, n.chain, n.network, l.endpoint, l.position, l.own,
		CASE WHEN count(*) FILTER (WHERE r.fresh) = 0 THEN 'unused'
			 WHEN count(DISTINCT r.state = 'good') FILTER (WHERE r.fresh) > 1 THEN 'mixed'
			 WHEN count(DISTINCT r.state) FILTER (WHERE r.fresh) > 1 THEN 'resting'
			 ELSE max(r.state) FILTER (WHERE r.fresh) END,
		array_agg(r.worker_id ORDER BY r.worker_id) FILTER (WHERE r.fresh AND r.state = 'good'),
		array_agg(r.worker_id ORDER BY r.worker_id) FILTER (WHERE r.fresh AND r.state <> 'good'),
		max(r.resting_until) FILTER (WHERE r.fresh AND r.state <> 'good'),
		(array_agg(r.error ORDER BY r.error_at DESC) FILTER (WHERE r.error IS NOT NULL))[1],
		(array_agg(r.error_code ORDER BY r.error_at DESC) FILTER (WHERE r.error IS NOT NULL))[1], max(r.error_at),
		(array_agg(r.learned ORDER BY r.worker_id) FILTER (WHERE r.fresh AND r.learned IS NOT NULL))[1],
		coalesce(sum(r.calls), 0)::bigint,
		coalesce((SELECT sum(c.value::bigint) FROM jsonb_each_text(reconciler._total(r.errors)) c), 0)::bigint,
		reconciler._total(r.errors), coalesce(sum(r.bytes_sent), 0)::bigint, coalesce(sum(r.bytes_received), 0)::bigint, reconciler._total(r.latency)
	FROM listed l
	JOIN reconciler.networks n ON n.network_id = l.network_id
	LEFT JOIN reports r ON r.network_id = l.network_id AND r.position = l.position AND r.endpoint = l.endpoint AND r.own = l.own
	GROUP BY l.network_id, n.chain, n.network, l.endpoint, l.position, l.own;
END
$$;

COMMENT ON FUNCTION _stat_endpoints() IS 'What workers report of the endpoints that are in use; no rows on a standby';

CREATE VIEW stat_endpoints AS
SELECT e.network_id, e.chain, e.network, e.endpoint, e."position", e.own, e.state, e.good_for, e.bad_for, e.resting_until,
	   e.error, e.error_code, e.error_at, e.learned, e.calls, e.errors, e.errors_by_code, e.bytes_sent, e.bytes_received,
	   reconciler._quantile(e.latency, 0.5) AS p50_ms, reconciler._quantile(e.latency, 0.99) AS p99_ms, e.latency AS latency_ms
FROM reconciler._stat_endpoints() e;

COMMENT ON VIEW stat_endpoints IS
'Endpoints without secrets: state (good, resting, refused, mixed: workers see it differently, unused: nobody has asked it lately), which workers can use it (good_for) and which can''t (bad_for), the last error, limits learned, HTTP calls, failures by code, and the histogram of the time that calls took (milliseconds: element k counts those below 2^(k-1), the 20th all others); own: endpoints that a daemon brings along';

CREATE FUNCTION _open_work()
RETURNS TABLE (network_id int, open bigint, invalid bigint, due bigint, overdue_since timestamptz, leases bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH held AS (
		SELECT b.network_id, b.lo, b.hi, false AS followed, b.lease_until, b.due_at, b.claimed_at FROM reconciler.batches AS b
		UNION ALL
		SELECT l.network_id, 0, 9223372036854775807, true, l.lease_until, l.due_at, l.claimed_at FROM reconciler.cursor_leases AS l
	), waiting AS (
		SELECT h.network_id, sum(c.n)::bigint AS due,
			   min(CASE WHEN isfinite(h.due_at) THEN h.due_at ELSE h.claimed_at END) FILTER (WHERE c.n > 0) AS since
		FROM held AS h
		CROSS JOIN LATERAL (SELECT count(*) AS n FROM reconciler.queue AS q
							WHERE q.network_id = h.network_id AND q.seq >= h.lo AND q.seq < h.hi AND q.followed = h.followed AND q.invalid IS NULL) AS c
		WHERE h.due_at <= clock_timestamp() AND (h.lease_until IS NULL OR h.lease_until <= clock_timestamp())
		GROUP BY h.network_id
	)
	SELECT n.network_id, coalesce(o.open, 0), coalesce(o.invalid, 0), coalesce(w.due, CASE WHEN NOT EXISTS (SELECT FROM held AS h WHERE h.network_id = n.network_id) THEN o.open - o.invalid END, 0), w.since,
		   (SELECT count(*) FROM held AS h WHERE h.network_id = n.network_id AND h.lease_until > clock_timestamp())
	FROM reconciler.networks AS n
	LEFT JOIN (SELECT q.network_id, count(*) AS open, count(q.invalid) AS invalid FROM reconciler.queue AS q GROUP BY q.network_id) AS o
		ON o.network_id = n.network_id
	LEFT JOIN waiting AS w ON w.network_id = n.network_id
$$;

COMMENT ON FUNCTION _open_work() IS
'What is open on each network, what of it is due and nobody looks at, and since when (null: never looked at yet)';

CREATE FUNCTION _confirmed_latency(since interval)
RETURNS TABLE (network_id int, latency bigint[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.network_id, array_agg(c.n ORDER BY c.i)
	FROM (SELECT d.network_id, g.i, count(*) FILTER (WHERE d.bucket = g.i) AS n
		  FROM (SELECT t.network_id, reconciler._bucket(greatest(extract(epoch FROM t.at - coalesce(f.block_time, t.tip_time)) * 1000, 0)) AS bucket
				FROM reconciler.transitions AS t
				-- Of a chain that is followed: the block that made the depth of the last payment
				LEFT JOIN LATERAL (
					SELECT r.block_time FROM reconciler.cursor_blocks AS r, reconciler.networks AS n
					WHERE n.network_id = t.network_id AND r.network_id = t.network_id AND r.height = n.confirmations - 1 + (
						SELECT max(p.block_height) FROM reconciler.payments AS p
						WHERE p.source_id = t.source_id AND p.request_id = t.request_id AND p.gone_at IS NULL)) AS f ON true
				WHERE t.at > clock_timestamp() - since AND t.reason = 'settled' AND t.tip_time IS NOT NULL) AS d
			CROSS JOIN generate_series(1, 20) AS g (i)
		  GROUP BY d.network_id, g.i) AS c
	GROUP BY c.network_id
$$;

COMMENT ON FUNCTION _confirmed_latency(interval) IS
'Histograms of the time from the block that made a payment deep enough (where that isn''t known: from the newest block seen) to the status confirmed';

CREATE FUNCTION _stat_networks()
RETURNS TABLE (network_id int, chain text, network text, kind text, enabled boolean, mode text, open bigint, invalid bigint, due bigint,
	overdue_since timestamptz, leases bigint, workers text[], tip_height bigint, tip_hash text, tip_time timestamptz, cursor_height bigint,
	best_height bigint, observed_at timestamptz, failures int, doubts bigint, error text, error_at timestamptz,
	scanned bigint, blocks bigint, transactions bigint, payments bigint, scanned_rate double precision, blocks_rate double precision, latency bigint[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF pg_is_in_recovery() THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT n.network_id, n.chain, n.network, n.kind, n.enabled,
		CASE WHEN EXISTS (SELECT FROM reconciler.cursor_leases k WHERE k.network_id = n.network_id)
			 THEN CASE WHEN EXISTS (SELECT FROM reconciler.batches b WHERE b.network_id = n.network_id) THEN 'both' ELSE 'followed' END
			 WHEN n.network_id <> 0 THEN 'asked' END,
		w.open, w.invalid, w.due, w.overdue_since, w.leases, r.workers, s.tip_height, s.tip_hash, s.tip_time, c.height,
		greatest(s.best_height, c.height), s.observed_at, coalesce(s.failures, 0), coalesce(s.doubts, 0), s.error, s.error_at,
		coalesce(r.scanned, 0)::bigint, coalesce(r.blocks, 0)::bigint, coalesce(r.transactions, 0)::bigint, coalesce(r.payments, 0)::bigint,
		coalesce(r.scanned_rate, 0), coalesce(r.blocks_rate, 0), l.latency
	FROM reconciler.networks n
	JOIN reconciler._open_work() w ON w.network_id = n.network_id
	LEFT JOIN reconciler.network_state s ON s.network_id = n.network_id
	LEFT JOIN reconciler.cursors c ON c.network_id = n.network_id
	LEFT JOIN reconciler._confirmed_latency('1 hour') l ON l.network_id = n.network_id
	LEFT JOIN (
		SELECT x.network_id, sum(x.scanned) AS scanned, sum(x.blocks) AS blocks, sum(x.transactions) AS transactions, sum(x.payments) AS payments,
			   sum(x.scanned_rate * d.decay) AS scanned_rate, sum(x.blocks_rate * d.decay) AS blocks_rate,
			   array_agg(x.worker_id ORDER BY x.worker_id) FILTER (WHERE k.state <> 'stopped' AND k.reported_at > clock_timestamp() - interval '1 minute') AS workers
		FROM reconciler.network_reports x
		CROSS JOIN LATERAL (SELECT exp(-least(extract(epoch FROM clock_timestamp() - x.rated_at)::double precision, 6000) / 60)) d (decay)
		LEFT JOIN reconciler.workers k ON k.worker_id = x.worker_id AND k.login = x.login
		GROUP BY x.network_id) r ON r.network_id = n.network_id
	WHERE n.network_id <> 0 OR w.open > 0;
END
$$;

COMMENT ON FUNCTION _stat_networks() IS 'What is known of the networks; no rows on a standby';

CREATE VIEW stat_networks AS
SELECT n.network_id, n.chain, n.network, n.kind, n.enabled, n.mode, n.open AS open_requests, n.invalid AS invalid_requests, n.due AS due_requests,
	   n.overdue_since, n.leases, n.workers, n.tip_height, n.tip_hash, n.tip_time, pg_catalog.clock_timestamp() - n.tip_time AS tip_age,
	   n.cursor_height, n.best_height - n.cursor_height AS lag_blocks, n.observed_at, n.failures, n.doubts, n.error, n.error_at,
	   n.scanned, pg_catalog.round(n.scanned_rate::numeric, 2) AS scanned_per_second, n.blocks, n.transactions, n.payments,
	   pg_catalog.round(n.blocks_rate::numeric, 2) AS blocks_per_second,
	   coalesce((SELECT pg_catalog.sum(u) FROM pg_catalog.unnest(n.latency) u), 0)::bigint AS confirmed_hour,
	   reconciler._quantile(n.latency, 0.5) AS confirmed_p50_ms, reconciler._quantile(n.latency, 0.99) AS confirmed_p99_ms,
	   n.latency AS confirmed_ms
FROM reconciler._stat_networks() n;

COMMENT ON VIEW stat_networks IS
'Networks: what is open and due (overdue_since: the longest wait among what is due and nobody looks at), how far the chain was read, the last error, rates of the last minute, and over the last hour how long it took from block to status confirmed (milliseconds; histogram as in stat_endpoints). mode: followed (block by block), asked (for each request), or both; network_id 0 is where requests of networks wait that are not registered';

-- transitions without amounts, which are the applications'
CREATE VIEW history AS
SELECT t.transition_id, t.at, t.source, t.request_id, t.from_status, t.to_status, t.reason, n.chain, n.network, t.block_height, t.worker_id
FROM reconciler.transitions t LEFT JOIN reconciler.networks n ON n.network_id = t.network_id;

COMMENT ON VIEW history IS 'What happened to requests, without amounts: for monitoring, also on a standby';

CREATE FUNCTION stat_reset()
RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM reconciler.workers WHERE reported_at < clock_timestamp() - interval '5 minutes';
	UPDATE reconciler.workers SET cycles = 0, claimed = 0, scanned = 0, detected = 0, confirmed = 0, expired = 0, skipped = 0, errors = 0,
		http_calls = 0, bytes_sent = 0, bytes_received = 0, last_error = NULL, last_error_at = NULL, stats_reset = clock_timestamp();
	DELETE FROM reconciler.endpoint_reports AS e
		WHERE NOT e.current OR NOT EXISTS (SELECT FROM reconciler.workers AS w WHERE w.worker_id = e.worker_id AND w.login = e.login);
	UPDATE reconciler.endpoint_reports SET calls = 0, bytes_sent = 0, bytes_received = 0, errors = '{}', latency = '{}',
		error = CASE WHEN state <> 'good' THEN error END, error_code = CASE WHEN state <> 'good' THEN error_code END,
		error_at = CASE WHEN state <> 'good' THEN error_at END;
	DELETE FROM reconciler.network_reports;
$$;

COMMENT ON FUNCTION stat_reset() IS
'For administrators: counters, histograms and last errors of workers, networks and endpoints begin anew. What is true now (states, tips, leases) stays';
