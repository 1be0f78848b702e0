/* test_evm.c: the EVM observer against a node that misbehaves */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/memory.h"
#include "core/net/redact.h"
#include "fake_node.h"
#include "poll_host.h"

/* What a test works with: one network with one or two endpoints */
typedef struct fixture
{
	rc_http    *http;
	rc_network	network;
	rc_endpoint endpoints[2];
	fake_node  *nodes[2];
	rc_request *requests;
	int			nrequests;
	rc_observation *observation;
} fixture;

/* Adds an endpoint; node may be NULL: nothing listens there */
static void
add_endpoint(fixture *f, const char *url)
{
	rc_endpoint *endpoint = &f->endpoints[f->network.nendpoints++];

	endpoint->url = rc_strdup(url);
	endpoint->shown = rc_url_redact(url);
}

/* A network of two fake nodes, the second of which is there but not used */
static int
setup(void **state)
{
	fixture    *f = rc_calloc(1, sizeof(*f));
	char		url[64];

	f->http = rc_http_create(poll_host());
	f->network.chain = rc_strdup("ethereum");
	f->network.network = rc_strdup("local");
	strcpy(f->network.kind, "evm");
	f->network.chain_id = 31337;
	f->network.confirmations = 3;
	f->network.request_timeout_ms = 10000;
	f->network.endpoints = f->endpoints;
	for (int i = 0; i < 2; i++)
	{
		f->nodes[i] = fake_node_start();
		(void) snprintf(url, sizeof(url), "http://127.0.0.1:%d/key-abcdef", f->nodes[i]->port);
		add_endpoint(f, url);
	}
	f->network.nendpoints = 1;
	poll_host_clear_log();
	*state = f;
	return 0;
}

/* Forgets the requests */
static void
clear_requests(fixture *f)
{
	for (int i = 0; i < f->nrequests; i++)
	{
		free(f->requests[i].address);
		free(f->requests[i].token);
	}
	free(f->requests);
	f->requests = NULL;
	f->nrequests = 0;
}

/* Frees everything */
static int
teardown(void **state)
{
	fixture    *f = *state;

	clear_requests(f);
	rc_observation_free(f->observation);
	for (int i = 0; i < 2; i++)
	{
		fake_node_stop(f->nodes[i]);
		free(f->endpoints[i].url);
		free(f->endpoints[i].shown);
		free(f->endpoints[i].error);
		free(f->endpoints[i].learned);
	}
	free(f->network.chain);
	free(f->network.network);
	free(f->network.block_tag);
	rc_http_free(f->http);
	poll_host_clear_log();
	free(f);
	return 0;
}

/* Adds a request for holder (a number) in token (its last byte; 0: native) */
static rc_request *
add_request(fixture *f, uint32_t holder, uint8_t token)
{
	rc_request *request;

	f->requests = rc_realloc(f->requests, (size_t) (f->nrequests + 1) * sizeof(rc_request));
	request = &f->requests[f->nrequests];
	memset(request, 0, sizeof(*request));
	request->seq = ++f->nrequests;
	request->address = rc_asprintf("0x%040x", holder);
	if (token != 0)
		request->token = rc_asprintf("0x%040x", 0x70000000u + token);
	return request;
}

/* Adds n requests, every other one for the token */
static void
add_requests(fixture *f, int n)
{
	for (int i = 0; i < n; i++)
		(void) add_request(f, (uint32_t) (1000 + i), i % 2 == 0 ? 0 : FAKE_TOKEN);
}

/* Looks once */
static rc_observation *
look(fixture *f)
{
	rc_observation_free(f->observation);
	f->observation = look_and_wait(f->http, &f->network, f->requests, f->nrequests);
	assert_non_null(f->observation);
	assert_int_equal(f->observation->nresults, f->nrequests);
	return f->observation;
}

/* The endpoints may be asked at once again */
static void
forget_failures(fixture *f)
{
	for (int i = 0; i < 2; i++)
	{
		f->endpoints[i].failures = 0;
		f->endpoints[i].retry_at_ms = 0;
		free(f->endpoints[i].learned);
		f->endpoints[i].learned = NULL;
	}
}

