/*
 * test_follow.c: the follower over a made-up kind of endpoint and a scripted store
 *
 * Proves that the follower needs nothing of a kind but its row and its file: forks,
 * short and foreign answers, endpoints that fail, lag or contradict themselves,
 * looking back, pending transactions, and what a source is told of wanted keys.
 * The store takes a block only where the database would: after the cursor's, linked
 * to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "core/base/memory.h"
#include "core/follow/follow.h"
#include "made_up.h"
#include "poll_host.h"

/* The one row that a kind needs */
const rc_chain *const rc_chains[] = {&rc_chain_evm, &rc_chain_bitcoind, &rc_chain_made_up, NULL};

#define KEPT 32

/* The database, as far as the follower sees it */
typedef struct script
{
	int64_t		cursor;			/* -1: nothing was read */
	char		hashes[256][RC_HASH_SIZE];	/* of blocks that were read, by height */
	int64_t		lowest;			/* of them */
	const char *best_work;
	bool		look_back_due;
	int64_t		back;			/* the next block to be read again; -1: none */
	int64_t		back_lowest;	/* the lowest that was */
	int64_t		since;
	int64_t		min_tip_time;	/* 0: blocks come on demand */
	const char *refused;		/* a statement that ends with status */
	rc_store_status status;
	const char *unconfirmed;	/* a transaction with payments that is in no block */
	char		log[4096];		/* what was written */
	char	   *gone;			/* transactions that are gone */
	char	   *depth;			/* of the last settling */
	char	   *problem;		/* of the last look back, or step */
} script;

static script db;
static rc_http *http;
static rc_network network;
static rc_endpoint endpoints[2];
static rc_follower *follower;
static rc_followed last;		/* how the last step ended; its texts are freed */
static char last_failure[512];
static bool ended;

static void __attribute__((format(printf, 1, 2)))
note(const char *format, ...)
{
	va_list		args;
	size_t		len = strlen(db.log);

	va_start(args, format);
	vsnprintf(db.log + len, sizeof(db.log) - len, format, args);
	va_end(args);
}

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
answer_number(rc_rows *rows, int64_t number)
{
	char		text[24];
	const char *cells[] = {text};

	snprintf(text, sizeof(text), "%lld", (long long) number);
	if (rows != NULL)
		answer_row(rows, 1, cells);
}

static void
answer_claim(rc_rows *rows)
{
	char		height[24];
	char		back[24];
	char		since[24];
	char		bound[24];
	char		recent[KEPT * 100] = "[";
	const char *cells[] = {"77", height, db.hashes[db.cursor >= 0 ? db.cursor : 0], db.best_work, recent,
	db.look_back_due ? "t" : "f", NULL, NULL, NULL, NULL, NULL, NULL, NULL};

	snprintf(height, sizeof(height), "%lld", (long long) db.cursor);
	for (int64_t i = db.cursor; i >= 0 && i >= db.lowest && i > db.cursor - KEPT; i--)
		snprintf(recent + strlen(recent), sizeof(recent) - strlen(recent), "%s[%lld,\"%s\"]",
				 i < db.cursor ? "," : "", (long long) i, db.hashes[i]);
	strcat(recent, "]");
	if (db.cursor < 0)
		cells[1] = cells[2] = NULL;
	if (db.back >= 0)
	{
		snprintf(back, sizeof(back), "%lld", (long long) db.back);
		snprintf(since, sizeof(since), "%lld", (long long) db.since);
		cells[6] = back;
		cells[7] = db.hashes[db.back];
		cells[8] = since;
	}
	if (db.min_tip_time != 0)
	{
		snprintf(bound, sizeof(bound), "%lld", (long long) db.min_tip_time);
		cells[9] = bound;
	}
	answer_row(rows, 13, cells);
}

/* A member of a JSON object, as text */
static const char *
member(struct json_object *json, const char *name)
{
	struct json_object *found;

	return json_object_object_get_ex(json, name, &found) ? json_object_get_string(found) : "";
}

