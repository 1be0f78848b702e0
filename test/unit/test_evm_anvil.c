/* test_evm_anvil.c: the EVM observer against a real node; RECONCILER_ANVIL (or ANVIL) names anvil's executable */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "anvil_node.h"
#include "core/base/memory.h"
#include "poll_host.h"

/* An address that nobody else uses */
static char *
holder(unsigned number)
{
	return rc_asprintf("0x%040x", 0x51000000u + number);
}

/* One look with a fresh tip; freed by the caller */
static rc_observation *
look(rc_request *requests, int nrequests, int confirmations)
{
	rc_observation *observation;

	node.network.confirmations = confirmations;
	requests[0].expiring = true;
	observation = look_and_wait(node.http, &node.network, requests, nrequests);
	assert_non_null(observation);
	if (observation->failure != NULL)
		fail_msg("%s", observation->failure);
	return observation;
}

/* The amounts of a result */
static void
assert_result(const rc_result *result, const char *seen, const char *settled)
{
	char		text[RC_UINT256_DECIMAL_SIZE];

	if (result->error != NULL)
		fail_msg("%s", result->error);
	rc_uint256_to_decimal(&result->seen, text);
	assert_string_equal(text, seen);
	rc_uint256_to_decimal(&result->settled, text);
	assert_string_equal(text, settled);
}

/* A chain that has only its first block (the last test: what the others made is gone) */
static void
test_first_block(void **state)
{
	rc_request	request = {0};
	rc_observation *observation;

	(void) state;
	(void) rpc("anvil_reset", "[]");
	assert_string_equal(rpc("eth_blockNumber", "[]"), "\"0x0\"");
	request.address = (char *) RICH;
	observation = look(&request, 1, 1);
	assert_null(observation->failure);
	assert_int_equal(observation->tip.height, 0);
	assert_result(&observation->results[0], "10000000000000000000000", "10000000000000000000000");
	rc_observation_free(observation);
}

/* ETH and a token arrive, gain confirmations, and go again in a reorg */
static void
test_payments(void **state)
{
	rc_request	requests[2] = {{0}};
	rc_observation *observation;
	char	   *members;

	(void) state;
	(void) rpc("anvil_mine", "[\"0x5\"]");
	requests[0].address = holder(1);
	requests[1].address = holder(2);
	requests[1].token = node.token;
	members = rc_asprintf("\"to\":\"%s\",\"value\":\"0xde0b6b3a7640000\"", requests[0].address);
	(void) send_transaction(members);
	free(members);
	members = rc_asprintf("\"to\":\"%s\",\"data\":\"0xa9059cbb%024d%s%064x\"", node.token, 0,
						  requests[1].address + 2, 25);
	(void) send_transaction(members);
	free(members);

	/* ETH in the block below the tip, the token in the tip */
	observation = look(requests, 2, 2);
	assert_result(&observation->results[0], "1000000000000000000", "1000000000000000000");
	assert_result(&observation->results[1], "25", "0");
	assert_int_equal(observation->tip.height, observation->depth.height + 1);
	rc_observation_free(observation);
	(void) rpc("anvil_mine", "[\"0x1\"]");
	observation = look(requests, 2, 2);
	assert_result(&observation->results[1], "25", "25");
	rc_observation_free(observation);
	observation = look(requests, 2, 4);
	assert_result(&observation->results[0], "1000000000000000000", "0");
	rc_observation_free(observation);

	(void) rpc("anvil_reorg", "[3,[]]");
	observation = look(requests, 2, 2);
	assert_result(&observation->results[0], "0", "0");
	assert_result(&observation->results[1], "0", "0");
	rc_observation_free(observation);
	free(requests[0].address);
	free(requests[1].address);
}

