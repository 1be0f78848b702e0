/* config.c: what reconcilerd is told by its environment and its flags */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "config.h"
#include "core/base/memory.h"
#include "core/chain/chain.h"
#include "heartbeat.h"

typedef enum option_type
{
	OPTION_SWITCH,				/* a flag without a value */
	OPTION_BOOLEAN,
	OPTION_TEXT,
	OPTION_INTEGER,
	OPTION_SECONDS,				/* kept as milliseconds */
	OPTION_CHOICE				/* kept as the index of the word */
} option_type;

/*
 * An option is a row of the table below and a member of rc_config. check looks
 * at a text, and returns what is wrong with it (malloc'd) or NULL.
 */
typedef struct option
{
	const char *flag;			/* without its two dashes */
	const char *argument;		/* its value, as the help calls it */
	const char *env;			/* NULL: a flag only */
	const char *alias;			/* an older name of env */
	const char *unset;			/* what the help says of the default */
	const char *help;
	size_t		offset;			/* in rc_config; for text that check keeps elsewhere: NO_OFFSET */
	double		min;
	double		max;
	const char *const *choices;
	char	   *(*check) (rc_config *config, const char *value);
	option_type type;
	bool		secret;			/* its value is never shown */
} option;

#define NO_OFFSET ((size_t) -1)

