/*
 * bitcoind.c: follows a Bitcoin chain through a node's JSON-RPC
 *
 * A step goes through these stages, each a call to the node and what it leads to:
 *
 *   INFO     the node's state, its first block, its tip       -> is it to be believed?
 *   POSITION the hash at the cursor's height                  -> the same: read on
 *   FORK     the hashes at the heights read before            -> undo down to the last common block
 *   HASHES, BLOCK  the next blocks, one at a time             -> advance the cursor
 *   AGE_…    headers, back to the age of new requests         -> which blocks to read again for them
 *   BACK_…   those blocks, one at a time                      -> look_back
 *   MEMPOOL, TRANSACTIONS  what is new in the mempool
 *   CHECK    is the tip still the one?                        -> note_mempool, settle
 *
 * Blocks and transactions are taken raw: that is the least work for the node,
 * hashes can be computed, and amounts are whole numbers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "bitcoind_mempool.h"
#include "bitcoind_rpc.h"
#include "btc_block.h"
#include "follow.h"
#include "memory.h"
#include "observer_internal.h"
#include "protocol_follow.h"

/* Blocks that one step reads at most, going forward and back */
#define MAX_BLOCKS 50

/* Hashes asked for in one call */
#define HASHES_AT_A_TIME 25

/* Transactions of the mempool that one step reads at most, and in one call */
#define MAX_TRANSACTIONS 4000
#define TRANSACTIONS_AT_A_TIME 100

/* A new cursor starts so far below the tip, so that a fork near the tip is found */
#define START_DEPTH 10

/* How often a step begins again because the chain moved under it, before it leaves the rest to the next */
#define MAX_RESTARTS 3

/* 4 MB of block, in hex, and the wrapping; a list of a million transaction ids */
#define MAX_BLOCK_ANSWER ((size_t) 9 * 1024 * 1024)
#define MAX_LIST_ANSWER ((size_t) 72 * 1024 * 1024)

/* Blocks may bear times so much earlier than they were mined (consensus allows 2 hours into the future) */
#define TIME_TOLERANCE 7200

/* A block's median time is that of the 11 up to it */
#define MEDIAN_SPAN 11

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
	STAGE_AGE_HASH,
	STAGE_AGE_HEADER,
	STAGE_MEMPOOL,
	STAGE_TRANSACTIONS,
	STAGE_CHECK
} stage;

struct rc_follower
{
	rc_mempool *mempool;
};

/* A run of blocks to read: forward, or back again for requests that came late */
typedef struct block_run
{
	bool		back;
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
	rc_endpoint *endpoint;
	rc_bitcoind_call *call;
	rc_timer   *timer;
	stage		stage;
	bool		ended;
	int			restarts;
	int64_t		renew_at_ms;
	int64_t		height;			/* the cursor's; -1: none */
	char		hash[RC_BTC_HASH_SIZE];
	struct json_object *recent; /* [[height, hash], …], highest first */
	int64_t		tip_height;
	char		tip_hash[RC_BTC_HASH_SIZE];
	int64_t		prune_height;	/* the lowest block that the node has */
	block_run	run;
	bool		unfollowed;		/* there are requests to look back for */
	int64_t		back_next;		/* -1: not looking back */
	int64_t		back_end;
	int64_t		since;			/* age of the oldest new request, Unix seconds */
	int64_t		age_height;		/* the search for the block of that age */
	int64_t		age_low;		/* older than it; -1: not known */
	int64_t		age_high;		/* not older */
	int64_t		age_prune_time; /* time of the lowest block that the node has */
	bool		back_done;		/* all was read: after the mempool, the look back ends */
	text_list	wanted;			/* transactions to read */
	size_t		wanted_at;
	rc_followed *result;
};

static void go_to(rc_follow *follow, stage stage);
static void read_mempool(rc_follow *follow);

rc_follower *
rc_follower_create(void)
{
	rc_follower *follower = rc_calloc(1, sizeof(*follower));

	follower->mempool = rc_mempool_create();
	return follower;
}

void
rc_follower_free(rc_follower *follower)
{
	if (follower == NULL)
		return;
	rc_mempool_free(follower->mempool);
	free(follower);
}

static void
add_text(text_list *list, const char *text)
{
	if (list->n == list->size)
	{
		list->size = list->size > 0 ? list->size * 2 : 256;
		list->items = rc_realloc(list->items, list->size * sizeof(*list->items));
	}
	snprintf(list->items[list->n++], RC_BTC_HASH_SIZE, "%s", text);
}

static void
free_followed(rc_followed *followed)
{
	free(followed->failure);
	rc_rows_free(&followed->outcomes);
	free(followed);
}

static void
free_follow(rc_follow *follow)
{
	if (follow->call != NULL)
		rc_bitcoind_cancel(follow->call);
	if (follow->timer != NULL)
		rc_timer_cancel(follow->timer);
	json_object_put(follow->recent);
	free(follow->wanted.items);
	free(follow->token);
	free_followed(follow->result);
	free(follow);
}

