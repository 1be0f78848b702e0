/* cursor.c: the statements by which a chain is followed; the only place where they stand */
#include "core/protocol/cursor.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

static const rc_statement claim_statement = {
	"claim_cursor",
	"SELECT token, height, hash, best_work, recent, look_back_due, look_back_next, look_back_hash, look_back_since,"
	" min_tip_time, max_tip_time, tip_floor, floor_min_time"
	" FROM reconciler.claim_cursor($1::text, $2::int, $3::interval, $4::interval, $5::bigint)",
	5
};

static const rc_statement advance_statement = {
	"advance_cursor",
	"SELECT reconciler.advance_cursor($1::text, $2::int, $3::xid8, $4::interval, $5::jsonb, $6::jsonb)",
	6
};

static const rc_statement undo_statement = {
	"undo_blocks",
	"SELECT reconciler.undo_blocks($1::text, $2::int, $3::xid8, $4::interval, $5::bigint, $6::text, $7::bigint)",
	7
};

static const rc_statement renew_statement = {
	"renew_cursor",
	"SELECT reconciler.renew_cursor($1::text, $2::int, $3::xid8, $4::interval)",
	4
};

static const rc_statement release_statement = {
	"release_cursor",
	"SELECT reconciler.release_cursor($1::text, $2::int, $3::xid8, $4::boolean)",
	4
};

static const rc_statement fail_statement = {
	"fail_network",
	"SELECT outcome, source, request_id, from_status, to_status, reason"
	" FROM reconciler.fail_network($1::text, $2::int, $3::xid8, $4::text, $5::boolean)",
	5
};

static const rc_statement mempool_statement = {
	"note_mempool",
	"SELECT reconciler.note_mempool($1::text, $2::int, $3::xid8, $4::interval, $5::jsonb, $6::jsonb)",
	6
};

static const rc_statement keys_statement = {
	"follow_keys",
	"SELECT * FROM reconciler.follow_keys($1::int, $2::text, $3::int)",
	3
};

static const rc_statement tokens_statement = {
	"follow_tokens",
	"SELECT token FROM reconciler.follow_tokens($1::int)",
	1
};

static const rc_statement among_statement = {
	"follow_among",
	"SELECT * FROM reconciler.follow_among($1::int, $2::jsonb)",
	2
};

static const rc_statement unconfirmed_statement = {
	"unconfirmed_payments",
	"SELECT * FROM reconciler.unconfirmed_payments($1::int)",
	1
};

static const rc_statement begin_look_back_statement = {
	"begin_look_back",
	"SELECT requests, next_height, next_hash, since"
	" FROM reconciler.begin_look_back($1::text, $2::int, $3::xid8, $4::interval)",
	4
};

static const rc_statement look_back_statement = {
	"look_back",
	"SELECT reconciler.look_back($1::text, $2::int, $3::xid8, $4::interval, $5::jsonb, $6::jsonb)",
	6
};

static const rc_statement look_back_scripts_statement = {
	"look_back_scripts",
	"SELECT * FROM reconciler.look_back_scripts($1::int)",
	1
};

static const rc_statement end_look_back_statement = {
	"end_look_back",
	"SELECT reconciler.end_look_back($1::text, $2::int, $3::xid8, $4::interval, $5::text)",
	5
};

static const rc_statement settle_statement = {
	"settle_network",
	"SELECT outcome, source, request_id, from_status, to_status, reason"
	" FROM reconciler.settle_network($1::text, $2::int, $3::xid8, $4::boolean, $5::jsonb)",
	5
};

/* Room for the longest statement's parameters, and for numbers among them as text */
typedef struct parameters
{
	const char *args[7];
	char		network_id[16];
	char		lease[48];
	char		number[24];
	char		tip_height[24];
	char		block[384];
} parameters;