static const char *const log_levels[] = {"debug", "info", "warning", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const log_cycles[] = {"changes", "all", NULL};

/* A worker's id stands in log lines and in lease_owner as one word */
#define WORKER_ID_LIMIT 100
#define WORKER_ID_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_@/-"

/*
 * A second @, or a / in front of the last one, comes from a password that isn't
 * percent-encoded: libpq would take a part of it for a host and name it in errors.
 */
static bool
has_stray_delimiter(const char *uri)
{
	const char *start = strstr(uri, "://");
	char	   *authority;
	char	   *at;
	bool		stray;

	if (start == NULL ||
		(strncmp(uri, "postgresql://", 13) != 0 && strncmp(uri, "postgres://", 11) != 0))
		return false;			/* a conninfo string */
	authority = rc_asprintf("%.*s", (int) strcspn(start + 3, "?"), start + 3);
	at = strrchr(authority, '@');
	if (at != NULL)
		*at = '\0';
	stray = at != NULL && strpbrk(authority, "@/") != NULL;
	free(authority);
	return stray;
}

/* libpq's own words would quote parts of the URL, and so perhaps of the password */
static char *
check_database_url(rc_config *config, const char *value)
{
	PQconninfoOption *parsed = PQconninfoParse(value, NULL);
	bool		stray = has_stray_delimiter(value);

	(void) config;
	PQconninfoFree(parsed);
	if (parsed != NULL && !stray)
		return NULL;
	return rc_asprintf("%s; write postgresql://user:password@host:5432/database, with special characters"
					   " of the password percent-encoded",
					   stray ? "its user or password holds an @ or / as it is" :
					   "it is neither a libpq URI nor a conninfo string");
}

static char *
check_worker_id(rc_config *config, const char *value)
{
	(void) config;
	if (strlen(value) > WORKER_ID_LIMIT || value[strspn(value, WORKER_ID_CHARACTERS)] != '\0')
		return rc_strdup("give at most 100 letters, digits and .:_@/-");
	return NULL;
}

/* Options whose values are endpoints: the table of kinds says of which kind */
#define EVM_URLS "evm-rpc-urls-json"
#define ESPLORA_URL "btc-esplora-base-url"

static const char *
kind_of_option(const char *name)
{
	for (const rc_chain *const *chain = rc_chains; *chain != NULL; chain++)
	{
		if ((*chain)->urls_option != NULL && strcmp((*chain)->urls_option, name) == 0)
			return (*chain)->kind;
	}
	return NULL;
}

static char *
check_evm_urls(rc_config *config, const char *value)
{
	char	   *problem = rc_own_networks_add_json(&config->networks, kind_of_option(EVM_URLS), value);
	char	   *message;

	if (problem == NULL)
		return NULL;
	message = rc_asprintf("%s; write {\"mainnet\":\"https://host/path\"}", problem);
	free(problem);
	return message;
}

static char *
check_esplora_url(rc_config *config, const char *value)
{
	char	   *problem;
	char	   *message;

	if (value[strspn(value, " \t\r\n")] == '{')
		problem = rc_own_networks_add_json(&config->networks, kind_of_option(ESPLORA_URL), value);
	else
		problem = rc_own_networks_add_url(&config->networks, kind_of_option(ESPLORA_URL), value);
	if (problem == NULL)
		return NULL;
	message = rc_asprintf("%s; write https://host/api or {\"mainnet\":\"https://host/api\"}", problem);
	free(problem);
	return message;
}

static char *
check_heartbeat_file(rc_config *config, const char *value)
{
	if (value[0] != '/')
		return rc_strdup("give an absolute path in a directory that reconcilerd may write");
	config->heartbeat_file_given = true;
	return NULL;
}

/* The options for logging stand first, so that complaints about others are already logged as wished. */
static const option options[] = {
	{"log-level", "LEVEL", "RECONCILER_LOG_LEVEL", "PAYMENT_REQUEST_RECONCILER_LOG_LEVEL", "info",
		"least important lines to log: debug, info or warning",
	offsetof(rc_config, log_level), 0, 0, log_levels, NULL, OPTION_CHOICE, false},
	{"log-format", "FORMAT", "RECONCILER_LOG_FORMAT", "PAYMENT_REQUEST_RECONCILER_LOG_FORMAT", "text",
		"lines on standard error as text or as json",
	offsetof(rc_config, log_format), 0, 0, log_formats, NULL, OPTION_CHOICE, false},
	{"log-cycles", "WHICH", "RECONCILER_LOG_CYCLES", "PAYMENT_REQUEST_RECONCILER_LOG_CYCLES", "changes",
		"cycles with a line of their own: changes (those in which something happened) or all; the others are summed up"
		" once a minute",
	offsetof(rc_config, log_cycles), 0, 0, log_cycles, NULL, OPTION_CHOICE, false},
	{"enabled", "BOOLEAN", "RECONCILER_ENABLED", "PAYMENT_REQUEST_RECONCILER_ENABLED", "true",
		"false: say so and exit with 0",
	offsetof(rc_config, enabled), 0, 0, NULL, NULL, OPTION_BOOLEAN, false},
	{"database-url", "URL", "DATABASE_URL", NULL, "required",
		"libpq URI or conninfo string of the database with the extension",
	offsetof(rc_config, database_url), 0, 0, NULL, check_database_url, OPTION_TEXT, true},
	{"database-wait-seconds", "SECONDS", "RECONCILER_DATABASE_WAIT_SECONDS",
		"PAYMENT_REQUEST_RECONCILER_DATABASE_WAIT_SECONDS", "5",
		"how long to try to reach the database at start; later it is tried for ever",
	offsetof(rc_config, database_wait_ms), 0, 86400, NULL, NULL, OPTION_SECONDS, false},
	{"statement-timeout-seconds", "SECONDS", "RECONCILER_STATEMENT_TIMEOUT_SECONDS",
		"PAYMENT_REQUEST_RECONCILER_STATEMENT_TIMEOUT_SECONDS", "30",
		"how long a statement may run in the database, 1 to 86400; upkeep may take 20 times as long",
	offsetof(rc_config, statement_timeout_ms), 1, 86400, NULL, NULL, OPTION_SECONDS, false},
	{"worker-id", "NAME", "RECONCILER_WORKER_ID", "PAYMENT_REQUEST_RECONCILER_WORKER_ID", "host:pid",
		"name in leases, transitions and log lines; different for every worker",
	offsetof(rc_config, worker_id), 0, 0, NULL, check_worker_id, OPTION_TEXT, false},
	{"batch-size", "N", "RECONCILER_BATCH_SIZE", "PAYMENT_REQUEST_RECONCILER_BATCH_SIZE", "the database's setting",
		"requests claimed at a time, 1 to 740",
	offsetof(rc_config, batch_size), 1, 740, NULL, NULL, OPTION_INTEGER, false},
	{"lease-seconds", "SECONDS", "RECONCILER_LEASE_SECONDS", "PAYMENT_REQUEST_RECONCILER_LEASE_SECONDS",
		"the database's setting",
		"how long a claim lasts if this daemon dies, 1 to 86400",
	offsetof(rc_config, lease_ms), 1, 3600, NULL, NULL, OPTION_SECONDS, false},
	{"poll-interval-seconds", "SECONDS", "RECONCILER_POLL_INTERVAL_SECONDS",
		"PAYMENT_REQUEST_RECONCILER_POLL_INTERVAL_SECONDS", "the database's setting",
		"time between two looks at a request, 0.1 to 86400",
	offsetof(rc_config, poll_interval_ms), 0.1, 86400, NULL, NULL, OPTION_SECONDS, false},
	{EVM_URLS, "JSON", "RECONCILER_EVM_RPC_URLS_JSON", "PAYMENT_REQUEST_EVM_RPC_URLS_JSON",
		"the database's endpoints",
		"EVM endpoints of this daemon, in place of the database's: {\"local\":\"http://host:8545\"};"
		" a list of URLs, \"chain/network\" as name (chain ethereum without), and"
		" {\"urls\":[...],\"chain_id\":1} are understood too",
	NO_OFFSET, 0, 0, NULL, check_evm_urls, OPTION_TEXT, true},
	{ESPLORA_URL, "URL|JSON", "RECONCILER_BTC_ESPLORA_BASE_URL", "PAYMENT_REQUEST_BTC_ESPLORA_BASE_URL",
		"the database's endpoints",
		"Esplora endpoint of this daemon, in place of the database's: a URL, or {\"mainnet\":URL,...}",
	NO_OFFSET, 0, 0, NULL, check_esplora_url, OPTION_TEXT, true},
	{"heartbeat-file", "PATH", "RECONCILER_HEARTBEAT_FILE", "PAYMENT_REQUEST_RECONCILER_HEARTBEAT_FILE",
		"$XDG_RUNTIME_DIR or /tmp",
		"what --healthcheck looks at; a daemon of its own needs a file of its own",
	offsetof(rc_config, heartbeat_file), 0, 0, NULL, check_heartbeat_file, OPTION_TEXT, false},
	{"once", NULL, NULL, NULL, NULL,
		"exit when no request is due, or the database is lost for longer than --database-wait-seconds; top: print one picture",
	offsetof(rc_config, once), 0, 0, NULL, NULL, OPTION_SWITCH, false},
	{"json", NULL, NULL, NULL, NULL,
		"status: print JSON",
	offsetof(rc_config, json), 0, 0, NULL, NULL, OPTION_SWITCH, false},
	{"interval-seconds", "SECONDS", "RECONCILER_INTERVAL_SECONDS", NULL, "2",
		"top: time between two pictures, 0.2 to 3600",
	offsetof(rc_config, interval_ms), 0.2, 3600, NULL, NULL, OPTION_SECONDS, false},
	{"healthcheck", NULL, NULL, NULL, NULL,
		"exit with 0 if the daemon with this heartbeat file is well, else with 1; prints what else is critical, if the database can be asked",
	offsetof(rc_config, healthcheck), 0, 0, NULL, NULL, OPTION_SWITCH, false},
	{"help", NULL, NULL, NULL, NULL,
		"show this and exit",
	offsetof(rc_config, help), 0, 0, NULL, NULL, OPTION_SWITCH, false},
	{"version", NULL, NULL, NULL, NULL,
		"show the version and exit",
	offsetof(rc_config, version), 0, 0, NULL, NULL, OPTION_SWITCH, false}
};

#define NOPTIONS ((int) (sizeof(options) / sizeof(options[0])))

/* Where an option's value came from */
typedef struct option_value
{
	const char *text;			/* NULL: not set */
	char	   *copy;			/* text, if it isn't the environment's own */
	const char *name;			/* the flag or variable, for messages */
	bool		by_flag;
} option_value;

static void *
member_of(rc_config *config, const option *row)
{
	return (char *) config + row->offset;
}

/* CONFIG_<variable>_INVALID: operators look for it */
static char *
invalid(const option *row, const option_value *value, const char *advice)
{
	if (row->secret)
		return rc_asprintf("CONFIG_%s_INVALID: %s is not valid: %s", row->env, value->name, advice);
	return rc_asprintf("CONFIG_%s_INVALID: %s is \"%.100s\": %s", row->env, value->name, value->text, advice);
}

/* Digits with at most one point; strtod alone would take "inf", "nan" and hexadecimals */
static bool
parse_number(const char *text, bool fraction, double *out)
{
	size_t		len = strlen(text);
	const char *point = strchr(text, '.');
	char	   *end;

	if (len == 0 || len > 15 || strspn(text, fraction ? "0123456789." : "0123456789") != len ||
		(point != NULL && (point == text || point[1] == '\0' || strchr(point + 1, '.') != NULL)))
		return false;
	*out = strtod(text, &end);
	return *end == '\0';
}

static char *
parse_ranged(const option *row, const option_value *value, rc_config *config)
{
	bool		seconds = row->type == OPTION_SECONDS;
	char	   *advice;
	char	   *error;
	double		number;

	if (parse_number(value->text, seconds, &number) && number >= row->min && number <= row->max)
	{
		if (seconds)
			*(long *) member_of(config, row) = (long) (number * 1000 + 0.5);
		else
			*(int *) member_of(config, row) = (int) number;
		return NULL;
	}
	advice = rc_asprintf("give a number%s from %g to %.0f", seconds ? " of seconds" : "", row->min, row->max);
	error = invalid(row, value, advice);
	free(advice);
	return error;
}

static char *
parse_boolean(const option *row, const option_value *value, rc_config *config)
{
	static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};

	for (int i = 0; i < (int) (sizeof(words) / sizeof(words[0])); i++)
	{
		if (strcasecmp(value->text, words[i]) == 0)
		{
			*(bool *) member_of(config, row) = i % 2 == 1;
			return NULL;
		}
	}
	return invalid(row, value, "give true or false");
}

