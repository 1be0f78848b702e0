/* pending.c: the last stages of a step: transactions that are in no block yet, and settling */
#include "core/follow/step.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>
#include <limits.h>

#include "core/base/hex.h"
#include "core/base/memory.h"
#include "core/net/endpoint.h"

static void
add_text(text_list *list, const char *text)
{
	if (list->n == list->size)
	{
		list->size = list->size > 0 ? list->size * 2 : 256;
		list->items = rc_realloc(list->items, list->size * sizeof(*list->items));
	}
	snprintf(list->items[list->n++], RC_HASH_SIZE, "%s", text);
}

static void
want_transaction(void *arg, const char *txid)
{
	rc_follow  *follow = arg;

	add_text(&follow->unread, txid);
}

/* What was read before these requests came */
static follow_step
want_transactions_of_late(rc_follow *follow)
{
	rc_keys		keys = {0};
	follow_step step;

	if (!follow->back.done)
		return FOLLOW_GO_ON;
	rc_follow_want(follow, true);
	if (!follow->wanted.keys(&follow->wanted, NULL, INT_MAX, &keys))
		step = rc_follow_written(follow, follow->wanted_status);
	else
		step = FOLLOW_GO_ON;
	for (size_t i = 0; i < keys.n; i++)
		rc_seen_find(follow->follower->seen, &keys.items[i], want_transaction, follow);
	rc_keys_free(&keys);
	return step;
}

/*
 * What is pending, and yet counts as gone: another worker, or another endpoint,
 * did not find it there. Remembering it is no reason not to read it.
 */
static follow_step
want_transactions_back(rc_follow *follow)
{
	rc_rows		txids = {0};
	follow_step step = rc_follow_written(follow, rc_cursor_unconfirmed(&follow->lease, &txids));

	if (step != FOLLOW_GO_ON)
		return step;
	for (int i = 0; i < txids.nrows; i++)
	{
		if (rc_cell(&txids, i, 1)[0] == 't' && rc_seen_has(follow->follower->seen, rc_cell(&txids, i, 0)))
			want_transaction(follow, rc_cell(&txids, i, 0));
	}
	rc_rows_free(&txids);
	return FOLLOW_GO_ON;
}

/* The next transactions that were not read yet, or the end of it */
static follow_step
read_on(rc_follow *follow)
{
	if (follow->unread_at < follow->unread.n && (follow->unread_all || follow->unread_at < MAX_TRANSACTIONS))
		return rc_follow_go_to(follow, STAGE_TRANSACTIONS);
	return rc_follow_go_to(follow, STAGE_CHECK);
}

follow_step
rc_follow_on_pending(rc_follow *follow, const rc_source_result *result)
{
	rc_seen    *seen = follow->follower->seen;
	follow_step step;

	follow->unread.n = 0;
	follow->unread_at = 0;
	rc_seen_begin(seen);
	for (size_t i = 0; i < result->ntxids; i++)
	{
		if (rc_seen_list(seen, result->txids[i]))
			add_text(&follow->unread, result->txids[i]);
	}
	rc_seen_end(seen);

	/* What was read before is wanted anew by each step: left for the next one, it would never end */
	follow->unread_all = follow->unread.n <= MAX_TRANSACTIONS;
	if ((step = want_transactions_of_late(follow)) == FOLLOW_GO_ON)
		step = want_transactions_back(follow);
	return step == FOLLOW_GO_ON ? read_on(follow) : step;
}

/* The credits of transactions that are pending */
static follow_step
write_transactions(rc_follow *follow, const rc_source_result *result)
{
	rc_credits	all = {0};
	char	   *json;
	follow_step step = FOLLOW_GO_ON;

	for (int i = 0; i < result->ntransactions; i++)
	{
		for (size_t j = 0; j < result->transactions[i].credits.n; j++)
			*rc_credits_add(&all) = result->transactions[i].credits.items[j];
	}
	if (all.n > 0)
	{
		json = rc_credits_to_json(all.items, all.n);
		step = rc_follow_written(follow, rc_cursor_mempool(&follow->lease, json, "[]", &follow->result->payments));
		free(json);
	}
	rc_credits_free(&all);
	return step;
}

