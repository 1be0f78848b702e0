/* look.c: a look goes from endpoint to endpoint until one answers */
#include "core/chain/observer.h"
#include "core/chain/chain.h"

#include <stdlib.h>
#include <string.h>

struct rc_look
{
	rc_http    *http;
	const rc_host *host;
	rc_network *network;
	rc_tip_bounds bounds;
	const rc_request *requests;
	int			nrequests;
	rc_observed done;
	void	   *arg;
	const rc_observer *observer;	/* NULL: the kind can't be observed */
	rc_attempt	attempt;
	bool		attempting;
	bool		succeeded;		/* what the attempt that just ended came to */
	int			http_requests;	/* of all attempts */
	rc_endpoint_walk walk;
	rc_timer   *timer;			/* the next thing to do, NULL while an attempt runs */
	rc_observation *observation;
};

/* The observer of a kind of endpoint; NULL: it can't be asked for requests */
static const rc_observer *
observer_of(const char *kind)
{
	const rc_chain *chain = rc_chain_of(kind);

	return chain != NULL ? chain->look : NULL;
}

/* An observation of n results, all zeroed */
static rc_observation *
new_observation(int n)
{
	rc_observation *observation = rc_calloc(1, sizeof(*observation));

	observation->results = rc_calloc((size_t) n, sizeof(rc_result));
	observation->nresults = n;
	return observation;
}

/* Frees the look, without the observation */
static void
free_look(rc_look *look)
{
	if (look->timer != NULL)
		rc_timer_cancel(look->timer);
	rc_endpoint_walk_end(&look->walk);
	free(look);
}

/* Hands the observation to whoever asked */
static void
deliver(rc_look *look, char *failure)
{
	rc_observation *observation = look->observation;
	rc_observed done = look->done;
	void	   *arg = look->arg;

	if (observation == NULL)
		observation = new_observation(look->nrequests);
	observation->failure = failure;
	observation->asked = look->walk.asked;
	observation->endpoint = look->walk.current;
	observation->http_requests = look->http_requests;
	observation->chain_id = look->network->chain_id;
	look->observation = NULL;
	free_look(look);
	done(arg, observation);
}

static void proceed(void *arg);

/* An attempt has ended; the observer is still on the stack */
static void
attempt_ended(rc_attempt *attempt)
{
	rc_look    *look = attempt->look;

	look->attempting = false;
	look->timer = rc_http_after(look->http, 0, proceed, look);
}

/* The endpoint answered */
static void
attempt_succeeded(rc_attempt *attempt)
{
	rc_endpoint_succeeded(attempt->endpoint);
	attempt->look->succeeded = true;
	attempt_ended(attempt);
}

/* The endpoint is at fault; takes over the failure */
static void
attempt_failed(rc_attempt *attempt, rc_failure failure)
{
	rc_look    *look = attempt->look;

	rc_endpoint_walk_failed(&look->walk, failure);
	rc_observation_free(look->observation);
	look->observation = NULL;
	if (look->walk.next < look->walk.nendpoints)
		rc_log_change(look->host, RC_LOG_INFO, "endpoint failed, trying the next",
					  RC_FIELDS(rc_field_text("chain", look->network->chain),
								rc_field_text("network", look->network->network),
								rc_field_text("endpoint", attempt->endpoint->shown)), attempt->endpoint->error);
	attempt_ended(attempt);
}

/* Starts the next usable endpoint's attempt; false if none is left */
static bool
try_next(rc_look *look)
{
	rc_endpoint *endpoint = rc_endpoint_walk_next(&look->walk);

	if (endpoint == NULL)
		return false;
	look->observation = new_observation(look->nrequests);
	memset(&look->attempt, 0, sizeof(look->attempt));
	look->attempt.http = look->http;
	look->attempt.host = look->host;
	look->attempt.network = look->network;
	look->attempt.endpoint = endpoint;
	look->attempt.bounds = look->bounds;
	look->attempt.requests = look->requests;
	look->attempt.nrequests = look->nrequests;
	look->attempt.observation = look->observation;
	look->attempt.http_requests = &look->http_requests;
	look->attempt.look = look;
	look->attempt.succeeded = attempt_succeeded;
	look->attempt.failed = attempt_failed;
	look->attempting = true;
	look->observer->start(&look->attempt);
	return true;
}

/* The look's next move, from a timer: deliver, or the next endpoint */
static void
proceed(void *arg)
{
	rc_look    *look = arg;

	look->timer = NULL;
	if (look->succeeded)
	{
		for (int i = 0; i < look->nrequests; i++)
		{
			if (look->observation->results[i].error != NULL)
				rc_endpoint_make_presentable(look->observation->results[i].error, look->attempt.endpoint);
		}
		deliver(look, NULL);
	}
	else if (look->observer == NULL)
		deliver(look, rc_asprintf("network %s/%s is not registered, or of a kind that can't be observed",
								  look->network->chain, look->network->network));
	else if (!try_next(look))
		deliver(look, rc_endpoint_walk_problem(&look->walk));
}

/* Starts a look; the observation comes from an rc_http_step */
rc_look *
rc_look_start(rc_http *http, const rc_host *host, rc_network *network, const rc_tip_bounds *bounds,
			  const rc_request *requests, int nrequests, rc_observed done, void *arg)
{
	rc_look    *look = rc_calloc(1, sizeof(*look));

	look->http = http;
	look->host = host;
	look->network = network;
	look->bounds = *bounds;
	look->requests = requests;
	look->nrequests = nrequests;
	look->done = done;
	look->arg = arg;
	look->observer = observer_of(network->kind);
	rc_endpoint_walk_begin(&look->walk, network->endpoints, network->nendpoints);
	look->timer = rc_http_after(http, 0, proceed, look);
	return look;
}

/* The HTTP requests that a look will take, as far as is known; 0 where they aren't limited */
int
rc_look_cost(const rc_network *network, const rc_request *requests, int nrequests)
{
	const rc_chain *chain = rc_chain_of(network->kind);

	return chain != NULL && chain->look_cost != NULL && network->rate_limit > 0 ? chain->look_cost(requests, nrequests) : 0;
}

/* Ends a look; done is not called */
void
rc_look_cancel(rc_look *look)
{
	if (look->attempting)
		look->observer->cancel(&look->attempt);
	rc_observation_free(look->observation);
	free_look(look);
}
