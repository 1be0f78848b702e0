-- Words that a table has for statuses, and whether it would take them.

-- The full mapping of statuses to words: for each an array, of which the first is
-- written and all are read.
CREATE FUNCTION _complete_statuses(statuses jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	complete jsonb;
	bad text;
BEGIN
	IF statuses IS NOT NULL AND jsonb_typeof(statuses) <> 'object' THEN
		PERFORM reconciler._refuse('statuses must be a JSON object',
			'Map statuses to the table''s words: statuses => ''{"pending": ["new", "PENDING"], "confirmed": "paid"}''.');
	END IF;
	SELECT k INTO bad FROM jsonb_object_keys(coalesce(statuses, '{}')) AS k WHERE NOT reconciler._own_statuses() ? k ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		PERFORM reconciler._refuse(format('statuses names "%s", which is not known', bad),
			'Known are: pending, detected, confirmed, expired.');
	END IF;
	SELECT jsonb_object_agg(o.key, CASE jsonb_typeof(statuses -> o.key)
			WHEN 'string' THEN jsonb_build_array(statuses -> o.key)
			WHEN 'null' THEN '[]'
			ELSE coalesce(statuses -> o.key, o.value) END)
		INTO complete FROM jsonb_each(reconciler._own_statuses()) AS o;
	SELECT c.key INTO bad FROM jsonb_each(complete) AS c
		WHERE CASE WHEN jsonb_typeof(c.value) <> 'array' OR jsonb_array_length(c.value) > 50 THEN true
				   WHEN c.value = '[]' THEN c.key IN ('pending', 'confirmed')
					   OR jsonb_typeof(statuses -> c.key) = 'array'
				   ELSE EXISTS (SELECT FROM jsonb_array_elements(c.value) AS w
								WHERE jsonb_typeof(w) <> 'string' OR w = '""') END
		ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		PERFORM reconciler._refuse(format('statuses maps "%s" to something that is not a word of the table''s', bad),
			'Give a string, or an array of strings, of which the first is written and all are read; null for detected: the row then says pending.');
	END IF;
	SELECT w.word INTO bad FROM jsonb_each(complete) AS c CROSS JOIN LATERAL jsonb_array_elements_text(c.value) AS w (word)
		GROUP BY w.word HAVING count(*) > 1 ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		PERFORM reconciler._refuse(format('statuses has the word "%s" twice', bad),
			'A word can stand for one status only; a status that is not named has its own word.');
	END IF;
	RETURN complete;
END $$;

-- The words that the reconciler may come to write: expired only where something can expire.
CREATE FUNCTION _words_written(columns jsonb, statuses jsonb) RETURNS TABLE (rank int, word text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT s.rank, $2 -> s.status ->> 0
	FROM (VALUES (1, 'pending'), (2, 'detected'), (3, 'confirmed'), (4, 'expired')) AS s (rank, status)
	WHERE $2 -> s.status <> '[]' AND (s.status <> 'expired' OR $1 ? 'expires_at')
$$;

CREATE FUNCTION _open_words(statuses jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT ARRAY(SELECT jsonb_array_elements_text(($1 -> 'pending') || ($1 -> 'detected')))
$$;

-- Runs a query as the owner of the table, and undoes what it did: {result, error}.
-- For what the owner's own checks and defaults say.
CREATE FUNCTION _try_as_owner(relation regclass, query text) RETURNS text[]
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'reconciler_try_as_owner';

-- The declared length of a varchar column, or of the domain that it has; null: none.
CREATE FUNCTION _column_length(relation regclass, column_name text) RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE base AS (
		SELECT t.oid, t.typbasetype, t.typtypmod, a.atttypmod AS typmod
		FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
		WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT t.oid, t.typbasetype, t.typtypmod, b.typtypmod FROM base AS b JOIN pg_type AS t ON t.oid = b.typbasetype
	)
	SELECT b.typmod - 4 FROM base AS b WHERE b.oid = 'varchar'::regtype AND b.typmod >= 4
$$;

-- The checks of a table and its partitions that name the column, with the table
-- that each belongs to. others: they name others, too.
CREATE FUNCTION _checks_of(relation regclass, column_name text)
RETURNS TABLE (place regclass, name name, expression text, others boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.relid, c.conname, pg_get_expr(c.conbin, c.conrelid), c.conkey <> ARRAY[a.attnum]
	FROM (SELECT $1 AS relid UNION SELECT t.relid FROM pg_partition_tree($1) AS t) AS p
		JOIN pg_attribute AS a ON a.attrelid = p.relid AND a.attname = $2 AND NOT a.attisdropped
		JOIN pg_constraint AS c ON c.conrelid = p.relid AND c.contype = 'c' AND a.attnum = ANY (c.conkey)
	WHERE (p.relid = $1 OR c.conislocal) AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
	ORDER BY p.relid <> $1, p.relid::text, c.conname
$$;

-- Why the table would not take a word as a status, as far as the column alone decides; null: it would.
-- run: whether code of the owner's may be.
CREATE FUNCTION _word_problem(relation regclass, column_name text, word text, run boolean) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	type regtype := (SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attname = column_name);
	tried text[];
	c record;
BEGIN
	IF reconciler._column_type(relation, column_name) = 'enum' AND NOT EXISTS (
			SELECT FROM pg_enum AS e WHERE e.enumlabel = word AND e.enumtypid = reconciler._base_type(relation, column_name)) THEN
		RETURN format('type %s of column "%s" (status) has no value ''%s'': ALTER TYPE %1$s ADD VALUE %3$L',
			reconciler._base_type(relation, column_name)::regtype, column_name, word);
	END IF;
	IF char_length(word) > reconciler._column_length(relation, column_name) THEN
		RETURN format('status ''%s'' is longer than the %s characters that column "%s" takes', word,
			reconciler._column_length(relation, column_name), column_name);
	END IF;
	IF NOT run THEN
		RETURN NULL;
	END IF;
	tried := reconciler._try_as_owner(relation, format('SELECT (%L::%s) IS NULL', word, type));
	IF tried[2] IS NOT NULL THEN
		RETURN format('status ''%s'' is not taken by type %s of column "%s": %s', word, type, column_name, tried[2]);
	END IF;
	FOR c IN SELECT k.* FROM reconciler._checks_of(relation, column_name) AS k WHERE NOT k.others LOOP
		tried := reconciler._try_as_owner(relation,
			format('SELECT (%s) FROM (SELECT %L::%s AS %I) AS t', c.expression, word, type, column_name));
		IF tried[1] = 'f' OR tried[2] IS NOT NULL THEN
			RETURN format('status ''%s'' is not taken by check constraint "%s" of table %s%s', word, c.name, c.place, ': ' || tried[2]);
		END IF;
	END LOOP;
	RETURN reconciler._reference_problem(relation, column_name, word);
END $$;

-- A table of the words that are allowed
CREATE FUNCTION _reference_problem(relation regclass, column_name text, word text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	tried text[];
	f record;
BEGIN
	FOR f IN
		SELECT c.conname, c.confrelid::regclass AS place, r.attname, r.atttypid::regtype AS type
		FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attname = column_name
			JOIN pg_attribute AS r ON r.attrelid = c.confrelid AND r.attnum = c.confkey[1]
		WHERE c.conrelid = relation AND c.contype = 'f' AND c.conkey = ARRAY[a.attnum] AND c.conparentid = 0
	LOOP
		tried := reconciler._try_as_owner(f.place,
			format('SELECT EXISTS (SELECT FROM %s AS r WHERE r.%I = %L::%s)', f.place, f.attname, word, f.type));
		IF tried[1] = 'f' THEN
			RETURN format('status ''%s'' is not in table %s, to which foreign key "%s" refers: INSERT INTO %2$s (%4$I) VALUES (%5$L)',
				word, f.place, f.conname, f.attname, word);
		END IF;
	END LOOP;
	RETURN NULL;
END $$;

-- What of the words that will be written the table would not take, and what can't be read from an enum.
CREATE FUNCTION _word_problems(relation regclass, columns jsonb, statuses jsonb, run boolean) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.problem
	FROM (SELECT w.rank, w.word FROM reconciler._words_written($2, $3) AS w
		  UNION
		  SELECT 5, o.word FROM unnest(reconciler._open_words($3)) AS o (word)
		  WHERE reconciler._column_type($1, $2 ->> 'status') = 'enum'
			AND o.word NOT IN (SELECT w.word FROM reconciler._words_written($2, $3) AS w)) AS x
		CROSS JOIN LATERAL (SELECT reconciler._word_problem($1, $2 ->> 'status', x.word, $4) AS problem) AS p
	WHERE p.problem IS NOT NULL
		AND reconciler._column_type($1, $2 ->> 'status') IN ('text', 'character varying', 'enum')
	ORDER BY x.rank, x.word
$$;

-- Of the words that will be written, those that a check that names other columns,
-- too, takes for none of the open requests that are there; null: there are none.
CREATE FUNCTION _words_refused(relation regclass, columns jsonb, statuses jsonb, expression text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	status text := columns ->> 'status';
	type regtype := (SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attname = status);
	place text := (SELECT CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || c.oid::regclass FROM pg_class AS c WHERE c.oid = relation);
	open text := (SELECT string_agg(quote_literal(w), ', ') FROM unnest(reconciler._open_words(statuses)) AS w);
	others text := (SELECT string_agg(', ' || quote_ident(a.attname), '' ORDER BY a.attnum) FROM pg_attribute AS a
					WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> status);
	refused text[] := '{}';
	tried text[];
	w record;
BEGIN
	FOR w IN SELECT x.word FROM reconciler._words_written(columns, statuses) AS x ORDER BY x.rank LOOP
		tried := reconciler._try_as_owner(relation, format(
			'SELECT bool_or(coalesce((%s), true)) FROM (SELECT %L::%s AS %I%s FROM %s WHERE %I IN (%s) LIMIT 100) AS t',
			expression, w.word, type, status, others, place, status, open));
		IF tried[1] IS NULL AND tried[2] IS NULL THEN
			RETURN NULL;
		ELSIF tried[1] IS DISTINCT FROM 't' THEN
			refused := refused || w.word;
		END IF;
	END LOOP;
	RETURN refused;
END $$;

CREATE FUNCTION _warn_of_checks(relation regclass, columns jsonb, statuses jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	refused text[];
	x record;
BEGIN
	FOR x IN SELECT k.* FROM reconciler._checks_of(relation, columns ->> 'status') AS k WHERE k.others AND k.place = relation LOOP
		refused := reconciler._words_refused(relation, columns, statuses, x.expression);
		CONTINUE WHEN refused = '{}';
		RAISE WARNING USING ERRCODE = 'check_violation',
			MESSAGE = format(CASE WHEN refused IS NULL
				THEN 'whether check constraint "%s" of table %s lets the status be set can''t be told: it names other columns, too, and there is no open request'
				ELSE 'check constraint "%s" of table %s lets no open request that is there get status %s' END,
				x.name, relation, (SELECT string_agg(quote_literal(r), ', ') FROM unnest(refused) AS r)),
			HINT = 'The reconciler writes the status alone: where the constraint wants more, requests are not settled unless a trigger BEFORE UPDATE adds it.';
	END LOOP;
END $$;

-- What lets nothing be observed, though it can be meant
CREATE FUNCTION _warn_of_closed(relation regclass, columns jsonb, statuses jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	status text := columns ->> 'status';
	open text[] := reconciler._open_words(statuses);
	place text := (SELECT CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || c.oid::regclass FROM pg_class AS c WHERE c.oid = relation);
	preset text := (SELECT coalesce(pg_get_expr(d.adbin, d.adrelid), t.typdefault)
					FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
						LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
					WHERE a.attrelid = relation AND a.attname = status);
	found text;
BEGIN
	IF preset IS NOT NULL THEN
		found := (reconciler._try_as_owner(relation, format('SELECT to_jsonb(%s) #>> ''{}''', preset)))[1];
		IF found <> ALL (open) THEN
			RAISE WARNING USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('the default of column "%s" (status) of table %s is ''%s'', which is not one of the open statuses', status, relation, found),
				HINT = format('A request is observed when its status is one of: %s. Set it so, or name ''%s'' as a word for pending: statuses => %L.',
					array_to_string(open, ', '), found, json_build_object('pending', found));
		END IF;
	END IF;
	found := (reconciler._try_as_owner(relation, format(
		'SELECT string_agg(quote_literal(d.s), '', '' ORDER BY d.s) FROM (SELECT DISTINCT to_jsonb(x.%1$I) #>> ''{}'' AS s FROM (SELECT t.%1$I FROM %2$s AS t LIMIT 10000) AS x ORDER BY 1 LIMIT 5) AS d'
		' WHERE NOT EXISTS (SELECT FROM %2$s AS t WHERE t.%1$I IN (%3$s))',
		status, place, (SELECT string_agg(quote_literal(w), ', ') FROM unnest(open) AS w))))[1];
	IF found IS NOT NULL THEN
		RAISE WARNING USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('none of the requests in table %s is open: their statuses are %s', relation, found),
			HINT = format('Open are: %s. If another word means that a payment is waited for, detach the table and attach it with statuses => %L.',
				array_to_string(open, ', '), '{"pending": "<word>"}');
	END IF;
END $$;

COMMENT ON FUNCTION _try_as_owner(regclass, text) IS
'Runs a query as the owner of a table, and undoes what it did: {result, error}';
