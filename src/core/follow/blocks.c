/* node_blocks.c: stages of a step along a Bitcoin chain: is the node to be believed, forks, blocks, looking back */
#include "core/follow/step.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/tip.h"

/* Blocks that the node has no longer can't be read again; those that it has may suffice */
static void
give_up_looking_back(rc_follow *follow)
{
	if (follow->back_time == 0 || follow->back_time > follow->back_since)
	{
		free(follow->back_problem);
		follow->back_problem = rc_asprintf("the node has pruned the blocks before %" PRId64
										   ": older payments to this request can't be found", follow->prune_height);
	}
	follow->back_done = true;
}

/* Marks requests that came after their payment may have been mined */
static follow_step
begin_to_look_back(rc_follow *follow)
{
	rc_look_back back;
	follow_step step;

	follow->look_back_due = false;
	step = rc_follow_written(follow, rc_look_back_begin(&follow->lease, &back));
	if (step != FOLLOW_GO_ON)
		return step;
	follow->back = back.requests > 0 && back.hash != NULL;
	if (follow->back)
	{
		follow->back_next = back.next;
		follow->back_since = back.since;
		snprintf(follow->back_hash, sizeof(follow->back_hash), "%s", back.hash);
	}
	free(back.hash);
	return FOLLOW_GO_ON;
}

/* New blocks are read: now for requests that came after their payment, then the mempool */
static follow_step
after_blocks(rc_follow *follow)
{
	if (!follow->back && follow->look_back_due)
	{
		follow_step step = begin_to_look_back(follow);

		if (step != FOLLOW_GO_ON)
			return step;
	}
	if (follow->back && !follow->back_done && follow->back_next < follow->prune_height)
		give_up_looking_back(follow);
	if (follow->back && !follow->back_done && follow->result->blocks < MAX_BLOCKS)
		return rc_follow_go_to(follow, STAGE_BACK);
	return rc_follow_go_to(follow, STAGE_MEMPOOL);
}

/* The cursor is on the node's chain: reads on from it */
static follow_step
read_on(rc_follow *follow)
{
	int64_t		next = follow->height + 1;

	if (follow->height < 0)
	{
		next = follow->tip_height > START_DEPTH ? follow->tip_height - START_DEPTH : 0;
		if (next < follow->prune_height)
			next = follow->prune_height;
	}
	else if (next < follow->prune_height)
		return rc_follow_fail(follow, rc_asprintf("the node has pruned block %" PRId64 ", the next one to read: add a node that"
												  " has it, or SELECT reconciler.restart_cursor(…) to do without", next));
	if (next > follow->tip_height)
		return after_blocks(follow);
	memset(&follow->run, 0, sizeof(follow->run));
	follow->run.next = next;
	follow->run.end = follow->tip_height;
	return rc_follow_go_to(follow, STAGE_HASHES);
}

/* What is wrong with the node's answers to STAGE_INFO, malloc'd; or NULL, with the tip taken */
static char *
take_info(rc_follow *follow, rc_rpc_reply *replies)
{
	struct json_object *info = replies[0].result;
	struct json_object *blocks = rc_follow_member(info, "blocks", json_type_int);
	struct json_object *headers = rc_follow_member(info, "headers", json_type_int);
	struct json_object *syncing = rc_follow_member(info, "initialblockdownload", json_type_boolean);
	struct json_object *pruned = rc_follow_member(info, "pruneheight", json_type_int);
	struct json_object *loaded = rc_follow_member(replies[1].result, "loaded", json_type_boolean);
	const char *best = rc_json_string(info, "bestblockhash");
	const char *work = rc_json_string(info, "chainwork");
	const char *genesis = rc_follow_hash_of(&replies[2]);

	for (int i = 0; i < 3; i++)
	{
		if (replies[i].error != NULL)
			return rc_strdup(replies[i].error);
	}
	if (genesis == NULL || blocks == NULL || headers == NULL || !rc_follow_is_hash(best) || !rc_follow_is_hash(work))
		return rc_strdup("the answer is not that of a Bitcoin node");
	if (strcmp(genesis, follow->chain->genesis) != 0)
		return rc_asprintf("the node serves another chain than Bitcoin's %s: its first block is %s",
						   follow->chain->name, genesis);
	follow->endpoint->verified = true;
	follow->tip_height = json_object_get_int64(blocks);

	/* On regtest blocks come on demand, and a chain that rests is not behind */
	if (syncing != NULL && json_object_get_boolean(syncing) && strcmp(follow->chain->name, "regtest") != 0)
		return rc_asprintf("the node is behind: initial block download, block %" PRId64 " of %" PRId64,
						   follow->tip_height, json_object_get_int64(headers));
	if (json_object_get_int64(headers) > follow->tip_height + 1)
		return rc_asprintf("the node is behind: it has block %" PRId64 ", its peers have %" PRId64,
						   follow->tip_height, json_object_get_int64(headers));
	if (loaded != NULL && !json_object_get_boolean(loaded))
		return rc_strdup("the node is still loading its mempool");
	snprintf(follow->tip_hash, sizeof(follow->tip_hash), "%s", best);
	snprintf(follow->tip_work, sizeof(follow->tip_work), "%s", work);
	follow->prune_height = pruned ? json_object_get_int64(pruned) : 0;
	return NULL;
}

