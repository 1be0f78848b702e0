/* observer.c: the EVM observer: the tip first, then all balances at the tip and at the depth */
#include "core/chain/evm/evm.h"
#include "core/chain/tip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A tip that was asked for less than this ago serves the next look too */
#define TIP_FRESH_MS 1000

/* A look begins again when the chain moved under it */
#define MAX_RESTARTS 2

static void act(evm_look *look, evm_step step);

/* Frees the look, ending what is under way */
static void
free_look(evm_look *look)
{
	if (look->exchange != NULL)
		rc_exchange_cancel(look->exchange);
	evm_drop_chunks(look);
	for (int i = 0; i < look->npairs; i++)
		free(look->pairs[i].error);
	free(look->pairs);
	free(look->failure.text);
	free(look);
}

/* Which block the settled amounts are read at */
static void
choose_depth(evm_look *look)
{
	const rc_network *network = look->attempt->network;
	uint64_t	back = network->confirmations > 1 ? (uint64_t) network->confirmations - 1 : 0;

	memset(&look->depth, 0, sizeof(look->depth));
	look->too_short = false;
	if (network->block_tag != NULL)
	{
		look->depth = look->learned->tagged;
		look->depth_number = look->depth.number;
		look->separate_depth = strcmp(look->depth.hash, look->tip.hash) != 0;
	}
	else if (back == 0)
	{
		look->depth = look->tip;
		look->depth_number = look->tip.number;
		look->separate_depth = false;
	}
	else
	{
		look->too_short = look->tip.number < back;
		look->separate_depth = !look->too_short;
		look->depth_number = look->too_short ? 0 : look->tip.number - back;
	}
}

/* The header of the depth block has come before the calls, because they name its hash */
static void
on_depth(void *arg, rc_exchange_result *result)
{
	evm_look   *look = arg;
	evm_step	step;

	look->exchange = NULL;
	if (result->failure.text != NULL)
		step = evm_fail_exchange(look, result);
	else if ((step = evm_take_depth(look, &result->replies[0])) == EVM_GO_ON)
		step = evm_read_all(look);
	act(look, step);
}

/* A header as the observation reports it */
static void
set_block(const evm_header *header, rc_block *block)
{
	block->known = header->known;
	block->height = header->number;
	block->time = header->time;
	memcpy(block->hash, header->hash, sizeof(block->hash));
}

/* NULL, or why the tip that the endpoint named last can't be the chain's, as of this look's claim */
static char *
tip_problem(const evm_look *look)
{
	rc_block	tip;

	set_block(&look->learned->tip, &tip);
	return rc_tip_problem(&look->attempt->bounds, &tip);
}

/* The tip is known: choose the depth, read the balances */
static evm_step
start_reading(evm_look *look)
{
	look->tip = look->learned->tip;
	look->pin_by_hash = look->learned->pin_by_hash;
	choose_depth(look);
	if (look->separate_depth && look->depth_number > look->tip.number)
		return evm_restart(look, "the depth is above the tip");
	if (look->pin_by_hash && look->separate_depth && !look->depth.known)
	{
		rc_rpc_call call = {"eth_getBlockByNumber", NULL, EVM_MAX_HEADER};
		char	   *params = rc_asprintf("[\"0x%" PRIx64 "\",false]", look->depth_number);

		call.params = params;
		look->exchange = evm_ask(look, &call, 1, on_depth, look);
		free(params);
		return EVM_UNDER_WAY;
	}
	return evm_read_all(look);
}

