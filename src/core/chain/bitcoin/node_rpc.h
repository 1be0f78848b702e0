/* node_rpc.h: calls to a Bitcoin Core node, with its ways of authentication */
#ifndef RC_BTC_NODE_RPC_H
#define RC_BTC_NODE_RPC_H

#include "core/net/endpoint.h"
#include "core/net/exchange.h"

/*
 * Sends the calls in one HTTP request. endpoint->url is the node's
 * http://host:port/, with user:password@ before the host, or ?cookie=/path/to/.cookie
 * at the end: the file is read at each call, as the node writes it at each start,
 * by this process and with its rights. Each result has max_answer bytes at most
 * (0: few). An error of a call is its answer, not a failure.
 */
extern rc_exchange *rc_bitcoind_start(rc_http *http, rc_endpoint *endpoint, long timeout_ms,
									  const rc_rpc_call *calls, int ncalls, size_t max_answer,
									  rc_exchange_done done, void *arg);

/*
 * What url says besides the address of the node: *address is the URL without
 * its cookie parameter, *cookie the path, NULL if there is none; both rc_malloc'd.
 */
extern void rc_bitcoind_split_url(const char *url, char **address, char **cookie);

/* "__cookie__:…" of a node's cookie file, rc_malloc'd; NULL, with *problem (rc_malloc'd) saying why not. Never waits */
extern char *rc_bitcoind_read_cookie(const char *path, char **problem);

#endif
