/* queue_trigger.c: the trigger on attached tables, which keeps their rows in the queue */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "core/chain/chain.h"
#include "extension.h"
#include "miscadmin.h"
#include "queue_facts.h"
#include "queue_trigger.h"
#include "queue_write.h"
#include "row_version.h"
#include "source.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(reconciler_queue_request);

/* Statements of the trigger; prepared once a session */
typedef enum queue_statement
{
	QUEUE_PUT,
	QUEUE_TOUCH,
	QUEUE_REMOVE,
	QUEUE_CLEAR,
	QUEUE_DECIDED,
	QUEUE_STATEMENTS
} queue_statement;

/* What a statement is about: the source, and the table whose trigger says so */
typedef struct queue_origin
{
	int32		source_id;
	Relation	relation;		/* NULL: nobody asks whether it is the source's */
} queue_origin;

/* Further rows of one statement get no warning */
#define MAX_WARNINGS 10

/* Operators are named with their schema: the caller's search_path is in force. */
static const char *const statement_texts[QUEUE_STATEMENTS] = {
	[QUEUE_PUT] =
	"INSERT INTO reconciler.queue AS q (source_id, request_id, status, network_id, address, token_contract,"
	" expected, expires_at, invalid, chain, network, key, followed, look_back_due)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)"
	" ON CONFLICT (source_id, request_id) DO UPDATE SET seq = DEFAULT, status = excluded.status,"
	" network_id = excluded.network_id, address = excluded.address, token_contract = excluded.token_contract,"
	" expected = excluded.expected, expires_at = excluded.expires_at, invalid = excluded.invalid,"
	" chain = excluded.chain, network = excluded.network,"
	" key = excluded.key, followed = excluded.followed, look_back_due = excluded.look_back_due, looking_back = false, look_back_error = NULL,"
	" seen = NULL, settled = NULL, error = NULL, error_at = NULL",
	[QUEUE_TOUCH] =
	"UPDATE reconciler.queue SET status = CASE WHEN $5 THEN status ELSE $3 END, expires_at = $4"
	" WHERE source_id OPERATOR(pg_catalog.=) $1 AND request_id OPERATOR(pg_catalog.=) $2",
	[QUEUE_REMOVE] =
	"WITH gone AS (DELETE FROM reconciler.queue AS q"
	" WHERE q.source_id OPERATOR(pg_catalog.=) $1 AND q.request_id OPERATOR(pg_catalog.=) $2 RETURNING q AS r)"
	" SELECT reconciler._watch(g.r) FROM gone AS g WHERE $3",
	[QUEUE_CLEAR] =
	"DELETE FROM reconciler.queue WHERE source_id OPERATOR(pg_catalog.=) $1",
	/* The last that was decided about a request */
	[QUEUE_DECIDED] =
	"SELECT reconciler._is_over(t.to_status, t.reason, t.at, $3), t.reason, t.to_status FROM reconciler.transitions AS t"
	" WHERE t.source_id OPERATOR(pg_catalog.=) $1 AND t.request_id OPERATOR(pg_catalog.=) $2"
	" ORDER BY t.transition_id DESC LIMIT 1",
};

#define PUT_ARGUMENTS 13

static Oid	put_types[PUT_ARGUMENTS] = {INT4OID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, NUMERICOID,
TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, BYTEAOID, BOOLOID};
static Oid	touch_types[] = {INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID};
static Oid	remove_types[] = {INT4OID, TEXTOID, BOOLOID};
static Oid	decided_types[] = {INT4OID, TEXTOID, TIMESTAMPTZOID};

