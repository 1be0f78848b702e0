/* test_tip.c: tips that can't be the chain's are their endpoint's failure, and one walk asks each endpoint once */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/memory.h"
#include "core/chain/tip.h"
#include "fake_node.h"
#include "poll_host.h"

#define NOW INT64_C(1800000000)

/* As claim sets them on a network whose tips may be 10 minutes old */
static const rc_tip_bounds bounds = {NOW - 600, NOW + 900, 1000, NOW - 30};

static void
expect_problem(uint64_t height, int64_t time, const char *part)
{
	rc_block	tip = {.known = true,.height = height,.time = time};
	char	   *problem = rc_tip_problem(&bounds, &tip);

	if (part == NULL)
		assert_null(problem);
	else
	{
		assert_non_null(problem);
		assert_non_null(strstr(problem, part));
	}
	free(problem);
}

static void
test_bounds(void **state)
{
	(void) state;
	expect_problem(1000, NOW, NULL);
	expect_problem(1000, NOW - 600, NULL);
	expect_problem(1000, NOW - 601, "is behind: its tip, block 1000, is of 2027-01-15 07:49:59 UTC");
	expect_problem(1000, NOW + 900, NULL);
	expect_problem(1000, NOW + 901, "lies in the future");
	/* A low tip is a fault only where it is old as well */
	expect_problem(999, NOW - 30, NULL);
	expect_problem(999, NOW - 31, "another endpoint was beyond block 1000");
	/* Other units */
	expect_problem(1000, NOW * 1000, "not in seconds");
	expect_problem(1000, NOW * 1000000, "not in seconds");
	expect_problem(1000, NOW * 1000000000, "not in seconds");
	expect_problem(1000, -1, "can't be");
	expect_problem(UINT64_MAX, NOW, "can't be");
}

/* A chain that makes blocks on demand has tips of any age, but no times beyond all calendars */
static void
test_no_bounds(void **state)
{
	rc_tip_bounds none = {0};
	rc_block	tip = {.known = true,.height = 3,.time = 1};
	char	   *problem;

	(void) state;
	assert_null(rc_tip_problem(&none, &tip));
	tip.time = NOW + INT64_C(50) * 365 * 86400;
	assert_null(rc_tip_problem(&none, &tip));
	tip.time = NOW * 1000;
	problem = rc_tip_problem(&none, &tip);
	assert_non_null(problem);
	free(problem);
	tip.known = false;
	problem = rc_tip_problem(&none, &tip);
	assert_non_null(problem);
	free(problem);
}

static void
test_walk(void **state)
{
	rc_endpoint endpoints[3] = {{.shown = (char *) "a"},{.shown = (char *) "b"},{.shown = (char *) "c"}};
	rc_endpoint_walk walk;
	char	   *problem;

	(void) state;
	for (int i = 0; i < 3; i++)
		endpoints[i].url = (char *) "http://localhost";
	endpoints[1].retry_at_ms = rc_now_ms() + 60000;
	endpoints[1].error = rc_strdup("resting");
	assert_int_equal(rc_endpoints_rest_until(endpoints, 3), 0);
	rc_endpoint_walk_begin(&walk, endpoints, 3);
	assert_ptr_equal(rc_endpoint_walk_next(&walk), &endpoints[0]);
	rc_endpoint_walk_failed(&walk, (rc_failure) {RC_FAILURE_UNREACHABLE, rc_strdup("broken"), 30000});
	/* Even if it may be asked again by now: once in a walk */
	endpoints[0].retry_at_ms = 0;
	assert_ptr_equal(rc_endpoint_walk_next(&walk), &endpoints[2]);
	rc_endpoint_walk_failed(&walk, (rc_failure) {RC_FAILURE_UNREACHABLE, rc_strdup("gone"), 30000});
	assert_null(rc_endpoint_walk_next(&walk));
	assert_null(rc_endpoint_walk_next(&walk));
	assert_true(walk.asked);
	problem = rc_endpoint_walk_problem(&walk);
	assert_string_equal(problem, "a: broken; b: resting; c: gone");
	free(problem);
	rc_endpoint_walk_end(&walk);

	/* The first that may be asked again */
	endpoints[0].retry_at_ms = endpoints[1].retry_at_ms + 5;
	assert_int_equal(rc_endpoints_rest_until(endpoints, 3), endpoints[2].retry_at_ms);
	rc_endpoint_walk_begin(&walk, endpoints, 3);
	assert_null(rc_endpoint_walk_next(&walk));
	assert_false(walk.asked);
	rc_endpoint_walk_end(&walk);
	for (int i = 0; i < 3; i++)
		free(endpoints[i].error);
}

