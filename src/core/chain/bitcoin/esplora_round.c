/* esplora_round.c: one round through the addresses of a look: its beginning, its end, and what went wrong */
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
void
esplora_clear_results(esplora_look *look)
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
	esplora_clear_results(look);
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
