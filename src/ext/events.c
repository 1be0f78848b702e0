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
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(reconciler_cluster);
PG_FUNCTION_INFO_V1(reconciler_create_consumer);
PG_FUNCTION_INFO_V1(reconciler_restart_consumer);
PG_FUNCTION_INFO_V1(reconciler_drop_consumer);
PG_FUNCTION_INFO_V1(reconciler_read_events);
PG_FUNCTION_INFO_V1(reconciler_ack_events);

#define EVENT_COLUMNS 6

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
