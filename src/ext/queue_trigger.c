/* queue_trigger.c: the trigger on attached tables, which keeps their rows in the queue */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "extension.h"
#include "miscadmin.h"
#include "queue_trigger.h"
#include "row_version.h"
#include "source.h"
#include "utils/array.h"
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
	QUEUE_WHY_NOT,
	QUEUE_STATEMENTS
} queue_statement;

/* What a statement is about: the source, and the table whose trigger says so */
typedef struct queue_origin
{
	int32		source_id;
	List	   *relations;		/* the table and, of a partition, those above it; NIL: nobody asks */
} queue_origin;

/* Further rows of one statement get no warning */
#define MAX_WARNINGS 10

/*
 * Is it the source's table? The trigger of a copy (of a schema that was copied
 * between databases, say) has the number of another table's source in it.
 */
#define OF_SOURCE(relations) "(" relations " IS NULL OR EXISTS (SELECT FROM reconciler.sources AS s" \
	" WHERE s.source_id OPERATOR(pg_catalog.=) $1" \
	" AND s.relation::pg_catalog.oid OPERATOR(pg_catalog.=) ANY (" relations ")))"

/* The last that was decided about a request */
#define LAST_TRANSITION(columns) "(SELECT " columns " FROM reconciler.transitions AS t" \
	" WHERE t.source_id OPERATOR(pg_catalog.=) $1 AND t.request_id OPERATOR(pg_catalog.=) $2" \
	" ORDER BY t.transition_id DESC LIMIT 1)"

/* Operators are named with their schema: the caller's search_path is in force. */
static const char *const statement_texts[QUEUE_STATEMENTS] = {
	[QUEUE_PUT] =
	"INSERT INTO reconciler.queue AS q (source_id, request_id, status, network_id, address, token_contract,"
	" expected, expires_at, invalid, chain, network, key, followed, look_back_due)"
	" SELECT $1, $2, $3, n.network_id, $6, $7, $8, $9,"
	" coalesce($10, reconciler._request_problem(n.kind, n.network, $6, $7)),"
	" CASE WHEN n.network_id OPERATOR(pg_catalog.=) 0 THEN coalesce($4, '') END,"
	" CASE WHEN n.network_id OPERATOR(pg_catalog.=) 0 THEN coalesce($5, '') END,"
	" reconciler._queue_key(n, $6, $7), reconciler._is_followed(n, $7), reconciler._is_followed(n, $7)"
	" FROM reconciler.networks AS n WHERE n.network_id OPERATOR(pg_catalog.=) coalesce("
	"(SELECT m.network_id FROM reconciler.networks AS m"
	" WHERE m.chain OPERATOR(pg_catalog.=) $4 AND m.network OPERATOR(pg_catalog.=) $5), 0)"
	" AND " OF_SOURCE("$11")
	" AND coalesce(" LAST_TRANSITION("NOT reconciler._is_over(t.to_status, t.reason, t.at, $9)") ", true)"
	" ON CONFLICT (source_id, request_id) DO UPDATE SET seq = DEFAULT, status = excluded.status,"
	" network_id = excluded.network_id, address = excluded.address, token_contract = excluded.token_contract,"
	" expected = excluded.expected, expires_at = excluded.expires_at, invalid = excluded.invalid,"
	" chain = excluded.chain, network = excluded.network,"
	" key = excluded.key, followed = excluded.followed, look_back_due = excluded.look_back_due, looking_back = false, look_back_error = NULL,"
	" seen = NULL, settled = NULL, error = NULL, error_at = NULL",
	[QUEUE_TOUCH] =
	"UPDATE reconciler.queue SET status = $3, expires_at = $4"
	" WHERE source_id OPERATOR(pg_catalog.=) $1 AND request_id OPERATOR(pg_catalog.=) $2 AND " OF_SOURCE("$5"),
	[QUEUE_REMOVE] =
	"DELETE FROM reconciler.queue"
	" WHERE source_id OPERATOR(pg_catalog.=) $1 AND request_id OPERATOR(pg_catalog.=) $2 AND " OF_SOURCE("$3"),
	[QUEUE_CLEAR] =
	"DELETE FROM reconciler.queue WHERE source_id OPERATOR(pg_catalog.=) $1 AND " OF_SOURCE("$2"),
	[QUEUE_WHY_NOT] =
	"SELECT " OF_SOURCE("$3") ", (SELECT s.relation::pg_catalog.oid FROM reconciler.sources AS s"
	" WHERE s.source_id OPERATOR(pg_catalog.=) $1), " LAST_TRANSITION("t.reason"),
};

#define PUT_ARGUMENTS 11

static Oid	put_types[PUT_ARGUMENTS] = {INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
NUMERICOID, TIMESTAMPTZOID, TEXTOID, OIDARRAYOID};
static Oid	touch_types[] = {INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, OIDARRAYOID};
static Oid	remove_types[] = {INT4OID, TEXTOID, OIDARRAYOID};
static Oid	clear_types[] = {INT4OID, OIDARRAYOID};

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

