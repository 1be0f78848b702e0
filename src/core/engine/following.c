/* following.c: steps along the chain of a network */
#include "core/engine/loop.h"

#include "core/chain/chain.h"

/* The cursor's lease, while the step waits for a node */
void
rc_following_renew(rc_loop *loop)
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

/* A step of following a chain has ended, with all of its statements run */
static void
followed(void *arg, rc_followed *followed)
{
	rc_loop    *loop = arg;
	rc_engine  *engine = loop->engine;
	rc_cycle_report report = {.counters.cycles = 1,.followed = true,.blocks = followed->blocks,
	.transactions = followed->transactions,.payments = followed->payments};
	bool		news;

	loop->follow = NULL;
	if (followed->stale)
	{
		rc_loop_refresh_soon(loop);
		return;
	}
	if (!followed->claimed)
	{
		loop->follow_at_ms = rc_loop_next_due_ms(loop, true);
		return;
	}
	loop->follow_at_ms = 0;
	if (followed->failure != NULL)
		rc_reporter_error(&engine->reporter, followed->failure);
	news = rc_cycle_log_failure(&loop->follow_log, engine->options->host, loop->network, followed->failure);
	news |= rc_loop_take_outcomes(engine, &followed->outcomes, &report.counters);
	report.counters.errors += followed->failure != NULL;
	report.counters.skipped += followed->lease_lost;
	rc_loop_end_cycle(loop, &report, loop->follow_started_ms, news);
}

/* When the next step along the network's chain may begin; INT64_MAX: not by this worker */
static int64_t
next_follow_ms(const rc_loop *loop)
{
	const rc_chain *chain = rc_chain_of(loop->network->kind);
	int64_t		ask_ms = rc_loop_may_ask_ms(loop);

	if (chain == NULL || chain->blocks == NULL || !loop->network->has_cursor || loop->follow != NULL)
		return INT64_MAX;
	return ask_ms > loop->follow_at_ms ? ask_ms : loop->follow_at_ms;
}

void
rc_following_step(rc_loop *loop)
{
	rc_engine  *engine = loop->engine;
	const rc_engine_options *options = engine->options;

	if (rc_now_ms() < next_follow_ms(loop) || rc_loop_stopping(engine))
		return;
	if (loop->follower == NULL)
		loop->follower = rc_follower_create();
	loop->follow_started_ms = rc_now_ms();
	loop->follow = rc_follow_start(engine->http, options->host, options->store, options->worker_id,
								   loop->network, loop->follower, followed, loop);
}

int64_t
rc_following_next_ms(const rc_loop *loop)
{
	return loop->follow != NULL ? rc_follow_renew_at(loop->follow) : next_follow_ms(loop);
}

void
rc_following_end(rc_loop *loop)
{
	if (loop->follow != NULL)
		rc_follow_cancel(loop->follow);
	loop->follow = NULL;
}
