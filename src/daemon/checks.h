/* checks.h: what must be so in the database before the daemon starts */
#ifndef RC_DAEMON_CHECKS_H
#define RC_DAEMON_CHECKS_H

#include "daemon_host.h"
#include "pq_store.h"

/* The oldest version of the extension whose protocol this daemon speaks */
#define RC_MIN_EXTENSION "0.1.0"

/* Returns NULL, or a malloc'd line "CONFIG_…: what is wrong and what to do" */
extern char *rc_check_database(rc_daemon *daemon, rc_pq_store *pq);

/* Compares versions number by number: <0, 0, >0 */
extern int	rc_compare_versions(const char *a, const char *b);

#endif
