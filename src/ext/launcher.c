/*
 * launcher.c: starts workers, asks them to stop, starts them again
 *
 * A slot goes FREE -> LAUNCHING (here) -> RUNNING (the worker) -> FREE (the
 * worker's exit hook). All that the launcher must know stands in shared
 * memory, so a new launcher carries on where the last one ended.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "launcher.h"
#include "slots.h"

#define RESTART_SECONDS		1

/* A worker that was registered and isn't here by then never will be (or is told to go when it comes) */
#define LAUNCH_TIMEOUT_MS	30000

#define NO_TIMEOUT			(-1L)

/* What each slot should be doing, from the configuration */
typedef struct target
{
	List	   *databases;
	int			workers;
} target;

/* Of the workers that this launcher started: tells of those that never came. NULL: started by a predecessor */
static BackgroundWorkerHandle **handles;

/* Said once, until it has ended */
static bool warned_no_database = false;
static bool warned_few_workers = false;
static bool warned_no_process = false;

void
rc_launcher_register(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "reconciler", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "reconciler_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "reconciler launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "reconciler launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* The database that a slot should work on; NULL: it should be free */
static const char *
target_database(const target *target, int index)
{
	if (index >= target->workers || target->databases == NIL)
		return NULL;
	return list_nth(target->databases, index % list_length(target->databases));
}

/* Asks the postmaster for a worker; false if it has no room for one */
static bool
start_worker(int index, uint32 generation)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = Int32GetDatum(index);
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	strlcpy(worker.bgw_library_name, "reconciler", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "reconciler_worker_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "reconciler worker %d", index + 1);
	strlcpy(worker.bgw_type, "reconciler worker", BGW_MAXLEN);
	if (handles[index] != NULL)
		pfree(handles[index]);
	handles[index] = NULL;
	return RegisterDynamicBackgroundWorker(&worker, &handles[index]);
}

/* True if a worker that was launched will not come any more */
static bool
launch_has_failed(int index)
{
	rc_slot    *slot = &rc_shared->slots[index];
	pid_t		pid;

	if (handles[index] != NULL && GetBackgroundWorkerPid(handles[index], &pid) == BGWH_STOPPED)
		return true;
	return TimestampDifferenceExceeds(slot->launched_at, GetCurrentTimestamp(), LAUNCH_TIMEOUT_MS);
}

/* Milliseconds until a time, rounded up */
static long
ms_until(TimestampTz then)
{
	TimestampTz now = GetCurrentTimestamp();

	return then > now ? (long) ((then - now + 999) / 1000) : 0;
}

static long
earlier(long a, long b)
{
	if (a == NO_TIMEOUT)
		return b;
	return b == NO_TIMEOUT ? a : Min(a, b);
}

/*
 * With the lock held. The first worker of a database goes ahead: as long as it
 * can't connect, because the name is mistyped, say, the others needn't try.
 */
static bool
may_follow(const target *target, int index)
{
	int			ndatabases = list_length(target->databases);

	Assert(LWLockHeldByMe(rc_shared->lock));
	return index < ndatabases || rc_shared->slots[index % ndatabases].connected;
}

/*
 * With the lock held: ends what should not run. True if the slot's worker has
 * to be launched now; else *wait_ms is when to look at it again.
 */
static bool
check_slot(const target *target, int index, long *wait_ms)
{
	rc_slot    *slot = &rc_shared->slots[index];
	const char *database = target_database(target, index);

	Assert(LWLockHeldByMeInMode(rc_shared->lock, LW_EXCLUSIVE));
	*wait_ms = NO_TIMEOUT;
	if (slot->status == RC_SLOT_LAUNCHING && launch_has_failed(index))
		rc_slot_vacate(slot);
	if (slot->status != RC_SLOT_FREE)
	{
		if (!slot->drain && (database == NULL || strcmp(slot->database, database) != 0))
			rc_slot_drain(slot);
		if (slot->status == RC_SLOT_LAUNCHING)
			*wait_ms = 1000;
		return false;
	}
	if (database == NULL)
	{
		/* Lowering and raising the number of workers forgives */
		slot->failures = 0;
		slot->retry_at = 0;
		return false;
	}
	if (rc_database_is_held(database) || !may_follow(target, index))
		return false;
	*wait_ms = ms_until(slot->retry_at);
	if (*wait_ms > 0)
		return false;
	slot->status = RC_SLOT_LAUNCHING;
	slot->generation++;
	slot->drain = false;
	slot->launched_at = GetCurrentTimestamp();
	strlcpy(slot->database, database, sizeof(slot->database));
	return true;
}

/* Launches the worker of a slot that check_slot has prepared */
static long
launch(int index)
{
	rc_slot    *slot = &rc_shared->slots[index];
	long		wait_ms = LAUNCH_TIMEOUT_MS;

	if (start_worker(index, slot->generation))
	{
		warned_no_process = false;
		return wait_ms;
	}
	LWLockAcquire(rc_shared->lock, LW_EXCLUSIVE);
	if (slot->status == RC_SLOT_LAUNCHING)
	{
		rc_slot_vacate(slot);
		wait_ms = ms_until(slot->retry_at);
	}
	LWLockRelease(rc_shared->lock);
	if (!warned_no_process)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of background worker slots: reconciler worker %d was not started", index + 1),
				 errhint("Increase \"max_worker_processes\" (now %d), or lower \"reconciler.workers\".",
						 max_worker_processes)));
	warned_no_process = true;
	return wait_ms;
}