/* Delivers the result: from a timer, so that it is never from inside rc_follow_start */
static void
deliver(void *arg)
{
	rc_follow  *follow = arg;
	rc_followed *result = follow->result;

	follow->timer = NULL;
	follow->done(follow->arg, result);
	free_follow(follow);
}

static void
end(rc_follow *follow)
{
	follow->ended = true;
	if (follow->timer == NULL)
		follow->timer = rc_http_after(follow->http, 0, deliver, follow);
}

/* What a statement's status means for the step; true: go on */
static bool
went_well(rc_follow *follow, rc_store_status status)
{
	if (status == RC_STORE_OK)
		return true;
	if (status == RC_STORE_LEASE_LOST)
		follow->result->lease_lost = true;
	else
		follow->result->failure = rc_strdup("a statement failed: see the log");

	/* An error leaves the lease to its end; the cursor stands where it stood */
	end(follow);
	return false;
}

static void
lease_batch(const rc_follow *follow, rc_batch *batch)
{
	memset(batch, 0, sizeof(*batch));
	batch->network_id = follow->network->network_id;
	batch->token = follow->token;
}

/* No endpoint is left: the database is told why */
static void
settle_failure(rc_follow *follow, const char *failure)
{
	struct json_object *observation = json_object_new_object();
	rc_batch	batch;
	rc_store_status status;

	json_object_object_add(observation, "failure", json_object_new_string(failure));
	json_object_object_add(observation, "release", json_object_new_boolean(true));
	lease_batch(follow, &batch);
	status = rc_protocol_settle(follow->lease.store, follow->lease.worker_id, &batch,
								json_object_to_json_string_ext(observation, JSON_C_TO_STRING_PLAIN),
								&follow->result->outcomes);
	json_object_put(observation);
	if (!went_well(follow, status))
		return;
	follow->result->failure = rc_strdup(failure);
	end(follow);
}

/* The next endpoint that may be asked; NULL: none */
static rc_endpoint *
choose_endpoint(rc_follow *follow)
{
	for (int i = 0; i < follow->network->nendpoints; i++)
	{
		if (rc_endpoint_usable(&follow->network->endpoints[i]))
			return &follow->network->endpoints[i];
	}
	return NULL;
}

/* The endpoint is at fault: another one is asked from the beginning, if there is one. Takes over error */
static void
fail(rc_follow *follow, long retry_after_ms, char *error)
{
	char	   *failure = rc_asprintf("%s: %s", follow->endpoint->shown, error);

	free(error);
	rc_endpoint_failed(follow->endpoint, retry_after_ms);
	follow->endpoint = choose_endpoint(follow);
	if (follow->endpoint != NULL)
	{
		rc_log(follow->host, RC_LOG_WARNING, "endpoint failed, asking the next one chain=%s network=%s: %s",
			   follow->network->chain, follow->network->network, failure);
		go_to(follow, STAGE_INFO);
	}
	else
		settle_failure(follow, failure);
	free(failure);
}

/* What is left to do waits for the next step, which may begin at once */
static void
leave_rest(rc_follow *follow)
{
	rc_batch	batch;

	lease_batch(follow, &batch);
	follow->result->more = true;
	if (went_well(follow, rc_protocol_release(follow->lease.store, follow->lease.worker_id, &batch, true)))
		end(follow);
}

/* The chain has moved since this step began */
static void
begin_again(rc_follow *follow)
{
	if (follow->restarts++ < MAX_RESTARTS)
		go_to(follow, STAGE_INFO);
	else
		leave_rest(follow);
}

static struct json_object *
member_of(struct json_object *object, const char *name, enum json_type type)
{
	struct json_object *member;

	if (!json_object_is_type(object, json_type_object) ||
		!json_object_object_get_ex(object, name, &member) || !json_object_is_type(member, type))
		return NULL;
	return member;
}

static bool
is_hash(const char *text)
{
	return text != NULL && strlen(text) == RC_BTC_HASH_SIZE - 1 &&
		strspn(text, "0123456789abcdef") == RC_BTC_HASH_SIZE - 1;
}

/* The block hash that a call answered; NULL if it is none */
static const char *
hash_of_reply(const rc_rpc_reply *reply)
{
	const char *text = json_object_is_type(reply->result, json_type_string) ?
		json_object_get_string(reply->result) : NULL;

	return reply->error == NULL && is_hash(text) ? text : NULL;
}

/* The outputs as JSON: [[txid, index, script, satoshi], …] */
static char *
outputs_to_json(const rc_btc_outputs *outputs)
{
	rc_buffer	json = {0};

	rc_buffer_append(&json, "[", 1);
	for (size_t i = 0; i < outputs->n; i++)
	{
		const rc_btc_output *output = &outputs->items[i];
		char		script[RC_BTC_SCRIPT_HEX_SIZE];

		rc_btc_script_to_hex(&output->script, script);
		rc_buffer_printf(&json, "%s[\"%s\",%" PRIu32 ",\"%s\",%" PRIu64 "]", i > 0 ? "," : "",
						 output->txid, output->index, script, output->satoshi);
	}
	rc_buffer_append(&json, "]", 2);
	return json.data;
}

