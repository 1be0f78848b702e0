/* worker.c: a background worker: the engine of the core over SPI and the server's latch */
#include "postgres.h"

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"

#include "core/engine/engine.h"
#include "core/protocol/session.h"
#include "compat.h"
#include "guc.h"
#include "launcher.h"
#include "slots.h"
#include "spi_store.h"
#include "worker_host.h"

/* Shows what the worker does: in stat_workers, pg_stat_activity and the process list */
static void
show_progress(void *ctx, rc_state state, const char *networks, const rc_counters *counters)
{
	static char shown[RC_PROGRESS_SIZE] = "";
	static int	shown_state = -1;
	rc_slot    *slot = ctx;

	rc_slot_report(slot, state, networks, counters);
	if (shown_state == (int) state && strcmp(shown, networks) == 0)
		return;
	shown_state = (int) state;
	strlcpy(shown, networks, sizeof(shown));
	pgstat_report_activity(STATE_IDLE, rc_worker_activity());
	set_ps_display(rc_worker_activity());
}

/* Like SET in a session: the reset value stays the database's, for the application's triggers */
static void
set_option(const char *name, const char *value)
{
	/* Not every version has every setting */
	if (GetConfigOption(name, true, false) != NULL)
		SetConfigOption(name, value, PGC_SUSET, PGC_S_SESSION);
}

static void
connect_to_database(rc_slot *slot)
{
	BackgroundWorkerInitializeConnection(slot->database, NULL, 0);
	rc_slot_connected(slot);
	set_option("application_name", MyBgworkerEntry->bgw_name);

	/* ALTER DATABASE ... SET role would take the worker's rights away */
	set_option("role", "none");
	for (const rc_session_setting *setting = rc_session_settings; setting->name != NULL; setting++)
		set_option(setting->name, setting->value);

	/* The time limit of a worker's statements is its own */
	set_option("statement_timeout", "0");
}

/* Says that the library and the extension's SQL are of different versions: what one calls the other may not have */
static void
check_versions(const rc_host *host, const rc_store *store)
{
	static const rc_statement statement = {
		"check_versions", "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'reconciler'", 0
	};
	rc_rows		rows;

	if (store->run(store->ctx, &statement, NULL, &rows) != RC_STORE_OK)
		return;
	if (rows.nrows == 1 && strcmp(rc_cell(&rows, 0, 0), RC_VERSION) != 0)
		rc_log_event(host, RC_LOG_WARNING, "versions differ",
					 RC_FIELDS(rc_field_text("library", RC_VERSION), rc_field_text("extension", rc_cell(&rows, 0, 0))),
					 "ALTER EXTENSION reconciler UPDATE; if the library is the older one, restart the server");
	rc_rows_free(&rows);
}

void
reconciler_worker_main(Datum arg)
{
	int			index = DatumGetInt32(arg);
	uint32		generation;
	rc_host		host;
	rc_store	store;
	rc_slot    *slot = &rc_shared->slots[index];
	rc_engine_options options = {.role = RC_WORKER_ROLE};

	/* While it connects, SIGTERM ends it at once: there is no lease to give back */
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	if (!rc_slot_attach(index, generation))
		proc_exit(0);
	BackgroundWorkerUnblockSignals();
	connect_to_database(slot);

	rc_worker_host_init(&host, index);
	rc_spi_store_init(&store, &host);
	options.worker_id = slot->worker_id;
	options.host = &host;
	options.store = &store;
	options.log_cycles = &rc_guc_log_cycles;
	options.progress = show_progress;
	options.progress_ctx = slot;
	options.report = true;
	rc_log_event(&host, RC_LOG_INFO, "start", RC_FIELDS(rc_field_text("database", slot->database)), NULL);
	check_versions(&host, &store);
	rc_engine_run(&options);
	rc_log_event(&host, RC_LOG_INFO, "stop", RC_FIELDS(rc_field_text("database", slot->database)), NULL);
	proc_exit(0);
}
