/* step.c: what the stages of a step use, to say what they came to */
#include "core/follow/step.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/memory.h"

follow_step
rc_follow_go_to(rc_follow *follow, stage stage)
{
	follow->stage = stage;
	return FOLLOW_ASK;
}

follow_step
rc_follow_failed(rc_follow *follow, rc_failure failure)
{
	free(follow->failure.text);
	follow->failure = failure;
	return FOLLOW_FAILED;
}

follow_step
rc_follow_fail(rc_follow *follow, rc_failure_code code, const char *format, ...)
{
	va_list		args;
	char	   *text;

	va_start(args, format);
	text = rc_vasprintf(format, args);
	va_end(args);
	return rc_follow_failed(follow, rc_failure_take(code, text));
}

/* What a statement's status means for the step; an error leaves the lease to its end, the cursor stands where it stood */
follow_step
rc_follow_written(rc_follow *follow, rc_store_status status)
{
	if (status == RC_STORE_OK)
		return FOLLOW_GO_ON;
	if (status == RC_STORE_REFUSED)
		return rc_follow_fail(follow, RC_FAILURE_MALFORMED, "the database refuses what it answered");
	if (status == RC_STORE_LEASE_LOST)
		follow->result->lease_lost = true;
	else
	{
		free(follow->result->failure);
		follow->result->failure = rc_strdup("a statement failed: see the log");
	}
	return FOLLOW_END;
}

rc_cursor_block
rc_follow_cursor_block(const rc_read_block *block)
{
	return (rc_cursor_block) {
		block->height, block->hash, block->previous, block->time, block->work[0] != '\0' ? block->work : NULL
	};
}

void
rc_block_list_add(block_list *list, int64_t height, const char *hash)
{
	rc_block_id *block;

	if (list->n == list->size)
	{
		list->size = list->size > 0 ? list->size * 2 : 512;
		list->items = rc_realloc(list->items, list->size * sizeof(*list->items));
	}
	block = &list->items[list->n++];
	block->height = height;
	snprintf(block->hash, sizeof(block->hash), "%s", hash);
}
