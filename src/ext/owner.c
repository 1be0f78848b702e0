/* owner.c: reading and writing an attached table with its owner's rights */
#include "owner.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "owner_settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static const char *const lookup =
	"SELECT relation::pg_catalog.oid, superuser_owner, arguments"
	" FROM reconciler.sources WHERE source_id OPERATOR(pg_catalog.=) $1";

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

/* The mapping, from the arguments as sources has them */
static void
read_mapping(source_table *table, ArrayType *arguments)
{
	Datum	   *values;
	const char **texts;
	int			n;

	deconstruct_array(arguments, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &n);
	texts = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		texts[i] = TextDatumGetCString(values[i]);
	if (!source_mapping_read(&table->mapping, texts, n))
		elog(ERROR, "the mapping of source %d can't be read", table->source_id);
	table->names = table->mapping.names;
	table->created_at = source_mapping_option(&table->mapping, OPTION_CREATED_AT);
	table->updated_at = source_mapping_option(&table->mapping, OPTION_UPDATED_AT);
}

static void
refuse_superuser(Oid relation, Oid owner)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s has come to belong to %s, a superuser", get_rel_name(relation),
					GetUserNameFromId(owner, false)),
			 errhint("Give it an owner that is none; or detach it, and attach it with allow_superuser_owner => true.")));
}

bool
source_table_open(source_table *table, int32 source_id)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(source_id)};
	HeapTuple	row;
	bool		isnull;
	char		kind;

	if (SPI_execute_with_args(lookup, 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read reconciler.sources");
	if (SPI_processed == 0)
		return false;
	row = SPI_tuptable->vals[0];
	table->source_id = source_id;
	table->relation = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
	if (!relation_owner(table->relation, &table->owner, &kind))
		return false;

	/* It may have changed hands, or its owner may have been made one, where attach was not asked. */
	if (superuser_arg(table->owner) && !DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull)))
		refuse_superuser(table->relation, table->owner);
	read_mapping(table, DatumGetArrayTypeP(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull)));
	for (int i = 0; i < table->mapping.nids; i++)
		table->id_types[i] = column_type_name(table->relation, table->mapping.ids[i], true);
	table->status_type = column_type_name(table->relation, table->names[COLUMN_STATUS], false);
	table->name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(table->relation)), get_rel_name(table->relation));
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
