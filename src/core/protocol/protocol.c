/* protocol.c: the statements that workers run; the only place where they stand */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/net/redact.h"
#include "core/protocol/protocol.h"

static const rc_statement networks_statement = {
	"networks",
	"SELECT network_id, chain, network, kind, chain_id, confirmations, block_tag, batch_size,"
	" poll_interval_ms, lease_ms, request_timeout_ms, endpoints, rate_limit, fingerprint, version,"
	" tip_interval_ms, tokens = 'logs', native = 'blocks', traces, has_cursor, has_batches"
	" FROM reconciler.worker_networks($1::text, $2::int, $3::interval, $4::interval)",
	4
};

static const rc_statement claim_statement = {
	"claim",
	"SELECT lo, token, seq, address, token_contract, seen, settled, expiring, error, failing,"
	" min_tip_time, max_tip_time, tip_floor, floor_min_time"
	" FROM reconciler.claim($1::text, $2::int, $3::bigint, $4::int, $5::interval, $6::interval, $7::bigint)",
	7
};

static const rc_statement claim_tip_statement = {
	"claim_tip",
	"SELECT reconciler.claim_tip($1::text, $2::int)",
	2
};

static const rc_statement note_tip_statement = {
	"note_tip",
	"SELECT reconciler.note_tip($1::text, $2::int, $3::bigint)",
	3
};

static const rc_statement due_in_statement = {
	"due_in",
	"SELECT reconciler.due_in($1::int, $2::boolean)",
	2
};

static const rc_statement take_budget_statement = {
	"take_budget",
	"SELECT reconciler.take_budget($1::int, $2::int)",
	2
};

static const rc_statement settle_statement = {
	"settle",
	"SELECT outcome, source, request_id, from_status, to_status, reason"
	" FROM reconciler.settle($1::text, $2::int, $3::bigint, $4::xid8, $5::jsonb)",
	5
};

static const rc_statement renew_statement = {
	"renew",
	"SELECT reconciler.renew($1::text, $2::int, $3::bigint, $4::xid8, $5::interval)",
	5
};

static const rc_statement release_statement = {
	"release",
	"SELECT reconciler.release($1::text, $2::int, $3::bigint, $4::xid8, $5::boolean)",
	5
};

static const rc_statement report_statement = {
	"report",
	"SELECT reconciler.report($1::text, $2::text, $3::int, $4::text, $5::jsonb, $6::boolean, $7::jsonb)",
	7
};

static const rc_statement register_network_statement = {
	"register_network",
	"SELECT reconciler.register_network($1::text, $2::text, $3::text, $4::bigint)",
	4
};

static const rc_statement maintain_statement = {
	"maintain",
	"SELECT reconciler.maintain($1::text)",
	1
};

/* An integer as a statement's parameter */
typedef struct number_text
{
	char		text[48];
} number_text;

static const char *
integer_text(number_text *buffer, int64_t value)
{
	snprintf(buffer->text, sizeof(buffer->text), "%" PRId64, value);
	return buffer->text;
}

static const char *
interval_text(number_text *buffer, long ms)
{
	snprintf(buffer->text, sizeof(buffer->text), "%ld milliseconds", ms);
	return buffer->text;
}

void
rc_batch_free(rc_batch *batch)
{
	if (batch == NULL)
		return;
	for (int i = 0; i < batch->nrequests; i++)
	{
		free(batch->requests[i].address);
		free(batch->requests[i].token);
		free(batch->requests[i].error);
	}
	free(batch->requests);
	free(batch->token);
	free(batch);
}

void
rc_network_free(rc_network *network)
{
	if (network == NULL)
		return;
	for (int i = 0; i < network->nendpoints; i++)
	{
		free(network->endpoints[i].url);
		free(network->endpoints[i].shown);
		free(network->endpoints[i].error);
		free(network->endpoints[i].learned);
	}
	free(network->endpoints);
	free(network->chain);
	free(network->network);
	free(network->block_tag);
	free(network->fingerprint);
	free(network);
}

static char *
copy_cell(const char *cell)
{
	return cell ? rc_strdup(cell) : NULL;
}

static long
cell_to_long(const char *cell)
{
	return cell ? strtol(cell, NULL, 10) : 0;
}

static bool
cell_is_true(const char *cell)
{
	return cell != NULL && cell[0] == 't';
}

