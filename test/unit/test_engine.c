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
#include "fake_node.h"
#include "poll_host.h"

#define MAX_CALLS 4096

/* A store with one network and a number of due batches, that remembers what it was asked */
typedef struct script
{
	int			batches;		/* still due */
	int			stop_after;		/* calls until the process is asked to stop; 0: never */
	rc_store_status claim_status;	/* of the first claim */
	rc_store_status settle_status;	/* of the first settle */
	const char *outcome;		/* of the whole look, that the first settle answers; NULL: none */
	const char *network_id;
	const char *endpoints;		/* NULL: that of node, or where nothing listens */
	fake_node  *node;
	const char *kind;
	char		version[8];		/* of the network; each time it is read after a RC_STORE_STALE, another */
	bool		stale;			/* was answered since the networks were read */
	int			calls;
	const char *names[MAX_CALLS];
	char	   *settled;		/* the last observation */
	int			outcomes;		/* transitions that settle answers */
	rc_counters counters;
	int			logged_cycles;
	int			logged_transitions;
	int			logged_failures;
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
answer_networks(script *script, rc_rows *rows)
{
	char	   *endpoints = script->endpoints ? rc_strdup(script->endpoints) :
		rc_asprintf("[\"http://127.0.0.1:%d\"]", script->node ? script->node->port : 1);
	const char *network[] = {script->network_id, "a chain", "a network", script->kind, "31337", "1", NULL, "50",
	"15000", "15000", "1000", endpoints, NULL, script->version, script->version,
	"60000", NULL, NULL, NULL, "f", "t"};

	if (script->stale)
		script->version[0]++;
	script->stale = false;
	fill(rows, 1, 21, network);
	free(endpoints);
	return RC_STORE_OK;
}

static int count_calls(const script *script, const char *name);

static rc_store_status
answer_claim(script *script, const char *const *args, rc_rows *rows)
{
	const char *cells[] = {"0", "77", "1", "0x00000000000000000000000000000000000003e8", NULL, NULL, NULL, "f", NULL, "f",
	NULL, NULL, NULL, NULL};

	if (script->claim_status != RC_STORE_OK && count_calls(script, "claim") == 1)
	{
		script->stale = script->claim_status == RC_STORE_STALE;
		return script->claim_status;
	}
	assert_string_equal(args[6], script->version);
	if (script->batches > 0)
	{
		script->batches--;
		fill(rows, 1, 14, cells);
	}
	return RC_STORE_OK;
}

static rc_store_status
answer_settle(script *script, const char *const *args, rc_rows *rows)
{
	const char *transition[] = {"transition", "app.requests", "r1", "pending", "confirmed", "settled"};
	const char *look[] = {script->outcome, NULL, NULL, NULL, NULL, "for a reason"};

	assert_string_equal(args[3], "77");
	free(script->settled);
	script->settled = rc_strdup(args[4]);
	if (count_calls(script, "settle") == 1 && script->settle_status != RC_STORE_OK)
		return script->settle_status;
	if (count_calls(script, "settle") == 1 && script->outcome != NULL)
	{
		script->stale = strcmp(script->outcome, "stale") == 0;
		fill(rows, 1, 6, look);
	}
	else if (script->outcomes > 0)
		fill(rows, 1, 6, transition);
	return RC_STORE_OK;
}

static rc_store_status
run(void *ctx, const rc_statement *statement, const char *const *args, rc_rows *rows)
{
	script	   *script = ctx;
	const char *due[] = {"60000"};

	/* What has nothing to do with networks isn't counted */
	if (strcmp(statement->name, "webhooks_due") == 0)
	{
		memset(rows, 0, sizeof(*rows));
		return RC_STORE_OK;
	}
	assert_true(script->calls < MAX_CALLS);
	script->names[script->calls++] = statement->name;
	if (rows != NULL)
		memset(rows, 0, sizeof(*rows));
	if (strcmp(statement->name, "networks") == 0)
		return answer_networks(script, rows);
	if (strcmp(statement->name, "claim") == 0)
		return answer_claim(script, args, rows);
	if (strcmp(statement->name, "settle") == 0)
		return answer_settle(script, args, rows);
	if (strcmp(statement->name, "due_in") == 0)
		fill(rows, 1, 1, due);
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

/* Waits for the sockets as any host does, but never long */
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

	script->logged_cycles += strcmp(event->name, "cycle") == 0;
	script->logged_transitions += strcmp(event->name, "transition") == 0;
	script->logged_failures += strcmp(event->name, "observation failed") == 0;
}

static void
take_progress(void *ctx, rc_state state, const char *networks, const rc_counters *counters)
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
		script->kind = "evm";
	if (script->network_id == NULL)
		script->network_id = "1";
	strcpy(script->version, "1");
	rc_engine_run(&options);
}

