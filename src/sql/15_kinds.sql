-- What differs between kinds of endpoints.

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

COMMENT ON FUNCTION _request_key(text, text, text, text) IS
'Who is paid by a request, as credits name it: the script of a Bitcoin address; on EVM chains the token (20 bytes; zeros: the chain''s own asset) and the holder. Null where the address is none';
COMMENT ON FUNCTION _is_followed(text) IS 'Whether networks of a kind are followed block by block';
