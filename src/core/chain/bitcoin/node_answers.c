/* node_answers.c: what a Bitcoin Core node answers, read and judged; what it says of the chain the follower judges */
#include "core/chain/bitcoin/node.h"

#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/bitcoin/block.h"
#include "core/chain/bitcoin/identify.h"

/* Bitcoin Core's RPC_INVALID_ADDRESS_OR_KEY: a transaction has left the mempool; RPC_IN_WARMUP */
#define RPC_NO_SUCH_TRANSACTION (-5)
#define RPC_IN_WARMUP (-28)

/* A member of that type, or NULL */
static struct json_object *
member(struct json_object *object, const char *name, enum json_type type)
{
	struct json_object *found;

	if (!json_object_is_type(object, json_type_object) ||
		!json_object_object_get_ex(object, name, &found) || !json_object_is_type(found, type))
		return NULL;
	return found;
}

/* 64 hex digits */
static bool
is_hash(const char *text)
{
	return text != NULL && strlen(text) == RC_BTC_HASH_SIZE - 1 &&
		strspn(text, "0123456789abcdef") == RC_BTC_HASH_SIZE - 1;
}

/* The block hash that a call answered; NULL if it is none */
static const char *
hash_of(const rc_rpc_reply *reply)
{
	const char *text = json_object_is_type(reply->result, json_type_string) ?
		json_object_get_string(reply->result) : NULL;

	return reply->error == NULL && is_hash(text) ? text : NULL;
}

static rc_failure
malformed(const char *text)
{
	return rc_failure_make(RC_FAILURE_MALFORMED, "%s", text);
}

/* The failure that an error of a call is */
static rc_failure
failure_of(const rc_rpc_reply *reply)
{
	return rc_failure_make(reply->code == RPC_IN_WARMUP ? RC_FAILURE_BEHIND : RC_FAILURE_REFUSED, "%s", reply->error);
}

/* Says the node itself that it doesn't know the chain yet? */
static rc_failure
node_is_behind(const rc_network *network, const rc_rpc_reply *replies, int64_t height)
{
	struct json_object *headers = member(replies[0].result, "headers", json_type_int);
	struct json_object *syncing = member(replies[0].result, "initialblockdownload", json_type_boolean);
	struct json_object *loaded = member(replies[1].result, "loaded", json_type_boolean);

	/* On regtest blocks come on demand, and a chain that rests is not behind */
	if (syncing != NULL && json_object_get_boolean(syncing) && strcmp(network->network, "regtest") != 0)
		return rc_failure_make(RC_FAILURE_BEHIND, "the node is behind: initial block download, block %" PRId64 " of %" PRId64,
							   height, json_object_get_int64(headers));
	if (json_object_get_int64(headers) > height + 1)
		return rc_failure_make(RC_FAILURE_BEHIND, "the node is behind: it has block %" PRId64 ", its peers have %" PRId64,
							   height, json_object_get_int64(headers));
	if (loaded != NULL && !json_object_get_boolean(loaded))
		return rc_failure_make(RC_FAILURE_BEHIND, "the node is still loading its mempool");
	return rc_failure_take(RC_FAILURE_NONE, NULL);
}

/* What is wrong with the answers about the node's state; no text: nothing, with the tip taken */
static rc_failure
take_state(const rc_network *network, const rc_rpc_reply *replies, rc_chain_tip *tip)
{
	struct json_object *info = replies[0].result;
	struct json_object *blocks = member(info, "blocks", json_type_int);
	struct json_object *pruned = member(info, "pruneheight", json_type_int);
	struct json_object *time = member(info, "time", json_type_int);
	const char *best = rc_json_string(info, "bestblockhash");
	const char *work = rc_json_string(info, "chainwork");
	rc_failure	failure;

	for (int i = 0; i < 3; i++)
	{
		if (replies[i].error != NULL)
			return failure_of(&replies[i]);
	}
	if (blocks == NULL || member(info, "headers", json_type_int) == NULL || !is_hash(best) || !is_hash(work))
		return malformed("the answer is not that of a Bitcoin node");
	failure = rc_identify_reply(&rc_btc_node_identifier, network, &replies[2]);
	if (failure.text != NULL)
		return failure;
	tip->height = json_object_get_int64(blocks);
	snprintf(tip->hash, sizeof(tip->hash), "%s", best);
	snprintf(tip->work, sizeof(tip->work), "%s", work);
	tip->lowest = pruned != NULL ? json_object_get_int64(pruned) : 0;

	/* Nodes before version 23 don't say it */
	tip->time = time != NULL ? json_object_get_int64(time) : -1;
	return node_is_behind(network, replies, tip->height);
}

void
rc_btc_take_tip(const rc_network *network, const rc_rpc_reply *replies, rc_source_result *result)
{
	result->tip.tagged.height = -1;
	result->failure = take_state(network, replies, &result->tip);
}

void
rc_btc_take_hashes(const rc_rpc_reply *replies, rc_source_result *result)
{
	for (int i = 0; i < result->nhashes; i++)
	{
		const char *hash = hash_of(&replies[i]);

		snprintf(result->hashes[i], RC_HASH_SIZE, "%s", hash != NULL ? hash : "");
	}
}

