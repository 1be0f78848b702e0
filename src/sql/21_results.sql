-- Columns into which the reconciler writes what came of a request, where the
-- mapping names them. A value that a column can't hold is left out: it must never
-- keep a status from being set.

-- What speaks against them, one line a problem
CREATE FUNCTION _result_problems(relation regclass, columns jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH m AS MATERIALIZED (
		SELECT x.*, a.attnotnull, t.typtype FROM reconciler._mapped_columns($2) AS x
			LEFT JOIN pg_attribute AS a ON a.attrelid = $1 AND a.attname = x.mapped AND a.attnum > 0
			LEFT JOIN pg_type AS t ON t.oid = a.atttypid
	)
	SELECT format('column "%s" (%s) must allow nulls: ALTER TABLE %s ALTER COLUMN %1$I DROP NOT NULL', m.mapped, m.name, $1)
		FROM m WHERE m.pos >= 12 AND m.attnotnull
	UNION ALL
	SELECT format('column "%s" (%s) has a domain as its type, which may refuse values: give it the type %s', m.mapped, m.name,
				  reconciler._column_type($1, m.mapped))
		FROM m WHERE m.pos >= 12 AND m.typtype = 'd'
	UNION ALL
	SELECT format('column "%s" (%s) can''t hold %s decimal places', m.mapped, m.name, coalesce(m.decimals, 0))
		FROM m WHERE m.name = 'received_amount_minor'
			AND ((reconciler._column_type($1, m.mapped) = 'bigint' AND m.decimals > 0)
				 OR reconciler._column_scale($1, m.mapped) < coalesce(m.decimals, 0))
	UNION ALL
	SELECT format('column "%s" is mapped twice, as %s', m.mapped, string_agg(m.name, ' and ' ORDER BY m.pos))
		FROM m WHERE m.mapped IS NOT NULL
		GROUP BY m.mapped HAVING count(*) > 1 AND max(m.pos) >= 11
$$;

-- What UPDATE's SET says of them: of r, a _result.
CREATE FUNCTION _result_assignments(relation regclass, columns jsonb) RETURNS TABLE (pos int, assignment text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT m.pos, format('%I = CASE WHEN %s THEN %s END', m.mapped, f.fits, v.value)
	FROM reconciler._mapped_columns($2) AS m
		JOIN pg_attribute AS a ON a.attrelid = $1 AND a.attname = m.mapped AND a.attnum > 0
		CROSS JOIN LATERAL (SELECT CASE
			WHEN m.name = 'transaction_id' THEN 'r.transaction_id'
			WHEN m.name = 'paid_at' THEN CASE WHEN m.zone IS NULL THEN 'r.paid_at'
				ELSE format('pg_catalog.timezone(%L, r.paid_at)', m.zone) END
			WHEN m.decimals > 0 THEN format('(r.received OPERATOR(pg_catalog.*) 0.%s1)', repeat('0', m.decimals - 1))
			ELSE 'r.received' END AS amount) AS x
		CROSS JOIN LATERAL (SELECT CASE reconciler._column_type($1, m.mapped)
			WHEN 'text' THEN x.amount || '::pg_catalog.text'
			WHEN 'character varying' THEN x.amount || '::pg_catalog.text'
			WHEN 'bigint' THEN x.amount || '::pg_catalog.int8'
			ELSE x.amount END AS value) AS v
		CROSS JOIN LATERAL (SELECT CASE
			WHEN reconciler._column_type($1, m.mapped) = 'bigint' THEN 'r.received OPERATOR(pg_catalog.<=) 9223372036854775807'
			WHEN reconciler._column_length($1, m.mapped) IS NOT NULL THEN
				format('pg_catalog.length(%s) OPERATOR(pg_catalog.<=) %s', v.value, reconciler._column_length($1, m.mapped))
			-- numeric(p, s): p - s digits before the point
			WHEN reconciler._column_type($1, m.mapped) = 'numeric' AND a.atttypmod >= 4 THEN
				format('%s OPERATOR(pg_catalog.<) 1%s', x.amount,
					repeat('0', greatest((((a.atttypmod - 4) >> 16) & 65535) - reconciler._column_scale($1, m.mapped), 0)))
			ELSE 'true' END AS fits) AS f
	WHERE m.pos >= 12 AND m.mapped IS NOT NULL
$$;
