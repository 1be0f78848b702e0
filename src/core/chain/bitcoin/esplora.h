/* esplora.h: the parts of the Esplora observer */
#ifndef RC_ESPLORA_H
#define RC_ESPLORA_H

#include "core/chain/bitcoin/address.h"
#include "core/chain/bitcoin/esplora_json.h"
#include "core/chain/observer.h"

/* What an HTTP request of a look asks for */
typedef enum esplora_step
{
	ESPLORA_GENESIS,			/* which chain is it? */
	ESPLORA_TIP_HASH,
	ESPLORA_TIP_BLOCK,
	ESPLORA_SUMS,				/* of one address */
	ESPLORA_PAGE,				/* of its confirmed transactions */
	ESPLORA_MEMPOOL,			/* its unconfirmed ones */
	ESPLORA_RECENT,				/* the newest blocks: are transactions in blocks of this chain? */
	ESPLORA_CHECK				/* does the tip still stand? */
} esplora_step;

typedef struct esplora_look esplora_look;

/* One address, or one of the requests about the chain */
typedef struct esplora_task
{
	esplora_look *look;
	struct esplora_task *next;	/* of those that wait */
	struct esplora_task *prev_active;
	struct esplora_task *next_active;
	rc_transfer *transfer;		/* NULL: waits */
	int64_t		not_before_ms;
	esplora_step step;
	int			index;			/* the request in the batch; -1: none */

	/* Of an address */
	rc_esplora_sums sums;
	uint64_t	listed;			/* satoshi in the transactions of the pages read */
	uint64_t	shallow;		/* the part above the depth */
	uint64_t	recent;			/* the part that the mempool may still hold, too */
	bool		overgrown;		/* more pages above the depth than are read */
	int			pages;
	int64_t		last_height;	/* of the last transaction of the pages, which fall */
	char	  (*txids)[RC_BTC_HASH_SIZE];	/* of the pages read */
	int			ntxids;
	bool		retried;		/* its answers contradicted each other once */
	bool		reread;			/* it held less than before, and was read again */

	char		hash[RC_BTC_HASH_SIZE]; /* the block asked for, or the last transaction of the page before */
} esplora_task;

typedef enum esplora_outcome
{
	ESPLORA_RUNNING,
	ESPLORA_SUCCEEDED,
	ESPLORA_FAILED
} esplora_outcome;

struct esplora_look
{
	rc_attempt *attempt;
	void		(*answered) (esplora_task *task, const rc_http_response *response);	/* an HTTP request has ended */
	void		(*resume) (esplora_look *look); /* the time has come to go on */
	const rc_btc_network *chain;
	rc_btc_script *scripts;		/* of each request; length 0: the address is wrong */
	rc_block	tip;			/* of this look */
	int64_t		depth_height;	/* -1: the chain isn't that long */
	bool		in_round;		/* the tip is known, addresses are asked for */
	int			first;			/* where the round through the requests begins */
	int			taken;			/* requests that have a task or need none */
	esplora_task *waiting;
	esplora_task *active;
	int			nactive;
	rc_timer   *timer;
	int64_t		paused_until_ms;
	int64_t		next_send_ms;
	long		paused_ms;		/* over the whole look */
	int			successes;		/* addresses looked at */
	int			failures;		/* in a row */
	rc_failure	trouble;		/* why the first address failed that did */
	int			restarts;

	/* Which blocks the listed transactions are said to be in: [n] at the tip's height less n, "" if none is */
	char		claimed[RC_ESPLORA_RECENT][RC_BTC_HASH_SIZE];
	bool		any_claimed;

	/* How it ended: acted on when nobody uses the look any more */
	esplora_outcome outcome;
	rc_failure	failure;
	long		rest_ms;		/* how long the endpoint wants to be left alone after a success; -1: it doesn't */
};

/* What is remembered of an endpoint between looks; freed with free() */
typedef struct esplora_learned
{
	rc_block	tip;			/* the block whose header was read last */
	long		pace_ms;
	int			answers;		/* since the pace was changed */
} esplora_learned;

/* esplora_request.c: requests that wait and requests under way */
extern void esplora_add_task(esplora_look *look, esplora_step step, int index);
extern void esplora_go_on(esplora_task *task, esplora_step next);
extern void esplora_end_task(esplora_task *task);
extern void esplora_drop_tasks(esplora_look *look);
extern void esplora_send(esplora_task *task);

/* esplora_round.c: a round through the addresses */
extern esplora_learned *esplora_learned_of(const esplora_look *look);
extern void esplora_clear_results(esplora_look *look);
extern void esplora_fail(esplora_look *look, rc_failure failure);
extern void esplora_fail_request(esplora_look *look, int index, char *error);
extern void esplora_fail_task(esplora_task *task, rc_failure failure);
extern void esplora_begin_round(esplora_look *look);
extern bool esplora_take_request(esplora_look *look);
extern void esplora_end_round(esplora_look *look);
extern void esplora_restart(esplora_task *task, const char *why);
extern void esplora_succeed(esplora_look *look);

/* esplora_pace.c: which request is sent when */
extern void esplora_slow_down(esplora_task *task, long retry_after_ms);
extern void esplora_speed_up(esplora_look *look);
extern void esplora_pump(esplora_look *look);

/* esplora_tip.c: the chain, its tip, and the blocks below it. Each says what is wrong with the answer, or acts on it */
extern rc_failure esplora_take_genesis(esplora_task *task, const rc_http_response *response);
extern rc_failure esplora_take_tip_hash(esplora_task *task, const rc_http_response *response);
extern rc_failure esplora_take_tip_block(esplora_task *task, const rc_http_response *response);
extern rc_failure esplora_take_recent(esplora_task *task, const rc_http_response *response);
extern rc_failure esplora_take_check(esplora_task *task, const rc_http_response *response);
extern bool esplora_claim_block(esplora_look *look, int64_t height, const char *hash);

/* esplora_address.c: what one address holds. Likewise */
extern rc_failure esplora_take_sums(esplora_task *task, const rc_http_response *response);
extern rc_failure esplora_take_page(esplora_task *task, const rc_http_response *response);
extern rc_failure esplora_take_mempool(esplora_task *task, const rc_http_response *response);

/* esplora.c: of its kind */
extern int	rc_esplora_look_cost(const rc_request *requests, int nrequests);

#endif
