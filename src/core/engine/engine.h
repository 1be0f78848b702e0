/* engine.h: the worker's loop: claim, observe, settle, over all networks at once */
#ifndef RC_ENGINE_H
#define RC_ENGINE_H

#include "core/base/host.h"
#include "core/engine/cycle_log.h"
#include "core/protocol/counters.h"
#include "core/protocol/network.h"
#include "core/protocol/store.h"

typedef struct rc_engine_options
{
	const char *worker_id;
	const char *role;			/* "worker" in the server, "reconcilerd" in the daemon; for log lines */
	const rc_host *host;
	const rc_store *store;
	rc_overrides overrides;
	bool		once;			/* return when nothing is due */
	const int  *log_cycles;		/* rc_log_cycles, which may change while the engine runs; NULL: changes */
	bool		report;			/* tell the database of state, counters and endpoints */

	/* Called when the state, the networks that are waited for, or the counters have changed; may be NULL. Must not throw. */
	void		(*progress) (void *ctx, rc_state state, const char *networks, const rc_counters *counters);
	void	   *progress_ctx;
} rc_engine_options;

/* Runs until stop_requested (or, with once, until nothing is due); releases its leases before it returns */
extern void rc_engine_run(const rc_engine_options *options);

#endif