/* The prepared statement; one plan whatever the parameters */
static SPIPlanPtr
prepare_statement(queue_statement which, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(statement_texts[which], nargs, types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare the statement for reconciler.queue: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/* Runs one of the statements; nulls as SPI has them, or NULL; returns the rows that it wrote. SPI is left open for them: close with SPI_finish */
static uint64
run_statement(queue_statement which, int nargs, Oid *types, Datum *values, const char *nulls)
{
	static SPIPlanPtr plans[QUEUE_STATEMENTS];
	bool		planned = plans[which] != NULL && SPI_plan_is_valid(plans[which]);
	int			guc_level = 0;
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (!planned)
	{
		/* What is best for a queue that is empty now is kept until it is large. */
		guc_level = NewGUCNestLevel();
		(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	if (plans[which] == NULL)
		plans[which] = prepare_statement(which, nargs, types);

	/*
	 * By the newest snapshot, whatever the transaction's: to one that began
	 * before the queue was built anew, the request's row would not be there
	 * to be removed.
	 */
	result = SPI_execute_snapshot(plans[which], values, nulls,
								  IsolationUsesXactSnapshot() ? GetLatestSnapshot() : InvalidSnapshot,
								  InvalidSnapshot, false, true, 0);
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

static char *
table_name(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
}

/* Says once a session that a table isn't observed: the application goes on, and would not want to lose its rows */
static void
warn_of_copy(const queue_origin *origin)
{
	static List *warned = NIL;
	Oid			top = RelationGetRelid(origin->relation);
	char	   *name;
	MemoryContext previous;

	if (origin->relation->rd_rel->relispartition)
		top = llast_oid(get_partition_ancestors(top));
	name = table_name(top);

	if (list_member_oid(warned, top))
		return;
	previous = MemoryContextSwitchTo(TopMemoryContext);
	warned = lappend_oid(warned, top);
	MemoryContextSwitchTo(previous);
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("reconciler does not observe the requests of table %s", name),
			 errdetail("It is not attached: its triggers came with a copy, and name source %d, which is another table or none.",
					   origin->source_id),
			 errhint("To have it observed: SELECT reconciler.attach(%s); else drop the triggers reconciler_insert, "
					 "reconciler_update, reconciler_delete and reconciler_truncate.", quote_literal_cstr(name))));
}

/* Says that a request is open in the table and stays over for the reconciler */
static void
warn_of_reopening(const char *name, const char *id, const char *reason)
{
	static TimestampTz statement = 0;
	static int	nwarnings = 0;
	bool		confirmed = strcmp(reason, "settled") == 0;

	if (statement != GetCurrentStatementStartTimestamp())
		nwarnings = 0;
	statement = GetCurrentStatementStartTimestamp();
	if (++nwarnings > MAX_WARNINGS)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("request %s of table %s is not observed again: reconciler has %s it before", id, name,
					confirmed ? "confirmed" : "expired"),
			 nwarnings == MAX_WARNINGS ? errdetail("This statement may have opened others, too.") : 0,
			 errhint("Was an old copy of the row saved over it? To have it observed again: SELECT reconciler.reopen(%s, %s);%s",
					 quote_literal_cstr(name), quote_literal_cstr(id),
					 confirmed ? "" : " or give it an expires_at that lies ahead.")));
}

/*
 * Is it the source's table? The trigger of a copy (of a schema that was copied
 * between databases, say) has the number of another table's source in it.
 */
static bool
is_of_source(const queue_origin *origin)
{
	return origin->relation == NULL || queue_is_of_source(origin->source_id, origin->relation);
}

/*
 * Was the request confirmed, or has it expired, so that it is not to be observed
 * again? Warns whoever opens it. Else *status gets what it is known to be,
 * where the row says pending whatever was detected.
 */
static bool
is_over(const queue_origin *origin, const source_row *row, const char **status)
{
	Datum		values[3];
	char		nulls[4] = "   ";
	bool		isnull;
	bool		over = false;

	if (!queue_maybe_decided(origin->source_id, row->id))
		return false;
	values[0] = Int32GetDatum(origin->source_id);
	set_text(values, nulls, 1, row->id);
	nulls[2] = row->has_expiry ? ' ' : 'n';
	values[2] = TimestampTzGetDatum(row->expires_at);
	if (run_statement(QUEUE_DECIDED, 3, decided_types, values, nulls) > 0)
	{
		over = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
		if (over && origin->relation != NULL)
			warn_of_reopening(table_name(queue_source_relation(origin->source_id)), row->id,
							  SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
		if (row->hides_detected && strcmp(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3), "detected") == 0)
			*status = "detected";
	}
	SPI_finish();
	return over;
}

/* Who is paid, where requests are looked up by it; NULL: they aren't, or it can't be said */
static bytea *
key_of(const network_facts *network, const source_row *row)
{
	uint8_t		key[RC_KEY_MAX];
	const rc_chain *chain = rc_chain_of(network->kind);
	size_t		len;
	bytea	   *result;

	if (chain == NULL)
		return NULL;
	len = chain->request_key(network->network, row->address != NULL ? row->address : "", row->token, key);
	if (len == 0)
		return NULL;
	result = palloc(VARHDRSZ + len);
	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), key, len);
	return result;
}