/* Drops what was asked for by backends that are gone without having said so */
static void
drop_stale_holds(void)
{
	Assert(LWLockHeldByMeInMode(rc_shared->lock, LW_EXCLUSIVE));
	for (int i = 0; i < RC_HOLDS; i++)
	{
		rc_hold    *hold = &rc_shared->holds[i];

		if (hold->in_use && kill(hold->pid, 0) != 0 && errno == ESRCH)
			hold->in_use = false;
	}
}

static void
warn_of_configuration(const target *target)
{
	bool		no_database = target->workers > 0 && target->databases == NIL;
	bool		few_workers = target->workers > 0 && target->workers < list_length(target->databases);

	if (no_database && !warned_no_database)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("no reconciler worker is started, because \"reconciler.database\" is empty"),
				 errhint("Set \"reconciler.database\" to the database with the payment requests, and restart the server.")));
	warned_no_database = no_database;
	if (few_workers && !warned_few_workers)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("\"reconciler.workers\" is %d, too few for %d databases",
						target->workers, list_length(target->databases)),
				 errdetail("The databases that come last in \"reconciler.database\" have no worker."),
				 errhint("Set \"reconciler.workers\" to %d or more.", list_length(target->databases))));
	warned_few_workers = few_workers;
}

/* Brings the workers in line with the configuration; returns how long nothing is left to do */
static long
adjust_workers(void)
{
	target		target = {.databases = rc_guc_databases(),.workers = rc_guc_workers};
	long		wait_ms = NO_TIMEOUT;

	warn_of_configuration(&target);
	for (int i = 0; i < rc_shared->nslots; i++)
	{
		long		slot_wait_ms;
		bool		start;

		LWLockAcquire(rc_shared->lock, LW_EXCLUSIVE);
		drop_stale_holds();
		start = check_slot(&target, i, &slot_wait_ms);
		LWLockRelease(rc_shared->lock);
		if (start)
			slot_wait_ms = launch(i);
		wait_ms = earlier(wait_ms, slot_wait_ms);
	}
	list_free_deep(target.databases);
	return wait_ms;
}

static void
forget_launcher(int code, Datum arg)
{
	(void) code;
	(void) arg;
	if (rc_shared->launcher_pid == MyProcPid)
		rc_shared->launcher_pid = 0;
}

void
reconciler_launcher_main(Datum arg)
{
	static uint32 wait_event = 0;

	(void) arg;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	/* No database: shown in pg_stat_activity, in nobody's way */
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	handles = MemoryContextAllocZero(TopMemoryContext, sizeof(*handles) * rc_shared->nslots);
	before_shmem_exit(forget_launcher, (Datum) 0);
	rc_shared->launcher_pid = MyProcPid;

	/* Ends with code 1, so that the postmaster starts it again unless it is shutting down */
	while (!ShutdownRequestPending)
	{
		long		wait_ms = adjust_workers();

		WaitLatch(MyLatch,
				  WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (wait_ms == NO_TIMEOUT ? 0 : WL_TIMEOUT),
				  wait_ms, rc_wait_event(&wait_event, "ReconcilerLauncher"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	proc_exit(1);
}