/* Transactions that were pending a moment ago; some may have left */
follow_step
rc_follow_on_transactions(rc_follow *follow, const rc_source_result *result)
{
	follow_step step;

	if (result->ntransactions < 1)
		return rc_follow_fail(follow, RC_FAILURE_MALFORMED, "no transaction came");

	/* Remembered as read only once what they pay is written */
	step = write_transactions(follow, result);
	if (step != FOLLOW_GO_ON)
		return step;
	for (int i = 0; i < result->ntransactions; i++)
	{
		const rc_pending_transaction *transaction = &result->transactions[i];

		if (transaction->left)
			continue;
		rc_seen_add(follow->follower->seen, transaction->txid, &transaction->credits);
		follow->result->transactions++;
	}
	follow->unread_at += (size_t) result->ntransactions;
	return read_on(follow);
}

/* Payments whose transactions are pending no longer have gone */
static follow_step
note_gone(rc_follow *follow)
{
	rc_rows		txids = {0};
	struct json_object *gone;
	follow_step step = rc_follow_written(follow, rc_cursor_unconfirmed(&follow->lease, &txids));

	if (step != FOLLOW_GO_ON)
		return step;
	gone = json_object_new_array();
	for (int i = 0; i < txids.nrows; i++)
	{
		if (rc_cell(&txids, i, 1)[0] != 't' && !rc_seen_has(follow->follower->seen, rc_cell(&txids, i, 0)))
			json_object_array_add(gone, json_object_new_string(rc_cell(&txids, i, 0)));
	}
	rc_rows_free(&txids);
	if (json_object_array_length(gone) > 0)
		step = rc_follow_written(follow, rc_cursor_mempool(&follow->lease, "[]", json_object_to_json_string(gone),
														   &follow->result->payments));
	json_object_put(gone);
	return step;
}

/* The block of the network's block tag, as settle_network takes it; NULL: the network has none */
static char *
tagged_block(const rc_follow *follow)
{
	const rc_block_id *tagged = &follow->tip.tagged;
	struct json_object *json;
	char	   *text;

	if (tagged->height < 0)
		return NULL;
	json = json_object_new_object();
	json_object_object_add(json, "height", json_object_new_int64(tagged->height));
	json_object_object_add(json, "hash", json_object_new_string(tagged->hash));
	text = rc_strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
	json_object_put(json);
	return text;
}

/* All is read, and the chain has not moved: what was found is settled */
static follow_step
settle(rc_follow *follow)
{
	bool		more = follow->back.on || follow->back.due;
	char	   *depth = tagged_block(follow);
	follow_step step;

	follow->result->more = more;
	step = rc_follow_written(follow, rc_cursor_settle(&follow->lease, more, depth, &follow->result->outcomes));
	free(depth);
	if (step != FOLLOW_GO_ON)
		return step;
	rc_endpoint_succeeded(follow->endpoint);
	return FOLLOW_END;
}

follow_step
rc_follow_on_check(rc_follow *follow, const rc_source_result *result)
{
	follow_step step;

	/*
	 * A block has come in between: what is no longer pending may be in it. Or what
	 * was read is not the chain of the tip that was believed.
	 */
	if (!result->holds || strcmp(follow->tip.hash, follow->cursor.hash) != 0)
		return FOLLOW_BEGIN_AGAIN;
	if (follow->unread_at < follow->unread.n)
		return FOLLOW_LEAVE_REST;
	if (follow->blocks->pending != NULL && (step = note_gone(follow)) != FOLLOW_GO_ON)
		return step;
	if (follow->back.done)
	{
		step = rc_follow_written(follow, rc_look_back_end(&follow->lease, follow->back.problem));
		if (step != FOLLOW_GO_ON)
			return step;
		follow->back.on = false;
	}
	return settle(follow);
}
