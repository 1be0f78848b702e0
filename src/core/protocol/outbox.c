/* outbox.c: the statements by which workers send events to webhooks */
#include "core/protocol/outbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/memory.h"

static const rc_statement due_statement = {
	"webhooks_due",
	"SELECT webhook_id, due_ms FROM reconciler.webhooks_due($1::text)",
	1
};

static const rc_statement claim_statement = {
	"claim_webhook",
	"SELECT turn, token, url, hosts, timeout_ms, message_id, \"timestamp\", signature, body"
	" FROM reconciler.claim_webhook($1::text, $2::int, $3::int)",
	3
};

static const rc_statement finish_statement = {
	"finish_webhook",
	"SELECT outcome, name, event_id, attempts"
	" FROM reconciler.finish_webhook($1::text, $2::int, $3::bigint, $4::xid8, $5::int, $6::text, $7::bigint)",
	7
};

static const rc_statement retire_statement = {
	"retire_events",
	"SELECT reconciler.retire_events($1::text)",
	1
};

/* An integer as a statement's parameter */
typedef struct number_text
{
	char		text[24];
} number_text;

static const char *
integer_text(number_text *buffer, int64_t value)
{
	snprintf(buffer->text, sizeof(buffer->text), "%" PRId64, value);
	return buffer->text;
}

void
rc_delivery_free(rc_delivery *delivery)
{
	if (delivery == NULL)
		return;
	free(delivery->token);
	free(delivery->url);
	free(delivery->hosts);
	free(delivery->id);
	free(delivery->timestamp);
	free(delivery->signature);
	free(delivery->body);
	free(delivery);
}

rc_store_status
rc_outbox_due(const rc_store *store, const char *worker_id, rc_webhook_due **due, int *n, long *again_ms)
{
	rc_rows		rows = {0};
	rc_store_status status = store->run(store->ctx, &due_statement, &worker_id, &rows);

	*n = 0;
	*again_ms = -1;
	*due = rc_calloc(rows.nrows > 0 ? (size_t) rows.nrows : 1, sizeof(rc_webhook_due));
	for (int row = 0; row < rows.nrows; row++)
	{
		long		ms = strtol(rc_cell(&rows, row, 1), NULL, 10);

		if (rc_cell(&rows, row, 0) == NULL)
			*again_ms = ms;
		else
			(*due)[(*n)++] = (rc_webhook_due) {(int32_t) strtol(rc_cell(&rows, row, 0), NULL, 10), ms};
	}
	rc_rows_free(&rows);
	return status;
}

/* The body comes in hex, so that it is sent byte by byte as it was signed */
static rc_delivery *
delivery_from_row(const rc_rows *rows, int row, int32_t webhook_id)
{
	rc_delivery *delivery = rc_calloc(1, sizeof(*delivery));
	const char *hex = rc_cell(rows, row, 8);

	delivery->webhook_id = webhook_id;
	delivery->turn = strtoll(rc_cell(rows, row, 0), NULL, 10);
	delivery->token = rc_strdup(rc_cell(rows, row, 1));
	delivery->url = rc_strdup(rc_cell(rows, row, 2));
	delivery->hosts = rc_strdup(rc_cell(rows, row, 3));
	delivery->timeout_ms = strtol(rc_cell(rows, row, 4), NULL, 10);
	delivery->id = rc_strdup(rc_cell(rows, row, 5));
	delivery->timestamp = rc_strdup(rc_cell(rows, row, 6));
	delivery->signature = rc_strdup(rc_cell(rows, row, 7));
	delivery->body_len = strlen(hex) / 2;
	delivery->body = rc_malloc(delivery->body_len + 1);
	(void) rc_hex_decode(hex, 2 * delivery->body_len, (uint8_t *) delivery->body, delivery->body_len);
	delivery->body[delivery->body_len] = '\0';
	return delivery;
}

rc_store_status
rc_outbox_claim(const rc_store *store, const char *worker_id, int32_t webhook_id, int most, rc_delivery ***deliveries, int *n)
{
	number_text id;
	number_text limit;
	const char *args[3] = {worker_id, integer_text(&id, webhook_id), integer_text(&limit, most)};
	rc_rows		rows = {0};
	rc_store_status status = store->run(store->ctx, &claim_statement, args, &rows);

	*n = rows.nrows;
	*deliveries = rc_calloc(rows.nrows > 0 ? (size_t) rows.nrows : 1, sizeof(rc_delivery *));
	for (int row = 0; row < rows.nrows; row++)
		(*deliveries)[row] = delivery_from_row(&rows, row, webhook_id);
	rc_rows_free(&rows);
	return status;
}

rc_store_status
rc_outbox_finish(const rc_store *store, const char *worker_id, const rc_delivery *delivery,
				 long http_status, const char *error, long retry_after_ms, rc_delivery_outcome *outcome)
{
	number_text numbers[4];
	const char *args[7];
	rc_rows		rows = {0};
	rc_store_status status;

	args[0] = worker_id;
	args[1] = integer_text(&numbers[0], delivery->webhook_id);
	args[2] = integer_text(&numbers[1], delivery->turn);
	args[3] = delivery->token;
	args[4] = http_status > 0 ? integer_text(&numbers[2], http_status) : NULL;
	args[5] = error;
	args[6] = retry_after_ms >= 0 ? integer_text(&numbers[3], retry_after_ms) : NULL;
	memset(outcome, 0, sizeof(*outcome));
	status = store->run(store->ctx, &finish_statement, args, &rows);
	if (status == RC_STORE_OK && rows.nrows == 1)
	{
		snprintf(outcome->outcome, sizeof(outcome->outcome), "%s", rc_cell(&rows, 0, 0));
		outcome->webhook = rc_cell(&rows, 0, 1) != NULL ? rc_strdup(rc_cell(&rows, 0, 1)) : NULL;
		outcome->event_id = strtoll(rc_cell(&rows, 0, 2), NULL, 10);
		outcome->attempts = (int) strtol(rc_cell(&rows, 0, 3), NULL, 10);
	}
	rc_rows_free(&rows);
	return status;
}

rc_store_status
rc_outbox_retire(const rc_store *store, const char *worker_id, bool *more)
{
	rc_rows		rows = {0};
	rc_store_status status = store->run(store->ctx, &retire_statement, &worker_id, &rows);

	*more = status == RC_STORE_OK && rows.nrows == 1 && rc_cell(&rows, 0, 0) != NULL && rc_cell(&rows, 0, 0)[0] == 't';
	rc_rows_free(&rows);
	return status;
}
