/* node_blocks.c: stages of a step along a Bitcoin chain: is the node to be believed, forks, blocks, looking back */
#include "core/chain/bitcoin/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* Begins to read a run of blocks */
static void
begin_run(rc_follow *follow, bool back, int64_t next, int64_t last)
{
	memset(&follow->run, 0, sizeof(follow->run));
	follow->run.back = back;
	follow->run.next = next;
	follow->run.end = last;
	rc_follow_go_to(follow, STAGE_HASHES);
}

/* New blocks are read: now for requests that came after their payment, then the mempool */
static void
after_blocks(rc_follow *follow)
{
	int			requests = 0;

	if (follow->back_next < 0 && follow->unfollowed)
	{
		follow->unfollowed = false;
		if (!rc_follow_went_well(follow, rc_look_back_begin(&follow->lease, &requests, &follow->since)))
			return;
		if (requests > 0)
		{
			follow->age_high = follow->height + 1;
			follow->age_low = -1;
			follow->age_prune_time = 0;
			follow->age_height = follow->height - MEDIAN_SPAN > 0 ? follow->height - MEDIAN_SPAN : 0;
			rc_follow_go_to(follow, STAGE_AGE_HASH);
			return;
		}
	}

	/* Pruned since the look back began, or by another node than the one that it began with */
	if (follow->back_next >= 0 && follow->back_next <= follow->back_end && follow->back_next < follow->prune_height)
	{
		char	   *problem = rc_asprintf("the node has pruned the blocks before %" PRId64
										  ": older payments to this request can't be found", follow->prune_height);
		rc_store_status status;

		follow->back_next = follow->prune_height;
		status = rc_look_back_note(&follow->lease, follow->back_next, follow->back_end, problem, NULL, NULL, NULL);
		free(problem);
		if (!rc_follow_went_well(follow, status))
			return;
	}
	if (follow->back_next >= 0 && follow->back_next <= follow->back_end && follow->result->blocks < MAX_BLOCKS)
	{
		begin_run(follow, true, follow->back_next, follow->back_end);
		return;
	}
	follow->back_done = follow->back_next >= 0 && follow->back_next > follow->back_end;
	rc_follow_go_to(follow, STAGE_MEMPOOL);
}

/* The cursor is on the node's chain: reads on from it */
static void
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
	{
		rc_follow_fail(follow, -1, rc_asprintf("the node has pruned block %" PRId64 ", the next one to read: add a node that has it,"
									 " or SELECT reconciler.restart_cursor(…) to do without", next));
		return;
	}
	if (next > follow->tip_height)
		after_blocks(follow);
	else
		begin_run(follow, false, next, follow->tip_height);
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
	const char *genesis = rc_follow_hash_of(&replies[2]);

	for (int i = 0; i < 3; i++)
	{
		if (replies[i].error != NULL)
			return rc_strdup(replies[i].error);
	}
	if (genesis == NULL || blocks == NULL || headers == NULL || !rc_follow_is_hash(best))
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
	follow->prune_height = pruned ? json_object_get_int64(pruned) : 0;
	return NULL;
}

/*
 * A node whose tip lies below ours has not seen a reorganisation, it has not
 * seen our blocks: none of them is undone on its word. On regtest, where blocks
 * can be taken back at will, it may be either.
 */
static bool
lags_behind_us(const rc_follow *follow)
{
	size_t		n = json_object_array_length(follow->recent);
	int64_t		height;

	if (follow->height <= follow->tip_height || n == 0 || strcmp(follow->chain->name, "regtest") == 0)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		if (strcmp(rc_follow_recent_block(follow, i, &height), follow->tip_hash) == 0)
			return true;
	}
	return follow->tip_height < height;
}