static void
add_endpoint(rc_network *network, const char *url)
{
	rc_endpoint *endpoint;

	network->endpoints = rc_realloc(network->endpoints,
									(network->nendpoints + 1) * sizeof(rc_endpoint));
	endpoint = &network->endpoints[network->nendpoints++];
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->url = rc_strdup(url);
	endpoint->shown = rc_url_redact(url);
}

/* Takes the endpoints from a JSON array of URLs */
static void
add_endpoints(rc_network *network, const char *json)
{
	struct json_object *array = json ? json_tokener_parse(json) : NULL;

	if (array != NULL && json_object_is_type(array, json_type_array))
	{
		for (size_t i = 0; i < json_object_array_length(array); i++)
		{
			struct json_object *url = json_object_array_get_idx(array, i);

			if (json_object_is_type(url, json_type_string))
				add_endpoint(network, json_object_get_string(url));
		}
	}
	json_object_put(array);
}

static rc_network *
network_from_row(const rc_rows *rows, int row, const rc_overrides *overrides)
{
	rc_network *network = rc_calloc(1, sizeof(*network));
	const char *const *replacement = NULL;

	network->network_id = (int32_t) cell_to_long(rc_cell(rows, row, 0));
	network->chain = rc_strdup(rc_cell(rows, row, 1));
	network->network = rc_strdup(rc_cell(rows, row, 2));
	snprintf(network->kind, sizeof(network->kind), "%s", rc_cell(rows, row, 3));
	network->chain_id = (uint64_t) cell_to_long(rc_cell(rows, row, 4));
	network->confirmations = (int) cell_to_long(rc_cell(rows, row, 5));
	network->block_tag = copy_cell(rc_cell(rows, row, 6));
	network->batch_size = (int) cell_to_long(rc_cell(rows, row, 7));
	network->poll_interval_ms = cell_to_long(rc_cell(rows, row, 8));
	network->lease_ms = cell_to_long(rc_cell(rows, row, 9));
	network->request_timeout_ms = cell_to_long(rc_cell(rows, row, 10));
	network->rate_limit = rc_cell(rows, row, 12) ? strtod(rc_cell(rows, row, 12), NULL) : 0;
	if (overrides->endpoints != NULL)
		replacement = overrides->endpoints(overrides->endpoints_ctx, rc_cell(rows, row, 3),
										   network->chain, network->network);

	network->own_endpoints = replacement != NULL;
	network->version = strtoll(rc_cell(rows, row, 14), NULL, 10);
	network->tip_interval_ms = cell_to_long(rc_cell(rows, row, 15));
	network->token_logs = cell_is_true(rc_cell(rows, row, 16));
	network->native_blocks = cell_is_true(rc_cell(rows, row, 17));
	network->traces = cell_is_true(rc_cell(rows, row, 18));
	network->has_cursor = cell_is_true(rc_cell(rows, row, 19));
	network->has_batches = cell_is_true(rc_cell(rows, row, 20));

	/* Other endpoints, another fingerprint: the list's address stands for its content */
	network->fingerprint = replacement ?
		rc_asprintf("%s %p", rc_cell(rows, row, 13), (const void *) replacement) :
		rc_strdup(rc_cell(rows, row, 13));
	for (; replacement != NULL && *replacement != NULL; replacement++)
		add_endpoint(network, *replacement);
	if (network->nendpoints == 0)
		add_endpoints(network, rc_cell(rows, row, 11));
	return network;
}

rc_store_status
rc_protocol_networks(const rc_store *store, const char *worker_id, const rc_overrides *overrides,
					 rc_network ***networks, int *n)
{
	number_text batch_size;
	number_text lease;
	number_text poll;
	const char *args[4] = {worker_id, NULL, NULL, NULL};
	rc_rows		rows = {0};
	rc_store_status status;

	if (overrides->batch_size > 0)
		args[1] = integer_text(&batch_size, overrides->batch_size);
	if (overrides->lease_ms > 0)
		args[2] = interval_text(&lease, overrides->lease_ms);
	if (overrides->poll_interval_ms > 0)
		args[3] = interval_text(&poll, overrides->poll_interval_ms);

	*networks = NULL;
	*n = 0;
	status = store->run(store->ctx, &networks_statement, args, &rows);
	if (status != RC_STORE_OK)
		return status;
	*networks = rc_calloc(rows.nrows > 0 ? (size_t) rows.nrows : 1, sizeof(rc_network *));
	for (int row = 0; row < rows.nrows; row++)
		(*networks)[(*n)++] = network_from_row(&rows, row, overrides);
	rc_rows_free(&rows);
	return RC_STORE_OK;
}