static rc_store_status
take_block(const char *text, rc_rows *rows)
{
	struct json_object *block = json_tokener_parse(text);
	int64_t		height = strtoll(member(block, "height"), NULL, 10);
	bool		fits = height >= 0 && height < 256 && (db.cursor < 0 || (height == db.cursor + 1 &&
																		  strcmp(member(block, "previous"), db.hashes[db.cursor]) == 0));

	if (fits)
	{
		if (db.cursor < 0)
			db.lowest = height;
		db.cursor = height;
		snprintf(db.hashes[height], RC_HASH_SIZE, "%s", member(block, "hash"));
		note("+%lld ", (long long) height);
		answer_number(rows, 1);
	}
	json_object_put(block);
	return fits ? RC_STORE_OK : RC_STORE_REFUSED;
}

static rc_store_status
take_old_block(const char *text, rc_rows *rows)
{
	struct json_object *block = json_tokener_parse(text);
	int64_t		height = strtoll(member(block, "height"), NULL, 10);
	bool		fits = height == db.back && (height > db.cursor || db.hashes[height][0] == '\0' ||
											 strcmp(member(block, "hash"), db.hashes[height]) == 0);

	if (fits)
	{
		db.back_lowest = db.back--;
		if (db.back >= 0)
			snprintf(db.hashes[db.back], RC_HASH_SIZE, "%s", member(block, "previous"));
		answer_number(rows, 0);
	}
	json_object_put(block);
	return fits ? RC_STORE_OK : RC_STORE_REFUSED;
}

static void
undo(const char *const *args, rc_rows *rows)
{
	int64_t		height = strtoll(args[4], NULL, 10);

	note("-%lld(%s) ", (long long) height, args[6]);
	if (height < 0)
	{
		db.look_back_due = true;
		db.back = -1;
	}
	db.cursor = height;
	answer_number(rows, 0);
}

static void
begin_look_back(rc_rows *rows)
{
	char		next[24];
	char		since[24];
	const char *cells[] = {"1", next, db.hashes[db.cursor], since};

	db.look_back_due = false;
	db.back = db.cursor;
	snprintf(next, sizeof(next), "%lld", (long long) db.back);
	snprintf(since, sizeof(since), "%lld", (long long) db.since);
	answer_row(rows, 4, cells);
}

static void
keep(char **text, const char *value)
{
	free(*text);
	*text = value != NULL ? rc_strdup(value) : NULL;
}

static void
answer_unconfirmed(rc_rows *rows)
{
	const char *cells[] = {db.unconfirmed, "f"};

	if (db.unconfirmed != NULL)
		answer_row(rows, 2, cells);
}

static rc_store_status
run(void *ctx, const rc_statement *statement, const char *const *args, rc_rows *rows)
{
	const char *name = statement->name;
	const char *key[] = {strcmp(name, "look_back_scripts") == 0 ? "0b" : strcmp(name, "follow_tokens") == 0 ? "70" : "60", "1"};

	(void) ctx;
	if (rows != NULL)
		memset(rows, 0, sizeof(*rows));
	if (db.refused != NULL && strcmp(db.refused, name) == 0)
		return db.status;
	if (strcmp(name, "claim_cursor") == 0)
		answer_claim(rows);
	else if (strcmp(name, "advance_cursor") == 0)
		return take_block(args[4], rows);
	else if (strcmp(name, "look_back") == 0)
		return take_old_block(args[4], rows);
	else if (strcmp(name, "undo_blocks") == 0)
		undo(args, rows);
	else if (strcmp(name, "begin_look_back") == 0)
		begin_look_back(rows);
	else if (strcmp(name, "end_look_back") == 0)
	{
		note("looked back ");
		keep(&db.problem, args[4]);
		db.back = -1;
	}
	else if (strcmp(name, "settle_network") == 0)
	{
		note("settled ");
		keep(&db.depth, args[4]);
	}
	else if (strcmp(name, "fail_network") == 0)
	{
		note("failed ");
		keep(&db.problem, args[3]);
	}
	else if (strcmp(name, "release_cursor") == 0)
		note("released%s ", args[3][0] == 't' ? " due" : "");
	else if (strcmp(name, "note_mempool") == 0)
	{
		note("pending ");
		keep(&db.gone, args[5]);
		answer_number(rows, 1);
	}
	else if (strcmp(name, "unconfirmed_payments") == 0)
		answer_unconfirmed(rows);
	else
		answer_row(rows, 1, key);
	return RC_STORE_OK;
}

