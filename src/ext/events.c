/*
 * events.c: consumers of events, on behalf of the role that calls. What is done
 * needs the extension owner's rights; whose rights count is told as the last
 * argument, since SQL that runs as the owner can't find it out.
 */
#include "compat.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "extension.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(reconciler_cluster);
PG_FUNCTION_INFO_V1(reconciler_create_consumer);
PG_FUNCTION_INFO_V1(reconciler_restart_consumer);
PG_FUNCTION_INFO_V1(reconciler_drop_consumer);
PG_FUNCTION_INFO_V1(reconciler_read_events);
PG_FUNCTION_INFO_V1(reconciler_ack_events);
PG_FUNCTION_INFO_V1(reconciler_wait_for_events);

#define EVENT_COLUMNS 6

/* How long wait_for_events waits between two looks */
#define FIRST_WAIT_MS	20
#define LONGEST_WAIT_MS 1000

/* A number of the database cluster: its identifier, folded */
Datum
reconciler_cluster(PG_FUNCTION_ARGS)
{
	uint64		identifier = GetSystemIdentifier();

	PG_RETURN_INT32((int32) (identifier ^ (identifier >> 32)));
}

/* Whose rights count */
static Datum
caller(void)
{
	return CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
}

/* Copies the function's arguments, and adds the caller */
static void
take_arguments(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	int			n = PG_NARGS();

	for (int i = 0; i < n; i++)
	{
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	values[n] = caller();
	nulls[n] = ' ';
	nulls[n + 1] = '\0';
}

/* create_consumer(name, start) */
Datum
reconciler_create_consumer(PG_FUNCTION_ARGS)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[4];

	take_arguments(fcinfo, values, nulls);
	rc_run_as_extension_owner(fcinfo, "SELECT reconciler._create_consumer($1, $2, $3)", 3, types, values, nulls);
	PG_RETURN_VOID();
}

/* restart_consumer(name, start) */
Datum
reconciler_restart_consumer(PG_FUNCTION_ARGS)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[4];

	take_arguments(fcinfo, values, nulls);
	rc_run_as_extension_owner(fcinfo, "SELECT reconciler._restart_consumer($1, $2, $3)", 3, types, values, nulls);
	PG_RETURN_VOID();
}

/* drop_consumer(name) */
Datum
reconciler_drop_consumer(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	char		nulls[3];

	take_arguments(fcinfo, values, nulls);
	rc_run_as_extension_owner(fcinfo, "SELECT reconciler._drop_consumer($1, $2)", 2, types, values, nulls);
	PG_RETURN_VOID();
}

/* ack_events(consumer, event_id): was it not acknowledged before? */
Datum
reconciler_ack_events(PG_FUNCTION_ARGS)
{
	Oid			types[3] = {TEXTOID, INT8OID, TEXTOID};
	Datum		values[3];
	char		nulls[4];

	take_arguments(fcinfo, values, nulls);
	return rc_run_as_extension_owner(fcinfo, "SELECT reconciler._ack_events($1, $2, $3)", 3, types, values, nulls);
}

/* read_events(consumer, max, lease, reader); a reader that doesn't say who it is is its session */
Datum
reconciler_read_events(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			types[5] = {TEXTOID, INT4OID, INTERVALOID, TEXTOID, TEXTOID};
	Datum		arguments[5];
	char		argument_nulls[6];
	Oid			saved_user;
	int			saved_context;

	take_arguments(fcinfo, arguments, argument_nulls);
	if (PG_ARGISNULL(3))
	{
		arguments[3] = CStringGetTextDatum(psprintf("session %d", MyProcPid));
		argument_nulls[3] = ' ';
	}
	InitMaterializedSRF(fcinfo, 0);
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(rc_extension_owner(fcinfo), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args("SELECT * FROM reconciler._read_events($1, $2, $3, $4, $5)", 5, types, arguments,
							  argument_nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of reconciler._read_events");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[EVENT_COLUMNS];
		bool		nulls[EVENT_COLUMNS];

		for (int column = 0; column < EVENT_COLUMNS; column++)
			values[column] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column + 1, &nulls[column]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	SetUserIdAndSecContext(saved_user, saved_context);
	return (Datum) 0;
}

/* May this call commit? Not inside of a transaction block, a function or another procedure's transaction */
static bool
may_commit(FunctionCallInfo fcinfo)
{
	return fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic;
}

/* Would read_events return anything? */
static bool
has_events(FunctionCallInfo fcinfo, const char *consumer, const char *reader)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3] = {CStringGetTextDatum(consumer), CStringGetTextDatum(reader), caller()};

	return DatumGetBool(rc_run_as_extension_owner(fcinfo, "SELECT reconciler._has_events($1, $2, $3)",
												  3, types, values, NULL));
}

/* CALL wait_for_events(consumer, timeout, reader) */
Datum
reconciler_wait_for_events(PG_FUNCTION_ARGS)
{
	static uint32 wait_event = 0;
	long		pause = FIRST_WAIT_MS;
	TimestampTz end;
	char	   *consumer;
	char	   *reader;

	if (!may_commit(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("wait_for_events can't be called inside a transaction"),
				 errhint("CALL it by itself, with autocommit.")));
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("consumer and timeout must not be null")));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* What is allocated here outlives a commit */
	consumer = text_to_cstring(PG_GETARG_TEXT_PP(0));
	reader = PG_ARGISNULL(2) ? psprintf("session %d", MyProcPid) : text_to_cstring(PG_GETARG_TEXT_PP(2));
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
												  PG_GETARG_DATUM(1)));
	for (;;)
	{
		bool		ready = has_events(fcinfo, consumer, reader);
		long		left;

		/* Without a snapshot from here on, and without a transaction that others would wait for */
		SPI_commit();
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
		if (ready || left <= 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left < pause ? left : pause,
						 rc_wait_event(&wait_event, "ReconcilerWaitForEvents"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = pause * 2 < LONGEST_WAIT_MS ? pause * 2 : LONGEST_WAIT_MS;
	}
	SPI_finish();
	PG_RETURN_VOID();
}
