/* worker_host.c: how the core waits, logs and learns that it should stop, in a background worker */
#include "postgres.h"

#include <signal.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "worker_host.h"

/* Idle for this long: nothing holds up statistics that wait to be sent */
#define IDLE_MS				500

/* How long to wait at a time when a wait set can't be had */
#define BLIND_WAIT_MS		10

/* How often it is looked at how a statement that runs is getting on */
#define WATCH_MS			250

/* A statement that runs when the worker should stop is cancelled after GRACE; the process ends after LIMIT at the latest */
#define STOP_GRACE_MS		1000
#define STOP_LIMIT_MS		5000

/* What gives leases back while the worker stops must come through, but not at any price */
#define LAST_STATEMENT_MS	2000

/* A statement that goes on for so long after it was cancelled (a trigger may catch that) ends with the process */
#define OVERDUE_MS			5000

typedef struct wait_state
{
	WaitEventSet *set;			/* for the generation below; NULL: none */
	uint64_t	generation;
	WaitEvent  *events;
	int			nevents;		/* room in events */
	bool		failing;		/* the last wait failed, and that was logged */
} wait_state;

static wait_state waits;
static int	own_slot;
static volatile sig_atomic_t terminated = false;
static volatile sig_atomic_t in_statement = false;
static volatile sig_atomic_t may_cancel = false;

/* The statement that runs, and since when the worker should stop; in rc_now_ms(), also read by a signal handler */
static volatile int64 started_ms;
static volatile int64 limit_ms;
static volatile int64 stop_noticed_ms = 0;
static const char *volatile statement_name;
static const char *volatile ended_in = NULL;	/* the statement because of which the process was ended */

static TimeoutId watch_timeout;
static const rc_host *own_host;

/* A statement that runs ends with an error, which run() catches */
static void
cancel_statement(void)
{
	if (in_statement && (may_cancel || get_timeout_indicator(STATEMENT_TIMEOUT, false)))
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
}

/* SIGINT: pg_cancel_backend, or somebody who waits for this worker to leave the database */
static void
handle_sigint(SIGNAL_ARGS)
{
	int			save_errno = errno;

	(void) postgres_signal_arg;
	cancel_statement();
	SetLatch(MyLatch);
	errno = save_errno;
}

/* SIGTERM: stop soon */
static void
handle_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	(void) postgres_signal_arg;
	cancel_statement();
	terminated = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* Ends the process with the statement: not even a trigger that catches cancel requests can keep it */
static void
end_process(void)
{
	ended_in = statement_name;
	InterruptPending = true;
	ProcDiePending = true;
	SetLatch(MyLatch);
}

/* Runs in a signal handler, now and then as long as a statement runs: nobody else ends one that hangs */
static void
watch_statement(void)
{
	int64		now = rc_now_ms();

	if (!in_statement)
		return;
	if (rc_worker_should_stop())
	{
		if (stop_noticed_ms == 0)
			stop_noticed_ms = now;
		if (now - stop_noticed_ms >= STOP_LIMIT_MS)
			end_process();
		else if (now - stop_noticed_ms >= STOP_GRACE_MS)
			cancel_statement();
	}
	if (now - started_ms >= limit_ms + OVERDUE_MS)
		end_process();
}

/* Why the server's log says that the process was terminated */
static void
tell_of_end(int code, Datum arg)
{
	(void) code;
	(void) arg;
	if (ended_in != NULL)
		rc_log_event(own_host, RC_LOG_WARNING, "worker ends with a statement that can't be cancelled",
					 RC_FIELDS(rc_field_text("statement", ended_in)), NULL);
}

