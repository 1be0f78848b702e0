/* queue_trigger.c: the trigger on attached tables, which keeps their rows in the queue */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "queue_trigger.h"
#include "source.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(reconciler_queue_request);

/* Statements of the trigger; prepared once a session */
typedef enum queue_statement
{
	QUEUE_PUT,
	QUEUE_TOUCH,
	QUEUE_REMOVE,
	QUEUE_CLEAR,
	QUEUE_STATEMENTS
} queue_statement;

/* Operators are named with their schema: the caller's search_path is in force. */
static const char *const statement_texts[QUEUE_STATEMENTS] = {
	[QUEUE_PUT] =
	"INSERT INTO reconciler.queue AS q (source_id, request_id, status, network_id, address, token_contract,"
	" expected, expires_at, invalid, chain, network, key, look_back_due)"
	" SELECT $1, $2, $3, n.network_id, $6, $7, $8, $9,"
	" coalesce($10, reconciler._request_problem(n.kind, n.network, $6, $7)),"
	" CASE WHEN n.network_id OPERATOR(pg_catalog.=) 0 THEN coalesce($4, '') END,"
	" CASE WHEN n.network_id OPERATOR(pg_catalog.=) 0 THEN coalesce($5, '') END,"
	" reconciler._request_key(n.kind, n.network, $6, $7), reconciler._is_followed(n.kind)"
	" FROM reconciler.networks AS n WHERE n.network_id OPERATOR(pg_catalog.=) coalesce("
	"(SELECT m.network_id FROM reconciler.networks AS m"
	" WHERE m.chain OPERATOR(pg_catalog.=) $4 AND m.network OPERATOR(pg_catalog.=) $5), 0)"
	" ON CONFLICT (source_id, request_id) DO UPDATE SET seq = DEFAULT, status = excluded.status,"
	" network_id = excluded.network_id, address = excluded.address, token_contract = excluded.token_contract,"
	" expected = excluded.expected, expires_at = excluded.expires_at, invalid = excluded.invalid,"
	" chain = excluded.chain, network = excluded.network,"
	" key = excluded.key, look_back_due = excluded.look_back_due, looking_back = false, look_back_error = NULL,"
	" seen = NULL, settled = NULL, error = NULL, error_at = NULL",
	[QUEUE_TOUCH] =
	"UPDATE reconciler.queue SET status = $3, expires_at = $4"
	" WHERE source_id OPERATOR(pg_catalog.=) $1 AND request_id OPERATOR(pg_catalog.=) $2",
	[QUEUE_REMOVE] =
	"DELETE FROM reconciler.queue"
	" WHERE source_id OPERATOR(pg_catalog.=) $1 AND request_id OPERATOR(pg_catalog.=) $2",
	[QUEUE_CLEAR] =
	"DELETE FROM reconciler.queue WHERE source_id OPERATOR(pg_catalog.=) $1",
};

#define PUT_ARGUMENTS 10

static Oid	put_types[PUT_ARGUMENTS] = {INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
NUMERICOID, TIMESTAMPTZOID, TEXTOID};
static Oid	touch_types[] = {INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID};

