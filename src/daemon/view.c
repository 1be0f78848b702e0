/* view.c: what status and top show: findings, networks, workers, endpoints, the last transitions */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/text.h"
#include "view.h"

/* A table: its statement's columns under these headings; those that begin with > are set to the right */
typedef struct section
{
	const char *title;
	rc_statement statement;
	int			ncolumns;
	const char *headings[12];
} section;

#define MAX_COLUMNS 12

static const section findings = {
	"FINDINGS",
	{"view_findings",
		"SELECT severity, code, coalesce(chain || '/' || network, ''), what, hint FROM reconciler.health()", 0},
	5, {"severity", "code", "network", "what", "what to do"}
};

static const section tables[] = {
	{"NETWORKS",
		{"view_networks",
			"SELECT coalesce(nullif(chain || '/' || network, '/'), '(not registered)'), CASE WHEN NOT enabled THEN 'paused' ELSE mode END,"
			" open_requests, due_requests, coalesce(date_trunc('second', clock_timestamp() - overdue_since)::text, ''), tip_height,"
			" date_trunc('second', tip_age), scanned_per_second, blocks_per_second, confirmed_hour,"
			" confirmed_p50_ms::int || ' / ' || confirmed_p99_ms::int, CASE WHEN error_at > coalesce(observed_at, '-infinity') THEN error END"
			" FROM reconciler.stat_networks ORDER BY open_requests DESC, 1 LIMIT 30", 0},
	12, {"network", "mode", ">open", ">due", ">overdue", ">tip", ">tip age", ">looks/s", ">blocks/s", ">confirmed/h", ">ms p50 / p99", "error"}},
	{"WORKERS",
		{"view_workers",
			"SELECT worker_id, role, coalesce(host, ''), pid, state, network, scanned, confirmed, errors,"
			" date_trunc('second', clock_timestamp() - reported_at), CASE WHEN last_error_at > clock_timestamp() - interval '10 minutes' THEN last_error END"
			" FROM reconciler.stat_workers WHERE database = current_database() ORDER BY role, worker_id LIMIT 30", 0},
	11, {"worker", "role", "host", ">pid", "state", "waits for", ">looked at", ">confirmed", ">errors", ">reported", "last error"}},
	{"ENDPOINTS",
		{"view_endpoints",
			"SELECT chain || '/' || network, endpoint, state, calls, errors, p50_ms::int || ' / ' || p99_ms::int,"
			" date_trunc('second', greatest(resting_until - clock_timestamp(), interval '0')), CASE WHEN state NOT IN ('good', 'unused') THEN error END"
			" FROM reconciler.stat_endpoints ORDER BY state = 'good', 1, own, \"position\" LIMIT 30", 0},
	8, {"network", "endpoint", "state", ">calls", ">failures", ">ms p50 / p99", ">rests", "error"}},
	{"LAST TRANSITIONS",
		{"view_history",
			"SELECT to_char(at, 'HH24:MI:SS'), source, request_id, from_status || ' -> ' || to_status, reason, coalesce(chain || '/' || network, ''), worker_id"
			" FROM reconciler.history ORDER BY transition_id DESC LIMIT 15", 0},
	7, {"at", "table", "request", "status", "reason", "network", "worker"}}
};

#define NTABLES ((int) (sizeof(tables) / sizeof(tables[0])))

static const rc_statement json_statement = {
	"view_json",
	"SELECT json_build_object('severity', coalesce((SELECT severity FROM reconciler.health() LIMIT 1), 'ok'),"
	" 'findings', (SELECT coalesce(json_agg(h), '[]') FROM reconciler.health() h),"
	" 'networks', (SELECT coalesce(json_agg(n), '[]') FROM reconciler.stat_networks n),"
	" 'workers', (SELECT coalesce(json_agg(w), '[]') FROM reconciler.stat_workers w),"
	" 'endpoints', (SELECT coalesce(json_agg(e), '[]') FROM reconciler.stat_endpoints e))::text,"
	" (SELECT count(*) FROM reconciler.health() WHERE severity = 'critical'),"
	" (SELECT count(*) FROM reconciler.health() WHERE severity = 'warning')",
	0
};

/* How many columns a text takes; a character is one */
static int
width_of(const char *text)
{
	int			width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char) *text & 0xc0) != 0x80;
	return width;
}

int
rc_view_fit(const char *text, int columns)
{
	int			bytes = 0;

	for (; text[bytes] != '\0'; bytes++)
	{
		if (((unsigned char) text[bytes] & 0xc0) != 0x80 && columns-- == 0)
			break;
	}
	return bytes;
}

/* Takes text over */
static void
add_line(rc_view *view, rc_line_kind kind, char *text)
{
	view->lines = rc_realloc(view->lines, ((size_t) view->n + 1) * sizeof(rc_line));
	view->lines[view->n].kind = kind;
	view->lines[view->n++].text = text;
}

