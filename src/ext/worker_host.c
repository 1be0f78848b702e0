/* worker_host.c: how the core waits, logs and learns that it should stop, in a background worker */
#include "postgres.h"

#include <signal.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "guc.h"
#include "worker_host.h"

/* Idle for this long: nothing holds up statistics that wait to be sent */
#define IDLE_MS				500

/* How long to wait at a time when a wait set can't be had */
#define BLIND_WAIT_MS		10

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

/* A statement that runs ends with an error, which run() catches */
static void
cancel_statement(void)
{
	if (in_statement && may_cancel)
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

void
rc_worker_statement_begins(void)
{
	/* A cancel request that came while no statement ran was meant for none */
	QueryCancelPending = false;

	/* Statements of a worker that is stopping give its leases back: they must come through */
	may_cancel = !rc_worker_should_stop();
	in_statement = true;
}

void
rc_worker_statement_ends(void)
{
	in_statement = false;
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
	return rc_state_name(rc_shared->slots[own_slot].state);
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

/* May throw */
static void
wait_for_sockets(rc_socket *sockets, int nsockets, uint64_t generation, long timeout_ms)
{
	static uint32 wait_event = 0;
	int			n;

	build_wait_set(sockets, nsockets, generation);
	n = WaitEventSetWait(waits.set, timeout_ms, waits.events, nsockets + 2,
						 rc_wait_event(&wait_event, "ReconcilerWorkerWait"));
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
	static uint32 wait_event = 0;

	WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
			  timeout_ms < 0 ? BLIND_WAIT_MS : Min(timeout_ms, BLIND_WAIT_MS),
			  rc_wait_event(&wait_event, "ReconcilerWorkerWait"));
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
	host->wait = host_wait;
	host->stop_requested = host_stop_requested;
	host->log = host_log;
}