/* Two nodes of one network: 100 blocks each, whose times are those of fake_evm.c */
typedef struct pair
{
	rc_http    *http;
	rc_network	network;
	rc_endpoint endpoints[2];
	fake_node  *nodes[2];
	rc_request	request;
} pair;

static int
setup(void **state)
{
	pair	   *p = rc_calloc(1, sizeof(*p));

	p->http = rc_http_create(poll_host());
	p->network.chain = (char *) "ethereum";
	p->network.network = (char *) "local";
	strcpy(p->network.kind, "evm");
	p->network.chain_id = 31337;
	p->network.confirmations = 3;
	p->network.request_timeout_ms = 10000;
	p->network.endpoints = p->endpoints;
	p->network.nendpoints = 2;
	for (int i = 0; i < 2; i++)
	{
		p->nodes[i] = fake_node_start();
		p->endpoints[i].url = rc_asprintf("http://127.0.0.1:%d/", p->nodes[i]->port);
		p->endpoints[i].shown = rc_asprintf("node-%d", i);
	}
	p->request.seq = 1;
	p->request.address = (char *) "0x00000000000000000000000000000000000003e8";
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	pair	   *p = *state;

	for (int i = 0; i < 2; i++)
	{
		fake_node_stop(p->nodes[i]);
		free(p->endpoints[i].url);
		free(p->endpoints[i].shown);
		free(p->endpoints[i].error);
		free(p->endpoints[i].learned);
	}
	rc_http_free(p->http);
	memset(&look_bounds, 0, sizeof(look_bounds));
	poll_host_clear_log();
	free(p);
	return 0;
}

/* Looks once; the time of the tip, if there is one */
static int64_t
look_at_tip(pair *p, const char *failure)
{
	rc_observation *observation = look_and_wait(p->http, &p->network, &p->request, 1);
	int64_t		time;

	assert_non_null(observation);
	if (failure == NULL)
		assert_null(observation->failure);
	else
		assert_non_null(strstr(observation->failure, failure));
	time = observation->tip.time;
	rc_observation_free(observation);
	return time;
}

/* The first node stands still: it rests, and the second is asked, then and for as long as it rests */
static void
test_stuck_node_is_passed_by(void **state)
{
	pair	   *p = *state;
	int64_t		young = look_at_tip(p, NULL);

	p->nodes[1]->tip = 200;
	p->endpoints[0].retry_at_ms = INT64_MAX;
	young = look_at_tip(p, NULL);
	p->endpoints[0].retry_at_ms = 0;
	look_bounds.min_time = young;
	assert_int_equal(look_at_tip(p, NULL), young);
	assert_int_equal(p->endpoints[0].failures, 1);
	assert_non_null(strstr(p->endpoints[0].error, "is behind"));
	assert_false(rc_endpoint_usable(&p->endpoints[0]));

	/* The tip that an earlier look has asked for is judged, too */
	p->nodes[0]->requests = 0;
	assert_int_equal(look_at_tip(p, NULL), young);
	assert_int_equal(p->nodes[0]->requests, 0);
	look_bounds.min_time = young + 1;
	look_at_tip(p, "node-1: it is behind");

	/* Back in step */
	p->endpoints[0].retry_at_ms = 0;
	p->nodes[0]->tip = 300;
	assert_true(look_at_tip(p, NULL) > young);
	assert_int_equal(p->endpoints[0].failures, 0);
}

/* A balancer between nodes that differ by a fork never answers the same twice */
static void
test_inconsistent_node_is_given_up(void **state)
{
	pair	   *p = *state;

	for (int i = 0; i < 2; i++)
		p->nodes[i]->forks = -1;
	look_at_tip(p, "inconsistent answers");
	for (int i = 0; i < 2; i++)
	{
		assert_true(p->nodes[i]->tips <= 3);
		assert_true(p->nodes[i]->requests <= 9);
		assert_false(rc_endpoint_usable(&p->endpoints[i]));
	}

	/* They rest: nobody is asked */
	p->nodes[0]->requests = p->nodes[1]->requests = 0;
	look_at_tip(p, "inconsistent answers");
	assert_int_equal(p->nodes[0]->requests + p->nodes[1]->requests, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_no_bounds),
		cmocka_unit_test(test_walk),
		cmocka_unit_test_setup_teardown(test_stuck_node_is_passed_by, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inconsistent_node_is_given_up, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
