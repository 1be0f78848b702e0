/* reconciler.c: the module: what happens when the server or a backend loads it */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "compat.h"
#include "dropdb.h"
#include "guc.h"
#include "launcher.h"
#include "slots.h"

RC_MODULE_MAGIC;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

extern PGDLLEXPORT void _PG_init(void);

static void
request_shmem(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	rc_slots_request_shmem();
}

static void
startup_shmem(void)
{
	if (previous_startup_hook != NULL)
		previous_startup_hook();
	rc_slots_startup_shmem();
}

/*
 * In shared_preload_libraries: everything. In a backend that has just called a
 * function of the extension: the settings only, workers need the server's start.
 */
void
_PG_init(void)
{
	bool		preloading = process_shared_preload_libraries_in_progress;

	rc_guc_define(preloading);
	if (!preloading)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
	rc_dropdb_install_hook();

	/* pg_upgrade wants the databases for itself */
	if (!IsBinaryUpgrade)
		rc_launcher_register();
}
