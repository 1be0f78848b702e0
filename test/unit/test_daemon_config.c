/* test_daemon_config.c: reconcilerd's options, its own networks, its heartbeat */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/memory.h"
#include "daemon/checks.h"
#include "daemon/config.h"
#include "daemon/heartbeat.h"

#define DATABASE "postgresql://reconcilerd:planted-password@db.example:5432/shop"

static const char *const variables[] = {
	"DATABASE_URL", "RECONCILER_ENABLED", "RECONCILER_WORKER_ID", "RECONCILER_BATCH_SIZE",
	"RECONCILER_LEASE_SECONDS", "RECONCILER_POLL_INTERVAL_SECONDS", "RECONCILER_EVM_RPC_URLS_JSON",
	"RECONCILER_BTC_ESPLORA_BASE_URL", "RECONCILER_LOG_LEVEL", "RECONCILER_LOG_FORMAT",
	"RECONCILER_HEARTBEAT_FILE", "RECONCILER_DATABASE_WAIT_SECONDS",
	"PAYMENT_REQUEST_RECONCILER_ENABLED", "PAYMENT_REQUEST_RECONCILER_WORKER_ID",
	"PAYMENT_REQUEST_RECONCILER_BATCH_SIZE", "PAYMENT_REQUEST_RECONCILER_LEASE_SECONDS",
	"PAYMENT_REQUEST_RECONCILER_POLL_INTERVAL_SECONDS", "PAYMENT_REQUEST_EVM_RPC_URLS_JSON",
	"PAYMENT_REQUEST_BTC_ESPLORA_BASE_URL", "XDG_RUNTIME_DIR"
};

static int
clean_environment(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	setenv("DATABASE_URL", DATABASE, 1);
	return 0;
}

/* Loads with flags that are separated by newlines: values may hold blanks */
static char *
load(rc_config *config, const char *flags)
{
	char	   *copy = rc_strdup(flags);
	char	   *argv[8] = {copy};	/* argv[0] isn't looked at */
	int			argc = 1;
	char	   *error;

	for (char *flag = strtok(copy, "\n"); flag != NULL; flag = strtok(NULL, "\n"))
		argv[argc++] = flag;
	error = rc_config_load(config, argc, argv);
	free(copy);
	return error;
}

static void
expect_error(const char *flags, const char *code)
{
	rc_config	config;
	char	   *error = load(&config, flags);

	if (error == NULL)
		fail_msg("no error for %s", flags);
	else if (strncmp(error, code, strlen(code)) != 0 || error[strlen(code)] != ':')
		fail_msg("%s: expected %s, got %s", flags, code, error);
	assert_null(strchr(error, '\n'));
	assert_null(strstr(error, "planted"));
	free(error);
	rc_config_free(&config);
}

static void
expect_no_error(rc_config *config, const char *flags)
{
	char	   *error = load(config, flags);

	if (error != NULL)
		fail_msg("%s: %s", flags, error);
}

static void
test_defaults(void **state)
{
	rc_config	config;
	char		suffix[32];

	(void) state;
	expect_no_error(&config, "");
	assert_true(config.enabled);
	assert_string_equal(config.database_url, DATABASE);
	assert_int_equal(config.batch_size, 0);
	assert_int_equal(config.lease_ms, 0);
	assert_int_equal(config.poll_interval_ms, 0);
	assert_int_equal(config.networks.n, 0);
	assert_int_equal(config.log_level, RC_LOG_INFO);
	assert_int_equal(config.log_format, RC_LOG_TEXT);
	snprintf(suffix, sizeof(suffix), ":%d", (int) getpid());
	assert_non_null(strstr(config.worker_id, suffix));
	assert_false(config.heartbeat_file_given);
	rc_config_free(&config);
}

static void
test_flags_win(void **state)
{
	rc_config	config;

	(void) state;
	setenv("RECONCILER_LEASE_SECONDS", "20", 1);
	setenv("RECONCILER_POLL_INTERVAL_SECONDS", "0.25", 1);
	setenv("RECONCILER_BATCH_SIZE", "nonsense", 1);
	expect_no_error(&config, "--lease-seconds=30\n--batch-size\n50\n--log-format=json\n--once");
	assert_int_equal(config.lease_ms, 30000);
	assert_int_equal(config.poll_interval_ms, 250);
	assert_int_equal(config.batch_size, 50);
	assert_int_equal(config.log_format, RC_LOG_JSON);
	assert_true(config.once);
	rc_config_free(&config);
}

