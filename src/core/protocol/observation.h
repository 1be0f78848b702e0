/* observation.h: what one look found out, and the form in which settle hears of it */
#ifndef RC_OBSERVATION_H
#define RC_OBSERVATION_H

#include "core/protocol/batch.h"

typedef struct rc_block
{
	bool		known;
	uint64_t	height;
	int64_t		time;			/* Unix seconds, the chain's own */
	int64_t		median_time;	/* the median of the last eleven blocks', which all that come are younger than; 0: not known */
	char		hash[67];		/* as the chain writes it; "" if not known */
} rc_block;

/* What was observed of one request: error, or both amounts */
typedef struct rc_result
{
	char	   *error;			/* malloc'd; NULL: seen and settled are valid */
	rc_uint256	seen;			/* at the tip, mempool included */
	rc_uint256	settled;		/* at the confirmation depth */
} rc_result;

typedef struct rc_observation
{
	char	   *failure;		/* malloc'd; not NULL: nothing was observed, results say nothing */
	bool		asked;			/* an endpoint was asked; else the failure is no evidence */
	struct rc_endpoint *endpoint;	/* that answered; NULL: none */
	int			http_requests;	/* that count for the network's rate_limit */
	rc_block	tip;			/* the block that seen was read at */
	rc_block	depth;			/* the block that settled was read at */
	rc_result  *results;		/* nresults of them, in the order of the requests */
	int			nresults;
	uint64_t	chain_id;		/* which the endpoint was asked for, EIP-155; 0: the kind has none */
} rc_observation;

extern void rc_observation_free(rc_observation *observation);

/*
 * The part of an observation that settle has to know: what changed since the
 * batch was claimed, and whatever is about to expire. NULL if there is no such
 * part, unless it is always wanted; else a malloc'd JSON object. *errors counts
 * requests without an answer.
 */
extern char *rc_observation_to_json(const rc_observation *observation, const rc_batch *batch,
									bool always, bool release, int *errors);

#endif
