/* patience.c: a time limit for code of the application's */
#include "compat.h"

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

/*
 * Settings by which an error, or time, ends the whole session: whoever may set
 * them in a trigger ends one worker after the other. From the first such code on
 * they are a superuser's in this session.
 */
static void
keep_session(void)
{
	static const char *const names[] = {"exit_on_error", "transaction_timeout"};

	for (size_t i = 0; i < lengthof(names); i++)
	{
		struct config_generic *option = rc_guc_find(names[i]);

		if (option != NULL && option->context == PGC_USERSET)
			option->context = PGC_SUSET;
	}
}

void
patience_begin(patience *limit, int ms)
{
	keep_session();
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

/* The classes that stop a whole look: out of resources, cancelled by somebody, the system's failure */
static bool
stops_a_look(int code)
{
	int			class = ERRCODE_TO_CATEGORY(code);

	return class == ERRCODE_INSUFFICIENT_RESOURCES || class == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR);
}

/*
 * Code of the application's raises what it likes: with the code of one of these
 * classes it would stop the requests of all other tables, too. Only a cancel
 * that the server itself has carried out stays what it is. Of the rest, what is
 * true (no space is left) meets whatever is written next.
 */
static void
charge_to_request(const patience *limit)
{
	ErrorData  *error;

	if (!stops_a_look(geterrcode()))
		return;
	MemoryContextSwitchTo(limit->context);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		strcmp(error->funcname, "ProcessInterrupts") == 0)
	{
		FreeErrorData(error);
		return;
	}
	FlushErrorState();
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("%s, as code %s", error->message != NULL ? error->message : "an error", unpack_sql_state(error->sqlerrcode))));
}

void
patience_lost(const patience *limit, const char *table)
{
	bool		ours = limit->armed && limit_reached && geterrcode() == ERRCODE_QUERY_CANCELED &&
		limit->outer_limit == get_timeout_active(STATEMENT_TIMEOUT);

	patience_end(limit);
	if (!ours)
	{
		charge_to_request(limit);
		return;
	}
	MemoryContextSwitchTo(limit->context);
	FlushErrorState();
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_PATIENCE),
			 errmsg("triggers of table %s took longer than %d ms", table, limit->ms),
			 errhint("Let a trigger note what is to be done, and something else do it.")));
}