static void
test_older_names(void **state)
{
	rc_config	config;

	(void) state;
	setenv("PAYMENT_REQUEST_RECONCILER_LEASE_SECONDS", "20", 1);
	setenv("PAYMENT_REQUEST_RECONCILER_BATCH_SIZE", "7", 1);
	setenv("RECONCILER_BATCH_SIZE", "8", 1);
	setenv("PAYMENT_REQUEST_RECONCILER_WORKER_ID", "old-name", 1);
	setenv("PAYMENT_REQUEST_EVM_RPC_URLS_JSON", "{\"local\":\"http://127.0.0.1:8545\"}", 1);
	setenv("PAYMENT_REQUEST_BTC_ESPLORA_BASE_URL", "https://btc.example/api", 1);
	expect_no_error(&config, "");
	assert_int_equal(config.lease_ms, 20000);
	assert_int_equal(config.batch_size, 8);
	assert_string_equal(config.worker_id, "old-name");
	assert_int_equal(config.networks.n, 2);
	rc_config_free(&config);

	setenv("PAYMENT_REQUEST_RECONCILER_POLL_INTERVAL_SECONDS", "never", 1);
	expect_error("", "CONFIG_RECONCILER_POLL_INTERVAL_SECONDS_INVALID");
}

/* Compose files hand on variables that aren't set as empty ones */
static void
test_empty_is_unset(void **state)
{
	rc_config	config;

	(void) state;
	setenv("RECONCILER_LEASE_SECONDS", "", 1);
	setenv("PAYMENT_REQUEST_RECONCILER_LEASE_SECONDS", "12", 1);
	setenv("RECONCILER_ENABLED", "", 1);
	setenv("RECONCILER_EVM_RPC_URLS_JSON", "", 1);
	expect_no_error(&config, "--batch-size=");
	assert_int_equal(config.lease_ms, 12000);
	assert_true(config.enabled);
	assert_int_equal(config.batch_size, 0);
	rc_config_free(&config);
}

static void
test_numbers(void **state)
{
	static const char *const bad[] = {"0", "0.999", "-5", "3601", "1e3", "inf", "nan", "0x10", "15s", " 15", "1.", ".5", "1.2.3"};
	rc_config	config;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		char	   *flag = rc_asprintf("--lease-seconds=%s", bad[i]);

		expect_error(flag, "CONFIG_RECONCILER_LEASE_SECONDS_INVALID");
		free(flag);
	}
	expect_error("--batch-size=0", "CONFIG_RECONCILER_BATCH_SIZE_INVALID");
	expect_error("--batch-size=741", "CONFIG_RECONCILER_BATCH_SIZE_INVALID");
	expect_error("--batch-size=1.5", "CONFIG_RECONCILER_BATCH_SIZE_INVALID");
	expect_error("--poll-interval-seconds=0.05", "CONFIG_RECONCILER_POLL_INTERVAL_SECONDS_INVALID");
	expect_no_error(&config, "--lease-seconds=3600\n--batch-size=740\n--poll-interval-seconds=0.1");
	assert_int_equal(config.lease_ms, 3600000);
	assert_int_equal(config.batch_size, 740);
	assert_int_equal(config.poll_interval_ms, 100);
	rc_config_free(&config);
}

static void
test_words(void **state)
{
	rc_config	config;

	(void) state;
	expect_error("--enabled=maybe", "CONFIG_RECONCILER_ENABLED_INVALID");
	expect_error("--log-level=loud", "CONFIG_RECONCILER_LOG_LEVEL_INVALID");
	expect_error("--log-format=xml", "CONFIG_RECONCILER_LOG_FORMAT_INVALID");
	expect_error("--worker-id=two words", "CONFIG_RECONCILER_WORKER_ID_INVALID");
	expect_error("--heartbeat-file=relative/path", "CONFIG_RECONCILER_HEARTBEAT_FILE_INVALID");
	expect_no_error(&config, "--enabled=OFF\n--log-level=Debug\n--worker-id=eu-1/a@b:c.d_e");
	assert_false(config.enabled);
	assert_int_equal(config.log_level, RC_LOG_DEBUG);
	rc_config_free(&config);
}

static void
test_flags(void **state)
{
	(void) state;
	expect_error("--leese-seconds=5", "CONFIG_FLAG_UNKNOWN");
	expect_error("--lease=5", "CONFIG_FLAG_UNKNOWN");
	expect_error("start", "CONFIG_FLAG_UNKNOWN");
	expect_error("--lease-seconds", "CONFIG_RECONCILER_LEASE_SECONDS_INVALID");
	expect_error("--once=yes", "CONFIG_FLAG_INVALID");
}

