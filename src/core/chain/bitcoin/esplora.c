/*
 * esplora.c: looks at Bitcoin addresses through an Esplora HTTP API
 *
 * One look is: the tip (1 request, 2 when it is new), each address's sums
 * (1 request), for an address with something in a block at more than one
 * confirmation its transactions until all of the sum is found (mostly 1
 * request), and at the end the hash at the height of the tip (1 request): if it
 * is still the tip that the look began with, then so is every block below it,
 * and what was counted at the confirmation depth holds. What arrived since
 * counts as seen, which is right at any moment.
 *
 * Every request is a task; tasks run side by side, and a task that was refused
 * with HTTP 429 runs again when the endpoint wants to be asked again.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/chain/bitcoin/address.h"
#include "core/chain/bitcoin/esplora_json.h"
#include "core/base/memory.h"
#include "core/chain/observer.h"

/* HTTP requests of one look that are under way at a time */
#define MAX_IN_FLIGHT 8

/* Failed addresses in a row, no success between them, that put the blame on the endpoint */
#define MAX_FAILURES 4

/* How often a look begins again when the chain is reorganised under it */
#define MAX_RESTARTS 2

/* Pages of 25 transactions of one address; beyond it the address is its own error */
#define MAX_PAGES 40

/* Waiting for an endpoint that answers 429: without Retry-After; at most at a time; over a look */
#define PAUSE_MS 1000
#define MAX_PAUSE_MS 15000
#define MAX_PAUSES_MS 60000

/* Between two requests to an endpoint that has answered 429: from, to */
#define MIN_PACE_MS 10
#define MAX_PACE_MS 2000

/* Answers in a row after which the pace is raised again */
#define PACE_SUCCESSES 50

typedef enum step
{
	STEP_GENESIS,
	STEP_TIP_HASH,
	STEP_TIP_BLOCK,
	STEP_STATS,
	STEP_PAGE,
	STEP_CHECK
} step;

typedef struct esplora_look esplora_look;

/* One address, or one of the requests about the chain */
typedef struct task
{
	esplora_look *look;
	struct task *next;			/* of those that wait */
	struct task *prev_active;
	struct task *next_active;
	rc_transfer *transfer;		/* NULL: waits */
	step		step;
	int			index;			/* the request in the batch, for STEP_STATS and STEP_PAGE */
	rc_esplora_stats stats;
	uint64_t	listed;
	uint64_t	deep;
	int			pages;
	bool		again;			/* its answers didn't fit together once already */
	char		last_txid[RC_BTC_HASH_SIZE];
} task;

typedef enum outcome
{
	RUNNING,
	SUCCEEDED,
	FAILED
} outcome;

struct esplora_look
{
	rc_attempt *attempt;
	const rc_btc_network *chain;
	rc_btc_script *scripts;		/* of each request; length 0: the address is wrong */
	bool		in_round;		/* the tip is known, addresses are asked for */
	int			first;			/* where the round through the requests begins */
	int			taken;			/* requests that have a task or need none */
	task	   *waiting;
	task	   *active;
	int			nactive;
	rc_timer   *timer;
	int64_t		paused_until_ms;
	int64_t		next_send_ms;
	long		paused_ms;		/* over the whole look */
	int			successes;		/* addresses looked at */
	int			failures;		/* in a row */
	bool		any_settled;
	int			restarts;
	int64_t		depth_height;	/* -1: the chain isn't that long */

	/* How it ended: acted on by conclude, when nobody uses the look any more */
	outcome		outcome;
	char	   *error;
	long		retry_after_ms;
	rc_failure_code code;		/* of the last request that failed */
};

/* What is remembered of an endpoint between looks */
typedef struct learned
{
	rc_block	tip;
	long		pace_ms;
	int			answers;		/* since the pace was changed */
} learned;

static void pump(esplora_look *look);

