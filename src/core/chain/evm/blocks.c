/* blocks.c: an EVM chain as a source of blocks; see source.h */
#include "core/chain/evm/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tip that was asked for so recently serves another step, if the endpoint's height is the same */
#define TIP_KEPT_MS 4000

/* Nodes keep the state of so many blocks, and a few more */
#define STATE_KEPT 100

/* Reading a block may take the node a while */
#define READING_TIMEOUT_FACTOR 3

static rc_source *
source_open(const rc_source_context *context)
{
	rc_source  *source = rc_calloc(1, sizeof(*source));

	source->context = *context;
	source->learned = evm_learned_of(context->endpoint);
	return source;
}

static void
source_close(rc_source *source)
{
	if (source->exchange != NULL)
		rc_exchange_cancel(source->exchange);
	if (source->timer != NULL)
		rc_timer_cancel(source->timer);
	evm_reading_free(source);
	free(source->questions);
	evm_wanted_free(&source->wanted);
	free(source->failure.text);
	free(source);
}

/* Frees what a result holds, after done */
static void
free_result(rc_source_result *result)
{
	free(result->failure.text);
	free(result->hashes);
	for (int i = 0; i < result->nblocks; i++)
		rc_credits_free(&result->blocks[i].credits);
	free(result->blocks);
}

/* Ends the call; the source may be closed afterwards */
static void
finish(rc_source *source, rc_source_result *result)
{
	rc_source_done done = source->done;
	void	   *arg = source->arg;

	done(arg, result);
	free_result(result);
}

/* The endpoint is at fault; takes over the failure */
static void
finish_failed(rc_source *source, rc_failure failure)
{
	rc_source_result result = {.failure = failure};

	source->learned->tip.known = false;
	finish(source, &result);
}

static void
ask(rc_source *source, const rc_rpc_call *calls, int ncalls, long timeout_factor, bool errors_are_answers,
	rc_exchange_done done)
{
	const rc_source_context *context = &source->context;

	rc_exchange_request request = {
		.url = context->endpoint->url,
		.meter = &context->endpoint->meter,
		.timeout_ms = context->network->request_timeout_ms * timeout_factor,
		.calls = calls,
		.ncalls = ncalls,
		.array_size = &source->learned->array_size,
		.errors_are_answers = errors_are_answers
	};

	source->exchange = rc_exchange_start(context->http, &request, done, source);
}

/* The exchange is over; true, with the failure handed on, if it failed as a whole */
static bool
exchange_failed(rc_source *source, rc_exchange_result *result)
{
	rc_failure	failure = result->failure;

	source->exchange = NULL;
	if (failure.text == NULL)
		return false;
	result->failure.text = NULL;
	finish_failed(source, failure);
	return true;
}

/* Likewise, of a question about a block by its height: an endpoint that hasn't got it any more is not at fault */
static bool
block_is_gone(rc_source *source, rc_exchange_result *exchange)
{
	rc_source_result result = {.moved = true};

	if (exchange->failure.text == NULL || exchange->failure.code != RC_FAILURE_BEHIND)
		return false;
	source->exchange = NULL;
	source->learned->tip.known = false;
	finish(source, &result);
	return true;
}

static void
set_id(const evm_header *header, rc_block_id *id)
{
	id->height = (int64_t) header->number;
	memcpy(id->hash, header->hash, sizeof(header->hash));
}

/* The tip is known */
static void
finish_tip(rc_source *source)
{
	const evm_learned *learned = source->learned;
	rc_source_result result = {0};
	rc_block_id id;

	source->tip = learned->tip;
	source->tip_known = true;
	source->has_read = false;
	set_id(&learned->tip, &id);

	/* Balances that tell what came are to be had of the last blocks only */
	if (learned->ledger.no_logs && source->context.network->token_logs && id.height > STATE_KEPT)
		result.tip.lowest = id.height - STATE_KEPT;
	result.tip.height = id.height;
	memcpy(result.tip.hash, id.hash, sizeof(id.hash));
	result.tip.time = learned->tip.time;
	result.tip.tagged.height = -1;
	if (source->context.network->block_tag != NULL)
		set_id(&learned->tagged, &result.tip.tagged);
	finish(source, &result);
}

/* What is wrong with the answers about chain id, tip and tagged block; no text: nothing */
static rc_failure
take_tip(rc_source *source, rc_rpc_reply *replies, int nreplies)
{
	const rc_network *network = source->context.network;
	evm_learned *learned = source->learned;
	rc_failure	failure = rc_identify_reply(&rc_evm_identifier, network, &replies[0]);
	char	   *problem;

	if (failure.text != NULL)
		return failure;
	if ((problem = evm_parse_header(&replies[1], &learned->tip)) != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, problem);
	if (nreplies > 2 && (problem = evm_parse_header(&replies[2], &learned->tagged)) != NULL)
	{
		failure = rc_failure_make(RC_FAILURE_BEHIND, "block \"%s\": %s", network->block_tag, problem);

		free(problem);
		return failure;
	}
	if (nreplies > 2 && learned->tagged.number > learned->tip.number)
		return rc_failure_make(RC_FAILURE_INCONSISTENT, "block \"%s\" is above the tip", network->block_tag);
	source->context.endpoint->verified = true;
	return rc_failure_take(RC_FAILURE_NONE, NULL);
}

