/* tip.c: whether the tip that an endpoint names can be the chain's, seen from the database's clock */
#include "core/chain/tip.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "core/base/memory.h"

/* The end of the year 9999: what lies behind it is no time in seconds */
#define LATEST_TIME INT64_C(253402300799)

#define TIME_TEXT_SIZE 32

static const char *
time_text(int64_t seconds, char text[TIME_TEXT_SIZE])
{
	time_t		time = (time_t) seconds;
	struct tm	parts;

	if (gmtime_r(&time, &parts) == NULL || strftime(text, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &parts) == 0)
		snprintf(text, TIME_TEXT_SIZE, "%" PRId64, seconds);
	return text;
}

/* A time that is beyond the bound: too far ahead, or counted in a smaller unit? */
static char *
future_problem(const rc_block *tip)
{
	char		text[TIME_TEXT_SIZE];

	if (tip->time > LATEST_TIME)
		return rc_asprintf("the time of its tip, block %" PRIu64 ", is %" PRId64 ": not in seconds",
						   tip->height, tip->time);
	return rc_asprintf("its tip, block %" PRIu64 ", is of %s UTC: that lies in the future",
					   tip->height, time_text(tip->time, text));
}

char *
rc_tip_problem(const rc_tip_bounds *bounds, const rc_block *tip)
{
	char		text[TIME_TEXT_SIZE];

	if (!tip->known)
		return rc_strdup("it names no tip");
	if (tip->height > INT64_MAX / 2 || tip->time < 0)
		return rc_strdup("height or time of its tip can't be");
	if (tip->time > LATEST_TIME || (bounds->max_time != 0 && tip->time > bounds->max_time))
		return future_problem(tip);
	if (bounds->min_time != 0 && tip->time < bounds->min_time)
		return rc_asprintf("it is behind: its tip, block %" PRIu64 ", is of %s UTC",
						   tip->height, time_text(tip->time, text));

	/* Where blocks come every second, nodes differ by several of them: a low tip that is young is no fault */
	if (bounds->floor > 0 && tip->height < (uint64_t) bounds->floor && tip->time < bounds->floor_min_time)
		return rc_asprintf("it is behind: its tip is block %" PRIu64 ", another endpoint was beyond block %" PRId64 " already",
						   tip->height, bounds->floor);
	return NULL;
}
