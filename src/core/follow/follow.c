/*
 * follow.c: follows a chain, whichever it is, by its block source
 *
 * A step goes through these stages, each a call to the source and what it leads to:
 *
 *   TIP      where the endpoint's chain stands                -> is it to be believed?
 *   POSITION the hash at the cursor's height                  -> the same: read on
 *   FORK     the hashes at the heights read before            -> undo down to the last common block
 *   HASHES, READ  the next blocks                             -> advance the cursor
 *   BACK_HASHES, BACK  blocks again, from the cursor from parent to parent, back to the age of new requests -> look_back
 *   PENDING, TRANSACTIONS  what is new among the transactions that are in no block
 *   CHECK    has the chain moved since?                       -> note_mempool, settle
 */
#include "core/follow/step.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/chain.h"
#include "core/net/endpoint.h"

rc_follower *
rc_follower_create(void)
{
	rc_follower *follower = rc_calloc(1, sizeof(*follower));

	follower->seen = rc_seen_create();
	return follower;
}

void
rc_follower_free(rc_follower *follower)
{
	if (follower == NULL)
		return;
	rc_seen_free(follower->seen);
	free(follower);
}

static void
free_followed(rc_followed *followed)
{
	free(followed->failure);
	rc_rows_free(&followed->outcomes);
	free(followed);
}

static void
close_source(rc_follow *follow)
{
	if (follow->source != NULL)
		follow->blocks->close(follow->source);
	follow->source = NULL;
}

static void
free_follow(rc_follow *follow)
{
	close_source(follow);
	if (follow->timer != NULL)
		rc_timer_cancel(follow->timer);
	free(follow->recent.items);
	free(follow->back.ids);
	free(follow->back.problem);
	free(follow->unread.items);
	free(follow->failure.text);
	rc_keys_free(&follow->late);
	rc_endpoint_walk_end(&follow->walk);
	free(follow->token);
	free_followed(follow->result);
	free(follow);
}

/* Delivers the result: from a timer, so that it is never from inside rc_follow_start */
static void
deliver(void *arg)
{
	rc_follow  *follow = arg;
	rc_followed *result = follow->result;

	follow->timer = NULL;
	follow->done(follow->arg, result);
	free_follow(follow);
}

static void
end(rc_follow *follow)
{
	follow->ended = true;
	if (follow->timer == NULL)
		follow->timer = rc_http_after(follow->http, 0, deliver, follow);
}

/* No endpoint is left: the database is told why; takes over why */
static follow_step
settle_failure(rc_follow *follow, char *failure)
{
	rc_store_status status = rc_cursor_fail(&follow->lease, failure, follow->walk.asked, &follow->result->outcomes);
	follow_step step = rc_follow_written(follow, status);

	if (step == FOLLOW_END)
	{
		free(failure);
		return step;
	}
	/* Written, or refused: there is no endpoint that could be asked in its place */
	follow->result->failure = failure;
	return FOLLOW_END;
}

/* The next endpoint is asked from the beginning, if there is one */
static follow_step
ask_next_endpoint(rc_follow *follow)
{
	rc_source_context context = {follow->http, follow->host, follow->network, NULL, &follow->wanted};

	close_source(follow);
	follow->idle_restarts = 0;
	follow->endpoint = rc_endpoint_walk_next(&follow->walk);
	if (follow->endpoint == NULL)
		return FOLLOW_END;
	context.endpoint = follow->endpoint;
	follow->source = follow->blocks->open(&context);
	return rc_follow_go_to(follow, STAGE_TIP);
}

/* The next endpoint, or the end: with what is wrong with all of them, unless one only has to catch up */
static follow_step
try_next(rc_follow *follow)
{
	follow_step step = ask_next_endpoint(follow);

	if (step != FOLLOW_END)
		return step;
	if (!follow->waiting)
		return settle_failure(follow, rc_endpoint_walk_problem(&follow->walk));
	step = rc_follow_written(follow, rc_cursor_release(&follow->lease, false));
	return step == FOLLOW_GO_ON ? FOLLOW_END : step;
}

/* The endpoint will have those blocks, too: until then nothing is undone, and nothing settled */
static follow_step
wait_for_endpoint(rc_follow *follow)
{
	follow->waiting = true;
	rc_endpoint_succeeded(follow->endpoint);
	rc_log_change(follow->host, RC_LOG_INFO, "endpoint has fewer blocks than were read",
				  RC_FIELDS(rc_field_text("chain", follow->network->chain),
							rc_field_text("network", follow->network->network)), follow->endpoint->shown);
	return try_next(follow);
}

