/* compat.h: what differs between PostgreSQL 14 and 18; the only place with version conditions */
#ifndef RC_COMPAT_H
#define RC_COMPAT_H

#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"
#else
#include "pgstat.h"
#endif

#if PG_VERSION_NUM < 140000
#error "reconciler needs PostgreSQL 14 or newer"
#endif

#if PG_VERSION_NUM >= 180000
#define RC_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "reconciler", .version = RC_VERSION)
#else
#define RC_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* Shared memory is asked for in a hook since 15, in _PG_init before */
#if PG_VERSION_NUM >= 150000
#define rc_install_request_hook(previous, hook) \
	((previous) = shmem_request_hook, shmem_request_hook = (hook))
#else
typedef void (*shmem_request_hook_type) (void);
#define rc_install_request_hook(previous, hook) \
	((previous) = NULL, (hook) ())
#endif

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* A wait set that lives as long as the process */
static inline WaitEventSet *
rc_create_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

/* The wait event that pg_stat_activity shows; *cache must start as 0 */
static inline uint32
rc_wait_event(uint32 *cache, const char *name)
{
	if (*cache == 0)
	{
#if PG_VERSION_NUM >= 170000
		*cache = WaitEventExtensionNew(name);
#else
		(void) name;
		*cache = PG_WAIT_EXTENSION;
#endif
	}
	return *cache;
}

static inline bool
rc_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/* Prepares fcinfo for a set that is returned as a whole */
static inline void
rc_init_materialized_set(FunctionCallInfo fcinfo)
{
#if PG_VERSION_NUM >= 150000
	InitMaterializedSRF(fcinfo, 0);
#else
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext previous;
	TupleDesc	tupdesc;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || (rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	previous = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	rsinfo->setDesc = tupdesc;
	MemoryContextSwitchTo(previous);
#endif
}

#endif
