/* meter.c: counts an endpoint's calls */
#include "core/net/meter.h"

/* An HTTP request has ended */
void
rc_meter_call(rc_meter *meter, int64_t ms, int64_t sent, int64_t received)
{
	int			bucket = 0;

	while (bucket < RC_METER_BUCKETS - 1 && ms >= (int64_t) 1 << bucket)
		bucket++;
	meter->calls++;
	meter->latency[bucket]++;
	meter->bytes_sent += sent;
	meter->bytes_received += received;
}