static char *
parse_choice(const option *row, const option_value *value, rc_config *config)
{
	rc_buffer	advice = {0};
	char	   *error;

	rc_buffer_printf(&advice, "give one of");
	for (int i = 0; row->choices[i] != NULL; i++)
	{
		if (strcasecmp(value->text, row->choices[i]) == 0)
		{
			*(int *) member_of(config, row) = i;
			rc_buffer_free(&advice);
			return NULL;
		}
		rc_buffer_printf(&advice, "%s %s", i > 0 ? "," : "", row->choices[i]);
	}
	error = invalid(row, value, advice.data);
	rc_buffer_free(&advice);
	return error;
}

static char *
parse_text(const option *row, const option_value *value, rc_config *config)
{
	char	   *problem = row->check ? row->check(config, value->text) : NULL;
	char	   *error;

	if (problem == NULL)
	{
		if (row->offset != NO_OFFSET)
		{
			char	  **member = member_of(config, row);

			free(*member);
			*member = rc_strdup(value->text);
		}
		return NULL;
	}
	error = invalid(row, value, problem);
	free(problem);
	return error;
}

static char *
parse_value(const option *row, const option_value *value, rc_config *config)
{
	switch (row->type)
	{
		case OPTION_SWITCH:
			*(bool *) member_of(config, row) = true;
			return NULL;
		case OPTION_BOOLEAN:
			return parse_boolean(row, value, config);
		case OPTION_TEXT:
			return parse_text(row, value, config);
		case OPTION_INTEGER:
		case OPTION_SECONDS:
			return parse_ranged(row, value, config);
		case OPTION_CHOICE:
			return parse_choice(row, value, config);
	}
	return NULL;
}

