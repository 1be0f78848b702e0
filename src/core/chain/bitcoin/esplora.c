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

/* Failed addresses in a row, no success between them, that put the blame on the endpoint */
#define MAX_FAILURES 4

/* Failures in a row after which an endpoint's answers count, though it fails at some addresses */
#define LAST_RESORT 2

/* How often a look begins again when the chain is reorganised under it, and after how long */
#define MAX_RESTARTS 2
#define RESTART_MS 250

/* An answer of a cache that is older says nothing of now; servers allow 10 s */
#define MAX_AGE_S 30

/* What is remembered of the endpoint */
esplora_learned *
esplora_learned_of(const esplora_look *look)
{
	rc_endpoint *endpoint = look->attempt->endpoint;

	if (endpoint->learned == NULL)
		endpoint->learned = rc_calloc(1, sizeof(esplora_learned));
	return endpoint->learned;
}

/* Forgets what was found; the next round, or the next endpoint, finds it anew */
static void
clear_results(esplora_look *look)
{
	rc_attempt *attempt = look->attempt;

	for (int i = 0; i < attempt->nrequests; i++)
	{
		free(attempt->observation->results[i].error);
		memset(&attempt->observation->results[i], 0, sizeof(rc_result));
	}
	free(look->trouble.text);
	look->trouble.text = NULL;
}

/* The endpoint is at fault; takes over failure */
void
esplora_fail(esplora_look *look, rc_failure failure)
{
	if (look->outcome != ESPLORA_RUNNING)
	{
		free(failure.text);
		return;
	}
	look->outcome = ESPLORA_FAILED;
	look->failure = failure;
}

/* One request has an error in place of amounts; takes over error */
void
esplora_fail_request(esplora_look *look, int index, char *error)
{
	rc_result  *result = &look->attempt->observation->results[index];

	free(result->error);
	result->error = error;
}

/*
 * May the endpoint's other answers count, though it failed at an address? Not as
 * long as another endpoint may know that address. But an address that no
 * endpoint can tell of must not hide the others for good.
 */
static bool
is_last_resort(const esplora_look *look)
{
	const rc_attempt *attempt = look->attempt;

	return attempt->network->nendpoints == 1 || attempt->endpoint->failures >= LAST_RESORT;
}

/* A task gets no answer that can be used; takes over failure */
void
esplora_fail_task(esplora_task *task, rc_failure failure)
{
	esplora_look *look = task->look;

	if (task->index < 0 || ++look->failures >= MAX_FAILURES || !is_last_resort(look))
		esplora_fail(look, failure);
	else
	{
		esplora_fail_request(look, task->index, rc_strdup(failure.text));
		if (look->trouble.text == NULL)
			look->trouble = failure;
		else
			free(failure.text);
	}
	esplora_end_task(task);
}

/* Every request has its result: blocks of the observation, and is it worth anything? */
void
esplora_succeed(esplora_look *look)
{
	rc_observation *observation = look->attempt->observation;

	/* Nothing but failures: then not the addresses are at fault */
	if (look->successes == 0 && look->trouble.text != NULL)
	{
		esplora_fail(look, look->trouble);
		look->trouble.text = NULL;
		return;
	}
	observation->tip = look->tip;
	if (look->attempt->network->confirmations == 1)
		observation->depth = observation->tip;
	else if (look->depth_height >= 0)
	{
		observation->depth.known = true;
		observation->depth.height = (uint64_t) look->depth_height;
	}
	look->outcome = ESPLORA_SUCCEEDED;
}

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
void
esplora_conclude(esplora_look *look)
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
		clear_results(look);
	free_look(look);
	if (outcome == ESPLORA_FAILED)
	{
		rc_attempt_failed(attempt, failure);
		return;
	}
	rc_attempt_succeeded(attempt);
	if (rest_ms > 0)
		endpoint->retry_at_ms = rc_now_ms() + rest_ms;
}

