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
