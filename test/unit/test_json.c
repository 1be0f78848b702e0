/* test_json.c: a small answer of many or nested values costs neither gigabytes nor seconds; what servers really say passes */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/host.h"
#include "core/base/json.h"
#include "core/base/memory.h"

#define SIZE ((size_t) 2 * 1024 * 1024)

/* What parsing came to, in a process of its own */
typedef struct cost
{
	bool		parsed;
	long		kilobytes;
	int64_t		ms;
} cost;

/* head, unit as often as it fits (with %d: numbered), tail; rc_malloc'd */
static rc_buffer
repeat(const char *head, const char *unit, const char *tail, size_t size)
{
	rc_buffer	text = {0};

	rc_buffer_printf(&text, "%s", head);
	for (int i = 0; text.len < size; i++)
	{
		const char *mark = strstr(unit, "%d");

		if (mark != NULL)
			rc_buffer_printf(&text, "%.*s%d%s", (int) (mark - unit), unit, i, mark + 2);
		else
			rc_buffer_append(&text, unit, strlen(unit));
	}
	rc_buffer_printf(&text, "%s", tail);
	return text;
}

/* Parses in a child, whose memory grows from nothing */
static cost
parse(const rc_buffer *text, size_t bytes_per_value)
{
	cost		c = {false, 0, 0};
	int			ends[2];
	pid_t		child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0)
	{
		struct rusage before;
		struct rusage after;
		char	   *error = NULL;
		int64_t		start = rc_now_ms();
		struct json_object *document;

		(void) getrusage(RUSAGE_SELF, &before);
		document = rc_json_parse_sparse(text->data, text->len, bytes_per_value, &error);
		(void) getrusage(RUSAGE_SELF, &after);
		c.parsed = document != NULL;
		c.kilobytes = after.ru_maxrss - before.ru_maxrss;
		json_object_put(document);
		c.ms = rc_now_ms() - start;
		free(error);
		_exit(write(ends[1], &c, sizeof(c)) == (ssize_t) sizeof(c) ? 0 : 1);
	}
	assert_int_equal(read(ends[0], &c, sizeof(c)), sizeof(c));
	(void) waitpid(child, NULL, 0);
	(void) close(ends[0]);
	(void) close(ends[1]);
	return c;
}

/* Whatever the shape: at most 40 times the text where values may be short, 20 times where they can't, and soon over */
static void
test_cost_is_bounded(void **state)
{
	static const char *const shapes[][3] = {
		{"[0", ",{}", "]"}, {"[0", ",[]", "]"}, {"[0", ",1", "]"}, {"[0", ",\"\"", "]"}, {"{\"a\":0", ",\"%d\":0", "}"},
		{"[", "[", ""}, {"{\"a\":", "{\"a\":", ""}, {"[0", ",[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]", "]"},
		{"[0", ",{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}", "]"}, {"[1", "1", "]"}, {"[1e", "1", "]"},
		{"[\"", "\\u0041", "\"]"}, {"[\"", "\xc3\xa9", "\"]"}, {"[\"\xc3\xa9\"", ",{}", "]"}, {"[", " ", "]"},
		{"[\"", "\\\\", "\"]"}, {"[0", ",\"[{\"", "]"}, {"{\"id\":1,\"error\":[0", ",{}", "]}"}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
	{
		rc_buffer	text = repeat(shapes[i][0], shapes[i][1], shapes[i][2], SIZE);
		cost		dense = parse(&text, 2);
		cost		sparse = parse(&text, 4);

		if (dense.kilobytes > (long) (42 * SIZE / 1024) || sparse.kilobytes > (long) (22 * SIZE / 1024) ||
			dense.ms > 3000 || sparse.ms > 3000)
			fail_msg("%s%s…: %ld and %ld kB, %ld and %ld ms", shapes[i][0], shapes[i][1], dense.kilobytes,
					 sparse.kilobytes, (long) dense.ms, (long) sparse.ms);
		rc_buffer_free(&text);
	}
}

/* What honest servers say, at its densest */
static void
test_honest_answers(void **state)
{
	static const struct
	{
		const char *head;
		const char *unit;
		const char *tail;
		size_t		bytes_per_value;
	}			cases[] = {
		/* A mempool's list; a batch of short results; a block's withdrawals; logs */
		{"{\"id\":1,\"result\":[\"\"", ",\"0123456789012345678901234567890123456789012345678901234567890123\"", "]}", 4},
		{"[{\"id\":0}", ",{\"jsonrpc\":\"2.0\",\"id\":70368744177664,\"result\":\"0x00000000000000000000000000000000\"}", "]", 4},
		{"[0", ",{\"index\":\"0x1234567\",\"validatorIndex\":\"0x12345\",\"address\":\"0x0123456789012345678901234567890123456789\",\"amount\":\"0x1234567\"}", "]", 4},
		{"[0", ",{\"address\":\"0x0123456789012345678901234567890123456789\",\"topics\":[\"0x0123456789012345678901234567890123456789012345678901234567890123\"],"
		 "\"data\":\"0x\",\"blockNumber\":\"0x1\",\"transactionHash\":\"0x0123456789012345678901234567890123456789012345678901234567890123\","
		 "\"transactionIndex\":\"0x1\",\"logIndex\":\"0x1\",\"removed\":false}", "]", 4},
		/* Esplora: outputs as short as they get, and witnesses of empty items */
		{"[0", ",{\"scriptpubkey\":\"6a\",\"scriptpubkey_asm\":\"OP_RETURN\",\"scriptpubkey_type\":\"op_return\",\"value\":0}", "]", 2},
		{"[0", ",\"\"", "]", 2}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		rc_buffer	text = repeat(cases[i].head, cases[i].unit, cases[i].tail, SIZE);

		if (!parse(&text, cases[i].bytes_per_value).parsed)
			fail_msg("refused: %s%s…", cases[i].head, cases[i].unit);
		rc_buffer_free(&text);
	}
	/* Small ones may have any shape */
	for (size_t i = 0; i < 2; i++)
	{
		rc_buffer	text = repeat("[0", i == 0 ? ",{}" : ",[[]]", "]", 2500);

		assert_true(parse(&text, 4).parsed);
		rc_buffer_free(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cost_is_bounded), cmocka_unit_test(test_honest_answers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
