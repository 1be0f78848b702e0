/* test_jsonrpc.c: what is taken for an answer, and what is not */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "core/net/jsonrpc.h"

#define ONE "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x1\"}"
#define TWO "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":\"0x2\"}"
#define TWO_FAILED "{\"jsonrpc\":\"2.0\",\"id\":8,\"error\":{\"code\":-32000,\"message\":\"no\"}}"

typedef struct parsed
{
	rc_rpc_outcome outcome;
	rc_rpc_reply replies[2];
	int64_t		code;
	char	   *error;
} parsed;

/* Parses the answer to ncalls calls with the ids 7, 8 */
static parsed
parse(const char *body, int ncalls, bool array)
{
	parsed		p;

	memset(&p, 0, sizeof(p));
	p.outcome = rc_rpc_parse(body, strlen(body), ncalls, 7, array, p.replies, &p.code, &p.error);
	return p;
}

/* Frees what was parsed */
static void
forget(parsed *p)
{
	rc_rpc_clear(p->replies, 2);
	free(p->error);
}

/* What is sent */
static void
test_build(void **state)
{
	const rc_rpc_call calls[2] = {{"eth_chainId", "[]", 0}, {"eth_getBalance", "[\"0x1\",\"latest\"]", 0}};
	rc_buffer	out = {0};

	(void) state;
	rc_rpc_build(&out, calls, 1, 7, false);
	assert_string_equal(out.data, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"eth_chainId\",\"params\":[]}");
	rc_buffer_free(&out);
	rc_rpc_build(&out, calls, 2, 7, true);
	assert_string_equal(out.data,
						"[{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"eth_chainId\",\"params\":[]},"
						"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"eth_getBalance\",\"params\":[\"0x1\",\"latest\"]}]");
	rc_buffer_free(&out);
}

/* Answers in any order, with errors of their own, with white space around */
static void
test_good_answers(void **state)
{
	static const char *const bodies[] = {
		"[" ONE "," TWO "]", "[" TWO "," ONE "]", " \r\n[" ONE ", " TWO "]\r\n "
	};
	parsed		p;

	(void) state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		p = parse(bodies[i], 2, true);
		assert_int_equal(p.outcome, RC_RPC_OK);
		assert_string_equal(json_object_get_string(p.replies[0].result), "0x1");
		assert_string_equal(json_object_get_string(p.replies[1].result), "0x2");
		forget(&p);
	}
	p = parse("[" ONE "," TWO_FAILED "]", 2, true);
	assert_int_equal(p.outcome, RC_RPC_OK);
	assert_null(p.replies[0].error);
	assert_string_equal(p.replies[1].error, "JSON-RPC error -32000: no");
	assert_int_equal(p.replies[1].code, -32000);
	assert_null(p.replies[1].result);
	forget(&p);
	p = parse(ONE "\n", 1, false);
	assert_int_equal(p.outcome, RC_RPC_OK);
	assert_string_equal(json_object_get_string(p.replies[0].result), "0x1");
	forget(&p);
	p = parse("{\"id\":7,\"result\":null,\"error\":null}", 1, false);
	assert_int_equal(p.outcome, RC_RPC_OK);
	assert_null(p.replies[0].result);
	assert_null(p.replies[0].error);
	forget(&p);
}

/* One error for the whole request */
static void
test_refusals(void **state)
{
	parsed		p;

	(void) state;
	p = parse("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"no arrays\"}}", 2, true);
	assert_int_equal(p.outcome, RC_RPC_REFUSED);
	assert_int_equal(p.code, -32600);
	assert_non_null(strstr(p.error, "no arrays"));
	forget(&p);
	p = parse("{\"error\":\"go away\"}", 1, false);
	assert_int_equal(p.outcome, RC_RPC_REFUSED);
	assert_non_null(strstr(p.error, "go away"));
	forget(&p);
	p = parse("{\"error\":17}", 2, true);
	assert_int_equal(p.outcome, RC_RPC_REFUSED);
	assert_non_null(strstr(p.error, "no message"));
	forget(&p);
}

