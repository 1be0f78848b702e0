/* seen.h: which pending transactions a worker has read, and which keys they pay */
#ifndef RC_SEEN_H
#define RC_SEEN_H

#include "core/chain/blocks.h"

typedef struct rc_seen rc_seen;

extern rc_seen *rc_seen_create(void);
extern void rc_seen_free(rc_seen *seen);

/* Begins the comparison with a list of the transactions that are pending now */
extern void rc_seen_begin(rc_seen *seen);

/* One transaction of the list; returns true if it has not been read yet. False, too, if the text is no hash */
extern bool rc_seen_list(rc_seen *seen, const char *hex);

/* All were listed: those that are pending no longer are forgotten */
extern void rc_seen_end(rc_seen *seen);

/* Is the transaction in the list (or was read since)? */
extern bool rc_seen_has(const rc_seen *seen, const char *hex);

/* A transaction has been read; it has these credits */
extern void rc_seen_add(rc_seen *seen, const char *hex, const rc_credits *credits);

/* Calls found for each transaction read that may pay the key: a hash decides, so it has to be read again */
extern void rc_seen_find(const rc_seen *seen, const rc_key *key,
						 void (*found) (void *arg, const char *txid), void *arg);

#endif