/* What is wrong with the answers about chain id, tip and tagged block; no text: nothing */
static rc_failure
take_tip(evm_look *look, rc_rpc_reply *replies, int nreplies)
{
	const rc_network *network = look->attempt->network;
	evm_learned *learned = look->learned;
	evm_header	tip = {0};
	rc_failure	failure = rc_identify_reply(&rc_evm_identifier, network, &replies[0]);
	char	   *error;

	if (failure.text != NULL)
		return failure;
	if ((error = evm_parse_header(&replies[1], &tip)) != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	if (nreplies > 2 && (error = evm_parse_header(&replies[2], &learned->tagged)) != NULL)
	{
		failure = rc_failure_make(RC_FAILURE_MALFORMED, "block \"%s\": %s", network->block_tag, error);

		free(error);
		return failure;
	}
	learned->tip = tip;
	learned->tip_asked_ms = look->tip_asked_ms;
	look->attempt->endpoint->verified = true;
	return rc_failure_take(RC_FAILURE_NONE, NULL);
}

/* The answers about chain id, tip and tagged block */
static void
on_tip(void *arg, rc_exchange_result *result)
{
	evm_look   *look = arg;
	rc_failure	failure = result->failure;

	look->exchange = NULL;
	result->failure.text = NULL;
	if (failure.text == NULL)
		failure = take_tip(look, result->replies, result->nreplies);
	if (failure.text == NULL)
		failure = rc_failure_take(RC_FAILURE_BEHIND, tip_problem(look));
	act(look, failure.text != NULL ? evm_fail(look, failure) : start_reading(look));
}

/* Asks for chain id, tip and tagged block */
static void
ask_tip(evm_look *look)
{
	const char *tag = look->attempt->network->block_tag;
	char	   *tag_params = tag != NULL ? rc_asprintf("[\"%s\",false]", tag) : NULL;
	rc_rpc_call calls[3] = {
		{rc_evm_identifier.method, rc_evm_identifier.params, 0},
		{"eth_getBlockByNumber", "[\"latest\",false]", EVM_MAX_HEADER},
		{"eth_getBlockByNumber", tag_params, EVM_MAX_HEADER}
	};

	look->tip_asked_ms = rc_now_ms();
	look->exchange = evm_ask(look, calls, tag != NULL ? 3 : 2, on_tip, look);
	free(tag_params);
}

/* Fills in a request's result */
static void
set_result(const evm_look *look, evm_pair *pair, rc_result *result)
{
	char		token[RC_EVM_ADDRESS_SIZE];

	if (pair->error != NULL)
	{
		result->error = pair->error;
		pair->error = NULL;
	}
	else if (pair->tip.state != EVM_READ || (look->separate_depth && pair->depth.state != EVM_READ))
	{
		rc_evm_address_format(pair->token, token);
		result->error = rc_asprintf("token contract %s did not answer balanceOf", token);
	}
	else
	{
		result->seen = pair->tip.value;
		if (look->separate_depth)
			result->settled = pair->depth.value;
		else
			result->settled = look->too_short ? rc_uint256_zero : pair->tip.value;
	}
}

/* Everything was read */
static void
succeed(evm_look *look)
{
	rc_attempt *attempt = look->attempt;
	rc_observation *observation = attempt->observation;

	set_block(&look->tip, &observation->tip);
	set_block(&look->depth, &observation->depth);
	for (int i = 0; i < look->npairs; i++)
		set_result(look, &look->pairs[i], &observation->results[look->pairs[i].request]);
	free_look(look);
	attempt->state = NULL;
	attempt->succeeded(attempt);
}

/* The endpoint is at fault */
static void
fail(evm_look *look)
{
	rc_attempt *attempt = look->attempt;
	rc_failure	failure = look->failure;

	look->failure.text = NULL;
	look->learned->tip.known = false;
	/* What the failure brought about must not slow the endpoint down for long */
	if (look->learned->method != EVM_CREATION)
		look->learned->since_ms = 0;
	free_look(look);
	attempt->state = NULL;
	attempt->failed(attempt, failure);
}

/* The chain moved, or the answers come from several nodes: once more with a fresh tip */
static void
begin_again(evm_look *look)
{
	if (look->restarts++ >= MAX_RESTARTS)
	{
		(void) evm_fail(look, rc_failure_make(RC_FAILURE_INCONSISTENT, "inconsistent answers: %s", look->moved));
		fail(look);
		return;
	}
	if (look->exchange != NULL)
		rc_exchange_cancel(look->exchange);
	evm_drop_chunks(look);
	look->learned->tip.known = false;
	ask_tip(look);
}

/* Does what a step came to; the look may be freed afterwards */
static void
act(evm_look *look, evm_step step)
{
	if (step == EVM_GO_ON || step == EVM_CHUNK_OVER)
		step = evm_go_on(look);
	switch (step)
	{
		case EVM_COMPLETE:
			succeed(look);
			break;
		case EVM_MOVED:
			begin_again(look);
			break;
		case EVM_FAILED:
			fail(look);
			break;
		case EVM_GO_ON:
		case EVM_CHUNK_OVER:
		case EVM_UNDER_WAY:
			break;
	}
}

/* NULL, or what is wrong with the request's addresses */
static char *
parse_pair(const rc_request *request, evm_pair *pair)
{
	char	   *error = rc_evm_address_parse(request->address, pair->holder);
	char	   *text;

	pair->native = request->token == NULL;
	if (error != NULL || pair->native)
		return error;
	error = rc_evm_address_parse(request->token, pair->token);
	if (error != NULL)
	{
		text = rc_asprintf("token contract: %s", error);
		free(error);
		return text;
	}
	/* The code takes it for the native asset */
	if (rc_evm_address_is_zero(pair->token))
		return rc_strdup("token contract: the zero address is none; leave it null for the native asset");
	return NULL;
}

/* The requests that can be asked for; the others get their error */
static void
parse_requests(evm_look *look)
{
	rc_attempt *attempt = look->attempt;

	look->pairs = rc_calloc((size_t) attempt->nrequests, sizeof(evm_pair));
	for (int i = 0; i < attempt->nrequests; i++)
	{
		evm_pair	pair = {0};
		char	   *error = parse_pair(&attempt->requests[i], &pair);

		pair.request = i;
		if (error != NULL)
			attempt->observation->results[i].error = error;
		else
			look->pairs[look->npairs++] = pair;
	}
}

/*
 * May the tip of an earlier look serve this one? Not if a request expires: what
 * was mined since then would be missed, and the request's last look is this. Nor
 * if it is too old for this look: there may be a younger one by now.
 */
static bool
is_tip_fresh(const evm_look *look)
{
	const rc_attempt *attempt = look->attempt;
	char	   *problem;

	if (!look->learned->tip.known || look->started_ms - look->learned->tip_asked_ms >= TIP_FRESH_MS)
		return false;
	for (int i = 0; i < attempt->nrequests; i++)
	{
		if (attempt->requests[i].expiring)
			return false;
	}
	problem = tip_problem(look);
	free(problem);
	return problem == NULL;
}

/* rc_observer.start */
static void
start(rc_attempt *attempt)
{
	evm_look   *look = rc_calloc(1, sizeof(*look));

	attempt->state = look;
	look->attempt = attempt;
	look->act = act;
	look->started_ms = rc_now_ms();
	look->learned = evm_learned_of(attempt->endpoint);
	parse_requests(look);
	if (is_tip_fresh(look))
		act(look, start_reading(look));
	else
		ask_tip(look);
}

/* rc_observer.cancel */
static void
cancel(rc_attempt *attempt)
{
	free_look(attempt->state);
	attempt->state = NULL;
}

const rc_observer rc_evm_observer = {start, cancel};
