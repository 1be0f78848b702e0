/* bitcoin.c: what SQL needs to know of Bitcoin addresses and of the age of requests */
#include "postgres.h"

#include "compat.h"
#include "core/chain/bitcoin/address.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "owner.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(reconciler_bitcoin_script);
PG_FUNCTION_INFO_V1(reconciler_created_at);

/* (address): the script that pays it; null if it is no Bitcoin address. Part of indexes. */
Datum
reconciler_bitcoin_script(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	char		address[128];
	size_t		len = VARSIZE_ANY_EXHDR(value);
	rc_btc_script script;
	bytea	   *result;

	/* Addresses of EVM chains begin with 0x, which no Bitcoin address does */
	if (len == 0 || len >= sizeof(address) || VARDATA_ANY(value)[0] == '0')
		PG_RETURN_NULL();
	memcpy(address, VARDATA_ANY(value), len);
	address[len] = '\0';
	if (rc_btc_address_script(address, NULL, &script) != NULL)
		PG_RETURN_NULL();
	result = palloc(VARHDRSZ + script.len);
	SET_VARSIZE(result, VARHDRSZ + script.len);
	memcpy(VARDATA(result), script.bytes, script.len);
	PG_RETURN_BYTEA_P(result);
}

/* Hands over the rows of the last statement: id and time, as text */
static void
return_rows(ReturnSetInfo *rsinfo)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[2];
		bool		nulls[2];

		for (int column = 0; column < 2; column++)
		{
			char	   *value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column + 1);

			nulls[column] = value == NULL;
			values[column] = value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* (source_id, ids): when the requests were made, as (id, text); nothing where the table doesn't say */
Datum
reconciler_created_at(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {TEXTARRAYOID};
	Datum		values[1] = {PG_GETARG_DATUM(1)};
	source_table table;
	owner_section section;

	rc_init_materialized_set(fcinfo);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (source_table_open(&table, PG_GETARG_INT32(0)) && table.created_at[0] != '\0')
	{
		const char *id = quote_identifier(table.names[COLUMN_ID]);
		char	   *query = psprintf("SELECT t.%s::pg_catalog.text, t.%s::pg_catalog.timestamptz::pg_catalog.text FROM %s AS t"
									 " WHERE t.%s OPERATOR(pg_catalog.=) ANY ($1::%s[])",
									 id, quote_identifier(table.created_at), table.from, id, table.id_type);

		owner_enter(&section, table.owner);
		if (SPI_execute_with_args(query, 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "unexpected result of \"%s\"", query);
		owner_leave(&section);
		return_rows((ReturnSetInfo *) fcinfo->resultinfo);
	}
	SPI_finish();
	return (Datum) 0;
}
