/*
 * esplora.c: looks at Bitcoin addresses through an Esplora HTTP API
 *
 * One look is: the tip (1 request, 2 when it is new), each address's sums
 * (1 request), for an address with something in a block its transactions down to
 * the confirmation depth (mostly 1 request), and at the end the hash at the
 * height of the tip (1 request): if it is still the tip that the look began
 * with, then so is every block below it, and what was counted at the
 * confirmation depth holds. What arrived since counts as seen, which is right at
 * any moment. Where transactions were listed, the hashes of the newest blocks
 * (1 request) show that these are in the tip's own chain, and not in that of
 * another server behind the same URL.
 *
 * Every request is a task; tasks run side by side, and a task that was refused
 * with HTTP 429 runs again when the endpoint wants to be asked again.
 */
#include "core/chain/bitcoin/esplora.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* An answer of a cache that is older says nothing of now; servers allow 10 s */
#define MAX_AGE_S 30

static void
free_look(esplora_look *look)
{
	esplora_drop_tasks(look);
	look->attempt->state = NULL;
	free(look->scripts);
	free(look->trouble.text);
	free(look->failure.text);
	free(look);
}

/* The end of whatever was called by HTTP client or timer: goes on, or hands the outcome over */
static void
conclude(esplora_look *look)
{
	rc_attempt *attempt = look->attempt;
	rc_endpoint *endpoint = attempt->endpoint;
	esplora_outcome outcome;
	long		rest_ms;
	rc_failure	failure;

	if (look->outcome == ESPLORA_RUNNING)
		esplora_pump(look);
	outcome = look->outcome;
	if (outcome == ESPLORA_RUNNING)
		return;
	failure = look->failure;
	look->failure.text = NULL;
	rest_ms = look->rest_ms;
	if (outcome == ESPLORA_FAILED)
		esplora_clear_results(look);
	free_look(look);
	if (outcome == ESPLORA_FAILED)
	{
		attempt->failed(attempt, failure);
		return;
	}
	attempt->succeeded(attempt);
	if (rest_ms > 0)
		endpoint->retry_at_ms = rc_now_ms() + rest_ms;
}

/* Acts on the answer to a task's HTTP request */
static void
take_answer(esplora_task *task, const rc_http_response *response)
{
	static rc_failure (*const take[]) (esplora_task *, const rc_http_response *) = {
		[ESPLORA_GENESIS] = esplora_take_genesis,
		[ESPLORA_TIP_HASH] = esplora_take_tip_hash,
		[ESPLORA_TIP_BLOCK] = esplora_take_tip_block,
		[ESPLORA_SUMS] = esplora_take_sums,
		[ESPLORA_PAGE] = esplora_take_page,
		[ESPLORA_MEMPOOL] = esplora_take_mempool,
		[ESPLORA_RECENT] = esplora_take_recent,
		[ESPLORA_CHECK] = esplora_take_check,
	};
	bool		lasting = task->step == ESPLORA_GENESIS || task->step == ESPLORA_TIP_BLOCK || task->step == ESPLORA_RECENT;
	bool		text = task->step == ESPLORA_GENESIS || task->step == ESPLORA_TIP_HASH || task->step == ESPLORA_CHECK;
	bool		may_be_unknown = task->step == ESPLORA_RECENT || task->step == ESPLORA_CHECK;
	rc_failure	failure = {0};

	if (response->error != NULL || response->status != 404 || !may_be_unknown)
		failure = rc_response_failure(response, !text);
	if (failure.text == NULL && !lasting && response->age_s > MAX_AGE_S)
		failure = rc_failure_make(RC_FAILURE_BEHIND, "the answer comes from a cache, and is %ld s old", response->age_s);
	if (failure.text == NULL)
	{
		esplora_speed_up(task->look);
		failure = take[task->step] (task, response);
	}
	if (failure.text == NULL)
		return;

	/* What else comes on this connection may be meant for others */
	rc_http_distrust(response);
	esplora_fail_task(task, failure);
}

/* A task's HTTP request has ended */
static void
answered(esplora_task *task, const rc_http_response *response)
{
	esplora_look *look = task->look;

	if (response->error == NULL && response->status == 429)
		esplora_slow_down(task, response->retry_after_ms);
	else
		take_answer(task, response);
	conclude(look);
}

/* rc_observer.start */
static void
start(rc_attempt *attempt)
{
	esplora_look *look = rc_calloc(1, sizeof(*look));

	attempt->state = look;
	look->attempt = attempt;
	look->answered = answered;
	look->resume = conclude;
	look->scripts = rc_calloc(attempt->nrequests > 0 ? (size_t) attempt->nrequests : 1, sizeof(rc_btc_script));
	look->rest_ms = -1;
	look->chain = rc_btc_network_of(attempt->network->network);
	if (look->chain == NULL)
		esplora_fail(look, rc_failure_make(RC_FAILURE_WRONG_CHAIN,
										   "no Bitcoin network is called \"%s\": mainnet, testnet, testnet4, signet, regtest",
										   attempt->network->network));
	else
		esplora_add_task(look, attempt->endpoint->verified ? ESPLORA_TIP_HASH : ESPLORA_GENESIS, -1);
	conclude(look);
}

/* rc_observer.cancel */
static void
cancel(rc_attempt *attempt)
{
	esplora_clear_results(attempt->state);
	free_look(attempt->state);
}

/* rc_chain.look_cost: tip, newest blocks and check; each address; the transactions of those that were paid */
int
rc_esplora_look_cost(const rc_request *requests, int nrequests)
{
	int			cost = 3 + nrequests;

	for (int i = 0; i < nrequests; i++)
		cost += requests[i].known && !rc_uint256_is_zero(&requests[i].seen);
	return cost;
}

const rc_observer rc_esplora_observer = {start, cancel};
