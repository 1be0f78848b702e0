/* pq_store.c: the database over libpq, without ever waiting in a way that a signal can't end */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/backoff.h"
#include "core/base/memory.h"
#include "core/base/text.h"
#include "pq_connection.h"
#include "pq_store.h"

/* A server that hasn't ended a statement so long after its limit has gone, or its host has */
#define OVERDUE_MS				5000

/* For settings */
#define SETTINGS_TIMEOUT_MS		10000

/* Pauses between attempts to connect: doubled each time, half of it at random so that daemons don't come in step */
#define RECONNECT_MIN_MS		250
#define RECONNECT_MAX_MS		30000

#define MAX_PREPARED			32
#define MAX_ARGS				16

/* pg_type.dat: every parameter is text */
#define TEXT_OID				25

#define CONNECTION_FIELDS(pq) \
	RC_FIELDS(rc_field_text("host", rc_pq_store_host(pq)), \
			  rc_field_text("database", rc_pq_store_database(pq)), \
			  rc_field_text("user", rc_pq_store_user(pq)))

struct rc_pq_store
{
	rc_daemon  *daemon;
	rc_store	table;
	rc_pq_parameters parameters;
	PGconn	   *conn;			/* NULL: not connected */
	const rc_statement *prepared[MAX_PREPARED];
	int			nprepared;
	long		limit_ms;		/* for a statement, unless it is slow */
	int64_t		server_limit_ms;	/* statement_timeout, as the connection has it; 0: not set yet */
	int			attempts;		/* to connect, since the last success */
	int64_t		retry_at_ms;
};

/* Errors after which the connection is of no use, or shows a state of the server that another may not have */
static bool
wants_new_connection(const char *sqlstate)
{
	return strcmp(sqlstate, "0A000") == 0 ||	/* a prepared statement's result has changed: extension updated */
		strcmp(sqlstate, "26000") == 0 ||	/* a prepared statement is unknown: a pooler in between */
		strcmp(sqlstate, "25006") == 0 ||	/* read-only: this server has become a standby */
		strncmp(sqlstate, "57P", 3) == 0;	/* the server is shutting down */
}

/* Errors that say that the extension isn't there */
static bool
extension_is_gone(const char *sqlstate)
{
	return strcmp(sqlstate, "3F000") == 0 ||	/* invalid_schema_name */
		strcmp(sqlstate, "42883") == 0 ||	/* undefined_function */
		strcmp(sqlstate, "42P01") == 0;	/* undefined_table */
}

static void
drop_connection(rc_pq_store *pq)
{
	PQfinish(pq->conn);
	pq->conn = NULL;
	pq->nprepared = 0;
	if (pq->daemon->database_lost_ms == 0)
		pq->daemon->database_lost_ms = rc_now_ms();
}

static int64_t
reconnect_pause(int attempts)
{
	return rc_backoff_ms(attempts, RECONNECT_MIN_MS, RECONNECT_MAX_MS);
}

/* One attempt; *problem says why it failed */
static bool
connect_once(rc_pq_store *pq, char **problem)
{
	pq->attempts++;
	pq->conn = rc_pq_connect(pq->daemon, &pq->parameters, problem);
	if (pq->conn == NULL)
		return false;
	pq->attempts = 0;
	pq->nprepared = 0;
	pq->server_limit_ms = 0;
	pq->daemon->database_lost_ms = 0;
	return true;
}

/* Connected, or connects if it is time for it */
static bool
ensure_connection(rc_pq_store *pq)
{
	char	   *problem;

	if (pq->conn != NULL)
		return true;
	if (rc_daemon_stop_budget() >= 0 || rc_now_ms() < pq->retry_at_ms)
		return false;
	if (connect_once(pq, &problem))
	{
		rc_daemon_log(pq->daemon, RC_LOG_INFO, "connected to the database again", CONNECTION_FIELDS(pq), NULL);
		return true;
	}
	pq->retry_at_ms = rc_now_ms() + reconnect_pause(pq->attempts);
	rc_daemon_log(pq->daemon, RC_LOG_WARNING, "no connection to the database",
				  RC_FIELDS(rc_field_int("attempt", pq->attempts),
							rc_field_int("retry_in_ms", pq->retry_at_ms - rc_now_ms())), problem);
	free(problem);
	return false;
}

