/* mapping.h: which columns of an attached table make up a request, and how they are to be read */
#ifndef RC_MAPPING_H
#define RC_MAPPING_H

#include "postgres.h"

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

/* A composite key has no more columns than this (21_mapping.sql knows it, too) */
#define MAX_ID_COLUMNS 8

/* After the columns' names, arguments are pairs of these and a value */
#define OPTION_ID			"id"	/* a further column of the key */
#define OPTION_DECIMALS		"decimals"	/* of the amount, which is in whole coins */
#define OPTION_ZONE			"zone"	/* of expires_at, which has none of its own */
#define OPTION_CREATED_AT	"created_at"
#define OPTION_CREATED_ZONE	"created_zone"
#define OPTION_UPDATED_AT	"updated_at"
#define OPTION_UPDATED_ZONE	"updated_zone"
#define OPTION_SET			"set"	/* an assignment to a column for results, of r, a _result */

typedef struct source_mapping
{
	const char *names[SOURCE_COLUMNS];	/* "" for none, "=" and a constant, or a column; of the id the first */
	const char *ids[MAX_ID_COLUMNS];
	int			nids;
	int			decimals;		/* 0: the amount is in minor units */
	const char *zone;			/* NULL: expires_at has its own */
	const char *const *options; /* pairs: a key, a value */
	int			noptions;		/* of pairs */
	bool		has_words;		/* the table has words of its own for statuses */
	bool		hides_detected; /* and none for detected: such a row says pending */
} source_mapping;

/* From the arguments that attach has made; what they point to must stay. False: they are none */
extern bool source_mapping_read(source_mapping *mapping, const char *const *arguments, int n);

/* The value of the first pair with this key; "" if there is none */
extern const char *source_mapping_option(const source_mapping *mapping, const char *key);

/*
 * The status for which the table's word stands. Another word stands for itself,
 * in double quotes where it could be taken for a status.
 */
extern const char *source_status_of(const source_mapping *mapping, const char *word);

#endif
