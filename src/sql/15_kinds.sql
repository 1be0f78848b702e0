-- What differs between kinds of endpoints.

-- max_tip_lead: by how much the time of a block may lie ahead of ours
CREATE FUNCTION _kinds()
RETURNS TABLE (kind text, has_chain_id boolean, confirmations int, max_tip_age interval, max_tip_lead interval)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	VALUES
	('evm', true, 12, interval '10 minutes', interval '15 minutes'),
	('esplora', false, 2, interval '2 hours', interval '2 hours'),
	('bitcoind', false, 2, interval '2 hours', interval '2 hours')
$$;

CREATE FUNCTION _kind(name text, OUT kind text, OUT has_chain_id boolean, OUT confirmations int,
	OUT max_tip_age interval, OUT max_tip_lead interval)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT k.* FROM (SELECT) AS one LEFT JOIN reconciler._kinds() AS k ON k.kind = $1
$$;

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

-- Is the chain of such a network followed block by block?
CREATE FUNCTION _is_followed(kind text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN kind OPERATOR(pg_catalog.=) 'bitcoind';

-- Only of what is read in blocks is anything looked up by key.
CREATE FUNCTION _queue_key(kind text, network text, address text, token_contract text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN reconciler._is_followed(kind) THEN reconciler._request_key(kind, network, address, token_contract) END;

COMMENT ON FUNCTION _queue_key(text, text, text, text) IS 'What the queue has of _request_key: null on networks that are not followed';
COMMENT ON FUNCTION _request_key(text, text, text, text) IS
'Who is paid by a request, as credits name it: the script of a Bitcoin address; on EVM chains the token (20 bytes; zeros: the chain''s own asset) and the holder. Null where the address is none';
COMMENT ON FUNCTION _is_followed(text) IS 'Whether networks of a kind are followed block by block';