static int64_t
cell_to_int64(const char *cell)
{
	return cell ? strtoll(cell, NULL, 10) : 0;
}

void
rc_protocol_take_bounds(const rc_rows *rows, int col, rc_tip_bounds *bounds)
{
	bounds->min_time = cell_to_int64(rc_cell(rows, 0, col));
	bounds->max_time = cell_to_int64(rc_cell(rows, 0, col + 1));
	bounds->floor = cell_to_int64(rc_cell(rows, 0, col + 2));
	bounds->floor_min_time = cell_to_int64(rc_cell(rows, 0, col + 3));
}

static void
request_from_row(rc_request *request, const rc_rows *rows, int row)
{
	const char *seen = rc_cell(rows, row, 5);
	const char *settled = rc_cell(rows, row, 6);

	request->seq = strtoll(rc_cell(rows, row, 2), NULL, 10);
	request->address = rc_strdup(rc_cell(rows, row, 3) ? rc_cell(rows, row, 3) : "");
	request->token = copy_cell(rc_cell(rows, row, 4));
	request->known = seen && settled &&
		rc_uint256_from_decimal(&request->seen, seen) &&
		rc_uint256_from_decimal(&request->settled, settled);
	request->expiring = cell_is_true(rc_cell(rows, row, 7));
	request->error = copy_cell(rc_cell(rows, row, 8));
}

rc_store_status
rc_protocol_claim(const rc_store *store, const char *worker_id, const rc_network *network,
				  int64_t after, rc_batch **batch)
{
	number_text numbers[4];
	number_text lease;
	number_text poll;
	const char *args[7];
	rc_rows		rows = {0};
	rc_store_status status;

	args[0] = worker_id;
	args[1] = integer_text(&numbers[0], network->network_id);
	args[2] = integer_text(&numbers[1], after);
	args[3] = integer_text(&numbers[2], network->batch_size);
	args[4] = interval_text(&lease, network->lease_ms);
	args[5] = interval_text(&poll, network->poll_interval_ms);
	args[6] = integer_text(&numbers[3], network->version);

	*batch = NULL;
	status = store->run(store->ctx, &claim_statement, args, &rows);
	if (status != RC_STORE_OK || rows.nrows == 0)
	{
		rc_rows_free(&rows);
		return status;
	}
	*batch = rc_calloc(1, sizeof(rc_batch));
	(*batch)->network_id = network->network_id;
	(*batch)->lo = strtoll(rc_cell(&rows, 0, 0), NULL, 10);
	(*batch)->token = rc_strdup(rc_cell(&rows, 0, 1));
	(*batch)->failing = cell_is_true(rc_cell(&rows, 0, 9));
	(*batch)->version = network->version;
	rc_protocol_take_bounds(&rows, 10, &(*batch)->bounds);
	(*batch)->requests = rc_calloc((size_t) rows.nrows, sizeof(rc_request));
	(*batch)->nrequests = rows.nrows;
	for (int row = 0; row < rows.nrows; row++)
		request_from_row(&(*batch)->requests[row], &rows, row);
	rc_rows_free(&rows);
	return RC_STORE_OK;
}

rc_store_status
rc_protocol_due_in(const rc_store *store, const rc_network *network, bool of_cursor, long *ms)
{
	number_text id;
	const char *args[2] = {integer_text(&id, network->network_id), of_cursor ? "t" : "f"};
	rc_rows		rows = {0};
	rc_store_status status = store->run(store->ctx, &due_in_statement, args, &rows);

	*ms = -1;
	if (status == RC_STORE_OK && rows.nrows == 1 && rc_cell(&rows, 0, 0) != NULL)
		*ms = cell_to_long(rc_cell(&rows, 0, 0));
	rc_rows_free(&rows);
	return status;
}

rc_store_status
rc_protocol_claim_tip(const rc_store *store, const char *worker_id, const rc_network *network, long *wait_ms)
{
	number_text id;
	const char *args[2] = {worker_id, integer_text(&id, network->network_id)};
	rc_rows		rows = {0};
	rc_store_status status = store->run(store->ctx, &claim_tip_statement, args, &rows);

	*wait_ms = -1;
	if (status == RC_STORE_OK && rows.nrows == 1 && rc_cell(&rows, 0, 0) != NULL)
		*wait_ms = cell_to_long(rc_cell(&rows, 0, 0));
	rc_rows_free(&rows);
	return status;
}

