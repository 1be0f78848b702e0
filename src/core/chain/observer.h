/* observer.h: what look.c asks of an observer (one for each kind of endpoint), and what it does for them */
#ifndef RC_OBSERVER_H
#define RC_OBSERVER_H

#include "core/chain/look.h"

/* One try of a look at one endpoint; made, failed over and freed by look.c */
typedef struct rc_attempt rc_attempt;

struct rc_attempt
{
	rc_http    *http;
	const rc_host *host;
	rc_network *network;
	rc_endpoint *endpoint;
	rc_tip_bounds bounds;		/* of the tip: rc_tip_problem */
	const rc_request *requests;
	int			nrequests;
	rc_observation *observation;	/* to fill in: tip, depth and results[0..nrequests), all zeroed at start */
	int		   *http_requests;	/* counts those sent, where the kind has a look_cost */
	void	   *state;			/* the observer's own, from start to its end */
	rc_look    *look;			/* look.c's */

	/* The endpoint answered: its failures are forgotten */
	void		(*succeeded) (rc_attempt *attempt);

	/*
	 * The endpoint is at fault (transport, HTTP status, rate limit, wrong chain,
	 * behind, malformed): it backs off, at least failure.retry_after_ms if that
	 * is not negative, and look.c goes to the next endpoint. Takes over
	 * failure.text (rc_malloc'd, one line, secrets of endpoint->url are redacted
	 * by look.c).
	 */
	void		(*failed) (rc_attempt *attempt, rc_failure failure);
};

/*
 * start: begins, never waits. Then exactly one of:
 *   - the observer frees its state and calls the attempt's succeeded or
 *     failed (from anywhere, even from inside start: look.c goes on
 *     from a timer), and doesn't touch the attempt again;
 *   - look.c calls cancel: the observer cancels its transfers and timers, frees
 *     its state, and calls neither.
 * Every result must be set when it succeeds: results[i].error (rc_malloc'd), or
 * both amounts. A request whose address does not parse is its own error.
 */
typedef struct rc_observer
{
	void		(*start) (rc_attempt *attempt);
	void		(*cancel) (rc_attempt *attempt);
} rc_observer;

/* Each stands in the table of its kind (chain.h) */
extern const rc_observer rc_evm_observer;		/* observer.c */
extern const rc_observer rc_esplora_observer;	/* esplora.c */

#endif