/* The result i is what the fake node has at these blocks */
static void
assert_amounts(fixture *f, int i, uint64_t tip, uint64_t depth)
{
	const rc_result *result = &f->observation->results[i];
	uint32_t	holder = (uint32_t) strtoul(f->requests[i].address + 2, NULL, 16);
	uint8_t		token = f->requests[i].token != NULL ? (uint8_t) strtoul(f->requests[i].token + 40, NULL, 16) : 0;
	uint64_t	seen;
	uint64_t	settled;

	if (result->error != NULL)
		fail_msg("request %d: %s", i, result->error);
	assert_true(rc_uint256_to_u64(&result->seen, &seen));
	assert_true(rc_uint256_to_u64(&result->settled, &settled));
	assert_true(seen == fake_balance(holder, token, tip));
	assert_true(settled == (depth == 0 ? 0 : fake_balance(holder, token, depth)));
}

/* All results are what the fake node has at these blocks, and the blocks are reported */
static void
assert_all(fixture *f, uint64_t tip, uint64_t depth)
{
	if (f->observation->failure != NULL)
		fail_msg("%s", f->observation->failure);
	assert_true(f->observation->tip.known);
	assert_int_equal(f->observation->tip.height, tip);
	assert_int_equal(f->observation->tip.time, 1700000000 + 12 * tip);
	assert_int_equal(strlen(f->observation->tip.hash), 66);
	assert_int_equal(f->observation->depth.known, depth != 0);
	if (depth != 0)
		assert_int_equal(f->observation->depth.height, depth);
	for (int i = 0; i < f->nrequests; i++)
		assert_amounts(f, i, tip, depth);
}

/* The look failed, and says why */
static void
assert_failure(fixture *f, const char *text)
{
	assert_non_null(f->observation->failure);
	if (strstr(f->observation->failure, text) == NULL)
		fail_msg("\"%s\" is not in: %s", text, f->observation->failure);
	assert_null(strstr(f->observation->failure, "abcdef"));
}

/* The request's own error says why */
static void
assert_error(fixture *f, int i, const char *text)
{
	assert_null(f->observation->failure);
	assert_non_null(f->observation->results[i].error);
	if (strstr(f->observation->results[i].error, text) == NULL)
		fail_msg("\"%s\" is not in: %s", text, f->observation->results[i].error);
}

/* Native and token, at the tip and at the depth, in two exchanges */
static void
test_reads_at_tip_and_depth(void **state)
{
	fixture    *f = *state;

	add_requests(f, 700);
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->requests, 2);
	assert_int_equal(f->nodes[0]->calls, 2);
	assert_true(f->endpoints[0].verified);
}

/* More than fit into one call */
static void
test_many_requests(void **state)
{
	fixture    *f = *state;

	add_requests(f, 2000);
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->longest_list, 740);
	assert_int_equal(f->nodes[0]->calls, 6);
}

/* With one confirmation the tip is the depth */
static void
test_one_confirmation(void **state)
{
	fixture    *f = *state;

	f->network.confirmations = 1;
	add_requests(f, 10);
	look(f);
	assert_all(f, 100, 100);
	assert_int_equal(f->nodes[0]->calls, 1);
}

/* A chain that is shorter than the depth has settled nothing */
static void
test_short_chain(void **state)
{
	fixture    *f = *state;

	f->network.confirmations = 102;
	add_requests(f, 10);
	look(f);
	assert_all(f, 100, 0);
}

/* "safe" instead of a number */
static void
test_block_tag(void **state)
{
	fixture    *f = *state;

	f->network.block_tag = rc_strdup("safe");
	add_requests(f, 10);
	look(f);
	assert_all(f, 100, 90);
	/* It is the tip itself on chains that settle at once */
	f->nodes[0]->safe = 100;
	forget_failures(f);
	look(f);
	assert_all(f, 100, 100);
}

/* No request at all is no trouble */
static void
test_no_requests(void **state)
{
	fixture    *f = *state;

	look(f);
	assert_null(f->observation->failure);
	assert_int_equal(f->nodes[0]->calls, 0);
}

