/* exchange.h: a list of JSON-RPC calls to one endpoint, as one array, as smaller arrays, or one by one */
#ifndef RC_EXCHANGE_H
#define RC_EXCHANGE_H

#include "core/net/http.h"
#include "core/net/jsonrpc.h"

/* The code of a call that was refused by HTTP status, not by a JSON-RPC error: -status */
#define RC_RPC_CODE_HTTP(status) (-(status))

typedef struct rc_exchange_request
{
	const char *url;			/* secrets of it and of userpwd never stand in a failure or an error */
	const char *userpwd;		/* "user:password"; NULL: what stands in the URL */
	long		timeout_ms;		/* of each HTTP request */
	const rc_rpc_call *calls;
	int			ncalls;

	/*
	 * The most calls that the endpoint takes in one array: 0 not known, 1 no
	 * arrays. Lowered when the endpoint refuses a larger one; must outlive the
	 * exchange. NULL: it takes any.
	 */
	int		   *array_size;

	/*
	 * Bitcoin Core: an error is its call's answer, also under an HTTP status
	 * of its own. False: one that is about the endpoint and not the call (rate
	 * limit, no such block) makes the whole exchange a failure.
	 */
	bool		errors_are_answers;

	rc_meter   *meter;			/* counts its HTTP requests; must outlive the exchange. NULL: nobody does */
} rc_exchange_request;

typedef struct rc_exchange_result
{
	rc_failure	failure;		/* the endpoint's fault; no text: every call has its reply. Taken over if text is set to NULL */
	rc_rpc_reply *replies;		/* valid during the call */
	int			nreplies;
} rc_exchange_result;

/* What a call's error says of its endpoint; RC_FAILURE_NONE: nothing, it is about the call */
extern rc_failure_code rc_exchange_judge(int64_t code, const char *message);

typedef void (*rc_exchange_done) (void *arg, rc_exchange_result *result);

typedef struct rc_exchange rc_exchange;

/*
 * Sends the calls; everything but array_size is copied. A connection whose
 * answer isn't the one to its request is closed, and the exchange fails. done
 * is called from an rc_http_step.
 */
extern rc_exchange *rc_exchange_start(rc_http *http, const rc_exchange_request *request,
									  rc_exchange_done done, void *arg);

/* An exchange that sends nothing and fails; takes over the failure */
extern rc_exchange *rc_exchange_fail(rc_http *http, const char *url, rc_failure failure,
									 rc_exchange_done done, void *arg);
extern void rc_exchange_cancel(rc_exchange *exchange);

#endif
