/*
 * node.c: follows a Bitcoin chain through a node's JSON-RPC
 *
 * A step goes through these stages, each a call to the node and what it leads to:
 *
 *   INFO     the node's state, its first block, its tip       -> is it to be believed?
 *   POSITION the hash at the cursor's height                  -> the same: read on
 *   FORK     the hashes at the heights read before            -> undo down to the last common block
 *   HASHES, BLOCK  the next blocks, one at a time             -> advance the cursor
 *   BACK     blocks again, from the cursor from parent to parent, back to the age of new requests -> look_back
 *   MEMPOOL, TRANSACTIONS  what is new in the mempool
 *   CHECK    is the tip still the one?                        -> note_mempool, settle
 *
 * Blocks and transactions are taken raw: that is the least work for the node,
 * hashes can be computed, and amounts are whole numbers.
 */
#include "core/follow/step.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/endpoint.h"

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
		rc_exchange_cancel(follow->call);
	if (follow->timer != NULL)
		rc_timer_cancel(follow->timer);
	json_object_put(follow->recent);
	free(follow->wanted.items);
	free(follow->back_problem);
	free(follow->failure.text);
	rc_endpoint_walk_end(&follow->walk);
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

/* No endpoint is left: the database is told why; takes over why */
static follow_step
settle_failure(rc_follow *follow, char *failure)
{
	rc_store_status status = rc_cursor_fail(&follow->lease, failure, follow->walk.asked, &follow->result->outcomes);
	follow_step step = rc_follow_written(follow, status);

	if (step == FOLLOW_END)
	{
		free(failure);
		return step;
	}
	/* Written, or refused: there is no endpoint that could be asked in its place */
	follow->result->failure = failure;
	return FOLLOW_END;
}

/* The next endpoint is asked from the beginning, if there is one */
static follow_step
ask_next_endpoint(rc_follow *follow)
{
	follow->idle_restarts = 0;
	follow->endpoint = rc_endpoint_walk_next(&follow->walk);
	if (follow->endpoint != NULL)
		return rc_follow_go_to(follow, STAGE_INFO);
	return settle_failure(follow, rc_endpoint_walk_problem(&follow->walk));
}

/* The endpoint is at fault: another one is asked from the beginning, if there is one */
static follow_step
leave_endpoint(rc_follow *follow)
{
	rc_failure	why = follow->failure;
	char	   *failure;

	follow->failure.text = NULL;
	rc_endpoint_walk_failed(&follow->walk, why);
	failure = rc_asprintf("%s: %s", follow->endpoint->shown, follow->endpoint->error);
	rc_log_change(follow->host, RC_LOG_WARNING, "endpoint failed, trying the next",
				  RC_FIELDS(rc_field_text("chain", follow->network->chain),
							rc_field_text("network", follow->network->network)), failure);
	free(failure);
	return ask_next_endpoint(follow);
}

/* What is left to do waits for the next step, which may begin at once */
static follow_step
leave_rest(rc_follow *follow)
{
	follow_step step;

	follow->result->more = true;
	step = rc_follow_written(follow, rc_cursor_release(&follow->lease, true));
	return step == FOLLOW_GO_ON ? FOLLOW_END : step;
}

/* The chain has moved since this step began; or different nodes have answered */
static follow_step
begin_again(rc_follow *follow)
{
	if (follow->result->blocks > follow->blocks_at_restart)
		follow->idle_restarts = 0;
	follow->blocks_at_restart = follow->result->blocks;
	follow->idle_restarts++;
	follow->restarts++;
	if (follow->idle_restarts <= MAX_RESTARTS && follow->restarts <= MAX_RESTARTS_IN_ALL)
		return rc_follow_go_to(follow, STAGE_INFO);
	follow->restarts = 0;
	return rc_follow_failed(follow, rc_failure_make(RC_FAILURE_INCONSISTENT,
													"its answers contradict each other: several nodes behind one address?"));
}

static void on_answer(void *arg, rc_exchange_result *result);

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
			(void) rc_follow_recent_block(follow, (size_t) n, &height);
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
	rc_rpc_call call = {method, params, 0};

	ask(follow, &call, 1, max_response);
}

static void
ask_info(rc_follow *follow)
{
	static const rc_rpc_call calls[3] = {
		{"getblockchaininfo", "[]", 0}, {"getmempoolinfo", "[]", 0}, {"getblockhash", "[0]", 0}
	};

	ask(follow, calls, 3, 0);
}

