/* owner_try.c: what the checks and defaults of a table say, asked as its owner and without a trace */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "owner.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(reconciler_try_as_owner);

static Oid
owner_of(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relation);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* The first column of the first row, in the context */
static char *
run_query(const char *query, Oid role, MemoryContext context)
{
	owner_section section;
	char	   *result = NULL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	owner_enter(&section, role);
	if (SPI_execute(query, true, 1) == SPI_OK_SELECT && SPI_processed == 1)
		result = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (result != NULL)
		result = MemoryContextStrdup(context, result);
	owner_leave(&section);
	SPI_finish();
	return result;
}

/* An error's message; raised again where it is not the query's fault */
static char *
take_error(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			ReThrowError(error);
	}
	return error->message;
}

/* (relation, query): {result, error} */
Datum
reconciler_try_as_owner(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	Oid			role = owner_of(PG_GETARG_OID(0));
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(1));
	bool		nulls[2];
	Datum		values[2];
	int			dims[1] = {2};
	int			lower[1] = {1};
	char	   *volatile result = NULL;
	char	   *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		result = run_query(query, role, context);
	}
	PG_CATCH();
	{
		error = take_error(context);
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = resources;

	nulls[0] = result == NULL;
	nulls[1] = error == NULL;
	values[0] = result == NULL ? (Datum) 0 : CStringGetTextDatum(result);
	values[1] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, dims, lower, TEXTOID, -1, false, TYPALIGN_INT));
}
