/* endpoint.c: what a worker thinks of an endpoint: health, rest, and whether a response can be an answer */
#include "core/net/endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/backoff.h"
#include "core/base/text.h"
#include "core/net/redact.h"

/* How long an endpoint rests that failed, by the failures in a row: see backoff.h */
#define FIRST_BACKOFF_MS 1000
#define LONGEST_BACKOFF_MS 30000

/* A server can't send us away for longer than this */
#define LONGEST_RETRY_AFTER_MS (10 * 60 * 1000)

/* May the endpoint be asked now? */
bool
rc_endpoint_usable(const rc_endpoint *endpoint)
{
	return endpoint->retry_at_ms <= rc_now_ms();
}

/* It answered */
void
rc_endpoint_succeeded(rc_endpoint *endpoint)
{
	endpoint->changed |= endpoint->failures > 0 || !endpoint->used;
	endpoint->used = true;
	endpoint->failures = 0;
	endpoint->retry_at_ms = 0;
	free(endpoint->error);
	endpoint->error = NULL;
	endpoint->code = RC_FAILURE_NONE;
}

/* An error text may be an endpoint's own words: no secret, no second line, nothing that isn't UTF-8 */
void
rc_endpoint_make_presentable(char *error, const rc_endpoint *endpoint)
{
	rc_text_redact(error, endpoint->url, NULL);
	rc_text_clean(error);
}

/* It failed: it rests. Looks that were under way together count as one failure */
void
rc_endpoint_failed(rc_endpoint *endpoint, rc_failure failure)
{
	int64_t		now = rc_now_ms();
	long		retry_after_ms = failure.retry_after_ms;

	rc_endpoint_make_presentable(failure.text, endpoint);
	free(endpoint->error);
	endpoint->error = failure.text;
	endpoint->code = failure.code;
	endpoint->used = true;
	endpoint->failed_at_ms = now;
	endpoint->changed = true;
	endpoint->meter.failures[failure.code]++;

	if (endpoint->retry_at_ms <= now)
		endpoint->retry_at_ms = now + rc_backoff_ms(++endpoint->failures, FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS);
	if (retry_after_ms > LONGEST_RETRY_AFTER_MS)
		retry_after_ms = LONGEST_RETRY_AFTER_MS;
	if (retry_after_ms >= 0 && endpoint->retry_at_ms < now + retry_after_ms)
		endpoint->retry_at_ms = now + retry_after_ms;
}

void
rc_endpoint_walk_begin(rc_endpoint_walk *walk, rc_endpoint *endpoints, int nendpoints)
{
	memset(walk, 0, sizeof(*walk));
	walk->endpoints = endpoints;
	walk->nendpoints = nendpoints;
}

/* Keeps what is wrong with an endpoint for whoever has to say why there is no answer */
static void
note_problem(rc_endpoint_walk *walk, const rc_endpoint *endpoint)
{
	rc_buffer_printf(&walk->problems, "%s%s: %s", walk->problems.len > 0 ? "; " : "", endpoint->shown,
					 endpoint->error != NULL ? endpoint->error : "failed");
}

rc_endpoint *
rc_endpoint_walk_next(rc_endpoint_walk *walk)
{
	walk->current = NULL;
	while (walk->next < walk->nendpoints && walk->current == NULL)
	{
		rc_endpoint *endpoint = &walk->endpoints[walk->next++];

		if (rc_endpoint_usable(endpoint))
			walk->current = endpoint;
		else
			note_problem(walk, endpoint);	/* what it rests for is still what is wrong */
	}
	walk->asked = walk->asked || walk->current != NULL;
	return walk->current;
}

void
rc_endpoint_walk_failed(rc_endpoint_walk *walk, rc_failure failure)
{
	rc_endpoint_failed(walk->current, failure);
	note_problem(walk, walk->current);
}

char *
rc_endpoint_walk_problem(const rc_endpoint_walk *walk)
{
	return rc_strdup(walk->problems.data != NULL ? walk->problems.data : "the network has no endpoint");
}

void
rc_endpoint_walk_end(rc_endpoint_walk *walk)
{
	rc_buffer_free(&walk->problems);
	walk->current = NULL;
}

int64_t
rc_endpoints_rest_until(const rc_endpoint *endpoints, int nendpoints)
{
	int64_t		first = INT64_MAX;

	for (int i = 0; i < nendpoints; i++)
	{
		if (rc_endpoint_usable(&endpoints[i]))
			return 0;
		if (endpoints[i].retry_at_ms < first)
			first = endpoints[i].retry_at_ms;
	}
	return first;
}

/* The first byte of a text that isn't white space */
static char
first_character(const char *text)
{
	return text[strspn(text, " \t\r\n")];
}

/* What a status other than 200 means */
static rc_failure
status_failure(long status)
{
	if (status == 429)
		return rc_failure_make(RC_FAILURE_LIMITED, "HTTP 429: too many requests");
	if (status == 401 || status == 403)
		return rc_failure_make(RC_FAILURE_REFUSED,
							   "HTTP %ld: access is refused, check the credentials in the endpoint's URL", status);
	if (status >= 300 && status < 400)
		return rc_failure_make(RC_FAILURE_REFUSED, "HTTP %ld: redirects are not followed, use the final URL", status);
	return rc_failure_make(status >= 500 ? RC_FAILURE_UNREACHABLE : RC_FAILURE_REFUSED, "HTTP %ld", status);
}

/* Why the response can't be an answer, or no text */
rc_failure
rc_response_failure(const rc_http_response *response, bool json)
{
	rc_failure	failure = rc_failure_take(RC_FAILURE_NONE, NULL);
	char		first;

	if (response->error != NULL)
		failure = rc_failure_make(response->code, "%s", response->error);
	else if (response->status != 200)
		failure = status_failure(response->status);
	else if ((first = first_character(response->body)) == '\0')
		failure = rc_failure_make(RC_FAILURE_MALFORMED, "the answer is empty");
	else if (json && first == '<')
		failure = rc_failure_make(RC_FAILURE_MALFORMED, "the answer is an HTML page, not JSON");
	failure.retry_after_ms = response->retry_after_ms;
	return failure;
}
