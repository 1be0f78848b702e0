/* queue_layout.h: how the queue's table is made, kept for the session */
#ifndef RC_QUEUE_LAYOUT_H
#define RC_QUEUE_LAYOUT_H

#include "postgres.h"

#include "nodes/execnodes.h"

/* The columns that are written; all others have their default */
typedef enum queue_column
{
	QUEUE_SEQ,
	QUEUE_SOURCE_ID,
	QUEUE_NETWORK_ID,
	QUEUE_REQUEST_ID,
	QUEUE_STATUS,
	QUEUE_EXPECTED,
	QUEUE_ADDRESS,
	QUEUE_TOKEN,
	QUEUE_EXPIRES_AT,
	QUEUE_INVALID,
	QUEUE_KEY,
	QUEUE_FOLLOWED,
	QUEUE_LOOK_BACK_DUE,
	QUEUE_CHAIN,
	QUEUE_NETWORK,
	QUEUE_COLUMNS
} queue_column;

/* Where the primary key's index stands among the others */
#define QUEUE_KEY_INDEX 0

typedef struct queue_index
{
	Oid			oid;
	IndexInfo  *info;
	ExprState  *condition;		/* NULL: every row is in it */
} queue_index;

typedef struct queue_layout
{
	Oid			queue;
	bool		deletes;		/* rows may be deleted directly, too: no trigger wants to know */
	Oid			sequence;		/* of seq */
	AttrNumber	columns[QUEUE_COLUMNS];
	int			ncolumns;
	Datum	   *defaults;
	bool	   *default_nulls;
	queue_index *indexes;
	int			nindexes;
	Oid			key_collation;	/* of request_id in the key */
	TupleTableSlot *slot;
	EState	   *estate;
	Oid			transitions;
	Oid			decided_index;	/* of transitions, by request */
	Oid			decided_collation;
	AttrNumber	decided_source;
	AttrNumber	decided_id;
} queue_layout;

/* NULL: the tables have something that only a statement does justice to (a trigger, a check, a policy) */
extern const queue_layout *queue_layout_get(void);

/* Is it still what queue_layout_get would give? */
extern bool queue_layout_is(const queue_layout *layout);

#endif