static int
find_flag(const char *name, size_t len)
{
	for (int i = 0; i < NOPTIONS; i++)
		if (strlen(options[i].flag) == len && strncmp(options[i].flag, name, len) == 0)
			return i;
	return -1;
}

/* Keeps a copy and wipes the process's argument, which every user of the machine can read */
static void
take_flag_value(const option *row, option_value *value, char *text)
{
	free(value->copy);
	value->copy = rc_strdup(text);
	value->text = value->copy;
	if (row->secret)
		memset(text, 'x', strlen(text));
}

/* The command, if the first argument is one; returns how many arguments that took */
static int
read_command(rc_config *config, int argc, char **argv)
{
	static const char *const commands[] = {[RC_COMMAND_STATUS] = "status",[RC_COMMAND_TOP] = "top"};

	for (int i = RC_COMMAND_STATUS; argc > 1 && i <= RC_COMMAND_TOP; i++)
	{
		if (strcmp(argv[1], commands[i]) == 0)
		{
			config->command = (rc_command) i;
			return 1;
		}
	}
	return 0;
}

static char *
read_flags(option_value *values, int first, int argc, char **argv)
{
	for (int i = first; i < argc; i++)
	{
		char	   *equals = strchr(argv[i], '=');
		size_t		len = equals ? (size_t) (equals - argv[i]) : strlen(argv[i]);
		int			found = -1;

		if (strncmp(argv[i], "--", 2) == 0)
			found = find_flag(argv[i] + 2, len - 2);
		else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "-?") == 0)
			found = find_flag("help", 4);
		else if (strcmp(argv[i], "-V") == 0)
			found = find_flag("version", 7);
		if (found < 0)
			return rc_asprintf("CONFIG_FLAG_UNKNOWN: \"%.*s\" is no flag of reconcilerd: --help lists them",
							   (int) (len < 40 ? len : 40), argv[i]);
		if (options[found].type == OPTION_SWITCH && equals != NULL)
			return rc_asprintf("CONFIG_FLAG_INVALID: --%s takes no value", options[found].flag);
		values[found].by_flag = true;
		if (options[found].type == OPTION_SWITCH)
			values[found].text = "";
		else if (equals != NULL)
			take_flag_value(&options[found], &values[found], equals + 1);
		else if (i + 1 < argc)
			take_flag_value(&options[found], &values[found], argv[++i]);
		else
			return rc_asprintf("CONFIG_%s_INVALID: --%s needs a value: --%s=%s", options[found].env,
							   options[found].flag, options[found].flag, options[found].argument);
	}
	return NULL;
}

