/* cycle_log.h: what a worker logs of its cycles on one network: changes at once, the rest summed up */
#ifndef RC_CYCLE_LOG_H
#define RC_CYCLE_LOG_H

#include "core/base/host.h"
#include "core/protocol/counters.h"
#include "core/protocol/network.h"

/* Which cycles get a line of their own */
typedef enum rc_log_cycles
{
	RC_LOG_CYCLES_CHANGES,		/* those in which something happened */
	RC_LOG_CYCLES_ALL
} rc_log_cycles;

/* One cycle, or several */
typedef struct rc_cycle_report
{
	rc_counters counters;
	int64_t		latency_ms;		/* of several: the longest */
	bool		followed;		/* the three below count */
	int			blocks;
	int			transactions;
	int			payments;
} rc_cycle_report;

/* One for each network; zero to begin with */
typedef struct rc_cycle_log
{
	rc_cycle_report sum;		/* of cycles without a line of their own */
	int64_t		summed_since_ms;	/* 0: there are none */
	char	   *failure;		/* as the log has it; NULL: the network is observed */
	int			changes;		/* of failure that were logged lately */
	int64_t		changes_since_ms;
} rc_cycle_log;

/* The network can't be observed (and why), or can (NULL): logs the change. True if it did */
extern bool rc_cycle_log_failure(rc_cycle_log *log, const rc_host *host, const rc_network *network,
								 const char *failure);

/* A cycle has ended. news: it logged something else that is new */
extern void rc_cycle_log_end(rc_cycle_log *log, const rc_host *host, const rc_network *network,
							 const rc_cycle_report *report, rc_log_cycles which, bool news);

/* Logs the sum if it is a minute old; in any case, if last (the network's, or the worker's, end) */
extern void rc_cycle_log_flush(rc_cycle_log *log, const rc_host *host, const rc_network *network, bool last);

extern void rc_cycle_log_free(rc_cycle_log *log);

extern void rc_counters_add(rc_counters *sum, const rc_counters *part);

/* How often what has no line of its own is summed up */
#define RC_CYCLE_SUM_MS		60000

/* Changes between working and failing that are logged in ten minutes: an endpoint may come and go for days */
#define RC_CYCLE_CHANGES_LIMIT	20
#define RC_CYCLE_CHANGES_MS		(10 * 60 * 1000)

#endif