/* A member of the last observation, as JSON text; to be freed */
static char *
settled_member(const script *script, const char *name)
{
	struct json_object *json = json_tokener_parse(script->settled);
	struct json_object *member;
	char	   *text = NULL;

	assert_non_null(json);
	if (json_object_object_get_ex(json, name, &member))
		text = rc_strdup(json_object_to_json_string(member));
	json_object_put(json);
	return text;
}

static void
assert_settled(const script *script, const char *name, const char *value)
{
	char	   *text = settled_member(script, name);

	if (value == NULL)
		assert_null(text);
	else
	{
		assert_non_null(text);
		assert_string_equal(text, value);
	}
	free(text);
}

static void
test_failed_look_is_settled_as_failure(void **state)
{
	script		script = {.batches = 1};

	(void) state;
	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "settle"), 1);
	assert_settled(&script, "asked", "true");
	assert_settled(&script, "version", "1");
	assert_settled(&script, "tip", NULL);
	assert_non_null(strstr(script.settled, "\"failure\":\"http:"));
	free(script.settled);
	assert_int_equal(script.counters.claimed, 1);
	assert_int_equal(script.counters.scanned, 0);
	assert_int_equal(script.counters.errors, 1);
}

static void
test_once_works_off_what_is_due(void **state)
{
	script		script = {.batches = 23,.outcomes = 1,.node = *state};

	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "settle"), 23);
	assert_int_equal(script.batches, 0);
	assert_int_equal(script.counters.cycles, 23);
	assert_int_equal(script.counters.confirmed, 23);
	assert_int_equal(script.counters.errors, 0);
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

/* Who has nobody to ask leaves the requests to those who have */
static void
test_network_without_endpoints_is_not_claimed(void **state)
{
	script		script = {.batches = 1,.endpoints = "[]"};

	(void) state;
	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "claim"), 0);
	assert_int_equal(script.batches, 1);

	/* It doesn't spin either: networks, maintain, and 2 s later networks again */
	script.stop_after = script.calls + 3;
	run_engine(&script, false);
	assert_int_equal(count_calls(&script, "claim"), 0);

	/* Of a kind that this worker doesn't know */
	script.endpoints = NULL;
	script.kind = "solana";
	script.stop_after = 0;
	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "claim"), 0);
}

static void
test_unregistered_requests_are_put_in_order(void **state)
{
	script		script = {.network_id = "0",.kind = "none",.endpoints = "[]"};

	(void) state;
	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "claim"), 1);
}

/* While the only endpoint rests nothing is claimed, and looks that have asked nobody tell nothing */
static void
test_resting_endpoints_are_waited_for(void **state)
{
	script		script = {.batches = 100};
	int64_t		started = rc_now_ms();

	(void) state;
	run_engine(&script, true);
	assert_true(count_calls(&script, "claim") <= 4);
	assert_int_equal(count_calls(&script, "settle") + count_calls(&script, "release"), count_calls(&script, "claim"));
	assert_int_equal(script.counters.errors, count_calls(&script, "settle"));
	assert_settled(&script, "asked", "true");
	assert_true(rc_now_ms() - started < 500);

	/* Then it goes on by itself, and rests longer: about 1 s, 2 s */
	script.stop_after = script.calls + 20;
	started = rc_now_ms();
	run_engine(&script, false);
	assert_true(rc_now_ms() - started > 500);
	free(script.settled);
}

