/* launcher.h: the process that keeps reconciler.workers workers running */
#ifndef RC_LAUNCHER_H
#define RC_LAUNCHER_H

#include "postgres.h"

/* Registers the launcher with the postmaster; in _PG_init only */
extern void rc_launcher_register(void);

/* Entry points that the postmaster finds by name */
extern PGDLLEXPORT void reconciler_launcher_main(Datum arg);
extern PGDLLEXPORT void reconciler_worker_main(Datum arg);

#endif