static learned *
learned_of(esplora_look *look)
{
	rc_endpoint *endpoint = look->attempt->endpoint;

	if (endpoint->learned == NULL)
		endpoint->learned = rc_calloc(1, sizeof(learned));
	return endpoint->learned;
}

static void
activate(task *task)
{
	esplora_look *look = task->look;

	task->prev_active = NULL;
	task->next_active = look->active;
	if (look->active != NULL)
		look->active->prev_active = task;
	look->active = task;
	look->nactive++;
}

static void
deactivate(task *task)
{
	esplora_look *look = task->look;

	if (task->prev_active != NULL)
		task->prev_active->next_active = task->next_active;
	else
		look->active = task->next_active;
	if (task->next_active != NULL)
		task->next_active->prev_active = task->prev_active;
	look->nactive--;
}

static void
add_task(esplora_look *look, step step, int index)
{
	task	   *task = rc_calloc(1, sizeof(*task));

	task->look = look;
	task->step = step;
	task->index = index;
	task->next = look->waiting;
	look->waiting = task;
}

/* Ends every request that is under way or waits */
static void
drop_tasks(esplora_look *look)
{
	while (look->active != NULL)
	{
		task	   *task = look->active;

		if (task->transfer != NULL)
			rc_http_cancel(task->transfer);
		deactivate(task);
		free(task);
	}
	while (look->waiting != NULL)
	{
		task	   *task = look->waiting;

		look->waiting = task->next;
		free(task);
	}
	if (look->timer != NULL)
		rc_timer_cancel(look->timer);
	look->timer = NULL;
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
}

/* The endpoint is at fault; takes over error */
static void
fail(esplora_look *look, long retry_after_ms, char *error)
{
	if (look->outcome != RUNNING)
	{
		free(error);
		return;
	}
	look->outcome = FAILED;
	look->error = error;
	look->retry_after_ms = retry_after_ms;
}

static void
fail_request(esplora_look *look, int index, char *error)
{
	rc_result  *result = &look->attempt->observation->results[index];

	free(result->error);
	result->error = error;
}

/* Every request has its result: blocks of the observation, and is it worth anything? */
static void
succeed(esplora_look *look)
{
	rc_attempt *attempt = look->attempt;
	rc_observation *observation = attempt->observation;

	/* Nothing but failures: then not the addresses are at fault */
	if (look->successes == 0 && look->failures > 0)
	{
		char	   *error = NULL;

		for (int i = 0; i < attempt->nrequests && error == NULL; i++)
		{
			if (look->scripts[i].len > 0 && observation->results[i].error != NULL)
				error = rc_strdup(observation->results[i].error);
		}
		fail(look, -1, error ? error : rc_strdup("no address could be looked at"));
		return;
	}
	observation->tip = learned_of(look)->tip;
	if (attempt->network->confirmations == 1)
		observation->depth = observation->tip;
	else if (look->depth_height >= 0)
	{
		observation->depth.known = true;
		observation->depth.height = (uint64_t) look->depth_height;
	}
	look->outcome = SUCCEEDED;
}

static void
free_look(esplora_look *look)
{
	drop_tasks(look);
	look->attempt->state = NULL;
	free(look->scripts);
	free(look->error);
	free(look);
}

/* The end of whatever was called by HTTP client or timer: goes on, or hands the outcome over */
static void
conclude(esplora_look *look)
{
	rc_attempt *attempt = look->attempt;
	rc_endpoint *endpoint = attempt->endpoint;
	outcome		outcome;
	long		retry_after_ms;
	rc_failure_code code;
	char	   *error;

	if (look->outcome == RUNNING)
		pump(look);
	outcome = look->outcome;
	if (outcome == RUNNING)
		return;
	error = look->error;
	look->error = NULL;
	retry_after_ms = look->retry_after_ms;
	code = look->code != RC_FAILURE_NONE ? look->code : RC_FAILURE_MALFORMED;
	if (outcome == FAILED)
		clear_results(look);
	free_look(look);
	if (outcome == FAILED)
	{
		rc_attempt_failed(attempt, (rc_failure) {code, error, retry_after_ms});
		return;
	}
	rc_attempt_succeeded(attempt);
	if (retry_after_ms > 0)
		endpoint->retry_at_ms = rc_now_ms() + retry_after_ms;
}

