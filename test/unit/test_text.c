/* test_text.c: words of others in one line of UTF-8; and the growing pause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/backoff.h"
#include "core/base/memory.h"
#include "core/base/text.h"

/* Texts of others, made fit for a log line and for the database */
static void
test_clean(void **state)
{
	static const struct
	{
		const char *text;
		const char *expected;
	}			cases[] = {
		{"plain", "plain"},
		{"two\nlines\r\n\ttab", "two?lines???tab"},
		{"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"latin-1 \xfc", "latin-1 ?"},
		{"cut \xe2\x82", "cut ??"},
		{"overlong \xc0\xaf \xe0\x80\xaf", "overlong ?? ???"},
		{"surrogate \xed\xa0\x80", "surrogate ???"},
		{"too high \xf4\x90\x80\x80", "too high ????"},
		{"escape \x1b[31m", "escape ?[31m"},
		{"C1 \xc2\x9b" "31m", "C1 ??31m"},
		{"bidi \xe2\x80\xae" "evil \xe2\x81\xa6", "bidi ???evil ???"},
		{"separator \xe2\x80\xa8" "line", "separator ???line"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *text = strdup(cases[i].text);

		rc_text_clean(text);
		assert_string_equal(text, cases[i].expected);
		free(text);
	}
}

/* Cut to a size, never inside of a character */
static void
test_cut(void **state)
{
	static const struct
	{
		const char *text;
		size_t		max;
		const char *expected;
	}			cases[] = {
		{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"abc  \n", 10, "abc"}, {"ab\xc3\xbc", 3, "ab"}, {"ab\xc3\xbc", 4, "ab\xc3\xbc"},
		{"\xf0\x9f\x98\x80", 3, ""}, {"", 3, ""}, {"x", 0, ""}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *text = rc_strdup(cases[i].text);

		rc_text_cut(text, cases[i].max);
		assert_string_equal(text, cases[i].expected);
		free(text);
	}
}

/* Several lines become one */
static void
test_one_line(void **state)
{
	static const char *const cases[][2] = {
		{"one\n\ttwo\r\n", "one two"}, {"  a  b ", "a b"}, {"", ""}, {NULL, ""}, {"\n", ""}, {"a\x1b" "b", "a?b"}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *line = rc_text_one_line(cases[i][0]);

		assert_string_equal(line, cases[i][1]);
		free(line);
	}
}

/* The pause doubles up to its longest, and chance takes at most half */
static void
test_backoff(void **state)
{
	static const int64_t full[] = {1000, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
	bool		varies = false;

	(void) state;
	for (int failures = 0; failures < 8; failures++)
	{
		int64_t		first = rc_backoff_ms(failures, 1000, 30000);

		for (int i = 0; i < 200; i++)
		{
			int64_t		pause = rc_backoff_ms(failures, 1000, 30000);

			assert_true(pause >= full[failures] / 2 && pause <= full[failures]);
			varies = varies || pause != first;
		}
	}
	assert_true(varies);
	assert_true(rc_backoff_ms(2000000000, 1000, 30000) >= 15000);
	assert_int_equal(rc_jitter(0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean), cmocka_unit_test(test_cut), cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
