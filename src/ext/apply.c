/* apply.c: what reads and writes the rows of attached tables, as the tables' owners */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "owner.h"
#include "owner_plan.h"
#include "patience.h"
#include "queue_trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

/* Rows of a big table that are fetched at a time */
#define FETCH_ROWS 1000

/* Columns of _open_requests */
#define OPEN_REQUEST_COLUMNS 10

/* Columns of _row: those of source_row, and held */
#define ROW_COLUMNS 10

/* What a verdict rests on besides the expiry: the columns of which _row.held has the values */
#define HELD_FIRST	COLUMN_CHAIN
#define HELD_LAST	COLUMN_AMOUNT
#define HELD_COLUMNS (HELD_LAST - HELD_FIRST + 1)

PG_FUNCTION_INFO_V1(reconciler_open_requests);
PG_FUNCTION_INFO_V1(reconciler_status_of);
PG_FUNCTION_INFO_V1(reconciler_lock_open);
PG_FUNCTION_INFO_V1(reconciler_requeue);
PG_FUNCTION_INFO_V1(reconciler_fire_deferred);
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

/* (source_id, ids): the rows that are there, as (id, status) */
Datum
reconciler_status_of(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {TEXTARRAYOID};
	Datum		values[1] = {PG_GETARG_DATUM(1)};
	source_table table;
	owner_section section;

	InitMaterializedSRF(fcinfo, 0);
	connect_spi();
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		const char *id = quote_identifier(table.names[COLUMN_ID]);
		const char *query = psprintf("SELECT t.%s, t.%s FROM %s AS t WHERE t.%s OPERATOR(pg_catalog.=) ANY (%s)",
									 id, quote_identifier(table.names[COLUMN_STATUS]), table.from, id, id_array_cast(&table));

		owner_enter(&section, table.owner);
		if (SPI_execute_with_args(query, 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "unexpected result of \"%s\"", query);
		return_text_rows((ReturnSetInfo *) fcinfo->resultinfo);
		owner_leave(&section);
	}
	SPI_finish();
	return (Datum) 0;
}

static bool
is_column(const source_table *table, int column)
{
	return table->names[column][0] != '\0' && table->names[column][0] != '=';
}

/* The mapped columns from status on, and the id at the end: the query leaves them their names */
static void
append_columns(StringInfo query, const source_table *table)
{
	for (int i = COLUMN_STATUS; i < SOURCE_COLUMNS; i++)
	{
		if (is_column(table, i))
			appendStringInfo(query, "t.%s, ", quote_identifier(table->names[i]));
	}
	appendStringInfo(query, "t.%s FROM %s AS t", quote_identifier(table->names[COLUMN_ID]), table->from);
}

/* Runs, as the owner, what locks the rows with these ids that nobody else has locked */
static void
lock_rows(const source_table *table, Datum ids)
{
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	append_columns(&query, table);
	appendStringInfo(&query, " WHERE t.%s OPERATOR(pg_catalog.=) ANY (%s) FOR UPDATE SKIP LOCKED",
					 quote_identifier(table->names[COLUMN_ID]), id_array_cast(table));
	if (owner_execute(query.data, TEXTARRAYOID, ids) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of \"%s\"", query.data);
}

static void
set_text(Datum *values, bool *nulls, int position, const char *text)
{
	nulls[position] = text == NULL;
	values[position] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* From position on: chain, network, address, token, expected, expires_at, invalid */
static void
set_subject(Datum *values, bool *nulls, int position, const source_row *row)
{
	set_text(values, nulls, position, row->chain);
	set_text(values, nulls, position + 1, row->network);
	set_text(values, nulls, position + 2, row->address);
	set_text(values, nulls, position + 3, row->token);
	nulls[position + 4] = row->expected == NULL;
	values[position + 4] = row->expected == NULL ? (Datum) 0 :
		DirectFunctionCall3(numeric_in, CStringGetDatum(row->expected), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	nulls[position + 5] = !row->has_expiry;
	values[position + 5] = TimestampTzGetDatum(row->expires_at);
	set_text(values, nulls, position + 6, row->invalid);
}

/* The subject as it stands in the row, for the comparison by which its status is set */
static Datum
held_values(const source_table *table, HeapTuple tuple, TupleDesc desc)
{
	Datum		values[HELD_COLUMNS];
	bool		nulls[HELD_COLUMNS];
	int			dims[1] = {HELD_COLUMNS};
	int			lower[1] = {1};

	for (int i = 0; i < HELD_COLUMNS; i++)
	{
		const char *text = NULL;

		if (is_column(table, HELD_FIRST + i))
			text = SPI_getvalue(tuple, desc, SPI_fnumber(desc, table->names[HELD_FIRST + i]));
		set_text(values, nulls, i, text);
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lower, TEXTOID, -1, false, TYPALIGN_INT));
}

/* (source_id, ids): locks the rows that nobody else has locked; returns them as _row */
Datum
reconciler_lock_open(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	source_table table;
	owner_section section;

	InitMaterializedSRF(fcinfo, 0);
	connect_spi();
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		owner_enter(&section, table.owner);
		lock_rows(&table, PG_GETARG_DATUM(1));
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[i];
			Datum		values[ROW_COLUMNS];
			bool		nulls[ROW_COLUMNS] = {false};
			source_row	row;

			source_row_read(&row, tuple, SPI_tuptable->tupdesc, table.names);
			set_text(values, nulls, 0, row.id);
			set_text(values, nulls, 1, row.status);
			set_subject(values, nulls, 2, &row);
			values[ROW_COLUMNS - 1] = held_values(&table, tuple, SPI_tuptable->tupdesc);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
		owner_leave(&section);
	}
	SPI_finish();
	return (Datum) 0;
}

