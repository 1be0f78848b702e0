/* status.c: reconcilerd status and --healthcheck: how the database says that things are */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "pq_store.h"
#include "status.h"
#include "view.h"

/* A health check is itself waited for */
#define HEALTHCHECK_WAIT_MS 2000

static const rc_statement critical_statement = {
	"healthcheck",
	"SELECT code || coalesce(' ' || chain || '/' || network, '') || ': ' || what FROM reconciler.health() WHERE severity = 'critical'",
	0
};

static int
exit_code(const rc_view *view)
{
	if (view->critical > 0)
		return RC_STATUS_CRITICAL;
	return view->warnings > 0 ? RC_STATUS_WARNING : RC_STATUS_OK;
}

/* False: the database did not answer, or this role may not ask */
static bool
print_status(const rc_store *store, bool json, rc_view *view)
{
	char	   *text;

	if (json)
	{
		text = rc_view_json(store, view);
		if (text != NULL)
			printf("%s\n", text);
		free(text);
		return text != NULL;
	}
	if (rc_view_collect(store, false, view) != RC_STORE_OK)
		return false;
	for (int i = 0; i < view->n; i++)
		printf("%s\n", view->lines[i].text);
	return true;
}

int
rc_status(rc_daemon *daemon, const rc_config *config)
{
	rc_pq_store *pq = rc_pq_store_create(daemon, config->database_url, config->statement_timeout_ms);
	char	   *problem = rc_pq_store_connect(pq, config->database_wait_ms);
	rc_view		view = {0};
	int			code = RC_STATUS_UNKNOWN;

	if (problem != NULL)
		fprintf(stderr, "reconcilerd: the database can't be reached: %s\n", problem);
	else if (print_status(rc_pq_store_table(pq), config->json, &view))
		code = exit_code(&view);
	else
		fprintf(stderr, "reconcilerd: the database did not answer: is the extension there, and the role in pg_monitor?\n");
	free(problem);
	rc_view_free(&view);
	rc_pq_store_free(pq);
	return code;
}

/* What a restart of this daemon would not better is printed, and no failure */
static void
print_critical(rc_daemon *daemon, const rc_config *config)
{
	rc_pq_store *pq = rc_pq_store_create(daemon, config->database_url, HEALTHCHECK_WAIT_MS);
	const rc_store *store = rc_pq_store_table(pq);
	char	   *problem = rc_pq_store_connect(pq, HEALTHCHECK_WAIT_MS);
	rc_rows		rows;

	if (problem == NULL && store->run(store->ctx, &critical_statement, NULL, &rows) == RC_STORE_OK)
	{
		for (int row = 0; row < rows.nrows; row++)
			printf("%s\n", rc_cell(&rows, row, 0));
		rc_rows_free(&rows);
	}
	free(problem);
	rc_pq_store_free(pq);
}

int
rc_healthcheck(rc_daemon *daemon, const rc_config *config)
{
	char	   *problem = rc_heartbeat_check(config->heartbeat_file);

	if (problem == NULL)
	{
		daemon->logger.level = RC_LOG_NOTHING;
		if (config->database_url != NULL)
			print_critical(daemon, config);
		return 0;
	}
	fprintf(stderr, "%s\n", problem);
	free(problem);
	return 1;
}
