/* engine.c: claim, observe, settle; several networks and batches at once, in one thread */
#include "core/engine/engine.h"

#include "core/engine/loop.h"
#include "core/protocol/protocol.h"

#define MAINTAIN_INTERVAL_MS	60000

static void
maintain(rc_engine *engine)
{
	const rc_engine_options *options = engine->options;

	if (!engine->available || rc_now_ms() < engine->maintain_at_ms)
		return;
	engine->maintain_at_ms = rc_now_ms() + MAINTAIN_INTERVAL_MS;
	rc_protocol_maintain(options->store, options->worker_id);
}

static bool
in_flight(rc_engine *engine)
{
	if (rc_webhooks_in_flight(engine->webhooks))
		return true;
	for (rc_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		if (loop->ncycles > 0 || loop->follow != NULL)
			return true;
	return false;
}

/* Prolongs leases, and begins what is due */
static void
go_on(rc_engine *engine)
{
	for (rc_loop *loop = engine->loops; loop != NULL; loop = loop->next)
	{
		rc_following_renew(loop);
		rc_looking_renew(loop);
	}
	engine->exhausted = true;
	rc_networks_replace(engine);
	for (rc_loop *loop = engine->loops; loop != NULL; loop = loop->next)
	{
		rc_following_step(loop);
		rc_tips_step(loop);
		rc_looking_claim(loop);
	}
}

/* Time until the next thing that the clock makes due */
static long
time_to_wait(rc_engine *engine)
{
	int64_t		until = engine->refresh_at_ms;
	int64_t		now = rc_now_ms();

	if (engine->available && rc_webhooks_next_ms(engine->webhooks) < until)
		until = rc_webhooks_next_ms(engine->webhooks);
	for (const rc_loop *loop = engine->loops; loop != NULL; loop = loop->next)
	{
		if (rc_looking_next_ms(loop) < until)
			until = rc_looking_next_ms(loop);
		if (rc_following_next_ms(loop) < until)
			until = rc_following_next_ms(loop);
		if (rc_tips_next_ms(loop) < until)
			until = rc_tips_next_ms(loop);
	}
	return until > now ? (long) (until - now) : 0;
}

/* Tells the database how the worker and its endpoints do */
static void
report(rc_engine *engine, bool stopped)
{
	const rc_engine_options *options = engine->options;
	rc_reporter *reporter = &engine->reporter;

	if (!options->report || !engine->available || (!stopped && !rc_reporter_is_due(reporter)))
		return;
	rc_report_begin(reporter);
	for (rc_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		rc_report_network(reporter, loop->network, &loop->report);
	if (!rc_report_send(reporter, options, engine->state, engine->networks, &engine->counters, stopped))
		return;
	for (rc_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		rc_report_told(loop->network, &loop->report);
}

/* Gives every lease back, so that nobody has to wait for its end */
static void
release_all(rc_engine *engine)
{
	rc_loop_publish(engine, RC_STATE_STOPPING);
	rc_webhooks_free(engine->webhooks);
	for (rc_loop *loop = engine->loops; loop != NULL; loop = loop->next)
	{
		rc_looking_end(loop);
		rc_following_end(loop);
		rc_tips_end(loop);
	}
	report(engine, true);
	rc_networks_free(engine);
	rc_reporter_free(&engine->reporter);
}

void
rc_engine_run(const rc_engine_options *options)
{
	rc_engine	engine = {.options = options};

	engine.http = rc_http_create(options->host);
	engine.webhooks = rc_webhooks_start(engine.http, options->host, options->store, options->worker_id);
	rc_loop_publish(&engine, RC_STATE_STARTING);
	while (!rc_loop_stopping(&engine))
	{
		rc_networks_refresh(&engine);
		maintain(&engine);
		go_on(&engine);
		rc_webhooks_step(engine.webhooks, engine.available && !rc_loop_stopping(&engine));
		if (options->once && engine.available && engine.exhausted && !in_flight(&engine) && rc_webhooks_flush(engine.webhooks))
			break;
		if (rc_loop_stopping(&engine))
			break;
		rc_loop_publish(&engine, in_flight(&engine) ? RC_STATE_OBSERVING : RC_STATE_IDLE);
		report(&engine, false);
		rc_http_step(engine.http, time_to_wait(&engine));
		for (rc_loop *loop = engine.loops; loop != NULL; loop = loop->next)
			rc_looking_finish(loop);
	}
	release_all(&engine);
	rc_http_free(engine.http);
}
