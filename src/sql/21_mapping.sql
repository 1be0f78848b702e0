-- Mappings of logical names to columns, and what is wrong with a mapping or a table.

-- The columns that a source can have. needed: there is no doing without it.
-- option: what may be said of one besides its name.
CREATE FUNCTION _column_rules()
RETURNS TABLE (pos int, name text, needed boolean, constant boolean, option text, types text[])
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	VALUES
	(1, 'id', true, false, NULL, ARRAY['text', 'character varying', 'uuid', 'bigint', 'integer', 'smallint']),
	(2, 'status', true, false, NULL, ARRAY['text', 'character varying', 'enum']),
	(3, 'chain', true, true, NULL, ARRAY['text', 'character varying', 'enum']),
	(4, 'network', true, true, NULL, ARRAY['text', 'character varying', 'enum']),
	(5, 'address_canonical', true, false, NULL, ARRAY['text', 'character varying']),
	(6, 'token_contract', false, false, NULL, ARRAY['text', 'character varying']),
	(7, 'expected_amount_minor', true, false, 'decimals', ARRAY['numeric', 'bigint', 'integer', 'smallint', 'text', 'character varying']),
	(8, 'expires_at', false, false, 'zone', ARRAY['timestamp with time zone', 'timestamp without time zone']),
	(9, 'created_at', false, false, 'zone', ARRAY['timestamp with time zone', 'timestamp without time zone']),
	(10, 'asset', false, true, NULL, ARRAY['text', 'character varying', 'enum']),
	(11, 'updated_at', false, false, 'zone', ARRAY['timestamp with time zone', 'timestamp without time zone']),
	(12, 'received_amount_minor', false, false, 'decimals', ARRAY['numeric', 'bigint', 'text', 'character varying']),
	(13, 'paid_at', false, false, 'zone', ARRAY['timestamp with time zone', 'timestamp without time zone']),
	(14, 'transaction_id', false, false, NULL, ARRAY['text', 'character varying'])
$$;

