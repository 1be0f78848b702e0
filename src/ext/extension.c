/* extension.c: calls of the extension's functions that need its owner's rights for a part of their work */
#include "extension.h"

#include "executor/spi.h"
#include "miscadmin.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(reconciler_is_restricted);
PG_FUNCTION_INFO_V1(reconciler_library_version);

/* Which may be another one than that of the SQL objects */
Datum
reconciler_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(RC_VERSION));
}

/* Is this code that the session's user doesn't run as himself? */
Datum
reconciler_is_restricted(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(InSecurityRestrictedOperation());
}

Oid
rc_extension_owner(FunctionCallInfo fcinfo)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

Datum
rc_run_as_extension_owner(FunctionCallInfo fcinfo, const char *query, int nargs, Oid *types,
						  Datum *values, const char *nulls)
{
	Oid			saved_user;
	int			saved_context;
	Datum		result;
	bool		isnull;

	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(rc_extension_owner(fcinfo), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(query, nargs, types, values, nulls, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "unexpected result of \"%s\"", query);
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_finish();
	SetUserIdAndSecContext(saved_user, saved_context);
	return result;
}