/* A flag's secret must not stay where ps shows it */
static void
test_secret_flags_are_wiped(void **state)
{
	char		program[] = "reconcilerd";
	char		flag[] = "--database-url";
	char		value[] = DATABASE;
	char		joined[] = "--evm-rpc-urls-json={\"local\":\"http://127.0.0.1/planted-key\"}";
	char	   *argv[] = {program, flag, value, joined};
	rc_config	config;

	(void) state;
	assert_null(rc_config_load(&config, 4, argv));
	assert_string_equal(config.database_url, DATABASE);
	assert_null(strstr(value, "planted"));
	assert_null(strstr(joined, "planted"));
	rc_config_free(&config);
}

static void
test_database_url(void **state)
{
	static const char *const bad[] = {
		"planted-password@db/shop", "mysql://u:planted@db/shop", "postgresql://u:planted@ss@db/shop",
		"postgresql://u:planted/word@db/shop", "postgresql://u:planted%zz@db/shop", "host=db bogus=planted"
	};
	static const char *const good[] = {
		"postgresql://u:p%40ss%2Fword@db/shop", "postgres:///shop?host=/run/postgresql", "postgresql://",
		"host=db dbname=shop password=p@ss/w://rd", "postgresql://u@h1:5432,h2:5433/shop?application_name=a@b"
	};
	rc_config	config;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		setenv("DATABASE_URL", bad[i], 1);
		expect_error("", "CONFIG_DATABASE_URL_INVALID");
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		setenv("DATABASE_URL", good[i], 1);
		expect_no_error(&config, "");
		rc_config_free(&config);
	}
	unsetenv("DATABASE_URL");
	expect_error("", "CONFIG_DATABASE_URL_MISSING");
	expect_no_error(&config, "--healthcheck");
	rc_config_free(&config);
	expect_no_error(&config, "--enabled=false");
	rc_config_free(&config);
}

static void
expect_endpoint(rc_config *config, const char *kind, const char *chain, const char *network, int index, const char *url)
{
	const char *const *urls = rc_own_networks_endpoints(&config->networks, kind, chain, network);

	if (url == NULL)
	{
		assert_true(urls == NULL || urls[index] == NULL);
		return;
	}
	assert_non_null(urls);
	assert_string_equal(urls[index], url);
}

static void
test_evm_endpoints(void **state)
{
	rc_config	config;

	(void) state;
	setenv("RECONCILER_EVM_RPC_URLS_JSON",
		   "{\"local\":\"http://127.0.0.1:8545\","
		   "\"polygon/mainnet\":[\"https://a.example/k\",\"https://u:p@b.example\"],"
		   "\"sepolia\":{\"urls\":[\"https://c.example\"],\"chain_id\":11155111}}", 1);
	expect_no_error(&config, "");
	assert_int_equal(config.networks.n, 3);
	expect_endpoint(&config, "evm", "ethereum", "local", 0, "http://127.0.0.1:8545");
	expect_endpoint(&config, "evm", "ethereum", "local", 1, NULL);
	expect_endpoint(&config, "evm", "polygon", "mainnet", 0, "https://a.example/k");
	expect_endpoint(&config, "evm", "polygon", "mainnet", 1, "https://u:p@b.example");
	expect_endpoint(&config, "evm", "polygon", "mainnet", 2, NULL);
	expect_endpoint(&config, "evm", "ethereum", "sepolia", 0, "https://c.example");
	assert_int_equal(config.networks.list[2].chain_id, 11155111);

	/* Another chain's network of the same name, another kind, an unknown network: the database's endpoints */
	expect_endpoint(&config, "evm", "polygon", "local", 0, NULL);
	expect_endpoint(&config, "evm", "ethereum", "mainnet", 0, NULL);
	expect_endpoint(&config, "esplora", "ethereum", "local", 0, NULL);
	rc_config_free(&config);
}