/* Addresses that don't parse are the request's own error, and nobody is asked about them */
static void
test_bad_addresses(void **state)
{
	fixture    *f = *state;

	for (int i = 0; i < 4; i++)
		(void) add_request(f, 5, FAKE_TOKEN);
	f->requests[0].address[5] = 'g';
	f->requests[1].token[41] = '\0';
	(void) snprintf(f->requests[2].token, 43, "0x%040x", 0);
	look(f);
	assert_error(f, 0, "is not an EVM address");
	assert_error(f, 1, "token contract: \"0x");
	assert_error(f, 2, "zero address");
	assert_amounts(f, 3, 100, 98);
	assert_int_equal(f->nodes[0]->longest_list, 1);
}

/* An endpoint of another chain is never believed */
static void
test_wrong_chain(void **state)
{
	fixture    *f = *state;

	add_requests(f, 10);
	f->nodes[0]->chain_id = 1;
	look(f);
	assert_failure(f, "wrong chain: the endpoint's chain id is 1, the network's is 31337");
	assert_int_equal(f->nodes[0]->calls, 0);
	assert_false(f->endpoints[0].verified);

	f->nodes[0]->chain_id = 31337;
	f->nodes[0]->evm_chain_id = 1;
	forget_failures(f);
	look(f);
	assert_failure(f, "wrong chain");
}

/* Each of these is a failure, when the tip is asked for and when the balances are */
static void
test_troubles(void **state)
{
	static const struct
	{
		fake_trouble trouble;
		int			status;
		const char *text;
		const char *expected;
	}			cases[] = {
		{FAKE_CLOSE, 0, "", "http://127.0.0.1"},
		{FAKE_CUT_BODY, 0, "", "in the middle of the answer"},
		{FAKE_CUT_JSON, 0, "", "truncated JSON"},
		{FAKE_HTML, 0, "", "HTML page"},
		{FAKE_EMPTY, 0, "", "empty"},
		{FAKE_STATUS, 429, "slow down", "HTTP 429"},
		{FAKE_STATUS, 500, "<html>oops</html>", "HTTP 500"},
		{FAKE_STATUS, 503, "{}", "HTTP 503"},
		{FAKE_STATUS, 401, "", "credentials"},
		{FAKE_STATUS, 404, "not here", "HTTP 404"},
		{FAKE_STATUS, 301, "", "redirects"},
		{FAKE_TEXT, 0, "[]", "0 answers to"},
		{FAKE_TEXT, 0, "{}", "not an array"},
		{FAKE_TEXT, 0, "\"x\"", "not an array"},
		{FAKE_TEXT, 0, "null", "null"},
		{FAKE_TEXT, 0, "[1,2] []", "not JSON"},
		{FAKE_TEXT, 0, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32005,\"message\":\"rate limit exceeded for key-abcdef\"}}", "rate limit exceeded"},
		{FAKE_TEXT, 0, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":429,\"message\":\"Too Many Requests\"}}", "Too Many Requests"},
		{FAKE_WRONG_IDS, 0, "", "not asked for"},
		{FAKE_SAME_IDS, 0, "", "same id"},
		{FAKE_MISSING_ANSWER, 0, "", "answers to"},
		{FAKE_HUGE, 0, "", "larger than"},
	};
	fixture    *f = *state;

	add_requests(f, 10);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		for (int after = 0; after < 2; after++)
		{
			f->nodes[0]->requests = 0;
			f->nodes[0]->trouble_after = after;
			f->nodes[0]->status = cases[i].status;
			(void) snprintf(f->nodes[0]->text, sizeof(f->nodes[0]->text), "%s", cases[i].text);
			f->nodes[0]->trouble = cases[i].trouble;
			forget_failures(f);
			look(f);
			assert_failure(f, cases[i].expected);
			assert_int_equal(f->endpoints[0].failures, 1);
		}
	}
	/* And it recovers from all of them */
	f->nodes[0]->trouble = FAKE_NO_TROUBLE;
	forget_failures(f);
	look(f);
	assert_all(f, 100, 98);
}

/* A node that hangs costs the timeout, no more */
static void
test_hang(void **state)
{
	fixture    *f = *state;

	add_requests(f, 10);
	f->network.request_timeout_ms = 200;
	f->nodes[0]->trouble = FAKE_HANG;
	look(f);
	assert_failure(f, "timed out after 200 ms while waiting for the answer");
}

