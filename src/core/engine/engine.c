/* engine.c: claim, observe, settle; several networks and batches at once, in one thread */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine/report.h"
#include "core/follow/follow.h"
#include "core/net/http.h"
#include "core/base/memory.h"
#include "core/chain/chain.h"
#include "core/chain/look.h"
#include "core/outbox/webhooks.h"
#include "core/protocol/protocol.h"

/* Batches of one network that a worker has under lease at a time: hides the round trip to the endpoint */
#define BATCHES_IN_FLIGHT		4

/* How often a worker asks for the networks, and for due batches while none is due */
#define NETWORKS_REFRESH_MS		2000
#define CLAIM_RETRY_MS			1000
#define STALE_RETRY_MS			100
#define MAINTAIN_INTERVAL_MS	60000

/* HTTP requests that take_budget reserves at a time */
#define MAX_RESERVED			10000

/* How often settle hears of the tip of a network on which nothing changes */
#define TIP_REFRESH_MS			10000

typedef struct engine engine;
typedef struct network_loop network_loop;

/* One batch between its claim and its settlement */
typedef struct cycle
{
	network_loop *loop;
	struct cycle *next;
	rc_batch   *batch;
	rc_timer   *timer;			/* until the network's rate limit lets the look begin; else NULL */
	rc_look    *look;			/* NULL once observed */
	rc_observation *observation;
	bool		news;			/* a failure is one that wasn't logged yet */
	int			cost;			/* HTTP requests reserved of the network's rate limit; 0: it has none */
	int64_t		started_ms;
	int64_t		renew_at_ms;
} cycle;

/* A network, and this worker's cycles on it */
struct network_loop
{
	engine	   *engine;
	network_loop *next;
	rc_network *network;
	rc_network *replacement;	/* a newer configuration, taken when no cycle is in flight */
	bool		removed;
	cycle	   *cycles;
	int			ncycles;
	rc_follower *follower;		/* of a chain that is followed block by block */
	rc_follow  *follow;			/* the step under way, or NULL */
	int64_t		follow_started_ms;
	int64_t		after;			/* where this worker last was in the network's batches */
	int64_t		claim_at_ms;
	int64_t		follow_at_ms;
	int64_t		tip_refresh_at_ms;
	rc_cycle_log log;
	rc_network_report report;
};

struct engine
{
	const rc_engine_options *options;
	rc_http    *http;
	network_loop *loops;
	rc_webhooks *webhooks;
	rc_state	state;
	rc_counters counters;
	char		networks[RC_PROGRESS_SIZE]; /* that it waits for */
	rc_reporter reporter;
	int64_t		refresh_at_ms;
	int64_t		maintain_at_ms;
	bool		available;		/* the extension answers */
	bool		exhausted;		/* the last round of claims found nothing due */
};

static bool
stopping(engine *engine)
{
	return engine->options->host->stop_requested(engine->options->host->ctx);
}

/* For which networks a call is under way: one after the other, cut to fit */
static void
name_networks(engine *engine)
{
	size_t		len = 0;

	engine->networks[0] = '\0';
	for (network_loop *loop = engine->loops; loop != NULL && len < sizeof(engine->networks) - 1; loop = loop->next)
	{
		if (loop->ncycles > 0 || loop->follow != NULL)
			len += (size_t) snprintf(engine->networks + len, sizeof(engine->networks) - len, "%s%s/%s",
									 len > 0 ? ", " : "", loop->network->chain, loop->network->network);
	}
}

static void
publish(engine *engine, rc_state state)
{
	if (engine->state != state)
		engine->reporter.due = true;
	engine->state = state;
	name_networks(engine);
	if (engine->options->progress != NULL)
		engine->options->progress(engine->options->progress_ctx, state, engine->networks, &engine->counters);
}

