/* guc.c: the server's settings, and what is refused with which reason */
#include "postgres.h"

#include <ctype.h>
#include <limits.h>

#include "miscadmin.h"
#include "datatype/timestamp.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "compat.h"
#include "core/engine/cycle_log.h"
#include "core/outbox/hosts.h"
#include "guc.h"

/* Longest reconciler.worker_id, in bytes */
#define WORKER_ID_LIMIT 63

#define MS_PER_DAY		(24 * 60 * 60 * 1000)
#define MS_PER_HOUR		(60 * 60 * 1000)

char	   *rc_guc_database = NULL;
char	   *rc_guc_worker_id = NULL;
int			rc_guc_workers = 0;
int			rc_guc_max_workers = 8;
int			rc_guc_statement_timeout = 30000;
int			rc_guc_log_cycles = RC_LOG_CYCLES_CHANGES;

static const struct config_enum_entry log_cycles_options[] = {
	{"changes", RC_LOG_CYCLES_CHANGES, false},
	{"all", RC_LOG_CYCLES_ALL, false},
	{NULL, 0, false}
};

/* Read by the SQL functions with current_setting(), not by C */
static int	batch_size;
static int	lease_duration;
static int	poll_interval;
static int	request_timeout;
static int	expiry_grace;
static int	retention;
static int	event_retention;
static int	event_retention_limit;
static int	webhook_timeout;
static int	webhook_retry;
static int	webhook_give_up;
static char *webhook_hosts;

/* Splits a list of database names; names keep their case. NULL: not a list */
static bool
split_databases(char *raw, List **names)
{
	return SplitGUCList(raw, ',', names);
}

static bool
check_database(char **newval, void **extra, GucSource source)
{
	char	   *raw = pstrdup(*newval);
	List	   *names;
	List	   *seen = NIL;
	ListCell   *cell;

	(void) extra;
	(void) source;
	if (!split_databases(raw, &names))
	{
		GUC_check_errdetail("It must be a comma-separated list of database names.");
		return false;
	}
	foreach(cell, names)
	{
		char	   *name = lfirst(cell);
		ListCell   *other;

		if (strlen(name) >= NAMEDATALEN)
		{
			GUC_check_errdetail("The database name \"%s\" is longer than %d bytes.", name, NAMEDATALEN - 1);
			return false;
		}
		foreach(other, seen)
		{
			if (strcmp(lfirst(other), name) == 0)
			{
				GUC_check_errdetail("The database \"%s\" is named twice.", name);
				return false;
			}
		}
		seen = lappend(seen, name);
	}
	list_free(seen);
	list_free(names);
	pfree(raw);
	return true;
}

static bool
check_workers(int *newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;

	/* Without the preloaded library there is no launcher, and max_workers isn't known */
	if (rc_guc_max_workers >= *newval)
		return true;
	GUC_check_errdetail("\"reconciler.workers\" must not be greater than \"reconciler.max_workers\" (%d), which can be changed at server start only.",
						rc_guc_max_workers);
	return false;
}

/* The id stands in log lines as key=value, so it is kept to what needs no quoting */
static bool
is_worker_id_char(char c)
{
	return isascii((unsigned char) c) && (isalnum((unsigned char) c) || strchr("._:@/-", c) != NULL);
}

static bool
check_worker_id(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (strlen(*newval) > WORKER_ID_LIMIT)
	{
		GUC_check_errdetail("It must not be longer than %d bytes.", WORKER_ID_LIMIT);
		return false;
	}
	for (const char *p = *newval; *p != '\0'; p++)
	{
		if (!is_worker_id_char(*p))
		{
			GUC_check_errdetail("It may have letters, digits and the characters . _ : @ / - only.");
			return false;
		}
	}
	return true;
}

static bool
check_retention(int *newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (*newval == 0 || *newval >= SECS_PER_DAY)
		return true;
	GUC_check_errdetail("It must be 0, or at least a day.");
	return false;
}