/* The next endpoint serves; the first rests, longer each time, and is then preferred again */
static void
test_failover(void **state)
{
	fixture    *f = *state;
	int64_t		now;

	f->network.nendpoints = 2;
	add_requests(f, 10);
	f->nodes[0]->trouble = FAKE_STATUS;
	f->nodes[0]->status = 502;
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->requests, 1);
	assert_int_equal(f->endpoints[0].failures, 1);
	assert_int_equal(f->endpoints[1].failures, 0);
	assert_non_null(strstr(poll_host_log(), "message=\"HTTP 502"));
	assert_null(strstr(poll_host_log(), "abcdef"));

	/* Resting: not asked */
	f->endpoints[0].retry_at_ms = rc_now_ms() + 60000;
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->requests, 1);

	/* Both out: the failure names both */
	f->nodes[1]->trouble = FAKE_HTML;
	free(f->endpoints[1].learned);
	f->endpoints[1].learned = NULL;
	look(f);
	assert_failure(f, "HTTP 502");
	assert_failure(f, "HTML page");

	/* Failures in a row make it rest longer */
	f->endpoints[1].retry_at_ms = rc_now_ms() + 60000;
	f->endpoints[0].failures = 3;
	f->endpoints[0].retry_at_ms = 0;
	now = rc_now_ms();
	look(f);
	assert_int_equal(f->endpoints[0].failures, 4);
	assert_true(f->endpoints[0].retry_at_ms >= now + 4000);

	f->nodes[0]->trouble = FAKE_NO_TROUBLE;
	f->endpoints[0].retry_at_ms = 0;
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->endpoints[0].failures, 0);
}

/* Retry-After is kept to */
static void
test_retry_after(void **state)
{
	fixture    *f = *state;
	int64_t		now = rc_now_ms();

	add_requests(f, 1);
	f->nodes[0]->trouble = FAKE_STATUS;
	f->nodes[0]->status = 429;
	f->nodes[0]->retry_after = 77;
	look(f);
	assert_failure(f, "HTTP 429");
	assert_true(f->endpoints[0].retry_at_ms >= now + 77000);
	look(f);
	assert_failure(f, "HTTP 429");
	assert_int_equal(f->nodes[0]->requests, 1);
}

/* Without an endpoint there is nothing to believe */
static void
test_no_endpoint(void **state)
{
	fixture    *f = *state;

	add_requests(f, 1);
	f->network.nendpoints = 0;
	look(f);
	assert_failure(f, "has no endpoint");
	strcpy(f->network.kind, "none");
	look(f);
	assert_failure(f, "not registered");
}

/* An endpoint that takes no arrays is asked one by one, and remembered */
static void
test_no_arrays(void **state)
{
	fixture    *f = *state;
	int			requests;

	f->nodes[0]->max_array = 1;
	add_requests(f, 50);
	look(f);
	assert_all(f, 100, 98);
	requests = f->nodes[0]->requests;
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->requests - requests, 3);
}

/* Neither creation code nor Multicall3 nor arrays: each balance by itself */
static void
test_plain(void **state)
{
	static const int max_arrays[] = {0, 10, 1};
	fixture    *f = *state;

	f->nodes[0]->no_creation = true;
	add_requests(f, 120);
	for (size_t i = 0; i < sizeof(max_arrays) / sizeof(max_arrays[0]); i++)
	{
		f->nodes[0]->max_array = max_arrays[i];
		forget_failures(f);
		look(f);
		assert_all(f, 100, 98);
	}
	f->nodes[0]->max_array = 0;
	f->network.confirmations = 1;
	forget_failures(f);
	f->nodes[0]->balances = 0;
	look(f);
	assert_all(f, 100, 100);
	assert_int_equal(f->nodes[0]->balances, 60);
	assert_non_null(strstr(poll_host_log(), "method=single_balances"));
	/* Remembered: a header, a probe and the balances the first time, then no probe */
	f->nodes[0]->calls = 0;
	look(f);
	assert_all(f, 100, 100);
	assert_int_equal(f->nodes[0]->calls, 60);
}

/* One by one, a contract's own message can't bring the endpoint down; a refused native balance does */
static void
test_plain_errors(void **state)
{
	fixture    *f = *state;

	f->nodes[0]->no_creation = true;
	(void) snprintf(f->nodes[0]->token_error, sizeof(f->nodes[0]->token_error), "execution reverted: rate limit");
	add_requests(f, 4);
	look(f);
	assert_amounts(f, 0, 100, 98);
	assert_error(f, 1, "did not answer balanceOf");
	assert_int_equal(f->endpoints[0].failures, 0);

	(void) snprintf(f->nodes[0]->call_error, sizeof(f->nodes[0]->call_error), "internal error");
	look(f);
	assert_failure(f, "internal error");
}

