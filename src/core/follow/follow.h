/* follow.h: following a chain block by block, instead of asking for each request */
#ifndef RC_FOLLOW_H
#define RC_FOLLOW_H

#include "core/net/http.h"
#include "core/protocol/network.h"
#include "core/protocol/store.h"

/* What a worker knows of a network's pending transactions between two steps; one for each network that is followed */
typedef struct rc_follower rc_follower;

extern rc_follower *rc_follower_create(void);
extern void rc_follower_free(rc_follower *follower);

/* How a step ended */
typedef struct rc_followed
{
	bool		claimed;		/* false: the cursor wasn't due, or another worker has it */
	bool		stale;			/* the network is to be read anew before it is claimed */
	bool		more;			/* there is more to do at once: blocks that are not read yet */
	bool		lease_lost;
	char	   *failure;		/* the node could not be asked, or must not be believed; already settled as such */
	rc_rows		outcomes;		/* what settle says, as rc_protocol_settle's; empty with more */
	int			blocks;			/* read in this step */
	int			transactions;	/* that are in no block, read in this step */
	int			payments;		/* found in this step */
} rc_followed;

typedef struct rc_follow rc_follow;

/* followed is freed after the call; never called from inside rc_follow_start */
typedef void (*rc_follow_done) (void *arg, rc_followed *followed);

/*
 * One bounded step: claims the cursor, reads new blocks and what is new in the
 * mempool, writes what it finds, settles when the tip is reached, and gives the
 * lease back. The network's kind must have a block source. Runs statements of the store, from here and from inside
 * rc_http_step; no statement is open while a call to the node is under way. All
 * arguments must outlive the step.
 */
extern rc_follow *rc_follow_start(rc_http *http, const rc_host *host, const rc_store *store,
								  const char *worker_id, rc_network *network, rc_follower *follower,
								  rc_follow_done done, void *arg);

/* rc_now_ms() at which the lease is half over, whatever call is under way; and prolonging it. False: it is lost */
extern int64_t rc_follow_renew_at(const rc_follow *follow);
extern bool rc_follow_renew(rc_follow *follow);

/* Ends the step without calling done; the cursor comes due at once */
extern void rc_follow_cancel(rc_follow *follow);

#endif
