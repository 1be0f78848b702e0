/* owner_settings.c: the settings that code of a table's owner runs with */
#include "owner_settings.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

/* A setting that means something to a statement, and its value where nobody has said otherwise */
typedef struct meaning
{
	const char *name;
	const char *fallback;
} meaning;

static const meaning meanings[] = {
	/* How text becomes statements and values, and values become text */
	{"standard_conforming_strings", "on"},
	{"backslash_quote", "safe_encoding"},
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"quote_all_identifiers", "off"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "GMT"},
	{"timezone_abbreviations", "Default"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"xmloption", "content"},
	{"lc_monetary", "C"},
	{"lc_numeric", "C"},
	{"lc_time", "C"},
	{"default_text_search_config", "pg_catalog.simple"},
	/* Which rows an index finds, which queries and checks there are, what new objects and roles are like */
	{"gin_fuzzy_search_limit", "0"},
	{"restrict_nonsystem_relation_kind", ""},
	{"check_function_bodies", "on"},
	{"plpgsql.check_asserts", "on"},
	{"plpgsql.extra_errors", "none"},
	{"default_tablespace", ""},
	{"default_table_access_method", "heap"},
	{"createrole_self_grant", ""},
	{"password_encryption", "scram-sha-256"},
	/* How it is planned: settle keeps plans whatever their parameters */
	{"plan_cache_mode", "auto"},
	/* What of it the caller gets to see */
	{"client_min_messages", "notice"},
};

/* What ALTER ROLE and ALTER DATABASE have set: {"name=value", …}, or NULL */
static ArrayType *
stored_settings(Oid database, Oid role)
{
	Relation	relation = table_open(DbRoleSettingRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	ArrayType  *result = NULL;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig, RelationGetDescr(relation), &isnull);

		if (!isnull)
			result = DatumGetArrayTypePCopy(value);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return result;
}

/* A setting's value in such an array, or NULL */
static const char *
stored_value(ArrayType *settings, const char *name)
{
	size_t		len = strlen(name);
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;

	if (settings == NULL)
		return NULL;
	deconstruct_array(settings, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &nelements);
	for (int i = 0; i < nelements; i++)
	{
		const char *entry = nulls[i] ? "" : TextDatumGetCString(elements[i]);

		if (pg_strncasecmp(entry, name, len) == 0 && entry[len] == '=')
			return entry + len + 1;
	}
	return NULL;
}

/* Does a value from there hold for everybody in this database, whoever the session is? */
static bool
is_everybodys(GucSource source)
{
	return source <= PGC_S_DATABASE;
}

/*
 * The value at the start of the role's sessions where the role has none of its
 * own. What the session began with will do unless its client or its role has
 * asked for it, which are not to be trusted with the owner's rights.
 */
static const char *
everybodys_value(const struct config_generic *option, const char *fallback)
{
	const char *value;

	if (superuser_arg(GetSessionUserId()) || is_everybodys(option->reset_source))
		return GetConfigOptionResetString(option->name);
	value = stored_value(stored_settings(MyDatabaseId, InvalidOid), option->name);
	if (value == NULL)
		value = stored_value(stored_settings(InvalidOid, InvalidOid), option->name);
	return value != NULL ? value : fallback;
}

/* false if the value is none that the setting can have */
static bool
set_value(const char *name, const char *value, int elevel)
{
	return set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, elevel, false) > 0;
}

/* The search_path, with the temporary tables of whoever runs this named last: else they come first */
static void
apply_search_path(const char *own)
{
	const char *path = own != NULL ? own : everybodys_value(rc_guc_find("search_path"), "\"$user\", public");

	if (path == NULL || path[0] == '\0')
		path = "pg_temp";
	else
		path = psprintf("%s, pg_temp", path);
	if (!set_value("search_path", path, DEBUG1))
		set_value("search_path", "pg_temp", 0);
}

void
owner_settings_apply(Oid role)
{
	ArrayType  *here = stored_settings(MyDatabaseId, role);
	ArrayType  *anywhere = stored_settings(InvalidOid, role);
	const char *own = stored_value(here, "search_path");

	apply_search_path(own != NULL ? own : stored_value(anywhere, "search_path"));
	/* A policy that would hide requests is an error, not an empty answer. */
	set_value("row_security", "off", 0);
	/* A table's triggers are part of it. */
	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN)
		set_value("session_replication_role", "origin", 0);

	for (size_t i = 0; i < lengthof(meanings); i++)
	{
		const struct config_generic *option = rc_guc_find(meanings[i].name);
		const char *value = stored_value(here, meanings[i].name);

		if (value == NULL)
			value = stored_value(anywhere, meanings[i].name);
		/* Some are not there in every version. */
		if (option == NULL || (value == NULL && is_everybodys(option->source)))
			continue;
		if (value == NULL)
			value = everybodys_value(option, meanings[i].fallback);
		if (!set_value(option->name, value, DEBUG1))
			set_value(option->name, meanings[i].fallback, 0);
	}
}
