/* checks.c: what must be so in the database before the daemon starts */
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "core/base/memory.h"

static const rc_statement extension_statement = {
	"check_extension",
	"SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'reconciler'",
	0
};

/* Functions of the protocol that are missing, or that the role may not execute */
static const rc_statement functions_statement = {
	"check_functions",
	"SELECT f.name, p.oid IS NULL"
	" FROM pg_catalog.unnest(pg_catalog.string_to_array($1, ' ')) AS f(name)"
	" LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'reconciler'"
	" LEFT JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.proname = f.name"
	" WHERE p.oid IS NULL"
	" OR NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
	" OR NOT pg_catalog.has_function_privilege(p.oid, 'EXECUTE')",
	1
};

static const rc_statement role_statement = {
	"check_role",
	"SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
	0
};

/* What the statements of core/protocol call */
static const char *const protocol_functions[] = {
	"worker_networks claim due_in settle renew release report maintain register_network take_budget claim_tip note_tip"
	" claim_cursor renew_cursor release_cursor fail_network advance_cursor undo_blocks note_mempool unconfirmed_payments"
	" begin_look_back look_back look_back_scripts end_look_back settle_network follow_keys follow_tokens follow_among"
	" retire_events webhooks_due claim_webhook finish_webhook"
};

int
rc_compare_versions(const char *a, const char *b)
{
	while (*a != '\0' || *b != '\0')
	{
		char	   *end_a;
		char	   *end_b;
		unsigned long number_a = strtoul(a, &end_a, 10);
		unsigned long number_b = strtoul(b, &end_b, 10);

		if (number_a != number_b)
			return number_a < number_b ? -1 : 1;

		/* Whatever isn't a number (a suffix) ends the comparison */
		if ((end_a == a && *a != '\0') || (end_b == b && *b != '\0'))
			return 0;
		a = *end_a == '.' ? end_a + 1 : end_a;
		b = *end_b == '.' ? end_b + 1 : end_b;
	}
	return 0;
}

static char *
database_lost(void)
{
	return rc_strdup("CONFIG_DATABASE_UNREACHABLE: the database can't be asked:"
					 " see the line above for its own words");
}

static char *
check_extension(rc_pq_store *pq)
{
	const rc_store *store = rc_pq_store_table(pq);
	rc_rows		rows;
	char	   *problem = NULL;

	if (store->run(store->ctx, &extension_statement, NULL, &rows) != RC_STORE_OK)
		return database_lost();
	if (rows.nrows == 0)
		problem = rc_asprintf("CONFIG_EXTENSION_MISSING: database \"%s\" has no extension reconciler:"
							  " run CREATE EXTENSION reconciler there, or correct DATABASE_URL",
							  rc_pq_store_database(pq));
	else if (rc_compare_versions(rc_cell(&rows, 0, 0), RC_MIN_EXTENSION) < 0)
		problem = rc_asprintf("CONFIG_EXTENSION_TOO_OLD: extension reconciler %s, but this reconcilerd (%s) needs %s:"
							  " run ALTER EXTENSION reconciler UPDATE in database \"%s\"",
							  rc_cell(&rows, 0, 0), RC_VERSION, RC_MIN_EXTENSION, rc_pq_store_database(pq));
	rc_rows_free(&rows);
	return problem;
}

static char *
check_functions(rc_pq_store *pq)
{
	const rc_store *store = rc_pq_store_table(pq);
	rc_rows		rows;
	char	   *problem = NULL;

	if (store->run(store->ctx, &functions_statement, protocol_functions, &rows) != RC_STORE_OK)
		return database_lost();
	if (rows.nrows > 0 && rc_cell(&rows, 0, 1)[0] == 't')
		problem = rc_asprintf("CONFIG_EXTENSION_TOO_OLD: extension reconciler has no function reconciler.%s:"
							  " run ALTER EXTENSION reconciler UPDATE in database \"%s\"",
							  rc_cell(&rows, 0, 0), rc_pq_store_database(pq));
	else if (rows.nrows > 0)
		problem = rc_asprintf("CONFIG_PRIVILEGES_MISSING: role \"%s\" may not execute reconciler.%s:"
							  " run SELECT reconciler.grant_worker('%s') as the extension's owner in database \"%s\"",
							  rc_pq_store_user(pq), rc_cell(&rows, 0, 0), rc_pq_store_user(pq),
							  rc_pq_store_database(pq));
	rc_rows_free(&rows);
	return problem;
}

/* Not an error: small installations begin like this */
static void
warn_of_superuser(rc_daemon *daemon, rc_pq_store *pq)
{
	const rc_store *store = rc_pq_store_table(pq);
	rc_rows		rows;

	if (store->run(store->ctx, &role_statement, NULL, &rows) == RC_STORE_OK && rows.nrows == 1 &&
		rc_cell(&rows, 0, 0)[0] == 't')
		rc_daemon_log(daemon, RC_LOG_WARNING, "database role is a superuser", RC_NO_FIELDS,
					  "it need not be: --help tells which four lines of SQL make a role for reconcilerd");
	rc_rows_free(&rows);
}

char *
rc_check_database(rc_daemon *daemon, rc_pq_store *pq)
{
	char	   *problem = check_extension(pq);

	if (problem == NULL)
		problem = check_functions(pq);
	if (problem == NULL)
		warn_of_superuser(daemon, pq);
	return problem;
}
