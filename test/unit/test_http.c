/* test_http.c: transfers and timers */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "core/base/memory.h"
#include "fake_node.h"
#include "poll_host.h"

#define CHAIN_ID "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[]}"

/* What a transfer came to */
typedef struct outcome
{
	int			calls;
	long		status;
	long		retry_after_ms;
	char		body[256];
	char		error[256];
	rc_transfer *cancel;		/* another one, to be cancelled from inside done */
} outcome;

typedef struct fixture
{
	rc_http    *http;
	fake_node  *node;
	char		url[64];
} fixture;

/* A node and an HTTP client */
static int
setup(void **state)
{
	fixture    *f = rc_calloc(1, sizeof(*f));

	f->http = rc_http_create(poll_host());
	f->node = fake_node_start();
	(void) snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d/key-abcdef", f->node->port);
	*state = f;
	return 0;
}

/* Ends both, with whatever is under way */
static int
teardown(void **state)
{
	fixture    *f = *state;

	rc_http_free(f->http);
	fake_node_stop(f->node);
	free(f);
	return 0;
}

/* rc_http_done */
static void
keep_outcome(void *arg, const rc_http_response *response)
{
	outcome    *o = arg;

	o->calls++;
	o->status = response->status;
	o->retry_after_ms = response->retry_after_ms;
	assert_int_equal(response->body[response->body_len], '\0');
	(void) snprintf(o->body, sizeof(o->body), "%s", response->body);
	(void) snprintf(o->error, sizeof(o->error), "%s", response->error != NULL ? response->error : "");
	if (o->cancel != NULL)
		rc_http_cancel(o->cancel);
}

/* Starts a request */
static rc_transfer *
start(fixture *f, const char *url, const char *body, size_t max_response, outcome *o)
{
	rc_http_request request = {0};

	memset(o, 0, sizeof(*o));
	request.url = url;
	request.body = body;
	request.body_len = body != NULL ? strlen(body) : 0;
	request.timeout_ms = 10000;
	request.max_response = max_response;
	return rc_http_start(f->http, &request, keep_outcome, o);
}

/* Asks for the chain id */
static rc_transfer *
start_within(fixture *f, const char *url, long timeout_ms, outcome *o)
{
	rc_http_request request = {.url = url,.body = CHAIN_ID,.body_len = strlen(CHAIN_ID),.timeout_ms = timeout_ms};

	memset(o, 0, sizeof(*o));
	return rc_http_start(f->http, &request, keep_outcome, o);
}

/* Runs until the transfer has ended */
static void
finish(fixture *f, const outcome *o)
{
	while (o->calls == 0)
		rc_http_step(f->http, 1000);
	assert_int_equal(o->calls, 1);
}

/* A request and its answer, twice over one connection */
static void
test_post(void **state)
{
	fixture    *f = *state;
	outcome		o;

	for (int i = 0; i < 2; i++)
	{
		(void) start(f, f->url, CHAIN_ID, 0, &o);
		finish(f, &o);
		assert_int_equal(o.status, 200);
		assert_string_equal(o.body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x7a69\"}");
		assert_string_equal(o.error, "");
		assert_int_equal(o.retry_after_ms, -1);
	}
}

/* An HTTP error is an answer, and Retry-After is told */
static void
test_status(void **state)
{
	fixture    *f = *state;
	outcome		o;

	f->node->trouble = FAKE_STATUS;
	f->node->status = 429;
	f->node->retry_after = 12;
	(void) snprintf(f->node->text, sizeof(f->node->text), "later");
	(void) start(f, f->url, NULL, 0, &o);
	finish(f, &o);
	assert_int_equal(o.status, 429);
	assert_int_equal(o.retry_after_ms, 12000);
	assert_string_equal(o.body, "later");
	assert_string_equal(o.error, "");
}

/* No answer: the reason, but not the URL's secrets */
static void
test_errors(void **state)
{
	static const char *const urls[] = {
		"http://127.0.0.1:1/key-abcdef", "http://nowhere.invalid/key-abcdef", "ftp://127.0.0.1/key-abcdef",
		"file:///etc/key-abcdef", "key-abcdef", "http://127.0.0.1:99999/key-abcdef", "https://127.0.0.1:1/key-abcdef", ""
	};
	fixture    *f = *state;
	outcome		o;

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
	{
		(void) start(f, urls[i], NULL, 0, &o);
		finish(f, &o);
		assert_int_equal(o.status, 0);
		assert_true(strlen(o.error) > 0);
		assert_null(strstr(o.error, "abcdef"));
	}
}

