/* test_cycle_log.c: what goes on is logged once, what happens at once, the rest summed up */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/log_memory.h"
#include "core/engine/cycle_log.h"
#include "poll_host.h"

#define MINUTE 60000

static void
test_what_goes_on_is_no_news(void **state)
{
	rc_log_memory *memory = rc_log_memory_create();
	int64_t		now = 1000;
	int			logged = 0;

	(void) state;
	assert_true(rc_log_memory_is_news(memory, "x a=1 message=\"after 2001 ms\"", now));
	assert_false(rc_log_memory_is_news(memory, "x a=1 message=\"after 32 ms\"", now + MINUTE));
	assert_true(rc_log_memory_is_news(memory, "x a=2 message=\"after 32 ms\"", now + MINUTE));
	assert_true(rc_log_memory_is_news(memory, "x a=1 message=\"after 32 s\"", now + MINUTE));

	/* Another message each time */
	for (int i = 0; i < 1000; i++)
	{
		char		line[64];

		snprintf(line, sizeof(line), "z a=1 message=%c%c%c", 'a' + i % 10, 'a' + i / 10 % 10, 'a' + i / 100);
		logged += rc_log_memory_is_news(memory, line, now);
	}
	assert_int_equal(logged, RC_LOG_MESSAGES_LIMIT);
	logged = 0;

	/* Each minute for a day */
	for (int i = 0; i < 24 * 60; i++)
		logged += rc_log_memory_is_news(memory, "y", now + (int64_t) i * MINUTE);
	assert_int_equal(logged, 4);

	/* Over, and there again */
	now += 24 * 60 * MINUTE;
	assert_false(rc_log_memory_is_news(memory, "y", now));
	assert_true(rc_log_memory_is_news(memory, "y", now + RC_LOG_FORGET_MS + 1));
	rc_log_memory_free(memory);
}

/* More different lines than are remembered: some of each minute are logged, and no more */
static void
test_too_much_to_remember(void **state)
{
	rc_log_memory *memory = rc_log_memory_create();
	int			logged[3] = {0};

	(void) state;
	for (int minute = 0; minute < 3; minute++)
	{
		for (int i = 0; i < 50000; i++)
		{
			char		line[32];

			snprintf(line, sizeof(line), "request %d", i);
			logged[minute] += rc_log_memory_is_news(memory, line, MINUTE * (minute + 1));
		}
	}
	assert_true(logged[0] > RC_LOG_MEMORY_SIZE / 2 && logged[0] <= RC_LOG_MEMORY_SIZE + RC_LOG_UNKNOWN_LIMIT);
	assert_true(logged[1] <= RC_LOG_UNKNOWN_LIMIT && logged[2] <= RC_LOG_UNKNOWN_LIMIT);
	rc_log_memory_free(memory);
}

static int
count_lines(const char *name)
{
	int			n = 0;

	for (const char *line = poll_host_log(); *line != '\0'; line = strchr(line, '\n') + 1)
		n += strncmp(line, name, strlen(name)) == 0;
	return n;
}

static void
test_quiet_cycles_are_summed_up(void **state)
{
	rc_network	network = {.chain = "c",.network = "n"};
	rc_cycle_log log = {0};
	rc_cycle_report quiet = {.counters = {.cycles = 1,.claimed = 5,.scanned = 4,.errors = 1},.latency_ms = 7};
	rc_cycle_report busy = {.counters = {.cycles = 1,.claimed = 5,.confirmed = 1}};

	(void) state;
	poll_host_clear_log();
	for (int i = 0; i < 100; i++)
		rc_cycle_log_end(&log, poll_host(), &network, &quiet, RC_LOG_CYCLES_CHANGES, false);
	rc_cycle_log_flush(&log, poll_host(), &network, false);
	assert_string_equal(poll_host_log(), "");
	rc_cycle_log_end(&log, poll_host(), &network, &busy, RC_LOG_CYCLES_CHANGES, false);
	rc_cycle_log_end(&log, poll_host(), &network, &quiet, RC_LOG_CYCLES_CHANGES, true);
	rc_cycle_log_end(&log, poll_host(), &network, &quiet, RC_LOG_CYCLES_ALL, false);
	assert_int_equal(count_lines("cycle "), 3);
	poll_host_clear_log();

	/* A minute later */
	log.summed_since_ms -= RC_CYCLE_SUM_MS;
	rc_cycle_log_flush(&log, poll_host(), &network, false);
	assert_string_equal(poll_host_log(), "cycles chain=c network=n cycles=100 claimed=500 scanned=400 confirmed=0"
						" detected=0 expired=0 skipped=0 errors=100 latency_ms=7\n");
	rc_cycle_log_flush(&log, poll_host(), &network, true);
	assert_int_equal(count_lines("cycles "), 1);
	rc_cycle_log_free(&log);
}

static void
test_failure_is_logged_when_it_changes(void **state)
{
	rc_network	network = {.chain = "c",.network = "n"};
	rc_cycle_log log = {0};

	(void) state;
	poll_host_clear_log();
	assert_false(rc_cycle_log_failure(&log, poll_host(), &network, NULL));
	assert_true(rc_cycle_log_failure(&log, poll_host(), &network, "no answer after 1999 ms"));
	assert_false(rc_cycle_log_failure(&log, poll_host(), &network, "no answer after 2001 ms"));
	assert_true(rc_cycle_log_failure(&log, poll_host(), &network, NULL));
	assert_int_equal(count_lines("observation failed"), 1);
	assert_int_equal(count_lines("observation works again"), 1);

	/* It comes and goes: the log tells of some changes, and in the end of how it is */
	for (int i = 0; i < 1000; i++)
		(void) rc_cycle_log_failure(&log, poll_host(), &network, i % 2 ? NULL : "no answer");
	assert_true(count_lines("observation") <= RC_CYCLE_CHANGES_LIMIT);
	poll_host_clear_log();
	log.changes_since_ms -= RC_CYCLE_CHANGES_MS;
	(void) rc_cycle_log_failure(&log, poll_host(), &network, "at last");
	assert_int_equal(count_lines("observation failed chain=c network=n message=\"at last\""), 1);
	rc_cycle_log_free(&log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_on_is_no_news),
		cmocka_unit_test(test_too_much_to_remember),
		cmocka_unit_test(test_quiet_cycles_are_summed_up),
		cmocka_unit_test(test_failure_is_logged_when_it_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
