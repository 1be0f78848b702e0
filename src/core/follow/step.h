/* step.h: a step along a chain; follow.c runs it, blocks.c, back.c and pending.c are its stages, step.c is what they use */
#ifndef RC_STEP_H
#define RC_STEP_H

#include "core/chain/blocks.h"
#include "core/follow/follow.h"
#include "core/follow/seen.h"
#include "core/protocol/cursor.h"

/* Blocks that one step reads at most, going forward and back */
#define MAX_BLOCKS 50

/* Hashes asked for in one call, going forward */
#define HASHES_AT_A_TIME 25

/* Pending transactions that one step reads at most */
#define MAX_TRANSACTIONS 4000

/* A new cursor starts at least so far below the tip, so that a fork near the tip is found */
#define START_DEPTH 10

/*
 * How often a step begins again because the chain moved under it: without having
 * read a block since, and in all. Then the answers come from different nodes.
 */
#define MAX_RESTARTS 3
#define MAX_RESTARTS_IN_ALL 10

typedef enum stage
{
	STAGE_TIP,
	STAGE_POSITION,
	STAGE_FORK,
	STAGE_HASHES,
	STAGE_READ,
	STAGE_BACK_HASHES,
	STAGE_BACK,
	STAGE_PENDING,
	STAGE_TRANSACTIONS,
	STAGE_CHECK
} stage;

/* What a stage came to: follow.c acts on it */
typedef enum follow_step
{
	FOLLOW_GO_ON,				/* the stage is not over */
	FOLLOW_UNDER_WAY,			/* the source has been asked */
	FOLLOW_ASK,					/* what follow->stage wants to know */
	FOLLOW_BEGIN_AGAIN,			/* the chain has moved since the step began, or different nodes have answered */
	FOLLOW_WAIT,				/* the endpoint knows less of the chain than was read: another is asked, none is blamed */
	FOLLOW_LEAVE_REST,			/* to the next step, which may begin at once */
	FOLLOW_FAILED,				/* the endpoint is at fault: follow->failure */
	FOLLOW_END
} follow_step;

struct rc_follower
{
	rc_seen    *seen;
};

/* Blocks in a row, the lowest first */
typedef struct block_list
{
	rc_block_id *items;
	size_t		n;
	size_t		size;
} block_list;

/* A run of blocks to read, forward */
typedef struct block_run
{
	int64_t		next;			/* height */
	int64_t		end;
	rc_block_id ids[HASHES_AT_A_TIME];
	int			nids;
	int			at;				/* in ids */
} block_run;

/* Reading blocks again for requests that came later: downwards, from parent to parent */
typedef struct back_run
{
	bool		due;			/* there are requests to look back for */
	bool		on;
	bool		done;			/* all was read: after the pending transactions, it ends */
	rc_block_id next;
	int64_t		since;			/* the age of the oldest of these requests, Unix seconds */
	int64_t		time;			/* of the block that was read last; 0: not known */
	char	   *problem;		/* why not all could be read */
	int			blocks;			/* read in this step */
	rc_block_id *ids;			/* to read, the highest first */
	int			nids;
} back_run;

typedef struct text_list
{
	char		(*items)[RC_HASH_SIZE];
	size_t		n;
	size_t		size;
} text_list;

struct rc_follow
{
	rc_http    *http;
	const rc_host *host;
	rc_network *network;
	const rc_block_source *blocks;	/* of the network's kind */
	rc_source  *source;			/* of the endpoint that is asked */
	rc_follower *follower;
	rc_follow_done done;
	void	   *arg;
	rc_cursor_lease lease;
	char	   *token;
	rc_endpoint_walk walk;		/* each endpoint once */
	rc_endpoint *endpoint;
	rc_tip_bounds bounds;
	rc_timer   *timer;
	stage		stage;
	rc_failure	failure;		/* of FOLLOW_FAILED */
	bool		ended;
	bool		waiting;		/* for an endpoint that has to catch up */
	int			restarts;		/* in all */
	int			idle_restarts;	/* since a block was read */
	int			blocks_at_restart;
	int64_t		renew_at_ms;
	rc_block_id cursor;			/* height -1: none */
	block_list	recent;			/* the blocks read last, down from the cursor's */
	size_t		fork_at;		/* of recent, those from here on are not on the endpoint's chain */
	bool		forked;			/* what was read above fork is to be undone */
	rc_block_id fork;
	int			asked;			/* blocks, hashes or transactions in the call under way */
	rc_chain_tip tip;
	char		best_work[RC_WORK_SIZE];	/* the most that was ever read; "": none */
	block_run	run;
	back_run	back;
	rc_wanted	wanted;
	bool		wanted_back;	/* it is about the requests that are looked back for */
	rc_keys		late;			/* the keys of these */
	uint64_t	late_version;
	rc_store_status wanted_status;	/* of the statement that failed; RC_STORE_OK: none did */
	text_list	unread;			/* pending transactions to read */
	size_t		unread_at;
	bool		unread_all;		/* in this step, however many */
	rc_followed *result;
};

/* Of step.c: the source is asked what that stage wants to know */
extern follow_step rc_follow_go_to(rc_follow *follow, stage stage);

/* The endpoint is at fault; takes over the failure */
extern follow_step rc_follow_failed(rc_follow *follow, rc_failure failure);
extern follow_step rc_follow_fail(rc_follow *follow, rc_failure_code code, const char *format, ...)
			__attribute__((format(printf, 3, 4)));

/* What a statement's status means for the step; FOLLOW_GO_ON: it went well */
extern follow_step rc_follow_written(rc_follow *follow, rc_store_status status);

/* A block as the statements take it; valid as long as the block is */
extern rc_cursor_block rc_follow_cursor_block(const rc_read_block *block);

extern void rc_block_list_add(block_list *list, int64_t height, const char *hash);

/* Of wanted.c: which keys the source is to read blocks for, from now on */
extern void rc_follow_want(rc_follow *follow, bool back);
extern void rc_follow_wanted_begin(rc_follow *follow);

/* Of blocks.c: what the source answers to its stages leads to */
extern follow_step rc_follow_on_tip(rc_follow *follow, const rc_source_result *result);
extern follow_step rc_follow_on_position(rc_follow *follow, const rc_source_result *result);
extern follow_step rc_follow_on_fork(rc_follow *follow, const rc_source_result *result);
extern follow_step rc_follow_on_hashes(rc_follow *follow, const rc_source_result *result);
extern follow_step rc_follow_on_read(rc_follow *follow, const rc_source_result *result);

/* Of back.c: likewise; and what comes after the new blocks */
extern follow_step rc_follow_after_blocks(rc_follow *follow);
extern follow_step rc_follow_on_back_hashes(rc_follow *follow, const rc_source_result *result);
extern follow_step rc_follow_on_back(rc_follow *follow, const rc_source_result *result);

/* Of pending.c: likewise */
extern follow_step rc_follow_on_pending(rc_follow *follow, const rc_source_result *result);
extern follow_step rc_follow_on_transactions(rc_follow *follow, const rc_source_result *result);
extern follow_step rc_follow_on_check(rc_follow *follow, const rc_source_result *result);

#endif
