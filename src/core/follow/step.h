/* node.h: a step along a Bitcoin chain; node.c runs it, node_blocks.c and node_transactions.c are its stages, node_step.c is what they use */
#ifndef RC_BTC_NODE_H
#define RC_BTC_NODE_H

#include <json-c/json.h>

#include "core/follow/seen.h"
#include "core/chain/bitcoin/node_rpc.h"
#include "core/chain/bitcoin/block.h"
#include "core/follow/follow.h"
#include "core/protocol/cursor.h"

/* Blocks that one step reads at most, going forward and back */
#define MAX_BLOCKS 50

/* Hashes asked for in one call */
#define HASHES_AT_A_TIME 25

/* Transactions of the mempool that one step reads at most, and in one call */
#define MAX_TRANSACTIONS 4000
#define TRANSACTIONS_AT_A_TIME 100

/* A new cursor starts so far below the tip, so that a fork near the tip is found */
#define START_DEPTH 10

/*
 * How often a step begins again because the chain moved under it: without having
 * read a block since, and in all. Then the answers come from different nodes.
 */
#define MAX_RESTARTS 3
#define MAX_RESTARTS_IN_ALL 10

/* 4 MB of block, in hex, and the wrapping; a list of a million transaction ids */
#define MAX_BLOCK_ANSWER ((size_t) 9 * 1024 * 1024)
#define MAX_LIST_ANSWER ((size_t) 72 * 1024 * 1024)

/* Blocks may bear times so much earlier than they were mined (consensus allows 2 hours into the future) */
#define TIME_TOLERANCE 7200

/* Bitcoin Core's RPC_INVALID_ADDRESS_OR_KEY: a transaction has left the mempool */
#define RPC_NO_SUCH_TRANSACTION (-5)

/* Reading a block may take a node's disk a while */
#define BLOCK_TIMEOUT_FACTOR 6

typedef enum stage
{
	STAGE_INFO,
	STAGE_POSITION,
	STAGE_FORK,
	STAGE_HASHES,
	STAGE_BLOCK,
	STAGE_BACK,
	STAGE_MEMPOOL,
	STAGE_TRANSACTIONS,
	STAGE_CHECK
} stage;

/* What a stage came to: node.c acts on it */
typedef enum follow_step
{
	FOLLOW_GO_ON,				/* the stage is not over */
	FOLLOW_UNDER_WAY,			/* the node has been asked */
	FOLLOW_ASK,					/* what follow->stage wants to know */
	FOLLOW_BEGIN_AGAIN,			/* the chain has moved since the step began, or different nodes have answered */
	FOLLOW_LEAVE_REST,			/* to the next step, which may begin at once */
	FOLLOW_FAILED,				/* the endpoint is at fault: follow->failure */
	FOLLOW_END
} follow_step;

struct rc_follower
{
	rc_mempool *mempool;
};

/* A run of blocks to read, forward */
typedef struct block_run
{
	int64_t		next;			/* height */
	int64_t		end;
	char		hashes[HASHES_AT_A_TIME][RC_BTC_HASH_SIZE];
	int			nhashes;
	int			at;				/* in hashes */
} block_run;

typedef struct text_list
{
	char		(*items)[RC_BTC_HASH_SIZE];
	size_t		n;
	size_t		size;
} text_list;

struct rc_follow
{
	rc_http    *http;
	const rc_host *host;
	rc_network *network;
	const rc_btc_network *chain;
	rc_follower *follower;
	rc_follow_done done;
	void	   *arg;
	rc_cursor_lease lease;
	char	   *token;
	rc_endpoint_walk walk;		/* each endpoint once */
	rc_endpoint *endpoint;
	rc_tip_bounds bounds;
	rc_exchange *call;
	rc_timer   *timer;
	stage		stage;
	rc_failure	failure;		/* of FOLLOW_FAILED */
	bool		ended;
	int			restarts;		/* in all */
	int			idle_restarts;	/* since a block was read */
	int			blocks_at_restart;
	int64_t		renew_at_ms;
	int64_t		height;			/* the cursor's; -1: none */
	char		hash[RC_BTC_HASH_SIZE];
	struct json_object *recent; /* [[height, hash], …], highest first */
	int64_t		tip_height;
	char		tip_hash[RC_BTC_HASH_SIZE];
	char		tip_work[RC_BTC_HASH_SIZE]; /* work is 64 hex digits, too */
	char		best_work[RC_BTC_HASH_SIZE];	/* the most that was ever read; empty: none */
	int64_t		prune_height;	/* the lowest block that the node has */
	block_run	run;
	bool		look_back_due;	/* there are requests to look back for */
	bool		back;			/* looking back: downwards, from parent to parent */
	int64_t		back_next;
	char		back_hash[RC_BTC_HASH_SIZE];
	int64_t		back_since;		/* the age of the oldest of these requests, Unix seconds */
	int64_t		back_time;		/* of the block that was read last; 0: not known */
	char	   *back_problem;	/* why not all could be read */
	bool		back_done;		/* all was read: after the mempool, the look back ends */
	text_list	wanted;			/* transactions to read */
	size_t		wanted_at;
	bool		wanted_all;		/* in this step, however many */
	rc_followed *result;
};

/* Of node_step.c: the endpoint is asked what that stage wants to know */
extern follow_step rc_follow_go_to(rc_follow *follow, stage stage);

/* The endpoint is at fault; takes over the failure. rc_follow_fail: it is malformed, with error as its text */
extern follow_step rc_follow_failed(rc_follow *follow, rc_failure failure);
extern follow_step rc_follow_fail(rc_follow *follow, char *error);

/* What a statement's status means for the step; FOLLOW_GO_ON: it went well */
extern follow_step rc_follow_written(rc_follow *follow, rc_store_status status);

/* A member of that type, or NULL */
extern struct json_object *rc_follow_member(struct json_object *object, const char *name, enum json_type type);
extern bool rc_follow_is_hash(const char *text);

/* The block hash that a call answered; NULL if it is none */
extern const char *rc_follow_hash_of(const rc_rpc_reply *reply);

/* Malloc'd JSON: [[txid, index, script, satoshi], …] */
extern char *rc_follow_outputs_to_json(const rc_btc_outputs *outputs);

/* The height and hash of entry i of the blocks read before, highest first */
extern const char *rc_follow_recent_block(const rc_follow *follow, size_t i, int64_t *height);

/* Of node_blocks.c: what the answers of its stages lead to */
extern follow_step rc_follow_on_info(rc_follow *follow, rc_rpc_reply *replies);
extern follow_step rc_follow_on_position(rc_follow *follow, const rc_rpc_reply *reply);
extern follow_step rc_follow_on_fork(rc_follow *follow, const rc_rpc_reply *replies, int nreplies);
extern follow_step rc_follow_on_hashes(rc_follow *follow, const rc_rpc_reply *replies, int nreplies);
extern follow_step rc_follow_on_block(rc_follow *follow, const rc_rpc_reply *replies);
extern follow_step rc_follow_on_back(rc_follow *follow, const rc_rpc_reply *replies);

/* Of node_transactions.c: likewise */
extern follow_step rc_follow_on_mempool(rc_follow *follow, const rc_rpc_reply *reply);
extern follow_step rc_follow_on_transactions(rc_follow *follow, const rc_rpc_reply *replies, int nreplies);
extern follow_step rc_follow_on_check(rc_follow *follow, const rc_rpc_reply *reply);

#endif
