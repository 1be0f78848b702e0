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
	int64_t		http_calls;		/* these three: known of endpoints, and added when they are reported */
	int64_t		bytes_sent;
	int64_t		bytes_received;
} rc_counters;

/* What a worker did on one network since it last reported */
typedef struct rc_tally
{
	int64_t		scanned;
	int64_t		blocks;
	int64_t		transactions;
	int64_t		payments;
} rc_tally;

/* Room for the names of the networks that a worker waits for, cut to fit */
#define RC_PROGRESS_SIZE 96

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
