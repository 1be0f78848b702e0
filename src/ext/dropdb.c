/*
 * dropdb.c: DROP DATABASE, ALTER DATABASE ... RENAME or SET TABLESPACE and
 * CREATE DATABASE ... TEMPLATE are refused while a session is in the database.
 * Our workers must not be that session: they leave before the command runs,
 * and are held off until it has ended.
 */
#include "postgres.h"

#include <signal.h>

#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "dropdb.h"
#include "guc.h"
#include "slots.h"

/* Workers that have not left by then are left to the command, which will name them */
#define LEAVE_TIMEOUT_MS	10000

static ProcessUtility_hook_type previous_utility_hook = NULL;

static DefElem *
named_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

/* The database that a command needs without any session in it, or NULL */
static const char *
database_wanted(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return castNode(DropdbStmt, statement)->dbname;
		case T_RenameStmt:
			if (castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
				return castNode(RenameStmt, statement)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			if (named_option(castNode(AlterDatabaseStmt, statement)->options, "tablespace") != NULL)
				return castNode(AlterDatabaseStmt, statement)->dbname;
			return NULL;
		case T_CreatedbStmt:
			{
				DefElem    *option = named_option(castNode(CreatedbStmt, statement)->options, "template");

				return option != NULL && option->arg != NULL ? defGetString(option) : "template1";
			}
		default:
			return NULL;
	}
}

static bool
is_reconciled(const char *database)
{
	List	   *databases = rc_guc_databases();
	ListCell   *cell;
	bool		found = false;

	foreach(cell, databases)
		found = found || strcmp(lfirst(cell), database) == 0;
	list_free_deep(databases);
	return found;
}

/* Whoever may not drop the database may not stop its workers either */
static bool
may_hold(const char *database)
{
	Oid			oid;

	if (rc_shared == NULL || !is_reconciled(database))
		return false;
	oid = get_database_oid(database, true);
	return OidIsValid(oid) && rc_owns_database(oid, GetUserId());
}

static rc_hold *
free_hold(void)
{
	Assert(LWLockHeldByMeInMode(rc_shared->lock, LW_EXCLUSIVE));
	for (int i = 0; i < RC_HOLDS; i++)
	{
		if (!rc_shared->holds[i].in_use)
			return &rc_shared->holds[i];
	}
	return NULL;
}

/* Asks a worker to leave, even from the middle of a statement, as of an application's slow trigger */
static void
expel(rc_slot *slot)
{
	rc_slot_drain(slot);
	if (slot->connected)
		kill(slot->pid, SIGINT);
}

/* Asks the workers of a database to leave it, and keeps new ones out */
static pg_noinline void
hold_database(const char *database)
{
	rc_hold    *hold;

	LWLockAcquire(rc_shared->lock, LW_EXCLUSIVE);
	hold = free_hold();
	if (hold != NULL)
	{
		hold->in_use = true;
		hold->pid = MyProcPid;
		strlcpy(hold->database, database, NAMEDATALEN);
		for (int i = 0; i < rc_shared->nslots; i++)
		{
			if (rc_shared->slots[i].status != RC_SLOT_FREE &&
				strcmp(rc_shared->slots[i].database, database) == 0)
				expel(&rc_shared->slots[i]);
		}
	}
	LWLockRelease(rc_shared->lock);
}

/* Lets workers come back; also called when the command fails or its session ends */
static void
release_holds(int code, Datum arg)
{
	(void) code;
	(void) arg;
	LWLockAcquire(rc_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < RC_HOLDS; i++)
	{
		if (rc_shared->holds[i].pid == MyProcPid)
			rc_shared->holds[i].in_use = false;
	}
	LWLockRelease(rc_shared->lock);
	rc_wake_launcher();
}

/* A worker that is being launched doesn't count: it sees that it isn't wanted before it connects */
static bool
has_worker(const char *database)
{
	bool		found = false;

	LWLockAcquire(rc_shared->lock, LW_SHARED);
	for (int i = 0; i < rc_shared->nslots; i++)
	{
		if (rc_shared->slots[i].status == RC_SLOT_RUNNING &&
			strcmp(rc_shared->slots[i].database, database) == 0)
			found = true;
	}
	LWLockRelease(rc_shared->lock);
	return found;
}

static void
wait_until_empty(const char *database)
{
	static uint32 wait_event = 0;
	TimestampTz started = GetCurrentTimestamp();

	ConditionVariablePrepareToSleep(&rc_shared->stopped);
	while (has_worker(database) &&
		   !TimestampDifferenceExceeds(started, GetCurrentTimestamp(), LEAVE_TIMEOUT_MS))
		ConditionVariableTimedSleep(&rc_shared->stopped, 1000,
									rc_wait_event(&wait_event, "ReconcilerWorkersLeave"));
	ConditionVariableCancelSleep();
}

static void
run_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (previous_utility_hook != NULL)
		previous_utility_hook(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, environment, dest, completion);
}

static void
utility_hook(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	const char *database = database_wanted(pstmt->utilityStmt);

	if (database == NULL || !may_hold(database))
	{
		run_utility(pstmt, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	PG_ENSURE_ERROR_CLEANUP(release_holds, (Datum) 0);
	{
		hold_database(database);
		wait_until_empty(database);
		run_utility(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	}
	PG_END_ENSURE_ERROR_CLEANUP(release_holds, (Datum) 0);
	release_holds(0, (Datum) 0);
}

void
rc_dropdb_install_hook(void)
{
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}
