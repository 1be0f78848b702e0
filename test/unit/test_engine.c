/* test_engine.c: the worker's loop against a scripted store, and what an observation tells settle */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "core/engine/engine.h"
#include "core/base/memory.h"
#include "core/protocol/protocol.h"

#define MAX_CALLS 4096

/* A store with one network and a number of due batches, that remembers what it was asked */
typedef struct script
{
	int			batches;		/* still due */
	int			stop_after;		/* calls until the process is asked to stop; 0: never */
	rc_store_status claim_status;
	rc_store_status renew_status;
	const char *lease_ms;
	const char *kind;
	int			calls;
	const char *names[MAX_CALLS];
	char	   *settled;		/* the last observation */
	int			outcomes;		/* transitions that settle answers */
	rc_counters counters;
	int			logged_cycles;
	int			logged_transitions;
} script;

static void
fill(rc_rows *rows, int nrows, int ncols, const char *const *cells)
{
	size_t		size = (size_t) nrows * (size_t) ncols * sizeof(char *);
	char	   *text;

	for (int i = 0; i < nrows * ncols; i++)
		size += cells[i] ? strlen(cells[i]) + 1 : 0;
	rows->nrows = nrows;
	rows->ncols = ncols;
	rows->cells = rc_malloc(size > 0 ? size : 1);
	text = (char *) (rows->cells + nrows * ncols);
	for (int i = 0; i < nrows * ncols; i++)
	{
		rows->cells[i] = cells[i] ? strcpy(text, cells[i]) : NULL;
		text += cells[i] ? strlen(cells[i]) + 1 : 0;
	}
}

static rc_store_status
answer_claim(script *script, rc_rows *rows)
{
	const char *cells[] = {"0", "77", "1", "an address", NULL, NULL, NULL, "f", NULL, "f"};

	if (script->claim_status != RC_STORE_OK)
		return script->claim_status;
	if (script->batches > 0)
	{
		script->batches--;
		fill(rows, 1, 10, cells);
	}
	return RC_STORE_OK;
}

static rc_store_status
run(void *ctx, const rc_statement *statement, const char *const *args, rc_rows *rows)
{
	script	   *script = ctx;
	const char *network[] = {"1", "a chain", "a network", script->kind, NULL, "1", NULL, "50",
	"15000", script->lease_ms, "1000", "[]", NULL, "v1"};
	const char *due[] = {"60000"};
	const char *outcome[] = {"transition", "app.requests", "r1", "pending", "confirmed", "settled"};

	assert_true(script->calls < MAX_CALLS);
	script->names[script->calls++] = statement->name;
	if (rows != NULL)
		memset(rows, 0, sizeof(*rows));
	if (strcmp(statement->name, "networks") == 0)
		fill(rows, 1, 14, network);
	else if (strcmp(statement->name, "claim") == 0)
		return answer_claim(script, rows);
	else if (strcmp(statement->name, "due_in") == 0)
		fill(rows, 1, 1, due);
	else if (strcmp(statement->name, "settle") == 0)
	{
		assert_string_equal(args[3], "77");
		free(script->settled);
		script->settled = rc_strdup(args[4]);
		if (script->outcomes > 0)
			fill(rows, 1, 6, outcome);
	}
	else if (strcmp(statement->name, "renew") == 0)
		return script->renew_status;
	return RC_STORE_OK;
}

static int
count_calls(const script *script, const char *name)
{
	int			n = 0;

	for (int i = 0; i < script->calls; i++)
		n += strcmp(script->names[i], name) == 0;
	return n;
}

/* Sleeps as long as it is allowed to: these tests have no sockets */
static void
wait_for(void *ctx, rc_socket *sockets, int nsockets, uint64_t generation, long timeout_ms)
{
	(void) ctx;
	(void) sockets;
	(void) generation;
	assert_int_equal(nsockets, 0);
	usleep((useconds_t) (timeout_ms > 20 ? 20 : timeout_ms) * 1000);
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

	script->logged_cycles += strcmp(event->name, "cycle") == 0;
	script->logged_transitions += strcmp(event->name, "transition") == 0;
}

static void
take_progress(void *ctx, rc_state state, const rc_counters *counters)
{
	script	   *script = ctx;

	(void) state;
	script->counters = *counters;
}

static void
run_engine(script *script, bool once)
{
	rc_host		host = {.ctx = script,.wait = wait_for,.stop_requested = stop_requested,.log = take_log};
	rc_store	store = {script, run};
	rc_engine_options options = {.worker_id = "w1",.role = "worker",.host = &host,.store = &store,.once = once,
	.progress = take_progress,.progress_ctx = script};

	if (script->kind == NULL)
		script->kind = "none";
	if (script->lease_ms == NULL)
		script->lease_ms = "15000";
	rc_engine_run(&options);
}

