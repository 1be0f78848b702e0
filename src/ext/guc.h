/* guc.h: the server's settings */
#ifndef RC_GUC_H
#define RC_GUC_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* Upper bound of reconciler.max_workers */
#define RC_WORKERS_LIMIT 1024

extern char *rc_guc_database;
extern char *rc_guc_worker_id;
extern int	rc_guc_workers;
extern int	rc_guc_max_workers;
extern int	rc_guc_statement_timeout;	/* ms */
extern int	rc_guc_log_cycles;	/* rc_log_cycles */

/* preloading: in shared_preload_libraries, so that settings which are fixed at server start can be defined */
extern void rc_guc_define(bool preloading);

/* The names in reconciler.database: palloc'd char * */
extern List *rc_guc_databases(void);

/* Writes the worker id of the slot (0..): "<reconciler.worker_id, or cluster_name, or postgres>:<slot + 1>" */
extern void rc_guc_worker_name(int slot, char *name, size_t size);

#endif
