/* host.c: the monotonic clock */
#include "core/base/host.h"

#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC */
int64_t
rc_now_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
