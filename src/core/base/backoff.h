/* backoff.h: the one growing pause, for whatever is tried again after it failed */
#ifndef RC_BACKOFF_H
#define RC_BACKOFF_H

#include <stdint.h>

/*
 * Milliseconds to wait after so many failures in a row (1: the first):
 * first_ms, doubled with each, at most longest_ms, less up to half of it by
 * chance: many that failed together must not come back together.
 */
extern int64_t rc_backoff_ms(int failures, int64_t first_ms, int64_t longest_ms);

/* A number in [0, limit), to keep workers from stepping in time; not for secrets. 0 for a limit below 1 */
extern int64_t rc_jitter(int64_t limit);

#endif