static void
test_failed_look_is_settled_as_failure(void **state)
{
	script		script = {.batches = 1};
	struct json_object *json;
	struct json_object *failure;

	(void) state;
	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "settle"), 1);
	json = json_tokener_parse(script.settled);
	assert_non_null(json);
	assert_true(json_object_object_get_ex(json, "failure", &failure));
	assert_true(json_object_get_string_len(failure) > 0);
	assert_false(json_object_object_get_ex(json, "tip", NULL));
	json_object_put(json);
	free(script.settled);
	assert_int_equal(script.counters.claimed, 1);
	assert_int_equal(script.counters.scanned, 0);
	assert_int_equal(script.counters.errors, 1);
}

static void
test_once_works_off_what_is_due(void **state)
{
	script		script = {.batches = 23,.outcomes = 1};

	(void) state;
	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "settle"), 23);
	assert_int_equal(script.batches, 0);
	assert_int_equal(script.counters.cycles, 23);
	assert_int_equal(script.counters.confirmed, 23);
	assert_int_equal(script.logged_cycles, 23);
	assert_int_equal(script.logged_transitions, 23);
	free(script.settled);
}

static void
test_stop_releases_every_lease(void **state)
{
	/* networks, maintain, then four claims; the process is asked to stop before any look has ended */
	script		script = {.batches = 100,.stop_after = 6};

	(void) state;
	run_engine(&script, false);
	assert_int_equal(count_calls(&script, "claim"), 4);
	assert_int_equal(count_calls(&script, "release"), 4);
	assert_int_equal(count_calls(&script, "settle"), 0);
}

static void
test_failing_claim_is_not_hammered(void **state)
{
	script		script = {.claim_status = RC_STORE_ERROR};

	(void) state;
	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "claim"), 1);
	assert_int_equal(script.counters.errors, 1);
}

/* An observation of three requests: unchanged, changed, with an error of its own */
static void
make_observation(rc_observation *observation, rc_result results[3], rc_batch *batch, rc_request requests[3])
{
	memset(observation, 0, sizeof(*observation));
	memset(results, 0, 3 * sizeof(rc_result));
	memset(batch, 0, sizeof(*batch));
	memset(requests, 0, 3 * sizeof(rc_request));
	observation->results = results;
	observation->nresults = 3;
	observation->tip.known = true;
	observation->tip.height = 100;
	batch->requests = requests;
	batch->nrequests = 3;
	for (int i = 0; i < 3; i++)
	{
		requests[i].seq = i + 1;
		requests[i].known = true;
	}
	rc_uint256_from_u64(&results[1].seen, 5);
	results[2].error = (char *) "no code there";
}

static void
test_only_changes_are_handed_over(void **state)
{
	rc_observation observation;
	rc_result	results[3];
	rc_batch	batch;
	rc_request	requests[3];
	int			errors;
	char	   *text;

	(void) state;
	make_observation(&observation, results, &batch, requests);
	text = rc_observation_to_json(&observation, &batch, false, true, &errors);
	assert_int_equal(errors, 1);
	assert_string_equal(text, "{\"tip\":{\"height\":100,\"time\":0},\"release\":true,\"requests\":["
						"{\"seq\":2,\"seen\":\"5\",\"settled\":\"0\"},{\"seq\":3,\"error\":\"no code there\"}]}");
	free(text);

	/* The same once more: known to settle, but for a request that is about to expire */
	requests[1].seen = results[1].seen;
	requests[2].error = (char *) "no code there";
	assert_null(rc_observation_to_json(&observation, &batch, false, true, &errors));
	requests[0].expiring = true;
	requests[0].expiring = false;
	requests[0].known = false;
	text = rc_observation_to_json(&observation, &batch, false, true, &errors);
	assert_non_null(strstr(text, "\"seq\":1"));
	free(text);
	requests[0].expiring = true;
	requests[0].known = true;
	text = rc_observation_to_json(&observation, &batch, false, false, &errors);
	assert_string_equal(text, "{\"tip\":{\"height\":100,\"time\":0},\"release\":false,\"requests\":["
						"{\"seq\":1,\"seen\":\"0\",\"settled\":\"0\"}]}");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failed_look_is_settled_as_failure),
		cmocka_unit_test(test_once_works_off_what_is_due),
		cmocka_unit_test(test_stop_releases_every_lease),
		cmocka_unit_test(test_failing_claim_is_not_hammered),
		cmocka_unit_test(test_only_changes_are_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
