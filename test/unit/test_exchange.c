/* test_exchange.c: an answer that belongs to another request is never taken, and its connection is closed */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/chain/bitcoin/node_rpc.h"
#include "core/net/exchange.h"
#include "fake_node.h"
#include "poll_host.h"

/* What an exchange came to */
typedef struct outcome
{
	bool		done;
	rc_failure_code code;
	char		failure[600];
	char		error[600];		/* of the first call */
	char		result[200];	/* of the first call */
} outcome;

typedef struct fixture
{
	rc_http    *http;
	fake_node  *node;
	char		url[128];
	int			array_size;
} fixture;

static int
setup(void **state)
{
	fixture    *f = rc_calloc(1, sizeof(*f));

	f->http = rc_http_create(poll_host());
	f->node = fake_node_start();
	(void) snprintf(f->url, sizeof(f->url), "http://bob:s3cretpw@127.0.0.1:%d/key-abcdef", f->node->port);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	fixture    *f = *state;

	rc_http_free(f->http);
	fake_node_stop(f->node);
	free(f);
	return 0;
}

/* rc_exchange_done */
static void
keep_outcome(void *arg, rc_exchange_result *result)
{
	outcome    *o = arg;

	o->done = true;
	o->code = result->failure.code;
	(void) snprintf(o->failure, sizeof(o->failure), "%s", result->failure.text != NULL ? result->failure.text : "");
	if (result->failure.text != NULL)
		return;
	if (result->replies[0].error != NULL)
		(void) snprintf(o->error, sizeof(o->error), "%s", result->replies[0].error);
	else
		(void) snprintf(o->result, sizeof(o->result), "%s", json_object_get_string(result->replies[0].result));
}

/* Starts asking for the balance of a holder */
static rc_exchange *
start(fixture *f, uint32_t holder, bool core, outcome *o)
{
	char	   *params = rc_asprintf("[\"0x%040x\",\"0x64\"]", holder);
	rc_rpc_call call = {"eth_getBalance", params, 0};
	rc_exchange_request request = {
		.url = f->url,.timeout_ms = 5000,.calls = &call,.ncalls = 1,
		.array_size = core ? NULL : &f->array_size,.errors_are_answers = core
	};
	rc_exchange *exchange;

	memset(o, 0, sizeof(*o));
	exchange = rc_exchange_start(f->http, &request, keep_outcome, o);
	free(params);
	return exchange;
}

static void
finish(fixture *f, const outcome *o)
{
	int64_t		give_up = rc_now_ms() + 20000;

	while (!o->done && rc_now_ms() < give_up)
		rc_http_step(f->http, 1000);
	assert_true(o->done);
}

/* Asks; what comes is the holder's balance or a malformed answer, never another's balance */
static bool
ask(fixture *f, uint32_t holder, bool core)
{
	outcome		o;
	char		expected[32];

	(void) start(f, holder, core, &o);
	finish(f, &o);
	assert_null(strstr(o.failure, "s3cretpw"));
	if (o.failure[0] != '\0')
	{
		assert_int_equal(o.code, RC_FAILURE_MALFORMED);
		assert_non_null(strstr(o.failure, "not asked for"));
		return false;
	}
	(void) snprintf(expected, sizeof(expected), "0x%jx", (uintmax_t) fake_balance(holder, 0, 100));
	assert_string_equal(o.result, expected);
	return true;
}

/* Honest: one connection for all; so that the next tests' counts mean something */
static void
test_connections_are_kept(void **state)
{
	fixture    *f = *state;

	for (uint32_t holder = 1; holder <= 5; holder++)
		assert_true(ask(f, holder, holder % 2 == 0));
	assert_int_equal(f->node->connections, 1);
}