/* An empty variable counts as unset: that is how compose files hand on what isn't set */
static void
read_environment(option_value *values)
{
	for (int i = 0; i < NOPTIONS; i++)
	{
		const char *names[] = {options[i].env, options[i].alias};

		if (values[i].by_flag)
			continue;
		for (int j = 0; j < 2 && values[i].text == NULL; j++)
		{
			const char *text = names[j] ? getenv(names[j]) : NULL;

			if (text != NULL && text[0] != '\0')
			{
				values[i].text = text;
				values[i].name = names[j];
			}
		}
	}
}

static void
default_worker_id(rc_config *config)
{
	char		host[256] = "";

	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		strcpy(host, "unknown");
	host[WORKER_ID_LIMIT - sizeof(":2147483647") + 1] = '\0';
	for (char *c = host + strspn(host, WORKER_ID_CHARACTERS); *c != '\0'; c += strspn(c, WORKER_ID_CHARACTERS))
		*c = '_';
	config->worker_id = rc_asprintf("%s:%d", host, (int) getpid());
}

static void
set_defaults(rc_config *config)
{
	memset(config, 0, sizeof(*config));
	config->enabled = true;
	config->database_wait_ms = 5000;
	config->statement_timeout_ms = 30000;
	config->interval_ms = 2000;
	config->log_level = RC_LOG_INFO;
	config->log_format = RC_LOG_TEXT;
}

