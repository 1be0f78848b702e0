/* meter.h: how often an endpoint was called, how long it took, and how it failed */
#ifndef RC_METER_H
#define RC_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/net/failure.h"

/* The first counts calls below 1 ms, the next below 2 ms, then 4, 8, …; the last all others */
#define RC_METER_BUCKETS 20

/* Since it was last told */
typedef struct rc_meter
{
	int64_t		calls;			/* HTTP requests that ended, however they did */
	int64_t		bytes_sent;
	int64_t		bytes_received;
	int64_t		latency[RC_METER_BUCKETS];
	int64_t		failures[RC_FAILURE_CODES];
} rc_meter;

/* An HTTP request has ended */
extern void rc_meter_call(rc_meter *meter, int64_t ms, int64_t sent, int64_t received);

#endif
