/* esplora_pace.c: which request of a look may be sent when: side by side, at the network's rate, and as the endpoint bears it */
#include "core/chain/bitcoin/esplora.h"

#include <stdlib.h>

#include "core/base/memory.h"

/* HTTP requests of one look that are under way at a time */
#define MAX_IN_FLIGHT 8

/* Waiting for an endpoint that answers 429: without Retry-After; at most at a time; over a look; ever */
#define PAUSE_MS 1000
#define MAX_PAUSE_MS 15000
#define MAX_PAUSES_MS 60000
#define LONGEST_PAUSE_MS (10 * 60 * 1000)

/* Between two requests to an endpoint that has answered 429: from, to */
#define MIN_PACE_MS 10
#define MAX_PACE_MS 2000

/* Answers in a row after which the pace is raised again */
#define PACE_SUCCESSES 50

/* The patience with a rate limit is over: what was found counts, the rest is asked for next time */
static void
end_early(esplora_look *look, long pause_ms, const char *error)
{
	rc_attempt *attempt = look->attempt;

	if (look->successes == 0)
	{
		esplora_fail(look, (rc_failure) {RC_FAILURE_LIMITED, rc_strdup(error), pause_ms});
		return;
	}
	for (esplora_task *task = look->active; task != NULL; task = task->next_active)
		esplora_fail_request(look, task->index, rc_strdup(error));
	for (esplora_task *task = look->waiting; task != NULL; task = task->next)
		esplora_fail_request(look, task->index, rc_strdup(error));
	for (; look->taken < attempt->nrequests; look->taken++)
		esplora_fail_request(look, (look->first + look->taken) % attempt->nrequests, rc_strdup(error));
	esplora_drop_tasks(look);
	look->rest_ms = pause_ms;
	if (pause_ms <= MAX_PAUSE_MS)
	{
		esplora_end_round(look);
		return;
	}

	/* The endpoint wants to be left alone for long, so nothing can be checked: what is in a block isn't known */
	for (int i = 0; i < attempt->nrequests; i++)
	{
		rc_result  *result = &attempt->observation->results[i];

		if (result->error == NULL && !rc_uint256_is_zero(&result->settled))
			result->error = rc_strdup(error);
	}
	look->in_round = false;
	esplora_succeed(look);
}

/* The endpoint wants to be asked less often */
void
esplora_slow_down(esplora_task *task, long retry_after_ms)
{
	static const char error[] = "HTTP 429: the endpoint limits the rate of requests";
	esplora_look *look = task->look;
	esplora_learned *learned = esplora_learned_of(look);
	long		pause_ms = retry_after_ms >= 0 ? retry_after_ms : PAUSE_MS;
	int64_t		now = rc_now_ms();

	if (pause_ms > LONGEST_PAUSE_MS)
		pause_ms = LONGEST_PAUSE_MS;

	/* Of those under way, only the first counts */
	if (now >= look->paused_until_ms)
	{
		learned->pace_ms = learned->pace_ms > 0 ? learned->pace_ms * 2 : MIN_PACE_MS;
		if (learned->pace_ms > MAX_PACE_MS)
			learned->pace_ms = MAX_PACE_MS;
		learned->answers = 0;
		look->paused_ms += pause_ms;
	}
	if (now + pause_ms > look->paused_until_ms)
		look->paused_until_ms = now + pause_ms;

	/* Where nothing was found yet, another endpoint may do better */
	if (look->successes > 0 && pause_ms <= MAX_PAUSE_MS && look->paused_ms <= MAX_PAUSES_MS)
		esplora_go_on(task, task->step);
	else if (task->index >= 0)
		end_early(look, pause_ms, error);
	else
	{
		esplora_fail(look, (rc_failure) {RC_FAILURE_LIMITED, rc_strdup(error), pause_ms});
		esplora_end_task(task);
	}
}

/* A good answer of an endpoint that was slowed down: in time, a little faster */
void
esplora_speed_up(esplora_look *look)
{
	esplora_learned *learned = esplora_learned_of(look);

	if (learned->pace_ms == 0 || ++learned->answers < PACE_SUCCESSES)
		return;
	learned->pace_ms -= (learned->pace_ms + 9) / 10;
	learned->answers = 0;
}

static void
on_timer(void *arg)
{
	esplora_look *look = arg;

	look->timer = NULL;
	look->resume(look);
}

/* Goes on at a time, if nothing happens before */
static void
wait_until(esplora_look *look, int64_t at_ms)
{
	if (look->timer != NULL)
		rc_timer_cancel(look->timer);
	look->timer = rc_http_after(look->attempt->http, (long) (at_ms - rc_now_ms()), on_timer, look);
}

/* Milliseconds between two requests: the network's budget, or what the endpoint bears */
static long
pace_of(const esplora_look *look)
{
	double		rate = look->attempt->network->rate_limit;
	long		pace_ms = esplora_learned_of(look)->pace_ms;
	long		budget_ms = rate > 0 ? (long) (1000 / rate) : 0;

	return pace_ms > budget_ms ? pace_ms : budget_ms;
}

/* Takes out the next task to send; NULL: there is none now, *at is when there may be one */
static esplora_task *
next_task(esplora_look *look, int64_t now, int64_t *at)
{
	*at = INT64_MAX;
	do
	{
		for (esplora_task **link = &look->waiting; *link != NULL; link = &(*link)->next)
		{
			esplora_task *task = *link;

			if (task->not_before_ms <= now)
			{
				*link = task->next;
				return task;
			}
			if (task->not_before_ms < *at)
				*at = task->not_before_ms;
		}
	} while (look->in_round && esplora_take_request(look));
	return NULL;
}

/* Sends what may be sent now, and sets the timer for the rest */
void
esplora_pump(esplora_look *look)
{
	while (look->outcome == ESPLORA_RUNNING && look->nactive < MAX_IN_FLIGHT)
	{
		int64_t		now = rc_now_ms();
		int64_t		at = look->paused_until_ms > look->next_send_ms ? look->paused_until_ms : look->next_send_ms;
		esplora_task *task;

		if (now < at)
		{
			wait_until(look, at);
			return;
		}
		task = next_task(look, now, &at);
		if (task != NULL)
		{
			esplora_send(task);
			look->next_send_ms = now + pace_of(look);
		}
		else if (look->waiting != NULL)
		{
			wait_until(look, at);
			return;
		}
		else if (look->nactive == 0 && look->in_round)
			esplora_end_round(look);
		else
			return;
	}
}
