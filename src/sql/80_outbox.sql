-- Events: what happened to requests, for those who must not miss any of it.
--
-- An event is written in the transaction that makes it true. Numbers are given
-- out before transactions commit, so who reads "event_id above the last one"
-- loses what commits late. Hence xid: a reader takes a snapshot, and gets what
-- that one sees and the one before didn't.

CREATE FUNCTION _cluster() RETURNS int
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'reconciler_cluster';

COMMENT ON FUNCTION _cluster() IS
'Tells servers apart: transaction ids that a dump brought along are those of another one, and say nothing of what this one has committed';

CREATE TABLE events (
	xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	cluster int NOT NULL DEFAULT _cluster(),	-- whose transaction xid is
	source_id int,				-- source is its name at that time
	kind text NOT NULL,
	source text,
	request_id text,
	payload jsonb NOT NULL
);
CREATE INDEX events_xid ON events (xid);

CREATE FUNCTION _event(kind text, source_id int, request_id text, payload jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO reconciler.events (kind, source_id, source, request_id, payload)
	VALUES ($1, $2, (SELECT s.relation::text FROM reconciler.sources AS s WHERE s.source_id = $2), $3, $4)
$$;

-- Inlined, hence the operators' schema.
CREATE FUNCTION _transition_payload(t transitions) RETURNS jsonb
LANGUAGE sql STABLE AS $$
	SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('from', t.from_status, 'to', t.to_status, 'reason', t.reason,
		'seen', t.seen::pg_catalog.text, 'settled', t.settled::pg_catalog.text, 'block_height', t.block_height, 'block_hash', t.block_hash))
$$;

COMMENT ON FUNCTION _transition_payload(transitions) IS 'What the event of a status change says';
COMMENT ON TABLE events IS
'What happened to requests and payments, one row each, written in the transaction that made it true: request.detected, request.confirmed, request.expired, request.pending (a payment has gone), request.reopened, payment.*, confirmation.undone. Amounts in payload are texts of minor units. To read it without missing any: create_consumer, read_events, ack_events';
COMMENT ON FUNCTION _event(text, int, text, jsonb) IS 'Writes one event';

-- Consumers: readers of events, and how far each has come.
--
-- What a reader has not read yet is what the snapshot "reading" sees and the
-- snapshot "seen" doesn't, in the order of the events' numbers. An event that
-- follows from another one has a higher number, and was written after the
-- other's transaction had committed. So it is never handed out before it; by
-- transaction ids it would be, as a transaction that started earlier may act later.
CREATE TYPE _place AS (
	cluster int,
	seen pg_snapshot,			-- everything that it sees has been read
	reading pg_snapshot,		-- what is being read; null: nothing
	first_id bigint,			-- the first event in it of a transaction that seen knows nothing of
	last_id bigint,				-- the last of all
	acked bigint				-- up to which it has been read
);

CREATE TABLE event_consumers (
	name text PRIMARY KEY,
	role text NOT NULL,			-- whose tables' events it gets
	place _place NOT NULL,
	reader text,				-- who has them under lease
	lease_until timestamptz,
	handed bigint,				-- the last event that was handed out
	missed bigint NOT NULL DEFAULT 0,	-- events that were deleted before they were acknowledged
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	read_at timestamptz,
	acked_at timestamptz
) WITH (fillfactor = 40);

-- The session's own transaction counts as not committed, as it is to others.
CREATE FUNCTION _snapshot() RETURNS pg_snapshot
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN x.own < pg_snapshot_xmax(x.s)
		THEN format('%s:%s:%s', least(pg_snapshot_xmin(x.s), x.own), pg_snapshot_xmax(x.s),
			(SELECT string_agg(i.xid::text, ',' ORDER BY i.xid) FROM (SELECT pg_snapshot_xip(x.s) UNION SELECT x.own) AS i (xid)))::pg_snapshot
		ELSE x.s END
	FROM (SELECT pg_current_snapshot(), pg_current_xact_id_if_assigned()) AS x (s, own)
$$;

COMMENT ON FUNCTION _snapshot() IS 'Which transactions have committed, as far as all sessions can see';

-- For a server whose transactions aren't running any more: all of them have ended.
CREATE FUNCTION _snapshot_of(cluster int) RETURNS pg_snapshot
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN $1 = reconciler._cluster() THEN reconciler._snapshot()
		ELSE pg_snapshot '9223372036854775807:9223372036854775807:' END
$$;