static const rc_store store = {NULL, run};

static void
done(void *arg, rc_followed *followed)
{
	(void) arg;
	ended = true;
	last = *followed;
	snprintf(last_failure, sizeof(last_failure), "%s", followed->failure != NULL ? followed->failure : "");
}

/* One step, to its end; what it wrote */
static const char *
step(void)
{
	ended = false;
	db.log[0] = '\0';
	(void) rc_follow_start(http, poll_host(), &store, "w1", &network, follower, done, NULL);
	assert_false(ended);
	for (int i = 0; i < 10000 && !ended; i++)
		rc_http_step(http, 10);
	assert_true(ended);
	assert_int_equal(made_up.open, 0);
	return db.log;
}

static int
set_up(void **state)
{
	(void) state;
	made_up_reset(20);
	memset(&db, 0, sizeof(db));
	db.cursor = db.back = -1;
	memset(&network, 0, sizeof(network));
	memset(endpoints, 0, sizeof(endpoints));
	network.network_id = 1;
	network.chain = "nowhere";
	network.network = "main";
	strcpy(network.kind, "made-up");
	network.confirmations = 3;
	network.poll_interval_ms = network.lease_ms = network.request_timeout_ms = 10000;
	network.endpoints = endpoints;
	network.nendpoints = 1;
	endpoints[0].url = endpoints[0].shown = "http://first";
	endpoints[1].url = endpoints[1].shown = "http://second";
	http = rc_http_create(poll_host());
	follower = rc_follower_create();
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	rc_follower_free(follower);
	rc_http_free(http);
	for (int i = 0; i < 2; i++)
	{
		free(endpoints[i].error);
		endpoints[i].error = NULL;
	}
	free(db.gone);
	free(db.depth);
	free(db.problem);
	return 0;
}

/* The endpoints may be asked again at once */
static void
rest_is_over(void)
{
	for (int i = 0; i < 2; i++)
		endpoints[i].retry_at_ms = 0;
}

static void
test_first_reading(void **state)
{
	(void) state;
	assert_string_equal(step(), "+10 +11 +12 +13 +14 +15 +16 +17 +18 +19 +20 settled ");
	assert_int_equal(last.blocks, 11);
	assert_int_equal(last.payments, 11);
	assert_false(last.more);

	/* Three blocks a read, four hashes a call */
	assert_int_equal(made_up.asked[MADE_UP_READ], 5);

	/* Nothing new: the tip is asked for, and whether it still is */
	memset(made_up.asked, 0, sizeof(made_up.asked));
	assert_string_equal(step(), "settled ");
	assert_int_equal(made_up.asked[MADE_UP_TIP] + made_up.asked[MADE_UP_CHECK], 2);
	assert_int_equal(made_up.asked[MADE_UP_HASHES] + made_up.asked[MADE_UP_READ], 0);
}

/* Of a chain with deep confirmations, all that may still be undone is read */
static void
test_first_reading_of_deep_chain(void **state)
{
	(void) state;
	made_up.height = 200;
	network.confirmations = 40;
	(void) step();
	assert_int_equal(db.lowest, 160);
	assert_int_equal(db.cursor, 200);
}

static void
test_long_way_is_gone_in_steps(void **state)
{
	(void) state;
	(void) step();
	made_up.height = 120;
	assert_non_null(strstr(step(), "+70 released due "));
	assert_true(last.more);
	assert_int_equal(last.blocks, 50);
	(void) step();
	assert_string_equal(step(), "settled ");
	assert_int_equal(db.cursor, 120);
}

