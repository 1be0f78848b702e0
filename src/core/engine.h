/* engine.h: the worker's loop: claim, observe, settle, over all networks at once */
#ifndef RC_ENGINE_H
#define RC_ENGINE_H

#include "host.h"
#include "store.h"

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

/* Replacements for the database's settings; 0 or NULL: take the database's */
typedef struct rc_overrides
{
	int			batch_size;
	long		lease_ms;
	long		poll_interval_ms;

	/*
	 * Endpoint URLs used in place of the database's for the network, in order
	 * of preference and ended by NULL; NULL: take the database's. The list
	 * stays valid while the engine runs, but the answer may change: ask with
	 * each refresh of the networks. The callback itself may be NULL.
	 */
	const char *const *(*endpoints) (void *ctx, const char *kind, const char *chain, const char *network);
	void	   *endpoints_ctx;
} rc_overrides;

typedef struct rc_engine_options
{
	const char *worker_id;
	const char *role;			/* "worker" in the server, "reconcilerd" in the daemon; for log lines */
	const rc_host *host;
	const rc_store *store;
	rc_overrides overrides;
	bool		once;			/* return when nothing is due */
	bool		report;			/* tell the database of state and counters (a worker outside the server) */

	/* Called when the state or the counters have changed; may be NULL. Must not throw. */
	void		(*progress) (void *ctx, rc_state state, const rc_counters *counters);
	void	   *progress_ctx;
} rc_engine_options;

/* Runs until stop_requested (or, with once, until nothing is due); releases its leases before it returns */
extern void rc_engine_run(const rc_engine_options *options);

#endif