/* Begins the round through all requests once the tip is known */
static void
begin_round(esplora_look *look)
{
	rc_attempt *attempt = look->attempt;
	int			confirmations = attempt->network->confirmations;

	look->depth_height = (int64_t) learned_of(look)->tip.height - confirmations + 1;
	if (look->depth_height < 0)
		look->depth_height = -1;
	look->in_round = true;
	look->taken = 0;
	look->successes = 0;
	look->failures = 0;
	look->any_settled = false;

	/* Where an endpoint's budget doesn't last for a round, each request must get its turn */
	look->first = attempt->nrequests > 0 ? (int) (rc_now_ms() % attempt->nrequests) : 0;
}

/* The next request with a valid address becomes a task, if there is one left */
static void
take_request(esplora_look *look)
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
			add_task(look, STEP_STATS, index);
			return;
		}
		fail_request(look, index, rc_strdup(problem));
	}
}

static char *
task_url(const task *task)
{
	const rc_attempt *attempt = task->look->attempt;
	const char *base = attempt->endpoint->url;
	int			len = (int) strlen(base);
	const rc_btc_script *script;
	char	   *address;
	char	   *url;

	while (len > 0 && base[len - 1] == '/')
		len--;
	switch (task->step)
	{
		case STEP_GENESIS:
			return rc_asprintf("%.*s/block-height/0", len, base);
		case STEP_TIP_HASH:
			return rc_asprintf("%.*s/blocks/tip/hash", len, base);
		case STEP_TIP_BLOCK:
			return rc_asprintf("%.*s/block/%s", len, base, task->last_txid);
		case STEP_CHECK:
			return rc_asprintf("%.*s/block-height/%" PRIu64, len, base, learned_of(task->look)->tip.height);
		default:
			break;
	}

	/* Letters and digits only, or it would not have a script; bech32 in the form that servers index */
	address = rc_strdup(attempt->requests[task->index].address);
	script = &task->look->scripts[task->index];
	if (script->bytes[1] == script->len - 2)
	{
		for (char *c = address; *c != '\0'; c++)
			*c = (char) tolower((unsigned char) *c);
	}
	if (task->step == STEP_STATS)
		url = rc_asprintf("%.*s/address/%s", len, base, address);
	else
		url = rc_asprintf("%.*s/address/%s/txs/chain%s%s", len, base, address,
						  task->last_txid[0] ? "/" : "", task->last_txid);
	free(address);
	return url;
}

/* Takes a task out of its look for good */
static void
end_task(task *task)
{
	deactivate(task);
	free(task);
}

/* The task's next HTTP request */
static void
go_on(task *task, step next)
{
	esplora_look *look = task->look;

	deactivate(task);
	task->step = next;
	task->next = look->waiting;
	look->waiting = task;
}

static void
set_result(task *task, uint64_t settled)
{
	rc_result  *result = &task->look->attempt->observation->results[task->index];

	rc_uint256_from_u64(&result->seen, task->stats.chain_funded + task->stats.mempool_funded);
	rc_uint256_from_u64(&result->settled, settled);
	task->look->successes++;
	task->look->failures = 0;
	task->look->any_settled |= settled > 0;
	end_task(task);
}

/* The address's sums are known: is there anything whose depth matters? */
static void
take_stats(task *task)
{
	esplora_look *look = task->look;

	task->listed = 0;
	task->deep = 0;
	task->pages = 0;
	task->last_txid[0] = '\0';
	if (task->stats.chain_funded == 0 || look->depth_height < 0)
		set_result(task, 0);
	else if (look->attempt->network->confirmations == 1)
		set_result(task, task->stats.chain_funded);
	else
		go_on(task, STEP_PAGE);
}

