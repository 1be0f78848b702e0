-- What sessions keep of networks and sources for the trigger on attached tables
-- (queue_facts.c), and how they learn that it has changed.

CREATE FUNCTION _facts_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'reconciler_facts_changed';

COMMENT ON FUNCTION _facts_changed() IS 'Trigger on networks and sources: has every session read them anew, as after an ALTER TABLE';

CREATE TRIGGER facts_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON networks
	FOR EACH STATEMENT EXECUTE FUNCTION _facts_changed();
CREATE TRIGGER facts_changed AFTER INSERT OR UPDATE OF source_id, relation OR DELETE OR TRUNCATE ON sources
	FOR EACH STATEMENT EXECUTE FUNCTION _facts_changed();
-- Also where rows arrive in a session that fires no triggers
ALTER TABLE networks ENABLE ALWAYS TRIGGER facts_changed;
ALTER TABLE sources ENABLE ALWAYS TRIGGER facts_changed;
