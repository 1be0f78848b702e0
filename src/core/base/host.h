/* host.h: what the core asks of the process that it runs in (a background worker, reconcilerd, a unit test) */
#ifndef RC_HOST_H
#define RC_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/log.h"
#include "core/base/log_memory.h"

#define RC_SOCKET_READ	1
#define RC_SOCKET_WRITE 2

/* A socket that curl watches: what for, and (filled in by wait) what happened */
typedef struct rc_socket
{
	int			fd;
	int			events;			/* RC_SOCKET_READ | RC_SOCKET_WRITE */
	int			revents;
} rc_socket;

/*
 * No function of the table may longjmp or throw: each is called with C frames
 * of the core, and at times of libcurl, below it.
 */
typedef struct rc_host
{
	void	   *ctx;

	/*
	 * Waits until a socket is ready, the process is woken (latch, signal,
	 * configuration reload, postmaster death) or timeout_ms has passed, and
	 * sets revents. generation changes whenever the set of sockets or their
	 * events has changed since the last call, so a host may keep its wait set.
	 */
	void		(*wait) (void *ctx, rc_socket *sockets, int nsockets, uint64_t generation, long timeout_ms);

	/* True once the process should stop: no new claim, leases released */
	bool		(*stop_requested) (void *ctx);

	/* Called by rc_log_event only */
	void		(*log) (void *ctx, const rc_event *event);

	/* In every line of the log; NULL: not known yet */
	const char *role;			/* "worker" in the server, "reconcilerd" */
	const char *worker_id;

	/* Of rc_log_change; NULL: it logs everything */
	rc_log_memory *log_memory;
} rc_host;

/* Milliseconds of CLOCK_MONOTONIC: for timeouts only, never for a decision about a request */
extern int64_t rc_now_ms(void);

#endif