/* Begins to read a run of blocks */
static void
begin_run(rc_follow *follow, bool back, int64_t next, int64_t last)
{
	memset(&follow->run, 0, sizeof(follow->run));
	follow->run.back = back;
	follow->run.next = next;
	follow->run.end = last;
	go_to(follow, STAGE_HASHES);
}

/* New blocks are read: now for requests that came after their payment, then the mempool */
static void
after_blocks(rc_follow *follow)
{
	int			requests = 0;

	if (follow->back_next < 0 && follow->unfollowed)
	{
		follow->unfollowed = false;
		if (!went_well(follow, rc_look_back_begin(&follow->lease, &requests, &follow->since)))
			return;
		if (requests > 0)
		{
			follow->age_high = follow->height + 1;
			follow->age_low = -1;
			follow->age_prune_time = 0;
			follow->age_height = follow->height - MEDIAN_SPAN > 0 ? follow->height - MEDIAN_SPAN : 0;
			go_to(follow, STAGE_AGE_HASH);
			return;
		}
	}
	if (follow->back_next >= 0 && follow->back_next <= follow->back_end && follow->result->blocks < MAX_BLOCKS)
	{
		begin_run(follow, true, follow->back_next, follow->back_end);
		return;
	}
	follow->back_done = follow->back_next >= 0 && follow->back_next > follow->back_end;
	go_to(follow, STAGE_MEMPOOL);
}

/* The cursor is on the node's chain: reads on from it */
static void
read_on(rc_follow *follow)
{
	int64_t		next = follow->height + 1;

	if (follow->height < 0)
	{
		next = follow->tip_height > START_DEPTH ? follow->tip_height - START_DEPTH : 0;
		if (next < follow->prune_height)
			next = follow->prune_height;
	}
	else if (next < follow->prune_height)
	{
		fail(follow, -1, rc_asprintf("the node has pruned block %" PRId64 ", the next one to read: add a node that has it,"
									 " or SELECT reconciler.restart_cursor(…) to do without", next));
		return;
	}
	if (next > follow->tip_height)
		after_blocks(follow);
	else
		begin_run(follow, false, next, follow->tip_height);
}

/* What is wrong with the node's answers to STAGE_INFO, malloc'd; or NULL, with the tip taken */
static char *
take_info(rc_follow *follow, rc_rpc_reply *replies)
{
	struct json_object *info = replies[0].result;
	struct json_object *blocks = member_of(info, "blocks", json_type_int);
	struct json_object *headers = member_of(info, "headers", json_type_int);
	struct json_object *syncing = member_of(info, "initialblockdownload", json_type_boolean);
	struct json_object *pruned = member_of(info, "pruneheight", json_type_int);
	struct json_object *loaded = member_of(replies[1].result, "loaded", json_type_boolean);
	const char *best = rc_json_string(info, "bestblockhash");
	const char *genesis = hash_of_reply(&replies[2]);

	for (int i = 0; i < 3; i++)
	{
		if (replies[i].error != NULL)
			return rc_strdup(replies[i].error);
	}
	if (genesis == NULL || blocks == NULL || headers == NULL || !is_hash(best))
		return rc_strdup("the answer is not that of a Bitcoin node");
	if (strcmp(genesis, follow->chain->genesis) != 0)
		return rc_asprintf("the node serves another chain than Bitcoin's %s: its first block is %s",
						   follow->chain->name, genesis);
	follow->endpoint->verified = true;
	follow->tip_height = json_object_get_int64(blocks);

	/* On regtest blocks come on demand, and a chain that rests is not behind */
	if (syncing != NULL && json_object_get_boolean(syncing) && strcmp(follow->chain->name, "regtest") != 0)
		return rc_asprintf("the node is behind: initial block download, block %" PRId64 " of %" PRId64,
						   follow->tip_height, json_object_get_int64(headers));
	if (json_object_get_int64(headers) > follow->tip_height + 1)
		return rc_asprintf("the node is behind: it has block %" PRId64 ", its peers have %" PRId64,
						   follow->tip_height, json_object_get_int64(headers));
	if (loaded != NULL && !json_object_get_boolean(loaded))
		return rc_strdup("the node is still loading its mempool");
	snprintf(follow->tip_hash, sizeof(follow->tip_hash), "%s", best);
	follow->prune_height = pruned ? json_object_get_int64(pruned) : 0;
	return NULL;
}

static void
on_info(rc_follow *follow, rc_rpc_reply *replies)
{
	char	   *problem = take_info(follow, replies);

	if (problem != NULL)
		fail(follow, -1, problem);
	else if (follow->height < 0 || strcmp(follow->hash, follow->tip_hash) == 0)
		read_on(follow);
	else if (follow->height <= follow->tip_height)
		go_to(follow, STAGE_POSITION);
	else
		go_to(follow, STAGE_FORK);
}

