/* observer.h: one look at a list of requests of one network; one implementation for each kind of endpoint */
#ifndef RC_OBSERVER_H
#define RC_OBSERVER_H

#include "http.h"
#include "network.h"

typedef struct rc_observation
{
	char	   *failure;		/* malloc'd; not NULL: nothing was observed, results say nothing */
	rc_block	tip;			/* the block that seen was read at */
	rc_block	depth;			/* the block that settled was read at */
	rc_result  *results;		/* nresults of them, in the order of the requests */
	int			nresults;
	uint64_t	chain_id;		/* which the endpoint was asked for, EIP-155; 0: the kind has none */
} rc_observation;

extern void rc_observation_free(rc_observation *observation);

/* Owns observation after the call; called exactly once, from rc_http_step, unless cancelled */
typedef void (*rc_observed) (void *arg, rc_observation *observation);

typedef struct rc_look rc_look;

/*
 * Starts a look. network and requests must outlive it. Tries the network's
 * endpoints in order of preference, leaving out those whose retry_at_ms has
 * not come; when none is left the observation's failure says so (delivered
 * from a timer, never from inside this call).
 */
extern rc_look *rc_look_start(rc_http *http, const rc_host *host, rc_network *network,
							  const rc_request *requests, int nrequests,
							  rc_observed done, void *arg);
extern void rc_look_cancel(rc_look *look);

#endif
