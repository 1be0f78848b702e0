/* owner.c: reading and writing an attached table with its owner's rights */
#include "owner.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "owner_settings.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* The columns of the lookup below that follow the relation */
enum
{
	FOUND_CREATED_AT = SOURCE_COLUMNS,
	FOUND_UPDATED_AT,
	FOUND_SUPERUSER_OWNER,
	FOUND_COLUMNS
};

#define NAME_OF(column) "coalesce(columns OPERATOR(pg_catalog.->>) '" column "', '')"

static const char *const lookup =
	"SELECT relation::pg_catalog.oid, " NAME_OF("id") ", " NAME_OF("status") ", " NAME_OF("chain") ", "
	NAME_OF("network") ", " NAME_OF("address_canonical") ", " NAME_OF("token_contract") ", "
	NAME_OF("expected_amount_minor") ", " NAME_OF("expires_at") ", " NAME_OF("created_at") ", " NAME_OF("updated_at")
	", superuser_owner FROM reconciler.sources WHERE source_id OPERATOR(pg_catalog.=) $1";

/* The qualified name of a column's type; base: of the type under its domains */
static const char *
column_type_name(Oid relation, const char *column, bool base)
{
	AttrNumber	attnum = get_attnum(relation, column);
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of attached table %s is gone", column, get_rel_name(relation)),
				 errhint("Detach the table and attach it again.")));
	get_atttypetypmodcoll(relation, attnum, &type, &typmod, &collation);
	return format_type_be_qualified(base ? getBaseType(type) : type);
}

/* Owner and kind of a relation; false if it isn't there */
static bool
relation_owner(Oid relation, Oid *owner, char *kind)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	*owner = form->relowner;
	*kind = form->relkind;
	ReleaseSysCache(tuple);
	return true;
}

bool
source_table_open(source_table *table, int32 source_id)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(source_id)};
	const char *found[FOUND_COLUMNS];
	Oid			relation;
	bool		isnull;
	char		kind;

	if (SPI_execute_with_args(lookup, 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read reconciler.sources");
	if (SPI_processed == 0)
		return false;
	relation = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	for (int i = 0; i < FOUND_COLUMNS; i++)
		found[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 2);
	if (!relation_owner(relation, &table->owner, &kind))
		return false;

	/* It may have changed hands, or its owner may have been made one, where attach was not asked. */
	if (superuser_arg(table->owner) && strcmp(found[FOUND_SUPERUSER_OWNER], "t") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has come to belong to %s, a superuser", get_rel_name(relation),
						GetUserNameFromId(table->owner, false)),
				 errhint("Give it an owner that is none; or detach it, and attach it with allow_superuser_owner => true.")));
	table->source_id = source_id;
	table->relation = relation;
	memcpy(table->names, found, sizeof(table->names));
	table->created_at = found[FOUND_CREATED_AT];
	table->updated_at = found[FOUND_UPDATED_AT];
	table->id_type = column_type_name(relation, table->names[COLUMN_ID], true);
	table->status_type = column_type_name(relation, table->names[COLUMN_STATUS], false);
	table->name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
	/* A child that somebody has given an ordinary table by INHERITS is no part of the source. */
	table->from = psprintf("%s%s", kind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ", table->name);
	return true;
}

/*
 * Nothing is left deferred when this returns: in a security-restricted
 * operation what these triggers defer in their turn is an error. Settings that
 * they change are put back: what follows runs as the extension's owner.
 */
void
owner_fire_deferred(void)
{
	owner_section section;

	GetUserIdAndSecContext(&section.saved_user, &section.saved_context);
	section.guc_level = NewGUCNestLevel();
	SetUserIdAndSecContext(GetOuterUserId(), section.saved_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not make constraints immediate");
	owner_leave(&section);
}

void
owner_enter(owner_section *section, Oid role)
{
	GetUserIdAndSecContext(&section->saved_user, &section->saved_context);
	SetUserIdAndSecContext(role, section->saved_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	section->guc_level = NewGUCNestLevel();
	owner_settings_apply(role);
}

void
owner_leave(const owner_section *section)
{
	AtEOXact_GUC(false, section->guc_level);
	SetUserIdAndSecContext(section->saved_user, section->saved_context);
}