static follow_step
ask_many_hashes(rc_follow *follow)
{
	size_t		most = json_object_array_length(follow->recent) + HASHES_AT_A_TIME;
	rc_rpc_call *calls = rc_calloc(most, sizeof(*calls));
	char		(*params)[32] = rc_calloc(most, sizeof(*params));
	int			n = ask_hashes(follow, calls, params);

	if (n > 0)
		ask(follow, calls, n, 0);
	free(calls);
	free(params);
	return n > 0 ? FOLLOW_UNDER_WAY : rc_follow_on_fork(follow, NULL, 0);
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

/* A block, raw, and what its node knows of it */
static void
ask_block(rc_follow *follow, const char *hash)
{
	char		raw[RC_BTC_HASH_SIZE + 8];
	char		header[RC_BTC_HASH_SIZE + 8];
	rc_rpc_call calls[2] = {{"getblock", raw, 0}, {"getblockheader", header, 0}};

	snprintf(raw, sizeof(raw), "[\"%s\",0]", hash);
	snprintf(header, sizeof(header), "[\"%s\"]", hash);
	ask(follow, calls, 2, MAX_BLOCK_ANSWER);
}

/* Asks the node what the stage wants to know */
static follow_step
ask_for_stage(rc_follow *follow)
{
	char		params[RC_BTC_HASH_SIZE + 16];

	switch (follow->stage)
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
			return ask_many_hashes(follow);
		case STAGE_BLOCK:
			ask_block(follow, follow->run.hashes[follow->run.at]);
			break;
		case STAGE_BACK:
			ask_block(follow, follow->back_hash);
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
	return FOLLOW_UNDER_WAY;
}

/* The stage's answer */
static follow_step
take_answer(rc_follow *follow, rc_rpc_reply *replies, int nreplies)
{
	switch (follow->stage)
	{
		case STAGE_INFO:
			return rc_follow_on_info(follow, replies);
		case STAGE_POSITION:
			return rc_follow_on_position(follow, replies);
		case STAGE_FORK:
			return rc_follow_on_fork(follow, replies, nreplies);
		case STAGE_HASHES:
			return rc_follow_on_hashes(follow, replies, nreplies);
		case STAGE_BLOCK:
			return rc_follow_on_block(follow, replies);
		case STAGE_BACK:
			return rc_follow_on_back(follow, replies);
		case STAGE_MEMPOOL:
			return rc_follow_on_mempool(follow, replies);
		case STAGE_TRANSACTIONS:
			return rc_follow_on_transactions(follow, replies, nreplies);
		case STAGE_CHECK:
			return rc_follow_on_check(follow, replies);
	}
	return FOLLOW_END;
}

/* Does what a stage came to, until the node has been asked or the step ends */
static void
act(rc_follow *follow, follow_step step)
{
	while (step != FOLLOW_UNDER_WAY)
	{
		switch (step)
		{
			case FOLLOW_ASK:
				step = ask_for_stage(follow);
				break;
			case FOLLOW_BEGIN_AGAIN:
				step = begin_again(follow);
				break;
			case FOLLOW_LEAVE_REST:
				step = leave_rest(follow);
				break;
			case FOLLOW_FAILED:
				step = leave_endpoint(follow);
				break;
			case FOLLOW_GO_ON:
			case FOLLOW_UNDER_WAY:
			case FOLLOW_END:
				end(follow);
				return;
		}
	}
}

/* The node has answered the call of the stage */
static void
on_answer(void *arg, rc_exchange_result *result)
{
	rc_follow  *follow = arg;
	follow_step step;

	follow->call = NULL;
	if (result->failure.text != NULL)
	{
		step = rc_follow_failed(follow, result->failure);
		result->failure.text = NULL;
	}
	else
		step = take_answer(follow, result->replies, result->nreplies);
	act(follow, step);
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
	if (rc_cell(rows, 0, RC_CURSOR_BEST_WORK) != NULL)
		snprintf(follow->best_work, sizeof(follow->best_work), "%s", rc_cell(rows, 0, RC_CURSOR_BEST_WORK));
	follow->look_back_due = rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_DUE)[0] == 't';
	if (rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_HASH) != NULL)
	{
		follow->back = true;
		follow->back_next = strtoll(rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_NEXT), NULL, 10);
		follow->back_since = strtoll(rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_SINCE), NULL, 10);
		snprintf(follow->back_hash, sizeof(follow->back_hash), "%s", rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_HASH));
	}
	rc_protocol_take_bounds(rows, RC_CURSOR_BOUNDS, &follow->bounds);
	return true;
}

/* The claim succeeded: whom to ask? */
static follow_step
begin(rc_follow *follow)
{
	follow->result->claimed = true;
	follow->renew_at_ms = rc_now_ms() + follow->network->lease_ms / 2;
	rc_endpoint_walk_begin(&follow->walk, follow->network->endpoints, follow->network->nendpoints);
	follow->chain = rc_btc_network_of(follow->network->network);
	if (follow->chain == NULL)
		return settle_failure(follow, rc_asprintf("no Bitcoin network is called \"%s\": mainnet, testnet, testnet4, signet, regtest",
												  follow->network->network));
	return ask_next_endpoint(follow);
}

rc_follow *
rc_follow_start(rc_http *http, const rc_host *host, const rc_store *store, const char *worker_id,
				rc_network *network, rc_follower *follower, rc_follow_done done, void *arg)
{
	rc_follow  *follow = rc_calloc(1, sizeof(*follow));
	rc_rows		rows = {0};
	rc_store_status status;

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
	status = rc_cursor_claim(store, worker_id, network, &rows);
	follow->result->stale = status == RC_STORE_STALE;
	if (status == RC_STORE_OK && take_claim(follow, &rows))
		act(follow, begin(follow));
	else
		end(follow);
	rc_rows_free(&rows);
	return follow;
}

int64_t
rc_follow_renew_at(const rc_follow *follow)
{
	return follow->ended ? INT64_MAX : follow->renew_at_ms;
}

bool
rc_follow_renew(rc_follow *follow)
{
	if (rc_now_ms() < rc_follow_renew_at(follow))
		return true;
	follow->renew_at_ms = rc_now_ms() + follow->network->lease_ms / 2;
	return rc_cursor_renew(&follow->lease) != RC_STORE_LEASE_LOST;
}

void
rc_follow_cancel(rc_follow *follow)
{
	if (!follow->ended && follow->token != NULL)
		(void) rc_cursor_release(&follow->lease, true);
	free_follow(follow);
}
