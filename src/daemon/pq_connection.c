/* pq_connection.c: connecting by libpq with every wait interruptible, and texts of errors without secrets */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/protocol/session.h"
#include "core/base/text.h"
#include "core/net/redact.h"
#include "pq_connection.h"

#define CONNECT_TIMEOUT_MS	10000

/* Shorter pieces of a password would be found everywhere in an error text, and tell nothing */
#define SECRET_PIECE_MIN	3

/*
 * For what the connection string leaves open. A peer that vanished is noticed
 * within half a minute, and of several hosts the primary is taken.
 */
static const char *const defaults[][2] = {
	{"fallback_application_name", "reconcilerd"},
	{"client_encoding", "UTF8"},
	{"target_session_attrs", "primary"},
	{"keepalives_idle", "10"},
	{"keepalives_interval", "5"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "20000"}
};

#define NDEFAULTS ((int) (sizeof(defaults) / sizeof(defaults[0])))

/* How often it is looked whether a stop holds up a statement, or the other way round */
#define STOP_CHECK_MS		100

/* Of the time for a stop: for cancelling a statement that runs, and giving leases back */
#define STOP_CANCEL_MS		500

/*
 * Comes before the settings of the protocol (session.h): without a role that
 * was set for the database, in the encoding of the core, and names looked up
 * where only superusers create them. Settings of plpgsql can't be looked up as
 * long as it isn't loaded.
 */
static const char first_settings[] =
"SET statement_timeout = 0; SET search_path = pg_catalog, pg_temp; SET ROLE NONE;"
" SET client_encoding = 'UTF8'; SET client_min_messages = 'warning';"
" SET plpgsql.extra_errors = 'none'; SET plpgsql.extra_warnings = 'none'";

/* %s: VALUES. What only a superuser may set is left to what runs with the extension's rights */
#define PROTOCOL_SETTINGS \
	"SELECT pg_catalog.set_config(s.name, v.value, false)" \
	" FROM (VALUES %s) AS v (name, value) JOIN pg_catalog.pg_settings AS s ON pg_catalog.lower(s.name) = pg_catalog.lower(v.name)" \
	" WHERE s.setting <> v.value AND (s.context = 'user' OR pg_catalog.has_parameter_privilege(s.name, 'SET'))"

/*
 * A claim that nobody waits for any more should end, not commit and leave a
 * lease behind. Refused by servers on platforms that can't tell.
 */
static const char optional_settings[] = "SET client_connection_check_interval = '500ms'";

void
rc_pq_parameters_init(rc_pq_parameters *parameters, const char *conninfo)
{
	int			n = 0;
	int			nparsed = 0;

	parameters->conninfo = rc_strdup(conninfo);
	parameters->parsed = PQconninfoParse(conninfo, NULL);
	for (PQconninfoOption *option = parameters->parsed; option != NULL && option->keyword != NULL; option++)
		nparsed++;
	parameters->keywords = rc_calloc((size_t) (NDEFAULTS + nparsed + 1), sizeof(char *));
	parameters->values = rc_calloc((size_t) (NDEFAULTS + nparsed + 1), sizeof(char *));

	/* Of two values for a keyword libpq takes the later */
	for (int i = 0; i < NDEFAULTS; i++, n++)
	{
		parameters->keywords[n] = defaults[i][0];
		parameters->values[n] = defaults[i][1];
	}
	for (int i = 0; i < nparsed; i++)
	{
		if (parameters->parsed[i].val == NULL)
			continue;
		parameters->keywords[n] = parameters->parsed[i].keyword;
		parameters->values[n++] = parameters->parsed[i].val;
	}
}

void
rc_pq_parameters_free(rc_pq_parameters *parameters)
{
	free(parameters->keywords);
	free(parameters->values);
	free(parameters->conninfo);
	PQconninfoFree(parameters->parsed);
}

/* A piece of the connection string in an error text */
static void
redact_piece(char *text, const char *secret, size_t len)
{
	if (len >= SECRET_PIECE_MIN)
		rc_text_redact_secret(text, secret, len);
}

/*
 * Takes out of an error text whatever stands between user and host of the URI.
 * A password with an @ or / that isn't percent-encoded makes libpq take a part
 * of it for a host or database, and say so.
 */
static void
redact_userinfo(char *text, const char *conninfo)
{
	const char *start = strstr(conninfo, "://");
	const char *end = strrchr(conninfo, '@');

	if (start == NULL || end == NULL || end < start)
		return;
	start = strpbrk(start + 3, ":@");
	if (start == NULL || start >= end)
		return;
	start++;
	redact_piece(text, start, (size_t) (end - start));
	while (start < end)
	{
		size_t		len = strcspn(start, "@:/?#&=");

		redact_piece(text, start, len);
		start += len + 1;
	}
}

static char *
redacted_error(const char *error, const rc_pq_parameters *parameters)
{
	char	   *text = rc_strdup(error);
	char	   *line;

	for (PQconninfoOption *option = parameters->parsed; option != NULL && option->keyword != NULL; option++)
		if (option->val != NULL && (strcmp(option->keyword, "password") == 0 || strcmp(option->keyword, "sslpassword") == 0))
			redact_piece(text, option->val, strlen(option->val));
	redact_userinfo(text, parameters->conninfo);
	line = rc_text_one_line(text);
	free(text);
	return line;
}

