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
	const char *worker_id;		/* in every line; NULL: not known yet */
} rc_logger;

/* Writes a line; control characters in message become spaces */
extern void rc_logger_write(const rc_logger *logger, rc_log_level level, const char *message);

/* Why the daemon doesn't start: whatever the level, marked as an error */
extern void rc_logger_fatal(const rc_logger *logger, const char *message);

#endif
