/* look.h: one look at a list of requests of one network; one implementation for each kind of endpoint */
#ifndef RC_LOOK_H
#define RC_LOOK_H

#include "core/net/http.h"
#include "core/protocol/network.h"
#include "core/protocol/observation.h"

/* Owns observation after the call; called exactly once, from rc_http_step, unless cancelled */
typedef void (*rc_observed) (void *arg, rc_observation *observation);

typedef struct rc_look rc_look;

/*
 * Starts a look. network and requests must outlive it. Asks the network's
 * endpoints in order of preference, each once at most, leaving out those that
 * rest; when none is left the observation's failure says so (delivered from a
 * timer, never from inside this call). A tip beyond bounds is its endpoint's
 * failure.
 */
extern rc_look *rc_look_start(rc_http *http, const rc_host *host, rc_network *network,
							  const rc_tip_bounds *bounds, const rc_request *requests, int nrequests,
							  rc_observed done, void *arg);
extern void rc_look_cancel(rc_look *look);

/*
 * The HTTP requests of the network's rate_limit that a look will use, as far as
 * is known before; the observation says how many they were. 0: not limited.
 */
extern int	rc_look_cost(const rc_network *network, const rc_request *requests, int nrequests);

#endif
