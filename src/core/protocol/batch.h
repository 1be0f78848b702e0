/* batch.h: a claimed batch and the requests in it */
#ifndef RC_BATCH_H
#define RC_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/uint256.h"

/* One open request of a claimed batch */
typedef struct rc_request
{
	int64_t		seq;
	char	   *address;
	char	   *token;			/* token contract; NULL: native */
	bool		known;			/* seen and settled are what settle knows; else it wants to hear of them anyway */
	rc_uint256	seen;
	rc_uint256	settled;
	bool		expiring;		/* due to expire unless this look finds something: always handed to settle */
	char	   *error;			/* the last observation's error, or NULL */
} rc_request;

/*
 * What the tip of an endpoint must satisfy, by the database's clock when the
 * batch or the cursor was claimed. Unix seconds; 0: no bound.
 */
typedef struct rc_tip_bounds
{
	int64_t		min_time;		/* an older tip: the node is behind */
	int64_t		max_time;		/* a younger one: its clock, or its unit, is wrong */
	int64_t		floor;			/* a height: a tip below it is behind, */
	int64_t		floor_min_time; /* if it is also older than this */
} rc_tip_bounds;

/* A claimed batch: the lease on a run of the queue, and the open requests in it */
typedef struct rc_batch
{
	int32_t		network_id;
	int64_t		lo;				/* identifies the batch in its network */
	char	   *token;			/* fencing token */
	int64_t		version;		/* of the network, by which it is looked at */
	bool		failing;		/* its last look failed: settle wants to hear of a success */
	rc_tip_bounds bounds;
	rc_request *requests;		/* oldest first */
	int			nrequests;
} rc_batch;

extern void rc_batch_free(rc_batch *batch);

#endif