/* Takes the connection through libpq's states. False: it failed, or time is up */
static bool
establish(rc_daemon *daemon, PGconn *conn, int64_t deadline_ms, bool *timed_out)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	while (PQstatus(conn) != CONNECTION_BAD && next != PGRES_POLLING_FAILED)
	{
		if (next == PGRES_POLLING_OK)
			return true;
		if (!rc_daemon_wait_fd(daemon, PQsocket(conn), next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms))
		{
			*timed_out = true;
			return false;
		}
		next = PQconnectPoll(conn);
	}
	return false;
}

static void
cancel_statement(PGconn *conn)
{
	PGcancel   *cancel = PQgetCancel(conn);
	char		error[256];

	/* Whether it works shows in the result. If it doesn't come back, the watchdog ends the process. */
	if (cancel != NULL)
		(void) PQcancel(cancel, error, sizeof(error));
	PQfreeCancel(cancel);
}

/*
 * Waits for the answer to a statement. One that runs when a stop is requested
 * is cancelled in time to give leases back by the same connection.
 */
static bool
wait_for_answer(rc_daemon *daemon, PGconn *conn, int64_t deadline_ms, bool *may_cancel)
{
	for (;;)
	{
		long		budget = rc_daemon_stop_budget();
		int64_t		until_ms = rc_now_ms() + STOP_CHECK_MS;

		if (*may_cancel && budget >= 0 && budget <= STOP_CANCEL_MS)
		{
			*may_cancel = false;
			cancel_statement(conn);
		}
		if (rc_daemon_wait_fd(daemon, PQsocket(conn), POLLIN, until_ms < deadline_ms ? until_ms : deadline_ms))
			return true;
		if (rc_now_ms() >= deadline_ms || rc_daemon_stop_budget() == 0)
			return false;
	}
}

PGresult *
rc_pq_await_result(rc_daemon *daemon, PGconn *conn, int64_t deadline_ms)
{
	PGresult   *last = NULL;
	bool		may_cancel = rc_daemon_stop_budget() < 0;

	while (PQflush(conn) == 1)
	{
		if (!rc_daemon_wait_fd(daemon, PQsocket(conn), POLLIN | POLLOUT, deadline_ms) || !PQconsumeInput(conn))
			return NULL;
	}
	for (;;)
	{
		PGresult   *result;

		while (PQisBusy(conn))
		{
			if (!wait_for_answer(daemon, conn, deadline_ms, &may_cancel))
			{
				PQclear(last);
				return NULL;
			}
			if (!PQconsumeInput(conn))
				break;
		}
		result = PQgetResult(conn);
		if (result == NULL)
			break;
		PQclear(last);
		last = result;
	}
	return last;
}

bool
rc_pq_run_settings(rc_daemon *daemon, PGconn *conn, const char *settings, bool optional, int64_t deadline_ms)
{
	PGresult   *result;
	bool		done;

	if (!PQsendQuery(conn, settings))
		return false;
	result = rc_pq_await_result(daemon, conn, deadline_ms);
	done = result != NULL && (optional || PQresultStatus(result) == PGRES_COMMAND_OK ||
							  PQresultStatus(result) == PGRES_TUPLES_OK);
	PQclear(result);
	return done;
}

static bool
set_protocol_settings(rc_daemon *daemon, PGconn *conn, int64_t deadline_ms)
{
	rc_buffer	values = {0};
	char	   *query;
	bool		done;

	for (const rc_session_setting *setting = rc_session_settings; setting->name != NULL; setting++)
		rc_buffer_printf(&values, "%s('%s', '%s')", values.len > 0 ? ", " : "", setting->name, setting->value);
	query = rc_asprintf(PROTOCOL_SETTINGS, values.data);
	done = rc_pq_run_settings(daemon, conn, query, false, deadline_ms);
	free(query);
	rc_buffer_free(&values);
	return done;
}

/* What might end the very transaction that sets the others; servers have it since 17 */
static bool
lift_transaction_timeout(rc_daemon *daemon, PGconn *conn, int64_t deadline_ms)
{
	return PQserverVersion(conn) < 170000 ||
		rc_pq_run_settings(daemon, conn, "SET transaction_timeout = 0", false, deadline_ms);
}

static bool
configure(rc_daemon *daemon, PGconn *conn, int64_t deadline_ms)
{
	return PQsetnonblocking(conn, 1) == 0 &&
		lift_transaction_timeout(daemon, conn, deadline_ms) &&
		rc_pq_run_settings(daemon, conn, first_settings, false, deadline_ms) &&
		set_protocol_settings(daemon, conn, deadline_ms) &&
		rc_pq_run_settings(daemon, conn, optional_settings, true, deadline_ms);
}

/* The core's level for what the server remarks on */
static void
receive_notice(void *arg, const PGresult *result)
{
	rc_daemon  *daemon = arg;
	char	   *line = rc_text_one_line(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));

	rc_daemon_log(daemon, RC_LOG_DEBUG, "server says", RC_NO_FIELDS, line);
	free(line);
}

PGconn *
rc_pq_connect(rc_daemon *daemon, const rc_pq_parameters *parameters, char **problem)
{
	int64_t		deadline_ms = rc_now_ms() + CONNECT_TIMEOUT_MS;
	bool		timed_out = false;
	PGconn	   *conn = PQconnectStartParams(parameters->keywords, parameters->values, 0);

	*problem = NULL;
	if (conn != NULL)
		PQsetNoticeReceiver(conn, receive_notice, daemon);
	if (conn != NULL && establish(daemon, conn, deadline_ms, &timed_out) && configure(daemon, conn, deadline_ms))
		return conn;
	if (timed_out)
		*problem = rc_strdup("no answer from the server");
	else
		*problem = redacted_error(conn ? PQerrorMessage(conn) : "out of memory", parameters);
	PQfinish(conn);
	return NULL;
}