/* Fills in the first four: worker, network, token, lease */
static void
set_lease(parameters *parameters, const rc_cursor_lease *lease)
{
	memset(parameters, 0, sizeof(*parameters));
	snprintf(parameters->network_id, sizeof(parameters->network_id), "%" PRId32, lease->network->network_id);
	snprintf(parameters->lease, sizeof(parameters->lease), "%ld milliseconds", lease->network->lease_ms);
	parameters->args[0] = lease->worker_id;
	parameters->args[1] = parameters->network_id;
	parameters->args[2] = lease->token;
	parameters->args[3] = parameters->lease;
}

static const char *
set_number(parameters *parameters, int64_t value)
{
	snprintf(parameters->number, sizeof(parameters->number), "%" PRId64, value);
	return parameters->number;
}

/* A block as JSON; what isn't known of it is left out */
static const char *
set_block(parameters *parameters, const rc_cursor_block *block)
{
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, "height", json_object_new_int64(block->height));
	json_object_object_add(json, "hash", json_object_new_string(block->hash));
	json_object_object_add(json, "time", json_object_new_int64(block->time));
	if (block->previous != NULL)
		json_object_object_add(json, "previous", json_object_new_string(block->previous));
	if (block->work != NULL)
		json_object_object_add(json, "work", json_object_new_string(block->work));
	snprintf(parameters->block, sizeof(parameters->block), "%s", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
	json_object_put(json);
	return parameters->block;
}

/* Runs a statement that answers one number; found may be NULL */
static rc_store_status
run_counting(const rc_cursor_lease *lease, const rc_statement *statement, const char *const *args, int *found)
{
	rc_rows		rows = {0};
	rc_store_status status = lease->store->run(lease->store->ctx, statement, args, &rows);

	if (status == RC_STORE_OK && found != NULL && rows.nrows == 1 && rc_cell(&rows, 0, 0) != NULL)
		*found += (int) strtol(rc_cell(&rows, 0, 0), NULL, 10);
	rc_rows_free(&rows);
	return status;
}

rc_store_status
rc_cursor_claim(const rc_store *store, const char *worker_id, const rc_network *network, long interval_ms, rc_rows *rows)
{
	char		network_id[16];
	char		lease[48];
	char		poll[48];
	char		version[24];
	const char *args[5] = {worker_id, network_id, lease, poll, version};

	snprintf(network_id, sizeof(network_id), "%" PRId32, network->network_id);
	snprintf(lease, sizeof(lease), "%ld milliseconds", network->lease_ms);
	snprintf(poll, sizeof(poll), "%ld milliseconds", interval_ms);
	snprintf(version, sizeof(version), "%" PRId64, network->version);
	return store->run(store->ctx, &claim_statement, args, rows);
}

rc_store_status
rc_cursor_advance(const rc_cursor_lease *lease, const rc_cursor_block *block, const char *credits, int *found)
{
	parameters	p;

	set_lease(&p, lease);
	p.args[4] = set_block(&p, block);
	p.args[5] = credits;
	return run_counting(lease, &advance_statement, p.args, found);
}

rc_store_status
rc_cursor_undo(const rc_cursor_lease *lease, int64_t height, const char *tip_work, int64_t tip_height)
{
	parameters	p;

	set_lease(&p, lease);
	snprintf(p.tip_height, sizeof(p.tip_height), "%" PRId64, tip_height);
	p.args[4] = set_number(&p, height);
	p.args[5] = tip_work;
	p.args[6] = p.tip_height;
	return run_counting(lease, &undo_statement, p.args, NULL);
}

rc_store_status
rc_cursor_renew(const rc_cursor_lease *lease)
{
	parameters	p;

	set_lease(&p, lease);
	return run_counting(lease, &renew_statement, p.args, NULL);
}

rc_store_status
rc_cursor_release(const rc_cursor_lease *lease, bool due_now)
{
	parameters	p;

	set_lease(&p, lease);
	p.args[3] = due_now ? "t" : "f";
	return run_counting(lease, &release_statement, p.args, NULL);
}

