/*
 * test_engine_made_up.c: the worker's loop over a made-up kind of endpoint, whose
 * network is looked at and followed: each by its own due time, each with a lease that
 * is renewed, counted, given back; and neither in the other's way when it fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/memory.h"
#include "core/engine/engine.h"
#include "made_up.h"
#include "poll_host.h"

const rc_chain *const rc_chains[] = {&rc_chain_made_up, NULL};

#define MAX_CALLS 2048

typedef struct script
{
	int			batches;		/* still due */
	int			steps;			/* of the cursor, still due */
	const char *has_cursor;
	const char *has_batches;
	const char *lease_ms;
	int			stop_after;		/* statements until the process is asked to stop; 0: never */
	rc_store_status renewed;	/* what renew and renew_cursor answer */
	int			calls;
	const char *names[MAX_CALLS];
	int			logged_transitions;
	int			lost;			/* leases, as the log has it */
	rc_counters counters;
} script;

/* One row of n texts */
static void
answer_row(rc_rows *rows, int n, const char *const *cells)
{
	size_t		size = (size_t) n * sizeof(char *);
	char	   *text;

	for (int i = 0; i < n; i++)
		size += cells[i] ? strlen(cells[i]) + 1 : 0;
	rows->nrows = 1;
	rows->ncols = n;
	rows->cells = rc_malloc(size);
	text = (char *) (rows->cells + n);
	for (int i = 0; i < n; i++)
	{
		rows->cells[i] = cells[i] ? strcpy(text, cells[i]) : NULL;
		text += cells[i] ? strlen(cells[i]) + 1 : 0;
	}
}

static void
answer_networks(const script *script, rc_rows *rows)
{
	const char *network[] = {"1", "nowhere", "main", "made-up", NULL, "1", NULL, "50", "15000", script->lease_ms, "1000",
	"[\"http://127.0.0.1:1\"]", NULL, "f", "1", "1000", NULL, NULL, NULL, script->has_cursor, script->has_batches};

	answer_row(rows, 21, network);
}

static void
answer_claim(script *script, rc_rows *rows)
{
	const char *batch[] = {"0", "77", "1", "0a", NULL, NULL, NULL, "f", NULL, "f", NULL, NULL, NULL, NULL};

	if (script->batches-- > 0)
		answer_row(rows, 14, batch);
}

static void
answer_claim_cursor(script *script, rc_rows *rows)
{
	const char *cursor[] = {"88", NULL, NULL, NULL, "[]", "f", NULL, NULL, NULL, NULL, NULL, NULL, NULL};

	if (script->steps-- > 0)
		answer_row(rows, 13, cursor);
}

static rc_store_status
run(void *ctx, const rc_statement *statement, const char *const *args, rc_rows *rows)
{
	script	   *script = ctx;
	const char *name = statement->name;
	const char *due[] = {"60000"};
	const char *transition[] = {"transition", "bills", "1", "pending", "confirmed", "settled"};

	assert_true(script->calls < MAX_CALLS);
	script->names[script->calls++] = name;
	if (rows != NULL)
		memset(rows, 0, sizeof(*rows));
	if (strcmp(name, "networks") == 0)
		answer_networks(script, rows);
	else if (strcmp(name, "claim") == 0)
		answer_claim(script, rows);
	else if (strcmp(name, "claim_cursor") == 0)
		answer_claim_cursor(script, rows);
	else if (strcmp(name, "due_in") == 0)
		answer_row(rows, 1, due);
	else if (strcmp(name, "settle") == 0 || strcmp(name, "settle_network") == 0)
		answer_row(rows, 6, transition);
	else if (strcmp(name, "renew") == 0 || strcmp(name, "renew_cursor") == 0)
		return script->renewed;
	(void) args;
	return RC_STORE_OK;
}

static int
count(const script *script, const char *name)
{
	int			n = 0;

	for (int i = 0; i < script->calls; i++)
		n += strcmp(script->names[i], name) == 0;
	return n;
}

static void
wait_for(void *ctx, rc_socket *sockets, int nsockets, uint64_t generation, long timeout_ms)
{
	poll_host()->wait(ctx, sockets, nsockets, generation, timeout_ms > 20 ? 20 : timeout_ms);
}

static bool
stop_requested(void *ctx)
{
	script	   *script = ctx;

	return script->stop_after > 0 && script->calls >= script->stop_after;
}

static void
take_log(void *ctx, const rc_event *event)
{
	script	   *script = ctx;

	script->logged_transitions += strcmp(event->name, "transition") == 0;
	script->lost += strcmp(event->name, "lease lost") == 0;
}

static void
take_progress(void *ctx, rc_state state, const char *networks, const rc_counters *counters)
{
	script	   *script = ctx;

	(void) state;
	(void) networks;
	script->counters = *counters;
}

