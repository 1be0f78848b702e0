/* source.c: rows of attached tables, and what can be wrong with the requests in them */
#include "source.h"

#include <stdlib.h>

#include "catalog/pg_type.h"
#include "core/chain/chain.h"
#include "core/net/http.h"
#include "core/net/redact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

/* Longer values are cut in messages */
#define SHOWN_BYTES 60

/* One more than the name of a network may have: what is cut off could not make it one, but the index entry too long */
#define UNREGISTERED_LETTERS 101

/* 2^256 - 1: amounts are uint256 (EVM word) */
#define AMOUNT_MAX "115792089237316195423570985008687907853269984665640564039457584007913129639935"

PG_FUNCTION_INFO_V1(reconciler_redact_url);
PG_FUNCTION_INFO_V1(reconciler_request_problem);

/* A value for a message, cut where it is long */
static char *
shown(const char *text)
{
	size_t		len = strlen(text);

	if (len <= SHOWN_BYTES)
		return pstrdup(text);
	return psprintf("%s…", pnstrdup(text, pg_mbcliplen(text, (int) len, SHOWN_BYTES)));
}

bool
source_status_is_open(const char *status)
{
	return status != NULL && (strcmp(status, "pending") == 0 || strcmp(status, "detected") == 0);
}

/* The amount in minor units without zeros before it, into digits */
static char *
amount_digits(const char *whole, size_t nwhole, const char *places, size_t nplaces, int decimals)
{
	char	   *digits = palloc(nwhole + decimals + 1);
	size_t		taken = Min(nplaces, (size_t) decimals);
	size_t		zeros;

	memcpy(digits, whole, nwhole);
	memcpy(digits + nwhole, places, taken);
	memset(digits + nwhole + taken, '0', decimals - taken);
	digits[nwhole + decimals] = '\0';
	zeros = strspn(digits, "0");
	return digits + (digits[zeros] == '\0' && zeros > 0 ? zeros - 1 : zeros);
}

char *
source_amount_problem(const char *text, int decimals, char **digits)
{
	size_t		nwhole = strspn(text, "0123456789");
	const char *places = text + nwhole + (text[nwhole] == '.' ? 1 : 0);
	size_t		nplaces = text[nwhole] == '.' ? strspn(places, "0123456789") : 0;
	char	   *amount;

	*digits = NULL;
	if (nwhole == 0 || places[nplaces] != '\0' || (decimals == 0 && strspn(places, "0") != nplaces))
		return psprintf(decimals == 0 ? "expected_amount_minor \"%s\" is not a whole number of minor units" :
						"expected_amount_minor \"%s\" is not a decimal number above 0", shown(text));
	if (nplaces > (size_t) decimals && strspn(places + decimals, "0") != nplaces - decimals)
		return psprintf("expected_amount_minor \"%s\" has more than %d decimal places", shown(text), decimals);
	amount = amount_digits(text, nwhole, places, nplaces, decimals);
	if (strcmp(amount, "0") == 0)
		return pstrdup("expected_amount_minor is 0; null would mean any amount");
	if (strlen(amount) > strlen(AMOUNT_MAX) ||
		(strlen(amount) == strlen(AMOUNT_MAX) && strcmp(amount, AMOUNT_MAX) > 0))
		return psprintf("expected_amount_minor \"%s\" exceeds 256 bits", shown(text));
	*digits = amount;
	return NULL;
}

/* A value as text, by the server's own output functions; NULL where its type has another */
static char *
value_text(Datum value, Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(value);
		case INT2OID:
			return DatumGetCString(DirectFunctionCall1(int2out, value));
		case INT4OID:
			return DatumGetCString(DirectFunctionCall1(int4out, value));
		case INT8OID:
			return DatumGetCString(DirectFunctionCall1(int8out, value));
		case NUMERICOID:
			return DatumGetCString(DirectFunctionCall1(numeric_out, value));
		case UUIDOID:
			return DatumGetCString(DirectFunctionCall1(uuid_out, value));
		default:
			if (type_is_enum(type))
				return DatumGetCString(DirectFunctionCall1(enum_out, value));
			return NULL;
	}
}

/* Looks a column up; false if the row hasn't got it, which is noted */
static bool
find_value(source_row *row, HeapTuple tuple, TupleDesc desc, const char *name,
		   Datum *value, Oid *type, bool *isnull)
{
	int			attnum = SPI_fnumber(desc, name);

	if (attnum <= 0)
	{
		row->invalid = psprintf("column \"%s\" is gone: detach the table and attach it again", name);
		return false;
	}
	*value = SPI_getbinval(tuple, desc, attnum, isnull);
	*type = getBaseType(SPI_gettypeid(desc, attnum));
	return true;
}

/* A column's value, or the constant that stands for it, as text */
static char *
read_text(source_row *row, HeapTuple tuple, TupleDesc desc, const char *name)
{
	Datum		value;
	Oid			type;
	bool		isnull;
	char	   *text;

	if (name[0] == '\0')
		return NULL;
	if (name[0] == '=')
		return pstrdup(name + 1);
	if (!find_value(row, tuple, desc, name, &value, &type, &isnull) || isnull)
		return NULL;
	text = value_text(value, type);
	if (text == NULL)
		row->invalid = psprintf("column \"%s\" has changed its type: detach the table and attach it again", name);
	return text;
}

