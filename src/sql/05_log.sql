-- What SQL functions log.

CREATE FUNCTION _log_value(value text) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'reconciler_log_value';

COMMENT ON FUNCTION _log_value(text) IS
'A value as it stands behind name= in a line of the log: quoted, and escaped, if it could pass for a field or a line of its own';
