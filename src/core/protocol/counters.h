/* counters.h: what a worker is doing, and what it has done */
#ifndef RC_COUNTERS_H
#define RC_COUNTERS_H

#include <stdint.h>

/* Since the worker started */
typedef struct rc_counters
{
	int64_t		cycles;
	int64_t		claimed;		/* requests leased */
	int64_t		scanned;		/* requests observed */
	int64_t		detected;
	int64_t		confirmed;
	int64_t		expired;
	int64_t		skipped;		/* left for the next look: locked by the application, or lease lost */
	int64_t		errors;			/* failed looks and requests that could not be observed */
} rc_counters;

typedef enum rc_state
{
	RC_STATE_STARTING,
	RC_STATE_IDLE,				/* nothing due, or the extension isn't there */
	RC_STATE_OBSERVING,			/* waiting for endpoints */
	RC_STATE_SETTLING,			/* in a transaction */
	RC_STATE_STOPPING
} rc_state;

extern const char *rc_state_name(rc_state state);

#endif
