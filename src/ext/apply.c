/* apply.c: what reads and writes the rows of attached tables, as the tables' owners */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "owner.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* Rows of a big table that are fetched at a time */
#define FETCH_ROWS 1000

/* Columns of _open_requests */
#define OPEN_REQUEST_COLUMNS 10

PG_FUNCTION_INFO_V1(reconciler_open_requests);
PG_FUNCTION_INFO_V1(reconciler_status_of);
PG_FUNCTION_INFO_V1(reconciler_lock_open);
PG_FUNCTION_INFO_V1(reconciler_set_status);

static void
connect_spi(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/* The cast that makes the ids of the queue comparable to the column */
static const char *
id_array_cast(const source_table *table)
{
	return psprintf("$1::%s[]", table->id_type);
}

/* Hands the rows of the last statement over: id and status */
static void
return_text_rows(ReturnSetInfo *rsinfo)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		Datum		values[2];
		bool		nulls[2];

		for (int column = 0; column < 2; column++)
		{
			char	   *text = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column + 1);

			nulls[column] = text == NULL;
			values[column] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* Returns (id, status) of the rows with the ids of the second argument */
static void
return_statuses(FunctionCallInfo fcinfo, const char *locking)
{
	Oid			types[1] = {TEXTARRAYOID};
	Datum		values[1] = {PG_GETARG_DATUM(1)};
	source_table table;
	owner_section section;
	char	   *query;

	rc_init_materialized_set(fcinfo);
	connect_spi();
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		const char *id = quote_identifier(table.names[COLUMN_ID]);
		const char *status = quote_identifier(table.names[COLUMN_STATUS]);

		query = psprintf("SELECT t.%s, t.%s FROM %s AS t"
						 " WHERE t.%s OPERATOR(pg_catalog.=) ANY (%s)%s",
						 id, status, table.from, id, id_array_cast(&table), locking);
		owner_enter(&section, table.owner);
		if (SPI_execute_with_args(query, 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "unexpected result of \"%s\"", query);
		return_text_rows((ReturnSetInfo *) fcinfo->resultinfo);
		owner_leave(&section);
	}
	SPI_finish();
}

/* (source_id, ids): the rows that are there, as (id, status) */
Datum
reconciler_status_of(PG_FUNCTION_ARGS)
{
	return_statuses(fcinfo, "");
	return (Datum) 0;
}

/* (source_id, ids): locks the rows that nobody else has locked; returns them as (id, status) */
Datum
reconciler_lock_open(PG_FUNCTION_ARGS)
{
	return_statuses(fcinfo, " FOR UPDATE SKIP LOCKED");
	return (Datum) 0;
}

/* The compare-and-set: $1 ids, $2 old, $3 new statuses */
static char *
set_status_query(const source_table *table)
{
	const char *id = quote_identifier(table->names[COLUMN_ID]);
	const char *status = quote_identifier(table->names[COLUMN_STATUS]);
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "UPDATE %s AS t SET %s = c.to_status", table->from, status);
	if (table->updated_at[0] != '\0')
		appendStringInfo(&query, ", %s = pg_catalog.now()", quote_identifier(table->updated_at));
	appendStringInfo(&query,
					 " FROM ROWS FROM (pg_catalog.unnest(%s), pg_catalog.unnest($2::%s[]), pg_catalog.unnest($3::%s[]))"
					 " AS c (id, from_status, to_status)"
					 " WHERE t.%s OPERATOR(pg_catalog.=) c.id AND t.%s OPERATOR(pg_catalog.=) c.from_status"
					 " RETURNING t.%s, t.%s",
					 id_array_cast(table), table->status_type, table->status_type, id, status, id, status);
	return query.data;
}

/*
 * (source_id, ids, from_status, to_status): sets those that still have the
 * old status; returns them as (id, status). Deferred triggers run at once: left to the
 * commit they would run with the worker's own rights. One that is deferred all
 * the same is refused by the server, this being a security-restricted operation.
 */
