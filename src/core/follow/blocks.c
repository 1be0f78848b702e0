/* blocks.c: stages of a step: is the endpoint's chain to be believed, forks, new blocks */
#include "core/follow/step.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/tip.h"

/* Where the reading of a chain begins that was never read: a fork among the blocks that may still go must be found */
static int64_t
first_block(const rc_follow *follow)
{
	int64_t		depth = follow->network->confirmations > START_DEPTH ? follow->network->confirmations : START_DEPTH;
	int64_t		first = follow->tip.height > depth ? follow->tip.height - depth : 0;

	return first > follow->tip.lowest ? first : follow->tip.lowest;
}

/* The cursor, or the fork below it, is on the endpoint's chain: reads on from there */
static follow_step
read_on(rc_follow *follow)
{
	int64_t		next = follow->forked ? follow->fork.height + 1 :
		follow->cursor.height < 0 ? first_block(follow) : follow->cursor.height + 1;

	if (next > follow->tip.height)
		return rc_follow_after_blocks(follow);
	if (next < follow->tip.lowest)
		return rc_follow_fail(follow, RC_FAILURE_BEHIND,
							  "the node has pruned block %" PRId64 ", the next one to read: add a node that"
							  " has it, or SELECT reconciler.restart_cursor(…) to do without", next);
	follow->run.nids = 0;
	follow->run.at = 0;
	follow->run.next = next;
	follow->run.end = follow->tip.height;
	return rc_follow_go_to(follow, STAGE_HASHES);
}

/* On chains whose blocks come on demand a node may be begun anew, and its tip is of any age */
static bool
may_start_over(const rc_follow *follow)
{
	return follow->bounds.min_time == 0;
}

/*
 * Is the tip that the endpoint names to be believed? A chain with less work than
 * one that was read already has lost, or the node has not heard of it yet: no
 * block is undone on its word, and nothing that stands in it alone is counted.
 * Where there is no work to compare, the same goes for a lower tip; but one
 * endpoint may well be a block behind another, so that is no fault.
 */
static follow_step
judge_tip(rc_follow *follow)
{
	const rc_chain_tip *tip = &follow->tip;
	rc_block	block = {.known = true,.height = (uint64_t) tip->height,.time = tip->time};
	char	   *problem = tip->time >= 0 ? rc_tip_problem(&follow->bounds, &block) : NULL;

	if (problem != NULL)
		return rc_follow_failed(follow, rc_failure_take(RC_FAILURE_BEHIND, problem));
	if (follow->blocks->has_work && strcmp(tip->work, follow->best_work) < 0)
		return rc_follow_fail(follow, RC_FAILURE_BEHIND,
							  "the node is behind, or on a fork that has lost: the chain of its tip, block %" PRId64
							  ", has less work than one that was read already (if the chain was begun anew:"
							  " SELECT reconciler.restart_cursor(…))", tip->height);
	if (follow->blocks->has_work || tip->height >= follow->cursor.height || may_start_over(follow))
		return FOLLOW_GO_ON;

	/* So far behind no node is that names a young tip: it has another chain */
	if (follow->recent.n > 0 && tip->height < follow->recent.items[0].height)
		return rc_follow_fail(follow, RC_FAILURE_BEHIND,
							  "its tip is block %" PRId64 ", block %" PRId64 " was read already (if the chain was begun anew:"
							  " SELECT reconciler.restart_cursor(…))", tip->height, follow->cursor.height);
	return FOLLOW_WAIT;
}

follow_step
rc_follow_on_tip(rc_follow *follow, const rc_source_result *result)
{
	follow_step step;

	follow->tip = result->tip;
	follow->forked = false;
	rc_follow_wanted_begin(follow);
	step = judge_tip(follow);
	if (step != FOLLOW_GO_ON)
		return step;
	if (follow->cursor.height < 0 || strcmp(follow->cursor.hash, follow->tip.hash) == 0)
		return read_on(follow);
	follow->fork_at = follow->recent.n;
	return rc_follow_go_to(follow, follow->cursor.height <= follow->tip.height ? STAGE_POSITION : STAGE_FORK);
}

follow_step
rc_follow_on_position(rc_follow *follow, const rc_source_result *result)
{
	if (result->nhashes < 1 || result->hashes[0][0] == '\0')
		return FOLLOW_BEGIN_AGAIN;
	if (strcmp(result->hashes[0], follow->cursor.hash) == 0)
		return read_on(follow);
	return rc_follow_go_to(follow, STAGE_FORK);
}

/* The blocks above the fork are no longer known; nor is the range to look back over */
static void
forget_above(rc_follow *follow, const rc_block_id *fork)
{
	block_list *recent = &follow->recent;

	while (recent->n > 0 && (fork == NULL || recent->items[recent->n - 1].height > fork->height))
		recent->n--;
	if (fork == NULL)
	{
		follow->cursor.height = -1;
		follow->cursor.hash[0] = '\0';
		follow->back.on = false;
		follow->back.done = false;
		follow->back.due = true;
		return;
	}
	follow->cursor = *fork;
	if (follow->back.on && follow->back.next.height >= fork->height)
		follow->back.next = *fork;
}