static void
test_fork(void **state)
{
	(void) state;
	(void) step();
	made_up.fork_height = 18;
	made_up.fork = 1;
	made_up.height = 21;
	assert_string_equal(step(), "-18(21) +19 +20 +21 settled ");

	/* Deeper than one call's hashes, at the same height; and back to what was there before */
	made_up.fork_height = 13;
	made_up.fork = 2;
	assert_string_equal(step(), "-13(21) +14 +15 +16 +17 +18 +19 +20 +21 settled ");
	made_up.fork_height = INT64_MAX;
	assert_string_equal(step(), "-13(21) +14 +15 +16 +17 +18 +19 +20 +21 settled ");
}

/* Who says that there is another block, and hasn't got it, undoes nothing */
static void
test_fork_without_blocks(void **state)
{
	(void) state;
	(void) step();
	made_up.fork_height = 18;
	made_up.fork = 1;
	made_up.trouble[MADE_UP_READ] = (made_up_trouble) {100, RC_FAILURE_NONE};
	assert_string_equal(step(), "failed ");
	assert_non_null(strstr(last_failure, "contradict"));
	assert_int_equal(endpoints[0].code, RC_FAILURE_INCONSISTENT);

	/* Nor who has one that joins nothing */
	rest_is_over();
	made_up.trouble[MADE_UP_READ].n = 0;
	made_up.unlinked = true;
	assert_string_equal(step(), "failed ");
	assert_int_equal(db.cursor, 20);
}

/* None of the blocks that were read is there: no chain is given up on one endpoint's word */
static void
test_another_chain(void **state)
{
	(void) state;
	db.min_tip_time = 1;
	(void) step();
	made_up.fork_height = 5;
	made_up.fork = 3;
	made_up.height = 22;
	assert_string_equal(step(), "failed ");
	assert_non_null(strstr(db.problem, "restart_cursor"));

	/* Where blocks come on demand a chain may be begun anew */
	rest_is_over();
	db.min_tip_time = 0;
	db.since = made_up.time + 10 * 22;
	assert_non_null(strstr(step(), "-1(22) +12 "));
	assert_non_null(strstr(db.log, "+22 looked back settled "));

	/* With work, the chain that has more is the chain */
	made_up_source.has_work = true;
	db.best_work = "0";
	made_up.fork = 4;
	assert_non_null(strstr(step(), "-1(22) +12 "));
}

static void
test_less_work_undoes_nothing(void **state)
{
	(void) state;
	made_up_source.has_work = true;
	db.best_work = "1";
	assert_string_equal(step(), "failed ");
	assert_int_equal(endpoints[0].code, RC_FAILURE_BEHIND);
	assert_non_null(strstr(last_failure, "less work"));
}

/* A lower tip takes back nothing, settles nothing, and is no fault */
static void
test_lower_tip_waits(void **state)
{
	(void) state;
	db.min_tip_time = 1;
	network.nendpoints = 2;
	(void) step();
	made_up.height = 18;
	assert_string_equal(step(), "released ");
	assert_string_equal(last_failure, "");
	assert_int_equal(made_up.asked[MADE_UP_TIP], 3);

	/* On another fork, too */
	made_up.fork_height = 15;
	made_up.fork = 1;
	assert_string_equal(step(), "released ");
	assert_int_equal(endpoints[0].failures + endpoints[1].failures, 0);

	/* Once it is as high, it counts */
	made_up.height = 20;
	assert_string_equal(step(), "-15(20) +16 +17 +18 +19 +20 settled ");

	/* Lower than all that is kept: that is no lag */
	made_up.height = 8;
	assert_string_equal(step(), "failed ");
	assert_int_equal(endpoints[0].code, RC_FAILURE_BEHIND);
	assert_non_null(strstr(db.problem, "restart_cursor"));
	rest_is_over();

	/* Where blocks come on demand: lower, and ours by its hash, is a wait; another's is a chain begun anew */
	db.min_tip_time = 0;
	made_up.height = 17;
	assert_string_equal(step(), "released ");
	made_up.fork_height = 14;
	made_up.fork = 2;
	assert_string_equal(step(), "-14(17) +15 +16 +17 settled ");
}