CREATE FUNCTION _next_cluster(p _place) RETURNS _place
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	p.cluster := coalesce(
		(SELECT e.cluster FROM reconciler.events AS e
		 WHERE e.cluster <> p.cluster
			AND e.event_id > coalesce((SELECT max(l.event_id + 0) FROM reconciler.events AS l WHERE l.cluster = p.cluster), p.last_id, 0)
		 ORDER BY e.event_id LIMIT 1), reconciler._cluster());
	p.seen := '3:3:';
	RETURN p;
END $$;

COMMENT ON FUNCTION _snapshot_of(int) IS 'Which transactions of a server have committed';
COMMENT ON FUNCTION _next_cluster(_place) IS
'A place behind all events of a server from which they were restored: at the first of the next one, or of this one';

-- "+ 0": found by transaction, and not by walking along the numbers.
CREATE FUNCTION _open_window(p _place) RETURNS _place
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
	late record;
BEGIN
	LOOP
		p.reading := reconciler._snapshot_of(p.cluster);
		IF pg_snapshot_xmax(p.seen) > pg_snapshot_xmax(p.reading) AND current_setting('transaction_isolation') = 'read committed' THEN
			RAISE EXCEPTION 'events were read by transactions that this server has not had yet' USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Was it set back in time, and then given newer data? SELECT reconciler.restart_consumer(…, start => ''beginning'');';
		END IF;
		SELECT min(e.event_id + 0), max(e.event_id + 0) INTO p.first_id, p.last_id FROM reconciler.events AS e
			WHERE e.xid >= pg_snapshot_xmax(p.seen) AND e.xid < pg_snapshot_xmax(p.reading)
				AND e.cluster = p.cluster AND pg_visible_in_snapshot(e.xid, p.reading);
		SELECT min(e.event_id + 0) AS first_id, max(e.event_id + 0) AS last_id INTO late FROM reconciler.events AS e
			WHERE e.xid = ANY (ARRAY(SELECT pg_snapshot_xip(p.seen)))
				AND e.cluster = p.cluster AND pg_visible_in_snapshot(e.xid, p.reading);
		p.acked := least(p.first_id, late.first_id) - 1;
		p.last_id := greatest(p.last_id, late.last_id);
		EXIT WHEN p.acked IS NOT NULL;
		IF p.cluster = reconciler._cluster() THEN
			p.reading := NULL;
			EXIT;
		END IF;
		p := reconciler._next_cluster(p);
	END LOOP;
	RETURN p;
END $$;

COMMENT ON FUNCTION _open_window(_place) IS
'The place with what has been committed since it was seen as the next to be read; reading is null where there is nothing';

