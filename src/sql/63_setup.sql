-- Said at once, where somebody sets something up: what keeps it from being observed.

CREATE FUNCTION _warn_of_setup() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	installed text := (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'reconciler');
	others text := nullif(current_setting('reconciler.database', true), '');
BEGIN
	IF reconciler._library_version() <> installed THEN
		RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('the library of reconciler is version %s, the extension in this database %s', reconciler._library_version(), installed),
			HINT = 'ALTER EXTENSION reconciler UPDATE; if the library is the older one, restart the server after installing the new one.';
	END IF;
	IF EXISTS (SELECT FROM reconciler.workers AS w WHERE w.role <> 'worker' AND w.reported_at > clock_timestamp() - interval '5 minutes') THEN
		RETURN;
	END IF;
	IF NOT reconciler._is_preloaded() THEN
		RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'no worker can run in this server: reconciler is not in shared_preload_libraries',
			HINT = format('In postgresql.conf: shared_preload_libraries = ''reconciler'' (behind what is there already), reconciler.database = %L, reconciler.workers = 2; then restart the server. Or run reconcilerd, which needs none of this.',
				current_database());
	ELSIF current_database() <> ALL (ARRAY(SELECT btrim(d, ' "') FROM unnest(string_to_array(others, ',')) AS d)) THEN
		RAISE WARNING USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('no worker of this server will work on database "%s": it is not in reconciler.database', current_database()),
			HINT = format('ALTER SYSTEM SET reconciler.database = %L; then restart the server. Or run reconcilerd, which needs none of this.',
				concat_ws(',', others, quote_ident(current_database())));
	END IF;
END $$;

COMMENT ON FUNCTION _warn_of_setup() IS
'Warns when the library is not preloaded or of another version, or when the server''s workers are not meant for this database and no daemon works on it';