/* Multicall3 where creation code is refused, or silently not run */
static void
test_multicall(void **state)
{
	fixture    *f = *state;

	f->nodes[0]->has_multicall = true;
	add_requests(f, 1000);
	f->nodes[0]->no_creation = true;
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->balances, 0);
	assert_int_equal(f->nodes[0]->longest_list, 400);

	f->nodes[0]->no_creation = false;
	f->nodes[0]->empty_creation = true;
	forget_failures(f);
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->balances, 0);

	/* A token that gives no number is its own error there too */
	clear_requests(f);
	(void) add_request(f, 1, FAKE_DEAD_TOKEN);
	(void) add_request(f, 2, FAKE_TOKEN);
	look(f);
	assert_error(f, 0, "did not answer balanceOf");
	assert_amounts(f, 1, 100, 98);

	/* It was there, and isn't any more (a test chain begun anew) */
	f->nodes[0]->has_multicall = false;
	clear_requests(f);
	add_requests(f, 10);
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->balances, 10);
}

/* A node with less gas: lists are halved until they pass, and stay short from then on */
static void
test_list_limit(void **state)
{
	fixture    *f = *state;

	f->nodes[0]->max_list = 200;
	add_requests(f, 700);
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->longest_list, 175);
	f->nodes[0]->calls = 0;
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->calls, 8);
}

/* A proxy that lets no large request through: single calls, then shorter lists, but arrays still where they are short */
static void
test_body_limit(void **state)
{
	fixture    *f = *state;

	f->nodes[0]->max_body = 40000;
	add_requests(f, 700);
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->longest_list, 350);
	f->nodes[0]->requests = 0;
	clear_requests(f);
	add_requests(f, 10);
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->requests, 1);
}

/* One token that fails every list with it stands alone in the end */
static void
test_poison(void **state)
{
	fixture    *f = *state;

	add_requests(f, 300);
	free(f->requests[123].token);
	f->requests[123].token = rc_asprintf("0x%040x", 0x70000000u + FAKE_POISON_TOKEN);
	look(f);
	for (int i = 0; i < 300; i++)
	{
		if (i != 123)
			assert_amounts(f, i, 100, 98);
	}
	assert_error(f, 123, "invalid opcode");
	/* Its neighbours' lists don't stay short because of it */
	f->nodes[0]->longest_list = 0;
	clear_requests(f);
	add_requests(f, 300);
	look(f);
	assert_all(f, 100, 98);
	assert_int_equal(f->nodes[0]->longest_list, 300);
}

/* When each and every one is refused, it is the endpoint */
static void
test_all_refused(void **state)
{
	fixture    *f = *state;

	for (uint32_t i = 0; i < 8; i++)
		(void) add_request(f, i, FAKE_POISON_TOKEN);
	look(f);
	assert_failure(f, "every balance was refused");
	assert_failure(f, "invalid opcode");
	clear_requests(f);
	(void) add_request(f, 1, FAKE_POISON_TOKEN);
	forget_failures(f);
	look(f);
	assert_error(f, 0, "invalid opcode");
}

/* Nodes that are behind, or have thrown the state away: failures, not amounts */
static void
test_behind(void **state)
{
	static const char *const messages[] = {
		"header not found", "missing trie node 0xabc (path )", "historical state is not available: pruned"
	};
	fixture    *f = *state;

	add_requests(f, 10);
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
	{
		(void) snprintf(f->nodes[0]->call_error, sizeof(f->nodes[0]->call_error), "%s", messages[i]);
		forget_failures(f);
		look(f);
		assert_failure(f, messages[i]);
	}
	f->nodes[0]->call_error[0] = '\0';
	f->nodes[0]->no_blocks = true;
	forget_failures(f);
	look(f);
	assert_failure(f, "not known");
}

