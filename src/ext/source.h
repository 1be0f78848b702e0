/* source.h: what the C functions know of an attached table and its requests */
#ifndef RC_SOURCE_H
#define RC_SOURCE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/timestamp.h"

/* The mapped columns that make up a request, as they stand in the trigger's arguments after source_id */
typedef enum source_column
{
	COLUMN_ID,
	COLUMN_STATUS,
	COLUMN_CHAIN,
	COLUMN_NETWORK,
	COLUMN_ADDRESS,
	COLUMN_TOKEN,
	COLUMN_AMOUNT,
	COLUMN_EXPIRES,
	SOURCE_COLUMNS
} source_column;

/* One row of an attached table; text is NULL for null */
typedef struct source_row
{
	char	   *id;
	char	   *status;
	char	   *chain;
	char	   *network;
	char	   *address;
	char	   *token;
	char	   *expected;		/* decimal digits, 1 .. 2^256 - 1; NULL: anything above 0 */
	char	   *invalid;		/* why the amount or the mapping can't be used */
	bool		has_expiry;
	TimestampTz expires_at;
} source_row;

/*
 * Reads the row. Each name is a column's, "" for none, or "=" and a constant.
 * Calls no function of a type that isn't the server's own, so a superuser may
 * do it with anybody's table.
 */
extern void source_row_read(source_row *row, HeapTuple tuple, TupleDesc desc,
							const char *const names[SOURCE_COLUMNS]);

/* Is the status one of an open request? */
extern bool source_status_is_open(const char *status);

/* NULL, or what makes text no amount of minor units; *digits gets it in plain decimal digits */
extern char *source_amount_problem(const char *text, char **digits);

/* Why a request can't be observed on a network of this kind, or NULL; address and token may be NULL */
extern char *source_request_problem(const char *kind, const char *network, const char *address, const char *token);

#endif