/* The endpoint is at fault: another one is asked from the beginning, if there is one */
static follow_step
leave_endpoint(rc_follow *follow)
{
	rc_failure	why = follow->failure;
	char	   *failure;

	follow->failure.text = NULL;
	rc_endpoint_walk_failed(&follow->walk, why);
	failure = rc_asprintf("%s: %s", follow->endpoint->shown, follow->endpoint->error);
	rc_log_change(follow->host, RC_LOG_WARNING, "endpoint failed, trying the next",
				  RC_FIELDS(rc_field_text("chain", follow->network->chain),
							rc_field_text("network", follow->network->network)), failure);
	free(failure);
	return try_next(follow);
}

/* What is left to do waits for the next step, which may begin at once */
static follow_step
leave_rest(rc_follow *follow)
{
	follow_step step;

	follow->result->more = true;
	rc_endpoint_succeeded(follow->endpoint);
	step = rc_follow_written(follow, rc_cursor_release(&follow->lease, true));
	return step == FOLLOW_GO_ON ? FOLLOW_END : step;
}

/* The chain has moved since this step began; or different nodes have answered */
static follow_step
begin_again(rc_follow *follow)
{
	if (follow->result->blocks > follow->blocks_at_restart)
		follow->idle_restarts = 0;
	follow->blocks_at_restart = follow->result->blocks;
	follow->idle_restarts++;
	follow->restarts++;
	if (follow->idle_restarts <= MAX_RESTARTS && follow->restarts <= MAX_RESTARTS_IN_ALL)
		return rc_follow_go_to(follow, STAGE_TIP);
	follow->restarts = 0;
	return rc_follow_fail(follow, RC_FAILURE_INCONSISTENT,
						  "its answers contradict each other: several nodes behind one address?");
}

static void on_answer(void *arg, rc_source_result *result);

/* Blocks that were read before, the highest first, as many as go into one call */
static follow_step
ask_fork(rc_follow *follow)
{
	static const rc_source_result nothing = {0};
	size_t		n = follow->fork_at;

	if (n > (size_t) follow->blocks->hashes_at_a_time)
		n = (size_t) follow->blocks->hashes_at_a_time;
	follow->asked = (int) n;
	if (n == 0)
		return rc_follow_on_fork(follow, &nothing);
	follow->blocks->hashes(follow->source, follow->recent.items[follow->fork_at - n].height, (int) n, on_answer, follow);
	return FOLLOW_UNDER_WAY;
}

static void
ask_hashes(rc_follow *follow, int64_t from, int64_t n, int most)
{
	if (n > most)
		n = most;
	if (n > follow->blocks->hashes_at_a_time)
		n = follow->blocks->hashes_at_a_time;
	follow->asked = (int) n;
	follow->blocks->hashes(follow->source, from, follow->asked, on_answer, follow);
}

/* The next blocks of the run, as many as go into one call and into this step */
static void
ask_blocks(rc_follow *follow)
{
	const block_run *run = &follow->run;
	int			n = run->nids - run->at;
	int			left = MAX_BLOCKS - follow->result->blocks;

	if (n > follow->blocks->at_a_time)
		n = follow->blocks->at_a_time;
	if (n > left)
		n = left > 0 ? left : 1;
	rc_follow_want(follow, false);
	follow->asked = n;
	follow->blocks->read(follow->source, &run->ids[run->at], n, on_answer, follow);
}

static void
ask_transactions(rc_follow *follow)
{
	const char **txids = rc_calloc((size_t) follow->blocks->pending_at_a_time, sizeof(*txids));
	int			n = 0;

	for (; n < follow->blocks->pending_at_a_time && follow->unread_at + (size_t) n < follow->unread.n; n++)
		txids[n] = follow->unread.items[follow->unread_at + (size_t) n];
	follow->asked = n;
	follow->blocks->read_pending(follow->source, txids, n, on_answer, follow);
	free(txids);
}