static void
free_cycle(cycle *cycle)
{
	struct cycle **link = &cycle->loop->cycles;

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

static void
free_loop(network_loop *loop)
{
	rc_cycle_log_flush(&loop->log, loop->engine->options->host, loop->network, true);
	while (loop->cycles != NULL)
		free_cycle(loop->cycles);
	if (loop->follow != NULL)
		rc_follow_cancel(loop->follow);
	rc_follower_free(loop->follower);
	rc_network_free(loop->network);
	rc_network_free(loop->replacement);
	rc_cycle_log_free(&loop->log);
	free(loop);
}

static void
count_transition(rc_counters *counters, const char *to_status)
{
	if (strcmp(to_status, "detected") == 0)
		counters->detected++;
	else if (strcmp(to_status, "confirmed") == 0)
		counters->confirmed++;
	else if (strcmp(to_status, "expired") == 0)
		counters->expired++;
}

/* Counts and logs what settle says happened to each request. True: a failure is new */
static bool
take_outcomes(engine *engine, const rc_rows *outcomes, rc_counters *counters)
{
	const rc_engine_options *options = engine->options;
	bool		news = false;

	for (int row = 0; row < outcomes->nrows; row++)
	{
		const char *outcome = rc_cell(outcomes, row, 0);
		const char *source = rc_cell(outcomes, row, 1);
		const char *request_id = rc_cell(outcomes, row, 2);

		if (strcmp(outcome, "transition") == 0)
		{
			count_transition(counters, rc_cell(outcomes, row, 4));
			rc_log_event(options->host, RC_LOG_INFO, "transition",
						 RC_FIELDS(rc_field_text("source", source),
								   rc_field_text("request_id", request_id),
								   rc_field_text("from", rc_cell(outcomes, row, 3)),
								   rc_field_text("to", rc_cell(outcomes, row, 4)),
								   rc_field_text("reason", rc_cell(outcomes, row, 5))), NULL);
		}
		else if (strcmp(outcome, "skipped") == 0)
			counters->skipped++;
		else
		{
			counters->errors++;
			rc_reporter_error(&engine->reporter, rc_cell(outcomes, row, 5));
			news |= rc_log_change(options->host, RC_LOG_WARNING, "request not settled",
								  RC_FIELDS(rc_field_text("source", source),
											rc_field_text("request_id", request_id),
											rc_field_text("outcome", outcome)), rc_cell(outcomes, row, 5));
		}
	}
	return news;
}

/* A cycle has ended: counts it, and logs it if there is something to say */
static void
end_cycle(network_loop *loop, rc_cycle_report *report, int64_t started_ms, bool news)
{
	engine	   *engine = loop->engine;
	const rc_engine_options *options = engine->options;

	report->latency_ms = rc_now_ms() - started_ms;
	rc_cycle_log_end(&loop->log, options->host, loop->network, report,
					 options->log_cycles != NULL ? (rc_log_cycles) *options->log_cycles : RC_LOG_CYCLES_CHANGES, news);
	rc_counters_add(&engine->counters, &report->counters);
	loop->report.tally.scanned += report->counters.scanned;
	loop->report.tally.blocks += report->blocks;
	loop->report.tally.transactions += report->transactions;
	loop->report.tally.payments += report->payments;
	engine->reporter.due = true;
}

/* A configuration of a network is out of date: all of them are read anew before the next claim */
static void
refresh_soon(network_loop *loop)
{
	loop->engine->refresh_at_ms = 0;
	loop->claim_at_ms = loop->follow_at_ms = rc_now_ms() + STALE_RETRY_MS;
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
take_look_outcome(cycle *cycle, const rc_rows *outcomes, rc_counters *counters)
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
		refresh_soon(cycle->loop);
	}
	else
		return false;
	return true;
}

/* Data that can't be: the endpoint rests, and the failure is handed over in place of what it answered */
static char *
blame_endpoint(cycle *cycle, bool release)
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
settle(engine *engine, cycle *cycle, char *json, bool release, rc_counters *counters)
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
		cycle->news |= take_outcomes(engine, &outcomes, counters);
	}
	rc_rows_free(&outcomes);
	free(json);
	return status;
}

