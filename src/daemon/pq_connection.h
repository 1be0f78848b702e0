/* pq_connection.h: connecting by libpq with every wait interruptible, and texts of errors without secrets */
#ifndef RC_DAEMON_PQ_CONNECTION_H
#define RC_DAEMON_PQ_CONNECTION_H

#include <libpq-fe.h>

#include "daemon_host.h"

/* Connection parameters: what conninfo says, and defaults for what it leaves open */
typedef struct rc_pq_parameters
{
	const char **keywords;		/* ended by NULL */
	const char **values;
	PQconninfoOption *parsed;	/* owns the values that conninfo gave */
	char	   *conninfo;
} rc_pq_parameters;

extern void rc_pq_parameters_init(rc_pq_parameters *parameters, const char *conninfo);
extern void rc_pq_parameters_free(rc_pq_parameters *parameters);

/* A connection that is ready for statements; or NULL, and *problem (malloc'd, no secret in it) says why not */
extern PGconn *rc_pq_connect(rc_daemon *daemon, const rc_pq_parameters *parameters, char **problem);

/* Runs SET commands. False: no answer, or (unless they are optional) a refusal */
extern bool rc_pq_run_settings(rc_daemon *daemon, PGconn *conn, const char *settings, bool optional,
							   int64_t deadline_ms);

/* The last result of the command under way, or NULL: the connection can't be used any more */
extern PGresult *rc_pq_await_result(rc_daemon *daemon, PGconn *conn, int64_t deadline_ms);

#endif