/* Settings that are fixed when the server starts */
static void
define_start_settings(void)
{
	DefineCustomStringVariable("reconciler.database",
							   "The databases whose payment requests are reconciled.",
							   "A comma-separated list of names. Each needs CREATE EXTENSION reconciler.",
							   &rc_guc_database, "",
							   PGC_POSTMASTER, GUC_LIST_INPUT,
							   check_database, NULL, NULL);
	DefineCustomIntVariable("reconciler.max_workers",
							"The most workers that reconciler.workers can ask for.",
							"Workers count towards max_worker_processes.",
							&rc_guc_max_workers, 8, 1, RC_WORKERS_LIMIT,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static void
define_worker_settings(void)
{
	DefineCustomIntVariable("reconciler.workers",
							"How many workers run in this server.",
							"0 turns reconciling in the server off.",
							&rc_guc_workers, 0, 0, RC_WORKERS_LIMIT,
							PGC_SIGHUP, 0, check_workers, NULL, NULL);
	DefineCustomStringVariable("reconciler.worker_id",
							   "What the ids of this server's workers start with.",
							   "The id is this and the worker's number; if empty, cluster_name or \"postgres\" is taken.",
							   &rc_guc_worker_id, "",
							   PGC_SIGHUP, 0, check_worker_id, NULL, NULL);
	DefineCustomIntVariable("reconciler.statement_timeout",
							"How long a statement of a worker may run.",
							"It is cancelled then: an application's trigger must not stop a worker for good.",
							&rc_guc_statement_timeout, 30000, 1000, MS_PER_DAY,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("reconciler.log_cycles",
							 "Which cycles of workers get a line of their own in the log.",
							 "\"changes\": those in which something happened; the others are summed up once a minute.",
							 &rc_guc_log_cycles, RC_LOG_CYCLES_CHANGES, log_cycles_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_claim_settings(void)
{
	DefineCustomIntVariable("reconciler.batch_size",
							"The most payment requests that are leased and observed together.",
							NULL,
							&batch_size, 700, 1, 740,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("reconciler.lease_duration",
							"How long a worker owns a batch before others may take it over.",
							NULL,
							&lease_duration, 15000, 1000, MS_PER_HOUR,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("reconciler.poll_interval",
							"The time between two looks at a payment request.",
							NULL,
							&poll_interval, 15000, 100, MS_PER_DAY,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("reconciler.request_timeout",
							"How long an endpoint may take to answer one call.",
							NULL,
							&request_timeout, 5000, 100, 10 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("reconciler.expiry_grace",
							"How long after its expiry a payment request that can't be observed stays open.",
							NULL,
							&expiry_grace, 3600, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
define_event_settings(void)
{
	DefineCustomIntVariable("reconciler.retention",
							"How long history and payments of ended requests are kept.",
							"0 keeps them for ever; else at least a day. What keeps a request from being confirmed twice stays.",
							&retention, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, check_retention, NULL, NULL);
	DefineCustomIntVariable("reconciler.event_retention",
							"How long events are kept that every consumer has acknowledged.",
							NULL,
							&event_retention, 7 * 24 * 3600, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("reconciler.event_retention_limit",
							"How long events are kept for a consumer that doesn't acknowledge them.",
							"They are deleted then, and the consumer is told that it has missed some.",
							&event_retention_limit, 30 * 24 * 3600, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static bool
check_webhook_hosts(char **newval, void **extra, GucSource source)
{
	char	   *problem;
	rc_hosts   *hosts = rc_hosts_parse(*newval, &problem);

	(void) extra;
	(void) source;
	if (hosts == NULL)
	{
		GUC_check_errdetail("%s", problem);
		free(problem);
		return false;
	}
	rc_hosts_free(hosts);
	return true;
}

static void
define_webhook_settings(void)
{
	DefineCustomStringVariable("reconciler.webhook_hosts",
							   "The hosts that webhooks may be sent to.",
							   "A comma-separated list of names (also *.example.com, or * for all), addresses and networks (10.0.0.0/8). Empty: all hosts. "
							   "Loopback, private and link-local addresses must be listed as addresses or networks in any case.",
							   &webhook_hosts, "",
							   PGC_SIGHUP, 0, check_webhook_hosts, NULL, NULL);
	DefineCustomIntVariable("reconciler.webhook_timeout",
							"How long the receiver of a webhook may take to answer.",
							NULL,
							&webhook_timeout, 10000, 100, 10 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("reconciler.webhook_retry",
							"How long after a webhook's first failure it is tried again.",
							"Each further pause is three times as long, at most four hours.",
							&webhook_retry, 5000, 10, MS_PER_HOUR,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("reconciler.webhook_give_up",
							"How long after its first failure a webhook is given up.",
							NULL,
							&webhook_give_up, 3 * 24 * 3600, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

void
rc_guc_define(bool preloading)
{
	/*
	 * max_workers comes first, so that the value of workers in the
	 * configuration file is checked against the one that is in force.
	 */
	if (preloading)
		define_start_settings();
	else
		rc_guc_max_workers = RC_WORKERS_LIMIT;
	define_worker_settings();
	define_claim_settings();
	define_event_settings();
	define_webhook_settings();

	/* Reserving the prefix would throw away the two settings that can't be defined */
	if (preloading)
		MarkGUCPrefixReserved("reconciler");
}

List *
rc_guc_databases(void)
{
	char	   *raw = pstrdup(rc_guc_database ? rc_guc_database : "");
	List	   *names;
	List	   *copies = NIL;
	ListCell   *cell;

	if (split_databases(raw, &names))
	{
		foreach(cell, names)
			copies = lappend(copies, pstrdup(lfirst(cell)));
		list_free(names);
	}
	pfree(raw);
	return copies;
}

void
rc_guc_worker_name(int slot, char *name, size_t size)
{
	const char *prefix = "postgres";
	char		clean[WORKER_ID_LIMIT + 1];

	if (cluster_name != NULL && cluster_name[0] != '\0')
		prefix = cluster_name;
	if (rc_guc_worker_id != NULL && rc_guc_worker_id[0] != '\0')
		prefix = rc_guc_worker_id;
	strlcpy(clean, prefix, sizeof(clean));
	for (char *p = clean; *p != '\0'; p++)
	{
		if (!is_worker_id_char(*p))
			*p = '_';
	}
	snprintf(name, size, "%s:%d", clean, slot + 1);
}
