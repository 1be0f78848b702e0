/* pq_store.h: the database over libpq, without ever waiting in a way that a signal can't end */
#ifndef RC_DAEMON_PQ_STORE_H
#define RC_DAEMON_PQ_STORE_H

#include "core/protocol/store.h"
#include "daemon_host.h"

typedef struct rc_pq_store rc_pq_store;

/* conninfo: libpq URI or conninfo string, already checked */
extern rc_pq_store *rc_pq_store_create(rc_daemon *daemon, const char *conninfo, long statement_timeout_ms);
extern void rc_pq_store_free(rc_pq_store *pq);

/*
 * Tries for wait_ms to connect for the first time. Returns NULL, or a malloc'd
 * text without a secret in it, why it could not.
 */
extern char *rc_pq_store_connect(rc_pq_store *pq, long wait_ms);

/* For the engine. Reconnects by itself; answers RC_STORE_GONE meanwhile */
extern const rc_store *rc_pq_store_table(rc_pq_store *pq);

/* Who and where, for a log line; valid until the connection changes */
extern const char *rc_pq_store_user(const rc_pq_store *pq);
extern const char *rc_pq_store_database(const rc_pq_store *pq);
extern const char *rc_pq_store_host(const rc_pq_store *pq);

#endif