static void
on_position(rc_follow *follow, const rc_rpc_reply *reply)
{
	const char *hash = hash_of_reply(reply);

	if (hash == NULL)
		begin_again(follow);
	else if (strcmp(hash, follow->hash) == 0)
		read_on(follow);
	else
		go_to(follow, STAGE_FORK);
}

/* The height and hash of entry i of the blocks read before */
static const char *
recent_block(const rc_follow *follow, size_t i, int64_t *height)
{
	struct json_object *block = json_object_array_get_idx(follow->recent, i);

	*height = json_object_get_int64(json_object_array_get_idx(block, 0));
	return json_object_get_string(json_object_array_get_idx(block, 1));
}

/* Undoes down to the highest block that the node has too */
static void
on_fork(rc_follow *follow, const rc_rpc_reply *replies, int nreplies)
{
	int64_t		height;
	int64_t		fork = -1;

	for (int i = 0; i < nreplies && fork < 0; i++)
	{
		const char *hash = hash_of_reply(&replies[i]);
		const char *ours = recent_block(follow, (size_t) i, &height);

		if (hash != NULL && strcmp(hash, ours) == 0)
		{
			fork = height;
			snprintf(follow->hash, sizeof(follow->hash), "%s", ours);
		}
	}
	rc_log(follow->host, RC_LOG_INFO, "chain reorganised chain=%s network=%s from=%" PRId64 " back to=%" PRId64,
		   follow->network->chain, follow->network->network, follow->height, fork);
	if (!went_well(follow, rc_cursor_undo(&follow->lease, fork)))
		return;

	/* The blocks that were undone are no longer known; nor is the range to look back over */
	while (json_object_array_length(follow->recent) > 0 &&
		   (recent_block(follow, 0, &height), height > fork))
		json_object_array_del_idx(follow->recent, 0, 1);
	follow->height = fork;
	if (fork < 0)
	{
		follow->back_next = -1;
		follow->unfollowed = true;
	}
	else if (follow->back_end > fork)
		follow->back_end = fork;
	read_on(follow);
}

static void
on_hashes(rc_follow *follow, const rc_rpc_reply *replies, int nreplies)
{
	follow->run.nhashes = 0;
	follow->run.at = 0;
	for (int i = 0; i < nreplies; i++)
	{
		const char *hash = hash_of_reply(&replies[i]);

		if (hash == NULL)
			break;
		snprintf(follow->run.hashes[follow->run.nhashes++], RC_BTC_HASH_SIZE, "%s", hash);
	}
	if (follow->run.nhashes == 0)
		begin_again(follow);
	else
		go_to(follow, STAGE_BLOCK);
}

/* A block has been read, and belongs after the cursor */
static bool
advance(rc_follow *follow, const rc_cursor_block *block, const char *outputs)
{
	struct json_object *entry;

	if (follow->height >= 0 && strcmp(block->previous, follow->hash) != 0)
	{
		begin_again(follow);
		return false;
	}
	if (!went_well(follow, rc_cursor_advance(&follow->lease, block, outputs, &follow->result->payments)))
		return false;
	follow->height = block->height;
	snprintf(follow->hash, sizeof(follow->hash), "%s", block->hash);

	/* Highest first, as the database gives them */
	entry = json_object_new_array();
	json_object_array_add(entry, json_object_new_int64(block->height));
	json_object_array_add(entry, json_object_new_string(block->hash));
	json_object_array_add(follow->recent, NULL);
	for (size_t i = json_object_array_length(follow->recent) - 1; i > 0; i--)
		json_object_array_put_idx(follow->recent, i, json_object_get(json_object_array_get_idx(follow->recent, i - 1)));
	json_object_array_put_idx(follow->recent, 0, entry);
	return true;
}

/* A block that was read before, for requests that came later */
static bool
look_back(rc_follow *follow, const rc_cursor_block *block, const char *outputs)
{
	if (!went_well(follow, rc_look_back_note(&follow->lease, block->height + 1, follow->back_end, NULL,
											 block, outputs, &follow->result->payments)))
		return false;
	follow->back_next = block->height + 1;
	return true;
}

/* After a block: the next one, or what follows the run */
static void
next_block(rc_follow *follow)
{
	block_run  *run = &follow->run;

	run->next++;
	run->at++;
	follow->result->blocks++;
	if (run->next > run->end || (run->back && follow->result->blocks >= MAX_BLOCKS))
		after_blocks(follow);
	else if (follow->result->blocks >= MAX_BLOCKS)
		leave_rest(follow);
	else if (run->at < run->nhashes)
		go_to(follow, STAGE_BLOCK);
	else
		go_to(follow, STAGE_HASHES);
}

