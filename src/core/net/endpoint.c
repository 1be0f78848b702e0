/* endpoint.c: what a worker thinks of an endpoint: health, rest, and whether a response can be an answer */
#include "core/net/endpoint.h"

#include <stdlib.h>
#include <string.h>

/* An endpoint that failed n times in a row rests FIRST * 2^(n - 1), at most LONGEST, less up to half (jitter) */
#define FIRST_BACKOFF_MS 1000
#define LONGEST_BACKOFF_MS 30000

/* A server can't send us away for longer than this */
#define LONGEST_RETRY_AFTER_MS (10 * 60 * 1000)

/* A number below limit; good enough to keep workers from stepping in time */
static int64_t
jitter(int64_t limit)
{
	static uint64_t state = 0;

	if (state == 0)
		state = (uint64_t) rc_now_ms() ^ (uint64_t) (uintptr_t) &state ^ UINT64_C(0x9e3779b97f4a7c15);
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return limit > 0 ? (int64_t) (state % (uint64_t) limit) : 0;
}

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
	endpoint->failures = 0;
	endpoint->retry_at_ms = 0;
	free(endpoint->error);
	endpoint->error = NULL;
}

/* An error text may be an endpoint's own words: no secret, no second line, nothing that isn't UTF-8 */
void
rc_endpoint_make_presentable(char *error, const rc_endpoint *endpoint)
{
	rc_text_redact(error, endpoint->url);
	rc_text_clean(error);
}

/* It failed: it rests. Looks that were under way together count as one failure */
void
rc_endpoint_failed(rc_endpoint *endpoint, long retry_after_ms, char *error)
{
	int64_t		now = rc_now_ms();
	int64_t		rest = FIRST_BACKOFF_MS;

	rc_endpoint_make_presentable(error, endpoint);
	free(endpoint->error);
	endpoint->error = error;

	if (endpoint->retry_at_ms <= now)
	{
		endpoint->failures++;
		for (int i = 1; i < endpoint->failures && rest < LONGEST_BACKOFF_MS; i++)
			rest *= 2;
		if (rest > LONGEST_BACKOFF_MS)
			rest = LONGEST_BACKOFF_MS;
		endpoint->retry_at_ms = now + rest - jitter(rest / 2);
	}
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
rc_endpoint_walk_failed(rc_endpoint_walk *walk, long retry_after_ms, char *error)
{
	rc_endpoint_failed(walk->current, retry_after_ms, error);
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

/* NULL, or why the response can't be an answer */
char *
rc_response_problem(const rc_http_response *response, bool json)
{
	char		first;

	if (response->error != NULL)
		return rc_strdup(response->error);
	if (response->status == 429)
		return rc_strdup("HTTP 429: too many requests");
	if (response->status == 401 || response->status == 403)
		return rc_asprintf("HTTP %ld: access is refused, check the credentials in the endpoint's URL",
						   response->status);
	if (response->status >= 300 && response->status < 400)
		return rc_asprintf("HTTP %ld: redirects are not followed, use the final URL", response->status);
	if (response->status != 200)
		return rc_asprintf("HTTP %ld", response->status);
	first = first_character(response->body);
	if (first == '\0')
		return rc_strdup("the answer is empty");
	if (json && first == '<')
		return rc_strdup("the answer is an HTML page, not JSON");
	return NULL;
}
