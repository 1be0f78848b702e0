/* log.h: one line per event on standard error, as text or JSON */
#ifndef RC_DAEMON_LOG_H
#define RC_DAEMON_LOG_H

#include "core/base/host.h"

typedef enum rc_log_format
{
	RC_LOG_TEXT,
	RC_LOG_JSON
} rc_log_format;

typedef struct rc_logger
{
	rc_log_format format;
	rc_log_level level;			/* less important lines are left out */
} rc_logger;

/* Writes a line, unless the event is less important than what is wanted */
extern void rc_logger_write(const rc_logger *logger, const rc_event *event);

/*
 * Why the daemon doesn't start, whatever the level: problem is "CONFIG_…: what
 * is wrong and what to do". As text it is written as it is, for people to read.
 */
extern void rc_logger_fatal(const rc_logger *logger, const rc_host *host, const char *problem);

#endif
