/* daemon_host.h: what the core asks of its process, for reconcilerd: signals, waiting, logging */
#ifndef RC_DAEMON_HOST_H
#define RC_DAEMON_HOST_H

#include "core/base/host.h"
#include "heartbeat.h"
#include "log.h"

/* Time for giving leases back once a stop is requested */
#define RC_STOP_MS 700

typedef struct rc_daemon
{
	rc_logger	logger;
	rc_heartbeat heartbeat;
	rc_host		host;			/* ctx is the rc_daemon */
	int64_t		database_lost_ms;	/* rc_now_ms when the database was lost; 0: it is there */
	long		lost_limit_ms;	/* stop when it is lost for longer; -1: never */

	/* Called at least once a second while the engine waits, never while a statement runs; may be NULL */
	void		(*tick) (void *arg);
	void	   *tick_arg;
	bool		in_tick;
} rc_daemon;

/* Installs the signal handlers. False: the process can't have a pipe */
extern bool rc_daemon_init(rc_daemon *daemon);

/* The database is lost for longer than lost_limit_ms */
extern bool rc_daemon_gave_up(const rc_daemon *daemon);

/* Milliseconds that may still be spent once a stop is requested; -1: none is */
extern long rc_daemon_stop_budget(void);

/*
 * Waits for events (poll's) on fd. False: deadline_ms (rc_now_ms) or the stop
 * budget has passed. fd -1: a pause, which a stop ends at once.
 */
extern bool rc_daemon_wait_fd(rc_daemon *daemon, int fd, short events, int64_t deadline_ms);

/* rc_log_event of the daemon's host: name, RC_FIELDS(...) or RC_NO_FIELDS, message */
#define rc_daemon_log(daemon, level, ...) rc_log_event(&(daemon)->host, level, __VA_ARGS__)

#endif
