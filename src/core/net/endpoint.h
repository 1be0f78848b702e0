/* endpoint.h: an endpoint as one worker sees it: its health, and how long it rests */
#ifndef RC_ENDPOINT_H
#define RC_ENDPOINT_H

#include "core/base/memory.h"
#include "core/net/http.h"

/* What one worker has learnt of an endpoint; lives as long as the network's configuration */
typedef struct rc_endpoint
{
	char	   *url;			/* may hold secrets: never logged */
	char	   *shown;			/* redacted */
	int			failures;		/* in a row */
	char	   *error;			/* the last failure, as long as there are any; NULL: none */
	rc_failure_code code;		/* of error */
	int64_t		retry_at_ms;	/* rc_now_ms() before which it isn't asked */
	int64_t		failed_at_ms;	/* rc_now_ms() of error */
	bool		verified;		/* chain id or genesis block checked */
	bool		used;			/* it has answered, or failed, once */
	bool		changed;		/* its health is another one than was told last */
	rc_meter	meter;
	void	   *learned;		/* the observer's own (limits, fallbacks, tip); malloc'd, freed with free() */
} rc_endpoint;

/* May it be asked now? */
extern bool rc_endpoint_usable(const rc_endpoint *endpoint);

/* It answered */
extern void rc_endpoint_succeeded(rc_endpoint *endpoint);

/* It rests; failure.text is taken over as endpoint->error, with its secrets redacted and in one line of UTF-8 */
extern void rc_endpoint_failed(rc_endpoint *endpoint, rc_failure failure);

/*
 * One walk over endpoints in order of preference: each is asked once at most,
 * so that two that fail in turn can't keep a look or a step going. begin,
 * then next until it is NULL or the endpoint has answered; end frees.
 */
typedef struct rc_endpoint_walk
{
	rc_endpoint *endpoints;
	int			nendpoints;
	int			next;
	rc_endpoint *current;		/* being asked; NULL: before the first, behind the last */
	bool		asked;			/* any of them; else all rest, and nothing was found out */
	rc_buffer	problems;		/* of those asked and those that rest */
} rc_endpoint_walk;

extern void rc_endpoint_walk_begin(rc_endpoint_walk *walk, rc_endpoint *endpoints, int nendpoints);

/* The next endpoint to ask, those that rest left out; NULL: none is left */
extern rc_endpoint *rc_endpoint_walk_next(rc_endpoint_walk *walk);

/* The current endpoint is at fault: like rc_endpoint_failed */
extern void rc_endpoint_walk_failed(rc_endpoint_walk *walk, rc_failure failure);

/* What is wrong with each of them, in one line, rc_malloc'd */
extern char *rc_endpoint_walk_problem(const rc_endpoint_walk *walk);
extern void rc_endpoint_walk_end(rc_endpoint_walk *walk);

/* rc_now_ms() at which the first of them may be asked again; 0: one may be asked now; INT64_MAX: there is none */
extern int64_t rc_endpoints_rest_until(const rc_endpoint *endpoints, int nendpoints);

/*
 * No text if the response is HTTP 200 with a body that may be JSON (or text,
 * when json is false); else what is wrong: transport error, HTTP status (429,
 * 5xx …), an HTML page, an empty body.
 */
extern rc_failure rc_response_failure(const rc_http_response *response, bool json);

/* An error text may be an endpoint's own words: takes secrets, line ends and what isn't UTF-8 out of it */
extern void rc_endpoint_make_presentable(char *error, const rc_endpoint *endpoint);

#endif
