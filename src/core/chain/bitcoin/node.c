/*
 * node.c: Bitcoin Core as a block source, over its JSON-RPC
 *
 * Blocks and transactions are taken raw: that is the least work for the node,
 * hashes can be computed, and amounts are whole numbers.
 */
#include "core/chain/bitcoin/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/bitcoin/identify.h"
#include "core/chain/bitcoin/node_rpc.h"

/* Hashes by height in one call: all blocks that are kept for finding a fork, and some */
#define HASHES_AT_A_TIME 300

#define TRANSACTIONS_AT_A_TIME 100

/* 4 MB of block, in hex, and the wrapping; a list of a million transaction ids */
#define MAX_BLOCK_ANSWER ((size_t) 9 * 1024 * 1024)
#define MAX_LIST_ANSWER ((size_t) 72 * 1024 * 1024)

/* Reading a block may take a node's disk a while */
#define BLOCK_TIMEOUT_FACTOR 6

/* Blocks may bear times so much earlier than they were mined (consensus allows 2 hours into the future) */
#define TIME_TOLERANCE 7200

/* What the node is being asked */
typedef enum question
{
	ASK_TIP,
	ASK_HASHES,
	ASK_BLOCK,
	ASK_CHECK,
	ASK_PENDING,
	ASK_TRANSACTIONS
} question;

struct rc_source
{
	rc_source_context context;
	rc_exchange *call;			/* under way, or NULL */
	question	question;
	rc_block_id block;			/* that is asked for */
	char		(*txids)[RC_HASH_SIZE]; /* likewise */
	int			n;				/* of hashes or transactions */
	rc_source_done done;
	void	   *arg;
};

static char *
network_problem(const rc_network *network)
{
	if (rc_btc_network_of(network->network) != NULL)
		return NULL;
	return rc_asprintf("no Bitcoin network is called \"%s\": mainnet, testnet, testnet4, signet, regtest", network->network);
}

static rc_source *
open_source(const rc_source_context *context)
{
	rc_source  *source = rc_calloc(1, sizeof(*source));

	source->context = *context;
	return source;
}

static void
close_source(rc_source *source)
{
	if (source->call != NULL)
		rc_exchange_cancel(source->call);
	free(source->txids);
	free(source);
}

/* Reads the answers to what was asked; what of result is to be freed is allocated here */
static void
take_answers(rc_source *source, const rc_rpc_reply *replies, rc_source_result *result)
{
	switch (source->question)
	{
		case ASK_TIP:
			rc_btc_take_tip(source->context.network, replies, result);
			source->context.endpoint->verified |= result->failure.text == NULL;
			break;
		case ASK_HASHES:
			result->nhashes = source->n;
			result->hashes = rc_calloc((size_t) source->n, sizeof(*result->hashes));
			rc_btc_take_hashes(replies, result);
			break;
		case ASK_BLOCK:
			result->nblocks = 1;
			result->blocks = rc_calloc(1, sizeof(*result->blocks));
			rc_btc_take_block(replies, &source->block, result);
			break;
		case ASK_CHECK:
			rc_btc_take_check(replies, &source->block, result);
			break;
		case ASK_PENDING:
			rc_btc_take_pending(replies, result);
			break;
		case ASK_TRANSACTIONS:
			result->ntransactions = source->n;
			result->transactions = rc_calloc((size_t) source->n, sizeof(*result->transactions));
			for (int i = 0; i < source->n; i++)
				memcpy(result->transactions[i].txid, source->txids[i], RC_HASH_SIZE);
			rc_btc_take_transactions(replies, result);
			break;
	}
}

static void
free_result(rc_source_result *result)
{
	for (int i = 0; i < result->nblocks; i++)
		rc_credits_free(&result->blocks[i].credits);
	for (int i = 0; i < result->ntransactions; i++)
		rc_credits_free(&result->transactions[i].credits);
	free(result->hashes);
	free(result->blocks);
	free(result->transactions);
	free((void *) result->txids);
	free(result->failure.text);
}

/* The node has answered. The source may be closed by done, and is then not touched again */
static void
on_answer(void *arg, rc_exchange_result *answer)
{
	rc_source  *source = arg;
	rc_source_result result = {0};

	source->call = NULL;
	if (answer->failure.text != NULL)
	{
		result.failure = answer->failure;
		answer->failure.text = NULL;
	}
	else
		take_answers(source, answer->replies, &result);
	source->done(source->arg, &result);
	free_result(&result);
}

