/* node_transactions.c: the last stages of a step along a Bitcoin chain: the mempool, and settling */
#include "core/follow/step.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/endpoint.h"

static follow_step read_mempool(rc_follow *follow);

static void
add_text(text_list *list, const char *text)
{
	if (list->n == list->size)
	{
		list->size = list->size > 0 ? list->size * 2 : 256;
		list->items = rc_realloc(list->items, list->size * sizeof(*list->items));
	}
	snprintf(list->items[list->n++], RC_BTC_HASH_SIZE, "%s", text);
}

static void
want_transaction(void *arg, const char *txid)
{
	rc_follow  *follow = arg;

	add_text(&follow->wanted, txid);
}

/* What was read of the mempool before these requests came */
static follow_step
want_transactions_of_late(rc_follow *follow)
{
	rc_rows		scripts = {0};
	follow_step step;

	if (!follow->back_done)
		return FOLLOW_GO_ON;
	step = rc_follow_written(follow, rc_look_back_scripts(&follow->lease, &scripts));
	if (step != FOLLOW_GO_ON)
		return step;
	for (int i = 0; i < scripts.nrows; i++)
		rc_mempool_find(follow->follower->mempool, rc_cell(&scripts, i, 0), want_transaction, follow);
	rc_rows_free(&scripts);
	return FOLLOW_GO_ON;
}

/*
 * What is in the mempool, and yet counts as gone: another worker, or another
 * endpoint, did not find it there. Remembering it is no reason not to read it.
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
		if (rc_cell(&txids, i, 1)[0] == 't' && rc_mempool_has(follow->follower->mempool, rc_cell(&txids, i, 0)))
			want_transaction(follow, rc_cell(&txids, i, 0));
	}
	rc_rows_free(&txids);
	return FOLLOW_GO_ON;
}

follow_step
rc_follow_on_mempool(rc_follow *follow, const rc_rpc_reply *reply)
{
	rc_mempool *mempool = follow->follower->mempool;
	follow_step step;

	if (reply->error != NULL || !json_object_is_type(reply->result, json_type_array))
		return rc_follow_fail(follow, rc_strdup(reply->error ? reply->error : "the answer is not a list of transactions"));
	follow->wanted.n = 0;
	follow->wanted_at = 0;
	rc_mempool_begin(mempool);
	for (size_t i = 0; i < json_object_array_length(reply->result); i++)
	{
		struct json_object *txid = json_object_array_get_idx(reply->result, i);

		if (!json_object_is_type(txid, json_type_string) || !rc_follow_is_hash(json_object_get_string(txid)))
			return rc_follow_fail(follow, rc_strdup("the answer is not a list of transactions"));
		if (rc_mempool_list(mempool, json_object_get_string(txid)))
			add_text(&follow->wanted, json_object_get_string(txid));
	}
	rc_mempool_end(mempool);

	/* What was read before is wanted anew by each step: left for the next one, it would never end */
	follow->wanted_all = follow->wanted.n <= MAX_TRANSACTIONS;
	if ((step = want_transactions_of_late(follow)) == FOLLOW_GO_ON)
		step = want_transactions_back(follow);
	return step == FOLLOW_GO_ON ? read_mempool(follow) : step;
}

/* The next transactions that were not read yet, or the end of it */
static follow_step
read_mempool(rc_follow *follow)
{
	if (follow->wanted_at < follow->wanted.n && (follow->wanted_all || follow->wanted_at < MAX_TRANSACTIONS))
		return rc_follow_go_to(follow, STAGE_TRANSACTIONS);
	return rc_follow_go_to(follow, STAGE_CHECK);
}

/* One transaction of the mempool into outputs; NULL, or what is wrong with the answer */
static const char *
take_transaction(const rc_rpc_reply *reply, const char *wanted, rc_btc_outputs *outputs)
{
	char		txid[RC_BTC_HASH_SIZE];
	const char *problem;

	if (!json_object_is_type(reply->result, json_type_string))
		return "the answer is not a transaction";
	problem = rc_btc_parse_transaction(json_object_get_string(reply->result),
									   (size_t) json_object_get_string_len(reply->result), txid, outputs);
	if (problem == NULL && strcmp(txid, wanted) != 0)
		problem = "the transaction has another id than was asked for";
	return problem;
}

