-- Default privileges that were made for the application's tables give nobody anything of reconciler's.
\set SHOW_CONTEXT never
CREATE ROLE regress_reconciler_readonly;
CREATE ROLE regress_reconciler_writer;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO regress_reconciler_readonly;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_reconciler_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO regress_reconciler_writer;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO regress_reconciler_readonly;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO regress_reconciler_readonly;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO regress_reconciler_readonly, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
CREATE EXTENSION reconciler;
SELECT reconciler.add_network('ethereum', 'local', ARRAY['http://127.0.0.1:8545/s3cret'], 31337) > 0 AS added;

SET ROLE regress_reconciler_readonly;
SELECT endpoints FROM reconciler.networks;
SELECT reconciler.set_network('ethereum', 'local', ARRAY['http://mine.example']);
RESET ROLE;
SET ROLE regress_reconciler_writer;
UPDATE reconciler.queue SET seen = 1;
SELECT nextval('reconciler.networks_network_id_seq');
RESET ROLE;

-- Of every kind of object, whoever the grantee
WITH objects (name, owner, acl) AS (
	SELECT nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = 'reconciler'
	UNION ALL
	SELECT oid::regclass::text, relowner, relacl FROM pg_class WHERE relnamespace = 'reconciler'::regnamespace
	UNION ALL
	SELECT oid::regprocedure::text, proowner, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE pronamespace = 'reconciler'::regnamespace
	UNION ALL
	SELECT t.oid::regtype::text, t.typowner, t.typacl FROM pg_type t WHERE t.typnamespace = 'reconciler'::regnamespace
)
SELECT o.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee, a.privilege_type
FROM objects o CROSS JOIN LATERAL aclexplode(o.acl) a
WHERE a.grantee <> o.owner ORDER BY 1, 2, 3;

-- They go on to hold for the application's own
CREATE TABLE mine (a int);
SELECT has_table_privilege('regress_reconciler_readonly', 'mine', 'SELECT') AS granted;
DROP TABLE mine;
DROP EXTENSION reconciler;
DROP OWNED BY regress_reconciler_readonly, regress_reconciler_writer;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC;
DROP ROLE regress_reconciler_readonly, regress_reconciler_writer;
SELECT count(*) AS left_over FROM pg_default_acl;