char *
rc_pq_store_connect(rc_pq_store *pq, long wait_ms)
{
	int64_t		give_up_ms = rc_now_ms() + wait_ms;
	char	   *problem;

	while (!connect_once(pq, &problem))
	{
		int64_t		retry_at_ms = rc_now_ms() + reconnect_pause(pq->attempts);

		if (rc_daemon_stop_budget() >= 0 || retry_at_ms >= give_up_ms)
			return problem;
		rc_daemon_log(pq->daemon, RC_LOG_INFO, "waiting for the database",
					  RC_FIELDS(rc_field_int("attempt", pq->attempts)), problem);
		free(problem);
		rc_daemon_wait_fd(pq->daemon, -1, 0, retry_at_ms);
	}
	return NULL;
}

/* The connection broke, or was broken off, in mid-statement */
static rc_store_status
lose_connection(rc_pq_store *pq, const rc_statement *statement)
{
	if (rc_daemon_stop_budget() >= 0)
		rc_daemon_log(pq->daemon, RC_LOG_WARNING, "stopping before the database answered",
					  RC_FIELDS(rc_field_text("statement", statement->name)), NULL);
	else
	{
		char	   *line = rc_text_one_line(PQerrorMessage(pq->conn));

		rc_daemon_log(pq->daemon, RC_LOG_WARNING, "connection to the database lost",
					  RC_FIELDS(rc_field_text("statement", statement->name)), line[0] ? line : "no answer");
		free(line);
	}
	drop_connection(pq);

	/* Soon, but not all daemons at the same instant */
	pq->retry_at_ms = rc_now_ms() + reconnect_pause(1);
	return RC_STORE_GONE;
}

/* Logs an error of the server with its code, once as long as it goes on */
static void
log_error(rc_pq_store *pq, const rc_statement *statement, const char *sqlstate, const PGresult *result)
{
	char	   *message = rc_text_one_line(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	char	   *hint = rc_text_one_line(PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));

	(void) rc_log_change(&pq->daemon->host, RC_LOG_WARNING, "statement failed",
						 RC_FIELDS(rc_field_text("statement", statement->name),
								   rc_field_text("code", sqlstate),
								   rc_field_text("hint", hint[0] ? hint : NULL)), message);
	free(message);
	free(hint);
}

static rc_store_status
judge_error(rc_pq_store *pq, const rc_statement *statement, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	rc_store_status status;

	if (PQstatus(pq->conn) == CONNECTION_BAD || sqlstate == NULL)
		return lose_connection(pq, statement);
	status = rc_store_status_of(sqlstate);
	if (rc_store_is_expected(status))
		return status;
	log_error(pq, statement, sqlstate, result);
	if (wants_new_connection(sqlstate))
	{
		drop_connection(pq);
		return RC_STORE_GONE;
	}
	return extension_is_gone(sqlstate) ? RC_STORE_GONE : status;
}

/* Waits for the command that was sent. On anything but RC_STORE_OK there is no result */
static rc_store_status
finish_command(rc_pq_store *pq, const rc_statement *statement, bool sent, PGresult **result)
{
	rc_store_status status = RC_STORE_OK;

	*result = sent ? rc_pq_await_result(pq->daemon, pq->conn, rc_now_ms() + pq->server_limit_ms + OVERDUE_MS) : NULL;
	if (*result == NULL)
		return lose_connection(pq, statement);
	if (PQresultStatus(*result) != PGRES_TUPLES_OK && PQresultStatus(*result) != PGRES_COMMAND_OK)
	{
		status = judge_error(pq, statement, *result);
		PQclear(*result);
		*result = NULL;
	}
	return status;
}

/* Lets the server end the statement by itself, and not with the connection, when it takes too long */
static bool
set_limit(rc_pq_store *pq, const rc_statement *statement)
{
	int64_t		limit_ms = rc_statement_is_slow(statement) ? (int64_t) pq->limit_ms * RC_SLOW_FACTOR : pq->limit_ms;
	char		setting[64];

	if (pq->server_limit_ms == limit_ms)
		return true;
	snprintf(setting, sizeof(setting), "SET statement_timeout = %" PRId64, limit_ms);
	pq->server_limit_ms = limit_ms;
	return rc_pq_run_settings(pq->daemon, pq->conn, setting, false, rc_now_ms() + SETTINGS_TIMEOUT_MS);
}