static void
run_engine(script *script, bool once)
{
	rc_host		host = {.ctx = script,.wait = wait_for,.stop_requested = stop_requested,.log = take_log};
	rc_store	store = {script, run};
	rc_engine_options options = {.worker_id = "w1",.role = "worker",.host = &host,.store = &store,.once = once,
	.progress = take_progress,.progress_ctx = script};

	if (script->has_cursor == NULL)
		script->has_cursor = script->has_batches = "t";
	if (script->lease_ms == NULL)
		script->lease_ms = "15000";
	rc_engine_run(&options);
	assert_int_equal(made_up.open, 0);
}

static int
set_up(void **state)
{
	(void) state;
	made_up_reset(20);
	return 0;
}

/* Both, each to its end */
static void
test_looked_at_and_followed(void **state)
{
	script		script = {.batches = 5,.steps = 2};

	(void) state;
	run_engine(&script, true);
	assert_int_equal(count(&script, "settle"), 5);
	assert_int_equal(count(&script, "settle_network"), 2);
	assert_int_equal(count(&script, "advance_cursor"), 22);
	assert_int_equal(script.logged_transitions, 7);
	assert_int_equal(script.counters.confirmed, 7);
	assert_int_equal(script.counters.claimed, 5);
	assert_int_equal(script.counters.errors, 0);
	assert_int_equal(count(&script, "renew") + count(&script, "renew_cursor"), 0);
}

/* The network's row says which of the two it has */
static void
test_either_alone(void **state)
{
	script		looked_at = {.batches = 5,.steps = 2,.has_cursor = "f",.has_batches = "t"};
	script		followed = {.batches = 5,.steps = 2,.has_cursor = "t",.has_batches = "f"};

	(void) state;
	run_engine(&looked_at, true);
	assert_int_equal(count(&looked_at, "claim_cursor"), 0);
	assert_int_equal(count(&looked_at, "settle"), 5);
	run_engine(&followed, true);
	assert_int_equal(count(&followed, "claim"), 0);
	assert_int_equal(count(&followed, "settle_network"), 2);
}

/* A look fails, the endpoint rests, and says so; the step that was under way has asked nobody in vain */
static void
test_failures(void **state)
{
	script		look_fails = {.batches = 1,.has_cursor = "f",.has_batches = "t"};
	script		step_fails = {.steps = 1,.has_cursor = "t",.has_batches = "f"};

	(void) state;
	made_up.trouble[MADE_UP_LOOK] = (made_up_trouble) {1, RC_FAILURE_LIMITED};
	run_engine(&look_fails, true);
	assert_int_equal(look_fails.counters.errors, 1);
	assert_int_equal(look_fails.counters.scanned, 0);
	assert_int_equal(count(&look_fails, "settle"), 1);

	made_up.trouble[MADE_UP_READ] = (made_up_trouble) {1, RC_FAILURE_MALFORMED};
	run_engine(&step_fails, true);
	assert_int_equal(step_fails.counters.errors, 1);
	assert_int_equal(count(&step_fails, "fail_network"), 1);
	assert_int_equal(count(&step_fails, "settle_network") + count(&step_fails, "advance_cursor"), 0);
}

/* Calls that hang: both leases are renewed at their half, and given back at the end */
static void
test_renewal(void **state)
{
	script		script = {.batches = 2,.steps = 1,.lease_ms = "100",.stop_after = 24};

	(void) state;
	made_up.hangs = true;
	run_engine(&script, false);
	assert_true(count(&script, "renew") >= 2);
	assert_true(count(&script, "renew_cursor") >= 2);
	assert_int_equal(count(&script, "release"), 2);
	assert_int_equal(count(&script, "release_cursor"), 1);
	assert_int_equal(script.lost, 0);
}

/* Leases that another worker has: what is under way is given up, and nothing written in their name */
static void
test_lost_leases(void **state)
{
	script		script = {.batches = 2,.steps = 1,.lease_ms = "100",.stop_after = 24,.renewed = RC_STORE_LEASE_LOST};

	(void) state;
	made_up.hangs = true;
	run_engine(&script, false);
	assert_int_equal(script.lost, 3);
	assert_int_equal(script.counters.skipped, 3);
	assert_int_equal(count(&script, "release"), 0);
	assert_int_equal(count(&script, "settle") + count(&script, "settle_network"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_looked_at_and_followed, set_up),
		cmocka_unit_test_setup(test_either_alone, set_up),
		cmocka_unit_test_setup(test_failures, set_up),
		cmocka_unit_test_setup(test_renewal, set_up),
		cmocka_unit_test_setup(test_lost_leases, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