/* A time without zone, by the zone that the mapping says; false: it can't be told */
static bool
time_in_zone(Timestamp time, const char *zone, TimestampTz *result)
{
	if (pg_tzset(zone) == NULL)
		return false;
	if (!TIMESTAMP_NOT_FINITE(time) &&
		(time < MIN_TIMESTAMP + 2 * USECS_PER_DAY || time > END_TIMESTAMP - 2 * USECS_PER_DAY))
		return false;
	*result = DatumGetTimestampTz(DirectFunctionCall2(timestamp_zone, CStringGetTextDatum(zone), TimestampGetDatum(time)));
	return true;
}

static void
read_expiry(source_row *row, HeapTuple tuple, TupleDesc desc, const source_mapping *mapping)
{
	const char *name = mapping->names[COLUMN_EXPIRES];
	Datum		value;
	Oid			type;
	bool		isnull;

	if (name[0] == '\0' || !find_value(row, tuple, desc, name, &value, &type, &isnull) || isnull)
		return;
	if (type != (mapping->zone == NULL ? TIMESTAMPTZOID : TIMESTAMPOID))
	{
		row->invalid = psprintf("column \"%s\" has changed its type: detach the table and attach it again", name);
		return;
	}
	if (mapping->zone == NULL)
		row->expires_at = DatumGetTimestampTz(value);
	else if (!time_in_zone(DatumGetTimestamp(value), mapping->zone, &row->expires_at))
	{
		row->invalid = psprintf("column \"%s\" is no time in zone %s", name, mapping->zone);
		return;
	}
	/* It never expires, as one without */
	row->has_expiry = !TIMESTAMP_IS_NOEND(row->expires_at);
}

/* Parts of an id, told apart whatever is in them */
static char *
read_id(source_row *row, HeapTuple tuple, TupleDesc desc, const source_mapping *mapping)
{
	StringInfoData id;

	if (mapping->nids == 1)
		return read_text(row, tuple, desc, mapping->ids[0]);
	initStringInfo(&id);
	for (int i = 0; i < mapping->nids; i++)
	{
		char	   *part = read_text(row, tuple, desc, mapping->ids[i]);

		if (part == NULL)
			return NULL;
		if (i > 0)
			appendStringInfoChar(&id, '/');
		for (char *c = part; *c != '\0'; c++)
		{
			if (*c == '%' || *c == '/')
				appendStringInfoString(&id, *c == '%' ? "%25" : "%2F");
			else
				appendStringInfoChar(&id, *c);
		}
	}
	return id.data;
}

char *
source_unregistered_name(const char *name)
{
	if (name == NULL)
		return "";
	return pnstrdup(name, pg_mbcharcliplen(name, (int) strlen(name), UNREGISTERED_LETTERS));
}

void
source_row_read(source_row *row, HeapTuple tuple, TupleDesc desc, const source_mapping *mapping)
{
	const char *const *names = mapping->names;
	char	   *amount;

	memset(row, 0, sizeof(*row));
	row->hides_detected = mapping->hides_detected;
	row->id = read_id(row, tuple, desc, mapping);
	row->word = read_text(row, tuple, desc, names[COLUMN_STATUS]);
	row->status = source_status_of(mapping, row->word);
	row->chain = read_text(row, tuple, desc, names[COLUMN_CHAIN]);
	row->network = read_text(row, tuple, desc, names[COLUMN_NETWORK]);
	row->address = read_text(row, tuple, desc, names[COLUMN_ADDRESS]);
	row->token = read_text(row, tuple, desc, names[COLUMN_TOKEN]);
	read_expiry(row, tuple, desc, mapping);
	amount = read_text(row, tuple, desc, names[COLUMN_AMOUNT]);
	if (row->token != NULL && row->token[0] == '\0')
		row->token = NULL;
	if (amount != NULL && row->invalid == NULL)
		row->invalid = source_amount_problem(amount, mapping->decimals, &row->expected);
}

char *
source_request_problem(const char *kind, const char *network, const char *address, const char *token)
{
	const rc_chain *chain = rc_chain_of(kind);
	char	   *problem;
	char	   *result;
	int			len;

	if (address == NULL || address[0] == '\0')
		return pstrdup("address_canonical is empty");
	problem = chain == NULL ? NULL : chain->request_problem(network, address, token);
	if (problem == NULL)
		return NULL;

	/* It may quote the address, and have cut it in the middle of a character: then it ends before */
	len = (int) strlen(problem);
	if (pg_encoding_verifymbstr(GetDatabaseEncoding(), problem, len) == len)
		result = pstrdup(problem);
	else
		result = psprintf("%.*s is not an address", (int) strcspn(problem, ":"), problem);
	free(problem);
	return result;
}

/* Why a request can't be observed on a network of this kind: (kind, network, address, token_contract) */
Datum
reconciler_request_problem(PG_FUNCTION_ARGS)
{
	char	   *problem = source_request_problem(PG_ARGISNULL(0) ? "none" : text_to_cstring(PG_GETARG_TEXT_PP(0)),
												 PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1)),
												 PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)),
												 PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)));

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/* A URL without what may be secret in it */
Datum
reconciler_redact_url(PG_FUNCTION_ARGS)
{
	char	   *redacted = rc_url_redact(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	text	   *result = cstring_to_text(redacted);

	free(redacted);
	PG_RETURN_TEXT_P(result);
}