/* (source_id, ids): queues those that are open as their rows are now */
Datum
reconciler_requeue(PG_FUNCTION_ARGS)
{
	source_table table;
	owner_section section;

	connect_spi();
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		SPITupleTable *rows;
		uint64		nrows;

		owner_enter(&section, table.owner);
		lock_rows(&table, PG_GETARG_DATUM(1));
		owner_leave(&section);
		rows = SPI_tuptable;
		nrows = SPI_processed;
		for (uint64 i = 0; i < nrows; i++)
		{
			source_row	row;

			source_row_read(&row, rows->vals[i], rows->tupdesc, table.names);
			if (row.id != NULL && source_status_is_open(row.status))
				queue_put_request(table.source_id, &row);
		}
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* The type that a text is cast to for the comparison with a column, with the collation that leaves no doubt */
static char *
exact_type(const source_table *table, int column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(table->relation, get_attnum(table->relation, table->names[column]), &type, &typmod, &collation);
	return psprintf("%s%s", format_type_be_qualified(getBaseType(type)),
					OidIsValid(collation) ? " COLLATE pg_catalog.\"C\"" : "");
}

/* Conditions that the row's subject is still what c has of it */
static void
append_subject(StringInfo query, const source_table *table)
{
	for (int i = HELD_FIRST; i <= HELD_LAST; i++)
	{
		if (is_column(table, i))
			appendStringInfo(query,
							 " AND (t.%1$s OPERATOR(pg_catalog.=) c.held[%2$d]::%3$s"
							 " OR (t.%1$s IS NULL AND c.held[%2$d] IS NULL))",
							 quote_identifier(table->names[i]), i - HELD_FIRST + 1, exact_type(table, i));
	}
	if (is_column(table, COLUMN_EXPIRES))
		appendStringInfo(query,
						 " AND (c.to_status OPERATOR(pg_catalog.<>) 'expired' OR t.%1$s OPERATOR(pg_catalog.=) c.expires_at"
						 " OR (t.%1$s IS NULL AND c.expires_at IS NULL))",
						 quote_identifier(table->names[COLUMN_EXPIRES]));
}

/*
 * The compare-and-set: $1 is an array of _change. FOR UPDATE beforehand would
 * not do for the comparison: where tables are moved between servers, the row
 * that is updated may be another one than the row that was locked.
 */
static char *
set_status_query(const source_table *table)
{
	const char *id = quote_identifier(table->names[COLUMN_ID]);
	const char *status = quote_identifier(table->names[COLUMN_STATUS]);
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "UPDATE %s AS t SET %s = c.to_status::%s", table->from, status, table->status_type);
	if (table->updated_at[0] != '\0')
		appendStringInfo(&query, ", %s = pg_catalog.now()", quote_identifier(table->updated_at));
	appendStringInfo(&query, " FROM pg_catalog.unnest($1) AS c WHERE t.%s OPERATOR(pg_catalog.=) c.request_id::%s"
					 " AND t.%s OPERATOR(pg_catalog.=) c.from_status::%s",
					 id, table->id_type, status, exact_type(table, COLUMN_STATUS));
	append_subject(&query, table);
	appendStringInfo(&query, " RETURNING c.request_id, t.%s", status);
	return query.data;
}

/* Runs, as the owner, the compare-and-set of these changes */
static void
set_statuses(const source_table *table, ArrayType *changes)
{
	char	   *query = set_status_query(table);
	Oid			type = get_array_type(ARR_ELEMTYPE(changes));

	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not make constraints immediate");
	if (owner_execute(query, type, PointerGetDatum(changes)) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "unexpected result of \"%s\"", query);
	/* The key of a partitioned table may allow it; one payment must not confirm two requests. */
	if (SPI_processed > (uint64) ArrayGetNItems(ARR_NDIM(changes), ARR_DIMS(changes)))
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("the id stands in more than one row of table %s", table->name),
				 errhint("Give every request an id of its own.")));
}

Datum
reconciler_fire_deferred(PG_FUNCTION_ARGS)
{
	connect_spi();
	owner_fire_deferred();
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * (source_id, changes, patience in ms): makes the changes whose status and
 * subject are still those that they rest on; returns them as (id, status).
 * Deferred triggers run at once: left to the commit they would run with the
 * worker's own rights. One that is deferred all the same is refused by the
 * server, this being a security-restricted operation.
 */
Datum
reconciler_set_status(PG_FUNCTION_ARGS)
{
	ArrayType  *changes = PG_GETARG_ARRAYTYPE_P(1);
	source_table table;
	owner_section section;
	patience	limit;

	InitMaterializedSRF(fcinfo, 0);
	connect_spi();
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		owner_fire_deferred();
		patience_begin(&limit, PG_GETARG_INT32(2));
		PG_TRY();
		{
			owner_enter(&section, table.owner);
			set_statuses(&table, changes);
			owner_leave(&section);
		}
		PG_CATCH();
		{
			patience_lost(&limit, table.name);
			PG_RE_THROW();
		}
		PG_END_TRY();
		patience_end(&limit);
		return_text_rows((ReturnSetInfo *) fcinfo->resultinfo);
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
	append_columns(&query, table);
	appendStringInfo(&query, " WHERE t.%1$s OPERATOR(pg_catalog.=) 'pending'"
					 " OR t.%1$s OPERATOR(pg_catalog.=) 'detected' ORDER BY ", status);
	if (table->created_at[0] != '\0')
		appendStringInfo(&query, "t.%s, ", quote_identifier(table->created_at));
	appendStringInfo(&query, "t.%s", id);
	return query.data;
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
	set_subject(values, nulls, 3, row);
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

	InitMaterializedSRF(fcinfo, 0);
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