/* One behind, one that answers: the second counts */
static void
test_next_endpoint(void **state)
{
	(void) state;
	network.nendpoints = 2;
	made_up.trouble[MADE_UP_TIP] = (made_up_trouble) {1, RC_FAILURE_TIMED_OUT};
	assert_non_null(strstr(step(), "+20 settled "));
	assert_int_equal(endpoints[0].code, RC_FAILURE_TIMED_OUT);
	assert_int_equal(endpoints[1].failures, 0);

	/* In the middle of it, all of them: what was read stays, and the failure names each */
	rest_is_over();
	made_up.height = 30;
	made_up.trouble[MADE_UP_CHECK] = (made_up_trouble) {2, RC_FAILURE_LIMITED};
	assert_string_equal(step(), "+21 +22 +23 +24 +25 +26 +27 +28 +29 +30 failed ");
	assert_non_null(strstr(db.problem, "http://first: made-up trouble; http://second: made-up trouble"));
	rest_is_over();
	assert_string_equal(step(), "settled ");
}

static void
test_short_answers(void **state)
{
	(void) state;
	made_up.short_answers = true;
	assert_string_equal(step(), "+10 +11 +12 +13 +14 +15 +16 +17 +18 +19 +20 settled ");
	made_up.fork_height = 17;
	made_up.fork = 1;

	/* A fork can't be found by half an answer */
	assert_string_equal(step(), "failed ");
	rest_is_over();
	made_up.short_answers = false;
	made_up.empty_answers = true;
	assert_string_equal(step(), "failed ");
	assert_int_equal(db.cursor, 20);
	rest_is_over();
	made_up.empty_answers = false;
	made_up.foreign = true;
	assert_string_equal(step(), "failed ");
	assert_int_equal(endpoints[0].code, RC_FAILURE_MALFORMED);
	rest_is_over();
	made_up.foreign = false;
	assert_string_equal(step(), "-17(20) +18 +19 +20 settled ");
}

/* The chain moves between the reading and the settling: begun again, and settled where it stands then */
static void
test_chain_moves(void **state)
{
	(void) state;
	made_up.trouble[MADE_UP_CHECK] = (made_up_trouble) {1, RC_FAILURE_NONE};
	assert_non_null(strstr(step(), "+20 settled "));
	assert_int_equal(made_up.asked[MADE_UP_TIP], 2);
}

/* Blocks are read again down to the age of the oldest request, and a little further */
static void
test_look_back(void **state)
{
	(void) state;
	(void) step();
	db.look_back_due = true;
	db.since = made_up.time + 10 * 12;
	made_up.lists_keys = true;
	memset(made_up.asked, 0, sizeof(made_up.asked));
	assert_string_equal(step(), "looked back settled ");
	assert_null(db.problem);
	assert_int_equal(db.back_lowest, 9);
	assert_string_equal(made_up.keys, "0b 0b ");

	/* What the endpoint has no longer is said, and is no failure */
	db.look_back_due = true;
	db.since = made_up.time;
	made_up.lowest = 8;
	assert_string_equal(step(), "looked back settled ");
	assert_non_null(strstr(db.problem, "pruned the blocks before 8"));
	assert_int_equal(db.back_lowest, 8);
}

/* In steps; a fork in between begins at the fork */
static void
test_long_look_back(void **state)
{
	(void) state;
	made_up.height = 100;
	(void) step();
	db.look_back_due = true;
	db.since = made_up.time;
	assert_string_equal(step(), "settled ");
	assert_true(last.more);
	assert_int_equal(last.blocks, 50);
	made_up.fork_height = 97;
	made_up.fork = 1;
	assert_string_equal(step(), "-97(100) +98 +99 +100 settled ");
	(void) step();
	assert_string_equal(step(), db.back >= 0 ? "looked back settled " : "settled ");
	assert_int_equal(db.back_lowest, 0);
}