static void
on_block(rc_follow *follow, const rc_rpc_reply *reply)
{
	rc_btc_outputs outputs = {0};
	rc_btc_block parsed;
	rc_cursor_block block = {follow->run.next, parsed.hash, parsed.previous, 0};
	const char *problem = NULL;
	char	   *json;
	bool		taken;

	/* Reorganised away since its hash was asked for, or pruned since */
	if (reply->error != NULL || !json_object_is_type(reply->result, json_type_string))
	{
		if (follow->restarts < MAX_RESTARTS)
			begin_again(follow);
		else
			fail(follow, -1, rc_asprintf("block %" PRId64 ": %s", follow->run.next,
										 reply->error ? reply->error : "the answer is not a block"));
		return;
	}
	problem = rc_btc_parse_block(json_object_get_string(reply->result),
								 (size_t) json_object_get_string_len(reply->result), &parsed, &outputs);
	if (problem == NULL && strcmp(parsed.hash, follow->run.hashes[follow->run.at]) != 0)
		problem = "the block has another hash than was asked for";
	if (problem != NULL)
	{
		rc_btc_outputs_free(&outputs);
		fail(follow, -1, rc_strdup(problem));
		return;
	}
	block.time = parsed.time;
	json = outputs_to_json(&outputs);
	rc_btc_outputs_free(&outputs);
	taken = follow->run.back ? look_back(follow, &block, json) : advance(follow, &block, json);
	free(json);
	if (taken)
		next_block(follow);
}

/* Where to look back from is known */
static void
begin_look_back(rc_follow *follow)
{
	int64_t		from = follow->age_low >= 0 ? follow->age_low - MEDIAN_SPAN : 0;
	char	   *problem = NULL;

	if (from < follow->prune_height)
	{
		from = follow->prune_height;
		if (follow->age_prune_time > follow->since)
			problem = rc_asprintf("the node has pruned the blocks before %" PRId64
								  ": older payments to this request can't be found", from);
	}
	follow->back_next = from > 0 ? from : 0;
	follow->back_end = follow->height;
	if (went_well(follow, rc_look_back_note(&follow->lease, follow->back_next, follow->back_end, problem,
											NULL, NULL, NULL)))
		after_blocks(follow);
	free(problem);
}

/*
 * A header's median time (which never falls from block to block) is compared
 * with the age of the oldest request: first in growing strides back from the
 * cursor, then by halves.
 */
static void
on_age_header(rc_follow *follow, const rc_rpc_reply *reply)
{
	struct json_object *median = member_of(reply->result, "mediantime", json_type_int);
	struct json_object *time = member_of(reply->result, "time", json_type_int);
	int64_t		stride = 2 * (follow->height - follow->age_height) + MEDIAN_SPAN;

	if (median == NULL || time == NULL)
	{
		begin_again(follow);
		return;
	}
	if (follow->age_height <= follow->prune_height)
		follow->age_prune_time = json_object_get_int64(time);
	if (json_object_get_int64(median) < follow->since - TIME_TOLERANCE)
		follow->age_low = follow->age_height;
	else
		follow->age_high = follow->age_height;

	if (follow->age_high <= follow->prune_height ||
		(follow->age_low >= 0 && follow->age_high - follow->age_low <= MAX_BLOCKS))
	{
		begin_look_back(follow);
		return;
	}
	if (follow->age_low >= 0)
		follow->age_height = (follow->age_low + follow->age_high) / 2;
	else
		follow->age_height = follow->height - stride > follow->prune_height ?
			follow->height - stride : follow->prune_height;
	go_to(follow, STAGE_AGE_HASH);
}

static void
want_transaction(void *arg, const char *txid)
{
	rc_follow  *follow = arg;

	add_text(&follow->wanted, txid);
}

/* What was read of the mempool before these requests came */
static bool
want_transactions_of_late(rc_follow *follow)
{
	rc_rows		scripts = {0};

	if (!follow->back_done)
		return true;
	if (!went_well(follow, rc_look_back_scripts(&follow->lease, &scripts)))
		return false;
	for (int i = 0; i < scripts.nrows; i++)
		rc_mempool_find(follow->follower->mempool, rc_cell(&scripts, i, 0), want_transaction, follow);
	rc_rows_free(&scripts);
	return true;
}

static void
on_mempool(rc_follow *follow, const rc_rpc_reply *reply)
{
	rc_mempool *mempool = follow->follower->mempool;

	if (reply->error != NULL || !json_object_is_type(reply->result, json_type_array))
	{
		fail(follow, -1, rc_strdup(reply->error ? reply->error : "the answer is not a list of transactions"));
		return;
	}
	follow->wanted.n = 0;
	follow->wanted_at = 0;
	rc_mempool_begin(mempool);
	for (size_t i = 0; i < json_object_array_length(reply->result); i++)
	{
		struct json_object *txid = json_object_array_get_idx(reply->result, i);

		if (!json_object_is_type(txid, json_type_string) || !is_hash(json_object_get_string(txid)))
		{
			fail(follow, -1, rc_strdup("the answer is not a list of transactions"));
			return;
		}
		if (rc_mempool_list(mempool, json_object_get_string(txid)))
			add_text(&follow->wanted, json_object_get_string(txid));
	}
	rc_mempool_end(mempool);
	if (want_transactions_of_late(follow))
		read_mempool(follow);
}

