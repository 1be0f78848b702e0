-- Sources: the application's tables, their triggers, and the way from their
-- rows to the queue. Superusers' rights never meet code of the application's:
-- its tables are read and written by the C functions below, as the tables' owners.

-- On the application's tables. Arguments: source_id, then the columns id,
-- status, chain, network, address_canonical, token_contract,
-- expected_amount_minor, expires_at ('': none, '=value': constant).
CREATE FUNCTION queue_request() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_queue_request';

-- All open requests of a source in order of arrival, by the calling statement's snapshot.
CREATE FUNCTION _open_requests(source_id int)
RETURNS TABLE (arrival bigint, request_id text, status text, chain text, network text, address text,
	token_contract text, expected numeric, expires_at timestamptz, invalid text)
LANGUAGE c STRICT ROWS 100000 AS 'MODULE_PATHNAME', 'reconciler_open_requests';

-- The requests that are there, in whatever status.
CREATE FUNCTION _status_of(source_id int, ids text[]) RETURNS TABLE (request_id text, status text)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reconciler_status_of';

-- The columns that a source can have. needed: there is no doing without it.
CREATE FUNCTION _column_rules() RETURNS TABLE (pos int, name text, needed boolean, constant boolean, types text[])
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	VALUES
	(1, 'id', true, false, ARRAY['text', 'character varying', 'uuid', 'bigint', 'integer', 'smallint']),
	(2, 'status', true, false, ARRAY['text', 'character varying', 'enum']),
	(3, 'chain', true, true, ARRAY['text', 'character varying', 'enum']),
	(4, 'network', true, true, ARRAY['text', 'character varying', 'enum']),
	(5, 'address_canonical', true, false, ARRAY['text', 'character varying']),
	(6, 'token_contract', false, false, ARRAY['text', 'character varying']),
	(7, 'expected_amount_minor', true, false, ARRAY['numeric', 'bigint', 'integer', 'smallint', 'text', 'character varying']),
	(8, 'expires_at', false, false, ARRAY['timestamp with time zone']),
	(9, 'created_at', false, false, ARRAY['timestamp with time zone', 'timestamp without time zone']),
	(10, 'asset', false, true, ARRAY['text', 'character varying', 'enum']),
	(11, 'updated_at', false, false, ARRAY['timestamp with time zone', 'timestamp without time zone'])
$$;

-- A column's type under its domains; null: no such column.
CREATE FUNCTION _base_type(relation regclass, column_name text) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE base AS (
		SELECT t.oid, t.typtype, t.typbasetype FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
		WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT t.oid, t.typtype, t.typbasetype FROM base AS b JOIN pg_type AS t ON t.oid = b.typbasetype
		WHERE b.typtype = 'd'
	)
	SELECT b.oid FROM base AS b WHERE b.typtype <> 'd'
$$;

