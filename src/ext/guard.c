/*
 * guard.c: refuses, before the server does with other words, changes of columns
 * that an attached table's triggers name. At a command's end, where _guard_alter
 * looks, it would be too late: the server's hint leads to DROP ... CASCADE.
 */
#include "compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "extension.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(reconciler_guard_columns);

/* The relation, if it is the caller's to change; the server refuses the others */
static Oid
callers_relation(const RangeVar *name)
{
	Oid			relation = RangeVarGetRelid(name, NoLock, true);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	bool		is_callers;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	is_callers = has_privs_of_role(GetUserId(), ((Form_pg_class) GETSTRUCT(tuple))->relowner);
	ReleaseSysCache(tuple);
	return is_callers ? relation : InvalidOid;
}

/* Event trigger at the start of ALTER TABLE */
Datum
reconciler_guard_columns(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {REGCLASSOID, TEXTOID};
	Datum		values[2];
	AlterTableStmt *statement;
	Oid			relation;
	ListCell   *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "reconciler.guard_columns is an event trigger");
	statement = (AlterTableStmt *) ((EventTriggerData *) fcinfo->context)->parsetree;
	if (!IsA(statement, AlterTableStmt) || !OidIsValid(relation = callers_relation(statement->relation)))
		PG_RETURN_NULL();
	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype != AT_AlterColumnType && command->subtype != AT_DropColumn)
			continue;
		values[0] = ObjectIdGetDatum(relation);
		values[1] = CStringGetTextDatum(command->name);
		(void) rc_run_as_extension_owner(fcinfo, "SELECT reconciler._refuse_column_change($1, $2)", 2, types, values, NULL);
	}
	PG_RETURN_NULL();
}