/* The next transactions that were not read yet, or the end of it */
static void
read_mempool(rc_follow *follow)
{
	if (follow->wanted_at < follow->wanted.n && follow->wanted_at < MAX_TRANSACTIONS)
		go_to(follow, STAGE_TRANSACTIONS);
	else
		go_to(follow, STAGE_CHECK);
}

/* One transaction of the mempool into outputs; NULL, or what is wrong with the answer */
static const char *
take_transaction(const rc_rpc_reply *reply, const char *wanted, rc_btc_outputs *outputs)
{
	char		txid[RC_BTC_HASH_SIZE];
	const char *problem;

	if (!json_object_is_type(reply->result, json_type_string))
		return "the answer is not a transaction";
	problem = rc_btc_parse_transaction(json_object_get_string(reply->result),
									   (size_t) json_object_get_string_len(reply->result), txid, outputs);
	if (problem == NULL && strcmp(txid, wanted) != 0)
		problem = "the transaction has another id than was asked for";
	return problem;
}

/* Transactions that were in the mempool a moment ago; some may have gone */
static void
on_transactions(rc_follow *follow, const rc_rpc_reply *replies, int nreplies)
{
	rc_btc_outputs outputs = {0};
	size_t		first[TRANSACTIONS_AT_A_TIME + 1] = {0};
	const char *problem = NULL;
	char	   *json;
	bool		ok = true;

	for (int i = 0; i < nreplies && problem == NULL; i++)
	{
		if (replies[i].error == NULL)
			problem = take_transaction(&replies[i], follow->wanted.items[follow->wanted_at + (size_t) i], &outputs);
		else if (replies[i].code != RPC_NO_SUCH_TRANSACTION)
			problem = replies[i].error;
		first[i + 1] = outputs.n;
	}
	if (problem != NULL)
	{
		rc_btc_outputs_free(&outputs);
		fail(follow, -1, rc_strdup(problem));
		return;
	}

	/* Remembered as read only once what they pay is written */
	if (outputs.n > 0)
	{
		json = outputs_to_json(&outputs);
		ok = went_well(follow, rc_cursor_mempool(&follow->lease, json, "[]", &follow->result->payments));
		free(json);
	}
	for (int i = 0; i < nreplies && ok; i++)
	{
		if (replies[i].error != NULL)
			continue;
		rc_mempool_add(follow->follower->mempool, follow->wanted.items[follow->wanted_at + (size_t) i],
					   outputs.items + first[i], first[i + 1] - first[i]);
		follow->result->transactions++;
	}
	rc_btc_outputs_free(&outputs);
	follow->wanted_at += (size_t) nreplies;
	if (ok)
		read_mempool(follow);
}

/* Payments whose transactions are in the mempool no longer have gone; false: the step has ended */
static bool
note_gone(rc_follow *follow)
{
	rc_rows		txids = {0};
	rc_buffer	json = {0};
	bool		any = false;
	bool		ok;

	if (!went_well(follow, rc_cursor_unconfirmed(&follow->lease, &txids)))
		return false;
	rc_buffer_append(&json, "[", 1);
	for (int i = 0; i < txids.nrows; i++)
	{
		if (rc_mempool_has(follow->follower->mempool, rc_cell(&txids, i, 0)))
			continue;
		rc_buffer_printf(&json, "%s\"%s\"", any ? "," : "", rc_cell(&txids, i, 0));
		any = true;
	}
	rc_buffer_append(&json, "]", 2);
	rc_rows_free(&txids);
	ok = !any || went_well(follow, rc_cursor_mempool(&follow->lease, "[]", json.data, &follow->result->payments));
	rc_buffer_free(&json);
	return ok;
}

static void
on_check(rc_follow *follow, const rc_rpc_reply *reply)
{
	const char *hash = hash_of_reply(reply);
	bool		more;

	/* A block has come in between: what is missing in the mempool may be in it */
	if (hash == NULL || strcmp(hash, follow->hash) != 0)
	{
		begin_again(follow);
		return;
	}
	if (follow->wanted_at < follow->wanted.n)
	{
		leave_rest(follow);
		return;
	}
	if (!note_gone(follow))
		return;
	if (follow->back_done)
	{
		if (!went_well(follow, rc_look_back_end(&follow->lease)))
			return;
		follow->back_next = -1;
	}
	rc_endpoint_succeeded(follow->endpoint);
	more = follow->back_next >= 0 || follow->unfollowed;
	follow->result->more = more;
	if (went_well(follow, rc_cursor_settle(&follow->lease, more, &follow->result->outcomes)))
		end(follow);
}

