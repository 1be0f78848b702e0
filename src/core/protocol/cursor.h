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
	const char *work;			/* of the chain up to it, 64 hex digits; NULL: not known */
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
	RC_CURSOR_BEST_WORK,
	RC_CURSOR_RECENT,
	RC_CURSOR_LOOK_BACK_DUE,
	RC_CURSOR_LOOK_BACK_NEXT,
	RC_CURSOR_LOOK_BACK_HASH,
	RC_CURSOR_LOOK_BACK_SINCE,
	RC_CURSOR_BOUNDS			/* four columns */
};

/* Where a look back begins, or goes on: downwards from a block, to one that is older than since */
typedef struct rc_look_back
{
	int			requests;
	int64_t		next;
	char	   *hash;			/* malloc'd */
	int64_t		since;			/* Unix seconds */
} rc_look_back;

/* interval_ms: after which it comes due again */
extern rc_store_status rc_cursor_claim(const rc_store *store, const char *worker_id,
									   const rc_network *network, long interval_ms, rc_rows *rows);

/* credits: JSON [[txid, ordinal, key, amount, kind, sender], …]; *found gets the number of payments */
extern rc_store_status rc_cursor_advance(const rc_cursor_lease *lease, const rc_cursor_block *block,
										 const char *credits, int *found);

/* tip_work (NULL: the chain has none) and tip_height: of the chain that takes their place */
extern rc_store_status rc_cursor_undo(const rc_cursor_lease *lease, int64_t height, const char *tip_work, int64_t tip_height);
extern rc_store_status rc_cursor_renew(const rc_cursor_lease *lease);

/* Gives the lease back; due_now: there is more to do at once */
extern rc_store_status rc_cursor_release(const rc_cursor_lease *lease, bool due_now);

/* No endpoint has answered (asked: though one was asked); gives the lease back */
extern rc_store_status rc_cursor_fail(const rc_cursor_lease *lease, const char *failure, bool asked, rc_rows *outcomes);

/* gone: JSON array of transaction ids */
extern rc_store_status rc_cursor_mempool(const rc_cursor_lease *lease, const char *credits, const char *gone, int *found);
extern rc_store_status rc_cursor_unconfirmed(const rc_cursor_lease *lease, rc_rows *txids);

extern rc_store_status rc_look_back_begin(const rc_cursor_lease *lease, rc_look_back *back);

/* A block that is read again: the one that the look back stands at */
extern rc_store_status rc_look_back_take(const rc_cursor_lease *lease, const rc_cursor_block *block,
										 const char *credits, int *found);
extern rc_store_status rc_look_back_scripts(const rc_cursor_lease *lease, rc_rows *scripts);

/* problem: why not all of the blocks could be read again; NULL: they were */
extern rc_store_status rc_look_back_end(const rc_cursor_lease *lease, const char *problem);

/* depth: {height, hash} of the block with the network's block tag, as JSON; NULL: it has none */
extern rc_store_status rc_cursor_settle(const rc_cursor_lease *lease, bool due_now, const char *depth, rc_rows *outcomes);

/*
 * Whom to read blocks for: the keys of requests above after (NULL: the first), the
 * tokens in them, and which of some keys (a JSON array) are among them. In hex.
 */
extern rc_store_status rc_cursor_keys(const rc_cursor_lease *lease, const char *after, int most, rc_rows *keys);
extern rc_store_status rc_cursor_tokens(const rc_cursor_lease *lease, rc_rows *tokens);
extern rc_store_status rc_cursor_among(const rc_cursor_lease *lease, const char *candidates, rc_rows *keys);

#endif