/* Begins the round through all requests once the tip is known */
void
esplora_begin_round(esplora_look *look)
{
	rc_attempt *attempt = look->attempt;

	look->depth_height = (int64_t) look->tip.height - attempt->network->confirmations + 1;
	if (look->depth_height < 0)
		look->depth_height = -1;
	look->in_round = true;
	look->taken = 0;
	look->successes = 0;
	look->failures = 0;
	memset(look->claimed, 0, sizeof(look->claimed));
	look->any_claimed = false;

	/* Where an endpoint's budget doesn't last for a round, each request must get its turn */
	look->first = attempt->nrequests > 0 ? (int) (rc_now_ms() % attempt->nrequests) : 0;
}

/* The answers of the round contradict each other: once more from the start, or the endpoint's failure */
void
esplora_restart(esplora_task *task, const char *why)
{
	esplora_look *look = task->look;

	esplora_learned_of(look)->tip.known = false;
	if (look->restarts++ >= MAX_RESTARTS)
	{
		esplora_fail(look, rc_failure_make(RC_FAILURE_INCONSISTENT, "%s", why));
		esplora_end_task(task);
		return;
	}
	clear_results(look);
	task->not_before_ms = rc_now_ms() + RESTART_MS;
	esplora_go_on(task, ESPLORA_TIP_HASH);
}

/* The next request with a valid address becomes a task; false if there is none left */
bool
esplora_take_request(esplora_look *look)
{
	rc_attempt *attempt = look->attempt;

	while (look->taken < attempt->nrequests)
	{
		int			index = (look->first + look->taken++) % attempt->nrequests;
		const rc_request *request = &attempt->requests[index];
		const char *problem = NULL;

		if (request->token != NULL)
			problem = "Bitcoin has no tokens: token_contract must be null";
		else
			problem = rc_btc_address_script(request->address, look->chain, &look->scripts[index]);
		if (problem == NULL)
		{
			esplora_add_task(look, ESPLORA_SUMS, index);
			return true;
		}
		esplora_fail_request(look, index, rc_strdup(problem));
	}
	return false;
}

/* Every address was asked for: what was found must be in the tip's chain, and the tip must still stand */
void
esplora_end_round(esplora_look *look)
{
	look->in_round = false;
	esplora_add_task(look, look->any_claimed ? ESPLORA_RECENT : ESPLORA_CHECK, -1);
}

/* Acts on what came for a task's HTTP request */
void
esplora_take_answer(esplora_task *task, const rc_http_response *response)
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

/* rc_observer.start */
static void
start(rc_attempt *attempt)
{
	esplora_look *look = rc_calloc(1, sizeof(*look));

	attempt->state = look;
	look->attempt = attempt;
	look->scripts = rc_calloc(attempt->nrequests > 0 ? (size_t) attempt->nrequests : 1, sizeof(rc_btc_script));
	look->rest_ms = -1;
	look->chain = rc_btc_network_of(attempt->network->network);
	if (look->chain == NULL)
		esplora_fail(look, rc_failure_make(RC_FAILURE_WRONG_CHAIN,
										   "no Bitcoin network is called \"%s\": mainnet, testnet, testnet4, signet, regtest",
										   attempt->network->network));
	else
		esplora_add_task(look, attempt->endpoint->verified ? ESPLORA_TIP_HASH : ESPLORA_GENESIS, -1);
	esplora_conclude(look);
}

/* rc_observer.cancel */
static void
cancel(rc_attempt *attempt)
{
	clear_results(attempt->state);
	free_look(attempt->state);
}

/* rc_observer.cost: tip, newest blocks and check; each address; the transactions of those that were paid */
static int
cost(const rc_request *requests, int nrequests)
{
	int			cost = 3 + nrequests;

	for (int i = 0; i < nrequests; i++)
		cost += requests[i].known && !rc_uint256_is_zero(&requests[i].seen);
	return cost;
}

const rc_observer rc_esplora_observer = {start, cancel, cost};
