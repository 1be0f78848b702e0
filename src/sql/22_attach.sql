-- Attach, detach, reopen: what only a table's owner may, or who may update it.

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
	PERFORM reconciler._event('request.reopened', of_source, id, jsonb_build_object('from', status));
	RETURN true;
END $$;

-- Likewise all that are open in the table.
CREATE FUNCTION _note_reopenings(of_source int) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	WITH reopened AS (
	INSERT INTO reconciler.transitions (source_id, source, request_id, from_status, to_status, reason)
	SELECT $1, s.relation::text, o.request_id, t.to_status, o.status, 'reopened'
	FROM reconciler.sources AS s CROSS JOIN reconciler._open_requests($1) AS o
		CROSS JOIN LATERAL (SELECT l.* FROM reconciler.transitions AS l
							WHERE l.source_id = $1 AND l.request_id = o.request_id
							ORDER BY l.transition_id DESC LIMIT 1) AS t
	WHERE s.source_id = $1 AND reconciler._is_over(t.to_status, t.reason, t.at, o.expires_at)
	RETURNING *)
	INSERT INTO reconciler.events (kind, source_id, source, request_id, at, payload)
	SELECT 'request.reopened', r.source_id, r.source, r.request_id, r.at, jsonb_build_object('from', r.from_status) FROM reopened AS r
$$;

-- All that stands against a mapping, or an error.
CREATE FUNCTION _check_attach(relation regclass, columns jsonb, mapping jsonb, words jsonb, allow_superuser_owner boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	owner name := CASE WHEN allow_superuser_owner IS NOT TRUE THEN reconciler._superuser_owner(relation) END;
	problems text[] := ARRAY(SELECT reconciler._mapping_problems(relation, mapping));
	checked boolean := problems = '{}' OR NOT EXISTS (SELECT FROM unnest(problems) AS p WHERE p LIKE 'status: %' OR p LIKE 'id: %');
BEGIN
	problems := problems || ARRAY(SELECT reconciler._table_problems(relation, mapping))
		|| ARRAY(SELECT reconciler._word_problems(relation, mapping, words, owner IS NULL));
	IF words -> 'expired' = '[]' AND mapping ? 'expires_at' THEN
		problems := problems || 'status expired has no word, but requests can expire: name one, or let none of them, {"expires_at": null}'::text;
	END IF;
	IF problems = '{}' AND owner IS NOT NULL THEN
		PERFORM reconciler._refuse_superuser(relation, owner);
	ELSIF problems <> '{}' THEN
		PERFORM reconciler._refuse_attach(relation, columns, mapping,
			problems || CASE WHEN owner IS NOT NULL THEN ARRAY[format('it belongs to %I, a superuser', owner)] END, checked AND owner IS NULL);
	END IF;
END $$;

-- The part of attach that runs with the extension owner's rights; the caller's are checked.
CREATE FUNCTION _attach(relation regclass, columns jsonb, allow_superuser_owner boolean, reopen boolean,
	statuses jsonb DEFAULT NULL) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	mapping jsonb;
	words jsonb := reconciler._complete_statuses(statuses);
	new_id int;
	networks jsonb := reconciler._networks_as_they_are();
BEGIN
	IF EXISTS (SELECT FROM reconciler.sources AS s WHERE s.relation = _attach.relation) THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
			MESSAGE = format('table %s is already attached', relation),
			HINT = format('To attach it with other columns, first: SELECT reconciler.detach(%L);', relation::text);
	END IF;
	mapping := reconciler._complete_mapping(relation, columns);
	PERFORM reconciler._check_attach(relation, columns, mapping, words, allow_superuser_owner);
	-- Those that came with a copy of another table
	PERFORM reconciler._drop_triggers(relation);
	DELETE FROM reconciler.former_sources AS f WHERE f.relation = _attach.relation RETURNING f.source_id INTO new_id;
	new_id := coalesce(new_id, nextval('reconciler.sources_source_id_seq')::int);
	INSERT INTO reconciler.sources (source_id, relation, columns, statuses, arguments, superuser_owner)
		VALUES (new_id, relation, mapping, words, reconciler._mapping_arguments(relation, mapping, words, false), allow_superuser_owner);
	-- The table is locked against writers: what is there and what comes make up everything.
	PERFORM reconciler._create_triggers(new_id, relation, mapping, words);
	IF reopen THEN
		PERFORM reconciler._note_reopenings(new_id);
	END IF;
	PERFORM reconciler._resync(new_id);
	-- One that was attached before may have left its number.
	DELETE FROM reconciler.resyncs AS k WHERE k.source_id = new_id;
	INSERT INTO reconciler.resyncs VALUES (new_id, 0, 0, clock_timestamp(), '{}', networks);
	PERFORM reconciler._warn_of_setup();
	PERFORM reconciler._warn_of_checks(relation, mapping, words);
	PERFORM reconciler._warn_of_closed(relation, mapping, words);
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
	DELETE FROM reconciler.watched AS w WHERE w.source_id = old_id;
END $$;

-- With the caller's rights: the caller must own the table.
CREATE FUNCTION attach(relation regclass, columns jsonb DEFAULT '{}', allow_superuser_owner boolean DEFAULT false,
	reopen boolean DEFAULT false, statuses jsonb DEFAULT NULL) RETURNS int
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

COMMENT ON FUNCTION reopen(regclass, text) IS
'Sets a request to pending that reconciler has confirmed or expired, and has it observed again, which no other change of its status does; the caller needs UPDATE on the status. False: it is being observed';
COMMENT ON FUNCTION attach(regclass, jsonb, boolean, boolean, jsonb) IS
'Attaches a table, with the requests that are in it; with reopen also those that were confirmed or had expired when it was attached before; it must not belong to a superuser, unless allow_superuser_owner says so; columns maps names (id, status, chain, network, expected_amount_minor, address_canonical, token_contract, expires_at, created_at, asset, updated_at, and for what came of a request received_amount_minor, paid_at, transaction_id) to the table''s columns, "=value" for a constant chain or network, null for none, an array for a key of several columns, {"column": …, "decimals": …} for amounts in whole coins, {"column": …, "zone": …} for times without a zone; statuses maps pending, detected, confirmed and expired to the table''s words for them';
COMMENT ON FUNCTION detach(regclass) IS 'Detaches a table and leaves it as it was';
COMMENT ON FUNCTION create_table(text, name, boolean) IS
'Creates an ordinary table for payment requests, which belongs to the caller, and attaches it';
