/* endpoint.h: an endpoint as one worker sees it: its health, and how long it rests */
#ifndef RC_ENDPOINT_H
#define RC_ENDPOINT_H

#include "core/net/http.h"

/* What one worker has learnt of an endpoint; lives as long as the network's configuration */
typedef struct rc_endpoint
{
	char	   *url;			/* may hold secrets: never logged */
	char	   *shown;			/* redacted */
	int			failures;		/* in a row */
	char	   *error;			/* the last failure, as long as there are any; NULL: none */
	int64_t		retry_at_ms;	/* rc_now_ms() before which it isn't asked */
	bool		verified;		/* chain id or genesis block checked */
	void	   *learned;		/* the observer's own (limits, fallbacks, tip); malloc'd, freed with free() */
} rc_endpoint;

/* May it be asked now? */
extern bool rc_endpoint_usable(const rc_endpoint *endpoint);

/* It answered */
extern void rc_endpoint_succeeded(rc_endpoint *endpoint);

/* It rests; error (rc_malloc'd) is taken over as endpoint->error, with its secrets redacted and in one line of UTF-8 */
extern void rc_endpoint_failed(rc_endpoint *endpoint, long retry_after_ms, char *error);

/*
 * NULL if the response is HTTP 200 with a body that may be JSON (or text, when
 * json is false); else an rc_malloc'd text that says what is wrong: transport
 * error, HTTP status (429, 5xx …), an HTML page, an empty body.
 */
extern char *rc_response_problem(const rc_http_response *response, bool json);

/* An error text may be an endpoint's own words: takes secrets, line ends and what isn't UTF-8 out of it */
extern void rc_endpoint_make_presentable(char *error, const rc_endpoint *endpoint);

#endif