/* Takes back what was read above the fork; NULL: all of it */
static follow_step
undo(rc_follow *follow, const rc_block_id *fork)
{
	int64_t		height = fork != NULL ? fork->height : -1;
	follow_step step;

	rc_log_event(follow->host, RC_LOG_INFO, "chain reorganised",
				 RC_FIELDS(rc_field_text("chain", follow->network->chain),
						   rc_field_text("network", follow->network->network),
						   rc_field_int("from", follow->cursor.height),
						   rc_field_int("back_to", height)), NULL);
	step = rc_follow_written(follow, rc_cursor_undo(&follow->lease, height,
													follow->blocks->has_work ? follow->tip.work : NULL, follow->tip.height));
	if (step == FOLLOW_GO_ON)
		forget_above(follow, fork);
	follow->forked = false;
	return step;
}

/* None of the blocks that are kept is on the endpoint's chain */
static follow_step
find_no_fork(rc_follow *follow)
{
	if (follow->blocks->has_work || may_start_over(follow))
	{
		follow_step step = undo(follow, NULL);

		return step == FOLLOW_GO_ON ? read_on(follow) : step;
	}
	return rc_follow_fail(follow, RC_FAILURE_INCONSISTENT,
						  "none of the %zu blocks read last is on its chain: it is another one, or was begun anew"
						  " (then SELECT reconciler.restart_cursor(…))", follow->recent.n);
}

/*
 * The fork is the highest block that the endpoint has, too; it is asked for some
 * of them at a time. Nothing is undone before the block after it has been read.
 */
follow_step
rc_follow_on_fork(rc_follow *follow, const rc_source_result *result)
{
	const rc_block_id *ours = follow->recent.items + follow->fork_at - follow->asked;

	if (result->nhashes < follow->asked)
		return FOLLOW_BEGIN_AGAIN;
	for (int i = result->nhashes - 1; i >= 0; i--)
	{
		if (strcmp(result->hashes[i], ours[i].hash) != 0)
			continue;

		/* No fork, but a node that has fewer blocks than were read */
		if (ours[i].height >= follow->tip.height)
			return follow->blocks->has_work ? FOLLOW_BEGIN_AGAIN : FOLLOW_WAIT;
		follow->forked = true;
		follow->fork = ours[i];
		return read_on(follow);
	}
	follow->fork_at -= (size_t) follow->asked;
	return follow->fork_at > 0 ? rc_follow_go_to(follow, STAGE_FORK) : find_no_fork(follow);
}

follow_step
rc_follow_on_hashes(rc_follow *follow, const rc_source_result *result)
{
	block_run  *run = &follow->run;

	run->nids = 0;
	run->at = 0;
	for (int i = 0; i < result->nhashes && result->hashes[i][0] != '\0'; i++)
	{
		rc_block_id *id = &run->ids[run->nids++];

		id->height = run->next + i;
		memcpy(id->hash, result->hashes[i], sizeof(id->hash));
	}
	if (run->nids == 0)
		return FOLLOW_BEGIN_AGAIN;
	return rc_follow_go_to(follow, STAGE_READ);
}

/* A block has been read: if it belongs after the cursor, or after the fork, the cursor stands at it */
static follow_step
advance(rc_follow *follow, const rc_read_block *read)
{
	rc_cursor_block block = rc_follow_cursor_block(read);
	char	   *credits;
	follow_step step;

	if (follow->cursor.height >= 0 && strcmp(read->previous, follow->forked ? follow->fork.hash : follow->cursor.hash) != 0)
		return FOLLOW_BEGIN_AGAIN;
	if (follow->forked && (step = undo(follow, &follow->fork)) != FOLLOW_GO_ON)
		return step;
	credits = rc_credits_to_json(read->credits.items, read->credits.n);
	step = rc_follow_written(follow, rc_cursor_advance(&follow->lease, &block, credits, &follow->result->payments));
	free(credits);
	if (step != FOLLOW_GO_ON)
		return step;
	rc_block_list_add(&follow->recent, read->height, read->hash);
	follow->cursor = follow->recent.items[follow->recent.n - 1];
	if (strcmp(read->work, follow->best_work) > 0)
		memcpy(follow->best_work, read->work, sizeof(follow->best_work));
	follow->result->blocks++;
	return FOLLOW_GO_ON;
}

/* Blocks, in the order in which they were asked for; perhaps not all of them */
follow_step
rc_follow_on_read(rc_follow *follow, const rc_source_result *result)
{
	block_run  *run = &follow->run;

	for (int i = 0; i < result->nblocks && run->at < run->nids; i++)
	{
		const rc_block_id *id = &run->ids[run->at];
		const rc_read_block *block = &result->blocks[i];
		follow_step step;

		if (block->height != id->height || strcmp(block->hash, id->hash) != 0)
			return rc_follow_fail(follow, RC_FAILURE_MALFORMED, "a block came that was not asked for");
		step = advance(follow, block);
		if (step != FOLLOW_GO_ON)
			return step;
		run->next++;
		run->at++;
	}
	if (result->nblocks < 1)
		return rc_follow_fail(follow, RC_FAILURE_MALFORMED, "no block came");
	if (run->next > run->end)
		return rc_follow_after_blocks(follow);
	if (follow->result->blocks >= MAX_BLOCKS)
		return FOLLOW_LEAVE_REST;
	return rc_follow_go_to(follow, run->at < run->nids ? STAGE_READ : STAGE_HASHES);
}
