/* look.c: a look goes from endpoint to endpoint until one answers */
#include "core/chain/observer.h"

#include <stdlib.h>
#include <string.h>

struct rc_look
{
	rc_http    *http;
	const rc_host *host;
	rc_network *network;
	const rc_request *requests;
	int			nrequests;
	rc_observed done;
	void	   *arg;
	const rc_observer *observer;	/* NULL: the kind can't be observed */
	rc_attempt	attempt;
	bool		attempting;
	bool		succeeded;		/* what the attempt that just ended came to */
	int			next_endpoint;
	rc_timer   *timer;			/* the next thing to do, NULL while an attempt runs */
	rc_observation *observation;
	rc_buffer	failures;		/* of the endpoints tried */
};

/* The observer of a kind of endpoint */
static const rc_observer *
observer_of(rc_kind kind)
{
	switch (kind)
	{
		case RC_KIND_EVM:
			return &rc_evm_observer;
		case RC_KIND_ESPLORA:
			return &rc_esplora_observer;
		default:
			return NULL;
	}
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
	rc_buffer_free(&look->failures);
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
	observation->chain_id = look->network->chain_id;
	look->observation = NULL;
	free_look(look);
	done(arg, observation);
}

/* Starts the next usable endpoint's attempt; false if none is left */
static bool
try_next(rc_look *look)
{
	rc_network *network = look->network;

	while (look->next_endpoint < network->nendpoints)
	{
		rc_endpoint *endpoint = &network->endpoints[look->next_endpoint++];

		if (!rc_endpoint_usable(endpoint))
		{
			/* It rests. What it rests for is still what is wrong */
			rc_buffer_printf(&look->failures, "%s%s: %s", look->failures.len > 0 ? "; " : "", endpoint->shown,
							 endpoint->error != NULL ? endpoint->error : "failed");
			continue;
		}
		look->observation = new_observation(look->nrequests);
		memset(&look->attempt, 0, sizeof(look->attempt));
		look->attempt.http = look->http;
		look->attempt.host = look->host;
		look->attempt.network = network;
		look->attempt.endpoint = endpoint;
		look->attempt.requests = look->requests;
		look->attempt.nrequests = look->nrequests;
		look->attempt.observation = look->observation;
		look->attempt.look = look;
		look->attempting = true;
		look->observer->start(&look->attempt);
		return true;
	}
	return false;
}

/* The look's next move, from a timer: deliver, or the next endpoint */
static void
proceed(void *arg)
{
	rc_look    *look = arg;
	char	   *failure;

	look->timer = NULL;
	if (look->succeeded)
	{
		for (int i = 0; i < look->nrequests; i++)
		{
			if (look->observation->results[i].error != NULL)
				rc_endpoint_make_presentable(look->observation->results[i].error, look->attempt.endpoint);
		}
		deliver(look, NULL);
		return;
	}
	if (look->observer == NULL)
	{
		deliver(look, rc_asprintf("network %s/%s is not registered, or of a kind that can't be observed",
								  look->network->chain, look->network->network));
		return;
	}
	if (look->network->nendpoints == 0)
	{
		deliver(look, rc_asprintf("network %s/%s has no endpoint", look->network->chain, look->network->network));
		return;
	}
	if (try_next(look))
		return;
	failure = rc_strdup(look->failures.data != NULL ? look->failures.data : "no endpoint can be asked");
	deliver(look, failure);
}

/* An attempt has ended; the observer is still on the stack */
static void
attempt_ended(rc_attempt *attempt)
{
	rc_look    *look = attempt->look;

	look->attempting = false;
	look->timer = rc_http_after(look->http, 0, proceed, look);
}

/* The endpoint answered */
void
rc_attempt_succeeded(rc_attempt *attempt)
{
	rc_endpoint_succeeded(attempt->endpoint);
	attempt->look->succeeded = true;
	attempt_ended(attempt);
}

/* The endpoint is at fault; takes over error */
void
rc_attempt_failed(rc_attempt *attempt, long retry_after_ms, char *error)
{
	rc_look    *look = attempt->look;
	rc_endpoint *endpoint = attempt->endpoint;

	rc_endpoint_failed(endpoint, retry_after_ms, error);
	rc_observation_free(look->observation);
	look->observation = NULL;
	rc_buffer_printf(&look->failures, "%s%s: %s", look->failures.len > 0 ? "; " : "", endpoint->shown, error);
	if (look->next_endpoint < look->network->nendpoints)
		rc_log(look->host, RC_LOG_INFO, "network %s/%s: endpoint %s failed, trying the next: %s",
			   look->network->chain, look->network->network, endpoint->shown, error);
	attempt_ended(attempt);
}

/* Starts a look; the observation comes from an rc_http_step */
rc_look *
rc_look_start(rc_http *http, const rc_host *host, rc_network *network,
			  const rc_request *requests, int nrequests, rc_observed done, void *arg)
{
	rc_look    *look = rc_calloc(1, sizeof(*look));

	look->http = http;
	look->host = host;
	look->network = network;
	look->requests = requests;
	look->nrequests = nrequests;
	look->done = done;
	look->arg = arg;
	look->observer = observer_of(network->kind);
	look->timer = rc_http_after(http, 0, proceed, look);
	return look;
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
