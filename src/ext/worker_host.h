/* worker_host.h: rc_host of a background worker: its latch, signals, log and wait set */
#ifndef RC_WORKER_HOST_H
#define RC_WORKER_HOST_H

#include "postgres.h"

#include "core/base/host.h"
#include "slots.h"

#define RC_WORKER_ROLE		"worker"

/* Takes over SIGTERM and SIGINT; call once the worker is connected. host must live as long as the process */
extern void rc_worker_host_init(rc_host *host, int slot_index);

/*
 * Around a statement: within, SIGTERM cancels it by an error, and so does its
 * time limit, and a stop that it holds up. Outside nothing throws, because
 * frames of the core and of libcurl lie below.
 */
extern void rc_worker_statement_begins(const char *name, int64 limit_ms);
extern void rc_worker_statement_ends(void);

extern bool rc_worker_should_stop(void);

/* What pg_stat_activity says of the worker between two statements */
extern const char *rc_worker_activity(void);

#endif