/* The node has answered the call of the stage */
static void
on_answer(void *arg, rc_rpc_reply *replies, int nreplies, char **failure, long retry_after_ms)
{
	rc_follow  *follow = arg;
	const char *hash;
	char	   *error = *failure;

	follow->call = NULL;
	if (error != NULL)
	{
		*failure = NULL;
		fail(follow, retry_after_ms, error);
		return;
	}
	switch (follow->stage)
	{
		case STAGE_INFO:
			on_info(follow, replies);
			break;
		case STAGE_POSITION:
			on_position(follow, replies);
			break;
		case STAGE_FORK:
			on_fork(follow, replies, nreplies);
			break;
		case STAGE_HASHES:
			on_hashes(follow, replies, nreplies);
			break;
		case STAGE_BLOCK:
			on_block(follow, replies);
			break;
		case STAGE_AGE_HASH:
			hash = hash_of_reply(replies);
			if (hash == NULL)
				begin_again(follow);
			else
			{
				snprintf(follow->run.hashes[0], RC_BTC_HASH_SIZE, "%s", hash);
				go_to(follow, STAGE_AGE_HEADER);
			}
			break;
		case STAGE_AGE_HEADER:
			on_age_header(follow, replies);
			break;
		case STAGE_MEMPOOL:
			on_mempool(follow, replies);
			break;
		case STAGE_TRANSACTIONS:
			on_transactions(follow, replies, nreplies);
			break;
		case STAGE_CHECK:
			on_check(follow, replies);
			break;
	}
}

/* Blocks' hashes by height, in one call */
static int
ask_hashes(rc_follow *follow, rc_rpc_call *calls, char (*params)[32])
{
	block_run  *run = &follow->run;
	int			n = 0;
	int64_t		height;

	if (follow->stage == STAGE_FORK)
	{
		for (; n < (int) json_object_array_length(follow->recent); n++)
		{
			(void) recent_block(follow, (size_t) n, &height);
			snprintf(params[n], sizeof(params[n]), "[%" PRId64 "]", height);
		}
	}
	else
	{
		for (; n < HASHES_AT_A_TIME && run->next + n <= run->end; n++)
			snprintf(params[n], sizeof(params[n]), "[%" PRId64 "]", run->next + n);
	}
	for (int i = 0; i < n; i++)
	{
		calls[i].method = "getblockhash";
		calls[i].params = params[i];
	}
	return n;
}

/* Sends the calls; the answer goes to the stage */
static void
ask(rc_follow *follow, const rc_rpc_call *calls, int ncalls, size_t max_response)
{
	long		timeout_ms = follow->network->request_timeout_ms;

	if (max_response > 0)
		timeout_ms *= BLOCK_TIMEOUT_FACTOR;
	follow->call = rc_bitcoind_start(follow->http, follow->endpoint, timeout_ms, calls, ncalls,
									 max_response, on_answer, follow);
}

/* Asks for one thing with one parameter, text or number */
static void
ask_one(rc_follow *follow, const char *method, const char *params, size_t max_response)
{
	rc_rpc_call call = {method, params};

	ask(follow, &call, 1, max_response);
}

static void
ask_info(rc_follow *follow)
{
	static const rc_rpc_call calls[3] = {
		{"getblockchaininfo", "[]"}, {"getmempoolinfo", "[]"}, {"getblockhash", "[0]"}
	};

	ask(follow, calls, 3, 0);
}

static void
ask_many_hashes(rc_follow *follow)
{
	size_t		most = json_object_array_length(follow->recent) + HASHES_AT_A_TIME;
	rc_rpc_call *calls = rc_calloc(most, sizeof(*calls));
	char		(*params)[32] = rc_calloc(most, sizeof(*params));
	int			n = ask_hashes(follow, calls, params);

	if (n > 0)
		ask(follow, calls, n, 0);
	else
		on_fork(follow, NULL, 0);
	free(calls);
	free(params);
}

static void
ask_transactions(rc_follow *follow)
{
	rc_rpc_call calls[TRANSACTIONS_AT_A_TIME];
	char		params[TRANSACTIONS_AT_A_TIME][RC_BTC_HASH_SIZE + 4];
	int			n = 0;

	for (; n < TRANSACTIONS_AT_A_TIME && follow->wanted_at + (size_t) n < follow->wanted.n; n++)
	{
		snprintf(params[n], sizeof(params[n]), "[\"%s\"]", follow->wanted.items[follow->wanted_at + (size_t) n]);
		calls[n].method = "getrawtransaction";
		calls[n].params = params[n];
	}
	ask(follow, calls, n, MAX_LIST_ANSWER);
}

/* Between two writes, which prolong the lease, there may be long reads */
static bool
keep_lease(rc_follow *follow)
{
	rc_batch	batch;
	int64_t		now = rc_now_ms();

	if (now < follow->renew_at_ms)
		return true;
	follow->renew_at_ms = now + follow->network->lease_ms / 3;
	lease_batch(follow, &batch);
	return went_well(follow, rc_protocol_renew(follow->lease.store, follow->lease.worker_id, &batch, follow->network));
}

