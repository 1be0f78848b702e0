/* heartbeat.h: a file that tells a container's health check that the daemon is alive and has its database */
#ifndef RC_DAEMON_HEARTBEAT_H
#define RC_DAEMON_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rc_heartbeat
{
	int			fd;				/* -1: none */
	char	   *path;
	int64_t		written_at_ms;
} rc_heartbeat;

/* malloc'd: in $XDG_RUNTIME_DIR, else in /tmp with the user's id */
extern char *rc_heartbeat_default_path(void);

/* Returns NULL, or a malloc'd sentence why the file can't be used */
extern char *rc_heartbeat_open(rc_heartbeat *heartbeat, const char *path);

/* Writes at most once a second. lost_since_ms: when the database was lost (rc_now_ms); 0: it is there */
extern void rc_heartbeat_beat(rc_heartbeat *heartbeat, int64_t lost_since_ms);

/* Removes the file */
extern void rc_heartbeat_close(rc_heartbeat *heartbeat);

/* Another process's view: NULL if the daemon is well, else a malloc'd sentence */
extern char *rc_heartbeat_check(const char *path);

#endif