rc_store_status
rc_protocol_note_tip(const rc_store *store, const char *worker_id, const rc_network *network, int64_t height, bool *is_new)
{
	number_text id;
	number_text number;
	const char *args[3] = {worker_id, integer_text(&id, network->network_id), integer_text(&number, height)};
	rc_rows		rows = {0};
	rc_store_status status = store->run(store->ctx, &note_tip_statement, args, &rows);

	*is_new = status == RC_STORE_OK && rows.nrows == 1 && cell_is_true(rc_cell(&rows, 0, 0));
	rc_rows_free(&rows);
	return status;
}

rc_store_status
rc_protocol_take_budget(const rc_store *store, const rc_network *network, int n, long *wait_ms)
{
	number_text id;
	number_text count;
	const char *args[2] = {integer_text(&id, network->network_id), integer_text(&count, n)};
	rc_rows		rows = {0};
	rc_store_status status = store->run(store->ctx, &take_budget_statement, args, &rows);

	*wait_ms = 0;
	if (status == RC_STORE_OK && rows.nrows == 1)
		*wait_ms = cell_to_long(rc_cell(&rows, 0, 0));
	rc_rows_free(&rows);
	return status;
}

/* Runs a statement whose first parameters name the worker and its batch */
static rc_store_status
run_for_batch(const rc_store *store, const rc_statement *statement, const char *worker_id,
			  const rc_batch *batch, const char *last, rc_rows *rows)
{
	number_text id;
	number_text lo;
	const char *args[5];

	args[0] = worker_id;
	args[1] = integer_text(&id, batch->network_id);
	args[2] = integer_text(&lo, batch->lo);
	args[3] = batch->token;
	args[4] = last;
	return store->run(store->ctx, statement, args, rows);
}

rc_store_status
rc_protocol_settle(const rc_store *store, const char *worker_id, const rc_batch *batch,
				   const char *observation, rc_rows *outcomes)
{
	return run_for_batch(store, &settle_statement, worker_id, batch, observation, outcomes);
}

rc_store_status
rc_protocol_renew(const rc_store *store, const char *worker_id, const rc_batch *batch,
				  const rc_network *network)
{
	number_text lease;

	return run_for_batch(store, &renew_statement, worker_id, batch,
						 interval_text(&lease, network->lease_ms), NULL);
}

rc_store_status
rc_protocol_release(const rc_store *store, const char *worker_id, const rc_batch *batch, bool due_now)
{
	return run_for_batch(store, &release_statement, worker_id, batch, due_now ? "t" : "f", NULL);
}

bool
rc_statement_is_slow(const rc_statement *statement)
{
	return statement == &maintain_statement;
}

rc_store_status
rc_protocol_maintain(const rc_store *store, const char *worker_id)
{
	return store->run(store->ctx, &maintain_statement, &worker_id, NULL);
}

/* The counters as a JSON object, rc_malloc'd */
static char *
counters_to_json(const rc_counters *counters)
{
	const struct
	{
		const char *name;
		int64_t		value;
	}			members[] = {
		{"cycles", counters->cycles},
		{"claimed", counters->claimed},
		{"scanned", counters->scanned},
		{"detected", counters->detected},
		{"confirmed", counters->confirmed},
		{"expired", counters->expired},
		{"skipped", counters->skipped},
		{"errors", counters->errors},
		{"http_calls", counters->http_calls},
		{"bytes_sent", counters->bytes_sent},
		{"bytes_received", counters->bytes_received},
	};
	struct json_object *json = json_object_new_object();
	char	   *text;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_object_object_add(json, members[i].name, json_object_new_int64(members[i].value));
	text = rc_strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
	json_object_put(json);
	return text;
}

rc_store_status
rc_protocol_report(const rc_store *store, const char *worker_id, const char *role,
				   rc_state state, const rc_counters *counters, bool stopped, const char *details)
{
	number_text pid;
	char	   *json = counters_to_json(counters);
	const char *args[7] = {worker_id, role, integer_text(&pid, getpid()),
	rc_state_name(state), json, stopped ? "t" : "f", details};
	rc_store_status status = store->run(store->ctx, &report_statement, args, NULL);

	free(json);
	return status;
}

rc_store_status
rc_protocol_register_network(const rc_store *store, const char *kind, const char *chain,
							 const char *network, uint64_t chain_id)
{
	number_text id;
	const char *args[4] = {kind, chain, network, NULL};

	if (chain_id != 0)
		args[3] = integer_text(&id, (int64_t) chain_id);
	return store->run(store->ctx, &register_network_statement, args, NULL);
}
