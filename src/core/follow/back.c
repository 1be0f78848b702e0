/* back.c: stages of a step: blocks that are read again, for requests that came after their payment may have been mined */
#include "core/follow/step.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* Blocks that are read again at first, where several go into one call: most requests are young */
#define FIRST_READ 4

/* Blocks that the endpoint has no longer can't be read again; those that it has may suffice */
static void
give_up(rc_follow *follow)
{
	back_run   *back = &follow->back;

	if (back->time == 0 || back->time > back->since)
	{
		free(back->problem);
		back->problem = rc_asprintf("the node has pruned the blocks before %" PRId64
									": older payments to this request can't be found", follow->tip.lowest);
	}
	back->done = true;
}

/* Marks requests that came after their payment may have been mined */
static follow_step
begin(rc_follow *follow)
{
	back_run   *back = &follow->back;
	rc_look_back look_back;
	follow_step step;

	back->due = false;
	step = rc_follow_written(follow, rc_look_back_begin(&follow->lease, &look_back));
	if (step != FOLLOW_GO_ON)
		return step;
	back->on = look_back.requests > 0 && look_back.hash != NULL;
	back->done = false;
	back->time = 0;
	if (back->on)
	{
		back->next.height = look_back.next;
		back->since = look_back.since;
		snprintf(back->next.hash, sizeof(back->next.hash), "%s", look_back.hash);
	}
	free(look_back.hash);
	return FOLLOW_GO_ON;
}

/* How many blocks to read in the next call: as many again as were read, since nobody knows how many it takes */
static int
how_many(const rc_follow *follow)
{
	int64_t		n = follow->back.blocks > 0 ? follow->back.blocks : FIRST_READ;
	int64_t		there = follow->back.next.height - follow->tip.lowest + 1;
	int64_t		left = MAX_BLOCKS - follow->result->blocks;

	if (n > follow->blocks->at_a_time)
		n = follow->blocks->at_a_time;
	if (n > follow->blocks->hashes_at_a_time)
		n = follow->blocks->hashes_at_a_time;
	if (n > there)
		n = there;
	return (int) (n > left ? left : n);
}

/* The next blocks down; their hashes are asked for where it is more than one */
static follow_step
read_back(rc_follow *follow)
{
	back_run   *back = &follow->back;
	int			n = how_many(follow);

	rc_follow_want(follow, true);
	back->nids = n;
	back->ids = rc_realloc(back->ids, (size_t) n * sizeof(*back->ids));
	back->ids[0] = back->next;
	return rc_follow_go_to(follow, n > 1 ? STAGE_BACK_HASHES : STAGE_BACK);
}

/* New blocks are read: now for requests that came after their payment, then what is pending */
follow_step
rc_follow_after_blocks(rc_follow *follow)
{
	back_run   *back = &follow->back;

	if (!back->on && back->due)
	{
		follow_step step = begin(follow);

		if (step != FOLLOW_GO_ON)
			return step;
	}
	if (back->on && !back->done && back->next.height < follow->tip.lowest)
		give_up(follow);
	if (back->on && !back->done && follow->result->blocks < MAX_BLOCKS)
		return read_back(follow);
	return rc_follow_go_to(follow, follow->blocks->pending != NULL ? STAGE_PENDING : STAGE_CHECK);
}

follow_step
rc_follow_on_back_hashes(rc_follow *follow, const rc_source_result *result)
{
	back_run   *back = &follow->back;

	if (result->nhashes != back->nids || strcmp(result->hashes[back->nids - 1], back->next.hash) != 0)
		return FOLLOW_BEGIN_AGAIN;
	for (int i = 1; i < back->nids; i++)
	{
		const char *hash = result->hashes[back->nids - 1 - i];

		if (hash[0] == '\0')
			return FOLLOW_BEGIN_AGAIN;
		back->ids[i].height = back->next.height - i;
		memcpy(back->ids[i].hash, hash, sizeof(back->ids[i].hash));
	}
	return rc_follow_go_to(follow, STAGE_BACK);
}

/*
 * A block that was read before. It bears the hash that the block above it names,
 * so it is one of the cursor's chain.
 */
static follow_step
take_block(rc_follow *follow, const rc_read_block *read)
{
	back_run   *back = &follow->back;
	rc_cursor_block block = rc_follow_cursor_block(read);
	char	   *credits;
	follow_step step;

	if (read->height != back->next.height || strcmp(read->hash, back->next.hash) != 0)
		return FOLLOW_BEGIN_AGAIN;
	credits = rc_credits_to_json(read->credits.items, read->credits.n);
	step = rc_follow_written(follow, rc_look_back_take(&follow->lease, &block, credits, &follow->result->payments));
	free(credits);
	if (step != FOLLOW_GO_ON)
		return step;
	back->next.height--;
	memcpy(back->next.hash, read->previous, sizeof(back->next.hash));
	back->time = read->time;
	back->done = back->next.height < 0 || read->steady_time < back->since - follow->blocks->time_tolerance;
	back->blocks++;
	follow->result->blocks++;
	return FOLLOW_GO_ON;
}

follow_step
rc_follow_on_back(rc_follow *follow, const rc_source_result *result)
{
	if (result->nblocks < 1)
		return rc_follow_fail(follow, RC_FAILURE_MALFORMED, "no block came");
	for (int i = 0; i < result->nblocks && i < follow->back.nids && !follow->back.done; i++)
	{
		const rc_read_block *block = &result->blocks[i];
		follow_step step;

		if (block->height != follow->back.ids[i].height || strcmp(block->hash, follow->back.ids[i].hash) != 0)
			return rc_follow_fail(follow, RC_FAILURE_MALFORMED, "a block came that was not asked for");
		step = take_block(follow, block);
		if (step != FOLLOW_GO_ON)
			return step;
	}
	return rc_follow_after_blocks(follow);
}
