/* esplora_tip.c: which chain an Esplora server serves, its tip, and the blocks below it */
#include "core/chain/bitcoin/esplora.h"
#include "core/chain/bitcoin/identify.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/tip.h"

static const rc_failure nothing_wrong = {RC_FAILURE_NONE, NULL, -1};

/* The answer to /block-height/0 */
rc_failure
esplora_take_genesis(esplora_task *task, const rc_http_response *response)
{
	rc_failure	failure = rc_identify_answer(&rc_btc_esplora_identifier, task->look->attempt->network, response->body);

	if (failure.text != NULL)
		return failure;
	task->look->attempt->endpoint->verified = true;
	esplora_go_on(task, ESPLORA_TIP_HASH);
	return nothing_wrong;
}

/* The look's tip is known */
static rc_failure
use_tip(esplora_task *task, const rc_block *tip)
{
	esplora_look *look = task->look;
	char	   *problem = rc_tip_problem(&look->attempt->bounds, tip);

	if (problem == NULL)
	{
		look->tip = *tip;
		esplora_begin_round(look);
		esplora_end_task(task);
	}
	return rc_failure_take(RC_FAILURE_BEHIND, problem);
}

/* The answer to /blocks/tip/hash: the tip is the one that is known, or has to be asked for */
rc_failure
esplora_take_tip_hash(esplora_task *task, const rc_http_response *response)
{
	const esplora_learned *learned = esplora_learned_of(task->look);
	char	   *error = rc_esplora_parse_hash(response->body, response->body_len, task->hash);

	if (error != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	if (learned->tip.known && strcmp(learned->tip.hash, task->hash) == 0)
		return use_tip(task, &learned->tip);
	esplora_go_on(task, ESPLORA_TIP_BLOCK);
	return nothing_wrong;
}

/* The answer to /block/:hash */
rc_failure
esplora_take_tip_block(esplora_task *task, const rc_http_response *response)
{
	rc_block	block = {0};
	char	   *error = rc_esplora_parse_block(response->body, response->body_len, &block);

	if (error != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	if (strcmp(block.hash, task->hash) != 0)
		return rc_failure_make(RC_FAILURE_MALFORMED, "the answer is another block than the one that was asked for");
	esplora_learned_of(task->look)->tip = block;
	return use_tip(task, &block);
}

/*
 * A transaction is said to be in a block. False if another transaction is said to
 * be in another block at that height. esplora_take_recent compares with the chain.
 */
bool
esplora_claim_block(esplora_look *look, int64_t height, const char *hash)
{
	int64_t		below = (int64_t) look->tip.height - height;

	/* Mined during the look: it is above the depth, and its block may be anything */
	if (below < 0 || below >= RC_ESPLORA_RECENT)
		return true;
	if (look->claimed[below][0] != '\0')
		return strcmp(look->claimed[below], hash) == 0;
	memcpy(look->claimed[below], hash, RC_BTC_HASH_SIZE);
	look->any_claimed = true;
	return true;
}

/* The answer to /blocks/:height of the tip: the blocks that were named must be in its chain */
rc_failure
esplora_take_recent(esplora_task *task, const rc_http_response *response)
{
	esplora_look *look = task->look;
	char		hashes[RC_ESPLORA_RECENT][RC_BTC_HASH_SIZE];
	int			n;
	char	   *error;

	/* Not every server has it */
	if (response->status == 404)
	{
		esplora_go_on(task, ESPLORA_CHECK);
		return nothing_wrong;
	}
	error = rc_esplora_parse_run(response->body, response->body_len, (int64_t) look->tip.height, hashes, &n);
	if (error != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	if (strcmp(hashes[0], look->tip.hash) != 0)
	{
		esplora_restart(task, "the endpoint's tip changes back and forth: its URL may lead to several servers that differ");
		return nothing_wrong;
	}
	for (int i = 0; i < n; i++)
	{
		if (look->claimed[i][0] != '\0' && strcmp(look->claimed[i], hashes[i]) != 0)
		{
			esplora_restart(task, "the endpoint names transactions in blocks that aren't in the chain of its tip");
			return nothing_wrong;
		}
	}
	esplora_go_on(task, ESPLORA_CHECK);
	return nothing_wrong;
}

/* The answer to /block-height/:height of the tip: does the tip of the beginning still stand? */
rc_failure
esplora_take_check(esplora_task *task, const rc_http_response *response)
{
	esplora_look *look = task->look;
	char		hash[RC_BTC_HASH_SIZE] = "";
	char	   *error = NULL;

	/* No block at this height any more: reorganised, or another server answers */
	if (response->status != 404)
		error = rc_esplora_parse_hash(response->body, response->body_len, hash);
	if (error != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	if (strcmp(hash, look->tip.hash) != 0)
	{
		esplora_restart(task, "the chain is reorganised faster than it can be looked at, or the endpoint's URL leads to"
						" several servers that differ");
		return nothing_wrong;
	}
	esplora_succeed(look);
	esplora_end_task(task);
	return nothing_wrong;
}
