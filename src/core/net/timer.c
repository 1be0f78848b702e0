/* timer.c: functions to be called at a time, from rc_http_step */
#include "core/net/http_internal.h"

#include <stdlib.h>

struct rc_timer
{
	rc_http    *http;
	int64_t		due_ms;
	uint64_t	number;
	rc_timer_fn fn;
	void	   *arg;
	rc_timer   *next;
};

/* Calls fn once, from an rc_http_step, ms from now; the timer is gone when fn is called */
rc_timer *
rc_http_after(rc_http *http, long ms, rc_timer_fn fn, void *arg)
{
	rc_timer   *timer = rc_calloc(1, sizeof(*timer));
	rc_timer  **link = &http->timers;

	timer->http = http;
	timer->due_ms = rc_now_ms() + (ms > 0 ? ms : 0);
	timer->number = ++http->timers_made;
	timer->fn = fn;
	timer->arg = arg;
	while (*link != NULL && (*link)->due_ms <= timer->due_ms)
		link = &(*link)->next;
	timer->next = *link;
	*link = timer;
	return timer;
}

/* Forgets a timer that has not fired */
void
rc_timer_cancel(rc_timer *timer)
{
	rc_timer  **link = &timer->http->timers;

	while (*link != NULL && *link != timer)
		link = &(*link)->next;
	if (*link == timer)
		*link = timer->next;
	free(timer);
}

/* Calls the timers that are due, but not those that they make */
void
rc_timers_fire(rc_http *http)
{
	uint64_t	last = http->timers_made;
	int64_t		now = rc_now_ms();

	for (;;)
	{
		rc_timer  **link = &http->timers;
		rc_timer   *timer;
		rc_timer_fn fn;
		void	   *arg;

		while (*link != NULL && (*link)->due_ms <= now && (*link)->number > last)
			link = &(*link)->next;
		timer = *link;
		if (timer == NULL || timer->due_ms > now)
			return;
		*link = timer->next;
		fn = timer->fn;
		arg = timer->arg;
		free(timer);
		fn(arg);
	}
}

/* When the first timer is due; false if there is none */
bool
rc_timers_next(const rc_http *http, int64_t *due_ms)
{
	if (http->timers == NULL)
		return false;
	*due_ms = http->timers->due_ms;
	return true;
}

/* Forgets every timer */
void
rc_timers_free(rc_http *http)
{
	rc_timer   *next;

	for (rc_timer *timer = http->timers; timer != NULL; timer = next)
	{
		next = timer->next;
		free(timer);
	}
	http->timers = NULL;
}

/* Forgets the timer that would call fn with arg */
void
rc_timers_forget(rc_http *http, rc_timer_fn fn, const void *arg)
{
	rc_timer  **link = &http->timers;

	while (*link != NULL && ((*link)->fn != fn || (*link)->arg != arg))
		link = &(*link)->next;
	if (*link != NULL)
	{
		rc_timer   *timer = *link;

		*link = timer->next;
		free(timer);
	}
}
