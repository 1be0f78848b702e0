/* patience.c: a time limit for code of the application's */
#include "patience.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"

/* Until what goes on after it was cancelled is cancelled again */
#define AGAIN_MS	100

static TimeoutId limit_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t limit_reached = false;

/* In a signal handler. A cancel that waits already came from somebody else, and counts as such. */
static void
cancel_statement(void)
{
	if (!QueryCancelPending)
		limit_reached = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

void
patience_begin(patience *limit, int ms)
{
	if (limit_timeout == MAX_TIMEOUTS)
		limit_timeout = RegisterTimeout(USER_TIMEOUT, cancel_statement);
	limit->context = CurrentMemoryContext;
	limit->ms = Max(ms, 1);
	limit->armed = !get_timeout_active(limit_timeout);
	limit->outer_limit = get_timeout_active(STATEMENT_TIMEOUT);
	if (limit->armed)
	{
		limit_reached = false;
		enable_timeout_every(limit_timeout, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), limit->ms), AGAIN_MS);
	}
}

void
patience_end(const patience *limit)
{
	if (!limit->armed)
		return;
	disable_timeout(limit_timeout, false);

	/* It came too late to cancel anything, and was meant for nothing that follows. */
	if (limit_reached)
		QueryCancelPending = false;
	limit_reached = false;
}

void
patience_lost(const patience *limit, const char *table)
{
	bool		ours = limit->armed && limit_reached && geterrcode() == ERRCODE_QUERY_CANCELED &&
		limit->outer_limit == get_timeout_active(STATEMENT_TIMEOUT);

	patience_end(limit);
	if (!ours)
		return;
	MemoryContextSwitchTo(limit->context);
	FlushErrorState();
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_PATIENCE),
			 errmsg("triggers of table %s took longer than %d ms", table, limit->ms),
			 errhint("Let a trigger note what is to be done, and something else do it.")));
}
