/* bitcoin.c: what SQL needs to know of who is paid, and of the age of requests */
#include "postgres.h"

#include "compat.h"
#include "core/chain/chain.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "owner.h"
#include "source_sql.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(reconciler_request_key);
PG_FUNCTION_INFO_V1(reconciler_created_at);

/* (kind, network, address, token_contract): who is paid, as credits name it; null where the address is none */
Datum
reconciler_request_key(PG_FUNCTION_ARGS)
{
	uint8_t		key[RC_KEY_MAX];
	char	   *kind = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *network = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *address = PG_ARGISNULL(2) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *token = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	const rc_chain *chain = rc_chain_of(kind);
	size_t		len = 0;
	bytea	   *result;

	if (chain != NULL)
		len = chain->request_key(network, address, token, key);
	if (len == 0)
		PG_RETURN_NULL();
	result = palloc(VARHDRSZ + len);
	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), key, len);
	PG_RETURN_BYTEA_P(result);
}

/* Hands over the rows of the last statement: id, time, age */
static void
return_rows(ReturnSetInfo *rsinfo)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Datum		values[3];
		bool		nulls[3];

		/* Not the time as text: settings of the session would come between */
		for (int column = 0; column < 3; column++)
			values[column] = SPI_getbinval(row, desc, column + 1, &nulls[column]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* (source_id, ids): when the requests were made, as (id, time, null: the table doesn't say, age of the last change) */
Datum
reconciler_created_at(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {TEXTARRAYOID};
	Datum		values[1] = {PG_GETARG_DATUM(1)};
	source_table table;
	owner_section section;

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (source_table_open(&table, PG_GETARG_INT32(0)))
	{
		const char *created_at = table.created_at[0] == '\0' ? "NULL::pg_catalog.timestamptz" :
			source_sql_time(table.created_at, source_mapping_option(&table.mapping, OPTION_CREATED_ZONE));
		char	   *query = psprintf("SELECT %s, %s, pg_catalog.age(t.xmin) FROM %s AS t WHERE %s",
									 source_sql_id(&table), created_at, table.from, source_sql_id_in(&table));

		owner_enter(&section, table.owner);
		if (SPI_execute_with_args(query, 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "unexpected result of \"%s\"", query);
		owner_leave(&section);
		return_rows((ReturnSetInfo *) fcinfo->resultinfo);
	}
	SPI_finish();
	return (Datum) 0;
}