/* What can only be said once all options are known */
static char *
complete(rc_config *config)
{
	if (config->worker_id == NULL)
		default_worker_id(config);
	if (config->heartbeat_file == NULL)
		config->heartbeat_file = rc_heartbeat_default_path();
	if (config->database_url == NULL && config->enabled && !config->healthcheck)
		return rc_strdup("CONFIG_DATABASE_URL_MISSING: DATABASE_URL is not set:"
						 " write DATABASE_URL=postgresql://user:password@host:5432/database or use --database-url");
	return NULL;
}

char *
rc_config_load(rc_config *config, int argc, char **argv)
{
	option_value values[NOPTIONS] = {0};
	char	   *error;

	set_defaults(config);
	error = read_flags(values, 1 + read_command(config, argc, argv), argc, argv);
	read_environment(values);
	for (int i = 0; i < NOPTIONS; i++)
	{
		char		flag[48];

		snprintf(flag, sizeof(flag), "--%s", options[i].flag);
		if (values[i].by_flag)
			values[i].name = flag;
		if (error == NULL && values[i].text != NULL && (values[i].text[0] != '\0' || options[i].type == OPTION_SWITCH))
			error = parse_value(&options[i], &values[i], config);
		free(values[i].copy);
	}
	if (error == NULL && !config->help && !config->version)
		error = complete(config);
	return error;
}

void
rc_config_free(rc_config *config)
{
	free(config->database_url);
	free(config->worker_id);
	free(config->heartbeat_file);
	rc_own_networks_free(&config->networks);
	memset(config, 0, sizeof(*config));
}

/* Prints text in lines of at most 80 characters, indented */
static void
print_wrapped(FILE *out, const char *text)
{
	int			column = 0;

	while (*text != '\0')
	{
		int			len = (int) strcspn(text, " ");

		if (column > 0 && column + len + 1 > 72)
		{
			fputc('\n', out);
			column = 0;
		}
		column += fprintf(out, "%s%.*s", column == 0 ? "        " : " ", len, text) - (column == 0 ? 8 : 0);
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void
rc_config_print_help(FILE *out)
{
	fprintf(out,
			"reconcilerd %s: finds out whether payment requests were paid, as a worker of the\n"
			"PostgreSQL extension \"reconciler\" outside of the server.\n\n"
			"Usage: reconcilerd [--FLAG=VALUE]...          works until it is told to stop\n"
			"       reconcilerd status [--json]            says how things are\n"
			"       reconcilerd top [--once]               shows it, live\n\n"
			"Each option is a flag or an environment variable; flags win, an empty value\n"
			"counts as unset. Flags are visible to other users of the machine for a moment:\n"
			"give passwords and keys by environment.\n\n", RC_VERSION);
	for (int i = 0; i < NOPTIONS; i++)
	{
		const option *row = &options[i];

		fprintf(out, "  --%s%s%s\n", row->flag, row->argument ? "=" : "", row->argument ? row->argument : "");
		if (row->env != NULL)
			fprintf(out, "      %s%s%s\n", row->env, row->alias ? " or " : "", row->alias ? row->alias : "");
		print_wrapped(out, row->help);
		if (row->unset != NULL)
			fprintf(out, "        default: %s\n", row->unset);
	}
	fprintf(out,
			"\nSIGTERM or SIGINT: gives its leases back and exits; a second one: exits at once.\n\n"
			"Exit codes: 0 stopped as asked, or nothing to do; 78 configuration error (one\n"
			"line with a code CONFIG_...); 75 database lost (--once); 1 unhealthy\n"
			"(--healthcheck); 128+n second signal n. status: 0 ok, 1 warning, 2 critical, 3 unknown.\n\n"
			"status and top need a role in pg_monitor (or a superuser's).\n\n"
			"The database role needs four lines of SQL, run by the extension's owner:\n"
			"  CREATE ROLE reconcilerd LOGIN PASSWORD '...';\n"
			"  GRANT CONNECT ON DATABASE shop TO reconcilerd;\n"
			"  ALTER ROLE reconcilerd CONNECTION LIMIT 50;\n"
			"  SELECT reconciler.grant_worker('reconcilerd');\n");
}