void
rc_worker_statement_begins(const char *name, int64 limit)
{
	EnableTimeoutParams timeouts[2];
	bool		stopping = rc_worker_should_stop();

	/* A cancel request that came while no statement ran was meant for none */
	QueryCancelPending = false;

	/* Statements of a worker that is stopping give its leases back: they must come through */
	may_cancel = !stopping;
	statement_name = name;
	started_ms = rc_now_ms();
	limit_ms = stopping ? Min(limit, LAST_STATEMENT_MS) : limit;
	in_statement = true;

	timeouts[0].id = STATEMENT_TIMEOUT;
	timeouts[0].type = TMPARAM_AFTER;
	timeouts[0].delay_ms = (int) Min(limit_ms, INT_MAX);
	timeouts[1].id = watch_timeout;
	timeouts[1].type = TMPARAM_EVERY;
	timeouts[1].delay_ms = WATCH_MS;
	timeouts[1].fin_time = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WATCH_MS);
	enable_timeouts(timeouts, lengthof(timeouts));
}

void
rc_worker_statement_ends(void)
{
	DisableTimeoutParams timeouts[2] = {{STATEMENT_TIMEOUT, false}, {watch_timeout, false}};

	in_statement = false;
	disable_timeouts(timeouts, lengthof(timeouts));
	QueryCancelPending = false;
}

/* A worker whose id has been changed makes room for one with the new id */
static bool
has_other_id(void)
{
	char		name[RC_WORKER_ID_SIZE];

	rc_guc_worker_name(own_slot, name, sizeof(name));
	return strcmp(name, rc_shared->slots[own_slot].worker_id) != 0;
}

bool
rc_worker_should_stop(void)
{
	return terminated || rc_shared->slots[own_slot].drain;
}

const char *
rc_worker_activity(void)
{
	static char activity[RC_PROGRESS_SIZE + 16];
	const rc_slot *slot = &rc_shared->slots[own_slot];

	snprintf(activity, sizeof(activity), "%s%s%s", rc_state_name(slot->state), slot->networks[0] ? " " : "", slot->networks);
	return activity;
}

static bool
host_stop_requested(void *ctx)
{
	(void) ctx;
	return rc_worker_should_stop();
}

static void
host_log(void *ctx, const rc_event *event)
{
	int			elevel = LOG;
	char	   *line;

	(void) ctx;
	if (event->level == RC_LOG_DEBUG)
		elevel = DEBUG1;
	else if (event->level == RC_LOG_WARNING)
		elevel = WARNING;
	line = rc_event_text(event);

	/* ereport ends with CHECK_FOR_INTERRUPTS, which may throw */
	HOLD_INTERRUPTS();
	ereport(elevel, (errmsg_internal("%s", line), errhidestmt(true), errhidecontext(true)));
	RESUME_INTERRUPTS();
	free(line);
}

static void
drop_wait_set(void)
{
	if (waits.set != NULL)
		FreeWaitEventSet(waits.set);
	waits.set = NULL;
}

static uint32
wanted_events(const rc_socket *socket)
{
	return (socket->events & RC_SOCKET_READ ? WL_SOCKET_READABLE : 0) |
		(socket->events & RC_SOCKET_WRITE ? WL_SOCKET_WRITEABLE : 0);
}

/* Makes the wait set anew if the sockets have changed */
static void
build_wait_set(const rc_socket *sockets, int nsockets, uint64_t generation)
{
	int			needed = nsockets + 2;

	if (waits.set != NULL && waits.generation == generation)
		return;
	drop_wait_set();
	if (waits.nevents < needed)
	{
		if (waits.events != NULL)
			pfree(waits.events);
		waits.nevents = 0;
		waits.events = NULL;
		waits.events = MemoryContextAlloc(TopMemoryContext, sizeof(WaitEvent) * needed * 2);
		waits.nevents = needed * 2;
	}
	waits.set = rc_create_wait_event_set(needed);
	waits.generation = generation;
	AddWaitEventToSet(waits.set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(waits.set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < nsockets; i++)
	{
		uint32		events = wanted_events(&sockets[i]);

		if (events != 0)
			AddWaitEventToSet(waits.set, events, sockets[i].fd, NULL, NULL);
	}
}

static void
mark_ready(rc_socket *sockets, int nsockets, const WaitEvent *event)
{
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i].fd != event->fd)
			continue;
		if (event->events & WL_SOCKET_READABLE)
			sockets[i].revents |= RC_SOCKET_READ;
		if (event->events & WL_SOCKET_WRITEABLE)
			sockets[i].revents |= RC_SOCKET_WRITE;
		return;
	}
}

