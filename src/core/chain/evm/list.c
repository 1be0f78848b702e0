/* list.c: one list of pairs, read at the tip and at the depth in one exchange */
#include "core/chain/evm/evm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A list of the pairs with these indexes */
evm_chunk *
evm_chunk_new(evm_look *look, const int *pairs, int n)
{
	evm_chunk  *chunk = rc_calloc(1, sizeof(*chunk));

	chunk->look = look;
	chunk->pairs = rc_malloc((size_t) n * sizeof(int));
	if (n > 0)
		memcpy(chunk->pairs, pairs, (size_t) n * sizeof(int));
	chunk->n = n;
	return chunk;
}

/* Frees a chunk that is in no list */
void
evm_chunk_free(evm_chunk *chunk)
{
	if (chunk->exchange != NULL)
		rc_exchange_cancel(chunk->exchange);
	if (chunk->split != NULL && --chunk->split->refs == 0)
		free(chunk->split);
	free(chunk->refusal);
	free(chunk->pairs);
	free(chunk);
}

/* Takes a chunk out of those that run */
static void
unlink_chunk(evm_chunk *chunk)
{
	evm_chunk **link = &chunk->look->running;

	while (*link != chunk)
		link = &(*link)->next;
	*link = chunk->next;
	chunk->next = NULL;
	chunk->look->nrunning--;
}

/* The chunk was read: keep what it brought, and learn from a list that only its length had kept back */
static void
keep_readings(evm_chunk *chunk, const evm_reading *tip, const evm_reading *depth)
{
	evm_look   *look = chunk->look;
	evm_split  *split = chunk->split;

	for (int i = 0; i < chunk->n; i++)
	{
		evm_pair   *pair = &look->pairs[chunk->pairs[i]];

		pair->tip = tip[i];
		if (look->separate_depth)
			pair->depth = depth[i];
		pair->list_size = look->method == EVM_PLAIN ? 1 : chunk->n;
	}
	if (split != NULL && ++split->read == 2 && split->size < look->learned->max_pairs)
	{
		look->learned->max_pairs = split->size;
		rc_log_event(look->attempt->host, RC_LOG_DEBUG, "endpoint reads shorter lists",
					 RC_FIELDS(rc_field_text("endpoint", look->attempt->endpoint->shown),
							   rc_field_int("pairs", split->size)), NULL);
	}
	unlink_chunk(chunk);
	evm_chunk_free(chunk);
}

/* The endpoint refused the list; it waits until it is clear what to make of that */
static evm_step
put_away(evm_chunk *chunk, const char *why)
{
	evm_look   *look = chunk->look;

	unlink_chunk(chunk);
	free(chunk->refusal);
	chunk->refusal = rc_strdup(why);
	look->refusals++;
	chunk->next = look->refused;
	look->refused = chunk;
	return EVM_CHUNK_OVER;
}

/* What to do when a call did not run where it should have */
static evm_step
check_match(evm_look *look, evm_match match)
{
	switch (match)
	{
		case EVM_SAME_BLOCK:
			return EVM_GO_ON;
		case EVM_OTHER_CHAIN:
			return evm_fail(look, rc_failure_make(RC_FAILURE_WRONG_CHAIN, "wrong chain: a call ran under another chain id"));
		case EVM_OTHER_NUMBER:
			/* Arbitrum's NUMBER is that of the chain below it */
			look->learned->pin_by_hash = true;
			return evm_restart(look, "a call ran at another block number");
		case EVM_OTHER_BLOCK:
			break;
	}
	return evm_restart(look, "a call ran at another block");
}

/* The reply to one eth_call */
static evm_step
take_call(evm_chunk *chunk, rc_rpc_reply *reply, const evm_header *header, evm_reading *readings)
{
	evm_look   *look = chunk->look;
	const char *hex = evm_reply_string(reply);
	uint8_t		words[EVM_HEADER_WORDS][32];
	bool		decoded;

	if (reply->error != NULL)
		return put_away(chunk, reply->error);
	if (hex == NULL)
		return evm_fail(look, rc_failure_make(RC_FAILURE_MALFORMED, "eth_call: the answer is not a string"));
	/* No output at all: creation code isn't run here, or there is no such contract at that block */
	if (strcmp(hex, "0x") == 0)
	{
		chunk->useless = true;
		return put_away(chunk, "eth_call: the answer is empty");
	}
	decoded = look->method == EVM_CREATION ?
		evm_creation_decode(hex, look->pairs, chunk->pairs, chunk->n, words, readings) :
		evm_multicall_decode(hex, look->pairs, chunk->pairs, chunk->n, words, readings);
	if (!decoded && look->method == EVM_MULTICALL)
	{
		chunk->useless = true;
		return put_away(chunk, "eth_call: the answer is not Multicall3's");
	}
	if (!decoded)
		return evm_fail(look, rc_failure_make(RC_FAILURE_MALFORMED, "eth_call: the answer is not what the code returns"));
	return check_match(look, evm_match_header(look, header, words));
}