Datum
reconciler_set_status(PG_FUNCTION_ARGS)
{
	Oid			types[3] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[3] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_GETARG_DATUM(3)};
	ArrayType  *ids = PG_GETARG_ARRAYTYPE_P(1);
	source_table table;
	owner_section section;
	char	   *query;

	rc_init_materialized_set(fcinfo);
	connect_spi();
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		query = set_status_query(&table);
		owner_enter(&section, table.owner);
		if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not make constraints immediate");
		if (SPI_execute_with_args(query, 3, types, values, NULL, false, 0) != SPI_OK_UPDATE_RETURNING)
			elog(ERROR, "unexpected result of \"%s\"", query);
		/* The key of a partitioned table may allow it; one payment must not confirm two requests. */
		if (SPI_processed > (uint64) ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids)))
			ereport(ERROR,
					(errcode(ERRCODE_CARDINALITY_VIOLATION),
					 errmsg("the id stands in more than one row of table %s", table.from),
					 errhint("Give every request an id of its own.")));
		return_text_rows((ReturnSetInfo *) fcinfo->resultinfo);
		owner_leave(&section);
	}
	SPI_finish();
	return (Datum) 0;
}

/* All open rows with their mapped columns, in order of arrival */
static char *
open_requests_query(const source_table *table)
{
	const char *id = quote_identifier(table->names[COLUMN_ID]);
	const char *status = quote_identifier(table->names[COLUMN_STATUS]);
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	for (int i = COLUMN_STATUS; i < SOURCE_COLUMNS; i++)
	{
		if (table->names[i][0] != '\0' && table->names[i][0] != '=')
			appendStringInfo(&query, "t.%s, ", quote_identifier(table->names[i]));
	}
	appendStringInfo(&query, "t.%s FROM %s AS t WHERE t.%s OPERATOR(pg_catalog.=) 'pending'"
					 " OR t.%s OPERATOR(pg_catalog.=) 'detected' ORDER BY ", id, table->from, status, status);
	if (table->created_at[0] != '\0')
		appendStringInfo(&query, "t.%s, ", quote_identifier(table->created_at));
	appendStringInfo(&query, "t.%s", id);
	return query.data;
}

static void
set_text(Datum *values, bool *nulls, int position, const char *text)
{
	nulls[position] = text == NULL;
	values[position] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* Adds a row of the table to what _open_requests returns */
static void
put_open_request(ReturnSetInfo *rsinfo, int64 arrival, const source_row *row)
{
	Datum		values[OPEN_REQUEST_COLUMNS];
	bool		nulls[OPEN_REQUEST_COLUMNS];

	values[0] = Int64GetDatum(arrival);
	nulls[0] = false;
	set_text(values, nulls, 1, row->id);
	set_text(values, nulls, 2, row->status);
	set_text(values, nulls, 3, row->chain);
	set_text(values, nulls, 4, row->network);
	set_text(values, nulls, 5, row->address);
	set_text(values, nulls, 6, row->token);
	nulls[7] = row->expected == NULL;
	values[7] = row->expected == NULL ? (Datum) 0 :
		DirectFunctionCall3(numeric_in, CStringGetDatum(row->expected), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	nulls[8] = !row->has_expiry;
	values[8] = TimestampTzGetDatum(row->expires_at);
	set_text(values, nulls, 9, row->invalid);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Reads the portal to its end; names are those of the source: the query has left the columns their names */
static void
read_open_requests(ReturnSetInfo *rsinfo, Portal portal, const source_table *table)
{
	MemoryContext chunk = AllocSetContextCreate(CurrentMemoryContext, "open requests", ALLOCSET_DEFAULT_SIZES);
	int64		arrival = 0;

	for (;;)
	{
		MemoryContext previous;
		source_row	row;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		previous = MemoryContextSwitchTo(chunk);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			source_row_read(&row, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, table->names);
			/* By a collation that ignores case, 'PENDING' = 'pending'; the trigger takes it as no open status. */
			if (row.id != NULL && source_status_is_open(row.status))
				put_open_request(rsinfo, ++arrival, &row);
		}
		MemoryContextSwitchTo(previous);
		MemoryContextReset(chunk);
		SPI_freetuptable(SPI_tuptable);
	}
	MemoryContextDelete(chunk);
}

/*
 * (source_id): all open requests, in order of arrival. Reads by the snapshot of
 * the statement that calls it, so that the statement can compare with the queue.
 */
Datum
reconciler_open_requests(PG_FUNCTION_ARGS)
{
	source_table table;
	owner_section section;
	Portal		portal;
	char	   *query;

	rc_init_materialized_set(fcinfo);
	connect_spi();
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		query = open_requests_query(&table);
		owner_enter(&section, table.owner);
		portal = SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
		if (portal == NULL)
			elog(ERROR, "could not open \"%s\"", query);
		read_open_requests((ReturnSetInfo *) fcinfo->resultinfo, portal, &table);
		SPI_cursor_close(portal);
		owner_leave(&section);
	}
	SPI_finish();
	return (Datum) 0;
}
