/* backoff.c: the one growing pause */
#include "core/base/backoff.h"

#include <time.h>
#include <unistd.h>

int64_t
rc_jitter(int64_t limit)
{
	static uint64_t state = 0;

	/* Each process its own: workers are forked from one parent, at nearly one time */
	if (state == 0)
	{
		struct timespec now;

		(void) clock_gettime(CLOCK_REALTIME, &now);
		state = (uint64_t) now.tv_nsec ^ ((uint64_t) now.tv_sec << 30);
		state = (state ^ (uint64_t) getpid() * UINT64_C(0x9e3779b97f4a7c15)) | 1;
	}
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return limit > 0 ? (int64_t) (state % (uint64_t) limit) : 0;
}

int64_t
rc_backoff_ms(int failures, int64_t first_ms, int64_t longest_ms)
{
	int64_t		pause = first_ms;

	for (int i = 1; i < failures && pause < longest_ms; i++)
		pause *= 2;
	if (pause > longest_ms)
		pause = longest_ms;
	return pause - rc_jitter(pause / 2 + 1);
}