/* This address could not be looked at; too many of them, and it is the endpoint */
static void
fail_task(task *task, char *error)
{
	esplora_look *look = task->look;

	if (task->step != STEP_STATS && task->step != STEP_PAGE)
		fail(look, -1, error);
	else if (++look->failures >= MAX_FAILURES)
		fail(look, -1, error);
	else
		fail_request(look, task->index, error);
	end_task(task);
}

/* All pages were read and the sum wasn't reached: the chain has changed between two answers */
static void
retry_address(task *task)
{
	if (task->again)
	{
		fail_task(task, rc_strdup("the address's transactions don't add up to its sum"));
		return;
	}
	task->again = true;
	go_on(task, STEP_STATS);
}

static void
take_page(task *task, const rc_esplora_page *page)
{
	bool		stuck = strcmp(page->last_txid, task->last_txid) == 0;

	task->listed += page->listed;
	task->deep += page->deep;
	task->pages++;
	if (task->listed >= task->stats.chain_funded)
		set_result(task, task->deep);
	else if (page->ntransactions == 0 || stuck)
		retry_address(task);
	else if (task->pages >= MAX_PAGES)
	{
		fail_request(task->look, task->index, rc_strdup("the address has too many transactions to look through"));
		end_task(task);
	}
	else
	{
		memcpy(task->last_txid, page->last_txid, sizeof(task->last_txid));
		go_on(task, STEP_PAGE);
	}
}

/* The tip is the one that is known, or has to be asked for */
static void
take_tip_hash(task *task, const char *hash)
{
	learned    *known = learned_of(task->look);

	if (known->tip.known && strcmp(known->tip.hash, hash) == 0)
	{
		begin_round(task->look);
		end_task(task);
		return;
	}
	memcpy(task->last_txid, hash, RC_BTC_HASH_SIZE);
	go_on(task, STEP_TIP_BLOCK);
}

static void
take_genesis(task *task, const char *hash)
{
	esplora_look *look = task->look;

	if (strcmp(hash, look->chain->genesis) != 0)
	{
		fail(look, -1, rc_asprintf("the endpoint serves another chain than Bitcoin's %s: its first block is %s",
								   look->chain->name, hash));
		end_task(task);
		return;
	}
	look->attempt->endpoint->verified = true;
	go_on(task, STEP_TIP_HASH);
}

/* Everything was asked: does the tip of the beginning still stand? */
static void
take_check(task *task, const char *hash)
{
	esplora_look *look = task->look;

	if (strcmp(hash, learned_of(look)->tip.hash) == 0)
	{
		succeed(look);
		end_task(task);
		return;
	}
	learned_of(look)->tip.known = false;
	if (look->restarts++ >= MAX_RESTARTS)
	{
		fail(look, -1, rc_strdup("the chain is reorganised faster than it can be looked at"));
		end_task(task);
		return;
	}
	clear_results(look);
	go_on(task, STEP_TIP_HASH);
}

/* Parses the answer to a task's request and acts on it; NULL, or what is wrong with it */
static char *
take_answer(task *task, const rc_http_response *response)
{
	char		hash[RC_BTC_HASH_SIZE];
	rc_esplora_page page;
	char	   *error;

	switch (task->step)
	{
		case STEP_GENESIS:
		case STEP_TIP_HASH:
		case STEP_CHECK:
			error = rc_esplora_parse_hash(response->body, response->body_len, hash);
			if (error != NULL)
				return error;
			if (task->step == STEP_GENESIS)
				take_genesis(task, hash);
			else if (task->step == STEP_TIP_HASH)
				take_tip_hash(task, hash);
			else
				take_check(task, hash);
			return NULL;
		case STEP_TIP_BLOCK:
			error = rc_esplora_parse_block(response->body, response->body_len, &learned_of(task->look)->tip);
			if (error != NULL)
				return error;
			begin_round(task->look);
			end_task(task);
			return NULL;
		case STEP_STATS:
			error = rc_esplora_parse_stats(response->body, response->body_len, &task->stats);
			if (error == NULL)
				take_stats(task);
			return error;
		case STEP_PAGE:
			{
				char		script[RC_BTC_SCRIPT_HEX_SIZE];

				rc_btc_script_to_hex(&task->look->scripts[task->index], script);
				error = rc_esplora_parse_page(response->body, response->body_len, script,
											  task->look->depth_height, &page);
				if (error == NULL)
					take_page(task, &page);
				return error;
			}
	}
	return rc_strdup("unknown step");
}

