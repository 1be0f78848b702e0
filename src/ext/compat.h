/* compat.h: what differs between PostgreSQL 15 and 19; the only place with version conditions */
#ifndef RC_COMPAT_H
#define RC_COMPAT_H

#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"
#else
#include "pgstat.h"
#endif

#if PG_VERSION_NUM < 150000
#error "reconciler needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM >= 180000
#define RC_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "reconciler", .version = RC_VERSION)
#else
#define RC_MODULE_MAGIC PG_MODULE_MAGIC
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

/* The sequence of an identity column */
static inline Oid
rc_identity_sequence(Relation relation, AttrNumber column)
{
#if PG_VERSION_NUM >= 170000
	return getIdentitySequence(relation, column, true);
#else
	return getIdentitySequence(RelationGetRelid(relation), column, true);
#endif
}

/* Deletes a row that the snapshot sees, after waiting for whoever changes it */
static inline TM_Result
rc_table_delete(Relation relation, ItemPointer place, CommandId command, Snapshot snapshot, TM_FailureData *failure)
{
#if PG_VERSION_NUM >= 190000
	return table_tuple_delete(relation, place, command, 0, snapshot, InvalidSnapshot, true, failure);
#else
	return table_tuple_delete(relation, place, command, snapshot, InvalidSnapshot, true, failure, false);
#endif
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

/* What the server knows of a setting, NULL if there is none of that name */
static inline struct config_generic *
rc_guc_find(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, 0);
#else
	struct config_generic **options = get_guc_variables();
	int			from = 0;
	int			to = GetNumConfigOptions();

	while (from < to)
	{
		int			middle = (from + to) / 2;
		int			order = pg_strcasecmp(name, options[middle]->name);

		if (order == 0)
			return options[middle];
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
#endif
}

#endif
