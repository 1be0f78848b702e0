/* webhooks.h: sends events to webhooks, driven by the engine beside its networks */
#ifndef RC_WEBHOOKS_H
#define RC_WEBHOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/host.h"
#include "core/net/http.h"
#include "core/protocol/store.h"

typedef struct rc_webhooks rc_webhooks;

extern rc_webhooks *rc_webhooks_start(rc_http *http, const rc_host *host, const rc_store *store, const char *worker_id);

/* Claims what is due and tells the database what came of what was sent; claim false: the latter only */
extern void rc_webhooks_step(rc_webhooks *webhooks, bool claim);

/* rc_now_ms() at which the next step is due */
extern int64_t rc_webhooks_next_ms(const rc_webhooks *webhooks);

/* For a worker that is about to end: sends what is due. True: there is nothing */
extern bool rc_webhooks_flush(rc_webhooks *webhooks);

/* Is anything being sent? */
extern bool rc_webhooks_in_flight(const rc_webhooks *webhooks);

/* Gives back what is being sent: it is due at once, and may come twice */
extern void rc_webhooks_free(rc_webhooks *webhooks);

#endif