/* The request as it is queued */
static void
make_queue_row(queue_row *queued, int32 source_id, const source_row *row)
{
	const network_facts *network = queue_network(row->chain, row->network);
	bool		registered = network->network_id != 0;

	memset(queued, 0, sizeof(*queued));
	queued->source_id = source_id;
	queued->request_id = row->id;
	queued->status = row->status;
	queued->network_id = network->network_id;
	if (!registered)
	{
		queued->chain = source_unregistered_name(row->chain);
		queued->network = source_unregistered_name(row->network);
	}
	queued->address = row->address;
	queued->token = row->token;
	queued->expected = row->expected;
	queued->has_expiry = row->has_expiry;
	queued->expires_at = row->expires_at;
	queued->followed = row->token != NULL ? network->follows_tokens : network->follows_native;
	if (queued->followed)
		queued->key = key_of(network, row);
	queued->invalid = row->invalid != NULL ? row->invalid :
		source_request_problem(network->kind, network->network, row->address, row->token);
}

/* Writes the row with a statement, over one that is there perhaps */
static void
put_by_statement(const queue_row *row)
{
	Datum		values[PUT_ARGUMENTS];
	char		nulls[PUT_ARGUMENTS + 1] = "             ";

	values[0] = Int32GetDatum(row->source_id);
	set_text(values, nulls, 1, row->request_id);
	set_text(values, nulls, 2, row->status);
	values[3] = Int32GetDatum(row->network_id);
	set_text(values, nulls, 4, row->address);
	set_text(values, nulls, 5, row->token);
	nulls[6] = row->expected == NULL ? 'n' : ' ';
	values[6] = row->expected == NULL ? (Datum) 0 :
		DirectFunctionCall3(numeric_in, CStringGetDatum(row->expected), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	nulls[7] = row->has_expiry ? ' ' : 'n';
	values[7] = TimestampTzGetDatum(row->expires_at);
	set_text(values, nulls, 8, row->invalid);
	set_text(values, nulls, 9, row->chain);
	set_text(values, nulls, 10, row->network);
	nulls[11] = row->key == NULL ? 'n' : ' ';
	values[11] = PointerGetDatum(row->key);
	values[12] = BoolGetDatum(row->followed);
	run_statement(QUEUE_PUT, PUT_ARGUMENTS, put_types, values, nulls);
	SPI_finish();
}

/* Queues an open request, as one that has just arrived */
static void
put_request(const queue_origin *origin, const source_row *row)
{
	const char *status = row->status;
	queue_row	queued;

	if (!is_of_source(origin))
	{
		warn_of_copy(origin);
		return;
	}
	if (is_over(origin, row, &status))
		return;
	make_queue_row(&queued, origin->source_id, row);
	queued.status = status;
	if (queue_insert(&queued) != QUEUE_WRITTEN)
		put_by_statement(&queued);
}

void
queue_put_request(int32 source_id, const source_row *row)
{
	queue_origin origin = {source_id, NULL};

	put_request(&origin, row);
}

/* Follows a change that leaves valid what was observed; false if the request isn't queued */
static bool
touch_request(const queue_origin *origin, const source_row *row)
{
	Datum		values[5];
	char		nulls[6] = "     ";
	bool		touched;

	if (!is_of_source(origin))
		return false;
	values[0] = Int32GetDatum(origin->source_id);
	set_text(values, nulls, 1, row->id);
	set_text(values, nulls, 2, row->status);
	nulls[3] = row->has_expiry ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(row->expires_at);
	/* Such a row doesn't tell what was detected. */
	values[4] = BoolGetDatum(row->hides_detected);
	touched = run_statement(QUEUE_TOUCH, 5, touch_types, values, nulls) > 0;
	SPI_finish();
	return touched;
}

/* ended: the request is still there, and is watched for a while */
static void
remove_request(const queue_origin *origin, const source_row *row, bool ended)
{
	Datum		values[3];
	char		nulls[4] = "   ";

	if (!is_of_source(origin) || queue_delete(origin->source_id, row->id, ended) != QUEUE_NOT_DIRECTLY)
		return;
	values[0] = Int32GetDatum(origin->source_id);
	set_text(values, nulls, 1, row->id);
	values[2] = BoolGetDatum(ended);
	run_statement(QUEUE_REMOVE, 3, remove_types, values, nulls);
	SPI_finish();
}

static void
clear_requests(const queue_origin *origin)
{
	Datum		values[1] = {Int32GetDatum(origin->source_id)};

	if (!is_of_source(origin))
		return;
	run_statement(QUEUE_CLEAR, 1, remove_types, values, NULL);
	SPI_finish();
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
follow_insert(const queue_origin *origin, const source_row *row)
{
	if (is_open(row))
		put_request(origin, row);
}

static void
follow_delete(const queue_origin *origin, const source_row *row)
{
	if (is_open(row))
		remove_request(origin, row, false);
}

static void
follow_update(const queue_origin *origin, const source_row *before, const source_row *now)
{
	if (is_open(before) && is_open(now) && same_subject(before, now) && touch_request(origin, now))
		return;
	if (is_open(before) && (!is_open(now) || !same_text(before->id, now->id)))
		remove_request(origin, before, !is_open(now) && same_text(before->id, now->id));
	follow_insert(origin, now);
}

/* The trigger's argument source_id and its mapping, after a check that it was called as attach has made it */
static int32
check_call(FunctionCallInfo fcinfo, source_mapping *mapping)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event) ||
		TRIGGER_FIRED_FOR_ROW(data->tg_event) == (bool) TRIGGER_FIRED_BY_TRUNCATE(data->tg_event) ||
		!source_mapping_read(mapping, (const char *const *) data->tg_trigger->tgargs + 1, data->tg_trigger->tgnargs - 1))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("reconciler.queue_request is a trigger that reconciler.attach creates")));
	return pg_strtoint32(data->tg_trigger->tgargs[0]);
}

