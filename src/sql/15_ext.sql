-- What the server itself knows of its workers: read from shared memory.
CREATE FUNCTION stat_get_workers(
	OUT worker_id text,
	OUT role text,
	OUT pid int,
	OUT database name,
	OUT state text,
	OUT cycles bigint,
	OUT claimed bigint,
	OUT scanned bigint,
	OUT detected bigint,
	OUT confirmed bigint,
	OUT expired bigint,
	OUT skipped bigint,
	OUT errors bigint,
	OUT started_at timestamptz,
	OUT reported_at timestamptz)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'reconciler_stat_get_workers';

COMMENT ON FUNCTION stat_get_workers() IS
'The workers that run inside this server, of all databases, one row each; no rows where reconciler is not in shared_preload_libraries';
