/* mempool.h: which transactions of a node's mempool a worker has read, and which scripts they pay to */
#ifndef RC_BTC_MEMPOOL_H
#define RC_BTC_MEMPOOL_H

#include "core/chain/bitcoin/block.h"

typedef struct rc_mempool rc_mempool;

extern rc_mempool *rc_mempool_create(void);
extern void rc_mempool_free(rc_mempool *mempool);

/* Begins the comparison with a list of the transactions that the node has now */
extern void rc_mempool_begin(rc_mempool *mempool);

/* One transaction of the list; returns true if it has not been read yet. False, too, if hex is no hash */
extern bool rc_mempool_list(rc_mempool *mempool, const char *hex);

/* All were listed: those that the node has no longer are forgotten */
extern void rc_mempool_end(rc_mempool *mempool);

/* Is the transaction in the list (or was read since)? */
extern bool rc_mempool_has(const rc_mempool *mempool, const char *hex);

/* A transaction has been read; its outputs are items[0..n) */
extern void rc_mempool_add(rc_mempool *mempool, const char *hex, const rc_btc_output *items, size_t n);

/*
 * Calls found for each transaction read that may pay to the script (given in
 * hex): a hash decides, so it has to be read again.
 */
extern void rc_mempool_find(const rc_mempool *mempool, const char *script_hex,
							void (*found) (void *arg, const char *txid), void *arg);

#endif