/*
 * Is the tip that the node names to be believed? A chain with less work than one
 * that was read already has lost, or has not heard of it yet: no block is undone
 * on its word, and nothing that stands in it alone is counted.
 */
static char *
tip_problem(const rc_follow *follow, struct json_object *info)
{
	struct json_object *time = rc_follow_member(info, "time", json_type_int);
	rc_block	tip = {.known = true,.height = (uint64_t) follow->tip_height};

	/* Nodes before version 23 don't say it */
	if (time != NULL)
	{
		char	   *problem;

		tip.time = json_object_get_int64(time);
		problem = rc_tip_problem(&follow->bounds, &tip);
		if (problem != NULL)
			return problem;
	}
	if (strcmp(follow->tip_work, follow->best_work) < 0)
		return rc_asprintf("the node is behind, or on a fork that has lost: the chain of its tip, block %" PRId64
						   ", has less work than one that was read already (if the chain was begun anew:"
						   " SELECT reconciler.restart_cursor(…))", follow->tip_height);
	return NULL;
}

follow_step
rc_follow_on_info(rc_follow *follow, rc_rpc_reply *replies)
{
	char	   *problem = take_info(follow, replies);

	if (problem == NULL && (problem = tip_problem(follow, replies[0].result)) != NULL)
		return rc_follow_failed(follow, rc_failure_take(RC_FAILURE_BEHIND, problem));
	if (problem != NULL)
		return rc_follow_fail(follow, problem);
	if (follow->height < 0 || strcmp(follow->hash, follow->tip_hash) == 0)
		return read_on(follow);
	return rc_follow_go_to(follow, follow->height <= follow->tip_height ? STAGE_POSITION : STAGE_FORK);
}

follow_step
rc_follow_on_position(rc_follow *follow, const rc_rpc_reply *reply)
{
	const char *hash = rc_follow_hash_of(reply);

	if (hash == NULL)
		return FOLLOW_BEGIN_AGAIN;
	if (strcmp(hash, follow->hash) == 0)
		return read_on(follow);
	return rc_follow_go_to(follow, STAGE_FORK);
}

/* Undoes down to the highest block that the node has too */
follow_step
rc_follow_on_fork(rc_follow *follow, const rc_rpc_reply *replies, int nreplies)
{
	int64_t		height;
	int64_t		fork = -1;
	follow_step step;

	for (int i = 0; i < nreplies && fork < 0; i++)
	{
		const char *hash = rc_follow_hash_of(&replies[i]);
		const char *ours = rc_follow_recent_block(follow, (size_t) i, &height);

		if (hash != NULL && strcmp(hash, ours) == 0)
		{
			fork = height;
			snprintf(follow->hash, sizeof(follow->hash), "%s", ours);
		}
	}
	rc_log_event(follow->host, RC_LOG_INFO, "chain reorganised",
				 RC_FIELDS(rc_field_text("chain", follow->network->chain),
						   rc_field_text("network", follow->network->network),
						   rc_field_int("from", follow->height),
						   rc_field_int("back_to", fork)), NULL);
	step = rc_follow_written(follow, rc_cursor_undo(&follow->lease, fork, follow->tip_work));
	if (step != FOLLOW_GO_ON)
		return step;

	/* The blocks that were undone are no longer known; nor is the range to look back over */
	while (json_object_array_length(follow->recent) > 0 &&
		   (rc_follow_recent_block(follow, 0, &height), height > fork))
		json_object_array_del_idx(follow->recent, 0, 1);
	follow->height = fork;
	if (fork < 0)
	{
		follow->back = false;
		follow->back_done = false;
		follow->look_back_due = true;
	}
	else if (follow->back && follow->back_next >= fork)
	{
		follow->back_next = fork;
		snprintf(follow->back_hash, sizeof(follow->back_hash), "%s", follow->hash);
	}
	return read_on(follow);
}

follow_step
rc_follow_on_hashes(rc_follow *follow, const rc_rpc_reply *replies, int nreplies)
{
	follow->run.nhashes = 0;
	follow->run.at = 0;
	for (int i = 0; i < nreplies; i++)
	{
		const char *hash = rc_follow_hash_of(&replies[i]);

		if (hash == NULL)
			break;
		snprintf(follow->run.hashes[follow->run.nhashes++], RC_BTC_HASH_SIZE, "%s", hash);
	}
	if (follow->run.nhashes == 0)
		return FOLLOW_BEGIN_AGAIN;
	return rc_follow_go_to(follow, STAGE_BLOCK);
}