/* Answers that come one late: none is taken, each costs its connection, and it recovers */
static void
test_late(void **state)
{
	fixture    *f = *state;

	for (int core = 0; core < 2; core++)
	{
		int			connections;

		assert_true(ask(f, 1, core));
		connections = f->node->connections;
		f->node->trouble = FAKE_LATE;
		for (uint32_t holder = 2; holder < 8; holder++)
			assert_false(ask(f, holder, core));
		/* The first went over the connection that was kept; every other needed a new one */
		assert_int_equal(f->node->connections - connections, 5);
		f->node->trouble = FAKE_NO_TROUBLE;
		assert_true(ask(f, 9, core));
		assert_true(ask(f, 9, core));
		assert_int_equal(f->node->connections - connections, 6);
	}
}

/* Each answer twice on a connection that is kept: the second isn't the answer to what is asked next */
static void
test_doubled(void **state)
{
	fixture    *f = *state;
	int			taken = 0;

	f->node->trouble = FAKE_DOUBLED;
	for (uint32_t holder = 1; holder <= 8; holder++)
		taken += ask(f, holder, holder % 2 == 0);
	/* One over each new connection, and then one that is refused */
	assert_true(taken >= 4);
	assert_true(f->node->connections >= 4);
	f->node->trouble = FAKE_NO_TROUBLE;
	(void) ask(f, 20, false);
	assert_true(ask(f, 21, false));
}

/* A cache that doesn't know what an id is */
static void
test_cached(void **state)
{
	fixture    *f = *state;

	f->node->trouble = FAKE_CACHED;
	assert_true(ask(f, 1, false));
	for (uint32_t holder = 2; holder < 5; holder++)
		assert_false(ask(f, holder, false));
	assert_false(ask(f, 1, true));
	f->node->trouble = FAKE_NO_TROUBLE;
	assert_true(ask(f, 2, false));
}

/* Two under way at once get each other's answer: neither is taken */
static void
test_swapped(void **state)
{
	fixture    *f = *state;
	outcome		one;
	outcome		two;

	f->node->trouble = FAKE_SWAPPED;
	for (int core = 0; core < 2; core++)
	{
		(void) start(f, 1, core, &one);
		(void) start(f, 2, core, &two);
		finish(f, &one);
		finish(f, &two);
		assert_non_null(strstr(one.failure, "not asked for"));
		assert_non_null(strstr(two.failure, "not asked for"));
		assert_int_equal(one.code, RC_FAILURE_MALFORMED);
	}
	assert_int_equal(f->node->connections, 4);
}

/* Ended at any moment, an exchange leaves no answer behind for the next one */
static void
test_cancelled(void **state)
{
	fixture    *f = *state;

	for (int steps = 0; steps < 8; steps++)
	{
		outcome		o;
		rc_exchange *exchange = start(f, 100, false, &o);

		for (int i = 0; i < steps && !o.done; i++)
			rc_http_step(f->http, 5);
		if (!o.done)
			rc_exchange_cancel(exchange);
		assert_true(ask(f, (uint32_t) (200 + steps), false));
	}
}

/* Secrets are gone before an endpoint's words are cut; there is one place where that happens */
static void
test_words(void **state)
{
	static const char *const words[] = {
		"bad credentials s3cretpw", "bad key KEY-ABCDEF", "bad key key%2Dabcdef", "Basic Ym9iOnMzY3JldHB3"
	};
	fixture    *f = *state;
	outcome		o;

	f->node->trouble = FAKE_TEXT;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		/* The secret lies across the place where the text is cut */
		for (int before = 340; before < 400; before += 3)
		{
			(void) snprintf(f->node->text, sizeof(f->node->text),
							"{\"id\":null,\"error\":{\"code\":7,\"message\":\"%0*d%s\\u202e\"}}", before, 0, words[i]);
			(void) start(f, 1, before % 2 == 0, &o);
			finish(f, &o);
			(void) snprintf(o.failure + strlen(o.failure), sizeof(o.failure) - strlen(o.failure), "%s", o.error);
			assert_non_null(strstr(o.failure, "JSON-RPC error 7"));
			assert_null(strstr(o.failure, "s3cre"));
			assert_null(strcasestr(o.failure, "y-abc"));
			assert_null(strcasestr(o.failure, "y%2Dab"));
			assert_null(strstr(o.failure, "Ym9iOn"));
			assert_null(strstr(o.failure, "\xe2\x80\xae"));
		}
	}
}