static void
follow_trigger(const queue_origin *origin, TriggerData *data, const source_mapping *mapping)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	HeapTuple	newest = NULL;
	source_row	before;
	source_row	now;

	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
	{
		clear_requests(origin);
		return;
	}
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		newest = row_version_newest(data->tg_relation, data->tg_trigtuple);
	else if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		newest = row_version_newest(data->tg_relation, data->tg_newtuple);
	source_row_read(&before, data->tg_trigtuple, desc, mapping);
	/* What has been deleted or moved since has an event of its own. */
	if (newest != NULL)
		source_row_read(&now, newest, desc, mapping);
	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		follow_delete(origin, &before);
	else if (newest == NULL)
		return;
	else if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		follow_insert(origin, &now);
	else
		follow_update(origin, &before, &now);
}

/*
 * Does the work of SECURITY DEFINER itself, which costs less for each row. It
 * runs nothing that is the application's: the row is read with the server's
 * own functions, and the statements name every object with its schema.
 */
Datum
reconciler_queue_request(PG_FUNCTION_ARGS)
{
	source_mapping mapping;
	int32		source_id = check_call(fcinfo, &mapping);
	TriggerData *data = (TriggerData *) fcinfo->context;
	queue_origin origin = {source_id, data->tg_relation};
	Oid			saved_user;
	int			saved_context;

	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(rc_extension_owner(fcinfo), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	follow_trigger(&origin, data, &mapping);
	SetUserIdAndSecContext(saved_user, saved_context);
	return PointerGetDatum(NULL);
}