/* Outputs as credits, all of them: which are wanted the database knows */
static void
add_outputs(const rc_btc_outputs *outputs, rc_credits *credits)
{
	for (size_t i = 0; i < outputs->n; i++)
	{
		const rc_btc_output *output = &outputs->items[i];
		rc_credit  *credit = rc_credits_add(credits);

		memcpy(credit->txid, output->txid, sizeof(output->txid));
		credit->kind = RC_CREDIT_OUTPUT;
		credit->ordinal = output->index;
		credit->key.len = output->script.len;
		memcpy(credit->key.bytes, output->script.bytes, output->script.len);
		rc_uint256_from_u64(&credit->amount, output->satoshi);
	}
}

/* A block by its raw form and its header; a constant text if they can't be the block's */
static const char *
parse_block(const rc_rpc_reply *replies, const rc_block_id *id, rc_read_block *block)
{
	struct json_object *header = replies[1].result;
	struct json_object *height = member(header, "height", json_type_int);
	struct json_object *median = member(header, "mediantime", json_type_int);
	const char *work = rc_json_string(header, "chainwork");
	rc_btc_block parsed;
	rc_btc_outputs outputs = {0};
	const char *problem;

	problem = rc_btc_parse_block(json_object_get_string(replies[0].result),
								 (size_t) json_object_get_string_len(replies[0].result), &parsed, &outputs);
	if (problem == NULL && strcmp(parsed.hash, id->hash) != 0)
		problem = "the block has another hash than was asked for";
	if (problem == NULL && (median == NULL || height == NULL || !is_hash(work) || json_object_get_int64(height) != id->height))
		problem = "the header is not the block's";
	if (problem == NULL)
	{
		block->height = id->height;
		snprintf(block->hash, sizeof(block->hash), "%s", parsed.hash);
		snprintf(block->previous, sizeof(block->previous), "%s", parsed.previous);
		snprintf(block->work, sizeof(block->work), "%s", work);
		block->time = parsed.time;
		block->steady_time = json_object_get_int64(median);
		add_outputs(&outputs, &block->credits);
	}
	rc_btc_outputs_free(&outputs);
	return problem;
}

void
rc_btc_take_block(const rc_rpc_reply *replies, const rc_block_id *id, rc_source_result *result)
{
	const char *problem;

	/* Reorganised away since its hash was learnt, or pruned since, or unknown to this one of several nodes */
	if (replies[0].error != NULL || replies[1].error != NULL || !json_object_is_type(replies[0].result, json_type_string))
	{
		result->moved = true;
		return;
	}
	problem = parse_block(replies, id, &result->blocks[0]);
	if (problem != NULL)
		result->failure = malformed(problem);
}

void
rc_btc_take_check(const rc_rpc_reply *reply, const rc_block_id *id, rc_source_result *result)
{
	const char *hash = hash_of(reply);

	result->holds = hash != NULL && strcmp(hash, id->hash) == 0;
}

void
rc_btc_take_pending(const rc_rpc_reply *reply, rc_source_result *result)
{
	const char **txids;
	size_t		n;

	if (reply->error != NULL)
	{
		result->failure = failure_of(reply);
		return;
	}
	if (!json_object_is_type(reply->result, json_type_array))
	{
		result->failure = malformed("the answer is not a list of transactions");
		return;
	}
	n = json_object_array_length(reply->result);
	txids = rc_calloc(n > 0 ? n : 1, sizeof(*txids));
	result->txids = txids;
	for (size_t i = 0; i < n; i++)
	{
		struct json_object *txid = json_object_array_get_idx(reply->result, i);

		if (!json_object_is_type(txid, json_type_string) || !is_hash(json_object_get_string(txid)))
		{
			result->failure = malformed("the answer is not a list of transactions");
			return;
		}
		txids[i] = json_object_get_string(txid);
	}
	result->ntxids = n;
}

/* One transaction; NULL, or what is wrong with the answer */
static const char *
parse_transaction(const rc_rpc_reply *reply, rc_pending_transaction *transaction)
{
	char		txid[RC_BTC_HASH_SIZE];
	rc_btc_outputs outputs = {0};
	const char *problem;

	if (!json_object_is_type(reply->result, json_type_string))
		return "the answer is not a transaction";
	problem = rc_btc_parse_transaction(json_object_get_string(reply->result),
									   (size_t) json_object_get_string_len(reply->result), txid, &outputs);
	if (problem == NULL && strcmp(txid, transaction->txid) != 0)
		problem = "the transaction has another id than was asked for";
	if (problem == NULL)
		add_outputs(&outputs, &transaction->credits);
	rc_btc_outputs_free(&outputs);
	return problem;
}

/* Transactions that were in the mempool a moment ago; some may have left */
void
rc_btc_take_transactions(const rc_rpc_reply *replies, rc_source_result *result)
{
	for (int i = 0; i < result->ntransactions; i++)
	{
		rc_pending_transaction *transaction = &result->transactions[i];
		const char *problem = NULL;

		transaction->left = replies[i].error != NULL;
		if (transaction->left && replies[i].code != RPC_NO_SUCH_TRANSACTION)
		{
			result->failure = failure_of(&replies[i]);
			return;
		}
		if (!transaction->left)
			problem = parse_transaction(&replies[i], transaction);
		if (problem != NULL)
		{
			result->failure = malformed(problem);
			return;
		}
	}
}
