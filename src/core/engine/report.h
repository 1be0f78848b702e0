/* report.h: what a worker tells the database of itself, its networks and their endpoints */
#ifndef RC_REPORT_H
#define RC_REPORT_H

#include "core/engine/engine.h"

/* One for each network; zero to begin with */
typedef struct rc_network_report
{
	rc_tally	tally;
	bool		listed;			/* the database knows which endpoints this worker has */
} rc_network_report;

/* One for each worker; zero to begin with */
typedef struct rc_reporter
{
	rc_counters told;			/* what counters were when they were last told */
	char	   *error;			/* the last one, until it is told */
	int64_t		error_at_ms;
	bool		due;			/* there is something to tell */
	int64_t		report_at_ms;
	int64_t		heartbeat_at_ms;
	struct json_object *networks;	/* while a report is made */
	rc_counters traffic;		/* of the endpoints in it */
} rc_reporter;

/* An error that is worth showing as the worker's last; text is copied */
extern void rc_reporter_error(rc_reporter *reporter, const char *text);

/* Is it time? Something has changed, or the last report is old */
extern bool rc_reporter_is_due(const rc_reporter *reporter);

/* A report: begin, each network, and send; told after a report that the database has taken */
extern void rc_report_begin(rc_reporter *reporter);
extern void rc_report_network(rc_reporter *reporter, const rc_network *network, const rc_network_report *report);
extern bool rc_report_send(rc_reporter *reporter, const rc_engine_options *options, rc_state state,
						   const char *networks, const rc_counters *counters, bool stopped);
extern void rc_report_told(rc_network *network, rc_network_report *report);

extern void rc_reporter_free(rc_reporter *reporter);

#endif