void
rc_follow_on_info(rc_follow *follow, rc_rpc_reply *replies)
{
	char	   *problem = take_info(follow, replies);

	if (problem == NULL && lags_behind_us(follow))
		problem = rc_asprintf("the node is behind: its tip is block %" PRId64 ", block %" PRId64 " was read already",
							  follow->tip_height, follow->height);

	if (problem != NULL)
		rc_follow_fail(follow, -1, problem);
	else if (follow->height < 0 || strcmp(follow->hash, follow->tip_hash) == 0)
		read_on(follow);
	else if (follow->height <= follow->tip_height)
		rc_follow_go_to(follow, STAGE_POSITION);
	else
		rc_follow_go_to(follow, STAGE_FORK);
}

void
rc_follow_on_position(rc_follow *follow, const rc_rpc_reply *reply)
{
	const char *hash = rc_follow_hash_of(reply);

	if (hash == NULL)
		rc_follow_begin_again(follow);
	else if (strcmp(hash, follow->hash) == 0)
		read_on(follow);
	else
		rc_follow_go_to(follow, STAGE_FORK);
}

/* The height and hash of entry i of the blocks read before */
const char *
rc_follow_recent_block(const rc_follow *follow, size_t i, int64_t *height)
{
	struct json_object *block = json_object_array_get_idx(follow->recent, i);

	*height = json_object_get_int64(json_object_array_get_idx(block, 0));
	return json_object_get_string(json_object_array_get_idx(block, 1));
}

/* Undoes down to the highest block that the node has too */
void
rc_follow_on_fork(rc_follow *follow, const rc_rpc_reply *replies, int nreplies)
{
	int64_t		height;
	int64_t		fork = -1;

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
	if (!rc_follow_went_well(follow, rc_cursor_undo(&follow->lease, fork)))
		return;

	/* The blocks that were undone are no longer known; nor is the range to look back over */
	while (json_object_array_length(follow->recent) > 0 &&
		   (rc_follow_recent_block(follow, 0, &height), height > fork))
		json_object_array_del_idx(follow->recent, 0, 1);
	follow->height = fork;
	if (fork < 0)
	{
		follow->back_next = -1;
		follow->unfollowed = true;
	}
	else if (follow->back_end > fork)
		follow->back_end = fork;
	read_on(follow);
}

void
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
		rc_follow_begin_again(follow);
	else
		rc_follow_go_to(follow, STAGE_BLOCK);
}

/* A block has been read, and belongs after the cursor */
static bool
advance(rc_follow *follow, const rc_cursor_block *block, const char *outputs)
{
	struct json_object *entry;

	if (follow->height >= 0 && strcmp(block->previous, follow->hash) != 0)
	{
		rc_follow_begin_again(follow);
		return false;
	}
	if (!rc_follow_went_well(follow, rc_cursor_advance(&follow->lease, block, outputs, &follow->result->payments)))
		return false;
	follow->height = block->height;
	snprintf(follow->hash, sizeof(follow->hash), "%s", block->hash);

	/* Highest first, as the database gives them */
	entry = json_object_new_array();
	json_object_array_add(entry, json_object_new_int64(block->height));
	json_object_array_add(entry, json_object_new_string(block->hash));
	json_object_array_add(follow->recent, NULL);
	for (size_t i = json_object_array_length(follow->recent) - 1; i > 0; i--)
		json_object_array_put_idx(follow->recent, i, json_object_get(json_object_array_get_idx(follow->recent, i - 1)));
	json_object_array_put_idx(follow->recent, 0, entry);
	return true;
}

/* A block that was read before, for requests that came later */
static bool
look_back(rc_follow *follow, const rc_cursor_block *block, const char *outputs)
{
	if (!rc_follow_went_well(follow, rc_look_back_note(&follow->lease, block->height + 1, follow->back_end, NULL,
											 block, outputs, &follow->result->payments)))
		return false;
	follow->back_next = block->height + 1;
	return true;
}

/* After a block: the next one, or what follows the run */
static void
next_block(rc_follow *follow)
{
	block_run  *run = &follow->run;

	run->next++;
	run->at++;
	follow->result->blocks++;
	if (run->next > run->end || (run->back && follow->result->blocks >= MAX_BLOCKS))
		after_blocks(follow);
	else if (follow->result->blocks >= MAX_BLOCKS)
		rc_follow_leave_rest(follow);
	else if (run->at < run->nhashes)
		rc_follow_go_to(follow, STAGE_BLOCK);
	else
		rc_follow_go_to(follow, STAGE_HASHES);
}

