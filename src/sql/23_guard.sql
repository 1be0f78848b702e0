-- What commands on attached tables would break, and what they have dropped.

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
	SELECT s.* FROM command AS d CROSS JOIN reconciler.sources AS s
		CROSS JOIN LATERAL reconciler._mapped_columns(s.columns) AS m
		WHERE d.classid = 'pg_type'::regclass AND reconciler._base_type(s.relation, m.mapped) = d.objid
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
	SELECT p, p NOT LIKE 'column% (id) must be %' AND p NOT LIKE 'its owner %'
		FROM reconciler._table_problems(s.relation, s.columns) AS p
		WHERE p NOT LIKE 'it has inheritance children%' AND p NOT LIKE 'it is a partition%'
	UNION ALL
	SELECT p, p NOT LIKE '%, to which foreign key %' FROM reconciler._word_problems(s.relation, s.columns, s.statuses,
			reconciler._superuser_owner(s.relation) IS NULL OR s.superuser_owner) AS p
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
		-- How values are written depends on the types of the columns for results.
		UPDATE reconciler.sources AS r SET arguments = reconciler._mapping_arguments(r.relation, r.columns, r.statuses, false)
			WHERE r.source_id = s.source_id AND r.arguments <> reconciler._mapping_arguments(r.relation, r.columns, r.statuses, false);
		-- A partition that came may have brought open requests, a renamed value may stand for another network.
		IF TG_TAG = 'ALTER TYPE' OR EXISTS (SELECT FROM pg_class AS c WHERE c.oid = s.relation AND c.relkind = 'p') THEN
			UPDATE reconciler.sources AS r SET resynced_at = '-infinity'
				WHERE r.source_id = s.source_id AND r.resynced_at <> '-infinity';
		END IF;
	END LOOP;
END $$;

-- An error, if the column is one that the triggers of an attached table name.
CREATE FUNCTION _refuse_column_change(relation regclass, column_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s reconciler.sources;
	mapped_as text;
BEGIN
	SELECT r.* INTO s FROM reconciler.sources AS r WHERE r.relation = _refuse_column_change.relation;
	mapped_as := (SELECT m.name FROM reconciler._mapped_columns(s.columns) AS m WHERE m.mapped = column_name AND m.pos <= 8 LIMIT 1);
	IF mapped_as IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('table %s is attached to reconciler, which this change would break: column "%s" is mapped (%s)',
				relation, column_name, mapped_as),
			DETAIL = format('It is attached with columns => %L, statuses => %L.', s.columns, s.statuses),
			HINT = format('In one transaction, so that nothing is lost: SELECT reconciler.detach(%L); the change; SELECT reconciler.attach(%1$L, …); see docs/migrations.md.',
				relation::text);
	END IF;
END $$;

-- At the start of ALTER TABLE: changes of a mapped column's type, and its drop.
CREATE FUNCTION _guard_columns() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_guard_columns';

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
			WHERE p LIKE 'column% (id) must be %'
		LOOP
			RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('reconciler will not work well with table %s: %s', lost.relation, lost.p);
		END LOOP;
	END IF;
END $$;

CREATE EVENT TRIGGER reconciler_guard_columns ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION _guard_columns();
CREATE EVENT TRIGGER reconciler_guard_alter ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER TYPE')
	EXECUTE FUNCTION _guard_alter();
CREATE EVENT TRIGGER reconciler_follow_drop ON sql_drop EXECUTE FUNCTION _follow_drop();

COMMENT ON EVENT TRIGGER reconciler_guard_columns IS 'Refuses changes of mapped columns of attached tables, and says how they are made';
COMMENT ON EVENT TRIGGER reconciler_guard_alter IS 'Refuses changes of attached tables that would break their mapping';
COMMENT ON EVENT TRIGGER reconciler_follow_drop IS 'Forgets attached tables that are dropped, and warns when a trigger of theirs is dropped alone';