/* Prepares a statement once for each connection */
static rc_store_status
prepare(rc_pq_store *pq, const rc_statement *statement)
{
	Oid			types[MAX_ARGS];
	PGresult   *result;
	rc_store_status status;

	for (int i = 0; i < pq->nprepared; i++)
		if (pq->prepared[i] == statement)
			return RC_STORE_OK;
	for (int i = 0; i < statement->nargs && i < MAX_ARGS; i++)
		types[i] = TEXT_OID;
	status = finish_command(pq, statement,
							PQsendPrepare(pq->conn, statement->name, statement->sql, statement->nargs, types),
							&result);
	PQclear(result);
	if (status == RC_STORE_OK && pq->nprepared < MAX_PREPARED)
		pq->prepared[pq->nprepared++] = statement;
	return status;
}

/* Copies the result into one block: pointers first, then the texts */
static void
take_rows(rc_rows *rows, const PGresult *result)
{
	int			nrows = PQntuples(result);
	int			ncols = PQnfields(result);
	size_t		ncells = (size_t) nrows * (size_t) ncols;
	size_t		size = ncells * sizeof(char *);
	char	   *text;

	for (int row = 0; row < nrows; row++)
		for (int col = 0; col < ncols; col++)
			size += (size_t) PQgetlength(result, row, col) + 1;
	rows->nrows = nrows;
	rows->ncols = ncols;
	rows->cells = rc_malloc(size > 0 ? size : 1);
	text = (char *) (rows->cells + ncells);
	for (int row = 0; row < nrows; row++)
	{
		for (int col = 0; col < ncols; col++)
		{
			size_t		len = (size_t) PQgetlength(result, row, col) + 1;

			if (PQgetisnull(result, row, col))
			{
				rc_cell(rows, row, col) = NULL;
				continue;
			}
			memcpy(text, PQgetvalue(result, row, col), len);
			rc_cell(rows, row, col) = text;
			text += len;
		}
	}
}

/* rc_store's run. Outside a transaction block each statement is a transaction, committed when its result is there */
static rc_store_status
run(void *ctx, const rc_statement *statement, const char *const *args, rc_rows *rows)
{
	rc_pq_store *pq = ctx;
	PGresult   *result;
	rc_store_status status;

	if (rows != NULL)
		memset(rows, 0, sizeof(*rows));
	if (!ensure_connection(pq))
		return RC_STORE_GONE;
	if (!set_limit(pq, statement))
		return lose_connection(pq, statement);
	status = prepare(pq, statement);
	if (status != RC_STORE_OK)
		return status;
	status = finish_command(pq, statement,
							PQsendQueryPrepared(pq->conn, statement->name, statement->nargs, args, NULL, NULL, 0),
							&result);
	if (status == RC_STORE_OK && rows != NULL)
		take_rows(rows, result);
	PQclear(result);
	return status;
}

rc_pq_store *
rc_pq_store_create(rc_daemon *daemon, const char *conninfo, long statement_timeout_ms)
{
	rc_pq_store *pq = rc_calloc(1, sizeof(*pq));

	pq->daemon = daemon;
	pq->limit_ms = statement_timeout_ms;
	pq->table.ctx = pq;
	pq->table.run = run;
	rc_pq_parameters_init(&pq->parameters, conninfo);
	return pq;
}

void
rc_pq_store_free(rc_pq_store *pq)
{
	PQfinish(pq->conn);
	rc_pq_parameters_free(&pq->parameters);
	free(pq);
}

const rc_store *
rc_pq_store_table(rc_pq_store *pq)
{
	return &pq->table;
}

const char *
rc_pq_store_user(const rc_pq_store *pq)
{
	return pq->conn ? PQuser(pq->conn) : "";
}

const char *
rc_pq_store_database(const rc_pq_store *pq)
{
	return pq->conn ? PQdb(pq->conn) : "";
}

const char *
rc_pq_store_host(const rc_pq_store *pq)
{
	return pq->conn ? PQhost(pq->conn) : "";
}
