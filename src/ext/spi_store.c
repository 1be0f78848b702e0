/* spi_store.c: runs the statements of the SQL protocol inside the server */
#include "postgres.h"

#include <stdlib.h>

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/base/memory.h"
#include "compat.h"
#include "guc.h"
#include "spi_store.h"
#include "worker_host.h"

#define EXTENSION_NAME		"reconciler"

/* Most parameters that a statement of the protocol has */
#define MAX_ARGS			16

/* A statement's saved plan, good for one incarnation of the extension */
typedef struct saved_plan
{
	struct saved_plan *next;
	const rc_statement *statement;
	Oid			extension;
	SPIPlanPtr	plan;
} saved_plan;

static saved_plan *plans = NULL;

/* Whose role and id the log shows */
static const rc_host *own_host = NULL;

/* Statements run here; reset after each */
static MemoryContext statement_context = NULL;

/*
 * Takes a lock on the extension until the transaction ends, so that DROP
 * EXTENSION waits for this statement and no longer, and never the other way
 * round. InvalidOid: the extension isn't there, or is being dropped.
 */
static Oid
lock_extension(void)
{
	LOCKTAG		tag;
	Oid			extension = get_extension_oid(EXTENSION_NAME, true);

	if (!OidIsValid(extension))
		return InvalidOid;
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, extension, 0);
	if (LockAcquire(&tag, AccessShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return InvalidOid;

	/* It may have been dropped, even created again, before we had the lock */
	AcceptInvalidationMessages();
	return get_extension_oid(EXTENSION_NAME, true) == extension ? extension : InvalidOid;
}

static SPIPlanPtr
prepare(const rc_statement *statement)
{
	Oid			types[MAX_ARGS];
	SPIPlanPtr	plan;

	for (int i = 0; i < statement->nargs; i++)
		types[i] = TEXTOID;
	plan = SPI_prepare_cursor(statement->sql, statement->nargs, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	return plan;
}

static saved_plan *
find_plan(const rc_statement *statement)
{
	saved_plan *saved;

	for (saved = plans; saved != NULL; saved = saved->next)
	{
		if (saved->statement == statement)
			return saved;
	}
	saved = MemoryContextAllocZero(TopMemoryContext, sizeof(*saved));
	saved->statement = statement;
	saved->next = plans;
	plans = saved;
	return saved;
}

/* The plan of a statement; made anew when the extension is another one than it was */
static SPIPlanPtr
get_plan(const rc_statement *statement, Oid extension)
{
	saved_plan *saved = find_plan(statement);
	SPIPlanPtr	old = saved->plan;

	if (old != NULL && saved->extension == extension)
		return old;
	saved->plan = NULL;
	if (old != NULL)
		SPI_freeplan(old);
	saved->plan = prepare(statement);
	saved->extension = extension;
	return saved->plan;
}

/* The core speaks UTF-8. Text that is not valid raises an error. */
static Datum
argument_datum(const char *arg)
{
	return CStringGetTextDatum(pg_any_to_server(arg, strlen(arg), PG_UTF8));
}

static char *
cell_text(HeapTuple tuple, TupleDesc tupdesc, int col)
{
	char	   *value = SPI_getvalue(tuple, tupdesc, col + 1);

	return value != NULL ? pg_server_to_any(value, strlen(value), PG_UTF8) : NULL;
}

/* Copies SPI's result out of the reach of memory contexts, in one block */
static void
copy_rows(rc_rows *rows)
{
	TupleDesc	tupdesc = SPI_tuptable->tupdesc;
	int			nrows = (int) SPI_processed;
	int			ncols = tupdesc->natts;
	Size		ncells = (Size) nrows * ncols;
	char	  **values;
	Size		bytes = ncells * sizeof(char *);
	char	   *end;

	if (nrows == 0)
	{
		rows->ncols = ncols;
		return;
	}
	values = MemoryContextAllocHuge(CurrentMemoryContext, ncells * sizeof(char *));
	for (Size i = 0; i < ncells; i++)
	{
		values[i] = cell_text(SPI_tuptable->vals[i / ncols], tupdesc, (int) (i % ncols));
		bytes += values[i] != NULL ? strlen(values[i]) + 1 : 0;
	}
	rows->cells = rc_malloc(bytes);
	rows->nrows = nrows;
	rows->ncols = ncols;
	end = (char *) (rows->cells + ncells);
	for (Size i = 0; i < ncells; i++)
	{
		Size		size = values[i] != NULL ? strlen(values[i]) + 1 : 0;

		rows->cells[i] = values[i] != NULL ? end : NULL;
		if (size > 0)
			memcpy(end, values[i], size);
		end += size;
	}
}

/* May throw. Runs in the transaction that run_in_transaction has begun. */
static void
execute(const rc_statement *statement, Oid extension, const char *const *args, rc_rows *rows)
{
	Datum		values[MAX_ARGS];
	char		nulls[MAX_ARGS];
	int			result;

	if (statement->nargs > MAX_ARGS)
		elog(ERROR, "statement has too many parameters");
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < statement->nargs; i++)
	{
		nulls[i] = args[i] == NULL ? 'n' : ' ';
		values[i] = args[i] == NULL ? (Datum) 0 : argument_datum(args[i]);
	}
	result = SPI_execute_plan(get_plan(statement, extension), values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
	if (rows != NULL && SPI_tuptable != NULL)
		copy_rows(rows);
	PopActiveSnapshot();
	SPI_finish();
}

/* May throw */
static rc_store_status
run_in_transaction(const rc_statement *statement, const char *const *args, rc_rows *rows)
{
	Oid			extension;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();

	/* The protocol is written for these, whatever the database's or role's defaults are */
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	XactDeferrable = false;
	extension = lock_extension();
	if (OidIsValid(extension))
	{
		pgstat_report_activity(STATE_RUNNING, statement->sql);
		execute(statement, extension, args, rows);
	}
	CommitTransactionCommand();
	return OidIsValid(extension) ? RC_STORE_OK : RC_STORE_GONE;
}

/* One entry in the log for a statement that was refused, as long as it is refused for the same reason */
static void
log_refusal(const rc_statement *statement, const ErrorData *error, bool expected)
{
	const rc_field fields[] = {
		rc_field_text("role", own_host->role),
		rc_field_text("worker_id", own_host->worker_id),
		rc_field_text("statement", statement->name),
		rc_field_text("code", unpack_sql_state(error->sqlerrcode))
	};
	const rc_event event = {RC_LOG_WARNING, "statement failed", fields, lengthof(fields), error->message};
	char	   *line = rc_event_text(&event);
	bool		news = rc_log_memory_is_news(own_host->log_memory, line, rc_now_ms());

	ereport(!news ? DEBUG1 : expected ? LOG : WARNING,
			(errcode(error->sqlerrcode),
			 errmsg_internal("%s", line),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint && !expected ? errhint("%s", error->hint) : 0,
			 error->context && !expected ? errcontext("%s", error->context) : 0,
			 errhidestmt(true)));
	free(line);
}

/* Ends a transaction that failed; says why, unless it is because the worker stops */
static rc_store_status
handle_error(const rc_statement *statement)
{
	ErrorData  *error;
	rc_store_status status;

	MemoryContextSwitchTo(statement_context);
	HOLD_INTERRUPTS();
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(statement_context);
	status = rc_store_status_of(unpack_sql_state(error->sqlerrcode));
	if (status != RC_STORE_STALE && (error->sqlerrcode != ERRCODE_QUERY_CANCELED || !rc_worker_should_stop()))
		log_refusal(statement, error, rc_store_is_expected(status));
	RESUME_INTERRUPTS();
	return status;
}

/* rc_store.run: called from the core, so no error leaves it */
static rc_store_status
spi_run(void *ctx, const rc_statement *statement, const char *const *args, rc_rows *rows)
{
	MemoryContext context = CurrentMemoryContext;
	volatile rc_store_status status = RC_STORE_ERROR;

	(void) ctx;
	if (rows != NULL)
		memset(rows, 0, sizeof(*rows));
	MemoryContextSwitchTo(statement_context);
	rc_worker_statement_begins(statement->name,
							   (int64) rc_guc_statement_timeout * (rc_statement_is_slow(statement) ? RC_SLOW_FACTOR : 1));
	PG_TRY();
	{
		status = run_in_transaction(statement, args, rows);
	}
	PG_CATCH();
	{
		status = handle_error(statement);
	}
	PG_END_TRY();
	rc_worker_statement_ends();
	if (status != RC_STORE_OK && rows != NULL)
		rc_rows_free(rows);
	MemoryContextSwitchTo(context);
	MemoryContextReset(statement_context);
	pgstat_report_activity(STATE_IDLE, rc_worker_activity());
	return status;
}

void
rc_spi_store_init(rc_store *store, const rc_host *host)
{
	own_host = host;
	statement_context = AllocSetContextCreate(TopMemoryContext, "reconciler statement",
											  ALLOCSET_DEFAULT_SIZES);
	store->ctx = NULL;
	store->run = spi_run;
}
