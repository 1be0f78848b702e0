/* tips.c: looks follow the tip: asks for it, and when a block has come the network's batches are due */
#include "core/engine/loop.h"

#include "core/chain/chain.h"
#include "core/protocol/protocol.h"

/* How soon to try again when the database did not answer */
#define RETRY_MS 1000

/* Is there anything to gain by knowing the tip? */
static bool
is_watched(const rc_loop *loop)
{
	const rc_network *network = loop->network;
	const rc_chain *chain = rc_chain_of(network->kind);

	return chain != NULL && chain->look != NULL && chain->blocks != NULL && network->has_batches &&
		network->tip_interval_ms > 0 && network->tip_interval_ms < network->poll_interval_ms;
}

void
rc_tips_end(rc_loop *loop)
{
	if (loop->tip_source != NULL)
		rc_chain_of(loop->network->kind)->blocks->close(loop->tip_source);
	loop->tip_source = NULL;
}

/* rc_source_done. What is wrong with the endpoint is for looks to find out */
static void
on_tip(void *arg, rc_source_result *result)
{
	rc_loop    *loop = arg;
	bool		is_new = false;

	if (result->failure.text == NULL && !result->moved &&
		rc_protocol_note_tip(loop->engine->options->store, loop->engine->options->worker_id, loop->network,
							 result->tip.height, &is_new) == RC_STORE_OK && is_new)
		loop->claim_at_ms = 0;
	rc_tips_end(loop);
}

/* The endpoint that looks ask first */
static rc_endpoint *
choose_endpoint(rc_network *network)
{
	for (int i = 0; i < network->nendpoints; i++)
	{
		if (rc_endpoint_usable(&network->endpoints[i]))
			return &network->endpoints[i];
	}
	return NULL;
}

/* When the next tip may be asked for; INT64_MAX: not by this worker, or it is being asked for */
int64_t
rc_tips_next_ms(const rc_loop *loop)
{
	int64_t		ask_ms = rc_loop_may_ask_ms(loop);

	if (!is_watched(loop) || loop->tip_source != NULL)
		return INT64_MAX;
	return ask_ms > loop->tip_at_ms ? ask_ms : loop->tip_at_ms;
}

void
rc_tips_step(rc_loop *loop)
{
	rc_engine  *engine = loop->engine;
	const rc_engine_options *options = engine->options;
	rc_source_context context = {engine->http, options->host, loop->network, NULL, NULL};
	const rc_block_source *blocks;
	long		wait_ms;

	if (rc_now_ms() < rc_tips_next_ms(loop) || rc_loop_stopping(engine))
		return;
	if (rc_protocol_claim_tip(options->store, options->worker_id, loop->network, &wait_ms) != RC_STORE_OK || wait_ms < 0)
		wait_ms = RETRY_MS;
	else if (wait_ms == 0 && (context.endpoint = choose_endpoint(loop->network)) != NULL)
	{
		blocks = rc_chain_of(loop->network->kind)->blocks;
		loop->tip_source = blocks->open(&context);
		blocks->tip(loop->tip_source, on_tip, loop);
	}
	loop->tip_at_ms = rc_now_ms() + (wait_ms > 0 ? wait_ms : loop->network->tip_interval_ms);
}
