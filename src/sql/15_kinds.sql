-- What differs between kinds of endpoints.

-- max_tip_lead: by how much the time of a block may lie ahead of ours; time_slack:
-- by how much it may lie before the block. has_assets:
-- its tokens and its own coin are followed, or asked for, as networks.tokens and
-- networks.native say. has_work: its blocks say how much work is in their chain.
CREATE FUNCTION _kinds()
RETURNS TABLE (kind text, has_chain_id boolean, confirmations int, max_tip_age interval, max_tip_lead interval,
	has_assets boolean, has_work boolean, has_mempool boolean, time_slack interval)
LANGUAGE sql IMMUTABLE AS $$
	VALUES
	('evm', true, 12, interval '10 minutes', interval '15 minutes', true, false, false, interval '2 minutes'),
	('esplora', false, 2, interval '2 hours', interval '2 hours', false, false, true, interval '2 hours'),
	('bitcoind', false, 2, interval '2 hours', interval '2 hours', false, true, true, interval '2 hours')
$$;

CREATE FUNCTION _kind(name text, OUT kind text, OUT has_chain_id boolean, OUT confirmations int,
	OUT max_tip_age interval, OUT max_tip_lead interval, OUT has_assets boolean, OUT has_work boolean, OUT has_mempool boolean,
	OUT time_slack interval)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	SELECT k.* INTO kind, has_chain_id, confirmations, max_tip_age, max_tip_lead, has_assets, has_work, has_mempool, time_slack
	FROM reconciler._kinds() AS k WHERE k.kind = $1;
END $$;

-- Whether the network has what its kind needs, and nothing that its kind knows nothing of.
CREATE FUNCTION _check_kind(n networks) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k record := reconciler._kind(n.kind);
BEGIN
	IF k.kind IS NULL THEN
		PERFORM reconciler._refuse(format('kind "%s" is not known', n.kind), 'Use evm, esplora or bitcoind.');
	END IF;
	IF NOT k.has_chain_id AND n.chain_id IS NOT NULL THEN
		PERFORM reconciler._refuse(format('a network of kind %s has no chain_id', n.kind), 'Leave chain_id out.');
	END IF;
	IF NOT k.has_chain_id AND n.block_tag IS NOT NULL THEN
		PERFORM reconciler._refuse(format('a network of kind %s has no block_tag', n.kind), 'Use confirmations.');
	END IF;
	IF NOT k.has_assets AND (n.tokens IS NOT NULL OR n.native IS NOT NULL OR n.traces IS NOT NULL) THEN
		PERFORM reconciler._refuse(format('a network of kind %s has no tokens, native and traces to choose', n.kind),
			'Leave them out; after a change of kind: set_network(…, reset => ''{tokens,native,traces}'').');
	END IF;
	IF NOT k.has_mempool AND n.in_time = 'seen' THEN
		PERFORM reconciler._refuse(format('on a network of kind %s nothing is seen before it is in a block', n.kind),
			'Use in_time => ''block''.');
	END IF;
END $$;

-- Whether the network has what can be said of following its chain.
CREATE FUNCTION _check_following(n networks) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF n.tokens NOT IN ('logs', 'balances') THEN
		PERFORM reconciler._refuse(format('tokens "%s" is not known', n.tokens), 'Use logs or balances.');
	END IF;
	IF n.native NOT IN ('balances', 'blocks') THEN
		PERFORM reconciler._refuse(format('native "%s" is not known', n.native), 'Use balances or blocks.');
	END IF;
	IF n.in_time NOT IN ('block', 'seen') THEN
		PERFORM reconciler._refuse(format('in_time "%s" is not known', n.in_time),
			'Use block (the time of a payment''s block counts) or seen (or when it was first seen before).');
	END IF;
	IF n.watch_after NOT BETWEEN interval '0' AND interval '1 year' THEN
		PERFORM reconciler._refuse('watch_after must be between 0 and 1 year', 'Give, say, ''24 hours''; 0 watches nothing that has ended.');
	END IF;
	IF n.tip_interval NOT BETWEEN interval '100 milliseconds' AND interval '1 hour' THEN
		PERFORM reconciler._refuse('tip_interval must be between 100 ms and 1 hour', 'Give, say, ''1 second''.');
	END IF;
	IF n.quorum <> 1 THEN
		PERFORM reconciler._refuse('quorum can''t be other than 1: what one endpoint says is not compared with others yet',
			'Leave it out, and name endpoints that you trust first.');
	END IF;
END $$;

COMMENT ON FUNCTION _kinds() IS 'The kinds of endpoints, and what a network of each is given when nothing is said';
COMMENT ON FUNCTION _kind(text) IS 'One kind of endpoints; nulls: there is none of that name';

-- Chains that make blocks on demand: Anvil and Hardhat (31337), geth --dev (1337).
CREATE FUNCTION _is_dev_chain(chain_id bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(chain_id IN (31337, 1337), false)
$$;

-- Why a request can't be observed on a network of this kind; null: it can.
CREATE FUNCTION _request_problem(kind text, network text, address text, token_contract text) RETURNS text
LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'reconciler_request_problem';

CREATE FUNCTION _request_key(kind text, network text, address text, token_contract text) RETURNS bytea
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'reconciler_request_key';

-- Is a request with this token (null: the chain's own coin) followed block by block?
CREATE FUNCTION _is_followed(n networks, token_contract text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE (n).kind WHEN 'bitcoind' THEN true
					 WHEN 'evm' THEN CASE WHEN token_contract IS NULL THEN coalesce((n).native OPERATOR(pg_catalog.=) 'blocks', false)
										  ELSE coalesce((n).tokens OPERATOR(pg_catalog.=) 'logs', false) END
					 ELSE false END;

-- Is any of its requests? And is any of them asked for, batch by batch?
CREATE FUNCTION _has_cursor(n networks) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN reconciler._is_followed(n, NULL) OR reconciler._is_followed(n, '');

CREATE FUNCTION _has_batches(n networks) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN NOT (reconciler._is_followed(n, NULL) AND reconciler._is_followed(n, ''));

-- Only of what is read in blocks is anything looked up by key.
CREATE FUNCTION _queue_key(n networks, address text, token_contract text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN reconciler._is_followed(n, token_contract)
			THEN reconciler._request_key((n).kind, (n).network, address, token_contract) END;

-- What decides whether a payment came in time: the time of its block alone, or when it was seen first.
CREATE FUNCTION _in_time(n networks) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce($1.in_time, CASE WHEN (reconciler._kind($1.kind)).has_mempool THEN 'seen' ELSE 'block' END)
$$;

COMMENT ON FUNCTION _queue_key(networks, text, text) IS 'What the queue has of _request_key: null for requests that are not followed';
COMMENT ON FUNCTION _request_key(text, text, text, text) IS
'Who is paid by a request, as credits name it: the script of a Bitcoin address; on EVM chains the token (20 bytes; zeros: the chain''s own asset) and the holder. Null where the address is none';
COMMENT ON FUNCTION _is_followed(networks, text) IS 'Whether a request with this token (null: the chain''s own coin) is followed block by block';
COMMENT ON FUNCTION _has_cursor(networks) IS 'Whether a network has requests that are followed block by block';
COMMENT ON FUNCTION _has_batches(networks) IS 'Whether a network has requests that are asked for, batch by batch';
COMMENT ON FUNCTION _in_time(networks) IS 'block: in time is what is in a block that is not younger than expires_at; seen: also what was seen before it';
COMMENT ON FUNCTION _check_following(networks) IS 'Refuses settings of following that can not be';
