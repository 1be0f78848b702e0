/* test_evm_anvil.c: the EVM observer against a real node; RECONCILER_ANVIL (or ANVIL) names anvil's executable */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/net/exchange.h"
#include "core/base/memory.h"
#include "core/net/redact.h"
#include "poll_host.h"

/* anvil's first account, that has 10,000 ETH and all of the token */
#define RICH "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

/* A small ERC-20 that gives 2^64 - 1 units to whoever deploys it */
#define TOKEN_CODE \
	"0x67ffffffffffffffff335560988060166000396000f360003560e01c806370a08231146033578063a9059cbb1460405763313c" \
	"e5671460285760006000fd5b600660005260206000f35b6004355460005260206000f35b60243533548181106092578190033355" \
	"80600435540160043555600052600435337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef6020" \
	"6000a3600160005260206000f35b60006000fd"

typedef struct anvil
{
	pid_t		pid;
	rc_http    *http;
	rc_network	network;
	rc_endpoint endpoint;
	char	   *token;
} anvil;

static anvil node;

/* What an RPC call answered; the result's text is kept until the next call */
typedef struct rpc_answer
{
	bool		done;
	bool		ok;
	char		text[4096];
} rpc_answer;

static rpc_answer answer;

/* rc_exchange_done */
static void
keep_answer(void *arg, rc_exchange_result *result)
{
	(void) arg;
	answer.done = true;
	answer.ok = result->failure.text == NULL && result->replies[0].error == NULL;
	(void) snprintf(answer.text, sizeof(answer.text), "%s",
					result->failure.text != NULL ? result->failure.text :
					result->replies[0].error != NULL ? result->replies[0].error :
					json_object_to_json_string_ext(result->replies[0].result, JSON_C_TO_STRING_PLAIN));
}

/* Calls the node; false if it failed */
static bool
try_rpc(const char *method, const char *params)
{
	rc_rpc_call call = {method, params, 1 << 20};
	rc_exchange_request request = {.url = node.endpoint.url,.timeout_ms = 10000,.calls = &call,.ncalls = 1};

	memset(&answer, 0, sizeof(answer));
	(void) rc_exchange_start(node.http, &request, keep_answer, NULL);
	while (!answer.done)
		rc_http_step(node.http, 1000);
	return answer.ok;
}

/* Calls the node, which must take it; the result as JSON text */
static const char *
rpc(const char *method, const char *params)
{
	if (!try_rpc(method, params))
		fail_msg("%s: %s", method, answer.text);
	return answer.text;
}

/* Sends a transaction and waits until it is mined; the receipt */
static const char *
send_transaction(const char *members)
{
	char	   *params = rc_asprintf("[{\"from\":\"" RICH "\",%s}]", members);
	char	   *hash;

	hash = rc_asprintf("[%s]", rpc("eth_sendTransaction", params));
	free(params);
	while (strcmp(rpc("eth_getTransactionReceipt", hash), "null") == 0)
		continue;
	free(hash);
	return answer.text;
}

/* A port that was free a moment ago */
static int
free_port(void)
{
	struct sockaddr_in address = {0};
	socklen_t	len = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &len), 0);
	(void) close(fd);
	return ntohs(address.sin_port);
}

/* Starts anvil; false if it ended before it answered (its port was taken) */
static bool
start_anvil(const char *path)
{
	pid_t		parent = getpid();
	char		port[16];

	(void) snprintf(port, sizeof(port), "%d", free_port());
	free(node.endpoint.url);
	node.endpoint.url = rc_asprintf("http://127.0.0.1:%s", port);
	node.pid = fork();
	if (node.pid == 0)
	{
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			(void) execl(path, path, "--host", "127.0.0.1", "--port", port, "--silent", (char *) NULL);
		_exit(127);
	}
	while (!try_rpc("eth_chainId", "[]"))
	{
		if (waitpid(node.pid, NULL, WNOHANG) != 0)
			return false;
		rc_http_step(node.http, 20);
	}
	return true;
}

/* anvil's executable; NULL: not told */
static const char *
anvil_path(void)
{
	const char *path = getenv("RECONCILER_ANVIL");

	if (path == NULL)
		path = getenv("ANVIL");
	return path != NULL && path[0] != '\0' ? path : NULL;
}

/* A node with a token, for all tests */
static int
setup(void **state)
{
	const char *path = anvil_path();
	bool		started = false;
	struct json_object *receipt;

	(void) state;
	node.http = rc_http_create(poll_host());
	for (int i = 0; i < 5 && !started; i++)
		started = start_anvil(path);
	if (!started)
		return -1;
	node.endpoint.shown = rc_url_redact(node.endpoint.url);
	node.network.chain = "ethereum";
	node.network.network = "local";
	strcpy(node.network.kind, "evm");
	node.network.chain_id = 31337;
	node.network.request_timeout_ms = 10000;
	node.network.endpoints = &node.endpoint;
	node.network.nendpoints = 1;
	receipt = json_tokener_parse(send_transaction("\"data\":\"" TOKEN_CODE "\""));
	node.token = rc_strdup(json_object_get_string(json_object_object_get(receipt, "contractAddress")));
	json_object_put(receipt);
	return 0;
}

/* Stops the node */
static int
teardown(void **state)
{
	(void) state;
	(void) kill(node.pid, SIGKILL);
	(void) waitpid(node.pid, NULL, 0);
	free(node.token);
	free(node.endpoint.url);
	free(node.endpoint.shown);
	free(node.endpoint.error);
	free(node.endpoint.learned);
	rc_http_free(node.http);
	poll_host_clear_log();
	return 0;
}

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
	return cmocka_run_group_tests(tests, setup, teardown);
}
