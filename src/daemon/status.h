/* status.h: reconcilerd status, top and --healthcheck: how the database says that things are */
#ifndef RC_DAEMON_STATUS_H
#define RC_DAEMON_STATUS_H

#include "config.h"
#include "daemon_host.h"

/* Exit codes of status, as monitoring plugins have them */
#define RC_STATUS_OK		0
#define RC_STATUS_WARNING	1
#define RC_STATUS_CRITICAL	2
#define RC_STATUS_UNKNOWN	3

extern int	rc_status(rc_daemon *daemon, const rc_config *config);

/* Until q, SIGINT or SIGTERM; with config->once a single picture, without any terminal sequence */
extern int	rc_top(rc_daemon *daemon, const rc_config *config);

/* 0 or 1 by the heartbeat file; critical findings are printed, where the database can be asked */
extern int	rc_healthcheck(rc_daemon *daemon, const rc_config *config);

#endif