static void
on_tip(void *arg, rc_exchange_result *result)
{
	rc_source  *source = arg;
	rc_failure	failure;

	if (exchange_failed(source, result))
		return;
	failure = take_tip(source, result->replies, result->nreplies);
	if (failure.text != NULL)
	{
		finish_failed(source, failure);
		return;
	}
	source->learned->tip_asked_ms = rc_now_ms();
	finish_tip(source);
}

/* Chain id, tip and tagged block */
static void
ask_tip(rc_source *source)
{
	const char *tag = source->context.network->block_tag;
	char	   *tag_params = tag != NULL ? rc_asprintf("[\"%s\",false]", tag) : NULL;
	rc_rpc_call calls[3] = {
		{rc_evm_identifier.method, rc_evm_identifier.params, 0},
		{"eth_getBlockByNumber", "[\"latest\",false]", EVM_MAX_HEADER},
		{"eth_getBlockByNumber", tag_params, EVM_MAX_HEADER}
	};

	source->learned->tip.known = false;
	ask(source, calls, tag != NULL ? 3 : 2, 1, false, on_tip);
	free(tag_params);
}

/* The height alone: is it still the one that is known? */
static void
on_height(void *arg, rc_exchange_result *result)
{
	rc_source  *source = arg;
	uint64_t	height;

	if (exchange_failed(source, result))
		return;
	if (source->learned->tip.known && evm_parse_quantity(&result->replies[0], &height) &&
		height == source->learned->tip.number)
		finish_tip(source);
	else
		ask_tip(source);
}

/* A header lists the hashes of all transactions: it is asked for when the height is another, and now and then */
static void
source_tip(rc_source *source, rc_source_done done, void *arg)
{
	rc_rpc_call call = {"eth_blockNumber", "[]", 0};

	source->done = done;
	source->arg = arg;
	if (source->learned->tip.known && source->context.endpoint->verified &&
		rc_now_ms() - source->learned->tip_asked_ms < TIP_KEPT_MS)
		ask(source, &call, 1, 1, false, on_height);
	else
		ask_tip(source);
}

/* Headers by height; each is kept for the reading */
static void
on_hashes(void *arg, rc_exchange_result *exchange)
{
	rc_source  *source = arg;
	rc_source_result result = {0};

	if (block_is_gone(source, exchange) || exchange_failed(source, exchange))
		return;
	result.nhashes = exchange->nreplies;
	result.hashes = rc_calloc((size_t) result.nhashes, RC_HASH_SIZE);
	for (int i = 0; i < result.nhashes; i++)
	{
		rc_rpc_reply *reply = &exchange->replies[i];
		evm_header	header = {0};
		char	   *problem;

		if (reply->error == NULL && reply->result == NULL)
			continue;
		problem = evm_parse_header(reply, &header);
		if (problem == NULL && header.number != (uint64_t) (source->first_height + i))
			problem = rc_strdup("another block than was asked for");
		if (problem != NULL)
		{
			free(result.hashes);
			finish_failed(source, rc_failure_take(RC_FAILURE_MALFORMED, problem));
			return;
		}
		evm_keep_header(source, &header);
		memcpy(result.hashes[i], header.hash, sizeof(header.hash));
	}
	finish(source, &result);
}

/* The tip's own hash is known from asking for it, unless something was read since */
static void
on_known_tip(void *arg)
{
	rc_source  *source = arg;
	rc_source_result result = {.nhashes = 1};

	source->timer = NULL;
	result.hashes = rc_calloc(1, RC_HASH_SIZE);
	memcpy(result.hashes[0], source->tip.hash, sizeof(source->tip.hash));
	finish(source, &result);
}

static void
source_hashes(rc_source *source, int64_t from, int n, rc_source_done done, void *arg)
{
	rc_rpc_call calls[EVM_KEPT_HEADERS];
	char		params[EVM_KEPT_HEADERS][40];

	source->done = done;
	source->arg = arg;
	source->first_height = from;
	source->nheights = n < EVM_KEPT_HEADERS ? n : EVM_KEPT_HEADERS;
	if (n == 1 && source->tip_known && !source->has_read && from == (int64_t) source->tip.number)
	{
		source->timer = rc_http_after(source->context.http, 0, on_known_tip, source);
		return;
	}
	for (int i = 0; i < source->nheights; i++)
	{
		(void) snprintf(params[i], sizeof(params[i]), "[\"0x%" PRIx64 "\",false]", from + i);
		calls[i] = (rc_rpc_call) {"eth_getBlockByNumber", params[i], EVM_MAX_HEADER};
	}
	ask(source, calls, source->nheights, 1, false, on_hashes);
}

