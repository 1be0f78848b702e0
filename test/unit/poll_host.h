/* poll_host.h: a host for the core on poll(2), for unit tests */
#ifndef POLL_HOST_H
#define POLL_HOST_H

#include "core/base/host.h"
#include "core/chain/look.h"

extern const rc_host *poll_host(void);

/* Everything that was logged since the last call of poll_host_clear_log, each line with its newline */
extern const char *poll_host_log(void);
extern void poll_host_clear_log(void);

/* What look_and_wait bounds tips by; at first by nothing */
extern rc_tip_bounds look_bounds;

/* Runs one look to its end; at most 30 s, else NULL */
extern rc_observation *look_and_wait(rc_http *http, rc_network *network, const rc_request *requests, int nrequests);

#endif
