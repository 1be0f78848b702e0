/* queue_write.h: rows of the queue, written without a statement */
#ifndef RC_QUEUE_WRITE_H
#define RC_QUEUE_WRITE_H

#include "postgres.h"

#include "utils/timestamp.h"

/* A request as the queue has it when it has just arrived; text is NULL for null */
typedef struct queue_row
{
	int32		source_id;
	const char *request_id;
	const char *status;
	int32		network_id;
	const char *chain;			/* only where network_id is 0 */
	const char *network;
	const char *address;
	const char *token;
	const char *expected;		/* decimal digits */
	bool		has_expiry;
	TimestampTz expires_at;
	const char *invalid;
	bytea	   *key;			/* NULL for null */
	bool		followed;
} queue_row;

typedef enum queue_written
{
	QUEUE_WRITTEN,
	QUEUE_ABSENT,				/* there is no such row */
	QUEUE_PRESENT,				/* there may be one already, or be about to be one */
	QUEUE_NOT_DIRECTLY			/* the table has been changed: only a statement does all that is due */
} queue_written;

/*
 * All of them write with the rights of whoever owns the table. Callers fall back
 * to a statement that does the same.
 */
extern queue_written queue_insert(const queue_row *row);
extern queue_written queue_delete(int32 source_id, const char *request_id, bool ended);

/* May something have been decided about a request before? false: nothing, as far as is known at this moment */
extern bool queue_maybe_decided(int32 source_id, const char *request_id);

#endif