/* Settings of which the claim says that they are old: read anew at once, and then it is claimed by the new ones */
static void
test_stale_claim_reads_networks(void **state)
{
	script		script = {.batches = 1,.claim_status = RC_STORE_STALE,.node = *state,.stop_after = 8};
	int64_t		started = rc_now_ms();

	run_engine(&script, false);
	assert_true(rc_now_ms() - started < 1000);
	assert_int_equal(count_calls(&script, "networks"), 2);
	assert_settled(&script, "version", "2");
	assert_int_equal(script.counters.errors, 0);
	free(script.settled);
}

static void
test_stale_observation_is_no_error(void **state)
{
	script		script = {.batches = 2,.outcome = "stale",.node = *state,.stop_after = 10};

	run_engine(&script, false);
	assert_int_equal(count_calls(&script, "networks"), 2);
	assert_int_equal(script.counters.errors, 0);
	assert_int_equal(script.logged_failures, 0);
	free(script.settled);
}

static void
test_doubt_is_counted_and_logged(void **state)
{
	script		script = {.batches = 1,.outcome = "doubted",.node = *state};

	run_engine(&script, true);
	assert_int_equal(script.counters.errors, 1);
	assert_int_equal(script.logged_failures, 1);
	free(script.settled);
}

/* Data that the database refuses: the endpoint rests, and a failure is settled in its place */
static void
test_refused_observation_is_the_endpoints_failure(void **state)
{
	script		script = {.batches = 1,.settle_status = RC_STORE_REFUSED,.node = *state};

	run_engine(&script, true);
	assert_int_equal(count_calls(&script, "settle"), 2);
	assert_settled(&script, "asked", "true");
	assert_settled(&script, "tip", NULL);
	assert_non_null(strstr(script.settled, "the database refuses what it answered"));
	assert_int_equal(script.counters.errors, 1);
	assert_int_equal(script.counters.scanned, 0);
	assert_int_equal(script.logged_failures, 1);
	free(script.settled);
}

static void
test_sqlstates(void **state)
{
	(void) state;
	assert_int_equal(rc_store_status_of("RC001"), RC_STORE_LEASE_LOST);
	assert_int_equal(rc_store_status_of("RC002"), RC_STORE_STALE);
	assert_int_equal(rc_store_status_of("22008"), RC_STORE_REFUSED);
	assert_int_equal(rc_store_status_of("22P02"), RC_STORE_REFUSED);
	assert_int_equal(rc_store_status_of("23505"), RC_STORE_ERROR);
	assert_int_equal(rc_store_status_of("55P03"), RC_STORE_ERROR);
}

static int
start_node(void **state)
{
	*state = fake_node_start();
	return 0;
}

static int
stop_node(void **state)
{
	fake_node_stop(*state);
	return 0;
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
	assert_string_equal(text, "{\"version\":0,\"tip\":{\"height\":100,\"time\":0},\"release\":true,\"requests\":["
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
	assert_string_equal(text, "{\"version\":0,\"tip\":{\"height\":100,\"time\":0},\"release\":false,\"requests\":["
						"{\"seq\":1,\"seen\":\"0\",\"settled\":\"0\"}]}");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failed_look_is_settled_as_failure),
		cmocka_unit_test_setup_teardown(test_once_works_off_what_is_due, start_node, stop_node),
		cmocka_unit_test(test_stop_releases_every_lease),
		cmocka_unit_test(test_failing_claim_is_not_hammered),
		cmocka_unit_test(test_network_without_endpoints_is_not_claimed),
		cmocka_unit_test(test_unregistered_requests_are_put_in_order),
		cmocka_unit_test(test_resting_endpoints_are_waited_for),
		cmocka_unit_test_setup_teardown(test_stale_claim_reads_networks, start_node, stop_node),
		cmocka_unit_test_setup_teardown(test_stale_observation_is_no_error, start_node, stop_node),
		cmocka_unit_test_setup_teardown(test_doubt_is_counted_and_logged, start_node, stop_node),
		cmocka_unit_test_setup_teardown(test_refused_observation_is_the_endpoints_failure, start_node, stop_node),
		cmocka_unit_test(test_sqlstates),
		cmocka_unit_test(test_only_changes_are_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
