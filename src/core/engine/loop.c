/* loop.c: what looking at a network and following it have in common: outcomes, logs, and when to ask */
#include "core/engine/loop.h"

#include <stdio.h>
#include <string.h>

#include "core/protocol/protocol.h"

/* How soon a worker asks again after settings that were old */
#define STALE_RETRY_MS			100

bool
rc_loop_stopping(rc_engine *engine)
{
	return engine->options->host->stop_requested(engine->options->host->ctx);
}

/* For which networks a call is under way: one after the other, cut to fit */
static void
name_networks(rc_engine *engine)
{
	size_t		len = 0;

	engine->networks[0] = '\0';
	for (rc_loop *loop = engine->loops; loop != NULL && len < sizeof(engine->networks) - 1; loop = loop->next)
	{
		if (loop->ncycles > 0 || loop->follow != NULL)
			len += (size_t) snprintf(engine->networks + len, sizeof(engine->networks) - len, "%s%s/%s",
									 len > 0 ? ", " : "", loop->network->chain, loop->network->network);
	}
}

void
rc_loop_publish(rc_engine *engine, rc_state state)
{
	if (engine->state != state)
		engine->reporter.due = true;
	engine->state = state;
	name_networks(engine);
	if (engine->options->progress != NULL)
		engine->options->progress(engine->options->progress_ctx, state, engine->networks, &engine->counters);
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
bool
rc_loop_take_outcomes(rc_engine *engine, const rc_rows *outcomes, rc_counters *counters)
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
void
rc_loop_end_cycle(rc_loop *loop, rc_cycle_report *report, int64_t started_ms, bool news)
{
	rc_engine  *engine = loop->engine;
	const rc_engine_options *options = engine->options;

	report->latency_ms = rc_now_ms() - started_ms;
	rc_cycle_log_end(report->followed ? &loop->follow_log : &loop->log, options->host, loop->network, report,
					 options->log_cycles != NULL ? (rc_log_cycles) *options->log_cycles : RC_LOG_CYCLES_CHANGES, news);
	rc_counters_add(&engine->counters, &report->counters);
	loop->report.tally.scanned += report->counters.scanned;
	loop->report.tally.blocks += report->blocks;
	loop->report.tally.transactions += report->transactions;
	loop->report.tally.payments += report->payments;
	engine->reporter.due = true;
}

/* A configuration of a network is out of date: all of them are read anew before the next claim */
void
rc_loop_refresh_soon(rc_loop *loop)
{
	loop->engine->refresh_at_ms = 0;
	loop->claim_at_ms = loop->follow_at_ms = rc_now_ms() + STALE_RETRY_MS;
}

/* No batch was due, or not the cursor: when to ask again */
int64_t
rc_loop_next_due_ms(const rc_loop *loop, bool of_cursor)
{
	long		due_ms;

	if (rc_protocol_due_in(loop->engine->options->store, loop->network, of_cursor, &due_ms) != RC_STORE_OK ||
		due_ms < 0 || due_ms > RC_CLAIM_RETRY_MS)
		due_ms = RC_CLAIM_RETRY_MS;

	/* Due now, yet not to be had: somebody has it locked, or builds the queue */
	return rc_now_ms() + (due_ms < 10 ? 10 : due_ms);
}

/*
 * When this worker may ask the network's endpoints; INT64_MAX: never. Who has
 * nobody to ask leaves the requests to those who have, and finds out nothing
 * about them.
 */
int64_t
rc_loop_may_ask_ms(const rc_loop *loop)
{
	if (!loop->engine->available || loop->removed || loop->replacement != NULL)
		return INT64_MAX;
	return rc_endpoints_rest_until(loop->network->endpoints, loop->network->nendpoints);
}
