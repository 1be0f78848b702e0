/* looking.c: batches of a network: claimed, looked at, settled; several at a time */
#include "core/engine/loop.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/chain.h"
#include "core/protocol/protocol.h"

/*
 * Batches of one network that a worker has under lease at a time: so many that
 * the endpoint's round trip passes with the statements for others
 */
#define MIN_IN_FLIGHT			4
#define MAX_IN_FLIGHT			16

/* An average gives so much weight to what is new */
#define AVERAGE_OVER			8

/* HTTP requests that take_budget reserves at a time */
#define MAX_RESERVED			10000

/* How often settle hears of the tip of a network on which nothing changes */
#define TIP_REFRESH_MS			10000

/* One batch between its claim and its settlement */
struct rc_cycle
{
	rc_loop    *loop;
	rc_cycle   *next;
	rc_batch   *batch;
	rc_timer   *timer;			/* until the network's rate limit lets the look begin; else NULL */
	rc_look    *look;			/* NULL once observed */
	rc_observation *observation;
	bool		news;			/* a failure is one that wasn't logged yet */
	int			cost;			/* HTTP requests reserved of the network's rate limit; 0: it has none */
	int64_t		started_ms;
	int64_t		asked_ms;		/* when the look began, less what the worker had spent on statements */
	int64_t		renew_at_ms;
};

/* Milliseconds that the worker was free to hear an endpoint */
static int64_t
free_ms(const rc_engine *engine)
{
	return rc_now_ms() - engine->statements_ms;
}

/* A statement has ended that began at that time; returns what it took */
static int64_t
count_statement(rc_engine *engine, int64_t began_ms)
{
	int64_t		took_ms = rc_now_ms() - began_ms;

	engine->statements_ms += took_ms;
	return took_ms;
}

/* A clock that is set back makes no time negative */
static void
average(double *mean, int64_t sample)
{
	*mean += ((double) (sample > 0 ? sample : 0) - *mean) / AVERAGE_OVER;
}

/* While the rate limit holds looks back, more leases would only keep others waiting */
static int
most_in_flight(const rc_loop *loop)
{
	double		wanted;

	for (const rc_cycle *cycle = loop->cycles; cycle != NULL; cycle = cycle->next)
	{
		if (cycle->timer != NULL)
			return MIN_IN_FLIGHT;
	}
	if (loop->trip_ms < 1)
		return MIN_IN_FLIGHT;
	wanted = loop->trip_ms / (loop->statement_ms > 0.1 ? loop->statement_ms : 0.1) + 1;
	return wanted < MIN_IN_FLIGHT ? MIN_IN_FLIGHT : wanted > MAX_IN_FLIGHT ? MAX_IN_FLIGHT : (int) wanted;
}

static void
free_cycle(rc_cycle *cycle)
{
	rc_cycle  **link = &cycle->loop->cycles;

	while (*link != cycle)
		link = &(*link)->next;
	*link = cycle->next;
	cycle->loop->ncycles--;
	if (cycle->timer != NULL)
		rc_timer_cancel(cycle->timer);
	if (cycle->look != NULL)
		rc_look_cancel(cycle->look);
	rc_observation_free(cycle->observation);
	rc_batch_free(cycle->batch);
	free(cycle);
}

/* Settle refuses what the endpoint answered, or doesn't believe it: then nothing was observed. Takes over why */
static void
discard_observation(rc_observation *observation, char *why)
{
	free(observation->failure);
	observation->failure = why;
}

/* What settle says of a whole look; false: its rows are about requests */
static bool
take_look_outcome(rc_cycle *cycle, const rc_rows *outcomes, rc_counters *counters)
{
	const char *outcome = outcomes->nrows == 1 ? rc_cell(outcomes, 0, 0) : "";

	if (strcmp(outcome, "doubted") == 0)
	{
		counters->errors++;
		discard_observation(cycle->observation, rc_strdup(rc_cell(outcomes, 0, 5)));
	}
	else if (strcmp(outcome, "stale") == 0)
	{
		counters->skipped += cycle->batch->nrequests;
		rc_loop_refresh_soon(cycle->loop);
	}
	else
		return false;
	return true;
}

/* Data that can't be: the endpoint rests, and the failure is handed over in place of what it answered */
static char *
blame_endpoint(rc_cycle *cycle, bool release)
{
	rc_observation *observation = cycle->observation;
	int			errors;

	rc_endpoint_failed(observation->endpoint,
					   rc_failure_make(RC_FAILURE_MALFORMED, "the database refuses what it answered"));
	discard_observation(observation, rc_asprintf("%s: %s", observation->endpoint->shown, observation->endpoint->error));
	return rc_observation_to_json(observation, cycle->batch, true, release, &errors);
}