/* The tables of the origin as a parameter */
static void
set_relations(Datum *values, char *nulls, int position, const queue_origin *origin)
{
	int			n = list_length(origin->relations);
	Datum	   *oids = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		oids[i] = ObjectIdGetDatum(list_nth_oid(origin->relations, i));
	nulls[position] = n == 0 ? 'n' : ' ';
	values[position] = n == 0 ? (Datum) 0 :
		PointerGetDatum(construct_array(oids, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
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
	Oid			top = llast_oid(origin->relations);
	char	   *name = table_name(top);
	MemoryContext previous;

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

/* Why has a statement written nothing? Warns if that isn't as it should be */
static void
ask_why_not(const queue_origin *origin, const char *id)
{
	Datum		values[3];
	char		nulls[4] = "   ";
	bool		isnull;
	bool		of_source;
	Oid			relation;
	char	   *reason;

	if (origin->relations == NIL)
		return;
	values[0] = Int32GetDatum(origin->source_id);
	set_text(values, nulls, 1, id);
	set_relations(values, nulls, 2, origin);
	if (run_statement(QUEUE_WHY_NOT, 3, remove_types, values, nulls) != 1)
		elog(ERROR, "could not look for the reason in reconciler.transitions");
	of_source = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	relation = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	reason = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
	if (!of_source)
		warn_of_copy(origin);
	else if (reason != NULL)
		warn_of_reopening(table_name(relation), id, reason);
}

/* Queues an open request, as one that has just arrived */
static void
put_request(const queue_origin *origin, const source_row *row)
{
	Datum		values[PUT_ARGUMENTS];
	char		nulls[PUT_ARGUMENTS + 1] = "           ";

	values[0] = Int32GetDatum(origin->source_id);
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
	set_relations(values, nulls, 10, origin);
	if (run_statement(QUEUE_PUT, PUT_ARGUMENTS, put_types, values, nulls) == 0)
		ask_why_not(origin, row->id);
}

void
queue_put_request(int32 source_id, const source_row *row)
{
	queue_origin origin = {source_id, NIL};

	put_request(&origin, row);
}

/* Follows a change that leaves valid what was observed; false if the request isn't queued */
static bool
touch_request(const queue_origin *origin, const source_row *row)
{
	Datum		values[5];
	char		nulls[6] = "     ";

	values[0] = Int32GetDatum(origin->source_id);
	set_text(values, nulls, 1, row->id);
	set_text(values, nulls, 2, row->status);
	nulls[3] = row->has_expiry ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(row->expires_at);
	set_relations(values, nulls, 4, origin);
	return run_statement(QUEUE_TOUCH, 5, touch_types, values, nulls) > 0;
}

static void
remove_request(const queue_origin *origin, const source_row *row)
{
	Datum		values[3];
	char		nulls[4] = "   ";

	values[0] = Int32GetDatum(origin->source_id);
	set_text(values, nulls, 1, row->id);
	set_relations(values, nulls, 2, origin);
	run_statement(QUEUE_REMOVE, 3, remove_types, values, nulls);
}

static void
clear_requests(const queue_origin *origin)
{
	Datum		values[2];
	char		nulls[3] = "  ";

	values[0] = Int32GetDatum(origin->source_id);
	set_relations(values, nulls, 1, origin);
	run_statement(QUEUE_CLEAR, 2, clear_types, values, nulls);
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
		remove_request(origin, row);
}

static void
follow_update(const queue_origin *origin, const source_row *before, const source_row *now)
{
	if (is_open(before) && is_open(now) && same_subject(before, now) && touch_request(origin, now))
		return;
	if (!is_open(now) || !same_text(before->id, now->id))
		follow_delete(origin, before);
	follow_insert(origin, now);
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
follow_trigger(const queue_origin *origin, TriggerData *data)
{
	const char *const *names = (const char *const *) data->tg_trigger->tgargs + 1;
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
	source_row_read(&before, data->tg_trigtuple, desc, names);
	/* What has been deleted or moved since has an event of its own. */
	if (newest != NULL)
		source_row_read(&now, newest, desc, names);
	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		follow_delete(origin, &before);
	else if (newest == NULL)
		return;
	else if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		follow_insert(origin, &now);
	else
		follow_update(origin, &before, &now);
}

/* Where the trigger's call comes from */
static queue_origin
origin_of(int32 source_id, Relation relation)
{
	queue_origin origin = {source_id, list_make1_oid(RelationGetRelid(relation))};

	if (relation->rd_rel->relispartition)
		origin.relations = list_concat(origin.relations, get_partition_ancestors(RelationGetRelid(relation)));
	return origin;
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
	TriggerData *data = (TriggerData *) fcinfo->context;
	queue_origin origin = origin_of(source_id, data->tg_relation);
	Oid			saved_user;
	int			saved_context;

	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(rc_extension_owner(fcinfo), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	follow_trigger(&origin, data);
	SPI_finish();
	SetUserIdAndSecContext(saved_user, saved_context);
	return PointerGetDatum(NULL);
}