/* Asks the source what the stage wants to know */
static follow_step
ask_for_stage(rc_follow *follow)
{
	const rc_block_source *blocks = follow->blocks;

	follow->asked = 0;
	switch (follow->stage)
	{
		case STAGE_TIP:
			blocks->tip(follow->source, on_answer, follow);
			break;
		case STAGE_POSITION:
			ask_hashes(follow, follow->cursor.height, 1, 1);
			break;
		case STAGE_FORK:
			return ask_fork(follow);
		case STAGE_HASHES:
			ask_hashes(follow, follow->run.next, follow->run.end - follow->run.next + 1, HASHES_AT_A_TIME);
			break;
		case STAGE_READ:
			ask_blocks(follow);
			break;
		case STAGE_BACK_HASHES:
			ask_hashes(follow, follow->back.next.height - follow->back.nids + 1, follow->back.nids, follow->back.nids);
			break;
		case STAGE_BACK:
			follow->asked = follow->back.nids;
			blocks->read(follow->source, follow->back.ids, follow->back.nids, on_answer, follow);
			break;
		case STAGE_PENDING:
			blocks->pending(follow->source, on_answer, follow);
			break;
		case STAGE_TRANSACTIONS:
			ask_transactions(follow);
			break;
		case STAGE_CHECK:
			blocks->check(follow->source, &follow->cursor, on_answer, follow);
			break;
	}
	return FOLLOW_UNDER_WAY;
}

/* The stage's answer */
static follow_step
take_answer(rc_follow *follow, const rc_source_result *result)
{
	switch (follow->stage)
	{
		case STAGE_TIP:
			return rc_follow_on_tip(follow, result);
		case STAGE_POSITION:
			return rc_follow_on_position(follow, result);
		case STAGE_FORK:
			return rc_follow_on_fork(follow, result);
		case STAGE_HASHES:
			return rc_follow_on_hashes(follow, result);
		case STAGE_READ:
			return rc_follow_on_read(follow, result);
		case STAGE_BACK_HASHES:
			return rc_follow_on_back_hashes(follow, result);
		case STAGE_BACK:
			return rc_follow_on_back(follow, result);
		case STAGE_PENDING:
			return rc_follow_on_pending(follow, result);
		case STAGE_TRANSACTIONS:
			return rc_follow_on_transactions(follow, result);
		case STAGE_CHECK:
			return rc_follow_on_check(follow, result);
	}
	return FOLLOW_END;
}

/* Does what a stage came to, until the node has been asked or the step ends */
static void
act(rc_follow *follow, follow_step step)
{
	while (step != FOLLOW_UNDER_WAY)
	{
		switch (step)
		{
			case FOLLOW_ASK:
				step = ask_for_stage(follow);
				break;
			case FOLLOW_BEGIN_AGAIN:
				step = begin_again(follow);
				break;
			case FOLLOW_WAIT:
				step = wait_for_endpoint(follow);
				break;
			case FOLLOW_LEAVE_REST:
				step = leave_rest(follow);
				break;
			case FOLLOW_FAILED:
				step = leave_endpoint(follow);
				break;
			case FOLLOW_GO_ON:
			case FOLLOW_UNDER_WAY:
			case FOLLOW_END:
				end(follow);
				return;
		}
	}
}

/* The source has answered the call of the stage */
static void
on_answer(void *arg, rc_source_result *result)
{
	rc_follow  *follow = arg;
	follow_step step;

	if (result->failure.text != NULL)
	{
		step = rc_follow_failed(follow, result->failure);
		result->failure.text = NULL;
	}
	else if (result->aborted)
		step = rc_follow_written(follow, follow->wanted_status != RC_STORE_OK ? follow->wanted_status : RC_STORE_ERROR);
	else if (result->moved)
		step = FOLLOW_BEGIN_AGAIN;
	else if (result->nhashes > follow->asked || result->nblocks > follow->asked || result->ntransactions > follow->asked)
		step = rc_follow_fail(follow, RC_FAILURE_MALFORMED, "more came than was asked for");
	else
		step = take_answer(follow, result);
	act(follow, step);
}

/* The blocks read last, [[height, hash], …], the highest first */
static void
take_recent(rc_follow *follow, const char *text)
{
	struct json_object *array = json_tokener_parse(text);
	size_t		n = json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;

	for (size_t i = n; i > 0; i--)
	{
		struct json_object *block = json_object_array_get_idx(array, i - 1);

		rc_block_list_add(&follow->recent, json_object_get_int64(json_object_array_get_idx(block, 0)),
						  json_object_get_string(json_object_array_get_idx(block, 1)));
	}
	json_object_put(array);
}

