-- Sources: the application's tables, their triggers, and the way from their
-- rows to the queue. Superusers' rights never meet code of the application's:
-- its tables are read and written by the C functions below, as the tables' owners.

-- On the application's tables. Arguments: source_id, then the columns id,
-- status, chain, network, address_canonical, token_contract,
-- expected_amount_minor, expires_at ('': none, '=value': constant), then what
-- else there is to say, in pairs; see _mapping_arguments.
CREATE FUNCTION queue_request() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_queue_request';

-- All open requests of a source in order of arrival, by the calling statement's snapshot.
CREATE FUNCTION _open_requests(source_id int)
RETURNS TABLE (arrival bigint, request_id text, status text, chain text, network text, address text,
	token_contract text, expected numeric, expires_at timestamptz, invalid text)
LANGUAGE c STRICT ROWS 100000 AS 'MODULE_PATHNAME', 'reconciler_open_requests';

-- The requests that are there, in whatever status, and the table's word for it.
CREATE FUNCTION _status_of(source_id int, ids text[]) RETURNS TABLE (request_id text, status text, word text)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reconciler_status_of';

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

-- Our triggers and when they fire. They fire ALWAYS, also where rows arrive by
-- logical replication: the queue is this server's own, is not replicated, and
-- must follow the table however its rows change.
CREATE FUNCTION _create_triggers(source_id int, relation regclass, columns jsonb, statuses jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET session_replication_role = replica AS $$
DECLARE
	arguments text := (SELECT string_agg(quote_literal(a.text), ', ' ORDER BY a.n)
					   FROM unnest(reconciler._mapping_arguments(relation, columns, statuses, true)) WITH ORDINALITY AS a (text, n));
	changed text := (SELECT string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', m.mapped), ' OR ' ORDER BY m.pos, m.n)
					 FROM reconciler._mapped_columns(columns) AS m WHERE m.pos <= 8 AND m.mapped NOT LIKE '=%');
	words text := (SELECT string_agg(quote_literal(w), ', ') FROM unnest(reconciler._open_words(statuses)) AS w);
	-- An INSERT has no condition: PostgreSQL reads and compiles one for each statement,
	-- at the price of three rows, and hardly a row arrives that isn't open.
	open_new text := format('(NEW.%I IN (%s))', columns ->> 'status', words);
	open_old text := format('(OLD.%I IN (%s))', columns ->> 'status', words);
	t record;
BEGIN
	FOR t IN VALUES
		('reconciler_insert', 'INSERT', 'FOR EACH ROW'),
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

COMMENT ON TABLE sources IS 'The attached tables, with the columns that make up their requests';
COMMENT ON FUNCTION queue_request() IS 'Trigger on attached tables: keeps the queue in step. Created by attach';
COMMENT ON TABLE former_sources IS 'Tables that were attached, with the number that they had';