/* The patience with a rate limit is over: what was found counts, the rest is asked for next time */
static void
end_early(esplora_look *look, long retry_after_ms, const char *error)
{
	rc_attempt *attempt = look->attempt;
	task	   *lists[2] = {look->active, look->waiting};

	if (look->successes == 0)
	{
		fail(look, retry_after_ms, rc_strdup(error));
		return;
	}
	for (task *task = lists[0]; task != NULL; task = task->next_active)
		fail_request(look, task->index, rc_strdup(error));
	for (task *task = lists[1]; task != NULL; task = task->next)
		fail_request(look, task->index, rc_strdup(error));
	for (; look->taken < attempt->nrequests; look->taken++)
		fail_request(look, (look->first + look->taken) % attempt->nrequests, rc_strdup(error));
	drop_tasks(look);
	look->in_round = false;
	look->retry_after_ms = retry_after_ms;

	/* Where the endpoint wants to be left alone for long, the tip can't be checked: what counted as settled is not known */
	if (look->any_settled && retry_after_ms > MAX_PAUSE_MS)
	{
		for (int i = 0; i < attempt->nrequests; i++)
		{
			rc_result  *result = &attempt->observation->results[i];

			if (result->error == NULL && !rc_uint256_is_zero(&result->settled))
				result->error = rc_strdup(error);
		}
		succeed(look);
	}
	else if (look->any_settled)
		add_task(look, STEP_CHECK, -1);
	else
		succeed(look);
}

/* The endpoint wants to be asked less often */
static void
slow_down(task *task, long retry_after_ms)
{
	static const char error[] = "HTTP 429: the endpoint limits the rate of requests";
	esplora_look *look = task->look;
	learned    *known = learned_of(look);
	long		pause_ms = retry_after_ms >= 0 ? retry_after_ms : PAUSE_MS;
	int64_t		now = rc_now_ms();

	/* Of those under way, only the first counts */
	if (now >= look->paused_until_ms)
	{
		known->pace_ms = known->pace_ms > 0 ? known->pace_ms * 2 : MIN_PACE_MS;
		if (known->pace_ms > MAX_PACE_MS)
			known->pace_ms = MAX_PACE_MS;
		known->answers = 0;
		look->paused_ms += pause_ms;
	}
	if (now + pause_ms > look->paused_until_ms)
		look->paused_until_ms = now + pause_ms;
	/* Where nothing was found yet, another endpoint may do better */
	if (look->successes > 0 && pause_ms <= MAX_PAUSE_MS && look->paused_ms <= MAX_PAUSES_MS)
		go_on(task, task->step);
	else if (task->step == STEP_STATS || task->step == STEP_PAGE)
		end_early(look, pause_ms, error);
	else
	{
		fail(look, pause_ms, rc_strdup(error));
		end_task(task);
	}
}

/* A good answer of an endpoint that was slowed down: in time, a little faster */
static void
speed_up(esplora_look *look)
{
	learned    *known = learned_of(look);

	if (known->pace_ms == 0 || ++known->answers < PACE_SUCCESSES)
		return;
	known->pace_ms -= (known->pace_ms + 9) / 10;
	known->answers = 0;
}

