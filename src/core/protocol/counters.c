/* counters.c: names of a worker's states */
#include "core/protocol/counters.h"

const char *
rc_state_name(rc_state state)
{
	switch (state)
	{
		case RC_STATE_STARTING:
			return "starting";
		case RC_STATE_IDLE:
			return "idle";
		case RC_STATE_OBSERVING:
			return "observing";
		case RC_STATE_SETTLING:
			return "settling";
		case RC_STATE_STOPPING:
			return "stopping";
	}
	return "unknown";
}
