/* test_identify.c: which chain an endpoint serves, by its answer: each kind's one judgement */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "core/base/memory.h"
#include "core/chain/chain.h"
#include "core/net/jsonrpc.h"

#define REGTEST "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"

/* With what code an answer fails; RC_FAILURE_NONE: it is that network's */
static rc_failure_code
judged(const char *kind, const char *network_name, uint64_t chain_id, const char *answer)
{
	rc_network	network = {.network = (char *) network_name,.chain_id = chain_id};
	rc_failure	failure = rc_identify_answer(rc_chain_of(kind)->identify, &network, answer);

	free(failure.text);
	return failure.text != NULL ? failure.code : RC_FAILURE_NONE;
}

static void
test_chain_ids(void **state)
{
	(void) state;
	assert_int_equal(judged("evm", "main", 31337, "0x7a69"), RC_FAILURE_NONE);
	assert_int_equal(judged("evm", "main", 31337, "0x07A69"), RC_FAILURE_NONE);
	assert_int_equal(judged("evm", "main", 31337, "0x1"), RC_FAILURE_WRONG_CHAIN);
	assert_int_equal(judged("evm", "main", INT64_MAX, "0x7fffffffffffffff"), RC_FAILURE_NONE);

	/* Zero, too large for the database, no quantity */
	for (const char *const *answer = (const char *const[]) {"0x0", "0x8000000000000000", "0x10000000000007a69", "0x", "31337", "0x7a69 ",
		 "-0x7a69", "0xg", "", NULL}; *answer != NULL; answer++)
		assert_int_equal(judged("evm", "main", 31337, *answer), RC_FAILURE_MALFORMED);
}

static void
test_first_blocks(void **state)
{
	rc_identity identity = {0};
	rc_failure	failure;

	(void) state;
	for (const char *const *kind = (const char *const[]) {"esplora", "bitcoind", NULL}; *kind != NULL; kind++)
	{
		assert_int_equal(judged(*kind, "regtest", 0, REGTEST), RC_FAILURE_NONE);
		assert_int_equal(judged(*kind, "regtest", 0, REGTEST "\r\n"), RC_FAILURE_NONE);
		assert_int_equal(judged(*kind, "mainnet", 0, REGTEST), RC_FAILURE_WRONG_CHAIN);
		assert_int_equal(judged(*kind, "elsewhere", 0, REGTEST), RC_FAILURE_WRONG_CHAIN);
		assert_int_equal(judged(*kind, "regtest", 0, REGTEST "0"), RC_FAILURE_MALFORMED);
		assert_int_equal(judged(*kind, "regtest", 0, REGTEST " or so"), RC_FAILURE_MALFORMED);
		assert_int_equal(judged(*kind, "regtest", 0, "Block not found"), RC_FAILURE_MALFORMED);
		assert_int_equal(judged(*kind, "regtest", 0, ""), RC_FAILURE_MALFORMED);
	}

	/* Whose first block it is */
	failure = rc_chain_of("esplora")->identify->take(REGTEST, &identity);
	assert_null(failure.text);
	assert_string_equal(identity.network, "regtest");
	memset(&identity, 0, sizeof(identity));
	failure = rc_chain_of("esplora")->identify->take("1f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206", &identity);
	assert_null(failure.text);
	assert_null(identity.network);
}

/* A reply to JSON-RPC: an error is a refusal, and what isn't a text is no answer */
static void
test_replies(void **state)
{
	const rc_identifier *identifier = rc_chain_of("evm")->identify;
	rc_network	network = {.network = "main",.chain_id = 5};
	rc_rpc_reply reply = {.error = rc_strdup("not today")};
	rc_failure	failure = rc_identify_reply(identifier, &network, &reply);

	(void) state;
	assert_int_equal(failure.code, RC_FAILURE_REFUSED);
	assert_string_equal(failure.text, "eth_chainId: not today");
	free(failure.text);
	free(reply.error);
	reply.error = NULL;
	failure = rc_identify_reply(identifier, &network, &reply);
	assert_int_equal(failure.code, RC_FAILURE_MALFORMED);
	free(failure.text);
	reply.result = json_object_new_int(5);
	failure = rc_identify_reply(identifier, &network, &reply);
	assert_int_equal(failure.code, RC_FAILURE_MALFORMED);
	free(failure.text);
	json_object_put(reply.result);
	reply.result = json_object_new_string("0x5");
	failure = rc_identify_reply(identifier, &network, &reply);
	assert_null(failure.text);
	json_object_put(reply.result);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain_ids),
		cmocka_unit_test(test_first_blocks),
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
