/*
 * request.c: what a role may ask about a request or a table: explain, reopen,
 * resync. What the table's own privileges and policies allow is found out by
 * reading, and writing, its rows as the caller; the rest needs more rights.
 */
#include "compat.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "extension.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "owner.h"
#include "queue_trigger.h"
#include "source_sql.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(reconciler_explain);
PG_FUNCTION_INFO_V1(reconciler_reopen);
PG_FUNCTION_INFO_V1(reconciler_resync);

/* The attached table, or an error; needs SPI */
static void
open_table(FunctionCallInfo fcinfo, source_table *table)
{
	Oid			types[1] = {REGCLASSOID};
	Datum		values[1];
	Oid			saved_user;
	int			saved_context;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation and request_id must not be null")));
	values[0] = PG_GETARG_DATUM(0);
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(rc_extension_owner(fcinfo), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	if (!source_table_open(table, DatumGetInt32(rc_run_as_extension_owner(fcinfo, "SELECT reconciler._source_id($1)",
																		  1, types, values, NULL))))
		elog(ERROR, "the attached table is gone");
	SetUserIdAndSecContext(saved_user, saved_context);
}

/* The table's name, for messages */
static char *
table_name(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
}

/*
 * Reads the request as the caller, who needs SELECT on its columns (and UPDATE
 * where it is locked), and may be kept from it by a policy of the table's.
 */
static void
read_request(const source_table *table, Oid relation, Datum id, const char *locking, source_row *row)
{
	Oid			types[1] = {TEXTOID};
	const char *form = source_id_problem(table, TextDatumGetCString(id));
	StringInfoData query;

	if (form != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("\"%s\" is no id of table %s", TextDatumGetCString(id), table_name(relation)),
				 errhint("Its ids are %s, given as text.", form)));
	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	for (int i = COLUMN_STATUS; i < SOURCE_COLUMNS; i++)
	{
		if (table->names[i][0] != '\0' && table->names[i][0] != '=')
			appendStringInfo(&query, "t.%s, ", quote_identifier(table->names[i]));
	}
	appendStringInfo(&query, "%s FROM %s AS t WHERE %s%s",
					 source_sql_id_columns(table), table->from, source_sql_id_is(table, "$1"), locking);
	if (SPI_execute_with_args(query.data, 1, types, &id, NULL, false, 2) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of \"%s\"", query.data);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("table %s has no request %s", table_name(relation), TextDatumGetCString(id)),
				 errhint("Give the request's id as text.")));
	if (SPI_processed > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("the id stands in more than one row of table %s", table_name(relation)),
				 errhint("Give every request an id of its own.")));
	source_row_read(row, SPI_tuptable->vals[0], SPI_tuptable->tupdesc, &table->mapping);
}

/* explain(relation, request_id) */
Datum
reconciler_explain(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {REGCLASSOID, TEXTOID};
	Datum		arguments[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	source_table table;
	source_row	row;
	Oid			saved_user;
	int			saved_context;

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	open_table(fcinfo, &table);
	read_request(&table, PG_GETARG_OID(0), arguments[1], "", &row);
	arguments[1] = CStringGetTextDatum(row.id);
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(rc_extension_owner(fcinfo), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_execute_with_args("SELECT item, value FROM reconciler._explain($1, $2)", 2, types, arguments, NULL,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of reconciler._explain");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[2];
		bool		nulls[2];

		for (int column = 0; column < 2; column++)
			values[column] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column + 1, &nulls[column]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SetUserIdAndSecContext(saved_user, saved_context);
	SPI_finish();
	return (Datum) 0;
}

/* Does the caller have the right to update the column? */
static bool
may_update(Oid relation, const char *column)
{
	return pg_class_aclcheck(relation, GetUserId(), ACL_UPDATE) == ACLCHECK_OK ||
		pg_attribute_aclcheck(relation, get_attnum(relation, column), GetUserId(), ACL_UPDATE) == ACLCHECK_OK;
}

/* Sets the status to pending, as the caller and with whatever that sets off */
static void
set_pending(const source_table *table, Oid relation, Datum id, const char *word)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2] = {id, CStringGetTextDatum(word)};
	const char *column = quote_identifier(table->names[COLUMN_STATUS]);
	const char *pending = source_word_of(&table->mapping, "pending");
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "UPDATE %s AS t SET %s = %s", table->from, column, quote_literal_cstr(pending));
	if (table->updated_at[0] != '\0' && may_update(relation, table->updated_at))
		appendStringInfo(&query, ", %s = %s", quote_identifier(table->updated_at), source_sql_now(table));
	appendStringInfo(&query, " WHERE %s AND t.%s OPERATOR(pg_catalog.=) $2::%s RETURNING t.%s",
					 source_sql_id_is(table, "$1"), column, table->status_type, column);
	if (SPI_execute_with_args(query.data, 2, types, values, NULL, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "unexpected result of \"%s\"", query.data);
	if (SPI_processed != 1 || strcmp(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), pending) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a trigger of table %s keeps the status at \"%s\"", table_name(relation), word)));
}

/* Notes that the request is to be observed again; queues it if it is pending already. False: it is observed */
static bool
note_reopening(FunctionCallInfo fcinfo, const source_table *table, const source_row *row)
{
	Oid			types[3] = {INT4OID, TEXTOID, TEXTOID};
	Datum		values[3];
	Oid			saved_user;
	int			saved_context;
	bool		noted;

	values[0] = Int32GetDatum(table->source_id);
	values[1] = CStringGetTextDatum(row->id);
	values[2] = CStringGetTextDatum(row->status);
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(rc_extension_owner(fcinfo), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	noted = DatumGetBool(rc_run_as_extension_owner(fcinfo, "SELECT reconciler._note_reopening($1, $2, $3)",
												   3, types, values, NULL));
	if (noted && strcmp(row->status, "pending") == 0)
		queue_put_request(table->source_id, row);
	SetUserIdAndSecContext(saved_user, saved_context);
	return noted;
}

/* reopen(relation, request_id): is it observed again? */
Datum
reconciler_reopen(PG_FUNCTION_ARGS)
{
	source_table table;
	source_row	row;
	Oid			relation;
	bool		reopened;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	open_table(fcinfo, &table);
	relation = PG_GETARG_OID(0);
	if (!may_update(relation, table.names[COLUMN_STATUS]))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to reopen requests of table %s", table_name(relation)),
				 errhint("GRANT UPDATE (%s) ON %s TO %s.", quote_identifier(table.names[COLUMN_STATUS]), table_name(relation),
						 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	read_request(&table, relation, PG_GETARG_DATUM(1), " FOR UPDATE", &row);
	if (row.status == NULL)
		row.status = row.word = "";
	reopened = note_reopening(fcinfo, &table, &row);
	if (reopened && strcmp(row.status, "pending") != 0)
		set_pending(&table, relation, CStringGetTextDatum(row.id), row.word);
	SPI_finish();
	PG_RETURN_BOOL(reopened);
}

/* resync(relation): that table, which must be the caller's; null: all of the caller's */
Datum
reconciler_resync(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {REGCLASSOID, OIDOID};
	Datum		values[2];
	char		nulls[3] = "  ";

	nulls[0] = PG_ARGISNULL(0) ? 'n' : ' ';
	values[0] = PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0);
	values[1] = ObjectIdGetDatum(GetUserId());
	return rc_run_as_extension_owner(fcinfo, "SELECT reconciler._resync_tables($1, $2)", 2, types, values, nulls);
}