/* Transactions that were in the mempool a moment ago; some may have gone */
follow_step
rc_follow_on_transactions(rc_follow *follow, const rc_rpc_reply *replies, int nreplies)
{
	rc_btc_outputs outputs = {0};
	size_t		first[TRANSACTIONS_AT_A_TIME + 1] = {0};
	const char *problem = NULL;
	char	   *json;
	follow_step step = FOLLOW_GO_ON;

	for (int i = 0; i < nreplies && problem == NULL; i++)
	{
		if (replies[i].error == NULL)
			problem = take_transaction(&replies[i], follow->wanted.items[follow->wanted_at + (size_t) i], &outputs);
		else if (replies[i].code != RPC_NO_SUCH_TRANSACTION)
			problem = replies[i].error;
		first[i + 1] = outputs.n;
	}
	if (problem != NULL)
	{
		rc_btc_outputs_free(&outputs);
		return rc_follow_fail(follow, rc_strdup(problem));
	}

	/* Remembered as read only once what they pay is written */
	if (outputs.n > 0)
	{
		json = rc_follow_outputs_to_json(&outputs);
		step = rc_follow_written(follow, rc_cursor_mempool(&follow->lease, json, "[]", &follow->result->payments));
		free(json);
	}
	for (int i = 0; i < nreplies && step == FOLLOW_GO_ON; i++)
	{
		if (replies[i].error != NULL)
			continue;
		rc_mempool_add(follow->follower->mempool, follow->wanted.items[follow->wanted_at + (size_t) i],
					   outputs.items + first[i], first[i + 1] - first[i]);
		follow->result->transactions++;
	}
	rc_btc_outputs_free(&outputs);
	follow->wanted_at += (size_t) nreplies;
	return step == FOLLOW_GO_ON ? read_mempool(follow) : step;
}

/* Payments whose transactions are in the mempool no longer have gone */
static follow_step
note_gone(rc_follow *follow)
{
	rc_rows		txids = {0};
	rc_buffer	json = {0};
	bool		any = false;
	follow_step step = rc_follow_written(follow, rc_cursor_unconfirmed(&follow->lease, &txids));

	if (step != FOLLOW_GO_ON)
		return step;
	rc_buffer_append(&json, "[", 1);
	for (int i = 0; i < txids.nrows; i++)
	{
		if (rc_cell(&txids, i, 1)[0] == 't' || rc_mempool_has(follow->follower->mempool, rc_cell(&txids, i, 0)))
			continue;
		rc_buffer_printf(&json, "%s\"%s\"", any ? "," : "", rc_cell(&txids, i, 0));
		any = true;
	}
	rc_buffer_append(&json, "]", 2);
	rc_rows_free(&txids);
	if (any)
		step = rc_follow_written(follow, rc_cursor_mempool(&follow->lease, "[]", json.data, &follow->result->payments));
	rc_buffer_free(&json);
	return step;
}

follow_step
rc_follow_on_check(rc_follow *follow, const rc_rpc_reply *reply)
{
	const char *hash = rc_follow_hash_of(reply);
	bool		more;
	follow_step step;

	/*
	 * A block has come in between: what is missing in the mempool may be in
	 * it. Or what was read is not the chain of the tip whose work was looked at.
	 */
	if (hash == NULL || strcmp(hash, follow->hash) != 0 || strcmp(follow->tip_hash, follow->hash) != 0)
		return FOLLOW_BEGIN_AGAIN;
	if (follow->wanted_at < follow->wanted.n)
		return FOLLOW_LEAVE_REST;
	if ((step = note_gone(follow)) != FOLLOW_GO_ON)
		return step;
	if (follow->back_done)
	{
		step = rc_follow_written(follow, rc_look_back_end(&follow->lease, follow->back_problem));
		if (step != FOLLOW_GO_ON)
			return step;
		follow->back = false;
	}
	rc_endpoint_succeeded(follow->endpoint);
	more = follow->back || follow->look_back_due;
	follow->result->more = more;
	step = rc_follow_written(follow, rc_cursor_settle(&follow->lease, more, &follow->result->outcomes));
	return step == FOLLOW_GO_ON ? FOLLOW_END : step;
}
