/* node_rpc.c: calls to a Bitcoin Core node */
#include "core/chain/bitcoin/node_rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/net/endpoint.h"

/* "__cookie__:" and 64 hex digits, with room for what other versions may write */
#define MAX_COOKIE 256

#define COOKIE_PARAMETER "?cookie="

struct rc_bitcoind_call
{
	rc_http    *http;
	const rc_endpoint *endpoint;
	rc_transfer *transfer;
	rc_timer   *timer;			/* instead of a transfer: the cookie can't be read */
	int			ncalls;
	char	   *problem;
	rc_bitcoind_done done;
	void	   *arg;
};

static void
free_call(rc_bitcoind_call *call)
{
	free(call->problem);
	free(call);
}

/* Hands over, and frees the call; takes over failure */
static void
finish(rc_bitcoind_call *call, rc_rpc_reply *replies, rc_failure failure)
{
	if (failure.text != NULL)
		rc_text_redact(failure.text, call->endpoint->url);
	call->done(call->arg, replies, failure.text != NULL ? 0 : call->ncalls, &failure);
	free(failure.text);
	free_call(call);
}

/* The user and password in a cookie file, malloc'd; NULL with *problem set */
static char *
read_cookie(const char *path, char **problem)
{
	char		line[MAX_COOKIE];
	FILE	   *file = fopen(path, "re");
	bool		ok;

	if (file == NULL)
	{
		/* Without the path: endpoints are not shown */
		*problem = rc_asprintf("the node's cookie file can't be read: %s", strerror(errno));
		return NULL;
	}
	ok = fgets(line, sizeof(line), file) != NULL;
	(void) fclose(file);
	line[ok ? strcspn(line, "\r\n") : 0] = '\0';
	if (strchr(line, ':') == NULL)
	{
		*problem = rc_strdup("the node's cookie file holds no user:password");
		return NULL;
	}
	return rc_strdup(line);
}

static void
on_cookie_problem(void *arg)
{
	rc_bitcoind_call *call = arg;
	char	   *problem = call->problem;

	call->timer = NULL;
	call->problem = NULL;
	finish(call, NULL, rc_failure_take(RC_FAILURE_REFUSED, problem));
}

/* What an answer without JSON-RPC in it means */
static rc_failure
plain_failure(const rc_http_response *response)
{
	if (response->error == NULL && response->status == 401)
		return rc_failure_make(RC_FAILURE_REFUSED, "HTTP 401: the node refuses user and password, or the cookie");
	if (response->error == NULL && response->status == 403)
		return rc_failure_make(RC_FAILURE_REFUSED,
							   "HTTP 403: the node does not accept calls from this host (its -rpcallowip)");
	return rc_response_failure(response, true);
}

static void
on_answer(void *arg, const rc_http_response *response)
{
	rc_bitcoind_call *call = arg;
	rc_rpc_reply *replies = NULL;
	int64_t		code;
	char	   *error = NULL;
	rc_failure	failure = plain_failure(response);
	int			ncalls = call->ncalls;

	call->transfer = NULL;

	/* Older nodes give the error of a single call, and a full work queue, as HTTP 500 or 503 */
	if (failure.text == NULL || (response->error == NULL && response->status >= 400 && response->body_len > 0 &&
							response->body[0] == '{'))
	{
		replies = rc_calloc((size_t) call->ncalls, sizeof(*replies));
		if (rc_rpc_parse(response->body, response->body_len, call->ncalls, 1, call->ncalls > 1,
						 replies, &code, &error) == RC_RPC_OK)
		{
			free(failure.text);
			failure.text = NULL;
		}
		else if (failure.text == NULL || response->status == 500)
		{
			free(failure.text);
			failure = rc_failure_take(RC_FAILURE_MALFORMED, error);
			error = NULL;
		}
		free(error);
	}
	finish(call, replies, failure);
	if (replies != NULL)
		rc_rpc_clear(replies, ncalls);
	free(replies);
}

rc_bitcoind_call *
rc_bitcoind_start(rc_http *http, const rc_endpoint *endpoint, long timeout_ms,
				  const rc_rpc_call *calls, int ncalls, size_t max_response,
				  rc_bitcoind_done done, void *arg)
{
	rc_bitcoind_call *call = rc_calloc(1, sizeof(*call));
	const char *cookie = strstr(endpoint->url, COOKIE_PARAMETER);
	char	   *url = rc_strdup(endpoint->url);
	char	   *userpwd = NULL;

	call->http = http;
	call->endpoint = endpoint;
	call->ncalls = ncalls;
	call->done = done;
	call->arg = arg;
	if (cookie != NULL)
	{
		url[cookie - endpoint->url] = '\0';
		userpwd = read_cookie(cookie + strlen(COOKIE_PARAMETER), &call->problem);
	}
	if (call->problem != NULL)
		call->timer = rc_http_after(http, 0, on_cookie_problem, call);
	else
	{
		rc_buffer	body = {0};
		rc_http_request request = {0};

		rc_rpc_build(&body, calls, ncalls, 1, ncalls > 1);
		request.url = url;
		request.body = body.data;
		request.body_len = body.len;
		request.userpwd = userpwd;
		request.timeout_ms = timeout_ms;
		request.max_response = max_response;
		call->transfer = rc_http_start(http, &request, on_answer, call);
		rc_buffer_free(&body);
	}
	free(userpwd);
	free(url);
	return call;
}

void
rc_bitcoind_cancel(rc_bitcoind_call *call)
{
	if (call->transfer != NULL)
		rc_http_cancel(call->transfer);
	if (call->timer != NULL)
		rc_timer_cancel(call->timer);
	free_call(call);
}