/* Tells the database what was observed, if there is anything to tell, and ends the lease if it should */
static void
hand_over(engine *engine, cycle *cycle, rc_counters *counters)
{
	const rc_engine_options *options = engine->options;
	network_loop *loop = cycle->loop;
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
		if (stopping(engine))
			rc_protocol_release(options->store, options->worker_id, cycle->batch, true);
	}
}

/* Reserves HTTP requests of a network's rate limit; returns the milliseconds until the first may be sent */
static long
reserve(const network_loop *loop, int n)
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
reserve_excess(const cycle *cycle)
{
	if (cycle->cost > 0)
		(void) reserve(cycle->loop, cycle->observation->http_requests - cycle->cost);
}

/* The last step of a cycle: settle, count, log */
static void
finish_cycle(engine *engine, cycle *cycle)
{
	const rc_engine_options *options = engine->options;
	network_loop *loop = cycle->loop;
	rc_cycle_report report = {.counters = {.cycles = 1,.claimed = cycle->batch->nrequests}};

	publish(engine, RC_STATE_SETTLING);
	reserve_excess(cycle);
	loop->claim_at_ms = 0;
	if (cycle->observation->asked)
	{
		hand_over(engine, cycle, &report.counters);
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
	end_cycle(loop, &report, cycle->started_ms, cycle->news);
	free_cycle(cycle);
}

/* Called by the observer: keeps the observation for the main loop, which may run statements */
static void
observed(void *arg, rc_observation *observation)
{
	cycle	   *cycle = arg;

	cycle->look = NULL;
	cycle->observation = observation;
}

static void
finish_observed_cycles(engine *engine)
{
	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
	{
		cycle	   *next;

		for (cycle *cycle = loop->cycles; cycle != NULL; cycle = next)
		{
			next = cycle->next;
			if (cycle->observation != NULL)
				finish_cycle(engine, cycle);
		}
	}
}

/* A cursor's lease, while its step waits for a node */
static void
renew_follow(network_loop *loop)
{
	if (loop->follow == NULL || rc_follow_renew(loop->follow))
		return;
	rc_log_event(loop->engine->options->host, RC_LOG_WARNING, "lease lost",
				 RC_FIELDS(rc_field_text("chain", loop->network->chain),
						   rc_field_text("network", loop->network->network)), NULL);
	loop->engine->counters.skipped++;
	rc_follow_cancel(loop->follow);
	loop->follow = NULL;
}

/* Prolongs leases that are half over; gives up what another worker may have taken */
static void
renew_leases(engine *engine)
{
	const rc_engine_options *options = engine->options;
	int64_t		now = rc_now_ms();

	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
	{
		cycle	   *next;

		renew_follow(loop);
		for (cycle *cycle = loop->cycles; cycle != NULL; cycle = next)
		{
			next = cycle->next;
			if (now < cycle->renew_at_ms)
				continue;
			cycle->renew_at_ms = now + loop->network->lease_ms / 2;
			if (rc_protocol_renew(options->store, options->worker_id, cycle->batch, loop->network) != RC_STORE_LEASE_LOST)
				continue;
			rc_log_event(options->host, RC_LOG_WARNING, "lease lost",
						 RC_FIELDS(rc_field_text("chain", loop->network->chain),
								   rc_field_text("network", loop->network->network),
								   rc_field_int("requests", cycle->batch->nrequests)), NULL);
			engine->counters.skipped += cycle->batch->nrequests;
			free_cycle(cycle);
		}
	}
}

static void
begin_look(void *arg)
{
	cycle	   *cycle = arg;
	network_loop *loop = cycle->loop;

	cycle->timer = NULL;
	cycle->look = rc_look_start(loop->engine->http, loop->engine->options->host, loop->network, &cycle->batch->bounds,
								cycle->batch->requests, cycle->batch->nrequests, observed, cycle);
}

static void
start_cycle(network_loop *loop, rc_batch *batch)
{
	engine	   *engine = loop->engine;
	cycle	   *cycle = rc_calloc(1, sizeof(*cycle));
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

/* No batch was due, or not the cursor: when to ask again */
static int64_t
next_due_ms(const network_loop *loop, bool of_cursor)
{
	long		due_ms;

	if (rc_protocol_due_in(loop->engine->options->store, loop->network, of_cursor, &due_ms) != RC_STORE_OK ||
		due_ms < 0 || due_ms > CLAIM_RETRY_MS)
		due_ms = CLAIM_RETRY_MS;

	/* Due now, yet not to be had: somebody has it locked, or builds the queue */
	return rc_now_ms() + (due_ms < 10 ? 10 : due_ms);
}

/* A step of following a chain has ended, with all of its statements run */
static void
followed(void *arg, rc_followed *followed)
{
	network_loop *loop = arg;
	engine	   *engine = loop->engine;
	rc_cycle_report report = {.counters.cycles = 1,.followed = true,.blocks = followed->blocks,
	.transactions = followed->transactions,.payments = followed->payments};
	bool		news;

	loop->follow = NULL;
	if (followed->stale)
	{
		refresh_soon(loop);
		return;
	}
	if (!followed->claimed)
	{
		loop->follow_at_ms = next_due_ms(loop, true);
		return;
	}
	loop->follow_at_ms = 0;
	if (followed->failure != NULL)
		rc_reporter_error(&engine->reporter, followed->failure);
	news = rc_cycle_log_failure(&loop->log, engine->options->host, loop->network, followed->failure);
	news |= take_outcomes(engine, &followed->outcomes, &report.counters);
	report.counters.errors += followed->failure != NULL;
	report.counters.skipped += followed->lease_lost;
	end_cycle(loop, &report, loop->follow_started_ms, news);
}

/*
 * When this worker may ask the network's endpoints; INT64_MAX: never. Who has
 * nobody to ask leaves the requests to those who have, and finds out nothing
 * about them.
 */
static int64_t
may_ask_ms(const network_loop *loop)
{
	if (!loop->engine->available || loop->removed || loop->replacement != NULL)
		return INT64_MAX;
	return rc_endpoints_rest_until(loop->network->endpoints, loop->network->nendpoints);
}

/* When a batch of the network may be claimed; INT64_MAX: not by this worker. Network 0 is only put in order */
static int64_t
next_claim_ms(const network_loop *loop)
{
	const rc_chain *chain = rc_chain_of(loop->network->kind);
	int64_t		ask_ms = may_ask_ms(loop);

	if (loop->ncycles >= BATCHES_IN_FLIGHT)
		return INT64_MAX;
	if (loop->network->network_id == 0)
		return loop->engine->available && !loop->removed && loop->replacement == NULL ? loop->claim_at_ms : INT64_MAX;
	if (chain == NULL || chain->look == NULL || !loop->network->has_batches)
		return INT64_MAX;
	return ask_ms > loop->claim_at_ms ? ask_ms : loop->claim_at_ms;
}

/* When the next step along the network's chain may begin; INT64_MAX: not by this worker */
static int64_t
next_follow_ms(const network_loop *loop)
{
	const rc_chain *chain = rc_chain_of(loop->network->kind);
	int64_t		ask_ms = may_ask_ms(loop);

	if (chain == NULL || chain->blocks == NULL || !loop->network->has_cursor || loop->follow != NULL)
		return INT64_MAX;
	return ask_ms > loop->follow_at_ms ? ask_ms : loop->follow_at_ms;
}

/* Takes the next step along a chain, if it is due and no other worker is at it */
static void
follow_chain(engine *engine, network_loop *loop)
{
	const rc_engine_options *options = engine->options;

	if (rc_now_ms() < next_follow_ms(loop) || stopping(engine))
		return;
	if (loop->follower == NULL)
		loop->follower = rc_follower_create();
	loop->follow_started_ms = rc_now_ms();
	loop->follow = rc_follow_start(engine->http, options->host, options->store, options->worker_id,
								   loop->network, loop->follower, followed, loop);
}

/* Claims batches of one network until enough are in flight or none is due */
static void
claim_batches(engine *engine, network_loop *loop)
{
	const rc_engine_options *options = engine->options;

	while (rc_now_ms() >= next_claim_ms(loop) && !stopping(engine))
	{
		rc_batch   *batch;
		rc_store_status status = rc_protocol_claim(options->store, options->worker_id, loop->network,
												   loop->after, &batch);

		if (status == RC_STORE_OK && batch != NULL)
		{
			engine->exhausted = false;
			start_cycle(loop, batch);
		}
		else if (status == RC_STORE_OK)
			loop->claim_at_ms = next_due_ms(loop, false);
		else if (status == RC_STORE_STALE)
			refresh_soon(loop);
		else
		{
			engine->counters.errors++;
			loop->claim_at_ms = rc_now_ms() + CLAIM_RETRY_MS;
		}
	}
}

/* Gives up what is under way: it is due at once, for whoever comes first */
static void
end_looks(network_loop *loop)
{
	const rc_engine_options *options = loop->engine->options;

	while (loop->cycles != NULL)
	{
		rc_protocol_release(options->store, options->worker_id, loop->cycles->batch, true);
		free_cycle(loop->cycles);
	}
	if (loop->follow != NULL)
		rc_follow_cancel(loop->follow);
	loop->follow = NULL;
}

/* Adds a network, or takes note that its configuration has changed */
static void
update_loop(engine *engine, rc_network *network)
{
	network_loop *loop = engine->loops;

	while (loop != NULL && loop->network->network_id != network->network_id)
		loop = loop->next;
	if (loop == NULL)
	{
		loop = rc_calloc(1, sizeof(*loop));
		loop->engine = engine;
		loop->network = network;
		loop->after = -1;
		loop->next = engine->loops;
		engine->loops = loop;
		return;
	}
	loop->removed = false;
	rc_network_free(loop->replacement);
	loop->replacement = NULL;
	if (strcmp(loop->network->fingerprint, network->fingerprint) == 0)
		rc_network_free(network);
	else
	{
		/* What is being looked at by former settings would be refused as stale */
		if (loop->network->version != network->version)
			end_looks(loop);
		loop->replacement = network;
	}
}

/* Puts new configurations in place, and removes networks that are gone, where no cycle is in flight */
static void
replace_networks(engine *engine)
{
	network_loop **link = &engine->loops;

	while (*link != NULL)
	{
		network_loop *loop = *link;

		rc_cycle_log_flush(&loop->log, loop->engine->options->host, loop->network, false);
		if (loop->ncycles == 0 && loop->follow == NULL && loop->removed)
		{
			*link = loop->next;
			free_loop(loop);
			continue;
		}
		if (loop->ncycles == 0 && loop->follow == NULL && loop->replacement != NULL)
		{
			rc_network_free(loop->network);
			loop->network = loop->replacement;
			loop->replacement = NULL;
			loop->report.listed = false;
			loop->claim_at_ms = loop->follow_at_ms = 0;
		}
		link = &loop->next;
	}
}

static void
refresh_networks(engine *engine)
{
	const rc_engine_options *options = engine->options;
	rc_network **networks;
	int			n;
	rc_store_status status;

	if (rc_now_ms() < engine->refresh_at_ms)
		return;
	engine->refresh_at_ms = rc_now_ms() + NETWORKS_REFRESH_MS;
	status = rc_protocol_networks(options->store, options->worker_id, &options->overrides, &networks, &n);
	engine->available = status == RC_STORE_OK;
	if (!engine->available)
		return;
	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		loop->removed = true;
	for (int i = 0; i < n; i++)
		update_loop(engine, networks[i]);
	free(networks);
}

static void
maintain(engine *engine)
{
	const rc_engine_options *options = engine->options;

	if (!engine->available || rc_now_ms() < engine->maintain_at_ms)
		return;
	engine->maintain_at_ms = rc_now_ms() + MAINTAIN_INTERVAL_MS;
	rc_protocol_maintain(options->store, options->worker_id);
}

static bool
in_flight(engine *engine)
{
	if (rc_webhooks_in_flight(engine->webhooks))
		return true;
	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		if (loop->ncycles > 0 || loop->follow != NULL)
			return true;
	return false;
}

static void
claim_everywhere(engine *engine)
{
	engine->exhausted = true;
	replace_networks(engine);
	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
	{
		follow_chain(engine, loop);
		claim_batches(engine, loop);
	}
}

/* Time until the next thing that the clock makes due */
static long
time_to_wait(engine *engine)
{
	int64_t		until = engine->refresh_at_ms;
	int64_t		now = rc_now_ms();

	if (engine->available && rc_webhooks_next_ms(engine->webhooks) < until)
		until = rc_webhooks_next_ms(engine->webhooks);
	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
	{
		int64_t		claim_ms = next_claim_ms(loop);
		int64_t		follow_ms = next_follow_ms(loop);

		if (claim_ms < until)
			until = claim_ms;
		if (follow_ms < until)
			until = follow_ms;
		if (loop->follow != NULL && rc_follow_renew_at(loop->follow) < until)
			until = rc_follow_renew_at(loop->follow);
		for (cycle *cycle = loop->cycles; cycle != NULL; cycle = cycle->next)
			if (cycle->renew_at_ms < until)
				until = cycle->renew_at_ms;
	}
	return until > now ? (long) (until - now) : 0;
}

/* Tells the database how the worker and its endpoints do */
static void
report(engine *engine, bool stopped)
{
	const rc_engine_options *options = engine->options;
	rc_reporter *reporter = &engine->reporter;

	if (!options->report || !engine->available || (!stopped && !rc_reporter_is_due(reporter)))
		return;
	rc_report_begin(reporter);
	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		rc_report_network(reporter, loop->network, &loop->report);
	if (!rc_report_send(reporter, options, engine->state, engine->networks, &engine->counters, stopped))
		return;
	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		rc_report_told(loop->network, &loop->report);
}

/* Gives every lease back, so that nobody has to wait for its end */
static void
release_all(engine *engine)
{
	publish(engine, RC_STATE_STOPPING);
	rc_webhooks_free(engine->webhooks);
	for (network_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		end_looks(loop);
	report(engine, true);
	while (engine->loops != NULL)
	{
		network_loop *loop = engine->loops;

		engine->loops = loop->next;
		free_loop(loop);
	}
	rc_reporter_free(&engine->reporter);
}

void
rc_engine_run(const rc_engine_options *options)
{
	engine		engine = {.options = options};

	engine.http = rc_http_create(options->host);
	engine.webhooks = rc_webhooks_start(engine.http, options->host, options->store, options->worker_id);
	publish(&engine, RC_STATE_STARTING);
	while (!stopping(&engine))
	{
		refresh_networks(&engine);
		maintain(&engine);
		renew_leases(&engine);
		claim_everywhere(&engine);
		rc_webhooks_step(engine.webhooks, engine.available && !stopping(&engine));
		if (options->once && engine.available && engine.exhausted && !in_flight(&engine))
			break;
		if (stopping(&engine))
			break;
		publish(&engine, in_flight(&engine) ? RC_STATE_OBSERVING : RC_STATE_IDLE);
		report(&engine, false);
		rc_http_step(engine.http, time_to_wait(&engine));
		finish_observed_cycles(&engine);
	}
	release_all(&engine);
	rc_http_free(engine.http);
}