/* Garbage of every kind */
static void
test_malformed(void **state)
{
	static const struct
	{
		const char *body;
		int			ncalls;
		const char *expected;
	}			cases[] = {
		{"", 2, "truncated"},
		{"[", 2, "truncated"},
		{"[" ONE "," TWO, 2, "truncated"},
		{"[" ONE ",{\"id\":8,\"result\":\"0x", 2, "truncated"},
		{"<html></html>", 2, "not JSON"},
		{"null", 2, "null"},
		{"true", 2, "not an array"},
		{"12", 2, "not an array"},
		{"[" ONE "," TWO "]x", 2, "not JSON"},
		{"[" ONE "," TWO "][]", 2, "not JSON"},
		{"['a','b']", 2, "not JSON"},
		{"[" ONE "," TWO ",]", 2, "not JSON"},
		{"{}", 2, "not an array"},
		{ONE, 2, "not an array"},
		{"[]", 2, "0 answers to 2 calls"},
		{"[" ONE "]", 2, "1 answers to 2 calls"},
		{"[" ONE "," TWO "," TWO "]", 2, "3 answers to 2 calls"},
		{"[" ONE "," ONE "]", 2, "same id"},
		{"[null,null]", 2, "not asked for"},
		{"[1,2]", 2, "not asked for"},
		{"[" ONE ",{\"id\":\"8\",\"result\":1}]", 2, "not asked for"},
		{"[" ONE ",{\"id\":9,\"result\":1}]", 2, "not asked for"},
		{"[" ONE ",{\"id\":6,\"result\":1}]", 2, "not asked for"},
		{"[" ONE ",{\"id\":8.0,\"result\":1}]", 2, "not asked for"},
		/* "not asked for", or no JSON for json-c 0.18, as it holds no such number */
		{"[" ONE ",{\"id\":99999999999999999999,\"result\":1}]", 2, "answer"},
		{"[" ONE ",{\"id\":-9223372036854775808,\"result\":1}]", 2, "not asked for"},
		{"[" ONE ",{\"result\":1}]", 2, "not asked for"},
		{"[" ONE ",{\"id\":8}]", 2, "neither result nor error"},
		{"[" ONE ",{\"id\":8,\"error\":null}]", 2, "neither result nor error"},
		{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 2, "not JSON"},
		{"[" ONE ",{\"id\":8,\"result\":\"\xff\xfe\"}]", 2, "not JSON"},
		{"[" ONE ",{\"id\":8,\"result\":\"\xc3\xa9\"},]", 2, "not JSON"},
		{"[" ONE ",{\"id\":8,\"result\":\"\\\xc3\xa9\"}]", 2, "not JSON"},
		{"[" ONE ",{\"id\":8,\"result\":\"\xc3\xa9\"}]x", 2, "not JSON"},
		{TWO, 1, "not asked for"},
		{"{\"id\":8,\"error\":{\"code\":1,\"message\":\"x\"}}", 1, "not asked for"},
		{"[" ONE "]", 1, "not asked for"},
		{"{}", 1, "not asked for"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		parsed		p = parse(cases[i].body, cases[i].ncalls, cases[i].ncalls > 1);

		assert_int_equal(p.outcome, RC_RPC_MALFORMED);
		if (strstr(p.error, cases[i].expected) == NULL)
			fail_msg("%s: \"%s\" is not in \"%s\"", cases[i].body, cases[i].expected, p.error);
		assert_null(p.replies[0].result);
		assert_null(p.replies[1].result);
		assert_null(p.replies[0].error);
		forget(&p);
	}
}

/* Bytes after a zero byte are no part of a document that can be believed */
static void
test_zero_byte(void **state)
{
	static const char body[] = ONE "\0garbage";
	parsed		p;

	(void) state;
	memset(&p, 0, sizeof(p));
	p.outcome = rc_rpc_parse(body, sizeof(body) - 1, 1, 7, false, p.replies, &p.code, &p.error);
	assert_int_equal(p.outcome, RC_RPC_MALFORMED);
	forget(&p);
}

/* Every prefix of an answer is malformed, and nothing is read outside of it */
static void
test_every_prefix(void **state)
{
	static const char whole[] = "[" ONE "," TWO_FAILED "]";

	(void) state;
	for (size_t len = 0; len < sizeof(whole) - 1; len++)
	{
		char	   *body = malloc(len + 1);
		parsed		p;

		memcpy(body, whole, len);
		body[len] = '\0';
		p = parse(body, 2, true);
		assert_int_equal(p.outcome, RC_RPC_MALFORMED);
		forget(&p);
		free(body);
	}
}

/* Ids are new each time, and a JSON library that knows 14 digits gives them back */
static void
test_ids(void **state)
{
	int64_t		first = rc_rpc_take_ids(3);
	int64_t		second = rc_rpc_take_ids(1);
	int64_t		in_child = 0;
	int			ends[2];
	pid_t		child;

	(void) state;
	assert_true(first > 0 && second < INT64_C(100000000000000));
	assert_true(second == first + 3);
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0)
	{
		in_child = rc_rpc_take_ids(1);
		_exit(write(ends[1], &in_child, sizeof(in_child)) == (ssize_t) sizeof(in_child) ? 0 : 1);
	}
	assert_int_equal(read(ends[0], &in_child, sizeof(in_child)), sizeof(in_child));
	(void) waitpid(child, NULL, 0);
	(void) close(ends[0]);
	(void) close(ends[1]);
	assert_true(in_child > second + 1000000 || in_child < first - 1000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build), cmocka_unit_test(test_good_answers), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_malformed), cmocka_unit_test(test_zero_byte), cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