/* For whom to read: asked anew after each tip, and when blocks are read again */
static void
test_wanted(void **state)
{
	(void) state;
	made_up.lists_keys = true;
	(void) step();
	assert_string_equal(made_up.keys, "60 70 60 ");
	assert_true(made_up.versions[0] > 0 && made_up.versions[4] == made_up.versions[0]);
	made_up.height = 21;
	db.look_back_due = true;
	db.since = made_up.time + 10 * 21;
	memset(made_up.asked, 0, sizeof(made_up.asked));
	(void) step();
	assert_true(made_up.versions[1] != made_up.versions[0]);

	/* No answer: the step ends, and the cursor stays; nobody's fault but the database's */
	made_up.height = 22;
	db.refused = "follow_keys";
	db.status = RC_STORE_ERROR;
	assert_string_equal(step(), "");
	assert_non_null(strstr(last_failure, "a statement failed"));
	assert_int_equal(endpoints[0].failures, 0);
	db.status = RC_STORE_LEASE_LOST;
	assert_string_equal(step(), "");
	assert_true(last.lease_lost);
	db.refused = NULL;
	assert_string_equal(step(), "+22 settled ");
}

static void
test_pending(void **state)
{
	char		txid[RC_HASH_SIZE];

	(void) state;
	made_up_with_pending();
	made_up.pending = 5;
	assert_non_null(strstr(step(), "+20 pending pending pending settled "));
	assert_int_equal(last.transactions, 5);

	/* Read once; one that has left is gone if it paid somebody */
	db.unconfirmed = made_up_hash(4, 14, txid);
	assert_string_equal(step(), "settled ");
	made_up.pending = 3;
	assert_string_equal(step(), "pending settled ");
	assert_non_null(strstr(db.gone, txid));
	made_up.pending = 5;
	db.unconfirmed = NULL;
	made_up.short_answers = true;
	assert_string_equal(step(), "pending pending settled ");
	assert_int_equal(last.transactions, 2);

	/* Not remembered as read before it is written */
	made_up.pending = 6;
	db.refused = "note_mempool";
	db.status = RC_STORE_ERROR;
	(void) step();
	db.refused = NULL;
	assert_string_equal(step(), "pending settled ");
}

static void
test_tagged_block(void **state)
{
	(void) state;
	(void) step();
	assert_null(db.depth);
	made_up.tagged = 12;
	(void) step();
	assert_non_null(strstr(db.depth, "{\"height\":12,\"hash\":\"0"));
}

static void
test_claims(void **state)
{
	(void) state;
	db.refused = "claim_cursor";
	db.status = RC_STORE_STALE;
	assert_string_equal(step(), "");
	assert_true(last.stale && !last.claimed);
	db.refused = "advance_cursor";
	db.status = RC_STORE_REFUSED;
	assert_string_equal(step(), "failed ");
	assert_non_null(strstr(db.problem, "the database refuses"));
	rest_is_over();
	db.status = RC_STORE_LEASE_LOST;
	assert_string_equal(step(), "");
	assert_true(last.lease_lost);
}

/* A step that is given up gives its lease back, and leaves no call under way */
static void
test_cancel(void **state)
{
	rc_follow  *follow;

	(void) state;
	made_up.hangs = true;
	db.log[0] = '\0';
	follow = rc_follow_start(http, poll_host(), &store, "w1", &network, follower, done, NULL);
	for (int i = 0; i < 5; i++)
		rc_http_step(http, 1);
	assert_int_equal(made_up.open, 1);
	assert_true(rc_follow_renew_at(follow) < INT64_MAX);
	rc_follow_cancel(follow);
	assert_int_equal(made_up.open, 0);
	assert_string_equal(db.log, "released due ");
}

#define follow_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		follow_test(test_first_reading),
		follow_test(test_first_reading_of_deep_chain),
		follow_test(test_long_way_is_gone_in_steps),
		follow_test(test_fork),
		follow_test(test_fork_without_blocks),
		follow_test(test_another_chain),
		follow_test(test_less_work_undoes_nothing),
		follow_test(test_lower_tip_waits),
		follow_test(test_next_endpoint),
		follow_test(test_short_answers),
		follow_test(test_chain_moves),
		follow_test(test_look_back),
		follow_test(test_long_look_back),
		follow_test(test_wanted),
		follow_test(test_pending),
		follow_test(test_tagged_block),
		follow_test(test_claims),
		follow_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