/* Tokens that another one starved of gas are asked again; what burns it is not */
static void
test_starved(void **state)
{
	fixture    *f = *state;

	add_requests(f, 100);
	free(f->requests[11].token);
	f->requests[11].token = rc_asprintf("0x%040x", 0x70000000u + FAKE_GREEDY_TOKEN);
	look(f);
	assert_all(f, 100, 98);
}

/* No contract, no answer, no contract yet at the depth */
static void
test_token_states(void **state)
{
	fixture    *f = *state;

	(void) add_request(f, 1, FAKE_NO_TOKEN);
	(void) add_request(f, 2, FAKE_DEAD_TOKEN);
	(void) add_request(f, 3, FAKE_NEW_TOKEN);
	(void) add_request(f, 4, FAKE_TOKEN);
	look(f);
	assert_error(f, 0, "there is no token contract at 0x");
	assert_error(f, 1, "did not answer balanceOf");
	assert_amounts(f, 2, 100, 0);
	assert_amounts(f, 3, 100, 98);
}

/* A chain whose NUMBER is that of another chain: pinned by hash from then on */
static void
test_other_number(void **state)
{
	fixture    *f = *state;

	f->nodes[0]->number_offset = 5000;
	add_requests(f, 10);
	look(f);
	assert_all(f, 100, 98);
	look(f);
	assert_all(f, 100, 98);
	/* Pinned, a call at another block still shows by its time */
	f->nodes[0]->call_offset = 1;
	look(f);
	assert_failure(f, "inconsistent answers");
}

/* Calls that run at another block than asked for */
static void
test_call_elsewhere(void **state)
{
	fixture    *f = *state;

	f->nodes[0]->call_offset = (uint64_t) -1;
	add_requests(f, 10);
	look(f);
	assert_failure(f, "inconsistent answers");
}

/* A reorg under the look: once more; for ever: a failure */
static void
test_forks(void **state)
{
	fixture    *f = *state;

	add_requests(f, 10);
	f->nodes[0]->forks = 2;
	look(f);
	assert_all(f, 100, 98);
	assert_true(f->nodes[0]->tips > 1);

	f->nodes[0]->forks = -1;
	forget_failures(f);
	look(f);
	assert_failure(f, "inconsistent answers");
}

/* A tip serves looks for a moment, but never the last look before an expiry */
static void
test_tip_is_shared(void **state)
{
	fixture    *f = *state;

	add_requests(f, 10);
	look(f);
	look(f);
	assert_int_equal(f->nodes[0]->tips, 1);
	f->nodes[0]->tip = 101;
	f->requests[3].expiring = true;
	look(f);
	assert_int_equal(f->nodes[0]->tips, 2);
	assert_all(f, 101, 99);
}

/* rc_observed */
static void
count_observation(void *arg, rc_observation *observation)
{
	++*(int *) arg;
	rc_observation_free(observation);
}

/* A look can be given up at any moment, and then never calls back */
static void
test_cancel(void **state)
{
	fixture    *f = *state;
	int			observed = 0;

	f->nodes[0]->no_creation = true;
	f->nodes[0]->max_array = 10;
	add_requests(f, 60);
	for (int steps = 0; steps < 40; steps++)
	{
		rc_look    *running = rc_look_start(f->http, poll_host(), &f->network, &look_bounds, f->requests, f->nrequests,
											count_observation, &observed);

		for (int i = 0; i < steps && observed == 0; i++)
			rc_http_step(f->http, 5);
		if (observed == 0)
			rc_look_cancel(running);
		observed = 0;
		for (int i = 0; i < 3; i++)
			rc_http_step(f->http, 0);
		assert_int_equal(observed, 0);
		if (steps % 7 == 0)
			forget_failures(f);
	}
}

int
main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(test_reads_at_tip_and_depth), test(test_many_requests), test(test_one_confirmation),
		test(test_short_chain), test(test_block_tag), test(test_no_requests), test(test_bad_addresses),
		test(test_wrong_chain), test(test_troubles), test(test_hang), test(test_failover),
		test(test_retry_after), test(test_no_endpoint), test(test_no_arrays), test(test_plain),
		test(test_plain_errors), test(test_multicall), test(test_list_limit), test(test_body_limit), test(test_poison),
		test(test_all_refused), test(test_behind), test(test_starved), test(test_token_states),
		test(test_other_number), test(test_call_elsewhere), test(test_forks), test(test_tip_is_shared),
		test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