/* Contracts that do everything wrong, in one list with good ones */
static void
test_nasty_tokens(void **state)
{
	static const struct
	{
		const char *code;
		const char *expected;	/* amount, or NULL: error */
	}			tokens[] = {
		{"0x60006000fd", NULL}, /* reverts */
		{"0xfe", NULL},			/* INVALID */
		{"0x5b600056", NULL},	/* never ends */
		{"0x60016000526001601ff3", NULL},	/* one byte */
		{"0x6001600052601f6001f3", NULL},	/* 31 bytes */
		{"0x00", NULL},			/* nothing */
		{"0x6005600052602060006000fd", NULL},
		{"0x602060005260206000f3", "32"},
		{"0x600760005260406000f3", "7"},	/* two words: the first counts */
		{"0x6000196000" "5260206000f3",
			"115792089237316195423570985008687907853269984665640564039457584007913129639935"},
	};
	const int	ntokens = (int) (sizeof(tokens) / sizeof(tokens[0]));
	const int	n = 740;
	rc_request *requests = rc_calloc((size_t) n, sizeof(*requests));
	rc_observation *observation;

	(void) state;
	for (int i = 0; i < ntokens; i++)
	{
		char	   *params = rc_asprintf("[\"0x%040x\",\"%s\"]", 0x52000000 + i, tokens[i].code);

		(void) rpc("anvil_setCode", params);
		free(params);
	}
	(void) rpc("anvil_mine", "[\"0x5\"]");
	for (int i = 0; i < n; i++)
	{
		requests[i].address = i % 4 == 0 ? rc_strdup(RICH) : holder((unsigned) (100 + i));
		if (i % 4 == 1 || i % 4 == 2)
			requests[i].token = rc_asprintf("0x%040x", 0x52000000 + i / 2 % ntokens);
		else if (i % 4 == 3)
			requests[i].token = rc_strdup(node.token);
	}
	/* In the longer list those that burn their 200,000 gas leave too little for the rest */
	for (int round = 0; round < 2; round++)
	{
		observation = look(requests, round == 0 ? 120 : n, 3);
		for (int i = 0; i < observation->nresults; i++)
		{
			const char *expected = i % 4 == 1 || i % 4 == 2 ? tokens[i / 2 % ntokens].expected : "0";
			const rc_result *result = &observation->results[i];

			if (i % 4 == 0)
				assert_true(result->error == NULL && !rc_uint256_is_zero(&result->settled));
			else if (expected != NULL)
				assert_result(result, expected, expected);
			else
			{
				assert_non_null(result->error);
				assert_non_null(strstr(result->error, "did not answer balanceOf"));
			}
		}
		rc_observation_free(observation);
	}
	for (int i = 0; i < n; i++)
	{
		free(requests[i].address);
		free(requests[i].token);
	}
	free(requests);
}

/* safe and finalized */
static void
test_tags(void **state)
{
	rc_request	request = {0};
	rc_observation *observation;

	(void) state;
	request.address = RICH;
	(void) rpc("anvil_mine", "[\"0x50\"]");
	node.network.block_tag = "safe";
	observation = look(&request, 1, 1);
	assert_int_equal(observation->tip.height, observation->depth.height + 32);
	rc_observation_free(observation);
	node.network.block_tag = NULL;
}

/* How long 1,000 mixed requests take: told, not judged */
static void
test_time(void **state)
{
	const int	n = 1000;
	rc_request *requests = rc_calloc((size_t) n, sizeof(*requests));

	(void) state;
	for (int i = 0; i < n; i++)
	{
		requests[i].address = holder((unsigned) i);
		requests[i].token = i % 2 == 0 ? NULL : node.token;
	}
	for (int confirmations = 1; confirmations <= 3; confirmations += 2)
	{
		struct timespec from;
		struct timespec to;

		rc_observation_free(look(requests, n, confirmations));
		(void) clock_gettime(CLOCK_MONOTONIC, &from);
		for (int i = 0; i < 10; i++)
			rc_observation_free(look(requests, n, confirmations));
		(void) clock_gettime(CLOCK_MONOTONIC, &to);
		print_message("# %d requests at %d confirmations: %.2f ms\n", n, confirmations,
					  ((double) (to.tv_sec - from.tv_sec) * 1e3 + (double) (to.tv_nsec - from.tv_nsec) / 1e6) / 10);
	}
	for (int i = 0; i < n; i++)
		free(requests[i].address);
	free(requests);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_payments), cmocka_unit_test(test_nasty_tokens), cmocka_unit_test(test_tags),
		cmocka_unit_test(test_time), cmocka_unit_test(test_first_block),
	};

	if (anvil_path() == NULL)
	{
		printf("skipped: RECONCILER_ANVIL does not name anvil's executable\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, anvil_setup, anvil_teardown);
}