/* Sends the calls; a large answer may take its time */
static void
ask(rc_source *source, question question, const rc_rpc_call *calls, int ncalls, size_t max_answer)
{
	long		timeout_ms = source->context.network->request_timeout_ms;

	source->question = question;
	source->call = rc_bitcoind_start(source->context.http, source->context.endpoint,
									 max_answer > 0 ? timeout_ms * BLOCK_TIMEOUT_FACTOR : timeout_ms,
									 calls, ncalls, max_answer, on_answer, source);
}

static void
set_done(rc_source *source, rc_source_done done, void *arg)
{
	source->done = done;
	source->arg = arg;
}

static void
ask_tip(rc_source *source, rc_source_done done, void *arg)
{
	const rc_rpc_call calls[3] = {
		{"getblockchaininfo", "[]", 0}, {"getmempoolinfo", "[]", 0}, {rc_btc_node_identifier.method, rc_btc_node_identifier.params, 0}
	};

	set_done(source, done, arg);
	ask(source, ASK_TIP, calls, 3, 0);
}

static void
ask_hashes(rc_source *source, int64_t from, int n, rc_source_done done, void *arg)
{
	rc_rpc_call calls[HASHES_AT_A_TIME] = {{0}};
	char		params[HASHES_AT_A_TIME][32];

	set_done(source, done, arg);
	source->n = n;
	for (int i = 0; i < n; i++)
	{
		snprintf(params[i], sizeof(params[i]), "[%" PRId64 "]", from + i);
		calls[i].method = "getblockhash";
		calls[i].params = params[i];
	}
	ask(source, ASK_HASHES, calls, n, 0);
}

/* One block, raw, and what its node knows of it */
static void
read_block(rc_source *source, const rc_block_id *blocks, int n, rc_source_done done, void *arg)
{
	char		raw[RC_HASH_SIZE + 8];
	char		header[RC_HASH_SIZE + 8];
	rc_rpc_call calls[2] = {{"getblock", raw, 0}, {"getblockheader", header, 0}};

	(void) n;
	set_done(source, done, arg);
	source->block = blocks[0];
	snprintf(raw, sizeof(raw), "[\"%s\",0]", blocks[0].hash);
	snprintf(header, sizeof(header), "[\"%s\"]", blocks[0].hash);
	ask(source, ASK_BLOCK, calls, 2, MAX_BLOCK_ANSWER);
}

/* What is missing in the mempool may be in a block that came since: the block must be the tip */
static void
check(rc_source *source, const rc_block_id *block, rc_source_done done, void *arg)
{
	static const rc_rpc_call call = {"getbestblockhash", "[]", 0};

	set_done(source, done, arg);
	source->block = *block;
	ask(source, ASK_CHECK, &call, 1, 0);
}

static void
list_pending(rc_source *source, rc_source_done done, void *arg)
{
	static const rc_rpc_call call = {"getrawmempool", "[]", 0};

	set_done(source, done, arg);
	ask(source, ASK_PENDING, &call, 1, MAX_LIST_ANSWER);
}

static void
read_pending(rc_source *source, const char *const *txids, int n, rc_source_done done, void *arg)
{
	rc_rpc_call calls[TRANSACTIONS_AT_A_TIME] = {{0}};
	char		params[TRANSACTIONS_AT_A_TIME][RC_HASH_SIZE + 4];

	set_done(source, done, arg);
	if (source->txids == NULL)
		source->txids = rc_calloc(TRANSACTIONS_AT_A_TIME, sizeof(*source->txids));
	source->n = n;
	for (int i = 0; i < n; i++)
	{
		snprintf(source->txids[i], RC_HASH_SIZE, "%s", txids[i]);
		snprintf(params[i], sizeof(params[i]), "[\"%s\"]", txids[i]);
		calls[i].method = "getrawtransaction";
		calls[i].params = params[i];
	}
	ask(source, ASK_TRANSACTIONS, calls, n, MAX_LIST_ANSWER);
}

const rc_block_source rc_btc_blocks = {
	.has_work = true,
	.at_a_time = 1,
	.hashes_at_a_time = HASHES_AT_A_TIME,
	.time_tolerance = TIME_TOLERANCE,
	.network_problem = network_problem,
	.open = open_source,
	.close = close_source,
	.tip = ask_tip,
	.hashes = ask_hashes,
	.read = read_block,
	.check = check,
	.pending = list_pending,
	.read_pending = read_pending,
	.pending_at_a_time = TRANSACTIONS_AT_A_TIME,
};