-- A mapping, one row for each column of the table's: n counts those of a key.
-- mapped null: none.
CREATE FUNCTION _mapped_columns(columns jsonb)
RETURNS TABLE (pos int, name text, n bigint, mapped text, decimals int, zone text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT r.pos, r.name, coalesce(m.n, 1), m.mapped, ($1 -> r.name ->> 'decimals')::int, $1 -> r.name ->> 'zone'
	FROM reconciler._column_rules() AS r
		LEFT JOIN LATERAL (
			SELECT 1 AS n, CASE jsonb_typeof($1 -> r.name) WHEN 'object' THEN $1 -> r.name ->> 'column' ELSE $1 ->> r.name END AS mapped
			WHERE jsonb_typeof($1 -> r.name) <> 'array'
			UNION ALL
			SELECT e.n, e.mapped
			FROM jsonb_array_elements_text(CASE jsonb_typeof($1 -> r.name) WHEN 'array' THEN $1 -> r.name ELSE '[]' END)
				WITH ORDINALITY AS e (mapped, n)) AS m ON true
$$;

-- A mapping as the C functions read it: the columns that make up a request, the
-- first of them of a key of several, and then pairs of a key and a value.
CREATE FUNCTION _mapping_arguments(relation regclass, columns jsonb, statuses jsonb, of_trigger boolean) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH m AS MATERIALIZED (
		SELECT * FROM reconciler._mapped_columns($2)
	), option (rank, n, key, value) AS (
		SELECT 1, m.n, 'id', m.mapped FROM m WHERE m.name = 'id' AND m.n > 1
		UNION ALL
		SELECT 2, 1, 'decimals', m.decimals::text FROM m WHERE m.name = 'expected_amount_minor' AND m.decimals > 0
		UNION ALL
		SELECT 3, 1, 'zone', m.zone FROM m WHERE m.name = 'expires_at' AND m.zone IS NOT NULL
		UNION ALL
		SELECT 3 + s.rank, w.n, s.status, w.word
		FROM unnest(ARRAY['pending', 'detected', 'confirmed', 'expired']) WITH ORDINALITY AS s (status, rank)
			CROSS JOIN LATERAL jsonb_array_elements_text($3 -> s.status) WITH ORDINALITY AS w (word, n)
		WHERE $3 <> reconciler._own_statuses()
		UNION ALL
		SELECT 8, m.pos, m.name, m.mapped FROM m WHERE m.name IN ('created_at', 'updated_at') AND m.mapped IS NOT NULL AND NOT $4
		UNION ALL
		SELECT 9, m.pos, replace(m.name, '_at', '_zone'), m.zone
		FROM m WHERE m.name IN ('created_at', 'updated_at') AND m.zone IS NOT NULL AND NOT $4
		UNION ALL
		SELECT 10, r.pos, 'set', r.assignment FROM reconciler._result_assignments($1, $2) AS r WHERE NOT $4
	)
	SELECT ARRAY(SELECT coalesce(m.mapped, '') FROM m WHERE m.pos <= 8 AND m.n = 1 ORDER BY m.pos)
		|| ARRAY(SELECT p.text FROM option AS o CROSS JOIN LATERAL (VALUES (1, o.key), (2, o.value)) AS p (i, text)
				 ORDER BY o.rank, o.n, p.i)
$$;

CREATE FUNCTION _own_statuses() RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT '{"pending": ["pending"], "detected": ["detected"], "confirmed": ["confirmed"], "expired": ["expired"]}'::jsonb
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
	FROM reconciler._mapped_columns($2) AS m
		JOIN reconciler._column_rules() AS r ON r.name = m.name
		CROSS JOIN LATERAL (SELECT reconciler._column_type($1, m.mapped) AS type,
								   reconciler._column_scale($1, m.mapped) AS scale) AS t
		CROSS JOIN LATERAL (SELECT CASE
			WHEN m.mapped IS NULL THEN CASE WHEN r.needed THEN
				format('%s: must be mapped to a column', r.name) END
			WHEN m.mapped LIKE '=%' THEN CASE WHEN NOT r.constant THEN
				format('%s: can''t be a constant', r.name) END
			WHEN t.type IS NULL THEN format('%s: there is no column "%s"', r.name, m.mapped)
			WHEN NOT t.type = ANY (r.types) THEN format('%s: column "%s" has type %s, accepted are %s',
				r.name, m.mapped, t.type, array_to_string(r.types, ', '))
				|| CASE WHEN NOT r.needed THEN format('; to do without it, {"%s": null}', r.name) ELSE '' END
			-- 2.00 would be 2 wei.
			WHEN r.name = 'expected_amount_minor' AND t.scale > 0 AND m.decimals IS NULL THEN
				format('%s: column "%s" has %s decimal places, but its numbers would be taken for minor units: if they are whole coins, say how many decimals one has: {"%1$s": {"column": "%2$s", "decimals": 18}}; else give it a scale of 0, or map one that holds minor units, as numeric(78,0) does',
					r.name, m.mapped, t.scale)
			WHEN r.name IN ('expires_at', 'paid_at') AND t.type = 'timestamp without time zone' AND m.zone IS NULL THEN
				format('%s: column "%s" has no time zone: say in which one its times are: {"%1$s": {"column": "%2$s", "zone": "UTC"}}',
					r.name, m.mapped)
			WHEN t.type = 'timestamp with time zone' AND m.zone IS NOT NULL THEN
				format('%s: the times of column "%s" have a time zone: leave "zone" out', r.name, m.mapped)
			END AS problem) AS p
	WHERE p.problem IS NOT NULL
	ORDER BY r.pos, m.n
$$;

-- Why the mapped columns are no key, with a command that makes them one; null: they are.
CREATE FUNCTION _key_problem(relation regclass, columns jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	is_partitioned boolean := (SELECT c.relkind = 'p' FROM pg_class AS c WHERE c.oid = relation);
	ids int2[] := ARRAY(SELECT a.attnum FROM reconciler._mapped_columns(columns) AS m
						JOIN pg_attribute AS a ON a.attrelid = relation AND a.attname = m.mapped AND a.attnum > 0
						WHERE m.name = 'id' AND m.mapped NOT LIKE '=%' ORDER BY m.n);
	names text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY x.n)
				   FROM unnest(ids) WITH ORDINALITY AS x (attnum, n)
					   JOIN pg_attribute AS a ON a.attrelid = relation AND a.attnum = x.attnum);
	nullable text := (SELECT string_agg(format('ALTER COLUMN %I SET NOT NULL', a.attname), ', ' ORDER BY a.attnum)
					  FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attnum = ANY (ids) AND NOT a.attnotnull);
	is_unique boolean := EXISTS (
		SELECT FROM pg_index AS i WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
			AND CASE WHEN is_partitioned THEN (i.indkey::int2[])[0:cardinality(ids) - 1] @> ids
					 ELSE (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ ids END);
	primary_key text := (SELECT string_agg(to_jsonb(a.attname)::text, ', ' ORDER BY k.n)
						 FROM pg_index AS i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
							 JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
						 WHERE i.indrelid = relation AND i.indisprimary AND k.n <= i.indnkeyatts);
	-- A partitioned table's unique indexes contain the columns by which it is divided.
	further text := (SELECT string_agg(', ' || quote_ident(a.attname), '' ORDER BY k.n)
					 FROM pg_partitioned_table AS p CROSS JOIN LATERAL unnest(p.partattrs) WITH ORDINALITY AS k (attnum, n)
						 JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = k.attnum
					 WHERE p.partrelid = relation AND k.attnum <> ALL (ids));
BEGIN
	IF cardinality(ids) = 0 OR (is_unique AND nullable IS NULL) THEN
		RETURN NULL;
	END IF;
	RETURN format('column%s %s (id) must be NOT NULL and the key of a unique index: ALTER TABLE %s %s%s',
		CASE WHEN cardinality(ids) > 1 THEN 's' ELSE '' END,
		(SELECT string_agg(format('"%s"', a.attname), ', ' ORDER BY x.n) FROM unnest(ids) WITH ORDINALITY AS x (attnum, n)
			 JOIN pg_attribute AS a ON a.attrelid = relation AND a.attnum = x.attnum),
		relation,
		CASE WHEN is_unique THEN nullable
			 WHEN primary_key IS NULL THEN format('ADD PRIMARY KEY (%s%s)', names, further)
			 ELSE concat_ws(', ', nullable, format('ADD UNIQUE (%s%s)', names, further)) END,
		CASE WHEN NOT is_unique AND primary_key IS NOT NULL AND NOT is_partitioned THEN
			format('; or map the table''s key: {"id": [%s]}', primary_key) ELSE '' END);
END $$;

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
	SELECT reconciler._key_problem($1, $2) FROM c WHERE reconciler._key_problem($1, $2) IS NOT NULL
	UNION ALL
	SELECT format('column "%s" (%s) is generated', a.attname, m.name)
		FROM c CROSS JOIN reconciler._mapped_columns($2) AS m
			JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = m.mapped
		WHERE a.attgenerated <> '' AND (m.name IN ('status', 'updated_at') OR m.pos >= 12)
	UNION ALL
	SELECT r.problem FROM c CROSS JOIN LATERAL reconciler._result_problems($1, $2) AS r (problem)
	UNION ALL
	-- Never computed for triggers (PostgreSQL 18): an amount would read as null, which is any amount.
	SELECT format('column "%s" (%s) is a virtual generated column, which triggers can''t read: make it STORED', a.attname, r.name)
		FROM c CROSS JOIN reconciler._mapped_columns($2) AS r
			JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = r.mapped
		WHERE a.attgenerated = 'v'
$$;

-- A call of attach that could work, for hints.
CREATE FUNCTION _attach_advice(relation regclass, columns jsonb, mapping jsonb, problems text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(
		'Name the columns: SELECT reconciler.attach(' || quote_literal($1::text) || ', columns => '
			|| quote_literal((coalesce($2, '{}') || w.wrong)::text) || ');',
		'Put it right, then: SELECT reconciler.attach(' || quote_literal($1::text) || ');')
	FROM (SELECT jsonb_object_agg(m.name, CASE
				WHEN p.problem LIKE '%say how many decimals%' THEN jsonb_build_object('column', m.mapped, 'decimals', '<decimals>')
				WHEN p.problem LIKE '%has no time zone%' THEN jsonb_build_object('column', m.mapped, 'zone', 'UTC')
				WHEN p.problem LIKE '%leave "zone" out' THEN to_jsonb(m.mapped)
				WHEN r.constant THEN '"<column, or =value if it is the same for all>"'
				ELSE '"<column>"' END ORDER BY m.pos) AS wrong
		  FROM reconciler._mapped_columns($3) AS m JOIN reconciler._column_rules() AS r ON r.name = m.name
			JOIN unnest($4) AS p (problem) ON p.problem LIKE m.name || ': %') AS w
$$;

-- checked: everything was looked at
CREATE FUNCTION _refuse_attach(relation regclass, columns jsonb, mapping jsonb, problems text[], checked boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	advice text := CASE WHEN array_to_string(problems, E'\n') ~ '(^|\n)(type .* has no value|status )' THEN
		format(' Or say which words of the table''s stand for what: statuses => %L; null: the reconciler keeps it to itself.',
			'{"pending": ["<word>", …], "detected": null, "confirmed": "<word>", "expired": "<word>"}') ELSE '' END;
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
		MESSAGE = format('table %s can''t be attached: %s', relation, problems[1]),
		DETAIL = CASE WHEN cardinality(problems) > 1 THEN array_to_string(problems[2:], E'\n')
					  WHEN checked THEN 'Nothing else is wrong with it.' ELSE 'The rest can be looked at when this is right.' END,
		HINT = reconciler._attach_advice(relation, columns, mapping, problems) || advice;
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

-- What is wrong with how one logical column is mapped, as a hint how to map it; null: nothing.
CREATE FUNCTION _mapping_form(name text, value jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN jsonb_typeof($2) = 'null' OR (jsonb_typeof($2) = 'string' AND $2 <> '""') THEN NULL
		WHEN jsonb_typeof($2) = 'array' AND $1 = 'id' THEN CASE
			WHEN jsonb_array_length($2) NOT BETWEEN 1 AND 8
				OR jsonb_array_length($2) <> (SELECT count(DISTINCT e.v) FROM jsonb_array_elements($2) AS e (v)
											  WHERE jsonb_typeof(e.v) = 'string' AND e.v <> '""' AND e.v #>> '{}' NOT LIKE '=%')
			THEN 'Of a key of several columns, name each once: {"id": ["tenant_id", "id"]}.' END
		WHEN jsonb_typeof($2) = 'object' AND r.option IS NOT NULL
			AND jsonb_typeof($2 -> 'column') = 'string' AND $2 ->> 'column' !~ '^(=|$)' AND $2 - 'column' - r.option = '{}' THEN CASE
			WHEN r.option = 'decimals' AND coalesce($2 ->> 'decimals' !~ '^([0-9]|[1-6][0-9]|7[0-7])$', false)
				THEN 'The decimals of a coin are a number from 0 to 77: {"column": "amount", "decimals": 18}.'
			WHEN r.option = 'zone' AND $2 ? 'zone' AND NOT EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = $2 ->> 'zone')
				THEN 'Zones are those of the view pg_timezone_names, such as UTC or Europe/Berlin.' END
		ELSE 'Give the name as a string; null for a column that the table does not have.' END
	FROM reconciler._column_rules() AS r WHERE r.name = $1
$$;

-- The full mapping: defaults for what the caller doesn't name, without what the table doesn't have.
CREATE FUNCTION _complete_mapping(relation regclass, columns jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	bad text;
	form text;
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
	SELECT k.key, reconciler._mapping_form(k.key, k.value) INTO bad, form FROM jsonb_each(columns) AS k
		WHERE reconciler._mapping_form(k.key, k.value) IS NOT NULL ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		PERFORM reconciler._refuse(format('columns maps "%s" to something that is not a column''s name', bad), form);
	END IF;
	RETURN (
		SELECT jsonb_strip_nulls(jsonb_object_agg(r.name,
			CASE WHEN columns ->> r.name LIKE '=%' THEN to_jsonb(regexp_replace(columns ->> r.name, '^=''(.*)''$', E'=\\1'))
				 WHEN columns ? r.name THEN columns -> r.name
				 -- Results are written into columns that were named, only.
				 WHEN r.needed OR (r.pos < 12 AND reconciler._column_type(relation, r.name) IS NOT NULL) THEN to_jsonb(r.name) END))
		FROM reconciler._column_rules() AS r);
END $$;