-- Its name, "enum" for enums.
CREATE FUNCTION _column_type(relation regclass, column_name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE t.typtype WHEN 'e' THEN 'enum' ELSE format_type(t.oid, NULL) END
	FROM pg_type AS t WHERE t.oid = reconciler._base_type($1, $2)
$$;

-- The declared scale of a numeric column, or of the domain that it has; null: none.
CREATE FUNCTION _column_scale(relation regclass, column_name text) RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE base AS (
		SELECT t.oid, t.typbasetype, t.typtypmod, a.atttypmod AS typmod
		FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
		WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT t.oid, t.typbasetype, t.typtypmod, b.typtypmod FROM base AS b JOIN pg_type AS t ON t.oid = b.typbasetype
	)
	-- 11 bits, signed (numeric_typmod_scale)
	SELECT (((b.typmod - 4) & 2047) # 1024) - 1024 FROM base AS b WHERE b.oid = 'numeric'::regtype AND b.typmod >= 4
$$;

-- What is wrong with a mapping of logical names to columns, one line a problem.
CREATE FUNCTION _mapping_problems(relation regclass, columns jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.problem
	FROM reconciler._column_rules() AS r
		CROSS JOIN LATERAL (SELECT $2 ->> r.name AS mapped) AS m
		CROSS JOIN LATERAL (SELECT reconciler._column_type($1, m.mapped) AS type) AS t
		CROSS JOIN LATERAL (SELECT CASE
			WHEN m.mapped IS NULL THEN CASE WHEN r.needed THEN
				format('%s: must be mapped to a column', r.name) END
			WHEN m.mapped LIKE '=%' THEN CASE WHEN NOT r.constant THEN
				format('%s: can''t be a constant', r.name) END
			WHEN t.type IS NULL THEN format('%s: there is no column "%s"', r.name, m.mapped)
			WHEN NOT t.type = ANY (r.types) THEN format('%s: column "%s" has type %s, accepted are %s',
				r.name, m.mapped, t.type, array_to_string(r.types, ', '))
			-- 2.00 would be 2 wei.
			WHEN r.name = 'expected_amount_minor' AND reconciler._column_scale($1, m.mapped) > 0 THEN
				format('%s: column "%s" has %s decimal places, but its numbers would be taken for minor units: give it a scale of 0, or map one that holds minor units, as numeric(78,0) does',
					r.name, m.mapped, reconciler._column_scale($1, m.mapped))
			END AS problem) AS p
	WHERE p.problem IS NOT NULL
	ORDER BY r.pos
$$;

-- What stands against having the table as a source apart from its columns.
CREATE FUNCTION _table_problems(relation regclass, columns jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH c AS (
		SELECT k.*, o.rolname, o.rolsuper OR o.rolbypassrls AS sees_all
		FROM pg_class AS k JOIN pg_roles AS o ON o.oid = k.relowner WHERE k.oid = $1
	)
	SELECT 'it is a partition: attach the partitioned table' FROM c WHERE c.relispartition
	UNION ALL
	SELECT 'it has inheritance children, whose rows would go unseen: attach them one by one'
		FROM c WHERE c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid)
	UNION ALL
	SELECT format('partition %s is a foreign table', t.relid)
		FROM c CROSS JOIN LATERAL pg_partition_tree(c.oid) AS t JOIN pg_class AS k ON k.oid = t.relid
		WHERE c.relkind = 'p' AND k.relkind = 'f'
	UNION ALL
	SELECT format('row-level security is forced on its owner %I: ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', c.rolname, $1)
		FROM c WHERE c.relforcerowsecurity AND NOT c.sees_all
	UNION ALL
	SELECT format('its owner %I has no USAGE on schema %s: GRANT USAGE ON SCHEMA %2$s TO %1$I', c.rolname, c.relnamespace::regnamespace)
		FROM c WHERE NOT has_schema_privilege(c.relowner, c.relnamespace, 'USAGE')
	UNION ALL
	SELECT format('its owner %I has no %s on it: GRANT %2$s ON %3$s TO %1$I', c.rolname, p.name, $1)
		FROM c CROSS JOIN (VALUES ('SELECT'), ('UPDATE')) AS p (name)
		WHERE NOT has_table_privilege(c.relowner, c.oid, p.name)
	UNION ALL
	SELECT format('column "%s" (id) must be NOT NULL and the key of a unique index: ALTER TABLE %s ADD PRIMARY KEY (%1$I)',
				  a.attname, $1)
		FROM c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2 ->> 'id'
		WHERE NOT a.attnotnull OR NOT EXISTS (
			SELECT FROM pg_index AS i
			WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
				AND i.indkey[0] = a.attnum AND (i.indnkeyatts = 1 OR c.relkind = 'p'))
	UNION ALL
	SELECT format('column "%s" (status) is generated', a.attname)
		FROM c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2 ->> 'status'
		WHERE a.attgenerated <> ''
	UNION ALL
	-- Never computed for triggers (PostgreSQL 18): an amount would read as null, which is any amount.
	SELECT format('column "%s" (%s) is a virtual generated column, which triggers can''t read: make it STORED', a.attname, r.name)
		FROM c CROSS JOIN reconciler._column_rules() AS r
			JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2 ->> r.name
		WHERE a.attgenerated = 'v'
	UNION ALL
	SELECT format('type %s of column "%s" (status) has no value ''%s'': ALTER TYPE %1$s ADD VALUE ''%3$s''',
				  format_type(a.atttypid, NULL), a.attname, s.name)
		FROM c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2 ->> 'status'
			JOIN pg_type AS t ON t.oid = a.atttypid
			CROSS JOIN (VALUES ('pending'), ('detected'), ('confirmed'), ('expired')) AS s (name)
		WHERE reconciler._column_type(c.oid, a.attname) = 'enum'
			AND NOT EXISTS (SELECT FROM pg_enum AS e WHERE e.enumlabel = s.name
							AND e.enumtypid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END)
$$;

-- A call of attach that could work, for hints.
CREATE FUNCTION _attach_advice(relation regclass, columns jsonb, problems text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(
		'Name the columns: SELECT reconciler.attach(' || quote_literal($1::text) || ', columns => '
			|| quote_literal((coalesce($2, '{}') || w.wrong)::text) || ');',
		'Put it right, then: SELECT reconciler.attach(' || quote_literal($1::text) || ');')
	FROM (SELECT jsonb_object_agg(r.name, '<column>' ORDER BY r.pos) AS wrong
		  FROM reconciler._column_rules() AS r
		  WHERE EXISTS (SELECT FROM unnest($3) AS p WHERE p LIKE r.name || ': %')) AS w
$$;

CREATE FUNCTION _refuse_attach(relation regclass, columns jsonb, problems text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
		MESSAGE = format('table %s can''t be attached: %s', relation, problems[1]),
		DETAIL = CASE WHEN cardinality(problems) = 1 THEN 'Nothing else is wrong with it.'
					  ELSE array_to_string(problems[2:], E'\n') END,
		HINT = reconciler._attach_advice(relation, columns, problems);
END $$;

-- A superuser's table makes superusers of all who may put a trigger on it, or
-- change a function that one calls: workers run them with the owner's rights.
CREATE FUNCTION _refuse_superuser(relation regclass, owner name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
		MESSAGE = format('table %s belongs to %I, a superuser', relation, owner),
		DETAIL = 'Its triggers run with the owner''s rights when a worker changes a status: whoever may create one would be superuser.',
		HINT = format('ALTER TABLE %s OWNER TO <the application''s role>; or, if only superusers can have a say in its triggers: SELECT reconciler.attach(%L, allow_superuser_owner => true);',
			relation, relation::text);
END $$;

CREATE FUNCTION _superuser_owner(relation regclass) RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT r.rolname FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner WHERE c.oid = $1 AND r.rolsuper
$$;

-- The full mapping: defaults for what the caller doesn't name, without what the table doesn't have.
CREATE FUNCTION _complete_mapping(relation regclass, columns jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	bad text;
BEGIN
	IF columns IS NULL OR jsonb_typeof(columns) <> 'object' THEN
		PERFORM reconciler._refuse('columns must be a JSON object',
			'Map names to columns: columns => ''{"address_canonical": "pay_to"}''.');
	END IF;
	SELECT k.key INTO bad FROM jsonb_each(columns) AS k
		WHERE NOT EXISTS (SELECT FROM reconciler._column_rules() AS r WHERE r.name = k.key) ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		PERFORM reconciler._refuse(format('columns names "%s", which is not known', bad),
			'Known are: ' || (SELECT string_agg(r.name, ', ' ORDER BY r.pos) FROM reconciler._column_rules() AS r) || '.');
	END IF;
	SELECT k.key INTO bad FROM jsonb_each(columns) AS k
		WHERE jsonb_typeof(k.value) NOT IN ('string', 'null') OR k.value = '""' ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		PERFORM reconciler._refuse(format('columns maps "%s" to something that is not a column''s name', bad),
			'Give the name as a string; null for a column that the table does not have.');
	END IF;
	RETURN (
		SELECT jsonb_strip_nulls(jsonb_object_agg(r.name,
			CASE WHEN columns ->> r.name LIKE '=%' THEN regexp_replace(columns ->> r.name, '^=''(.*)''$', E'=\\1')
				 WHEN columns ? r.name THEN columns ->> r.name
				 WHEN r.needed OR reconciler._column_type(relation, r.name) IS NOT NULL THEN r.name END))
		FROM reconciler._column_rules() AS r);
END $$;

-- Our triggers and when they fire. They fire ALWAYS, also where rows arrive by
-- logical replication: the queue is this server's own, is not replicated, and
-- must follow the table however its rows change.
CREATE FUNCTION _create_triggers(source_id int, relation regclass, columns jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET session_replication_role = replica AS $$
DECLARE
	arguments text;
	changed text;
	open_new text := format('(NEW.%I IN (''pending'', ''detected''))', columns ->> 'status');
	open_old text := format('(OLD.%I IN (''pending'', ''detected''))', columns ->> 'status');
	t record;
BEGIN
	SELECT string_agg(quote_literal(coalesce(columns ->> r.name, '')), ', ' ORDER BY r.pos),
		   string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', columns ->> r.name), ' OR ' ORDER BY r.pos)
			   FILTER (WHERE columns ->> r.name NOT LIKE '=%')
		INTO arguments, changed
		FROM reconciler._column_rules() AS r WHERE r.pos <= 8;
	FOR t IN VALUES
		('reconciler_insert', 'INSERT', 'FOR EACH ROW WHEN ' || open_new),
		('reconciler_update', 'UPDATE', format('FOR EACH ROW WHEN ((%s OR %s) AND (%s))', open_old, open_new, changed)),
		('reconciler_delete', 'DELETE', 'FOR EACH ROW WHEN ' || open_old),
		('reconciler_truncate', 'TRUNCATE', 'FOR EACH STATEMENT')
	LOOP
		EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s EXECUTE FUNCTION reconciler.queue_request(%L, %s)',
			t.column1, t.column2, relation, t.column3, source_id, arguments);
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, t.column1);
		-- So that DROP EXTENSION takes them along instead of refusing.
		EXECUTE format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION reconciler', t.column1, relation);
	END LOOP;
END $$;

CREATE FUNCTION _warn_of_reopening(of_source int, over bigint, example text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	relation regclass := (SELECT s.relation FROM reconciler.sources AS s WHERE s.source_id = of_source);
BEGIN
	RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
		MESSAGE = format('%s open requests of table %s are not observed again, %s among them: reconciler has confirmed or expired them before',
			over, relation, example),
		HINT = format('Were old copies of the rows saved over them? To have one observed again: SELECT reconciler.reopen(%L, %L); all of them: detach the table and attach it with reopen => true.',
			relation::text, example);
END $$;

-- What the queue should hold of a request
CREATE TYPE _wanted AS (
	arrival bigint,
	request_id text,
	status text,
	network_id int,
	expected numeric,
	address text,
	token_contract text,
	expires_at timestamptz,
	invalid text,
	chain text,
	network text,
	key bytea,
	followed boolean
);

-- Where the queue differs from a table; by the calling statement's snapshot, for
-- both. The queue's statistics are as good as none just when this matters: a
-- nested loop over what is taken for an empty table would never end.
CREATE FUNCTION _compare(source_id int)
RETURNS TABLE (wanted _wanted, queued text, seq bigint, what text)
LANGUAGE sql STABLE ROWS 100000 SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
SET plan_cache_mode = force_custom_plan SET jit = off AS $$
	WITH found AS MATERIALIZED (
		SELECT o.*, coalesce((
			SELECT reconciler._is_over(t.to_status, t.reason, t.at, o.expires_at) FROM reconciler.transitions AS t
			WHERE t.source_id = $1 AND t.request_id = o.request_id
			ORDER BY t.transition_id DESC LIMIT 1), false) AS over
		FROM reconciler._open_requests($1) AS o
	), wanted AS MATERIALIZED (
		SELECT o.arrival, o.request_id, o.status, n.network_id, o.expected, o.address, o.token_contract, o.expires_at,
			coalesce(o.invalid, reconciler._request_problem(n.kind, n.network, o.address, o.token_contract)) AS invalid,
			CASE WHEN n.network_id = 0 THEN coalesce(o.chain, '') END AS chain,
			CASE WHEN n.network_id = 0 THEN coalesce(o.network, '') END AS network,
			reconciler._queue_key(n.kind, n.network, o.address, o.token_contract) AS key,
			reconciler._is_followed(n.kind) AS followed
		FROM found AS o
			LEFT JOIN reconciler.networks AS r ON r.chain = o.chain AND r.network = o.network
			JOIN reconciler.networks AS n ON n.network_id = coalesce(r.network_id, 0)
		WHERE NOT o.over
	)
	SELECT ROW(w.*)::reconciler._wanted, q.request_id, q.seq, c.what
	FROM wanted AS w
		FULL JOIN (SELECT * FROM reconciler.queue AS k WHERE k.source_id = $1) AS q ON q.request_id = w.request_id
		CROSS JOIN LATERAL (SELECT CASE
			WHEN w.request_id IS NULL THEN 'stale'
			WHEN q.request_id IS NULL THEN 'missing'
			WHEN (w.network_id, w.expected, w.address, w.token_contract, w.chain, w.network)
				IS DISTINCT FROM (q.network_id, q.expected, q.address, q.token_contract, q.chain, q.network) THEN 'changed'
			WHEN (w.status, w.expires_at, w.invalid) IS DISTINCT FROM (q.status, q.expires_at, q.invalid) THEN 'touched'
			END AS what) AS c
	WHERE c.what IS NOT NULL
	UNION ALL
	SELECT NULL, f.request_id, NULL, 'over' FROM found AS f WHERE f.over
$$;

-- Queues requests; those that a transaction of the application's is just
-- queueing itself are passed by, after the others: halves what has to wait until
-- the culprit stands alone.
CREATE FUNCTION _put_missing(source_id int, missing _wanted[], until timestamptz, OUT put bigint, OUT left_over bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '20ms' AS $$
DECLARE
	middle int := cardinality(missing) / 2;
BEGIN
	INSERT INTO reconciler.queue (source_id, network_id, request_id, status, expected, address,
			token_contract, expires_at, invalid, chain, network, key, followed, look_back_due)
		SELECT _put_missing.source_id, m.network_id, m.request_id, m.status, m.expected, m.address,
			m.token_contract, m.expires_at, m.invalid, m.chain, m.network, m.key, m.followed, m.followed
		FROM unnest(missing) AS m ORDER BY m.arrival
		ON CONFLICT DO NOTHING;
	GET DIAGNOSTICS put = ROW_COUNT;
	left_over := 0;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
	IF middle = 0 OR clock_timestamp() > until THEN
		put := 0;
		left_over := cardinality(missing);
		RETURN;
	END IF;
	SELECT sum(p.put), sum(p.left_over) INTO put, left_over
		FROM (VALUES (missing[:middle]), (missing[middle + 1:])) AS half (rows)
			CROSS JOIN LATERAL reconciler._put_missing(source_id, half.rows, until) AS p;
END $$;

-- Brings the queue rows of a source in line with its table, and leaves what the
-- application is changing meanwhile to the triggers; left_over: how many.
CREATE FUNCTION _resync(source_id int, OUT changes bigint, OUT left_over bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET enable_hashagg = off AS $$
DECLARE
	until timestamptz := clock_timestamp() + interval '20 seconds';
	part record;
	done record;
BEGIN
	changes := 0;
	left_over := 0;
	FOR part IN
		WITH compared AS MATERIALIZED (
			SELECT c.* FROM reconciler._compare(_resync.source_id) AS c
		), locked AS MATERIALIZED (
			SELECT c.* FROM compared AS c JOIN reconciler.queue AS q
				ON q.source_id = _resync.source_id AND q.request_id = c.queued AND q.seq = c.seq
			FOR UPDATE OF q SKIP LOCKED
		), stale AS (
			DELETE FROM reconciler.queue AS q USING locked AS c
			WHERE c.what = 'stale' AND q.source_id = _resync.source_id AND q.request_id = c.queued AND q.seq = c.seq
			RETURNING 1
		), changed AS (
			UPDATE reconciler.queue AS q
			SET seq = DEFAULT, network_id = (c.wanted).network_id, status = (c.wanted).status, expected = (c.wanted).expected,
				address = (c.wanted).address, token_contract = (c.wanted).token_contract, expires_at = (c.wanted).expires_at,
				seen = NULL, settled = NULL, error = NULL, error_at = NULL, invalid = (c.wanted).invalid,
				chain = (c.wanted).chain, network = (c.wanted).network, key = (c.wanted).key,
				followed = (c.wanted).followed, look_back_due = (c.wanted).followed, looking_back = false, look_back_error = NULL
			FROM locked AS c
			WHERE c.what = 'changed' AND q.source_id = _resync.source_id AND q.request_id = c.queued AND q.seq = c.seq
			RETURNING 1
		), touched AS (
			UPDATE reconciler.queue AS q
			SET status = (c.wanted).status, expires_at = (c.wanted).expires_at, invalid = (c.wanted).invalid
			FROM locked AS c
			WHERE c.what = 'touched' AND q.source_id = _resync.source_id AND q.request_id = c.queued AND q.seq = c.seq
			RETURNING 1
		), written AS (
			SELECT (SELECT count(*) FROM stale) + (SELECT count(*) FROM changed) + (SELECT count(*) FROM touched) AS n
		)
		SELECT -1 AS n, NULL::reconciler._wanted[] AS missing, w.n AS changes,
			(SELECT count(*) FROM compared AS c WHERE c.what NOT IN ('missing', 'over')) - w.n AS left_over,
			(SELECT count(*) FROM compared AS c WHERE c.what = 'over') AS over,
			(SELECT min(c.queued) FROM compared AS c WHERE c.what = 'over') AS example
		FROM written AS w
		UNION ALL
		SELECT m.n, array_agg(m.wanted), 0, 0, 0, NULL
		FROM (SELECT c.wanted, (row_number() OVER (ORDER BY (c.wanted).arrival) - 1) / 1000 AS n
			  FROM compared AS c WHERE c.what = 'missing') AS m
		GROUP BY m.n
		ORDER BY 1
	LOOP
		IF part.over > 0 THEN
			PERFORM reconciler._warn_of_reopening(source_id, part.over, part.example);
		END IF;
		done := reconciler._put_missing(source_id, part.missing, until);
		changes := changes + part.changes + done.put;
		left_over := left_over + part.left_over + done.left_over;
	END LOOP;
	PERFORM reconciler._unmark(source_id, changes);
END $$;

-- How far the queue has each table's requests; lost together with the queue
CREATE UNLOGGED TABLE resyncs (
	source_id int PRIMARY KEY,
	left_over bigint NOT NULL,		-- rows that others were changing
	failures int NOT NULL,			-- of the last tries, one after the other
	tried_at timestamptz NOT NULL,
	running xid8[]					-- their changes may have missed the queue; null: not looked up yet
);

-- What was under way when the queue was lost, or before its building was
-- committed, didn't see it, and what was prepared survives a crash that the queue
-- doesn't: so the table is compared once more after building, and again whenever
-- one of the transactions has ended that were running then.
CREATE FUNCTION _running() RETURNS xid8[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT ARRAY(SELECT x FROM pg_snapshot_xip(pg_current_snapshot()) AS x ORDER BY x)
$$;

CREATE FUNCTION _note_resync(source_id int, left_over bigint, running xid8[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO reconciler.resyncs AS r (source_id, left_over, failures, tried_at, running)
		VALUES (_note_resync.source_id, coalesce(_note_resync.left_over, 0),
			CASE WHEN _note_resync.left_over IS NULL THEN 1 ELSE 0 END, clock_timestamp(), NULL)
		ON CONFLICT ON CONSTRAINT resyncs_pkey DO UPDATE
		SET left_over = excluded.left_over, tried_at = excluded.tried_at,
			failures = CASE WHEN excluded.failures > 0 THEN least(r.failures, 1000) + 1 ELSE 0 END,
			running = CASE WHEN excluded.failures > 0 THEN r.running
						   WHEN r.running IS NULL THEN CASE WHEN r.failures = 0 THEN _note_resync.running END
						   ELSE ARRAY(SELECT unnest(r.running) INTERSECT SELECT unnest(_note_resync.running)) END;
	IF _note_resync.left_over = 0 THEN
		UPDATE reconciler.sources AS s SET resynced_at = clock_timestamp() WHERE s.source_id = _note_resync.source_id;
	END IF;
END $$;

-- One table that can't be read (a right was revoked, a column is gone) must not
-- stop the others.
CREATE FUNCTION _try_resync(s sources) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	running xid8[] := reconciler._running();
	done record;
BEGIN
	done := reconciler._resync(s.source_id);
	PERFORM reconciler._note_resync(s.source_id, done.left_over, running);
	RETURN done.changes;
EXCEPTION WHEN OTHERS THEN
	IF left(SQLSTATE, 2) IN ('53', '57', '58') THEN
		RAISE;
	END IF;
	RAISE WARNING 'table % could not be resynced: %', s.relation, SQLERRM USING ERRCODE = SQLSTATE;
	BEGIN
		PERFORM reconciler._note_resync(s.source_id, NULL, NULL);
	EXCEPTION WHEN lock_not_available THEN
		NULL;		-- its owner resyncs it in a transaction that is open still
	END;
	RETURN 0;
END $$;

COMMENT ON TABLE resyncs IS 'When the queue was brought in line with each table, and what that left out';
COMMENT ON FUNCTION _compare(int) IS 'Where the queue differs from a table: stale, missing, changed (another payment is asked for) or touched rows; over: requests that are open in the table, but are not observed again';
COMMENT ON FUNCTION _put_missing(int, _wanted[], timestamptz) IS 'Queues requests, but for those that others are just queueing';
COMMENT ON FUNCTION _resync(int) IS 'Brings the queue in line with one table; left_over: rows that others are changing';
COMMENT ON FUNCTION _running() IS 'The transactions that are under way, prepared ones too';
COMMENT ON FUNCTION _note_resync(int, bigint, xid8[]) IS 'Keeps that a table was resynced; left_over null: it failed';
COMMENT ON FUNCTION _try_resync(sources) IS 'Resyncs one table; warns and returns 0 when that fails';

-- The source of an attached table, or an error.
CREATE FUNCTION _source_id(relation regclass) RETURNS int
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_id int;
BEGIN
	SELECT s.source_id INTO found_id FROM reconciler.sources AS s WHERE s.relation = _source_id.relation;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('table %s is not attached', relation),
			HINT = format('SELECT reconciler.attach(%L) attaches it; SELECT relation FROM reconciler.sources shows those that are.',
				relation::text);
	END IF;
	RETURN found_id;
END $$;

-- Whatever their names are now
CREATE FUNCTION _drop_triggers(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	name text;
BEGIN
	FOR name IN
		SELECT t.tgname FROM pg_trigger AS t
		WHERE t.tgrelid = relation AND t.tgfoid = 'reconciler.queue_request'::regproc AND t.tgparentid = 0 ORDER BY 1
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', name, relation);
	END LOOP;
END $$;

-- Lets a request be observed that was confirmed or has expired. False: it is being observed.
CREATE FUNCTION _note_reopening(of_source int, id text, status text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF status IN ('pending', 'detected') AND EXISTS (SELECT FROM reconciler.queue AS q WHERE q.source_id = of_source AND q.request_id = id) THEN
		RETURN false;
	END IF;
	INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason)
		SELECT of_source, s.relation::text, id, status, 'pending', 'reopened'
		FROM reconciler.sources AS s WHERE s.source_id = of_source;
	RETURN true;
END $$;

-- Likewise all that are open in the table.
CREATE FUNCTION _note_reopenings(of_source int) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason)
	SELECT $1, s.relation::text, o.request_id, t.to_status, o.status, 'reopened'
	FROM reconciler.sources AS s CROSS JOIN reconciler._open_requests($1) AS o
		CROSS JOIN LATERAL (SELECT l.* FROM reconciler.transitions AS l
							WHERE l.source_id = $1 AND l.request_id = o.request_id
							ORDER BY l.transition_id DESC LIMIT 1) AS t
	WHERE s.source_id = $1 AND reconciler._is_over(t.to_status, t.reason, t.at, o.expires_at)
$$;

-- The part of attach that runs with the extension owner's rights; the caller's are checked.
CREATE FUNCTION _attach(relation regclass, columns jsonb, allow_superuser_owner boolean, reopen boolean) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	mapping jsonb;
	problems text[];
	new_id int;
BEGIN
	IF EXISTS (SELECT FROM reconciler.sources AS s WHERE s.relation = _attach.relation) THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
			MESSAGE = format('table %s is already attached', relation),
			HINT = format('To attach it with other columns, first: SELECT reconciler.detach(%L);', relation::text);
	END IF;
	mapping := reconciler._complete_mapping(relation, columns);
	problems := ARRAY(SELECT reconciler._mapping_problems(relation, mapping));
	IF problems = '{}' THEN
		problems := ARRAY(SELECT reconciler._table_problems(relation, mapping));
	END IF;
	IF problems <> '{}' THEN
		PERFORM reconciler._refuse_attach(relation, columns, problems);
	END IF;
	IF reconciler._superuser_owner(relation) IS NOT NULL AND allow_superuser_owner IS NOT TRUE THEN
		PERFORM reconciler._refuse_superuser(relation, reconciler._superuser_owner(relation));
	END IF;
	-- Those that came with a copy of another table
	PERFORM reconciler._drop_triggers(relation);
	DELETE FROM reconciler.former_sources AS f WHERE f.relation = _attach.relation RETURNING f.source_id INTO new_id;
	new_id := coalesce(new_id, nextval('reconciler.sources_source_id_seq')::int);
	INSERT INTO reconciler.sources (source_id, relation, columns, superuser_owner)
		VALUES (new_id, relation, mapping, allow_superuser_owner);
	-- The table is locked against writers: what is there and what comes make up everything.
	PERFORM reconciler._create_triggers(new_id, relation, mapping);
	IF reopen THEN
		PERFORM reconciler._note_reopenings(new_id);
	END IF;
	PERFORM reconciler._resync(new_id);
	-- One that was attached before may have left its number.
	DELETE FROM reconciler.resyncs AS k WHERE k.source_id = new_id;
	INSERT INTO reconciler.resyncs VALUES (new_id, 0, 0, clock_timestamp(), '{}');
	RETURN new_id;
END $$;

CREATE FUNCTION _detach(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	old_id int := reconciler._source_id(relation);
BEGIN
	-- The source first: from here on its triggers may be dropped.
	DELETE FROM reconciler.sources AS s WHERE s.source_id = old_id;
	DELETE FROM reconciler.former_sources AS f WHERE f.relation = _detach.relation;
	INSERT INTO reconciler.former_sources (relation, source_id) VALUES (relation, old_id);
	PERFORM reconciler._drop_triggers(relation);
	DELETE FROM reconciler.queue AS q WHERE q.source_id = old_id;
END $$;

-- With the caller's rights: the caller must own the table.
CREATE FUNCTION attach(relation regclass, columns jsonb DEFAULT '{}', allow_superuser_owner boolean DEFAULT false,
	reopen boolean DEFAULT false) RETURNS int
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_attach';

CREATE FUNCTION detach(relation regclass) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_detach';

-- With the caller's rights; the default is the schema that the caller's search_path creates in.
CREATE FUNCTION create_table(name text, schema name DEFAULT pg_catalog.current_schema(),
	allow_superuser_owner boolean DEFAULT false) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	parts text[] := parse_ident(name);
	relation regclass;
BEGIN
	IF cardinality(parts) > 2 OR (cardinality(parts) = 1 AND schema IS NULL) THEN
		PERFORM reconciler._refuse(format('"%s" names no table that can be created', name), 'Give it as schema.table.');
	END IF;
	IF cardinality(parts) = 1 THEN
		parts := ARRAY[schema::text] || parts;
	END IF;
	IF allow_superuser_owner IS NOT TRUE AND (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('the table would belong to %I, a superuser', current_user),
			DETAIL = 'Its triggers run with the owner''s rights when a worker changes a status: whoever may create one would be superuser.',
			HINT = 'SELECT reconciler.grant_app(''<the application''''s role>''); SET ROLE to it, then create it; or, if only superusers can have a say in its triggers: allow_superuser_owner => true.';
	END IF;
	EXECUTE format($ddl$
		CREATE TABLE %I.%I (
			id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
			chain text NOT NULL,
			network text NOT NULL,
			asset text,
			status text NOT NULL DEFAULT 'pending'
				CHECK (status IN ('pending', 'detected', 'confirmed', 'expired', 'cancelled', 'failed')),
			expected_amount_minor numeric(78,0) CHECK (expected_amount_minor > 0),
			address_canonical text NOT NULL,
			token_contract text,
			expires_at timestamptz,
			created_at timestamptz NOT NULL DEFAULT now(),
			updated_at timestamptz NOT NULL DEFAULT now()
		)$ddl$, parts[1], parts[2]);
	relation := format('%I.%I', parts[1], parts[2])::regclass;
	PERFORM reconciler.attach(relation, allow_superuser_owner => allow_superuser_owner);
	RETURN relation;
END $$;

-- With the caller's rights on the table: UPDATE of the status.
CREATE FUNCTION reopen(relation regclass, request_id text) RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_reopen';

-- With the caller's rights: of the tables that are the caller's.
CREATE FUNCTION resync(relation regclass DEFAULT NULL) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_resync';

CREATE FUNCTION _resync_tables(relation regclass, caller oid) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	running xid8[] := reconciler._running();
	changes bigint := 0;
	orphans bigint;
	s reconciler.sources;
	done record;
BEGIN
	IF relation IS NOT NULL THEN
		IF NOT (SELECT pg_has_role(caller, c.relowner, 'USAGE') FROM pg_class AS c WHERE c.oid = relation) THEN
			RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
				MESSAGE = format('must be owner of table %s to resync it', relation);
		END IF;
		done := reconciler._resync(reconciler._source_id(relation));
		PERFORM reconciler._note_resync(reconciler._source_id(relation), done.left_over, running);
		RETURN done.changes;
	END IF;
	FOR s IN SELECT r.* FROM reconciler.sources AS r JOIN pg_class AS c ON c.oid = r.relation
			 WHERE pg_has_role(caller, c.relowner, 'USAGE') ORDER BY r.source_id LOOP
		changes := changes + reconciler._try_resync(s);
	END LOOP;
	DELETE FROM reconciler.queue AS q
		WHERE NOT EXISTS (SELECT FROM reconciler.sources AS r WHERE r.source_id = q.source_id);
	GET DIAGNOSTICS orphans = ROW_COUNT;
	DELETE FROM reconciler.resyncs AS k
		WHERE NOT EXISTS (SELECT FROM reconciler.sources AS r WHERE r.source_id = k.source_id);
	RETURN changes + orphans;
END $$;

-- The attached tables that a command has changed: by themselves, as a child or a
-- typed table that follows it, by a partition of theirs, by a type of a column.
CREATE FUNCTION _altered_sources() RETURNS SETOF sources
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE command AS MATERIALIZED (
		SELECT d.classid, d.objid FROM pg_event_trigger_ddl_commands() AS d
	), altered (oid) AS (
		SELECT d.objid FROM command AS d WHERE d.classid = 'pg_class'::regclass
		UNION
		SELECT x.oid FROM altered AS a CROSS JOIN LATERAL (
			SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = a.oid
			UNION ALL
			SELECT o.oid FROM pg_class AS t JOIN pg_class AS o ON o.reloftype = t.reltype
			WHERE t.oid = a.oid AND t.relkind = 'c') AS x (oid)
	)
	SELECT s.* FROM reconciler.sources AS s WHERE s.relation IN (SELECT a.oid FROM altered AS a)
	UNION
	SELECT s.* FROM command AS d CROSS JOIN LATERAL pg_partition_ancestors(d.objid) AS p
		JOIN reconciler.sources AS s ON s.relation = p.relid
		WHERE d.classid = 'pg_class'::regclass
	UNION
	SELECT s.* FROM command AS d CROSS JOIN reconciler.sources AS s CROSS JOIN LATERAL jsonb_each_text(s.columns) AS m
		WHERE d.classid = 'pg_type'::regclass AND reconciler._base_type(s.relation, m.value) = d.objid
$$;

-- ENABLE TRIGGER after DISABLE TRIGGER leaves ours firing for less than they must. What happened meanwhile is looked for.
-- As a replica: no event trigger fires for what is done here.
CREATE FUNCTION _mend_triggers(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET session_replication_role = replica AS $$
DECLARE
	t record;
	mended boolean := (SELECT s.triggers_off FROM reconciler.sources AS s WHERE s.relation = _mend_triggers.relation);
	off regclass;
BEGIN
	FOR t IN
		SELECT g.tgrelid::regclass AS place, g.tgname AS name, g.tgenabled AS enabled
		FROM pg_partition_tree(relation) AS p JOIN pg_trigger AS g ON g.tgrelid = p.relid
		WHERE g.tgfoid = 'reconciler.queue_request'::regproc AND g.tgenabled <> 'A'
		UNION ALL
		SELECT g.tgrelid, g.tgname, g.tgenabled FROM pg_trigger AS g
		WHERE g.tgrelid = relation AND g.tgfoid = 'reconciler.queue_request'::regproc AND g.tgenabled <> 'A'
			AND NOT EXISTS (SELECT FROM pg_partition_tree(relation))
	LOOP
		IF t.enabled = 'D' THEN
			off := t.place;
		ELSE
			EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.place, t.name);
			mended := true;
		END IF;
	END LOOP;
	IF off IS NOT NULL THEN
		RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('the triggers of table %s are off: reconciler does not see what happens to it', off),
			HINT = format('ALTER TABLE %s ENABLE TRIGGER ALL; reconciler then looks for what has changed.', off);
		UPDATE reconciler.sources AS s SET triggers_off = true WHERE s.relation = _mend_triggers.relation;
	ELSIF mended THEN
		RAISE NOTICE USING
			MESSAGE = format('reconciler will look for what has changed in table %s while its triggers were off', relation),
			HINT = format('To have it done now: SELECT reconciler.resync(%L);', relation::text);
		UPDATE reconciler.sources AS s SET resynced_at = '-infinity', triggers_off = false
			WHERE s.relation = _mend_triggers.relation;
	END IF;
END $$;

-- What a change of an attached table has broken: stops says whether to refuse it.
CREATE FUNCTION _alteration_problems(s sources) RETURNS TABLE (problem text, stops boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p, true FROM reconciler._mapping_problems(s.relation, s.columns) AS p
	UNION ALL
	-- pg_restore --clean drops keys before their tables, hence no error.
	SELECT p, p NOT LIKE 'column % (id) must be %' AND p NOT LIKE 'its owner %'
		FROM reconciler._table_problems(s.relation, s.columns) AS p
		WHERE p NOT LIKE 'it has inheritance children%' AND p NOT LIKE 'it is a partition%'
	UNION ALL
	SELECT format('%I, to whom it would belong, is a superuser', reconciler._superuser_owner(s.relation)), true
		WHERE reconciler._superuser_owner(s.relation) IS NOT NULL AND NOT s.superuser_owner
	ORDER BY 2 DESC
$$;

-- Refuses what would break a mapping without a word.
CREATE FUNCTION _guard_alter() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s reconciler.sources;
	p record;
BEGIN
	FOR s IN SELECT a.* FROM reconciler._altered_sources() AS a LOOP
		FOR p IN SELECT a.* FROM reconciler._alteration_problems(s) AS a LOOP
			IF p.stops THEN
				RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
					MESSAGE = format('table %s is attached to reconciler, which this change would break: %s', s.relation, p.problem),
					HINT = format('Before the change: SELECT reconciler.detach(%L); after it: SELECT reconciler.attach(%1$L, …);',
						s.relation::text);
			END IF;
			RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('reconciler will not work well with table %s: %s', s.relation, p.problem);
		END LOOP;
		PERFORM reconciler._mend_triggers(s.relation);
		-- A partition that came may have brought open requests, a renamed value may stand for another network.
		IF TG_TAG = 'ALTER TYPE' OR EXISTS (SELECT FROM pg_class AS c WHERE c.oid = s.relation AND c.relkind = 'p') THEN
			UPDATE reconciler.sources AS r SET resynced_at = '-infinity'
				WHERE r.source_id = s.source_id AND r.resynced_at <> '-infinity';
		END IF;
	END LOOP;
END $$;

-- Forgets tables that are dropped, speaks up for triggers that are in use.
CREATE FUNCTION _follow_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	lost record;
BEGIN
	DELETE FROM reconciler.queue AS q USING reconciler.sources AS s, pg_event_trigger_dropped_objects() AS d
		WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND s.relation = d.objid AND q.source_id = s.source_id;
	DELETE FROM reconciler.sources AS s USING pg_event_trigger_dropped_objects() AS d
		WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND s.relation = d.objid;
	DELETE FROM reconciler.former_sources AS s USING pg_event_trigger_dropped_objects() AS d
		WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND s.relation = d.objid;
	-- A warning, no error: pg_restore --clean drops triggers before their tables.
	FOR lost IN
		SELECT s.relation, d.address_names[3] AS name
		FROM pg_event_trigger_dropped_objects() AS d
			JOIN pg_namespace AS n ON n.nspname = d.address_names[1]
			JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = d.address_names[2]
			JOIN reconciler.sources AS s ON s.relation = c.oid
		WHERE d.object_type = 'trigger'
			AND d.address_names[3] IN ('reconciler_insert', 'reconciler_update', 'reconciler_delete', 'reconciler_truncate')
		ORDER BY 2
	LOOP
		RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('without trigger %s reconciler does not see all that happens to table %s', lost.name, lost.relation),
			HINT = format('SELECT reconciler.detach(%L); and attach it again, to have it back.', lost.relation::text);
	END LOOP;
	IF TG_TAG = 'DROP INDEX' THEN
		FOR lost IN
			SELECT s.relation, p FROM reconciler.sources AS s
				CROSS JOIN LATERAL reconciler._table_problems(s.relation, s.columns) AS p
			WHERE p LIKE 'column % (id) must be %'
		LOOP
			RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('reconciler will not work well with table %s: %s', lost.relation, lost.p);
		END LOOP;
	END IF;
END $$;

CREATE EVENT TRIGGER reconciler_guard_alter ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER TYPE')
	EXECUTE FUNCTION _guard_alter();
CREATE EVENT TRIGGER reconciler_follow_drop ON sql_drop EXECUTE FUNCTION _follow_drop();

COMMENT ON TABLE sources IS 'The attached tables, with the columns that make up their requests';
COMMENT ON FUNCTION queue_request() IS 'Trigger on attached tables: keeps the queue in step. Created by attach';
COMMENT ON TABLE former_sources IS 'Tables that were attached, with the number that they had';
COMMENT ON FUNCTION reopen(regclass, text) IS
'Sets a request to pending that reconciler has confirmed or expired, and has it observed again, which no other change of its status does; the caller needs UPDATE on the status. False: it is being observed';
COMMENT ON FUNCTION attach(regclass, jsonb, boolean, boolean) IS
'Attaches a table, with the requests that are in it; with reopen also those that were confirmed or had expired when it was attached before; it must not belong to a superuser, unless allow_superuser_owner says so; columns maps names (id, status, chain, network, expected_amount_minor, address_canonical, token_contract, expires_at, created_at, asset, updated_at) to the table''s columns, "=value" for a constant chain or network, null for none';
COMMENT ON FUNCTION detach(regclass) IS 'Detaches a table and leaves it as it was';
COMMENT ON FUNCTION create_table(text, name, boolean) IS
'Creates an ordinary table for payment requests, which belongs to the caller, and attaches it';
COMMENT ON FUNCTION resync(regclass) IS
'Brings the queue in line with an attached table of the caller''s (null: all of them), after its triggers were off; returns the number of changes';
COMMENT ON EVENT TRIGGER reconciler_guard_alter IS 'Refuses changes of attached tables that would break their mapping';
COMMENT ON EVENT TRIGGER reconciler_follow_drop IS 'Forgets attached tables that are dropped, and warns when a trigger of theirs is dropped alone';
