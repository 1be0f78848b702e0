/* http_internal.h: what http.c and timer.c share */
#ifndef RC_HTTP_INTERNAL_H
#define RC_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "core/net/http.h"

struct rc_http
{
	const rc_host *host;
	CURLM	   *multi;
	rc_transfer *transfers;
	rc_timer   *timers;			/* earliest first */
	uint64_t	timers_made;
	int64_t		curl_due_ms;	/* when curl wants to be called, -1: never */
	rc_socket  *sockets;
	int			nsockets;
	int			max_sockets;
	uint64_t	generation;
};

/* timer.c */
extern void rc_timers_fire(rc_http *http);
extern bool rc_timers_next(const rc_http *http, int64_t *due_ms);
extern void rc_timers_free(rc_http *http);

/* Forgets the timer that would call fn with arg, if there is one */
extern void rc_timers_forget(rc_http *http, rc_timer_fn fn, const void *arg);

#endif