/* A block has been read, and belongs after the cursor */
static follow_step
advance(rc_follow *follow, const rc_cursor_block *block, const char *outputs)
{
	struct json_object *entry;
	follow_step step;

	if (follow->height >= 0 && strcmp(block->previous, follow->hash) != 0)
		return FOLLOW_BEGIN_AGAIN;
	step = rc_follow_written(follow, rc_cursor_advance(&follow->lease, block, outputs, &follow->result->payments));
	if (step != FOLLOW_GO_ON)
		return step;
	follow->height = block->height;
	snprintf(follow->hash, sizeof(follow->hash), "%s", block->hash);
	if (strcmp(block->work, follow->best_work) > 0)
		snprintf(follow->best_work, sizeof(follow->best_work), "%s", block->work);

	/* Highest first, as the database gives them */
	entry = json_object_new_array();
	json_object_array_add(entry, json_object_new_int64(block->height));
	json_object_array_add(entry, json_object_new_string(block->hash));
	json_object_array_add(follow->recent, NULL);
	for (size_t i = json_object_array_length(follow->recent) - 1; i > 0; i--)
		json_object_array_put_idx(follow->recent, i, json_object_get(json_object_array_get_idx(follow->recent, i - 1)));
	json_object_array_put_idx(follow->recent, 0, entry);
	return FOLLOW_GO_ON;
}

/* After a block: the next one, or what follows the run */
static follow_step
next_block(rc_follow *follow)
{
	block_run  *run = &follow->run;

	run->next++;
	run->at++;
	follow->result->blocks++;
	if (run->next > run->end)
		return after_blocks(follow);
	if (follow->result->blocks >= MAX_BLOCKS)
		return FOLLOW_LEAVE_REST;
	return rc_follow_go_to(follow, run->at < run->nhashes ? STAGE_BLOCK : STAGE_HASHES);
}

/* A block as it was answered: raw, and its node's header */
typedef struct answered_block
{
	rc_btc_block parsed;
	rc_cursor_block block;
	int64_t		median_time;
	char	   *outputs;		/* JSON */
} answered_block;

/* Takes the answers to ask_block; a constant text if they can't be the block's. Missing: see is_missing */
static const char *
take_block(const rc_rpc_reply *replies, const char *hash, int64_t height, answered_block *answered)
{
	struct json_object *header = replies[1].result;
	struct json_object *of_height = rc_follow_member(header, "height", json_type_int);
	struct json_object *median = rc_follow_member(header, "mediantime", json_type_int);
	const char *work = rc_json_string(header, "chainwork");
	rc_btc_outputs outputs = {0};
	const char *problem;

	memset(answered, 0, sizeof(*answered));
	problem = rc_btc_parse_block(json_object_get_string(replies[0].result),
								 (size_t) json_object_get_string_len(replies[0].result), &answered->parsed, &outputs);
	if (problem == NULL && strcmp(answered->parsed.hash, hash) != 0)
		problem = "the block has another hash than was asked for";
	if (problem == NULL && (median == NULL || of_height == NULL || !rc_follow_is_hash(work) ||
							json_object_get_int64(of_height) != height))
		problem = "the header is not the block's";
	if (problem == NULL)
	{
		answered->block = (rc_cursor_block) {height, answered->parsed.hash, answered->parsed.previous,
		answered->parsed.time, work};
		answered->median_time = json_object_get_int64(median);
		answered->outputs = rc_follow_outputs_to_json(&outputs);
	}
	rc_btc_outputs_free(&outputs);
	return problem;
}

/* Reorganised away since its hash was learnt, or pruned since, or unknown to this one of several nodes */
static bool
is_missing(const rc_rpc_reply *replies)
{
	return replies[0].error != NULL || replies[1].error != NULL || !json_object_is_type(replies[0].result, json_type_string);
}

follow_step
rc_follow_on_block(rc_follow *follow, const rc_rpc_reply *replies)
{
	answered_block answered;
	const char *problem;
	follow_step step;

	if (is_missing(replies))
		return FOLLOW_BEGIN_AGAIN;
	problem = take_block(replies, follow->run.hashes[follow->run.at], follow->run.next, &answered);
	if (problem != NULL)
		return rc_follow_fail(follow, rc_strdup(problem));
	step = advance(follow, &answered.block, answered.outputs);
	free(answered.outputs);
	return step == FOLLOW_GO_ON ? next_block(follow) : step;
}

/*
 * A block that was read before, for requests that came later. It was asked for
 * by the hash that the block above it names, so it is one of the cursor's chain.
 * Median times never fall from block to block.
 */
follow_step
rc_follow_on_back(rc_follow *follow, const rc_rpc_reply *replies)
{
	answered_block answered;
	const char *problem;
	follow_step step;

	if (is_missing(replies))
		return FOLLOW_BEGIN_AGAIN;
	problem = take_block(replies, follow->back_hash, follow->back_next, &answered);
	if (problem != NULL)
		return rc_follow_fail(follow, rc_strdup(problem));
	step = rc_follow_written(follow, rc_look_back_take(&follow->lease, &answered.block, answered.outputs,
													   &follow->result->payments));
	free(answered.outputs);
	if (step != FOLLOW_GO_ON)
		return step;
	follow->back_next--;
	follow->back_time = answered.block.time;
	snprintf(follow->back_hash, sizeof(follow->back_hash), "%s", answered.parsed.previous);
	follow->back_done = follow->back_next < 0 || answered.median_time < follow->back_since - TIME_TOLERANCE;
	follow->result->blocks++;
	return after_blocks(follow);
}