/* Gives the lease back together with what was observed, or with the failure */
static rc_store_status
settle(rc_engine *engine, rc_cycle *cycle, char *json, bool release, rc_counters *counters)
{
	const rc_engine_options *options = engine->options;
	rc_rows		outcomes = {0};
	rc_store_status status = rc_protocol_settle(options->store, options->worker_id, cycle->batch, json, &outcomes);

	if (status == RC_STORE_REFUSED && cycle->observation->endpoint != NULL)
	{
		counters->errors++;
		free(json);
		json = blame_endpoint(cycle, release);
		status = rc_protocol_settle(options->store, options->worker_id, cycle->batch, json, &outcomes);
	}
	if (status == RC_STORE_OK && !take_look_outcome(cycle, &outcomes, counters))
	{
		cycle->loop->tip_refresh_at_ms = rc_now_ms() + TIP_REFRESH_MS;
		cycle->news |= rc_loop_take_outcomes(engine, &outcomes, counters);
	}
	rc_rows_free(&outcomes);
	free(json);
	return status;
}

/* Tells the database what was observed, if there is anything to tell, and ends the lease if it should */
static void
hand_over(rc_engine *engine, rc_cycle *cycle, rc_counters *counters)
{
	const rc_engine_options *options = engine->options;
	rc_loop    *loop = cycle->loop;
	const rc_observation *observation = cycle->observation;
	bool		release = loop->network->poll_interval_ms != loop->network->lease_ms;
	bool		always = cycle->batch->failing || rc_now_ms() >= loop->tip_refresh_at_ms;
	int			errors;
	char	   *json = rc_observation_to_json(observation, cycle->batch, always, release, &errors);
	rc_store_status status = RC_STORE_OK;

	counters->errors += observation->failure ? 1 : errors;
	if (json != NULL)
		status = settle(engine, cycle, json, release, counters);
	else if (release)
		status = rc_protocol_release(options->store, options->worker_id, cycle->batch, false);
	counters->scanned += observation->failure ? 0 : cycle->batch->nrequests - errors;
	if (status == RC_STORE_LEASE_LOST)
		counters->skipped += cycle->batch->nrequests;
	else if (status != RC_STORE_OK)
	{
		counters->errors++;
		if (rc_loop_stopping(engine))
			rc_protocol_release(options->store, options->worker_id, cycle->batch, true);
	}
}

/* Reserves HTTP requests of a network's rate limit; returns the milliseconds until the first may be sent */
static long
reserve(const rc_loop *loop, int n)
{
	long		first_ms = 0;
	long		wait_ms;

	for (int taken = 0; taken < n; taken += MAX_RESERVED)
	{
		int			part = n - taken < MAX_RESERVED ? n - taken : MAX_RESERVED;

		(void) rc_protocol_take_budget(loop->engine->options->store, loop->network, part, &wait_ms);
		if (taken == 0)
			first_ms = wait_ms;
	}
	return first_ms;
}

/* A look that took more HTTP requests than were reserved: those after it wait for the rest */
static void
reserve_excess(const rc_cycle *cycle)
{
	if (cycle->cost > 0)
		(void) reserve(cycle->loop, cycle->observation->http_requests - cycle->cost);
}

/* The last step of a cycle: settle, count, log */
static void
finish_cycle(rc_engine *engine, rc_cycle *cycle)
{
	const rc_engine_options *options = engine->options;
	rc_loop    *loop = cycle->loop;
	rc_cycle_report report = {.counters = {.cycles = 1,.claimed = cycle->batch->nrequests}};

	rc_loop_publish(engine, RC_STATE_SETTLING);
	reserve_excess(cycle);
	loop->claim_at_ms = 0;
	if (cycle->observation->asked)
	{
		int64_t		began_ms = rc_now_ms();

		hand_over(engine, cycle, &report.counters);
		loop->claim_ms += count_statement(engine, began_ms);
		average(&loop->statement_ms, loop->claim_ms);
		loop->claim_ms = 0;
		if (cycle->observation->failure != NULL)
			rc_reporter_error(&engine->reporter, cycle->observation->failure);
		cycle->news |= rc_cycle_log_failure(&loop->log, options->host, loop->network, cycle->observation->failure);
	}
	else
	{
		/* The endpoints have begun to rest since the claim */
		report.counters.skipped += cycle->batch->nrequests;
		rc_protocol_release(options->store, options->worker_id, cycle->batch, true);
	}
	rc_loop_end_cycle(loop, &report, cycle->started_ms, cycle->news);
	free_cycle(cycle);
}

/* Called by the observer: keeps the observation for the main loop, which may run statements */
static void
observed(void *arg, rc_observation *observation)
{
	rc_cycle   *cycle = arg;

	cycle->look = NULL;
	cycle->observation = observation;
	average(&cycle->loop->trip_ms, free_ms(cycle->loop->engine) - cycle->asked_ms);
}

void
rc_looking_finish(rc_loop *loop)
{
	rc_cycle   *next;

	for (rc_cycle *cycle = loop->cycles; cycle != NULL; cycle = next)
	{
		next = cycle->next;
		if (cycle->observation != NULL)
			finish_cycle(loop->engine, cycle);
	}
}