rc_store_status
rc_cursor_fail(const rc_cursor_lease *lease, const char *failure, bool asked, rc_rows *outcomes)
{
	parameters	p;

	set_lease(&p, lease);
	p.args[3] = failure;
	p.args[4] = asked ? "t" : "f";
	return lease->store->run(lease->store->ctx, &fail_statement, p.args, outcomes);
}

rc_store_status
rc_cursor_mempool(const rc_cursor_lease *lease, const char *credits, const char *gone, int *found)
{
	parameters	p;

	set_lease(&p, lease);
	p.args[4] = credits;
	p.args[5] = gone;
	return run_counting(lease, &mempool_statement, p.args, found);
}

/* A statement whose only parameter is the network */
static rc_store_status
run_for_network(const rc_cursor_lease *lease, const rc_statement *statement, rc_rows *rows)
{
	parameters	p;

	set_lease(&p, lease);
	return lease->store->run(lease->store->ctx, statement, &p.args[1], rows);
}

rc_store_status
rc_cursor_unconfirmed(const rc_cursor_lease *lease, rc_rows *txids)
{
	return run_for_network(lease, &unconfirmed_statement, txids);
}

rc_store_status
rc_look_back_begin(const rc_cursor_lease *lease, rc_look_back *back)
{
	parameters	p;
	rc_rows		rows = {0};
	rc_store_status status;

	set_lease(&p, lease);
	memset(back, 0, sizeof(*back));
	status = lease->store->run(lease->store->ctx, &begin_look_back_statement, p.args, &rows);
	if (status == RC_STORE_OK && rows.nrows == 1 && rc_cell(&rows, 0, 2) != NULL && rc_cell(&rows, 0, 3) != NULL)
	{
		back->requests = (int) strtol(rc_cell(&rows, 0, 0), NULL, 10);
		back->next = strtoll(rc_cell(&rows, 0, 1), NULL, 10);
		back->hash = rc_strdup(rc_cell(&rows, 0, 2));
		back->since = strtoll(rc_cell(&rows, 0, 3), NULL, 10);
	}
	rc_rows_free(&rows);
	return status;
}

rc_store_status
rc_look_back_take(const rc_cursor_lease *lease, const rc_cursor_block *block, const char *credits, int *found)
{
	parameters	p;

	set_lease(&p, lease);
	p.args[4] = set_block(&p, block);
	p.args[5] = credits;
	return run_counting(lease, &look_back_statement, p.args, found);
}

rc_store_status
rc_look_back_scripts(const rc_cursor_lease *lease, rc_rows *scripts)
{
	return run_for_network(lease, &look_back_scripts_statement, scripts);
}

rc_store_status
rc_look_back_end(const rc_cursor_lease *lease, const char *problem)
{
	parameters	p;

	set_lease(&p, lease);
	p.args[4] = problem;
	return run_counting(lease, &end_look_back_statement, p.args, NULL);
}

rc_store_status
rc_cursor_settle(const rc_cursor_lease *lease, bool due_now, const char *depth, rc_rows *outcomes)
{
	parameters	p;

	set_lease(&p, lease);
	p.args[3] = due_now ? "t" : "f";
	p.args[4] = depth;
	return lease->store->run(lease->store->ctx, &settle_statement, p.args, outcomes);
}

rc_store_status
rc_cursor_keys(const rc_cursor_lease *lease, const char *after, int most, rc_rows *keys)
{
	parameters	p;
	const char *args[3];

	set_lease(&p, lease);
	args[0] = p.network_id;
	args[1] = after;
	args[2] = set_number(&p, most);
	return lease->store->run(lease->store->ctx, &keys_statement, args, keys);
}

rc_store_status
rc_cursor_tokens(const rc_cursor_lease *lease, rc_rows *tokens)
{
	return run_for_network(lease, &tokens_statement, tokens);
}

rc_store_status
rc_cursor_among(const rc_cursor_lease *lease, const char *candidates, rc_rows *keys)
{
	parameters	p;
	const char *args[2];

	set_lease(&p, lease);
	args[0] = p.network_id;
	args[1] = candidates;
	return lease->store->run(lease->store->ctx, &among_statement, args, keys);
}