/* Where the look back stands that an earlier step has begun */
static void
take_back(rc_follow *follow, const rc_rows *rows)
{
	back_run   *back = &follow->back;

	back->due = rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_DUE)[0] == 't';
	back->on = rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_HASH) != NULL && rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_NEXT) != NULL &&
		rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_SINCE) != NULL;
	if (!back->on)
		return;
	back->next.height = strtoll(rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_NEXT), NULL, 10);
	back->since = strtoll(rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_SINCE), NULL, 10);
	snprintf(back->next.hash, sizeof(back->next.hash), "%s", rc_cell(rows, 0, RC_CURSOR_LOOK_BACK_HASH));
}

/* Takes over what the claim says; false: nothing was claimed */
static bool
take_claim(rc_follow *follow, const rc_rows *rows)
{
	const char *hash;

	if (rows->nrows != 1)
		return false;
	hash = rc_cell(rows, 0, RC_CURSOR_HASH);
	follow->token = rc_strdup(rc_cell(rows, 0, RC_CURSOR_TOKEN));
	follow->lease.token = follow->token;
	follow->cursor.height = hash ? strtoll(rc_cell(rows, 0, RC_CURSOR_HEIGHT), NULL, 10) : -1;
	snprintf(follow->cursor.hash, sizeof(follow->cursor.hash), "%s", hash ? hash : "");
	take_recent(follow, rc_cell(rows, 0, RC_CURSOR_RECENT));
	if (rc_cell(rows, 0, RC_CURSOR_BEST_WORK) != NULL)
		snprintf(follow->best_work, sizeof(follow->best_work), "%s", rc_cell(rows, 0, RC_CURSOR_BEST_WORK));
	take_back(follow, rows);
	rc_protocol_take_bounds(rows, RC_CURSOR_BOUNDS, &follow->bounds);
	return true;
}

/* The claim succeeded: whom to ask? */
static follow_step
begin(rc_follow *follow)
{
	char	   *problem = NULL;

	follow->result->claimed = true;
	follow->renew_at_ms = rc_now_ms() + follow->network->lease_ms / 2;
	rc_endpoint_walk_begin(&follow->walk, follow->network->endpoints, follow->network->nendpoints);
	rc_follow_wanted_begin(follow);
	if (follow->blocks->network_problem != NULL)
		problem = follow->blocks->network_problem(follow->network);
	if (problem != NULL)
		return settle_failure(follow, problem);
	return try_next(follow);
}

/* A tip is a small question; the list of pending transactions, which comes with it where there are any, is none */
static long
step_interval(const rc_follow *follow)
{
	const rc_network *network = follow->network;

	if (follow->blocks->pending != NULL || network->tip_interval_ms <= 0 || network->tip_interval_ms > network->poll_interval_ms)
		return network->poll_interval_ms;
	return network->tip_interval_ms;
}

rc_follow *
rc_follow_start(rc_http *http, const rc_host *host, const rc_store *store, const char *worker_id,
				rc_network *network, rc_follower *follower, rc_follow_done done, void *arg)
{
	rc_follow  *follow = rc_calloc(1, sizeof(*follow));
	rc_rows		rows = {0};
	rc_store_status status;

	follow->http = http;
	follow->host = host;
	follow->network = network;
	follow->blocks = rc_chain_of(network->kind)->blocks;
	follow->follower = follower;
	follow->done = done;
	follow->arg = arg;
	follow->lease.store = store;
	follow->lease.worker_id = worker_id;
	follow->lease.network = network;
	follow->result = rc_calloc(1, sizeof(*follow->result));
	status = rc_cursor_claim(store, worker_id, network, step_interval(follow), &rows);
	follow->result->stale = status == RC_STORE_STALE;
	if (status == RC_STORE_OK && take_claim(follow, &rows))
		act(follow, begin(follow));
	else
		end(follow);
	rc_rows_free(&rows);
	return follow;
}

int64_t
rc_follow_renew_at(const rc_follow *follow)
{
	return follow->ended ? INT64_MAX : follow->renew_at_ms;
}

bool
rc_follow_renew(rc_follow *follow)
{
	if (rc_now_ms() < rc_follow_renew_at(follow))
		return true;
	follow->renew_at_ms = rc_now_ms() + follow->network->lease_ms / 2;
	return rc_cursor_renew(&follow->lease) != RC_STORE_LEASE_LOST;
}

void
rc_follow_cancel(rc_follow *follow)
{
	if (!follow->ended && follow->token != NULL)
		(void) rc_cursor_release(&follow->lease, true);
	free_follow(follow);
}
