/* outbox.h: the statements by which workers send events to webhooks, and clear away what is old */
#ifndef RC_OUTBOX_H
#define RC_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#include "core/protocol/store.h"

/* When a webhook has something to be sent */
typedef struct rc_webhook_due
{
	int32_t		webhook_id;
	long		due_ms;			/* from now */
} rc_webhook_due;

/* What is to be posted, where, under which lease */
typedef struct rc_delivery
{
	int32_t		webhook_id;
	int64_t		turn;			/* identifies it in its webhook */
	char	   *token;			/* fencing token */
	char	   *url;			/* may hold secrets: never logged */
	char	   *hosts;			/* reconciler.webhook_hosts */
	long		timeout_ms;
	char	   *id;				/* headers' values */
	char	   *timestamp;
	char	   *signature;
	char	   *body;
	size_t		body_len;
} rc_delivery;

/* What came of it, as the database says */
typedef struct rc_delivery_outcome
{
	char		outcome[16];	/* delivered, failed, dead, released */
	char	   *webhook;		/* its name */
	int64_t		event_id;
	int			attempts;
} rc_delivery_outcome;

extern void rc_delivery_free(rc_delivery *delivery);

/* *due is an array of *n, to be freed; *again_ms: when to ask again, -1 where there is no webhook */
extern rc_store_status rc_outbox_due(const rc_store *store, const char *worker_id, rc_webhook_due **due, int *n, long *again_ms);

/* Leases at most so many deliveries; *deliveries is an array of *n pointers, all of it the caller's to free */
extern rc_store_status rc_outbox_claim(const rc_store *store, const char *worker_id, int32_t webhook_id, int most,
									   rc_delivery ***deliveries, int *n);

/* status 0: no HTTP answer, and error says why; neither: nobody has tried. retry_after_ms -1: none was asked for */
extern rc_store_status rc_outbox_finish(const rc_store *store, const char *worker_id, const rc_delivery *delivery,
										long status, const char *error, long retry_after_ms,
										rc_delivery_outcome *outcome);

/* Deletes events that are no longer kept; *more: call again soon */
extern rc_store_status rc_outbox_retire(const rc_store *store, const char *worker_id, bool *more);

#endif