/* A node's cookie file, and what is no such file */
static void
test_cookie(void **state)
{
	char		directory[] = "/tmp/cookie.XXXXXX";
	char	   *path;
	char	   *link_path;
	char	   *problem = NULL;
	char	   *cookie;
	static const struct
	{
		const char *content;
		const char *expected;	/* NULL: is one */
	}			cases[] = {
		{"__cookie__:0123abcd", NULL}, {"__cookie__:0123abcd\n", NULL}, {"", "holds no"}, {"root:x:0:0", "holds no"},
		{"__cookie__:", "holds no"}, {"__cookie__:a b", "holds no"}, {"__cookie__:a\nmore", "holds no"}
	};

	(void) state;
	assert_non_null(mkdtemp(directory));
	path = rc_asprintf("%s/.cookie", directory);
	link_path = rc_asprintf("%s/link", directory);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		FILE	   *file = fopen(path, "w");

		assert_non_null(file);
		(void) fputs(cases[i].content, file);
		(void) fclose(file);
		cookie = rc_bitcoind_read_cookie(path, &problem);
		if (cases[i].expected == NULL)
			assert_string_equal(cookie, "__cookie__:0123abcd");
		else
			assert_non_null(strstr(problem, cases[i].expected));
		free(cookie);
		free(problem);
		problem = NULL;
	}
	/* Not too large, through a link, not a FIFO that nobody writes to, not a device or directory */
	assert_int_equal(truncate(path, 100000), 0);
	assert_null(rc_bitcoind_read_cookie(path, &problem));
	assert_non_null(strstr(problem, "too large"));
	free(problem);
	assert_int_equal(symlink("/dev/zero", link_path), 0);
	assert_null(rc_bitcoind_read_cookie(link_path, &problem));
	assert_non_null(strstr(problem, "not a regular file"));
	free(problem);
	assert_null(rc_bitcoind_read_cookie(directory, &problem));
	free(problem);
	(void) unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(rc_bitcoind_read_cookie(path, &problem));
	assert_non_null(strstr(problem, "not a regular file"));
	assert_null(strstr(problem, directory));
	free(problem);
	(void) unlink(path);
	assert_null(rc_bitcoind_read_cookie(path, &problem));
	assert_non_null(strstr(problem, "can't be read"));
	free(problem);
	(void) unlink(link_path);
	(void) rmdir(directory);
	free(path);
	free(link_path);
}

/* Where the cookie's path stands in a URL */
static void
test_cookie_urls(void **state)
{
	static const char *const cases[][3] = {
		{"http://h:8332/?cookie=/d/.cookie", "http://h:8332/", "/d/.cookie"},
		{"http://h:8332?cookie=/d/.cookie", "http://h:8332/", "/d/.cookie"},
		{"http://h:8332/wallet/x?cookie=/d%20e/.cookie", "http://h:8332/wallet/x", "/d e/.cookie"},
		{"http://u:p@h:8332/", "http://u:p@h:8332/", NULL},
		{"http://h/?x=/d&cookie=/e", "http://h/?x=/d&cookie=/e", NULL},
		{"no url", "no url", NULL}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *address;
		char	   *cookie;

		rc_bitcoind_split_url(cases[i][0], &address, &cookie);
		assert_string_equal(address, cases[i][1]);
		if (cases[i][2] == NULL)
			assert_null(cookie);
		else
			assert_string_equal(cookie, cases[i][2]);
		free(address);
		free(cookie);
	}
}

int
main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_connections_are_kept), test(test_late), test(test_doubled), test(test_cached), test(test_swapped),
		test(test_cancelled), test(test_words), cmocka_unit_test(test_cookie), cmocka_unit_test(test_cookie_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