static void
test_bad_evm_endpoints(void **state)
{
	static const char *const bad[] = {
		"http://127.0.0.1:8545/planted", "[\"http://planted\"]", "\"http://planted\"", "{\"local\":\"http://planted\"",
		"{\"local\":\"http://planted\"} trailing", "{\"local\":\"ftp://planted\"}", "{\"local\":\"planted\"}",
		"{\"local\":\"http://a b/planted\"}", "{\"local\":\"file:///planted\"}", "{\"local\":\"\"}", "{\"local\":1}",
		"{\"local\":null}", "{\"local\":[]}", "{\"local\":[\"http://planted\",5]}", "{\"\":\"http://planted\"}",
		"{\"/local\":\"http://planted\"}", "{\"a/b/c\":\"http://planted\"}", "{\"local\":{\"chain_id\":1}}",
		"{\"local\":{\"urls\":\"http://planted\",\"chain_id\":\"1\"}}", "{\"local\":{\"urls\":\"http://planted\",\"chain_id\":0}}",
		"{\"local\":{\"urls\":\"http://planted\",\"chainid\":1}}",
		"{\"local\":\"http://planted\",\"ethereum/local\":\"http://planted\"}"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		setenv("RECONCILER_EVM_RPC_URLS_JSON", bad[i], 1);
		expect_error("", "CONFIG_RECONCILER_EVM_RPC_URLS_JSON_INVALID");
	}
}

static void
test_esplora_endpoints(void **state)
{
	rc_config	config;

	(void) state;
	setenv("RECONCILER_BTC_ESPLORA_BASE_URL", "https://btc.example/api", 1);
	expect_no_error(&config, "");

	/* Which network it serves is not known yet */
	expect_endpoint(&config, "esplora", "bitcoin", "mainnet", 0, "https://btc.example/api");
	expect_endpoint(&config, "esplora", "bitcoin", "regtest", 0, "https://btc.example/api");
	expect_endpoint(&config, "bitcoind", "bitcoin", "mainnet", 0, NULL);
	config.networks.list[0].network = rc_strdup("mainnet");
	expect_endpoint(&config, "esplora", "bitcoin", "regtest", 0, NULL);
	rc_config_free(&config);

	setenv("RECONCILER_BTC_ESPLORA_BASE_URL", "{\"signet\":\"http://127.0.0.1:3000\"}", 1);
	expect_no_error(&config, "");
	expect_endpoint(&config, "esplora", "bitcoin", "signet", 0, "http://127.0.0.1:3000");
	expect_endpoint(&config, "esplora", "bitcoin", "mainnet", 0, NULL);
	rc_config_free(&config);

	setenv("RECONCILER_BTC_ESPLORA_BASE_URL", "btc.planted.example/api", 1);
	expect_error("", "CONFIG_RECONCILER_BTC_ESPLORA_BASE_URL_INVALID");
	setenv("RECONCILER_BTC_ESPLORA_BASE_URL", "{\"signet\":{\"url\":\"http://planted\",\"chain_id\":1}}", 1);
	expect_error("", "CONFIG_RECONCILER_BTC_ESPLORA_BASE_URL_INVALID");
}

/* Each option that the help knows is shown with its variables */
static void
test_help(void **state)
{
	char	   *text = NULL;
	size_t		size;
	FILE	   *out = open_memstream(&text, &size);

	(void) state;
	rc_config_print_help(out);
	fclose(out);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]) - 1; i++)
		if (strstr(text, variables[i]) == NULL)
			fail_msg("--help does not mention %s", variables[i]);
	assert_non_null(strstr(text, "grant_worker"));
	free(text);
}

/* The line that an event comes to, without its time */
static char *
logged(rc_log_format format, const rc_event *event)
{
	rc_logger	logger = {.format = format,.level = RC_LOG_INFO};
	rc_event	unimportant = {.level = RC_LOG_DEBUG,.name = "left out"};
	char		line[4096] = "";
	int			ends[2];
	int			saved = dup(STDERR_FILENO);
	ssize_t		len;

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	rc_logger_write(&logger, &unimportant);
	rc_logger_write(&logger, event);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[1]);
	len = read(ends[0], line, sizeof(line) - 1);
	close(ends[0]);
	assert_true(len > 0);
	return rc_strdup(format == RC_LOG_TEXT ? strchr(line, ' ') + 1 : strstr(line, "\"level\""));
}

static void
expect_logged(rc_log_format format, const char *id, const char *message, const char *expected)
{
	const rc_field fields[] = {
		rc_field_text("worker_id", "w"), rc_field_int("claimed", 10), rc_field_text("request_id", id),
		rc_field_text("left_out", NULL)
	};
	const rc_event event = {RC_LOG_WARNING, "cycle", fields, 4, message};
	char	   *line = logged(format, &event);

	assert_string_equal(line, expected);
	free(line);
}