static void go_on(rc_source *source, evm_outcome outcome);

/* The answers to some of a stage's questions */
static void
on_answers(void *arg, rc_exchange_result *result)
{
	rc_source  *source = arg;
	rc_failure	failure = result->failure;

	source->exchange = NULL;
	result->failure.text = NULL;
	go_on(source, failure.text != NULL ? evm_reading_failed(source, failure) : evm_reading_take(source, result->replies));
}

/* Asks the next of the stage's questions */
static void
ask_questions(rc_source *source)
{
	rc_rpc_call calls[EVM_MAX_QUESTIONS];
	int			n = 0;

	for (; n < EVM_MAX_QUESTIONS && source->asked + (size_t) n < source->nquestions; n++)
	{
		const evm_question *question = &source->questions[source->asked + (size_t) n];

		calls[n] = (rc_rpc_call) {question->method, question->params, question->max_answer};
	}
	source->sent = (size_t) n;
	ask(source, calls, n, READING_TIMEOUT_FACTOR, source->stage == EVM_ASK_STATE, on_answers);
}

/* What a stage came to: more to ask, or the reading's end */
static void
go_on(rc_source *source, evm_outcome outcome)
{
	rc_source_result result = {0};

	if (outcome == EVM_TAKEN)
		outcome = evm_reading_go_on(source);
	if (outcome == EVM_TAKEN && source->stage != EVM_READING_DONE)
	{
		ask_questions(source);
		return;
	}
	if (outcome == EVM_ENDPOINT_FAILED)
	{
		rc_failure	failure = source->failure;

		source->failure.text = NULL;
		evm_reading_free(source);
		finish_failed(source, failure);
		return;
	}
	result.moved = outcome == EVM_GONE;
	result.aborted = outcome == EVM_NO_DATABASE;
	if (outcome == EVM_TAKEN)
	{
		result.nblocks = source->nblocks;
		result.blocks = evm_reading_result(source);
	}
	else
		source->learned->tip.known = false;
	evm_reading_free(source);
	finish(source, &result);
}

/* Begins a reading from a timer: it may end without asking anything */
static void
begin_reading(void *arg)
{
	rc_source  *source = arg;

	source->timer = NULL;
	go_on(source, EVM_TAKEN);
}

static void
source_read(rc_source *source, const rc_block_id *blocks, int n, rc_source_done done, void *arg)
{
	source->done = done;
	source->arg = arg;
	source->has_read = true;
	evm_reading_begin(source, blocks, n);
	source->timer = rc_http_after(source->context.http, 0, begin_reading, source);
}

/* The canonical block of the height */
static void
on_check(void *arg, rc_exchange_result *exchange)
{
	rc_source  *source = arg;
	rc_source_result result = {0};
	evm_header	header = {0};
	rc_rpc_reply *reply;
	char	   *problem;

	if (block_is_gone(source, exchange) || exchange_failed(source, exchange))
		return;
	reply = &exchange->replies[0];
	problem = reply->error == NULL && reply->result == NULL ? NULL : evm_parse_header(reply, &header);
	if (problem != NULL)
	{
		finish_failed(source, rc_failure_take(RC_FAILURE_MALFORMED, problem));
		return;
	}
	result.holds = header.known && (int64_t) header.number == source->checked.height &&
		strcmp(header.hash, source->checked.hash) == 0;
	finish(source, &result);
}

/* The tip was asked for in this step, and nothing was read since */
static void
on_unchanged(void *arg)
{
	rc_source  *source = arg;
	rc_source_result result = {.holds = true};

	source->timer = NULL;
	finish(source, &result);
}

static void
source_check(rc_source *source, const rc_block_id *block, rc_source_done done, void *arg)
{
	char		params[40];
	rc_rpc_call call = {"eth_getBlockByNumber", params, EVM_MAX_HEADER};

	source->done = done;
	source->arg = arg;
	source->checked = *block;
	if (source->tip_known && !source->has_read && strcmp(block->hash, source->tip.hash) == 0)
	{
		source->timer = rc_http_after(source->context.http, 0, on_unchanged, source);
		return;
	}
	(void) snprintf(params, sizeof(params), "[\"0x%" PRIx64 "\",false]", block->height);
	ask(source, &call, 1, 1, false, on_check);
}

const rc_block_source rc_evm_blocks = {
	.at_a_time = EVM_MAX_BLOCKS,
	.hashes_at_a_time = 25,
	.time_tolerance = 120,
	.open = source_open,
	.close = source_close,
	.tip = source_tip,
	.hashes = source_hashes,
	.read = source_read,
	.check = source_check,
};
