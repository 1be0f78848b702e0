/* registration.h: makes the networks that this daemon brings endpoints for known to the database */
#ifndef RC_DAEMON_REGISTRATION_H
#define RC_DAEMON_REGISTRATION_H

#include "core/protocol/store.h"
#include "daemon_host.h"
#include "networks.h"

typedef struct rc_registration rc_registration;

/* daemon, store and networks must outlive it */
extern rc_registration *rc_registration_create(rc_daemon *daemon, const rc_store *store,
											   const char *worker_id, rc_own_networks *networks);
extern void rc_registration_free(rc_registration *registration);

/* At start: waits up to wait_ms for endpoints that have to tell which chain they serve */
extern void rc_registration_begin(rc_registration *registration, long wait_ms);

/* Later, from time to time: tries again where that failed. Never waits for an endpoint. */
extern void rc_registration_step(rc_registration *registration);

#endif