void
rc_follow_on_block(rc_follow *follow, const rc_rpc_reply *reply)
{
	rc_btc_outputs outputs = {0};
	rc_btc_block parsed;
	rc_cursor_block block = {follow->run.next, parsed.hash, parsed.previous, 0};
	const char *problem = NULL;
	char	   *json;
	bool		taken;

	/* Reorganised away since its hash was asked for, or pruned since */
	if (reply->error != NULL || !json_object_is_type(reply->result, json_type_string))
	{
		if (follow->restarts < MAX_RESTARTS)
			rc_follow_begin_again(follow);
		else
			rc_follow_fail(follow, -1, rc_asprintf("block %" PRId64 ": %s", follow->run.next,
										 reply->error ? reply->error : "the answer is not a block"));
		return;
	}
	problem = rc_btc_parse_block(json_object_get_string(reply->result),
								 (size_t) json_object_get_string_len(reply->result), &parsed, &outputs);
	if (problem == NULL && strcmp(parsed.hash, follow->run.hashes[follow->run.at]) != 0)
		problem = "the block has another hash than was asked for";
	if (problem != NULL)
	{
		rc_btc_outputs_free(&outputs);
		rc_follow_fail(follow, -1, rc_strdup(problem));
		return;
	}
	block.time = parsed.time;
	json = rc_follow_outputs_to_json(&outputs);
	rc_btc_outputs_free(&outputs);
	taken = follow->run.back ? look_back(follow, &block, json) : advance(follow, &block, json);
	free(json);
	if (taken)
		next_block(follow);
}

/* Where to look back from is known */
static void
begin_look_back(rc_follow *follow)
{
	int64_t		from = follow->age_low >= 0 ? follow->age_low - MEDIAN_SPAN : 0;
	char	   *problem = NULL;

	if (from < follow->prune_height)
	{
		from = follow->prune_height;
		if (follow->age_prune_time > follow->since)
			problem = rc_asprintf("the node has pruned the blocks before %" PRId64
								  ": older payments to this request can't be found", from);
	}
	follow->back_next = from > 0 ? from : 0;
	follow->back_end = follow->height;
	if (rc_follow_went_well(follow, rc_look_back_note(&follow->lease, follow->back_next, follow->back_end, problem,
											NULL, NULL, NULL)))
		after_blocks(follow);
	free(problem);
}

/*
 * A header's median time (which never falls from block to block) is compared
 * with the age of the oldest request: first in growing strides back from the
 * cursor, then by halves.
 */
void
rc_follow_on_age_header(rc_follow *follow, const rc_rpc_reply *reply)
{
	struct json_object *median = rc_follow_member(reply->result, "mediantime", json_type_int);
	struct json_object *time = rc_follow_member(reply->result, "time", json_type_int);
	int64_t		stride = 2 * (follow->height - follow->age_height) + MEDIAN_SPAN;

	if (median == NULL || time == NULL)
	{
		rc_follow_begin_again(follow);
		return;
	}
	if (follow->age_height <= follow->prune_height)
		follow->age_prune_time = json_object_get_int64(time);
	if (json_object_get_int64(median) < follow->since - TIME_TOLERANCE)
		follow->age_low = follow->age_height;
	else
		follow->age_high = follow->age_height;

	if (follow->age_high <= follow->prune_height ||
		(follow->age_low >= 0 && follow->age_high - follow->age_low <= MAX_BLOCKS))
	{
		begin_look_back(follow);
		return;
	}
	if (follow->age_low >= 0)
		follow->age_height = (follow->age_low + follow->age_high) / 2;
	else
		follow->age_height = follow->height - stride > follow->prune_height ?
			follow->height - stride : follow->prune_height;
	rc_follow_go_to(follow, STAGE_AGE_HASH);
}
