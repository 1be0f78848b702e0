/* attach.c: attach and detach, which only a table's owner may, and which then need more rights than that */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(reconciler_attach);
PG_FUNCTION_INFO_V1(reconciler_detach);

/* A relation that can be attached, and that belongs to the caller */
static void
check_relation(Oid relation, const char *what)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no table with OID %u", relation)));
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", NameStr(form->relname)),
				 errhint("Attach the ordinary or partitioned table in which the requests stand.")));
	if (form->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a temporary table, which no worker can see", NameStr(form->relname)),
				 errhint("Attach a permanent table.")));
	if (!has_privs_of_role(GetUserId(), form->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s to %s it", NameStr(form->relname), what),
				 errhint("Do it as role %s or as a superuser.", GetUserNameFromId(form->relowner, false))));
	ReleaseSysCache(tuple);
}

/* Checks the caller's rights and keeps writers out of the table; it may have changed hands before it was locked */
static void
lock_relation(Oid relation, const char *what, LOCKMODE mode)
{
	check_relation(relation, what);
	LockRelationOid(relation, mode);
	check_relation(relation, what);
}

static void
refuse_null_relation(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("relation must not be null"),
			 errhint("Name the table: 'schema.table'.")));
}

/* attach(relation, columns, allow_superuser_owner, reopen, statuses): the new source's id */
Datum
reconciler_attach(PG_FUNCTION_ARGS)
{
	Oid			types[5] = {REGCLASSOID, JSONBOID, BOOLOID, BOOLOID, JSONBOID};
	Datum		values[5];
	char		nulls[6] = "     ";

	if (PG_ARGISNULL(0))
		refuse_null_relation();
	lock_relation(PG_GETARG_OID(0), "attach", ShareRowExclusiveLock);
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[2] = BoolGetDatum(!PG_ARGISNULL(2) && PG_GETARG_BOOL(2));
	values[3] = BoolGetDatum(!PG_ARGISNULL(3) && PG_GETARG_BOOL(3));
	values[4] = PG_ARGISNULL(4) ? (Datum) 0 : PG_GETARG_DATUM(4);
	nulls[4] = PG_ARGISNULL(4) ? 'n' : ' ';
	return rc_run_as_extension_owner(fcinfo, "SELECT reconciler._attach($1, $2, $3, $4, $5)", 5, types, values, nulls);
}

/* detach(relation) */
Datum
reconciler_detach(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {REGCLASSOID};
	Datum		values[1];

	if (PG_ARGISNULL(0))
		refuse_null_relation();
	/* DROP TRIGGER will ask for this lock; asked for first, it can't deadlock with our own. */
	lock_relation(PG_GETARG_OID(0), "detach", AccessExclusiveLock);
	values[0] = PG_GETARG_DATUM(0);
	(void) rc_run_as_extension_owner(fcinfo, "SELECT reconciler._detach($1)", 1, types, values, NULL);
	PG_RETURN_VOID();
}
