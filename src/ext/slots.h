/* slots.h: the workers in shared memory: who runs, for which database, in what state */
#ifndef RC_SLOTS_H
#define RC_SLOTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "core/protocol/counters.h"

/* Longest worker id, with its number */
#define RC_WORKER_ID_SIZE 80

/* Databases that can be held off at a time (one entry for each DROP DATABASE and the like under way) */
#define RC_HOLDS 16

typedef enum rc_slot_status
{
	RC_SLOT_FREE,
	RC_SLOT_LAUNCHING,			/* registered with the postmaster, not yet here */
	RC_SLOT_RUNNING
} rc_slot_status;

/*
 * One worker. Guarded by rc_shared->lock, but for state, networks, reported_at
 * and counters: those change often, and have the spinlock. drain may be read
 * by the slot's own worker without the lock.
 */
typedef struct rc_slot
{
	rc_slot_status status;
	uint32		generation;		/* of the launch: a late starter must not take the slot of its successor */
	volatile bool drain;		/* the worker should stop, and not because it failed */
	pid_t		pid;			/* 0 unless running */
	bool		connected;		/* to the database */
	char		database[NAMEDATALEN];
	char		worker_id[RC_WORKER_ID_SIZE];
	TimestampTz launched_at;
	TimestampTz started_at;

	/* Outlive the worker: when the next one may start */
	int			failures;		/* ends in a row that nobody asked for */
	TimestampTz retry_at;

	slock_t		mutex;
	rc_state	state;
	char		networks[RC_PROGRESS_SIZE]; /* which it waits for */
	TimestampTz reported_at;
	rc_counters counters;
} rc_slot;

/* A database that workers must stay away from, while a backend needs it for itself */
typedef struct rc_hold
{
	bool		in_use;
	pid_t		pid;			/* the backend that asked */
	char		database[NAMEDATALEN];
} rc_hold;

typedef struct rc_shared_state
{
	LWLock	   *lock;
	pid_t		launcher_pid;	/* 0: not running */
	ConditionVariable stopped;	/* broadcast whenever a worker leaves its slot */
	rc_hold		holds[RC_HOLDS];
	int			nslots;
	rc_slot		slots[FLEXIBLE_ARRAY_MEMBER];
} rc_shared_state;

/* NULL where the library was not preloaded */
extern rc_shared_state *rc_shared;

extern void rc_slots_request_shmem(void);
extern void rc_slots_startup_shmem(void);

/* The worker's side. Attach: false if the slot is no longer meant for this process. */
extern bool rc_slot_attach(int index, uint32 generation);
extern void rc_slot_connected(rc_slot *slot);
extern void rc_slot_report(rc_slot *slot, rc_state state, const char *networks, const rc_counters *counters);

/* With the lock held: asks a slot's worker to stop, with no backoff for its successor */
extern void rc_slot_drain(rc_slot *slot);

/* With the lock held: the slot's worker has ended, or never came */
extern void rc_slot_vacate(rc_slot *slot);

/* With the lock held */
extern bool rc_database_is_held(const char *database);

extern void rc_wake_launcher(void);

#endif
