/* slots.c: shared memory of launcher and workers, and the function that shows it */
#include "postgres.h"

#include <signal.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "slots.h"

#define TRANCHE_NAME		"reconciler"

/* Backoff of a slot whose workers end by themselves */
#define BACKOFF_FIRST_MS	1000
#define BACKOFF_LIMIT_MS	60000

/* A worker that has lived this long was not failing */
#define LIVED_WELL_MS		60000

#define STAT_WORKERS_COLUMNS 16

rc_shared_state *rc_shared = NULL;

PG_FUNCTION_INFO_V1(reconciler_stat_get_workers);

static Size
shared_size(void)
{
	return add_size(offsetof(rc_shared_state, slots),
					mul_size(rc_guc_max_workers, sizeof(rc_slot)));
}

void
rc_slots_request_shmem(void)
{
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

void
rc_slots_startup_shmem(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	rc_shared = ShmemInitStruct("reconciler workers", shared_size(), &found);
	if (!found)
	{
		memset(rc_shared, 0, shared_size());
		rc_shared->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
		ConditionVariableInit(&rc_shared->stopped);
		rc_shared->nslots = rc_guc_max_workers;
		for (int i = 0; i < rc_shared->nslots; i++)
			SpinLockInit(&rc_shared->slots[i].mutex);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
rc_wake_launcher(void)
{
	pid_t		pid = rc_shared->launcher_pid;

	if (pid != 0)
		kill(pid, SIGUSR1);
}

bool
rc_database_is_held(const char *database)
{
	Assert(LWLockHeldByMe(rc_shared->lock));
	for (int i = 0; i < RC_HOLDS; i++)
	{
		if (rc_shared->holds[i].in_use && strcmp(rc_shared->holds[i].database, database) == 0)
			return true;
	}
	return false;
}

void
rc_slot_drain(rc_slot *slot)
{
	Assert(LWLockHeldByMeInMode(rc_shared->lock, LW_EXCLUSIVE));
	slot->drain = true;
	if (slot->pid != 0)
		kill(slot->pid, SIGUSR1);
}

/* When the slot's next worker may start, given how its last one ended */
static void
schedule_restart(rc_slot *slot)
{
	TimestampTz now = GetCurrentTimestamp();
	int			delay_ms = BACKOFF_LIMIT_MS;

	if (slot->drain)
	{
		slot->failures = 0;
		slot->retry_at = now;
		return;
	}
	if (slot->status == RC_SLOT_RUNNING &&
		TimestampDifferenceExceeds(slot->started_at, now, LIVED_WELL_MS))
		slot->failures = 0;
	if (slot->failures < 6)
		delay_ms = Min(BACKOFF_FIRST_MS << slot->failures, BACKOFF_LIMIT_MS);
	slot->failures++;
	slot->retry_at = TimestampTzPlusMilliseconds(now, delay_ms);
}

void
rc_slot_vacate(rc_slot *slot)
{
	Assert(LWLockHeldByMeInMode(rc_shared->lock, LW_EXCLUSIVE));
	schedule_restart(slot);
	slot->status = RC_SLOT_FREE;
	slot->pid = 0;
	slot->connected = false;
	slot->drain = false;
}

/* Leaves the slot when the process ends, in whatever way; never that of a successor */
static void
detach_slot(int code, Datum arg)
{
	rc_slot    *slot = &rc_shared->slots[DatumGetInt32(arg)];

	(void) code;
	LWLockAcquire(rc_shared->lock, LW_EXCLUSIVE);
	if (slot->status == RC_SLOT_RUNNING && slot->pid == MyProcPid)
		rc_slot_vacate(slot);
	LWLockRelease(rc_shared->lock);
	ConditionVariableBroadcast(&rc_shared->stopped);
	rc_wake_launcher();
}

bool
rc_slot_attach(int index, uint32 generation)
{
	rc_slot    *slot = &rc_shared->slots[index];
	rc_counters none = {0};
	bool		mine;

	LWLockAcquire(rc_shared->lock, LW_EXCLUSIVE);
	mine = slot->status == RC_SLOT_LAUNCHING && slot->generation == generation;
	if (mine && slot->drain)
	{
		rc_slot_vacate(slot);
		mine = false;
	}
	else if (mine)
	{
		slot->status = RC_SLOT_RUNNING;
		slot->pid = MyProcPid;
		slot->started_at = GetCurrentTimestamp();
		rc_guc_worker_name(index, slot->worker_id, sizeof(slot->worker_id));
		before_shmem_exit(detach_slot, Int32GetDatum(index));
	}
	LWLockRelease(rc_shared->lock);
	if (mine)
		rc_slot_report(slot, RC_STATE_STARTING, "", &none);
	else
		rc_wake_launcher();
	return mine;
}

/* The launcher waits for this before it starts more workers for the database */
void
rc_slot_connected(rc_slot *slot)
{
	LWLockAcquire(rc_shared->lock, LW_EXCLUSIVE);
	slot->connected = true;
	LWLockRelease(rc_shared->lock);
	rc_wake_launcher();
}

void
rc_slot_report(rc_slot *slot, rc_state state, const char *networks, const rc_counters *counters)
{
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&slot->mutex);
	slot->state = state;
	slot->counters = *counters;
	strlcpy(slot->networks, networks, sizeof(slot->networks));
	slot->reported_at = now;
	SpinLockRelease(&slot->mutex);
}

/* Copies the slots that have a worker; returns how many */
static int
snapshot_slots(rc_slot *copies)
{
	int			n = 0;

	LWLockAcquire(rc_shared->lock, LW_SHARED);
	for (int i = 0; i < rc_shared->nslots; i++)
	{
		rc_slot    *slot = &rc_shared->slots[i];

		if (slot->status != RC_SLOT_RUNNING)
			continue;
		SpinLockAcquire(&slot->mutex);
		copies[n] = *slot;
		SpinLockRelease(&slot->mutex);
		n++;
	}
	LWLockRelease(rc_shared->lock);
	return n;
}

static void
put_worker(ReturnSetInfo *rsinfo, const rc_slot *slot)
{
	Datum		values[STAT_WORKERS_COLUMNS];
	bool		nulls[STAT_WORKERS_COLUMNS] = {false};
	NameData	database;
	const rc_counters *counters = &slot->counters;

	namestrcpy(&database, slot->database);
	values[0] = CStringGetTextDatum(slot->worker_id);
	values[1] = CStringGetTextDatum("worker");
	values[2] = Int32GetDatum(slot->pid);
	values[3] = NameGetDatum(&database);
	values[4] = CStringGetTextDatum(rc_state_name(slot->state));
	values[5] = Int64GetDatum(counters->cycles);
	values[6] = Int64GetDatum(counters->claimed);
	values[7] = Int64GetDatum(counters->scanned);
	values[8] = Int64GetDatum(counters->detected);
	values[9] = Int64GetDatum(counters->confirmed);
	values[10] = Int64GetDatum(counters->expired);
	values[11] = Int64GetDatum(counters->skipped);
	values[12] = Int64GetDatum(counters->errors);
	values[13] = TimestampTzGetDatum(slot->started_at);
	values[14] = TimestampTzGetDatum(slot->reported_at);
	values[15] = CStringGetTextDatum(slot->networks);
	nulls[15] = slot->networks[0] == '\0';
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* stat_get_workers(): one row for each worker that runs in this server */
Datum
reconciler_stat_get_workers(PG_FUNCTION_ARGS)
{
	rc_slot    *copies;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (rc_shared == NULL)
		return (Datum) 0;
	copies = palloc(sizeof(rc_slot) * rc_shared->nslots);
	n = snapshot_slots(copies);
	for (int i = 0; i < n; i++)
		put_worker((ReturnSetInfo *) fcinfo->resultinfo, &copies[i]);
	pfree(copies);
	return (Datum) 0;
}
