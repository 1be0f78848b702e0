/* source.h: what the C functions know of an attached table and its requests */
#ifndef RC_SOURCE_H
#define RC_SOURCE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "mapping.h"
#include "utils/timestamp.h"

/* One row of an attached table; text is NULL for null */
typedef struct source_row
{
	char	   *id;				/* of several columns: joined by "/", in each "%25" for "%" and "%2F" for "/" */
	const char *status;			/* ours, where the table's word stands for one */
	const char *word;			/* the status as the table has it */
	bool		hides_detected; /* as in its mapping */
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
 * Reads the row. Calls no function of a type that isn't the server's own, so a
 * superuser may do it with anybody's table.
 */
extern void source_row_read(source_row *row, HeapTuple tuple, TupleDesc desc, const source_mapping *mapping);

/* Is the status one of an open request? */
extern bool source_status_is_open(const char *status);

/*
 * NULL, or what makes text no amount; *digits gets it in minor units, as plain
 * decimal digits. decimals: how many of its decimal places are minor units.
 */
extern char *source_amount_problem(const char *text, int decimals, char **digits);

/* A chain's or network's name as it is kept where no network of that name is registered; name may be NULL */
extern char *source_unregistered_name(const char *name);

/* Why a request can't be observed on a network of this kind, or NULL; address and token may be NULL */
extern char *source_request_problem(const char *kind, const char *network, const char *address, const char *token);

#endif