static void
begin_look(void *arg)
{
	rc_cycle   *cycle = arg;
	rc_loop    *loop = cycle->loop;

	cycle->timer = NULL;
	cycle->asked_ms = free_ms(loop->engine);
	cycle->look = rc_look_start(loop->engine->http, loop->engine->options->host, loop->network, &cycle->batch->bounds,
								cycle->batch->requests, cycle->batch->nrequests, observed, cycle);
}

static void
start_cycle(rc_loop *loop, rc_batch *batch)
{
	rc_engine  *engine = loop->engine;
	rc_cycle   *cycle = rc_calloc(1, sizeof(*cycle));
	long		wait_ms;

	cycle->loop = loop;
	cycle->batch = batch;
	cycle->started_ms = rc_now_ms();
	cycle->renew_at_ms = cycle->started_ms + loop->network->lease_ms / 2;
	cycle->next = loop->cycles;
	loop->cycles = cycle;
	loop->ncycles++;
	loop->after = batch->lo;

	cycle->cost = rc_look_cost(loop->network, batch->requests, batch->nrequests);
	wait_ms = reserve(loop, cycle->cost);
	if (wait_ms > 0)
		cycle->timer = rc_http_after(engine->http, wait_ms, begin_look, cycle);
	else
		begin_look(cycle);
}

/* Another worker may have taken the batch */
static void
lose_lease(rc_cycle *cycle)
{
	rc_loop    *loop = cycle->loop;

	rc_log_event(loop->engine->options->host, RC_LOG_WARNING, "lease lost",
				 RC_FIELDS(rc_field_text("chain", loop->network->chain),
						   rc_field_text("network", loop->network->network),
						   rc_field_int("requests", cycle->batch->nrequests)), NULL);
	loop->engine->counters.skipped += cycle->batch->nrequests;
	free_cycle(cycle);
}

void
rc_looking_renew(rc_loop *loop)
{
	const rc_engine_options *options = loop->engine->options;
	int64_t		now = rc_now_ms();
	rc_cycle   *next;

	for (rc_cycle *cycle = loop->cycles; cycle != NULL; cycle = next)
	{
		next = cycle->next;
		if (now < cycle->renew_at_ms)
			continue;
		cycle->renew_at_ms = now + loop->network->lease_ms / 2;
		if (rc_protocol_renew(options->store, options->worker_id, cycle->batch, loop->network) == RC_STORE_LEASE_LOST)
			lose_lease(cycle);
	}
}

/* When a batch of the network may be claimed; INT64_MAX: not by this worker. Network 0 is only put in order */
static int64_t
next_claim_ms(const rc_loop *loop)
{
	const rc_chain *chain = rc_chain_of(loop->network->kind);
	int64_t		ask_ms = rc_loop_may_ask_ms(loop);

	if (loop->ncycles >= most_in_flight(loop))
		return INT64_MAX;
	if (loop->network->network_id == 0)
		return loop->engine->available && !loop->removed && loop->replacement == NULL ? loop->claim_at_ms : INT64_MAX;
	if (chain == NULL || chain->look == NULL || !loop->network->has_batches)
		return INT64_MAX;
	return ask_ms > loop->claim_at_ms ? ask_ms : loop->claim_at_ms;
}

void
rc_looking_claim(rc_loop *loop)
{
	rc_engine  *engine = loop->engine;
	const rc_engine_options *options = engine->options;

	while (rc_now_ms() >= next_claim_ms(loop) && !rc_loop_stopping(engine))
	{
		rc_batch   *batch;
		int64_t		began_ms = rc_now_ms();
		rc_store_status status = rc_protocol_claim(options->store, options->worker_id, loop->network,
												   loop->after, &batch);

		loop->claim_ms += count_statement(engine, began_ms);
		if (status == RC_STORE_OK && batch != NULL)
		{
			engine->exhausted = false;
			start_cycle(loop, batch);
		}
		else if (status == RC_STORE_OK)
			loop->claim_at_ms = rc_loop_next_due_ms(loop, false);
		else if (status == RC_STORE_STALE)
			rc_loop_refresh_soon(loop);
		else
		{
			engine->counters.errors++;
			loop->claim_at_ms = rc_now_ms() + RC_CLAIM_RETRY_MS;
		}
	}
}

int64_t
rc_looking_next_ms(const rc_loop *loop)
{
	int64_t		next_ms = next_claim_ms(loop);

	for (const rc_cycle *cycle = loop->cycles; cycle != NULL; cycle = cycle->next)
	{
		if (cycle->renew_at_ms < next_ms)
			next_ms = cycle->renew_at_ms;
	}
	return next_ms;
}

/* It is due at once, for whoever comes first */
void
rc_looking_end(rc_loop *loop)
{
	const rc_engine_options *options = loop->engine->options;

	while (loop->cycles != NULL)
	{
		rc_protocol_release(options->store, options->worker_id, loop->cycles->batch, true);
		free_cycle(loop->cycles);
	}
}
