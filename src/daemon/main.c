/* main.c: reconcilerd, a worker outside of the server */
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "checks.h"
#include "config.h"
#include "core/engine/engine.h"
#include "core/base/memory.h"
#include "daemon_host.h"
#include "pq_store.h"
#include "registration.h"
#include "status.h"

#define ROLE "reconcilerd"

/* How long the start may wait for endpoints that have to tell their chain */
#define REGISTRATION_WAIT_MS 5500

/* Says why the daemon doesn't start; takes problem over */
static int
refuse(const rc_daemon *daemon, char *problem)
{
	rc_logger_fatal(&daemon->logger, &daemon->host, problem);
	free(problem);
	return RC_EXIT_CONFIG;
}

/* A default path that doesn't work costs the health check; one that was asked for is an error */
static char *
open_heartbeat(rc_daemon *daemon, const rc_config *config)
{
	char	   *problem = rc_heartbeat_open(&daemon->heartbeat, config->heartbeat_file);
	char	   *line;

	if (problem == NULL)
		return NULL;
	if (!config->heartbeat_file_given)
	{
		rc_daemon_log(daemon, RC_LOG_WARNING, "no health check, set RECONCILER_HEARTBEAT_FILE", RC_NO_FIELDS, problem);
		free(problem);
		return NULL;
	}
	line = rc_asprintf("CONFIG_RECONCILER_HEARTBEAT_FILE_INVALID: %s:"
					   " give each daemon a path of its own in a directory that it may write", problem);
	free(problem);
	return line;
}

static void
retry_registration(void *registration)
{
	rc_registration_step(registration);
}

static void
work(rc_daemon *daemon, rc_config *config, rc_pq_store *pq)
{
	rc_engine_options options = {0};
	rc_registration *registration = NULL;

	if (config->networks.n > 0)
	{
		registration = rc_registration_create(daemon, rc_pq_store_table(pq), config->worker_id, &config->networks);
		rc_registration_begin(registration, REGISTRATION_WAIT_MS);
		daemon->tick = retry_registration;
		daemon->tick_arg = registration;
		options.overrides.endpoints = rc_own_networks_endpoints;
		options.overrides.endpoints_ctx = &config->networks;
	}
	options.worker_id = config->worker_id;
	options.role = ROLE;
	options.host = &daemon->host;
	options.store = rc_pq_store_table(pq);
	options.overrides.batch_size = config->batch_size;
	options.overrides.lease_ms = config->lease_ms;
	options.overrides.poll_interval_ms = config->poll_interval_ms;
	options.log_cycles = &config->log_cycles;
	options.once = config->once;
	if (config->once)
		daemon->lost_limit_ms = config->database_wait_ms;
	options.report = true;
	rc_engine_run(&options);
	daemon->tick = NULL;
	rc_registration_free(registration);
}

/* Connects and checks, then works until it is told to stop */
static int
serve(rc_daemon *daemon, rc_config *config)
{
	rc_pq_store *pq = rc_pq_store_create(daemon, config->database_url, config->statement_timeout_ms);
	char	   *problem = open_heartbeat(daemon, config);
	char	   *unreachable;

	if (problem == NULL && (unreachable = rc_pq_store_connect(pq, config->database_wait_ms)) != NULL)
	{
		problem = rc_asprintf("CONFIG_DATABASE_UNREACHABLE: %s:"
							  " check DATABASE_URL, and that the server runs and lets this role in", unreachable);
		free(unreachable);
	}
	if (problem == NULL)
		problem = rc_check_database(daemon, pq);
	if (daemon->host.stop_requested(daemon))
	{
		free(problem);
		problem = NULL;
	}
	else if (problem == NULL)
	{
		rc_daemon_log(daemon, RC_LOG_INFO, "started",
					  RC_FIELDS(rc_field_text("version", RC_VERSION),
								rc_field_text("host", rc_pq_store_host(pq)),
								rc_field_text("database", rc_pq_store_database(pq)),
								rc_field_text("user", rc_pq_store_user(pq))), NULL);
		work(daemon, config, pq);
	}
	rc_pq_store_free(pq);
	rc_heartbeat_close(&daemon->heartbeat);
	if (problem != NULL)
		return refuse(daemon, problem);
	if (rc_daemon_gave_up(daemon) && rc_daemon_stop_budget() < 0)
	{
		rc_daemon_log(daemon, RC_LOG_WARNING, "gave up, the database is lost", RC_NO_FIELDS, NULL);
		return RC_EXIT_RETRY;
	}
	rc_daemon_log(daemon, RC_LOG_INFO, "stopped", RC_NO_FIELDS, NULL);
	return 0;
}

static int
run(rc_daemon *daemon, rc_config *config, int argc, char **argv)
{
	char	   *problem = rc_config_load(config, argc, argv);

	daemon->logger.format = (rc_log_format) config->log_format;
	daemon->logger.level = (rc_log_level) config->log_level;
	daemon->host.role = ROLE;
	daemon->host.worker_id = config->worker_id;
	if (problem != NULL)
		return refuse(daemon, problem);
	if (config->help)
	{
		rc_config_print_help(stdout);
		return 0;
	}
	if (config->version)
	{
		printf("reconcilerd %s\n", RC_VERSION);
		return 0;
	}
	if (config->healthcheck)
		return rc_healthcheck(daemon, config);
	if (config->command == RC_COMMAND_STATUS)
		return rc_status(daemon, config);
	if (config->command == RC_COMMAND_TOP)
		return rc_top(daemon, config);
	if (!config->enabled)
	{
		rc_daemon_log(daemon, RC_LOG_INFO, "not enabled", RC_NO_FIELDS, "RECONCILER_ENABLED is false: nothing to do");
		return 0;
	}
	return serve(daemon, config);
}

int
main(int argc, char **argv)
{
	rc_daemon	daemon;
	rc_config	config;
	int			code;

	if (!rc_daemon_init(&daemon))
	{
		perror("reconcilerd: can't set up signals");
		return 1;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	code = run(&daemon, &config, argc, argv);
	rc_config_free(&config);
	curl_global_cleanup();
	return code;
}
