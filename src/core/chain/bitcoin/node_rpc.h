/* node_rpc.h: calls to a Bitcoin Core node, with its ways of authentication */
#ifndef RC_BTC_NODE_RPC_H
#define RC_BTC_NODE_RPC_H

#include "core/net/http.h"
#include "core/net/jsonrpc.h"
#include "core/protocol/network.h"

typedef struct rc_bitcoind_call rc_bitcoind_call;

/*
 * failure->text: NULL, or why there are no replies (taken over if set to NULL;
 * secrets of the endpoint are redacted). The replies are valid during the call.
 */
typedef void (*rc_bitcoind_done) (void *arg, rc_rpc_reply *replies, int nreplies, rc_failure *failure);

/*
 * Sends the calls in one HTTP request. endpoint->url is the node's
 * http://host:port/, with user:password@ before the host, or ?cookie=/path/to/.cookie
 * at the end: the file is read at each call, as the node writes it at each start.
 * timeout_ms is for the whole.
 */
extern rc_bitcoind_call *rc_bitcoind_start(rc_http *http, const rc_endpoint *endpoint, long timeout_ms,
										   const rc_rpc_call *calls, int ncalls, size_t max_response,
										   rc_bitcoind_done done, void *arg);
extern void rc_bitcoind_cancel(rc_bitcoind_call *call);

#endif