/* The replies to a list that is read by one call at each block */
static evm_step
take_calls(evm_chunk *chunk, rc_rpc_reply *replies, evm_reading *tip, evm_reading *depth)
{
	evm_look   *look = chunk->look;
	evm_step	step = EVM_GO_ON;

	if (look->separate_depth)
		step = evm_take_depth(look, &replies[1]);
	if (step == EVM_GO_ON)
		step = take_call(chunk, &replies[0], &look->tip, tip);
	if (step == EVM_GO_ON && look->separate_depth)
		step = take_call(chunk, &replies[2], &look->depth, depth);
	return step;
}

/* The replies to a chunk */
static evm_step
take_replies(evm_chunk *chunk, rc_rpc_reply *replies)
{
	evm_reading *tip = rc_calloc((size_t) chunk->n, sizeof(*tip));
	evm_reading *depth = rc_calloc((size_t) chunk->n, sizeof(*depth));
	evm_step	step = chunk->look->method == EVM_PLAIN ?
		evm_plain_take(chunk, replies, tip, depth) : take_calls(chunk, replies, tip, depth);

	if (step == EVM_GO_ON)
		keep_readings(chunk, tip, depth);
	free(tip);
	free(depth);
	return step;
}

/* The exchange of a chunk has ended */
static void
on_chunk(void *arg, rc_exchange_result *result)
{
	evm_chunk  *chunk = arg;
	evm_look   *look = chunk->look;
	evm_step	step;

	chunk->exchange = NULL;
	if (result->failure.text != NULL)
	{
		/* A node that is too slow for this many may be quick enough for half */
		if (result->failure.code == RC_FAILURE_TIMED_OUT && chunk->n > 2 * EVM_SHORT_LIST &&
			chunk->n <= look->learned->max_pairs)
			look->learned->max_pairs = (chunk->n + 1) / 2;
		step = evm_fail_exchange(look, result);
	}
	else
		step = take_replies(chunk, result->replies);
	look->act(look, step);
}

/* Sends the chunk's calls: at the tip; the depth's header; at the depth */
void
evm_chunk_start(evm_chunk *chunk)
{
	evm_look   *look = chunk->look;
	char	   *(*params) (const evm_pair *, const int *, int, const char *);
	char	   *tip_block;
	char	   *depth_block;
	char	   *texts[3] = {NULL, NULL, NULL};
	size_t		max_answer = look->method == EVM_CREATION ? evm_creation_answer(chunk->n) : EVM_MAX_MULTICALL;
	rc_rpc_call calls[3];

	if (look->method == EVM_PLAIN)
	{
		evm_plain_start(chunk, on_chunk);
		return;
	}
	params = look->method == EVM_CREATION ? evm_creation_params : evm_multicall_params;
	tip_block = evm_block_param(look, &look->tip, look->tip.number);
	depth_block = evm_block_param(look, &look->depth, look->depth_number);
	texts[0] = params(look->pairs, chunk->pairs, chunk->n, tip_block);
	calls[0] = (rc_rpc_call) {"eth_call", texts[0], max_answer};
	if (look->separate_depth)
	{
		texts[1] = rc_asprintf("[\"0x%" PRIx64 "\",false]", look->depth_number);
		texts[2] = params(look->pairs, chunk->pairs, chunk->n, depth_block);
		calls[1] = (rc_rpc_call) {"eth_getBlockByNumber", texts[1], EVM_MAX_HEADER};
		calls[2] = (rc_rpc_call) {"eth_call", texts[2], max_answer};
	}
	chunk->exchange = evm_ask(look, calls, look->separate_depth ? 3 : 1, on_chunk, chunk);
	for (int i = 0; i < 3; i++)
		free(texts[i]);
	free(tip_block);
	free(depth_block);
}