/* A time-out tells in which part the time was lost: also over a connection that was kept, and in a TLS handshake */
static void
test_timeouts(void **state)
{
	fixture    *f = *state;
	outcome		o;
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET,.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(address);
	char		url[64];
	int			clients[4];

	for (int kept = 0; kept < 2; kept++)
	{
		f->node->trouble = FAKE_NO_TROUBLE;
		if (kept == 1)
		{
			(void) start_within(f, f->url, 10000, &o);
			finish(f, &o);
		}
		f->node->trouble = FAKE_HANG;
		(void) start_within(f, f->url, 300, &o);
		finish(f, &o);
		/* Newer versions of curl tell no times of a connection that was kept */
		assert_non_null(strstr(o.error, kept ? "timed out after 300 ms while waiting for the answer" :
							   "timed out after 300 ms while waiting for the answer (name "));
	}
	/* Nobody accepts: the connection stands, and no handshake comes */
	assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &len), 0);
	(void) snprintf(url, sizeof(url), "https://127.0.0.1:%d/key-abcdef", ntohs(address.sin_port));
	(void) start_within(f, url, 400, &o);
	finish(f, &o);
	/* 8.14.1 (Debian 13) tells neither time nor port of a connection before its handshake is over */
	assert_non_null(strstr(o.error, curl_version_info(CURLVERSION_NOW)->version_num == 0x080e01 ?
						   "timed out after 200 ms while connecting (name " :
						   "timed out after 200 ms in the TLS handshake (name "));
	(void) close(listener);

	/* With its queue full, it takes no connection at all */
	listener = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_port = 0;
	assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &len), 0);
	for (int i = 0; i < 4; i++)
	{
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void) connect(clients[i], (struct sockaddr *) &address, sizeof(address));
	}
	for (int tls = 0; tls < 2; tls++)
	{
		(void) snprintf(url, sizeof(url), "http%s://127.0.0.1:%d/", tls ? "s" : "", ntohs(address.sin_port));
		(void) start_within(f, url, 400, &o);
		finish(f, &o);
		assert_non_null(strstr(o.error, "timed out after 200 ms while connecting (name "));
	}
	for (int i = 0; i < 4; i++)
		(void) close(clients[i]);
	(void) close(listener);
}

/* Answers have a cap */
static void
test_cap(void **state)
{
	fixture    *f = *state;
	outcome		o;

	(void) start(f, f->url, CHAIN_ID, 42, &o);
	finish(f, &o);
	assert_int_equal(o.status, 200);
	(void) start(f, f->url, CHAIN_ID, 41, &o);
	finish(f, &o);
	assert_int_equal(o.status, 0);
	assert_string_equal(o.error, "the answer is larger than 41 bytes");
}

/* A transfer that was cancelled, at any moment and from inside another's done, never calls back */
static void
test_cancel(void **state)
{
	fixture    *f = *state;
	fake_node  *silent;
	char		url[64];
	outcome		one;
	outcome		two;

	for (int steps = 0; steps < 6; steps++)
	{
		rc_transfer *transfer = start(f, f->url, CHAIN_ID, 0, &one);

		for (int i = 0; i < steps && one.calls == 0; i++)
			rc_http_step(f->http, 10);
		if (one.calls == 0)
			rc_http_cancel(transfer);
	}
	/* A node that doesn't answer, or the other one could be done first */
	silent = fake_node_start();
	silent->trouble = FAKE_HANG;
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%d/", silent->port);
	(void) start(f, f->url, CHAIN_ID, 0, &one);
	one.cancel = start(f, url, CHAIN_ID, 0, &two);
	finish(f, &one);
	for (int i = 0; i < 10; i++)
		rc_http_step(f->http, 5);
	assert_int_equal(two.calls, 0);
	fake_node_stop(silent);
}

static char fired[64];

typedef struct note
{
	fixture    *fixture;
	const char *name;
} note;

/* rc_timer_fn */
static void
keep_name(void *arg)
{
	const note *n = arg;

	(void) strncat(fired, n->name, sizeof(fired) - strlen(fired) - 1);
	if (n->name[0] == 'x')
		(void) rc_http_after(n->fixture->http, 0, keep_name, arg);
}

/* Timers fire in order, once, unless cancelled; one that makes another doesn't hold up the step */
static void
test_timers(void **state)
{
	fixture    *f = *state;
	note		notes[] = {{f, "a"}, {f, "b"}, {f, "c"}, {f, "d"}, {f, "x"}};
	rc_timer   *cancelled;

	fired[0] = '\0';
	(void) rc_http_after(f->http, 20, keep_name, &notes[2]);
	(void) rc_http_after(f->http, 0, keep_name, &notes[0]);
	cancelled = rc_http_after(f->http, 0, keep_name, &notes[3]);
	(void) rc_http_after(f->http, 0, keep_name, &notes[1]);
	rc_timer_cancel(cancelled);
	while (strlen(fired) < 3)
		rc_http_step(f->http, 1000);
	assert_string_equal(fired, "abc");

	fired[0] = '\0';
	(void) rc_http_after(f->http, 0, keep_name, &notes[4]);
	rc_http_step(f->http, 0);
	assert_string_equal(fired, "x");
	rc_http_step(f->http, 0);
	assert_string_equal(fired, "xx");
}

int
main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_post), test(test_status), test(test_errors), test(test_timeouts), test(test_cap), test(test_cancel), test(test_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