static void
append_cell(rc_buffer *line, const char *text, int width, bool right, bool last)
{
	int			padding = width - width_of(text);

	if (line->len > 0)
		rc_buffer_append(line, "  ", 2);
	if (right)
		rc_buffer_printf(line, "%*s%s", padding, "", text);
	else
		rc_buffer_printf(line, "%s%*s", text, last ? 0 : padding, "");
}

/* One row of a table, or with row -1 its headings */
static char *
row_line(const section *section, const rc_rows *rows, const int *widths, int row)
{
	rc_buffer	line = {0};

	for (int col = 0; col < section->ncolumns; col++)
	{
		bool		right = section->headings[col][0] == '>';
		const char *heading = section->headings[col] + (right ? 1 : 0);
		const char *cell = row < 0 ? heading : rc_cell(rows, row, col);

		append_cell(&line, cell != NULL ? cell : "", widths[col], right, col == section->ncolumns - 1);
	}
	if (line.data == NULL)
		rc_buffer_append(&line, "", 0);
	return line.data;
}

static void
measure(const section *section, rc_rows *rows, int *widths)
{
	for (int col = 0; col < section->ncolumns; col++)
	{
		widths[col] = width_of(section->headings[col]) - (section->headings[col][0] == '>' ? 1 : 0);
		for (int row = 0; row < rows->nrows; row++)
		{
			char	   *cell = rc_cell(rows, row, col);
			int			width;

			if (cell == NULL)
				continue;
			rc_text_clean(cell);
			width = width_of(cell);
			if (width > widths[col])
				widths[col] = width;
		}
	}
}

/* A finding's line, and one for what to do */
static void
add_findings(rc_view *view, rc_rows *rows)
{
	for (int row = 0; row < rows->nrows; row++)
	{
		const char *severity = rc_cell(rows, row, 0);
		rc_line_kind kind = strcmp(severity, "critical") == 0 ? RC_LINE_CRITICAL :
			strcmp(severity, "warning") == 0 ? RC_LINE_WARNING : RC_LINE_PLAIN;
		const char *network = rc_cell(rows, row, 2);

		view->critical += kind == RC_LINE_CRITICAL;
		view->warnings += kind == RC_LINE_WARNING;
		for (int col = 0; col < rows->ncols; col++)
			rc_text_clean(rc_cell(rows, row, col));
		add_line(view, kind, rc_asprintf("%s %s%s%s: %s", severity, rc_cell(rows, row, 1), network[0] ? " " : "",
										 network, rc_cell(rows, row, 3)));
		add_line(view, RC_LINE_PLAIN, rc_asprintf("    %s", rc_cell(rows, row, 4)));
	}
	if (rows->nrows == 0)
		add_line(view, RC_LINE_PLAIN, rc_strdup("ok: nothing is wrong"));
}

static void
add_table(rc_view *view, const section *section, rc_rows *rows)
{
	int			widths[MAX_COLUMNS] = {0};

	measure(section, rows, widths);
	add_line(view, RC_LINE_PLAIN, rc_strdup(""));
	add_line(view, RC_LINE_TITLE, rc_strdup(section->title));
	if (rows->nrows == 0)
	{
		add_line(view, RC_LINE_PLAIN, rc_strdup("(none)"));
		return;
	}
	add_line(view, RC_LINE_PLAIN, row_line(section, rows, widths, -1));
	for (int row = 0; row < rows->nrows; row++)
		add_line(view, RC_LINE_PLAIN, row_line(section, rows, widths, row));
}

rc_store_status
rc_view_collect(const rc_store *store, bool transitions, rc_view *view)
{
	rc_rows		rows;
	rc_store_status status = store->run(store->ctx, &findings.statement, NULL, &rows);

	if (status != RC_STORE_OK)
		return status;
	add_findings(view, &rows);
	rc_rows_free(&rows);
	for (int i = 0; i < NTABLES - (transitions ? 0 : 1); i++)
	{
		status = store->run(store->ctx, &tables[i].statement, NULL, &rows);
		if (status != RC_STORE_OK)
			return status;
		add_table(view, &tables[i], &rows);
		rc_rows_free(&rows);
	}
	return RC_STORE_OK;
}

char *
rc_view_json(const rc_store *store, rc_view *view)
{
	rc_rows		rows;
	char	   *json;

	if (store->run(store->ctx, &json_statement, NULL, &rows) != RC_STORE_OK)
		return NULL;
	json = rc_strdup(rc_cell(&rows, 0, 0));
	view->critical = (int) strtol(rc_cell(&rows, 0, 1), NULL, 10);
	view->warnings = (int) strtol(rc_cell(&rows, 0, 2), NULL, 10);
	rc_rows_free(&rows);
	return json;
}

void
rc_view_free(rc_view *view)
{
	for (int i = 0; i < view->n; i++)
		free(view->lines[i].text);
	free(view->lines);
	memset(view, 0, sizeof(*view));
}
