/* exchange.h: a list of JSON-RPC calls to one endpoint, as one array, as smaller arrays, or one by one */
#ifndef RC_EXCHANGE_H
#define RC_EXCHANGE_H

#include "core/net/http.h"
#include "core/net/jsonrpc.h"

/* The code of a call that was refused by HTTP status, not by a JSON-RPC error: -status */
#define RC_RPC_CODE_HTTP(status) (-(status))

typedef struct rc_exchange_result
{
	rc_failure	failure;		/* the endpoint's fault; no text: every call has its reply. Taken over if text is set to NULL */
	rc_rpc_reply *replies;		/* valid during the call */
	int			nreplies;
} rc_exchange_result;

typedef void (*rc_exchange_done) (void *arg, rc_exchange_result *result);

typedef struct rc_exchange rc_exchange;

/*
 * Sends the calls (whose texts are copied). *array_size is the most calls that
 * the endpoint takes in one array: 0 not known, 1 no arrays; it is lowered when
 * the endpoint refuses a larger one, and must outlive the exchange. A JSON-RPC
 * error that is about the endpoint and not the call (rate limit, no such block)
 * makes the whole exchange a failure.
 */
extern rc_exchange *rc_exchange_start(rc_http *http, const char *url, long timeout_ms,
									  const rc_rpc_call *calls, int ncalls, int *array_size,
									  rc_exchange_done done, void *arg);
extern void rc_exchange_cancel(rc_exchange *exchange);

#endif