/* What the worker waits for: an endpoint's answer, or for something to come due */
static uint32
current_wait_event(void)
{
	static uint32 endpoint = 0;
	static uint32 idle = 0;

	if (rc_shared->slots[own_slot].state == RC_STATE_OBSERVING)
		return rc_wait_event(&endpoint, "ReconcilerEndpoint");
	return rc_wait_event(&idle, "ReconcilerIdle");
}

/* May throw */
static void
wait_for_sockets(rc_socket *sockets, int nsockets, uint64_t generation, long timeout_ms)
{
	int			n;

	build_wait_set(sockets, nsockets, generation);
	n = WaitEventSetWait(waits.set, timeout_ms, waits.events, nsockets + 2,
						 current_wait_event());
	for (int i = 0; i < n; i++)
	{
		if (waits.events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else
			mark_ready(sockets, nsockets, &waits.events[i]);
	}
}

/*
 * May throw. ProcSignalBarrier (which holds up every DROP DATABASE until all
 * processes have answered), memory context dumps, a new configuration.
 */
static void
serve_interrupts(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		if (has_other_id())
		{
			LWLockAcquire(rc_shared->lock, LW_EXCLUSIVE);
			rc_shared->slots[own_slot].drain = true;
			LWLockRelease(rc_shared->lock);
		}
	}
}

/* Without a wait set: a short nap, after which curl finds out for itself what is ready */
static void
wait_blindly(rc_socket *sockets, int nsockets, long timeout_ms)
{
	WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
			  timeout_ms < 0 ? BLIND_WAIT_MS : Min(timeout_ms, BLIND_WAIT_MS),
			  current_wait_event());
	ResetLatch(MyLatch);
	for (int i = 0; i < nsockets; i++)
		sockets[i].revents = sockets[i].events;
}

/* Ends an error that was caught; said once in a row */
static void
swallow_error(MemoryContext context)
{
	MemoryContextSwitchTo(context);
	HOLD_INTERRUPTS();
	if (!waits.failing)
		EmitErrorReport();
	FlushErrorState();
	RESUME_INTERRUPTS();
	waits.failing = true;
}

static void
host_wait(void *ctx, rc_socket *sockets, int nsockets, uint64_t generation, long timeout_ms)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool failed = false;

	(void) ctx;
	for (int i = 0; i < nsockets; i++)
		sockets[i].revents = 0;
	PG_TRY();
	{
		pgstat_report_stat(timeout_ms < 0 || timeout_ms >= IDLE_MS);
		wait_for_sockets(sockets, nsockets, generation, timeout_ms);
		serve_interrupts();
	}
	PG_CATCH();
	{
		swallow_error(context);
		drop_wait_set();
		failed = true;
	}
	PG_END_TRY();
	if (failed)
		wait_blindly(sockets, nsockets, timeout_ms);
	else
		waits.failing = false;
}

void
rc_worker_host_init(rc_host *host, int slot_index)
{
	memset(host, 0, sizeof(*host));
	own_slot = slot_index;
	pqsignal(SIGINT, handle_sigint);
	pqsignal(SIGTERM, handle_sigterm);
	host->role = RC_WORKER_ROLE;
	host->worker_id = rc_shared->slots[slot_index].worker_id;
	host->log_memory = rc_log_memory_create();
	own_host = host;
	watch_timeout = RegisterTimeout(USER_TIMEOUT, watch_statement);
	before_shmem_exit(tell_of_end, (Datum) 0);
	host->wait = host_wait;
	host->stop_requested = host_stop_requested;
	host->log = host_log;
}
