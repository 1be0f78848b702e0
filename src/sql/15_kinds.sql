-- What differs between kinds of endpoints.

-- Chains that make blocks on demand: Anvil and Hardhat (31337), geth --dev (1337).
CREATE FUNCTION _is_dev_chain(chain_id bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(chain_id IN (31337, 1337), false)
$$;

-- Why a request can't be observed on a network of this kind; null: it can.
CREATE FUNCTION _request_problem(kind text, network text, address text, token_contract text) RETURNS text
LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'reconciler_request_problem';

CREATE FUNCTION _bitcoin_script(address text) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'reconciler_bitcoin_script';

COMMENT ON FUNCTION _bitcoin_script(text) IS 'The script that pays a Bitcoin address, of whatever network; null if it is none';