/* The prepared statement; one plan whatever the parameters */
static SPIPlanPtr
prepare_statement(queue_statement which, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(statement_texts[which], nargs, types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare the statement for reconciler.queue: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/* Runs one of the statements; nulls as SPI has them, or NULL; returns the rows that it wrote */
static uint64
run_statement(queue_statement which, int nargs, Oid *types, Datum *values, const char *nulls)
{
	static SPIPlanPtr plans[QUEUE_STATEMENTS];
	bool		planned = plans[which] != NULL && SPI_plan_is_valid(plans[which]);
	int			guc_level = 0;
	int			result;

	if (!planned)
	{
		/* What is best for a queue that is empty now is kept until it is large. */
		guc_level = NewGUCNestLevel();
		(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	if (plans[which] == NULL)
		plans[which] = prepare_statement(which, nargs, types);
	result = SPI_execute_plan(plans[which], values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not write reconciler.queue: %s", SPI_result_code_string(result));
	if (!planned)
		AtEOXact_GUC(false, guc_level);
	return SPI_processed;
}

/* A text parameter that may be null */
static void
set_text(Datum *values, char *nulls, int position, const char *text)
{
	nulls[position] = text == NULL ? 'n' : ' ';
	values[position] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* Queues an open request, as one that has just arrived */
void
queue_put_request(int32 source_id, const source_row *row)
{
	Datum		values[PUT_ARGUMENTS];
	char		nulls[PUT_ARGUMENTS + 1] = "          ";

	values[0] = Int32GetDatum(source_id);
	set_text(values, nulls, 1, row->id);
	set_text(values, nulls, 2, row->status);
	set_text(values, nulls, 3, row->chain);
	set_text(values, nulls, 4, row->network);
	set_text(values, nulls, 5, row->address);
	set_text(values, nulls, 6, row->token);
	nulls[7] = row->expected == NULL ? 'n' : ' ';
	values[7] = row->expected == NULL ? (Datum) 0 :
		DirectFunctionCall3(numeric_in, CStringGetDatum(row->expected), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	nulls[8] = row->has_expiry ? ' ' : 'n';
	values[8] = TimestampTzGetDatum(row->expires_at);
	set_text(values, nulls, 9, row->invalid);
	run_statement(QUEUE_PUT, PUT_ARGUMENTS, put_types, values, nulls);
}

/* Follows a change that leaves valid what was observed; false if the request isn't queued */
static bool
touch_request(int32 source_id, const source_row *row)
{
	Datum		values[4];
	char		nulls[5] = "    ";

	values[0] = Int32GetDatum(source_id);
	set_text(values, nulls, 1, row->id);
	set_text(values, nulls, 2, row->status);
	nulls[3] = row->has_expiry ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(row->expires_at);
	return run_statement(QUEUE_TOUCH, 4, touch_types, values, nulls) > 0;
}

static void
remove_request(int32 source_id, const source_row *row)
{
	Datum		values[2];

	values[0] = Int32GetDatum(source_id);
	values[1] = CStringGetTextDatum(row->id);
	run_statement(QUEUE_REMOVE, 2, touch_types, values, NULL);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Does what was observed of the one count for the other? */
static bool
same_subject(const source_row *a, const source_row *b)
{
	return same_text(a->id, b->id) && same_text(a->chain, b->chain) && same_text(a->network, b->network) &&
		same_text(a->address, b->address) && same_text(a->token, b->token) &&
		same_text(a->expected, b->expected) && same_text(a->invalid, b->invalid);
}

static bool
is_open(const source_row *row)
{
	return row->id != NULL && source_status_is_open(row->status);
}

static void
follow_insert(int32 source_id, const source_row *row)
{
	if (is_open(row))
		queue_put_request(source_id, row);
}

static void
follow_delete(int32 source_id, const source_row *row)
{
	if (is_open(row))
		remove_request(source_id, row);
}

static void
follow_update(int32 source_id, const source_row *before, const source_row *now)
{
	if (is_open(before) && is_open(now) && same_subject(before, now) && touch_request(source_id, now))
		return;
	if (!is_open(now) || !same_text(before->id, now->id))
		follow_delete(source_id, before);
	follow_insert(source_id, now);
}

/* The trigger's argument source_id, after a check that it was called as attach has made it */
static int32
check_call(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event) ||
		TRIGGER_FIRED_FOR_ROW(data->tg_event) == (bool) TRIGGER_FIRED_BY_TRUNCATE(data->tg_event) ||
		data->tg_trigger->tgnargs != SOURCE_COLUMNS + 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("reconciler.queue_request is a trigger that reconciler.attach creates")));
	return pg_strtoint32(data->tg_trigger->tgargs[0]);
}

static void
follow_trigger(int32 source_id, TriggerData *data)
{
	const char *const *names = (const char *const *) data->tg_trigger->tgargs + 1;
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	source_row	before;
	source_row	now;

	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
	{
		Datum		value = Int32GetDatum(source_id);

		run_statement(QUEUE_CLEAR, 1, touch_types, &value, NULL);
		return;
	}
	source_row_read(&before, data->tg_trigtuple, desc, names);
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		follow_insert(source_id, &before);
	else if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		follow_delete(source_id, &before);
	else
	{
		source_row_read(&now, data->tg_newtuple, desc, names);
		follow_update(source_id, &before, &now);
	}
}

/* The owner of a function */
static Oid
function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Does the work of SECURITY DEFINER itself, which costs less for each row. It
 * runs nothing that is the application's: the row is read with the server's
 * own functions, and the statements name every object with its schema.
 */
Datum
reconciler_queue_request(PG_FUNCTION_ARGS)
{
	int32		source_id = check_call(fcinfo);
	Oid			saved_user;
	int			saved_context;

	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(function_owner(fcinfo->flinfo->fn_oid), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	follow_trigger(source_id, (TriggerData *) fcinfo->context);
	SPI_finish();
	SetUserIdAndSecContext(saved_user, saved_context);
	return PointerGetDatum(NULL);
}