CREATE FUNCTION _unread(p _place, most int, sources int[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
	RETURN ARRAY(
		-- Of transactions that seen knew as running; the others, along the numbers
		(SELECT e.event_id FROM reconciler.events AS e
		 WHERE e.xid = ANY (ARRAY(SELECT pg_snapshot_xip(p.seen))) AND e.event_id + 0 > p.acked
			AND (p.first_id IS NULL OR e.event_id + 0 < p.first_id)
			AND e.cluster = p.cluster AND pg_visible_in_snapshot(e.xid, p.reading)
			AND (sources IS NULL OR e.source_id = ANY (sources))
		 ORDER BY e.event_id + 0 LIMIT most)
		UNION ALL
		(SELECT e.event_id FROM reconciler.events AS e
		 WHERE e.event_id > p.acked AND e.event_id >= p.first_id AND e.event_id <= p.last_id
			AND e.cluster = p.cluster AND pg_visible_in_snapshot(e.xid, p.reading) AND NOT pg_visible_in_snapshot(e.xid, p.seen)
			AND (sources IS NULL OR e.source_id = ANY (sources))
		 ORDER BY e.event_id LIMIT most)
		ORDER BY 1 LIMIT most);
END $$;

COMMENT ON FUNCTION _unread(_place, int, int[]) IS 'The next events of what is being read at a place, those of some sources only (null: of all)';

-- Inlined, hence the operators' schema.
CREATE FUNCTION _is_read(p _place, e events) RETURNS boolean
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN e.cluster OPERATOR(pg_catalog.<>) p.cluster THEN e.event_id OPERATOR(pg_catalog.<=) coalesce(p.last_id, 0)
		WHEN pg_catalog.pg_visible_in_snapshot(e.xid, p.seen) THEN true
		ELSE coalesce(e.event_id OPERATOR(pg_catalog.<=) p.acked AND pg_catalog.pg_visible_in_snapshot(e.xid, p.reading), false) END
$$;

COMMENT ON FUNCTION _is_read(_place, events) IS 'Does an event lie before a place?';

CREATE FUNCTION _place_of(start text) RETURNS _place
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	p reconciler._place;
BEGIN
	IF start IS NULL OR start NOT IN ('now', 'beginning') THEN
		PERFORM reconciler._refuse(format('start "%s" is not known', start), 'Use now, or beginning: the oldest event that is still there.');
	END IF;
	p.cluster := reconciler._cluster();
	IF start = 'now' THEN
		p.seen := reconciler._snapshot();
		p.last_id := (SELECT max(e.event_id) FROM reconciler.events AS e);
	ELSE
		p.cluster := coalesce((SELECT e.cluster FROM reconciler.events AS e ORDER BY e.event_id LIMIT 1), p.cluster);
		p.seen := '3:3:';
	END IF;
	RETURN p;
END $$;

COMMENT ON FUNCTION _place_of(text) IS 'The place before the first event, or behind all that have been committed';

-- Row-level security would show some of the table's requests, and events don't know which.
CREATE FUNCTION _readable_sources(role text) RETURNS int[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN pg_has_role(r.oid, (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'reconciler'), 'USAGE') THEN NULL
		ELSE ARRAY(SELECT s.source_id
			FROM (SELECT a.source_id, a.relation FROM reconciler.sources AS a
				  UNION SELECT f.source_id, f.relation FROM reconciler.former_sources AS f) AS s
				JOIN pg_class AS c ON c.oid = s.relation
			WHERE has_table_privilege(r.oid, c.oid, 'SELECT') AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
				AND (NOT c.relrowsecurity OR r.rolbypassrls
					 OR (NOT c.relforcerowsecurity AND pg_has_role(r.oid, c.relowner, 'USAGE')))) END
	FROM pg_roles AS r WHERE r.rolname = $1
	UNION ALL
	SELECT '{}' WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = $1)
$$;

COMMENT ON FUNCTION _readable_sources(text) IS
'The tables all of whose requests a role may read, and so their events; null: all. None where row-level security restricts it, and none of a role that is gone';

-- The caller must be able to act as the consumer's role.
CREATE FUNCTION _check_consumer(name text, role text, caller text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = caller)
		OR (SELECT pg_has_role(caller, r.oid, 'USAGE') FROM pg_roles AS r WHERE r.rolname = role) THEN
		RETURN;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'undefined_object',
		MESSAGE = format('there is no consumer "%s", or it is another role''s', name),
		HINT = 'SELECT * FROM reconciler.consumers shows yours; SELECT reconciler.create_consumer(…) makes one.';
END $$;

COMMENT ON FUNCTION _check_consumer(text, text, text) IS 'Refuses a caller who may not act as the role of a consumer';

CREATE FUNCTION _lock_consumer(name text, caller text) RETURNS event_consumers
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c reconciler.event_consumers;
BEGIN
	SELECT * INTO c FROM reconciler.event_consumers AS x WHERE x.name = _lock_consumer.name;
	PERFORM reconciler._check_consumer(name, c.role, caller);
	SELECT * INTO c FROM reconciler.event_consumers AS x WHERE x.name = _lock_consumer.name FOR UPDATE;
	RETURN c;
END $$;

COMMENT ON FUNCTION _lock_consumer(text, text) IS 'A consumer of the caller''s, locked';

CREATE FUNCTION _create_consumer(name text, start text, caller text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF name IS NULL OR NOT reconciler._is_name(name) THEN
		PERFORM reconciler._refuse('a consumer''s name must have 1 to 100 characters, none of them invisible',
			'Name it after what it does: ''shipping''.');
	END IF;
	IF (SELECT count(*) FROM reconciler.event_consumers AS c WHERE c.role = caller) >= 100 THEN
		RAISE EXCEPTION 'role % has 100 consumers already', caller USING ERRCODE = 'program_limit_exceeded',
			HINT = 'SELECT reconciler.drop_consumer(…) for those that nobody reads.';
	END IF;
	INSERT INTO reconciler.event_consumers AS c (name, role, place)
		VALUES (name, caller, reconciler._place_of(start)) ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('consumer "%s" exists already', name),
			HINT = 'SELECT reconciler.restart_consumer(…) sets it to another place.';
	END IF;
END $$;

CREATE FUNCTION _restart_consumer(name text, start text, caller text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c reconciler.event_consumers := reconciler._lock_consumer(name, caller);
BEGIN
	UPDATE reconciler.event_consumers AS x
		SET place = reconciler._place_of(start), reader = NULL, lease_until = NULL, handed = NULL, missed = 0
		WHERE x.name = c.name;
END $$;

CREATE FUNCTION _drop_consumer(name text, caller text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c reconciler.event_consumers := reconciler._lock_consumer(name, caller);
BEGIN
	DELETE FROM reconciler.event_consumers AS x WHERE x.name = c.name;
END $$;

COMMENT ON FUNCTION _create_consumer(text, text, text) IS 'The part of create_consumer that needs the extension owner''s rights';
COMMENT ON FUNCTION _restart_consumer(text, text, text) IS 'The part of restart_consumer that needs the extension owner''s rights';
COMMENT ON FUNCTION _drop_consumer(text, text) IS 'The part of drop_consumer that needs the extension owner''s rights';

CREATE FUNCTION _check_read(most int, lease interval, reader text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF most IS NULL OR most NOT BETWEEN 1 AND 10000 THEN
		PERFORM reconciler._refuse('max must be between 1 and 10000', 'Ask for as many as are handled within the lease.');
	END IF;
	IF lease IS NULL OR lease <= interval '0' OR lease > interval '1 hour' THEN
		PERFORM reconciler._refuse('lease must be above 0 and at most 1 hour', 'Give the time that handling the events takes at most.');
	END IF;
	IF NOT reconciler._is_name(reader) THEN
		PERFORM reconciler._refuse('reader must have 1 to 100 characters, none of them invisible', 'Leave it out, or give each process a name of its own.');
	END IF;
END $$;

COMMENT ON FUNCTION _check_read(int, interval, text) IS 'Refuses what no reader of events should ask for';

-- The next events, and the place as it is then. An empty window is passed once:
-- what came meanwhile is the next call's.
CREATE FUNCTION _next_unread(p _place, most int, sources int[], OUT place _place, OUT ids bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	place := p;
	FOR i IN 1 .. 2 LOOP
		IF (place).reading IS NULL THEN
			p := reconciler._open_window(place);
			IF (p).reading IS NULL THEN
				ids := '{}';
				-- Nothing to write down, unless it left a former server's events.
				IF (p).cluster <> (place).cluster THEN
					place := p;
				END IF;
				RETURN;
			END IF;
			place := p;
		END IF;
		ids := reconciler._unread(place, most, sources);
		EXIT WHEN cardinality(ids) > 0;
		place.seen := (place).reading;
		place.reading := NULL;
	END LOOP;
END $$;

COMMENT ON FUNCTION _next_unread(_place, int, int[]) IS 'The next events behind a place, and the place with what is being read';

CREATE FUNCTION _read_events(consumer text, most int, lease interval, reader text, caller text)
RETURNS TABLE (event_id bigint, kind text, source text, request_id text, payload jsonb, at timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	c reconciler.event_consumers;
	n record;
BEGIN
	PERFORM reconciler._check_read(most, lease, reader);
	SELECT * INTO c FROM reconciler.event_consumers AS x WHERE x.name = consumer;
	PERFORM reconciler._check_consumer(consumer, c.role, caller);
	IF c.missed > 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('consumer "%s" has missed %s events: they grew older than reconciler.event_retention_limit before it acknowledged them', consumer, c.missed),
			HINT = format('Compare your records with the tables, then: SELECT reconciler.restart_consumer(%L, start => ''beginning'');', consumer);
	END IF;
	SELECT * INTO c FROM reconciler.event_consumers AS x WHERE x.name = consumer FOR UPDATE SKIP LOCKED;
	IF NOT FOUND OR (c.lease_until > clock_timestamp() AND c.reader <> reader) THEN
		RETURN;
	END IF;
	n := reconciler._next_unread(c.place, most, reconciler._readable_sources(c.role));
	IF cardinality(n.ids) > 0 THEN
		UPDATE reconciler.event_consumers AS x
			SET place = n.place, reader = _read_events.reader, lease_until = clock_timestamp() + lease,
				handed = n.ids[cardinality(n.ids)], read_at = clock_timestamp()
			WHERE x.name = consumer;
	ELSIF n.place::text IS DISTINCT FROM c.place::text THEN
		UPDATE reconciler.event_consumers AS x SET place = n.place, reader = NULL, lease_until = NULL, handed = NULL WHERE x.name = consumer;
	END IF;
	RETURN QUERY SELECT e.event_id, e.kind, e.source, e.request_id, e.payload, e.at
		FROM reconciler.events AS e WHERE e.event_id = ANY (n.ids) ORDER BY e.event_id;
END $$;

COMMENT ON FUNCTION _read_events(text, int, interval, text, text) IS 'The part of read_events that needs the extension owner''s rights';

CREATE FUNCTION _has_events(consumer text, reader text, caller text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c reconciler.event_consumers;
	n record;
BEGIN
	SELECT * INTO c FROM reconciler.event_consumers AS x WHERE x.name = consumer;
	PERFORM reconciler._check_consumer(consumer, c.role, caller);
	IF c.missed > 0 THEN
		RETURN true;		-- read_events says so
	ELSIF c.lease_until > clock_timestamp() AND c.reader <> reader THEN
		RETURN false;
	END IF;
	n := reconciler._next_unread(c.place, 1, reconciler._readable_sources(c.role));
	RETURN cardinality(n.ids) > 0;
END $$;

COMMENT ON FUNCTION _has_events(text, text, text) IS 'Would read_events return anything to that reader?';

-- An event that was read in an earlier turn is acknowledged already: its number
-- says nothing of the events that are being read.
CREATE FUNCTION _ack_events(consumer text, event_id bigint, caller text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c reconciler.event_consumers := reconciler._lock_consumer(consumer, caller);
	e reconciler.events;
BEGIN
	SELECT * INTO e FROM reconciler.events AS x WHERE x.event_id = _ack_events.event_id;
	IF e.event_id IS NULL OR (NOT reconciler._is_read(c.place, e) AND
			NOT coalesce(e.event_id <= c.handed AND e.cluster = (c.place).cluster AND pg_visible_in_snapshot(e.xid, (c.place).reading), false)) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('event %s was not handed out to consumer "%s"', coalesce(event_id::text, 'null'), consumer),
			HINT = 'Acknowledge the last event of those that read_events returned and that you have dealt with.';
	END IF;
	IF reconciler._is_read(c.place, e) THEN
		RETURN false;
	END IF;
	c.place.acked := event_id;
	UPDATE reconciler.event_consumers AS x
		SET place = c.place, acked_at = clock_timestamp(),
			reader = CASE WHEN event_id < c.handed THEN c.reader END, lease_until = CASE WHEN event_id < c.handed THEN c.lease_until END
		WHERE x.name = consumer;
	RETURN true;
END $$;

COMMENT ON FUNCTION _ack_events(text, bigint, text) IS 'The part of ack_events that needs the extension owner''s rights';

-- With the caller's rights: on tables, and on roles.
CREATE FUNCTION create_consumer(name text, start text DEFAULT 'now') RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_create_consumer';

CREATE FUNCTION restart_consumer(name text, start text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_restart_consumer';

CREATE FUNCTION drop_consumer(name text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_drop_consumer';

CREATE FUNCTION read_events(consumer text, max int DEFAULT 100, lease interval DEFAULT '30 seconds', reader text DEFAULT NULL)
RETURNS TABLE (event_id bigint, kind text, source text, request_id text, payload jsonb, at timestamptz)
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_read_events';

-- Polls; between two looks it has neither a snapshot nor a transaction that has done anything.
CREATE PROCEDURE wait_for_events(consumer text, timeout interval DEFAULT '30 seconds', reader text DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_wait_for_events';

CREATE FUNCTION ack_events(consumer text, event_id bigint) RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_ack_events';

COMMENT ON TABLE event_consumers IS 'The consumers of events, and how far each has come; see the view consumers';
COMMENT ON FUNCTION create_consumer(text, text) IS
'Makes a consumer of events, which belongs to the caller''s role: it gets those of tables on which that role has SELECT, from now or from the oldest event (beginning) on';
COMMENT ON FUNCTION restart_consumer(text, text) IS 'Sets a consumer to now, or to the beginning, whatever it has acknowledged';
COMMENT ON FUNCTION drop_consumer(text) IS 'Forgets a consumer: events are no longer kept for it';
COMMENT ON FUNCTION read_events(text, int, interval, text) IS
'The next events that a consumer has not acknowledged, in an order in which cause comes before effect; those of committed transactions only. They are the caller''s for the time of the lease, in which no other reader (a name; default: this session) gets any. Read again, what was not acknowledged comes again';
COMMENT ON PROCEDURE wait_for_events(text, interval, text) IS
'Returns when a consumer has events to read, or the time is over. Not inside a transaction: while it waits, it keeps nothing from being vacuumed';
COMMENT ON FUNCTION ack_events(text, bigint) IS
'Acknowledges an event that was read, and all before it; false: it was acknowledged already';

-- Who may act as a consumer's role sees it, and monitoring does.
CREATE VIEW consumers AS
SELECT c.name, c.role, u.unread, u.oldest_unread_at, c.missed, c.reader,
	   CASE WHEN c.lease_until > pg_catalog.clock_timestamp() THEN c.lease_until END AS lease_until, c.created_at, c.read_at, c.acked_at
FROM reconciler.event_consumers AS c
CROSS JOIN LATERAL (
	SELECT pg_catalog.count(*) AS unread, pg_catalog.min(x.at) AS oldest_unread_at
	FROM (SELECT e.at FROM reconciler.events AS e
		  WHERE e.xid >= pg_catalog.pg_snapshot_xmin((c.place).seen) AND NOT pg_catalog.pg_visible_in_snapshot(e.xid, (c.place).seen)
			AND e.cluster = (c.place).cluster
			AND NOT coalesce(e.event_id <= (c.place).acked AND pg_catalog.pg_visible_in_snapshot(e.xid, (c.place).reading), false)
		  UNION ALL
		  SELECT e.at FROM reconciler.events AS e
		  WHERE e.event_id > coalesce((c.place).last_id, 0) AND e.cluster <> (c.place).cluster) AS x) AS u
WHERE pg_catalog.pg_has_role('pg_monitor', 'USAGE')
   OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = c.role AND pg_catalog.pg_has_role(r.oid, 'USAGE'));

COMMENT ON VIEW consumers IS
'The consumers of events that the caller''s role may act for: how many events (of any table) each has not acknowledged, since when, and who holds a lease. missed: deleted before it acknowledged them';

-- What no consumer needs any more goes after event_retention; what one has not
-- acknowledged after event_retention_limit, and it is told.
CREATE FUNCTION _retirable(most int) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
	old timestamptz := clock_timestamp() - reconciler._setting_interval('event_retention');
	too_old timestamptz := clock_timestamp() - reconciler._setting_interval('event_retention_limit');
BEGIN
	RETURN ARRAY(
		SELECT (o.e).event_id
		FROM (SELECT e FROM reconciler.events AS e ORDER BY e.event_id LIMIT most) AS o
		WHERE (o.e).at < too_old
			OR ((o.e).at < old AND NOT EXISTS (SELECT FROM reconciler.event_consumers AS c WHERE NOT reconciler._is_read(c.place, o.e))
				AND NOT EXISTS (SELECT FROM reconciler.webhook_place AS w WHERE NOT reconciler._is_read(w.place, o.e))));
END $$;

COMMENT ON FUNCTION _retirable(int) IS 'Those of the oldest events that need not be kept any longer';

CREATE FUNCTION retire_events(worker_id text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
	most int := 5000;
	retired bigint[];
	c record;
BEGIN
	PERFORM reconciler._check_worker(worker_id);
	IF NOT reconciler._lock_upkeep() THEN
		RETURN false;
	END IF;
	retired := reconciler._retirable(most);
	FOR c IN
		SELECT x.name, count(*) AS missed
		FROM reconciler.event_consumers AS x CROSS JOIN LATERAL (SELECT reconciler._readable_sources(x.role)) AS s (sources)
			JOIN reconciler.events AS e ON e.event_id = ANY (retired)
				AND (s.sources IS NULL OR e.source_id = ANY (s.sources)) AND NOT reconciler._is_read(x.place, e)
		GROUP BY x.name
	LOOP
		UPDATE reconciler.event_consumers AS x SET missed = x.missed + c.missed WHERE x.name = c.name;
		RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s events were deleted that consumer %s has not acknowledged', c.missed, reconciler._log_value(c.name)),
			HINT = 'Is it still read? reconciler.event_retention_limit says how long events wait for it.';
	END LOOP;
	DELETE FROM reconciler.events AS e WHERE e.event_id = ANY (retired);
	RETURN reconciler._retire_deliveries(most) OR cardinality(retired) = most;
END $$;

COMMENT ON FUNCTION retire_events(text) IS
'Called by each worker about once a minute: deletes the oldest events and dead letters that need not be kept, a few thousand a call. True: there may be more';
