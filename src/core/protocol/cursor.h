/* cursor.h: the part of the SQL protocol by which a chain is followed */
#ifndef RC_CURSOR_H
#define RC_CURSOR_H

#include "core/protocol/network.h"
#include "core/protocol/protocol.h"
#include "core/protocol/store.h"

/* A block as advance_cursor takes it */
typedef struct rc_cursor_block
{
	int64_t		height;
	const char *hash;
	const char *previous;		/* NULL: not known */
	int64_t		time;			/* Unix seconds */
} rc_cursor_block;

/* Whose lease, and of which cursor: what every statement names */
typedef struct rc_cursor_lease
{
	const rc_store *store;
	const char *worker_id;
	const rc_network *network;
	const char *token;
} rc_cursor_lease;

/* Columns of claim_cursor */
enum
{
	RC_CURSOR_TOKEN,
	RC_CURSOR_HEIGHT,
	RC_CURSOR_HASH,
	RC_CURSOR_RECENT,
	RC_CURSOR_UNFOLLOWED,
	RC_CURSOR_LOOK_BACK_NEXT,
	RC_CURSOR_LOOK_BACK_END
};

extern rc_store_status rc_cursor_claim(const rc_store *store, const char *worker_id,
									   const rc_network *network, rc_rows *rows);

/* outputs: JSON [[txid, index, script, amount], …]; *found gets the number of payments */
extern rc_store_status rc_cursor_advance(const rc_cursor_lease *lease, const rc_cursor_block *block,
										 const char *outputs, int *found);
extern rc_store_status rc_cursor_undo(const rc_cursor_lease *lease, int64_t height);

/* gone: JSON array of transaction ids */
extern rc_store_status rc_cursor_mempool(const rc_cursor_lease *lease, const char *outputs, const char *gone, int *found);
extern rc_store_status rc_cursor_unconfirmed(const rc_cursor_lease *lease, rc_rows *txids);

extern rc_store_status rc_look_back_begin(const rc_cursor_lease *lease, int *requests, int64_t *since);

/* block NULL: only keeps the range and the problem (may be NULL) */
extern rc_store_status rc_look_back_note(const rc_cursor_lease *lease, int64_t next, int64_t end, const char *problem,
										 const rc_cursor_block *block, const char *outputs, int *found);
extern rc_store_status rc_look_back_scripts(const rc_cursor_lease *lease, rc_rows *scripts);
extern rc_store_status rc_look_back_end(const rc_cursor_lease *lease);

extern rc_store_status rc_cursor_settle(const rc_cursor_lease *lease, bool due_now, rc_rows *outcomes);

#endif
