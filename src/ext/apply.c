/* apply.c: what reads and writes the rows of attached tables, as the tables' owners */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "owner.h"
#include "owner_plan.h"
#include "patience.h"
#include "queue_trigger.h"
#include "source_sql.h"
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
#define HELD_FIRST	COLUMN_STATUS
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

static void
set_text(Datum *values, bool *nulls, int position, const char *text)
{
	nulls[position] = text == NULL;
	values[position] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* Hands the rows of the last statement over, which are id and status, with the status as the table has it behind them */
static void
return_statuses(ReturnSetInfo *rsinfo, const source_mapping *mapping)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		char	   *word = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		Datum		values[3];
		bool		nulls[3];

		set_text(values, nulls, 0, SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1));
		set_text(values, nulls, 1, source_status_of(mapping, word));
		set_text(values, nulls, 2, word);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* (source_id, ids): the rows that are there, as (id, status, the table's word for it) */
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
		const char *query = psprintf("SELECT %s, t.%s FROM %s AS t WHERE %s", source_sql_id(&table),
									 quote_identifier(table.names[COLUMN_STATUS]), table.from, source_sql_id_in(&table));

		owner_enter(&section, table.owner);
		if (SPI_execute_with_args(query, 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "unexpected result of \"%s\"", query);
		return_statuses((ReturnSetInfo *) fcinfo->resultinfo, &table.mapping);
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
	appendStringInfo(query, "%s FROM %s AS t", source_sql_id_columns(table), table->from);
}

/* Runs, as the owner, what locks the rows with these ids that nobody else has locked */
static void
lock_rows(const source_table *table, Datum ids)
{
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	append_columns(&query, table);
	appendStringInfo(&query, " WHERE %s FOR UPDATE SKIP LOCKED", source_sql_id_in(table));
	if (owner_execute(query.data, TEXTARRAYOID, ids) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of \"%s\"", query.data);
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

/* Status and subject as they stand in the row, for the comparison by which its status is set */
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

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Of these requests those that the queue has as detected, in order; as whoever runs this. The rows don't tell */
static char **
detected_requests(int32 source_id, Datum ids, int *n)
{
	Oid			types[2] = {INT4OID, TEXTARRAYOID};
	Datum		values[2] = {Int32GetDatum(source_id), ids};
	char	  **found;

	if (SPI_execute_with_args("SELECT request_id FROM reconciler.queue WHERE source_id OPERATOR(pg_catalog.=) $1"
							  " AND request_id OPERATOR(pg_catalog.=) ANY ($2)"
							  " AND status OPERATOR(pg_catalog.=) 'detected'", 2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read reconciler.queue");
	*n = (int) SPI_processed;
	found = palloc(sizeof(char *) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		found[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
	qsort(found, *n, sizeof(char *), compare_texts);
	return found;
}

/* Returns these rows as _row; detected: ids of requests that are, though their rows say pending */
static void
return_rows(ReturnSetInfo *rsinfo, const source_table *table, SPITupleTable *rows, uint64 nrows, char **detected, int ndetected)
{
	for (uint64 i = 0; i < nrows; i++)
	{
		Datum		values[ROW_COLUMNS];
		bool		nulls[ROW_COLUMNS] = {false};
		source_row	row;

		source_row_read(&row, rows->vals[i], rows->tupdesc, &table->mapping);
		if (ndetected > 0 && row.id != NULL && row.status != NULL && strcmp(row.status, "pending") == 0 &&
			bsearch(&row.id, detected, ndetected, sizeof(char *), compare_texts) != NULL)
			row.status = "detected";
		set_text(values, nulls, 0, row.id);
		set_text(values, nulls, 1, row.status);
		set_subject(values, nulls, 2, &row);
		values[ROW_COLUMNS - 1] = held_values(table, rows->vals[i], rows->tupdesc);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* (source_id, ids): locks the rows that nobody else has locked; returns them as _row */
Datum
reconciler_lock_open(PG_FUNCTION_ARGS)
{
	source_table table;
	owner_section section;

	InitMaterializedSRF(fcinfo, 0);
	connect_spi();
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		SPITupleTable *rows;
		uint64		nrows;
		char	  **detected = NULL;
		int			ndetected = 0;

		owner_enter(&section, table.owner);
		lock_rows(&table, PG_GETARG_DATUM(1));
		owner_leave(&section);
		rows = SPI_tuptable;
		nrows = SPI_processed;
		if (table.mapping.hides_detected)
			detected = detected_requests(table.source_id, PG_GETARG_DATUM(1), &ndetected);
		return_rows((ReturnSetInfo *) fcinfo->resultinfo, &table, rows, nrows, detected, ndetected);
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

			source_row_read(&row, rows->vals[i], rows->tupdesc, &table.mapping);
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

/* Conditions that the row's status and subject are still what c has of them */
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
						 " AND (c.to_status OPERATOR(pg_catalog.<>) 'expired' OR %1$s OPERATOR(pg_catalog.=) c.expires_at"
						 " OR (%1$s IS NULL AND c.expires_at IS NULL))",
						 source_sql_time(table->names[COLUMN_EXPIRES], table->mapping.zone));
}

/* Are there columns for what came of a request? */
static bool
has_results(const source_table *table)
{
	return source_mapping_option(&table->mapping, OPTION_SET)[0] != '\0';
}

/* After FROM: the rows that are still as the changes have them, which are $1, or in the results that are $1 */
static void
append_still_so(StringInfo query, const source_table *table)
{
	appendStringInfo(query, "pg_catalog.unnest($1) AS %s WHERE %s AND ",
					 has_results(table) ? "r CROSS JOIN LATERAL (SELECT (r.change).*) AS c" : "c",
					 source_sql_id_is(table, "c.request_id"));
	source_sql_append_status_is(query, table, "c.from_status", exact_type(table, COLUMN_STATUS));
	append_subject(query, table);
}

/*
 * The compare-and-set: $1 is an array of _change. FOR UPDATE beforehand would
 * not do for the comparison: where tables are moved between servers, the row
 * that is updated may be another one than the row that was locked.
 * Returns id, word, the status before, and the new status where no row says it.
 */
static char *
set_status_query(const source_table *table)
{
	const char *status = quote_identifier(table->names[COLUMN_STATUS]);
	bool		hides_detected = table->mapping.hides_detected;
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "%sUPDATE %s AS t SET %s = ", hides_detected ? "WITH written AS (" : "", table->from, status);
	source_sql_append_word(&query, table, "c.to_status");
	if (table->updated_at[0] != '\0')
		appendStringInfo(&query, ", %s = %s", quote_identifier(table->updated_at), source_sql_now(table));
	for (int i = 0; i < table->mapping.noptions; i++)
	{
		if (strcmp(table->mapping.options[2 * i], OPTION_SET) == 0)
			appendStringInfo(&query, ", %s", table->mapping.options[2 * i + 1]);
	}
	appendStringInfoString(&query, " FROM ");
	append_still_so(&query, table);
	if (hides_detected)
		appendStringInfoString(&query, " AND c.to_status OPERATOR(pg_catalog.<>) ALL (ARRAY['pending', 'detected'])");
	appendStringInfo(&query, " RETURNING c.request_id, t.%s AS word, c.from_status, NULL::pg_catalog.text", status);
	if (hides_detected)
	{
		appendStringInfo(&query, ") SELECT * FROM written UNION ALL"
						 " SELECT c.request_id, NULL, c.from_status, c.to_status FROM %s AS t, ", table->from);
		append_still_so(&query, table);
		appendStringInfoString(&query, " AND c.to_status OPERATOR(pg_catalog.=) ANY (ARRAY['pending', 'detected'])");
	}
	return query.data;
}

/* Hands the rows of the compare-and-set over, as (id, the status that it has got) */
static void
return_changed(ReturnSetInfo *rsinfo, const source_mapping *mapping)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		const char *status = SPI_getvalue(tuple, desc, 4);
		Datum		values[2];
		bool		nulls[2];

		if (status == NULL)
			status = source_status_of(mapping, SPI_getvalue(tuple, desc, 2));
		/* A trigger has left the word that stands for both */
		if (mapping->hides_detected && status != NULL && strcmp(status, "pending") == 0 && SPI_getvalue(tuple, desc, 4) == NULL)
			status = SPI_getvalue(tuple, desc, 3);
		set_text(values, nulls, 0, SPI_getvalue(tuple, desc, 1));
		set_text(values, nulls, 1, status);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* The changes with what came of their requests, as whoever runs this */
static ArrayType *
results_of(const source_table *table, ArrayType *changes)
{
	Oid			types[2] = {INT4OID, get_array_type(ARR_ELEMTYPE(changes))};
	Datum		values[2] = {Int32GetDatum(table->source_id), PointerGetDatum(changes)};
	bool		isnull;

	if (SPI_execute_with_args("SELECT reconciler._results($1, $2)", 2, types, values, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "unexpected result of reconciler._results");
	return DatumGetArrayTypeP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Runs, as the owner, the compare-and-set of these changes */
static void
set_statuses(const source_table *table, ArrayType *changes)
{
	char	   *query = set_status_query(table);
	Oid			type = get_array_type(ARR_ELEMTYPE(changes));

	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not make constraints immediate");
	if (owner_execute(query, type, PointerGetDatum(changes)) !=
		(table->mapping.hides_detected ? SPI_OK_SELECT : SPI_OK_UPDATE_RETURNING))
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
	if (ARR_NDIM(changes) > 0 && source_table_open(&table, PG_GETARG_INT32(0)))
	{
		owner_fire_deferred();
		if (has_results(&table))
			changes = results_of(&table, changes);
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
		return_changed((ReturnSetInfo *) fcinfo->resultinfo, &table.mapping);
	}
	SPI_finish();
	return (Datum) 0;
}

/* All open rows with their mapped columns, in order of arrival */
static char *
open_requests_query(const source_table *table)
{
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	append_columns(&query, table);
	appendStringInfo(&query, " WHERE %s ORDER BY ", source_sql_is_open(table));
	if (table->created_at[0] != '\0')
		appendStringInfo(&query, "t.%s, ", quote_identifier(table->created_at));
	appendStringInfoString(&query, source_sql_id_columns(table));
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
			source_row_read(&row, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &table->mapping);
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
