/* http.h: asynchronous HTTP over curl multi, and timers, driven by rc_http_step */
#ifndef RC_HTTP_H
#define RC_HTTP_H

#include "core/base/host.h"
#include "core/base/memory.h"
#include "core/net/failure.h"
#include "core/net/meter.h"

struct sockaddr;

typedef struct rc_http rc_http;
typedef struct rc_transfer rc_transfer;
typedef struct rc_timer rc_timer;

typedef struct rc_http_request
{
	const char *url;			/* http or https */
	const char *body;			/* NULL: GET; else POST as application/json */
	size_t		body_len;
	const char *userpwd;		/* "user:password" or NULL */
	long		timeout_ms;		/* whole transfer; connecting gets at most half */
	size_t		max_response;	/* bytes; 0: the default cap of 32 MiB */
	rc_meter   *meter;			/* counts it; must outlive the transfer. NULL: nobody does */
	const char *const *headers; /* more of them, "name: value"; ended by NULL, or NULL */
	bool		discard_body;	/* the status is enough */

	/*
	 * May the address be connected to? Asked for each that is really about to
	 * be, and again for a connection that is used anew; there is no proxy
	 * then. NULL: any. Called with libcurl below it: must not throw.
	 */
	bool		(*may_connect) (void *arg, const struct sockaddr *address);
	void	   *may_connect_arg;
} rc_http_request;

typedef struct rc_http_response
{
	long		status;			/* 0: no HTTP answer */
	const char *body;			/* NUL-terminated for convenience */
	size_t		body_len;
	long		retry_after_ms; /* from Retry-After (seconds or HTTP date), -1: none */
	const char *error;			/* NULL if an HTTP answer came whole; else what failed (DNS, connect, TLS,
								 * timeout, too large), without the URL */
	rc_failure_code code;		/* of error */
	int			socket;			/* of the connection it came on, if that is kept; -1 */
	long		age_s;			/* seconds that it lay in a cache, if that says so; else 0 */
} rc_http_response;

/* The response is valid only during the call. Never called from inside rc_http_start. */
typedef void (*rc_http_done) (void *arg, const rc_http_response *response);
typedef void (*rc_timer_fn) (void *arg);

extern rc_http *rc_http_create(const rc_host *host);
extern void rc_http_free(rc_http *http);

/* Copies url, body and userpwd */
extern rc_transfer *rc_http_start(rc_http *http, const rc_http_request *request, rc_http_done done, void *arg);

/*
 * For done: the response wasn't what belongs to the request. Whatever else
 * comes on its connection may be late as well, so that isn't used again.
 */
extern void rc_http_distrust(const rc_http_response *response);

/* done is not called for a transfer that was cancelled */
extern void rc_http_cancel(rc_transfer *transfer);

extern rc_timer *rc_http_after(rc_http *http, long ms, rc_timer_fn fn, void *arg);
extern void rc_timer_cancel(rc_timer *timer);

/* Waits at most max_wait_ms for something to happen, then calls what is ready: done functions and timers */
extern void rc_http_step(rc_http *http, long max_wait_ms);

#endif