/* A task's HTTP request has ended */
static void
on_answer(void *arg, const rc_http_response *response)
{
	task	   *task = arg;
	esplora_look *look = task->look;
	bool		json = task->step == STEP_STATS || task->step == STEP_PAGE || task->step == STEP_TIP_BLOCK;
	rc_failure	failure;
	char	   *error;

	task->transfer = NULL;
	if (response->error == NULL && response->status == 429)
	{
		slow_down(task, response->retry_after_ms);
		conclude(look);
		return;
	}
	failure = rc_response_failure(response, json);
	error = failure.text;
	if (error != NULL)
		look->code = failure.code;
	else
	{
		speed_up(look);
		error = take_answer(task, response);
	}
	if (error != NULL && response->error == NULL && response->status == 400 && task->step == STEP_STATS)
	{
		/* The address itself is refused */
		fail_request(look, task->index, error);
		end_task(task);
	}
	else if (error != NULL)
		fail_task(task, error);
	conclude(look);
}

/* Sends a task's HTTP request */
static void
send_task(task *task)
{
	rc_attempt *attempt = task->look->attempt;
	rc_http_request request = {0};
	char	   *url = task_url(task);

	request.url = url;
	request.timeout_ms = attempt->network->request_timeout_ms;
	activate(task);
	task->transfer = rc_http_start(attempt->http, &request, on_answer, task);
	free(url);
}

static void
on_timer(void *arg)
{
	esplora_look *look = arg;

	look->timer = NULL;
	conclude(look);
}

/* Milliseconds between two requests: the network's budget, or what the endpoint bears */
static long
pace_of(esplora_look *look)
{
	double		rate = look->attempt->network->rate_limit;
	long		pace_ms = learned_of(look)->pace_ms;
	long		budget_ms = rate > 0 ? (long) (1000 / rate) : 0;

	return pace_ms > budget_ms ? pace_ms : budget_ms;
}

/* The next task to send; NULL: there is none now */
static task *
next_task(esplora_look *look)
{
	task	   *task;

	if (look->waiting == NULL && look->in_round)
		take_request(look);
	task = look->waiting;
	if (task != NULL)
		look->waiting = task->next;
	return task;
}

/* When the round is complete: the last request, or the end */
static void
end_round(esplora_look *look)
{
	look->in_round = false;
	if (look->any_settled)
		add_task(look, STEP_CHECK, -1);
	else
		succeed(look);
}

/* Sends what may be sent now, and sets the timer for the rest */
static void
pump(esplora_look *look)
{
	while (look->outcome == RUNNING && look->nactive < MAX_IN_FLIGHT)
	{
		int64_t		now = rc_now_ms();
		int64_t		at = look->paused_until_ms > look->next_send_ms ? look->paused_until_ms : look->next_send_ms;
		task	   *task;

		if (now < at)
		{
			if (look->timer == NULL)
				look->timer = rc_http_after(look->attempt->http, (long) (at - now), on_timer, look);
			return;
		}
		task = next_task(look);
		if (task != NULL)
		{
			send_task(task);
			look->next_send_ms = now + pace_of(look);
		}
		else if (look->nactive == 0 && look->in_round)
			end_round(look);
		else
			return;
	}
}

static void
start(rc_attempt *attempt)
{
	esplora_look *look = rc_calloc(1, sizeof(*look));

	attempt->state = look;
	look->attempt = attempt;
	look->scripts = rc_calloc(attempt->nrequests > 0 ? (size_t) attempt->nrequests : 1, sizeof(rc_btc_script));
	look->retry_after_ms = -1;
	look->chain = rc_btc_network_of(attempt->network->network);
	if (look->chain == NULL)
		fail(look, -1, rc_asprintf("no Bitcoin network is called \"%s\": mainnet, testnet, testnet4, signet, regtest",
								   attempt->network->network));
	else
		add_task(look, attempt->endpoint->verified ? STEP_TIP_HASH : STEP_GENESIS, -1);
	conclude(look);
}

static void
cancel(rc_attempt *attempt)
{
	clear_results(attempt->state);
	free_look(attempt->state);
}

const rc_observer rc_esplora_observer = {start, cancel};
