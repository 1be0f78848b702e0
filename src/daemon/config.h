/* config.h: what reconcilerd is told by its environment and its flags */
#ifndef RC_DAEMON_CONFIG_H
#define RC_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "log.h"
#include "networks.h"

/* sysexits.h: configuration error; supervisors are told not to try again at once */
#define RC_EXIT_CONFIG 78

/* sysexits.h: temporary failure */
#define RC_EXIT_RETRY 75

typedef enum rc_command
{
	RC_COMMAND_WORK,
	RC_COMMAND_STATUS,
	RC_COMMAND_TOP
} rc_command;

typedef struct rc_config
{
	rc_command	command;
	bool		enabled;
	char	   *database_url;
	long		database_wait_ms;	/* patience at start */
	long		statement_timeout_ms;
	char	   *worker_id;
	int			batch_size;		/* 0: the database's setting; so with the two below */
	long		lease_ms;
	long		poll_interval_ms;
	rc_own_networks networks;
	int			log_level;		/* rc_log_level */
	int			log_format;		/* rc_log_format */
	int			log_cycles;		/* rc_log_cycles */
	char	   *heartbeat_file;
	bool		heartbeat_file_given;
	bool		once;
	bool		json;			/* of status */
	long		interval_ms;	/* of top */
	bool		healthcheck;
	bool		help;
	bool		version;
} rc_config;

/*
 * Reads environment and flags (flags win). Returns NULL, or a malloc'd line
 * "CONFIG_…: what is wrong and what to do" without any secret in it. Values of
 * secret flags in argv are overwritten, so that they don't stay in the process list.
 */
extern char *rc_config_load(rc_config *config, int argc, char **argv);

extern void rc_config_free(rc_config *config);

extern void rc_config_print_help(FILE *out);

#endif