static void
test_log(void **state)
{
	(void) state;
	expect_logged(RC_LOG_TEXT, "r1", NULL, "warning cycle worker_id=w claimed=10 request_id=r1\n");
	expect_logged(RC_LOG_TEXT, "a\nb \"c\"\\", "k=v", "warning cycle worker_id=w claimed=10"
				  " request_id=\"a\\nb \\\"c\\\"\\\\\" message=\"k=v\"\n");
	expect_logged(RC_LOG_JSON, "007 to=confirmed\",\"level\":\"x", "a\x01/\x7f\nb",
				  "\"level\":\"warning\",\"event\":\"cycle\",\"worker_id\":\"w\",\"claimed\":10,"
				  "\"request_id\":\"007 to=confirmed\\\",\\\"level\\\":\\\"x\","
				  "\"message\":\"a\\u0001/\\u007f\\nb\"}\n");

	/* A cut character, one that is whole, one that turns the line around, one past the first plane */
	expect_logged(RC_LOG_JSON, "a\xe2\x80 \xe2\x80\xa6\xe2\x80\xae\xf3\xa0\x81\xa1", NULL,
				  "\"level\":\"warning\",\"event\":\"cycle\",\"worker_id\":\"w\",\"claimed\":10,"
				  "\"request_id\":\"a?? \xe2\x80\xa6\\u202e\\udb40\\udc61\"}\n");
}

static void
test_versions(void **state)
{
	(void) state;
	assert_int_equal(rc_compare_versions("0.1.0", "0.1.0"), 0);
	assert_true(rc_compare_versions("0.0.9", "0.1.0") < 0);
	assert_true(rc_compare_versions("0.10.0", "0.9.0") > 0);
	assert_true(rc_compare_versions("1.0", "0.99.99") > 0);
	assert_true(rc_compare_versions("0.1", "0.1.1") < 0);
	assert_int_equal(rc_compare_versions("0.1.0dev", "0.1.0"), 0);
}

static void
test_heartbeat(void **state)
{
	char		dir[] = "/tmp/reconcilerd-unit.XXXXXX";
	char	   *path;
	char	   *link_path;
	char	   *problem;
	rc_heartbeat heartbeat = {.fd = -1};
	rc_heartbeat second = {.fd = -1};

	(void) state;
	assert_non_null(mkdtemp(dir));
	path = rc_asprintf("%s/heartbeat", dir);
	link_path = rc_asprintf("%s/link", dir);

	problem = rc_heartbeat_check(path);
	assert_non_null(problem);
	free(problem);

	assert_null(rc_heartbeat_open(&heartbeat, path));
	assert_null(rc_heartbeat_check(path));

	/* One daemon's file isn't another's */
	problem = rc_heartbeat_open(&second, path);
	assert_non_null(strstr(problem, "in use"));
	free(problem);

	/* Without its database for two minutes */
	heartbeat.written_at_ms = 0;
	rc_heartbeat_beat(&heartbeat, rc_now_ms() - 120000);
	problem = rc_heartbeat_check(path);
	assert_non_null(strstr(problem, "database"));
	free(problem);

	/* Back again */
	heartbeat.written_at_ms = 0;
	rc_heartbeat_beat(&heartbeat, 0);
	assert_null(rc_heartbeat_check(path));

	/* Standing still: the line is old */
	assert_int_equal(pwrite(heartbeat.fd, "00000000000000000001", 20, 0), 20);
	problem = rc_heartbeat_check(path);
	assert_non_null(strstr(problem, "stood still"));
	free(problem);

	/* Somebody's link to a file of ours */
	assert_int_equal(symlink(path, link_path), 0);
	problem = rc_heartbeat_open(&second, link_path);
	assert_non_null(problem);
	free(problem);

	rc_heartbeat_close(&heartbeat);
	assert_int_not_equal(access(path, F_OK), 0);
	unlink(link_path);
	rmdir(dir);
	free(path);
	free(link_path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_defaults, clean_environment),
		cmocka_unit_test_setup(test_flags_win, clean_environment),
		cmocka_unit_test_setup(test_older_names, clean_environment),
		cmocka_unit_test_setup(test_empty_is_unset, clean_environment),
		cmocka_unit_test_setup(test_numbers, clean_environment),
		cmocka_unit_test_setup(test_words, clean_environment),
		cmocka_unit_test_setup(test_flags, clean_environment),
		cmocka_unit_test_setup(test_secret_flags_are_wiped, clean_environment),
		cmocka_unit_test_setup(test_database_url, clean_environment),
		cmocka_unit_test_setup(test_evm_endpoints, clean_environment),
		cmocka_unit_test_setup(test_bad_evm_endpoints, clean_environment),
		cmocka_unit_test_setup(test_esplora_endpoints, clean_environment),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_heartbeat)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
