/* host.c: log lines and the monotonic clock */
#include "core/base/host.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>


/* One line to the process's log */
void
rc_log(const rc_host *host, rc_log_level level, const char *format, ...)
{
	char		line[2048];
	va_list		args;
	int			n;

	if (host == NULL || host->log == NULL)
		return;
	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n < 0)
		return;
	/* What endpoints answer may hold anything: one line stays one line */
	for (char *p = line; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ')
			*p = ' ';
	}
	host->log(host->ctx, level, line);
}

/* Milliseconds of CLOCK_MONOTONIC */
int64_t
rc_now_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
