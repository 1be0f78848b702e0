/*
 * loop.h: one worker's networks; engine.c runs them, networks.c keeps them as the
 * database has them, looking.c, following.c and tips.c see to one network, and
 * loop.c is what these use
 */
#ifndef RC_LOOP_H
#define RC_LOOP_H

#include "core/chain/blocks.h"
#include "core/chain/look.h"
#include "core/engine/report.h"
#include "core/follow/follow.h"
#include "core/outbox/webhooks.h"

/* How soon a worker asks again for due batches while none is due */
#define RC_CLAIM_RETRY_MS		1000

typedef struct rc_engine rc_engine;
typedef struct rc_loop rc_loop;

/* One batch between its claim and its settlement */
typedef struct rc_cycle rc_cycle;

/* A network, and what this worker does on it */
struct rc_loop
{
	rc_engine  *engine;
	rc_loop    *next;
	rc_network *network;
	rc_network *replacement;	/* a newer configuration, taken when nothing is under way */
	bool		removed;
	rc_cycle   *cycles;
	int			ncycles;
	rc_follower *follower;		/* of a chain that is followed block by block */
	rc_follow  *follow;			/* the step under way, or NULL */
	int64_t		follow_started_ms;
	double		trip_ms;		/* what a look takes, on average; and the statements for a batch */
	double		statement_ms;
	int64_t		claim_ms;		/* of claims that aren't averaged yet */
	int64_t		after;			/* where this worker last was in the network's batches */
	int64_t		claim_at_ms;
	int64_t		follow_at_ms;
	int64_t		tip_refresh_at_ms;
	rc_source  *tip_source;		/* the tip is being asked for, so that looks follow it; or NULL */
	int64_t		tip_at_ms;
	rc_cycle_log log;			/* of its batches */
	rc_cycle_log follow_log;	/* of steps along its chain: the one may fail and the other not */
	rc_network_report report;
};

struct rc_engine
{
	const rc_engine_options *options;
	rc_http    *http;
	rc_loop    *loops;
	rc_webhooks *webhooks;
	rc_state	state;
	rc_counters counters;
	char		networks[RC_PROGRESS_SIZE]; /* that it waits for */
	rc_reporter reporter;
	int64_t		refresh_at_ms;
	int64_t		maintain_at_ms;
	int64_t		statements_ms;	/* that claims and settlements took since the start */
	bool		available;		/* the extension answers */
	bool		exhausted;		/* the last round of claims found nothing due */
};

/* Of loop.c: is the process asked to stop? */
extern bool rc_loop_stopping(rc_engine *engine);

/* Tells the process what the worker is at */
extern void rc_loop_publish(rc_engine *engine, rc_state state);

/* Counts and logs what settle says happened to each request. True: a failure is new */
extern bool rc_loop_take_outcomes(rc_engine *engine, const rc_rows *outcomes, rc_counters *counters);

/* A batch, or a step along the chain, has ended: counts it, and logs it if there is something to say */
extern void rc_loop_end_cycle(rc_loop *loop, rc_cycle_report *report, int64_t started_ms, bool news);

/* A configuration of a network is out of date: all of them are read anew before the next claim */
extern void rc_loop_refresh_soon(rc_loop *loop);

/* No batch was due, or not the cursor: when to ask again */
extern int64_t rc_loop_next_due_ms(const rc_loop *loop, bool of_cursor);

/* When this worker may ask the network's endpoints; INT64_MAX: never */
extern int64_t rc_loop_may_ask_ms(const rc_loop *loop);

/* Of looking.c: claims batches until enough are in flight or none is due */
extern void rc_looking_claim(rc_loop *loop);

/* Settles what has been observed; prolongs leases that are half over; gives up all of it, due at once */
extern void rc_looking_finish(rc_loop *loop);
extern void rc_looking_renew(rc_loop *loop);
extern void rc_looking_end(rc_loop *loop);

/* When the clock makes something due: a claim, a lease to be prolonged */
extern int64_t rc_looking_next_ms(const rc_loop *loop);

/* Of following.c: likewise; takes the next step, if it is due and no other worker is at it */
extern void rc_following_step(rc_loop *loop);
extern void rc_following_renew(rc_loop *loop);
extern void rc_following_end(rc_loop *loop);
extern int64_t rc_following_next_ms(const rc_loop *loop);

/* Of tips.c: likewise; asks for the tip, if that is due and no other worker does */
extern void rc_tips_step(rc_loop *loop);
extern void rc_tips_end(rc_loop *loop);
extern int64_t rc_tips_next_ms(const rc_loop *loop);

/* Of networks.c: reads the networks anew when it is time */
extern void rc_networks_refresh(rc_engine *engine);

/* Puts new configurations in place, and removes networks that are gone, where nothing is under way */
extern void rc_networks_replace(rc_engine *engine);
extern void rc_networks_free(rc_engine *engine);

#endif
