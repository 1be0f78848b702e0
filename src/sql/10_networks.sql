-- Networks: what the chains are and where their nodes stand.

-- A refusal that names what to do.
CREATE FUNCTION _refuse(problem text, advice text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem, HINT = advice;
END $$;

-- Backslashes stand in E'' strings only: in others they mean what the session's
-- standard_conforming_strings says.
CREATE FUNCTION _is_name(name text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
	SELECT pg_catalog.char_length(name) BETWEEN 1 AND 100
		AND name OPERATOR(pg_catalog.!~) E'[\\x01-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]'
$$;

COMMENT ON FUNCTION _is_name(text) IS
'Whether a text can pass for a name in logs and views: not empty, at most 100 characters, no control characters, nothing invisible, nothing that changes the direction of writing';

-- A setting without its prefix, or its default where the library isn't loaded
-- and nothing is configured. base_unit is what a bare number counts, as for
-- the setting itself.
CREATE FUNCTION _setting_interval(name text) RETURNS interval
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
		SELECT CASE WHEN s.value ~ '^ *[0-9]+ *$' THEN s.value::bigint * d.base_unit ELSE s.value::interval END
		FROM (VALUES ('lease_duration', '15s', interval '1 millisecond'),
					 ('poll_interval', '15s', interval '1 millisecond'),
					 ('request_timeout', '5s', interval '1 millisecond'),
					 ('expiry_grace', '1h', interval '1 second'),
					 ('event_retention', '7d', interval '1 second'),
					 ('retention', '0', interval '1 second'),
					 ('event_retention_limit', '30d', interval '1 second'),
					 ('webhook_timeout', '10s', interval '1 millisecond'),
					 ('webhook_retry', '5s', interval '1 millisecond'),
					 ('webhook_give_up', '3d', interval '1 second')) AS d (name, value, base_unit),
			 LATERAL (SELECT coalesce(nullif(current_setting('reconciler.' || d.name, true), ''), d.value)) AS s (value)
		WHERE d.name = $1);
END $$;

CREATE FUNCTION _setting_int(name text) RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(nullif(current_setting('reconciler.' || d.name, true), ''), d.value)::int
	FROM (VALUES ('batch_size', '700'), ('workers', '0'), ('max_workers', '8')) AS d (name, value)
	WHERE d.name = $1
$$;

-- A URL without what may be secret in it.
CREATE FUNCTION _redact_url(url text) RETURNS text
LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'reconciler_redact_url';

CREATE FUNCTION _check_endpoints(endpoints text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	position int := 0;
	url text;
BEGIN
	FOREACH url IN ARRAY endpoints LOOP
		position := position + 1;
		-- The URL may hold a key: it isn't repeated.
		IF url IS NULL OR url !~ E'^https?://[^/?#\\s]+(/\\S*|[?]\\S*)?$' THEN
			PERFORM reconciler._refuse(format('endpoint %s is not an http or https URL', position),
				'Give endpoints as ARRAY[''https://host:port/path'', …], in order of preference.');
		END IF;
	END LOOP;
END $$;

CREATE FUNCTION _check_network(n networks) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF coalesce(n.chain, '') = '' OR coalesce(n.network, '') = '' THEN
		PERFORM reconciler._refuse('chain and network must not be empty',
			'Use the names that stand in the columns chain and network of your requests.');
	END IF;
	IF NOT (reconciler._is_name(n.chain) AND reconciler._is_name(n.network)) THEN
		PERFORM reconciler._refuse('chain and network must have at most 100 characters, none of them invisible',
			'Use the names that stand in the columns chain and network of your requests.');
	END IF;
	IF n.verify <> 'server' THEN
		PERFORM reconciler._refuse(format('verify "%s" is not known', n.verify),
			'Use server, or leave it out: what every worker saw counts.');
	END IF;
	PERFORM reconciler._check_kind(n);
	PERFORM reconciler._check_following(n);
	IF n.endpoints IS NULL THEN
		PERFORM reconciler._refuse('endpoints must not be null', 'Give ''{}'' for a network without endpoints.');
	END IF;
	PERFORM reconciler._check_endpoints(n.endpoints);
	IF n.chain_id <= 0 THEN
		PERFORM reconciler._refuse('chain_id must be above 0', 'Ask the node: eth_chainId.');
	END IF;
	IF n.confirmations < 1 THEN
		PERFORM reconciler._refuse('confirmations must be at least 1', '1 is the tip itself.');
	END IF;
	IF n.block_tag NOT IN ('safe', 'finalized') THEN
		PERFORM reconciler._refuse(format('block_tag "%s" is not known', n.block_tag),
			'Use safe or finalized, or leave it out and use confirmations.');
	END IF;
	IF NOT (n.detected_bps >= 1 AND n.detected_bps <= n.confirmed_bps AND n.confirmed_bps <= 10000) THEN
		PERFORM reconciler._refuse('thresholds must satisfy 1 <= detected_bps <= confirmed_bps <= 10000',
			'They are basis points of the expected amount; 10000 is all of it.');
	END IF;
	IF n.batch_size NOT BETWEEN 1 AND 740 THEN
		PERFORM reconciler._refuse('batch_size must be between 1 and 740',
			'740 requests are what one call to an EVM node can answer.');
	END IF;
	IF n.poll_interval NOT BETWEEN interval '100 milliseconds' AND interval '1 day' THEN
		PERFORM reconciler._refuse('poll_interval must be between 100 ms and 1 day', 'Give, say, ''15 seconds''.');
	END IF;
	IF n.request_timeout NOT BETWEEN interval '100 milliseconds' AND interval '10 minutes' THEN
		PERFORM reconciler._refuse('request_timeout must be between 100 ms and 10 min', 'Give, say, ''5 seconds''.');
	END IF;
	IF n.lease_duration NOT BETWEEN interval '1 second' AND interval '1 hour' THEN
		PERFORM reconciler._refuse('lease_duration must be between 1 s and 1 hour', 'Give, say, ''15 seconds''.');
	END IF;
	IF n.expiry_grace < interval '0' THEN
		PERFORM reconciler._refuse('expiry_grace must not be negative', 'Give, say, ''1 hour''.');
	END IF;
	IF n.max_tip_age <= interval '0' THEN
		PERFORM reconciler._refuse('max_tip_age must be above 0',
			'For no limit: set_network(…, reset => ''{max_tip_age}'').');
	END IF;
	IF n.rate_limit <= 0 THEN
		PERFORM reconciler._refuse('rate_limit must be above 0', 'It counts HTTP requests per second over all workers.');
	END IF;
END $$;

-- Gives requests of one network to another; one of the two is network 0.
CREATE FUNCTION _move_requests(from_id int, to_id int, of_chain text, of_network text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	moved bigint;
BEGIN
	UPDATE reconciler.queue AS q
	SET network_id = n.network_id,
		chain = CASE WHEN n.network_id = 0 THEN of_chain END,
		network = CASE WHEN n.network_id = 0 THEN of_network END,
		seen = NULL, settled = NULL, error = NULL, error_at = NULL,
		key = reconciler._queue_key(n, q.address, q.token_contract),
		followed = reconciler._is_followed(n, q.token_contract), look_back_due = reconciler._is_followed(n, q.token_contract),
		looking_back = false, look_back_error = NULL,
		invalid = CASE WHEN q.invalid LIKE 'expected_amount_minor %' THEN q.invalid
					   ELSE reconciler._request_problem(n.kind, of_network, q.address, q.token_contract) END
	FROM reconciler.networks AS n
	WHERE n.network_id = to_id AND q.network_id = from_id
		AND (from_id <> 0 OR (q.chain = of_chain AND q.network = of_network));
	GET DIAGNOSTICS moved = ROW_COUNT;
	RETURN moved;
END $$;

-- Requests under network 0 whose network has been registered: those that a
-- transaction brought in which didn't see the registration yet.
CREATE FUNCTION _adopt_requests() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
	SELECT coalesce(sum(reconciler._move_requests(0, n.network_id, n.chain, n.network)), 0)::bigint
	FROM reconciler.networks AS n
	WHERE n.network_id <> 0
		AND (SELECT true FROM reconciler.queue AS q
			 WHERE q.network_id = 0 AND q.chain = n.chain AND q.network = n.network LIMIT 1)
$$;

-- Inserts the network and takes its waiting requests; null: it is there already.
CREATE FUNCTION _insert_network(n networks) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	new_id int;
BEGIN
	INSERT INTO reconciler.networks (chain, network, kind, endpoints, chain_id, confirmations, block_tag,
			detected_bps, confirmed_bps, batch_size, poll_interval, lease_duration, request_timeout,
			expiry_grace, max_tip_age, rate_limit, enabled, verify, registered_by,
			tokens, native, traces, in_time, watch_after, tip_interval, quorum)
		VALUES (n.chain, n.network, n.kind, n.endpoints, n.chain_id, n.confirmations, n.block_tag,
			n.detected_bps, n.confirmed_bps, n.batch_size, n.poll_interval, n.lease_duration, n.request_timeout,
			n.expiry_grace, n.max_tip_age, n.rate_limit, n.enabled, n.verify, n.registered_by,
			n.tokens, n.native, n.traces, n.in_time, n.watch_after, n.tip_interval, n.quorum)
		ON CONFLICT (chain, network) DO NOTHING
		RETURNING networks.network_id INTO new_id;
	IF new_id IS NOT NULL THEN
		PERFORM reconciler._move_requests(0, new_id, n.chain, n.network);
	END IF;
	RETURN new_id;
END $$;

-- The row that a new network gets, defaults filled in.
CREATE FUNCTION _complete_network(n networks) RETURNS networks
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k record := reconciler._kind(n.kind);
	on_demand boolean := reconciler._is_dev_chain(n.chain_id) OR (NOT k.has_chain_id AND n.network = 'regtest');
BEGIN
	n.confirmations := coalesce(n.confirmations,
		CASE WHEN on_demand THEN 1 ELSE k.confirmations END, 1);
	IF n.max_tip_age IS NULL AND NOT on_demand THEN
		n.max_tip_age := k.max_tip_age;
	END IF;
	n.confirmed_bps := coalesce(n.confirmed_bps, 10000);
	n.detected_bps := coalesce(n.detected_bps, n.confirmed_bps);
	n.enabled := coalesce(n.enabled, true);
	RETURN n;
END $$;

CREATE FUNCTION add_network(chain text, network text, endpoints text[] DEFAULT '{}', chain_id bigint DEFAULT NULL,
		kind text DEFAULT 'evm', confirmations int DEFAULT NULL, block_tag text DEFAULT NULL,
		detected_bps int DEFAULT NULL, confirmed_bps int DEFAULT NULL, batch_size int DEFAULT NULL,
		poll_interval interval DEFAULT NULL, lease_duration interval DEFAULT NULL,
		request_timeout interval DEFAULT NULL, expiry_grace interval DEFAULT NULL,
		max_tip_age interval DEFAULT NULL, rate_limit numeric DEFAULT NULL, enabled boolean DEFAULT true,
		verify text DEFAULT NULL, tokens text DEFAULT NULL, native text DEFAULT NULL, traces boolean DEFAULT NULL,
		in_time text DEFAULT NULL, watch_after interval DEFAULT NULL, tip_interval interval DEFAULT NULL,
		quorum int DEFAULT NULL) RETURNS int
-- A refusal is logged without its statement: endpoints may hold keys.
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET log_min_error_statement = panic AS $$
DECLARE
	n reconciler.networks;
	new_id int;
BEGIN
	n := ROW(NULL, chain, network, kind, endpoints, chain_id, confirmations, block_tag, detected_bps, confirmed_bps,
			 batch_size, poll_interval, lease_duration, request_timeout, expiry_grace, max_tip_age, rate_limit, enabled, verify, NULL,
			 tokens, native, traces, in_time, watch_after, tip_interval, quorum, 1);
	IF (reconciler._kind(n.kind)).has_chain_id AND n.chain_id IS NULL THEN
		PERFORM reconciler._refuse('an EVM network needs its chain_id',
			'Give it, so that an endpoint of another chain is never believed: add_network(…, chain_id => 1).');
	END IF;
	n := reconciler._complete_network(n);
	PERFORM reconciler._check_network(n);
	new_id := reconciler._insert_network(n);
	IF new_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
			MESSAGE = format('network %s/%s is already registered', n.chain, n.network),
			HINT = format('To change it: SELECT reconciler.set_network(%L, %L, …).', n.chain, n.network);
	END IF;
	PERFORM reconciler._warn_of_setup();
	RETURN new_id;
END $$;

-- The registered network, locked; or an error.
CREATE FUNCTION _find_network(of_chain text, of_network text) RETURNS networks
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n reconciler.networks;
BEGIN
	-- The cursor's lease first, as its holder has it: a block that he writes
	-- refers to the network, and would wait for us while we wait for him.
	PERFORM FROM reconciler.cursor_leases AS l JOIN reconciler.networks AS r USING (network_id)
		WHERE r.chain = of_chain AND r.network = of_network FOR UPDATE OF l;
	SELECT r.* INTO n FROM reconciler.networks AS r
		WHERE r.chain = of_chain AND r.network = of_network AND r.network_id <> 0 FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('network %s/%s is not registered', of_chain, of_network),
			HINT = 'SELECT chain, network FROM reconciler.network_settings shows those that are.';
	END IF;
	RETURN n;
END $$;

-- What a change of a network means for the requests on it.
CREATE FUNCTION _network_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Another node or schedule: look at once, with a clean record.
	UPDATE reconciler.batches AS b SET due_at = '-infinity', failures = 0, failing_since = NULL, verify = false WHERE b.network_id = NEW.network_id;
	UPDATE reconciler.cursor_leases AS l SET due_at = '-infinity', failures = 0, failing_since = NULL WHERE l.network_id = NEW.network_id;
	-- Another chain, or another way to see it: what was seen doesn't count, and what is being observed must find nothing.
	IF (OLD.kind, OLD.chain_id, OLD.tokens = 'logs', OLD.native = 'blocks')
		IS DISTINCT FROM (NEW.kind, NEW.chain_id, NEW.tokens = 'logs', NEW.native = 'blocks') THEN
		-- Batches or a cursor: the lease of one says nothing of the other.
		IF NOT (reconciler._has_batches(OLD) AND reconciler._has_batches(NEW)) THEN
			DELETE FROM reconciler.batches AS b WHERE b.network_id = NEW.network_id;
		END IF;
		IF NOT (reconciler._has_cursor(OLD) AND reconciler._has_cursor(NEW)) THEN
			DELETE FROM reconciler.cursor_leases AS l WHERE l.network_id = NEW.network_id;
		END IF;
		UPDATE reconciler.queue AS q
			SET seq = DEFAULT, seen = NULL, settled = NULL, seen_height = NULL, error = NULL, error_at = NULL,
				key = reconciler._queue_key(NEW, q.address, q.token_contract),
				followed = reconciler._is_followed(NEW, q.token_contract), look_back_due = reconciler._is_followed(NEW, q.token_contract),
				looking_back = false, look_back_error = NULL,
				invalid = CASE WHEN q.invalid LIKE 'expected_amount_minor %' THEN q.invalid
							   ELSE reconciler._request_problem(NEW.kind, NEW.network, q.address, q.token_contract) END
			WHERE q.network_id = NEW.network_id;
		DELETE FROM reconciler.network_state AS s WHERE s.network_id = NEW.network_id;
		DELETE FROM reconciler.follow_marks AS m WHERE m.network_id = NEW.network_id;
	ELSIF OLD.endpoints <> NEW.endpoints THEN
		-- How far a former endpoint was (or said it was) binds no other.
		UPDATE reconciler.network_state AS s SET best_height = NULL, best_at = NULL WHERE s.network_id = NEW.network_id;
	END IF;
	RETURN NULL;
END $$;

COMMENT ON FUNCTION _network_changed() IS 'Trigger on networks: what a change means for the requests on it';

CREATE TRIGGER network_changed AFTER UPDATE ON networks
	FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION _network_changed();

CREATE FUNCTION set_network(chain text, network text, endpoints text[] DEFAULT NULL, chain_id bigint DEFAULT NULL,
		kind text DEFAULT NULL, confirmations int DEFAULT NULL, block_tag text DEFAULT NULL,
		detected_bps int DEFAULT NULL, confirmed_bps int DEFAULT NULL, batch_size int DEFAULT NULL,
		poll_interval interval DEFAULT NULL, lease_duration interval DEFAULT NULL,
		request_timeout interval DEFAULT NULL, expiry_grace interval DEFAULT NULL,
		max_tip_age interval DEFAULT NULL, rate_limit numeric DEFAULT NULL, enabled boolean DEFAULT NULL,
		verify text DEFAULT NULL, tokens text DEFAULT NULL, native text DEFAULT NULL, traces boolean DEFAULT NULL,
		in_time text DEFAULT NULL, watch_after interval DEFAULT NULL, tip_interval interval DEFAULT NULL,
		quorum int DEFAULT NULL, reset text[] DEFAULT '{}') RETURNS void
-- A refusal is logged without its statement: endpoints may hold keys.
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET log_min_error_statement = panic AS $$
DECLARE
	before reconciler.networks := reconciler._find_network(chain, network);
	n reconciler.networks := before;
	name text;
	can_be text[] := '{chain_id,block_tag,batch_size,poll_interval,lease_duration,request_timeout,expiry_grace,max_tip_age,rate_limit,verify,'
		'tokens,native,traces,in_time,watch_after,tip_interval,quorum}';
BEGIN
	FOREACH name IN ARRAY coalesce(reset, '{}') LOOP
		IF name = ANY (can_be) IS NOT TRUE THEN
			PERFORM reconciler._refuse(format('"%s" can''t be reset', name),
				'These can: ' || array_to_string(can_be, ', ') || '.');
		END IF;
		n := jsonb_populate_record(n, jsonb_build_object(name, NULL));
	END LOOP;
	n := jsonb_populate_record(n, jsonb_strip_nulls(jsonb_build_object('endpoints', endpoints, 'chain_id', chain_id,
		'kind', kind, 'confirmations', confirmations, 'block_tag', block_tag, 'detected_bps', detected_bps,
		'confirmed_bps', confirmed_bps, 'batch_size', batch_size, 'poll_interval', poll_interval,
		'lease_duration', lease_duration, 'request_timeout', request_timeout, 'expiry_grace', expiry_grace,
		'max_tip_age', max_tip_age, 'rate_limit', rate_limit, 'enabled', enabled, 'verify', verify,
		'tokens', tokens, 'native', native, 'traces', traces, 'in_time', in_time,
		'watch_after', watch_after, 'tip_interval', tip_interval, 'quorum', quorum)));
	PERFORM reconciler._check_network(n);
	IF n IS NOT DISTINCT FROM before THEN
		RETURN;
	END IF;
	UPDATE reconciler.networks AS r
		SET kind = n.kind, endpoints = n.endpoints, chain_id = n.chain_id, confirmations = n.confirmations,
			block_tag = n.block_tag, detected_bps = n.detected_bps, confirmed_bps = n.confirmed_bps,
			batch_size = n.batch_size, poll_interval = n.poll_interval, lease_duration = n.lease_duration,
			request_timeout = n.request_timeout, expiry_grace = n.expiry_grace, max_tip_age = n.max_tip_age,
			rate_limit = n.rate_limit, enabled = n.enabled, verify = n.verify,
			tokens = n.tokens, native = n.native, traces = n.traces, in_time = n.in_time,
			watch_after = n.watch_after, tip_interval = n.tip_interval, quorum = n.quorum
		WHERE r.network_id = n.network_id;
END $$;

CREATE FUNCTION remove_network(chain text, network text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n reconciler.networks := reconciler._find_network(chain, network);
BEGIN
	-- Batches first, as settle locks them: whoever holds a lease has lost it.
	DELETE FROM reconciler.batches AS b WHERE b.network_id = n.network_id;
	DELETE FROM reconciler.cursor_leases AS l WHERE l.network_id = n.network_id;
	DELETE FROM reconciler.follow_marks AS m WHERE m.network_id = n.network_id;
	DELETE FROM reconciler.watched AS w WHERE w.network_id = n.network_id;
	PERFORM reconciler._move_requests(n.network_id, 0, n.chain, n.network);
	DELETE FROM reconciler.network_state AS s WHERE s.network_id = n.network_id;
	DELETE FROM reconciler.tips AS t WHERE t.network_id = n.network_id;
	DELETE FROM reconciler.networks AS r WHERE r.network_id = n.network_id;
END $$;

CREATE FUNCTION register_network(kind text, chain text, network text, chain_id bigint DEFAULT NULL) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n reconciler.networks;
	found_id int;
BEGIN
	-- Twice at most: another worker may register it between the look and the insert.
	FOR attempt IN 1..2 LOOP
		SELECT r.network_id INTO found_id FROM reconciler.networks AS r
			WHERE r.chain = register_network.chain AND r.network = register_network.network AND r.network_id <> 0;
		EXIT WHEN FOUND;
		n := NULL;
		n.kind := kind;
		n.chain := chain;
		n.network := network;
		n.chain_id := chain_id;
		n.endpoints := '{}';
		n.registered_by := session_user;
		IF (SELECT count(*) FROM reconciler.networks AS r WHERE r.registered_by IS NOT NULL) >= 100 THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
				MESSAGE = format('network %s/%s is not registered, and workers have registered 100 already',
					reconciler._log_value(left(chain, 100)), reconciler._log_value(left(network, 100))),
				HINT = 'An administrator can add it: SELECT reconciler.add_network(…); or remove others: SELECT reconciler.remove_network(…).';
		END IF;
		n := reconciler._complete_network(n);
		PERFORM reconciler._check_network(n);
		found_id := reconciler._insert_network(n);
		EXIT WHEN found_id IS NOT NULL;
	END LOOP;
	RETURN found_id;
END $$;

CREATE FUNCTION worker_networks(worker_id text, batch_size_override int DEFAULT NULL,
		lease_override interval DEFAULT NULL, poll_interval_override interval DEFAULT NULL)
RETURNS TABLE (network_id int, chain text, network text, kind text, chain_id bigint, confirmations int,
	block_tag text, batch_size int, poll_interval_ms bigint, lease_ms bigint, request_timeout_ms bigint,
	endpoints text, rate_limit numeric, version bigint, tokens text, native text, traces boolean,
	tip_interval_ms bigint, quorum int, has_cursor boolean, has_batches boolean, fingerprint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH effective AS (
		SELECT n.network_id, n.chain, n.network, n.kind, n.chain_id, n.confirmations, n.block_tag,
			least(coalesce($2, n.batch_size, reconciler._setting_int('batch_size')), 740) AS batch_size,
			(extract(epoch FROM least(coalesce($4, n.poll_interval,
				reconciler._setting_interval('poll_interval')), interval '1 day')) * 1000)::bigint AS poll_interval_ms,
			(extract(epoch FROM least(coalesce($3, n.lease_duration,
				reconciler._setting_interval('lease_duration')), interval '1 hour')) * 1000)::bigint AS lease_ms,
			(extract(epoch FROM coalesce(n.request_timeout,
				reconciler._setting_interval('request_timeout'))) * 1000)::bigint AS request_timeout_ms,
			to_json(n.endpoints)::text AS endpoints, n.rate_limit, n.version,
			CASE WHEN k.has_assets THEN coalesce(n.tokens, 'balances') END AS tokens,
			CASE WHEN k.has_assets THEN coalesce(n.native, 'balances') END AS native,
			CASE WHEN k.has_assets THEN coalesce(n.traces, false) END AS traces,
			(extract(epoch FROM coalesce(n.tip_interval, interval '1 second')) * 1000)::bigint AS tip_interval_ms,
			coalesce(n.quorum, 1) AS quorum, reconciler._has_cursor(n) AS has_cursor, reconciler._has_batches(n) AS has_batches
		FROM reconciler.networks AS n CROSS JOIN LATERAL reconciler._kind(n.kind) AS k
		WHERE n.enabled
			AND (n.network_id <> 0 OR EXISTS (SELECT FROM reconciler.queue AS q WHERE q.network_id = 0))
	)
	SELECT e.*, md5(e::text) FROM effective AS e ORDER BY e.network_id
$$;

COMMENT ON FUNCTION add_network(text, text, text[], bigint, text, int, text, int, int, int, interval, interval, interval, interval, interval, numeric, boolean, text, text, text, boolean, text, interval, interval, int) IS
'Registers a network. kind: evm, esplora or bitcoind; endpoints in order of preference; confirmations: 1 is the tip, default 12 (evm) or 2, 1 on development chains; bps: basis points of the expected amount; verify => ''server'': what a daemon saw is final only when a worker in the server has seen it, too; tokens => ''logs'', native => ''blocks'' (evm): payments are read from blocks, not from balances; traces: nodes may be asked for them; in_time => ''seen'': a payment that was seen before expires_at is in time, ''block'': its block''s time counts alone; watch_after: so long late payments are looked for; tip_interval: how often a followed chain''s tip is asked for; nulls take the setting of the same name';
COMMENT ON FUNCTION set_network(text, text, text[], bigint, text, int, text, int, int, int, interval, interval, interval, interval, interval, numeric, boolean, text, text, text, boolean, text, interval, interval, int, text[]) IS
'Changes a network. Nulls leave a value as it is; reset names values that go back to null: the setting of the same name, or none';
COMMENT ON FUNCTION remove_network(text, text) IS
'Removes a network. Its open requests stay open and wait for it to be registered again';
COMMENT ON FUNCTION register_network(text, text, text, bigint) IS
'For workers that bring their own endpoints: the id of the network, which is registered without endpoints if it is not known yet';
COMMENT ON FUNCTION worker_networks(text, int, interval, interval) IS
'For workers: the enabled networks with their endpoints and effective settings. Overrides win over the network''s own values, which win over the settings. version: the network''s, to be named by claims; fingerprint: another one, another configuration';
COMMENT ON TABLE networks IS
'The networks, with their endpoints: may hold secrets; network_settings shows them without';
