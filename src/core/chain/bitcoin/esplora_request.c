/* esplora_request.c: the requests of a look: those that wait, those under way, and what they ask for */
#include "core/chain/bitcoin/esplora.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* What answers need at most, but for lists of transactions */
#define SMALL_ANSWER (64 * 1024)

static void
activate(esplora_task *task)
{
	esplora_look *look = task->look;

	task->prev_active = NULL;
	task->next_active = look->active;
	if (look->active != NULL)
		look->active->prev_active = task;
	look->active = task;
	look->nactive++;
}

static void
deactivate(esplora_task *task)
{
	esplora_look *look = task->look;

	if (task->prev_active != NULL)
		task->prev_active->next_active = task->next_active;
	else
		look->active = task->next_active;
	if (task->next_active != NULL)
		task->next_active->prev_active = task->prev_active;
	look->nactive--;
}

static void
free_task(esplora_task *task)
{
	free(task->txids);
	free(task);
}

/* A task that waits for its turn */
void
esplora_add_task(esplora_look *look, esplora_step step, int index)
{
	esplora_task *task = rc_calloc(1, sizeof(*task));

	task->look = look;
	task->step = step;
	task->index = index;
	task->next = look->waiting;
	look->waiting = task;
}

/* The task's next HTTP request */
void
esplora_go_on(esplora_task *task, esplora_step next)
{
	esplora_look *look = task->look;

	deactivate(task);
	task->step = next;
	task->next = look->waiting;
	look->waiting = task;
}

/* Takes a task out of its look for good */
void
esplora_end_task(esplora_task *task)
{
	deactivate(task);
	free_task(task);
}

/* Ends every request that is under way or waits */
void
esplora_drop_tasks(esplora_look *look)
{
	while (look->active != NULL)
	{
		esplora_task *task = look->active;

		if (task->transfer != NULL)
			rc_http_cancel(task->transfer);
		esplora_end_task(task);
	}
	while (look->waiting != NULL)
	{
		esplora_task *task = look->waiting;

		look->waiting = task->next;
		free_task(task);
	}
	if (look->timer != NULL)
		rc_timer_cancel(look->timer);
	look->timer = NULL;
}

static void
on_answer(void *arg, const rc_http_response *response)
{
	esplora_task *task = arg;

	task->transfer = NULL;
	task->look->answered(task, response);
}

/* The path of a request about an address; bech32 in the form that servers index */
static char *
address_path(const esplora_task *task)
{
	const rc_btc_script *script = &task->look->scripts[task->index];
	/* Letters and digits only, or it would not have a script */
	char	   *address = rc_strdup(task->look->attempt->requests[task->index].address);
	char	   *path;

	if (script->bytes[1] == script->len - 2)
	{
		for (char *c = address; *c != '\0'; c++)
			*c = (char) tolower((unsigned char) *c);
	}
	if (task->step == ESPLORA_SUMS)
		path = rc_asprintf("/address/%s", address);
	else if (task->step == ESPLORA_MEMPOOL)
		path = rc_asprintf("/address/%s/txs/mempool", address);
	else
		path = rc_asprintf("/address/%s/txs/chain%s%s", address, task->hash[0] ? "/" : "", task->hash);
	free(address);
	return path;
}

static char *
task_path(const esplora_task *task)
{
	uint64_t	height = task->look->tip.height;

	switch (task->step)
	{
		case ESPLORA_GENESIS:
			return rc_strdup("/block-height/0");
		case ESPLORA_TIP_HASH:
			return rc_strdup("/blocks/tip/hash");
		case ESPLORA_TIP_BLOCK:
			return rc_asprintf("/block/%s", task->hash);
		case ESPLORA_RECENT:
			return rc_asprintf("/blocks/%" PRIu64, height);
		case ESPLORA_CHECK:
			return rc_asprintf("/block-height/%" PRIu64, height);
		default:
			return address_path(task);
	}
}

/* Sends a task's HTTP request */
void
esplora_send(esplora_task *task)
{
	rc_attempt *attempt = task->look->attempt;
	const char *base = attempt->endpoint->url;
	int			len = (int) strlen(base);
	char	   *path = task_path(task);
	rc_http_request request = {0};
	char	   *url;

	while (len > 0 && base[len - 1] == '/')
		len--;
	url = rc_asprintf("%.*s%s", len, base, path);
	request.url = url;
	request.meter = &attempt->endpoint->meter;
	request.timeout_ms = attempt->network->request_timeout_ms;
	if (task->step != ESPLORA_PAGE && task->step != ESPLORA_MEMPOOL)
		request.max_response = SMALL_ANSWER;
	activate(task);
	task->transfer = rc_http_start(attempt->http, &request, on_answer, task);
	(*attempt->http_requests)++;
	free(url);
	free(path);
}
