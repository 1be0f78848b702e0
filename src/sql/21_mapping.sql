-- Mappings of logical names to columns, and what is wrong with a mapping or a table.

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