/* Asks the node what the stage wants to know */
static void
go_to(rc_follow *follow, stage stage)
{
	char		params[RC_BTC_HASH_SIZE + 16];

	if (!keep_lease(follow))
		return;
	follow->stage = stage;
	switch (stage)
	{
		case STAGE_INFO:
			ask_info(follow);
			break;
		case STAGE_POSITION:
			snprintf(params, sizeof(params), "[%" PRId64 "]", follow->height);
			ask_one(follow, "getblockhash", params, 0);
			break;
		case STAGE_FORK:
		case STAGE_HASHES:
			ask_many_hashes(follow);
			break;
		case STAGE_BLOCK:
			snprintf(params, sizeof(params), "[\"%s\",0]", follow->run.hashes[follow->run.at]);
			ask_one(follow, "getblock", params, MAX_BLOCK_ANSWER);
			break;
		case STAGE_AGE_HASH:
			snprintf(params, sizeof(params), "[%" PRId64 "]", follow->age_height);
			ask_one(follow, "getblockhash", params, 0);
			break;
		case STAGE_AGE_HEADER:
			snprintf(params, sizeof(params), "[\"%s\"]", follow->run.hashes[0]);
			ask_one(follow, "getblockheader", params, 0);
			break;
		case STAGE_MEMPOOL:
			ask_one(follow, "getrawmempool", "[]", MAX_LIST_ANSWER);
			break;
		case STAGE_TRANSACTIONS:
			ask_transactions(follow);
			break;
		case STAGE_CHECK:
			ask_one(follow, "getbestblockhash", "[]", 0);
			break;
	}
}

/* Takes over what the claim says; false: nothing was claimed */
static bool
take_claim(rc_follow *follow, const rc_rows *rows)
{
	const char *hash;

	if (rows->nrows != 1)
		return false;
	hash = rc_cell(rows, 0, RC_CURSOR_HASH);
	follow->token = rc_strdup(rc_cell(rows, 0, RC_CURSOR_TOKEN));
	follow->lease.token = follow->token;
	follow->height = hash ? strtoll(rc_cell(rows, 0, RC_CURSOR_HEIGHT), NULL, 10) : -1;
	snprintf(follow->hash, sizeof(follow->hash), "%s", hash ? hash : "");
	follow->recent = json_tokener_parse(rc_cell(rows, 0, RC_CURSOR_RECENT));
	if (!json_object_is_type(follow->recent, json_type_array))
	{
		json_object_put(follow->recent);
		follow->recent = json_object_new_array();
	}
	follow->unfollowed = rc_cell(rows, 0, RC_CURSOR_UNFOLLOWED)[0] == 't';
	follow->back_next = -1;
	follow->back_end = -1;
	if (rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_NEXT) != NULL && rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_END) != NULL)
	{
		follow->back_next = strtoll(rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_NEXT), NULL, 10);
		follow->back_end = strtoll(rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_END), NULL, 10);
	}
	return true;
}

/* The claim succeeded: whom to ask? */
static void
begin(rc_follow *follow)
{
	char	   *problem = NULL;

	follow->result->claimed = true;
	follow->renew_at_ms = rc_now_ms() + follow->network->lease_ms / 3;
	follow->chain = rc_btc_network_of(follow->network->network);
	if (follow->chain == NULL)
		problem = rc_asprintf("no Bitcoin network is called \"%s\": mainnet, testnet, testnet4, signet, regtest",
							  follow->network->network);
	else if (follow->network->nendpoints == 0)
		problem = rc_strdup("the network has no endpoint");
	else if ((follow->endpoint = choose_endpoint(follow)) == NULL)
		problem = rc_strdup("every endpoint has failed, and none is to be asked again yet");
	if (problem != NULL)
		settle_failure(follow, problem);
	else
		go_to(follow, STAGE_INFO);
	free(problem);
}

rc_follow *
rc_follow_start(rc_http *http, const rc_host *host, const rc_store *store, const char *worker_id,
				rc_network *network, rc_follower *follower, rc_follow_done done, void *arg)
{
	rc_follow  *follow = rc_calloc(1, sizeof(*follow));
	rc_rows		rows = {0};

	follow->http = http;
	follow->host = host;
	follow->network = network;
	follow->follower = follower;
	follow->done = done;
	follow->arg = arg;
	follow->lease.store = store;
	follow->lease.worker_id = worker_id;
	follow->lease.network = network;
	follow->result = rc_calloc(1, sizeof(*follow->result));
	if (rc_cursor_claim(store, worker_id, network, &rows) == RC_STORE_OK && take_claim(follow, &rows))
		begin(follow);
	else
		end(follow);
	rc_rows_free(&rows);
	return follow;
}

void
rc_follow_cancel(rc_follow *follow)
{
	rc_batch	batch;

	if (!follow->ended && follow->token != NULL)
	{
		lease_batch(follow, &batch);
		(void) rc_protocol_release(follow->lease.store, follow->lease.worker_id, &batch, true);
	}
	free_follow(follow);
}
