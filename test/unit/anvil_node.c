/* anvil_node.c: a real EVM node for unit tests */
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

#include "anvil_node.h"
#include "core/base/memory.h"
#include "core/net/exchange.h"
#include "core/net/redact.h"
#include "poll_host.h"

anvil		node;

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

const char *
rpc(const char *method, const char *params)
{
	if (!try_rpc(method, params))
		fail_msg("%s: %s", method, answer.text);
	return answer.text;
}

const char *
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

const char *
anvil_path(void)
{
	const char *path = getenv("RECONCILER_ANVIL");

	if (path == NULL)
		path = getenv("ANVIL");
	return path != NULL && path[0] != '\0' ? path : NULL;
}

char *
deploy(const char *code)
{
	char	   *members = rc_asprintf("\"data\":\"%s\"", code);
	struct json_object *receipt = json_tokener_parse(send_transaction(members));
	char	   *address = rc_strdup(json_object_get_string(json_object_object_get(receipt, "contractAddress")));

	json_object_put(receipt);
	free(members);
	return address;
}

int
anvil_setup(void **state)
{
	const char *path = anvil_path();
	bool		started = false;

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
	node.token = deploy(TOKEN_CODE);
	return 0;
}

int
anvil_teardown(void **state)
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
