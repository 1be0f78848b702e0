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

/* A claimed batch: the lease on a run of the queue, and the open requests in it */
typedef struct rc_batch
{
	int32_t		network_id;
	int64_t		lo;				/* identifies the batch in its network */
	char	   *token;			/* fencing token */
	bool		failing;		/* its last look failed: settle wants to hear of a success */
	rc_request *requests;		/* oldest first */
	int			nrequests;
} rc_batch;

extern void rc_batch_free(rc_batch *batch);

#endif
