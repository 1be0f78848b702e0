/* test_webhook_hosts.c: which addresses may be connected to, and that curl asks for each, also on a connection that is there */
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

#include <cmocka.h>

#include "core/base/memory.h"
#include "core/net/http.h"
#include "core/outbox/hosts.h"
#include "fake_node.h"
#include "poll_host.h"

#define CHAIN_ID "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[]}"

static bool
allowed(const char *list, const char *host, const char *address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	char	   *problem;
	rc_hosts   *hosts = rc_hosts_parse(list, &problem);
	bool		result;

	assert_non_null(hosts);
	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		result = rc_hosts_allow(hosts, host, (const struct sockaddr *) &v4);
	else
	{
		assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
		result = rc_hosts_allow(hosts, host, (const struct sockaddr *) &v6);
	}
	rc_hosts_free(hosts);
	return result;
}

static void
test_special_addresses(void **state)
{
	const char *const refused[] = {"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.168.255.255", "198.18.0.1", "224.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
	"2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1"};
	const char *const public[] = {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.0.1", "169.255.0.1", "172.15.255.255", "172.32.0.0", "192.167.0.1", "192.169.0.1", "223.255.255.255",
	"2606:4700::1111", "2a00::1", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		assert_false(allowed("", "x.example", refused[i]));
		assert_false(allowed("*", "x.example", refused[i]));
		assert_false(allowed("x.example", "x.example", refused[i]));
		assert_true(allowed("0.0.0.0/0, ::/0", "x.example", refused[i]));
	}
	for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++)
	{
		assert_true(allowed("", "x.example", public[i]));
		assert_true(allowed("*", "x.example", public[i]));
		assert_true(allowed("x.example", "x.example", public[i]));
		assert_false(allowed("y.example", "x.example", public[i]));
		assert_false(allowed("10.0.0.0/8", "x.example", public[i]));
	}
}

static void
test_lists(void **state)
{
	const char *const wrong[] = {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::1/129", "a:b", "a/b", "http://a", "a*", "*a", "**", "a,,b c/"};
	char	   *problem;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		assert_null(rc_hosts_parse(wrong[i], &problem));
		assert_non_null(problem);
		free(problem);
	}
	assert_true(allowed(" a.example ,\t10.0.0.0/8,b.example", "b.example", "1.1.1.1"));
	assert_true(allowed("a.example 10.0.0.0/8", "b.example", "10.9.9.9"));
	assert_true(allowed("[::1]", "b.example", "::1"));
	assert_true(allowed("::ffff:10.0.0.1", "b.example", "10.0.0.1"));
	assert_true(allowed("10.0.0.1", "b.example", "::ffff:10.0.0.1"));
	assert_false(allowed("10.0.0.1", "b.example", "10.0.0.2"));
	assert_true(allowed("10.0.0.128/25", "b.example", "10.0.0.200"));
	assert_false(allowed("10.0.0.128/25", "b.example", "10.0.0.127"));
}

/* What a transfer came to */
typedef struct outcome
{
	bool		ended;
	long		status;
	char		error[256];
	bool		allow;
	int			asked;
} outcome;

static bool
may_connect(void *arg, const struct sockaddr *address)
{
	outcome    *o = arg;

	(void) address;
	o->asked++;
	return o->allow;
}

static void
done(void *arg, const rc_http_response *response)
{
	outcome    *o = arg;

	o->ended = true;
	o->status = response->status;
	(void) snprintf(o->error, sizeof(o->error), "%s", response->error != NULL ? response->error : "");
}

static void
post(rc_http *http, const char *url, bool judged, outcome *o)
{
	rc_http_request request = {.url = url,.body = CHAIN_ID,.body_len = strlen(CHAIN_ID),.timeout_ms = 5000};

	if (judged)
	{
		request.may_connect = may_connect;
		request.may_connect_arg = o;
	}
	(void) rc_http_start(http, &request, done, o);
	while (!o->ended)
		rc_http_step(http, 1000);
}

static void
test_every_connection_is_judged(void **state)
{
	rc_http    *http = rc_http_create(poll_host());
	fake_node  *node = fake_node_start();
	char		url[64];
	outcome		refused = {0};
	outcome		anybody = {0};
	outcome		kept = {0};
	outcome		allowed = {.allow = true};

	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%d/s3cret", node->port);
	post(http, url, true, &refused);
	assert_int_equal(refused.status, 0);
	assert_string_equal(refused.error, "the host's address is none that may be connected to");
	assert_int_equal(node->requests, 0);

	/* A connection that somebody else has made is no way round */
	post(http, url, false, &anybody);
	assert_int_equal(anybody.status, 200);
	post(http, url, true, &kept);
	assert_int_equal(kept.status, 0);
	assert_true(kept.asked > 0);
	assert_null(strstr(kept.error, "s3cret"));
	assert_int_equal(node->requests, 1);

	post(http, url, true, &allowed);
	assert_int_equal(allowed.status, 200);
	assert_int_equal(node->requests, 2);
	rc_http_free(http);
	fake_node_stop(node);
}

/* A proxy of the environment would be connected to in place of the host */
static void
test_no_proxy(void **state)
{
	rc_http    *http = rc_http_create(poll_host());
	fake_node  *node = fake_node_start();
	fake_node  *proxy = fake_node_start();
	char		url[64];
	outcome		o = {.allow = true};

	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%d", proxy->port);
	(void) setenv("http_proxy", url, 1);
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%d/", node->port);
	post(http, url, true, &o);
	(void) unsetenv("http_proxy");
	assert_int_equal(o.status, 200);
	assert_int_equal(node->requests, 1);
	assert_int_equal(proxy->requests, 0);
	rc_http_free(http);
	fake_node_stop(node);
	fake_node_stop(proxy);
}

static char *
url_problem(const char *list, const char *url)
{
	char	   *problem;
	rc_hosts   *hosts = rc_hosts_parse(list, &problem);

	problem = rc_hosts_url_problem(hosts, url, NULL);
	rc_hosts_free(hosts);
	return problem;
}

static void
test_urls(void **state)
{
	const char *const wrong[] = {"", "https", "//x.example", "https://x.example/\r\nHost: y", "https://x.example/ a", "https://x.example\t/",
	"gopher://x.example/", "https://127.0.0.1/", "http://x.example/", "https://[::1]:1/", "https://user:s3cret@10.0.0.1/s3cret"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		char	   *problem = url_problem("", wrong[i]);

		assert_non_null(problem);
		assert_null(strstr(problem, "s3cret"));
		free(problem);
	}
	assert_null(url_problem("", "https://x.example/a?b=c"));
	assert_null(url_problem("x.example", "http://X.Example.:8080/"));
	assert_null(url_problem("10.0.0.0/8", "https://x.example/"));
	assert_null(url_problem("127.0.0.1", "http://127.0.0.1:1/"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_special_addresses),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_every_connection_is_judged),
		cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(test_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
