/* webhooks.c: sends events to webhooks: claim, post, finish */
#include "core/outbox/webhooks.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/text.h"
#include "core/net/redact.h"
#include "core/outbox/hosts.h"
#include "core/protocol/outbox.h"

/* How often the database is asked what is due: with webhooks (it says itself), and without */
#define NO_WEBHOOKS_MS	5000
#define FAILED_MS		5000
#define RETIRE_MS		60000

/* Nothing was to be had of a webhook, though it was due: somebody else is at it, or it rests */
#define EMPTY_MS		1000

/* Deliveries that a worker has under way: to one endpoint, so that one that hangs takes no other's place; and in all */
#define MAX_OF_ENDPOINT 8
#define MAX_IN_FLIGHT	64

/* One delivery on its way */
typedef struct post
{
	rc_webhooks *webhooks;
	struct post *next;
	rc_delivery *delivery;
	rc_hosts   *hosts;
	char	   *host;			/* of the URL */
	rc_transfer *transfer;		/* NULL: it has ended */
	long		status;
	char	   *error;
	long		retry_after_ms;
} post;

typedef struct endpoint
{
	int32_t		webhook_id;
	int64_t		due_ms;
	struct endpoint *next;
} endpoint;

struct rc_webhooks
{
	rc_http    *http;
	const rc_host *host;
	const rc_store *store;
	const char *worker_id;
	endpoint   *endpoints;		/* that have something to be sent */
	post	   *posts;
	int			nposts;
	bool		ended;			/* one of them has */
	int64_t		ask_at_ms;
	int64_t		retire_at_ms;
};

rc_webhooks *
rc_webhooks_start(rc_http *http, const rc_host *host, const rc_store *store, const char *worker_id)
{
	rc_webhooks *webhooks = rc_calloc(1, sizeof(*webhooks));

	webhooks->http = http;
	webhooks->host = host;
	webhooks->store = store;
	webhooks->worker_id = worker_id;
	/* Workers that start together don't all clear away together */
	webhooks->retire_at_ms = rc_now_ms() + RETIRE_MS / 2;
	return webhooks;
}

static void
free_endpoints(rc_webhooks *webhooks)
{
	while (webhooks->endpoints != NULL)
	{
		endpoint   *next = webhooks->endpoints->next;

		free(webhooks->endpoints);
		webhooks->endpoints = next;
	}
}

static void
free_post(post *post)
{
	struct post **link = &post->webhooks->posts;

	while (*link != post)
		link = &(*link)->next;
	*link = post->next;
	post->webhooks->nposts--;
	if (post->transfer != NULL)
		rc_http_cancel(post->transfer);
	rc_delivery_free(post->delivery);
	rc_hosts_free(post->hosts);
	free(post->host);
	free(post->error);
	free(post);
}

/* Called with libcurl below it */
static bool
may_connect(void *arg, const struct sockaddr *address)
{
	post	   *post = arg;

	return rc_hosts_allow(post->hosts, post->host, address);
}

/* Keeps what was answered for the next step, which may run statements */
static void
answered(void *arg, const rc_http_response *response)
{
	post	   *post = arg;

	post->transfer = NULL;
	post->status = response->status;
	post->retry_after_ms = response->status == 429 || response->status == 503 ? response->retry_after_ms : -1;
	if (response->error != NULL)
	{
		post->error = rc_strdup(response->error);
		rc_text_redact(post->error, post->delivery->url, NULL);
		rc_text_clean(post->error);
		rc_text_cut(post->error, 400);
	}
	post->webhooks->ended = true;
}

static void
transfer_delivery(post *post)
{
	const rc_delivery *delivery = post->delivery;
	char	   *id = rc_asprintf("webhook-id: %s", delivery->id);
	char	   *timestamp = rc_asprintf("webhook-timestamp: %s", delivery->timestamp);
	char	   *signature = rc_asprintf("webhook-signature: %s", delivery->signature);
	const char *headers[] = {id, timestamp, signature, NULL};
	rc_http_request request = {.url = delivery->url,.body = delivery->body,.body_len = delivery->body_len,
		.timeout_ms = delivery->timeout_ms,.headers = headers,.discard_body = true,
	.may_connect = may_connect,.may_connect_arg = post};

	post->transfer = rc_http_start(post->webhooks->http, &request, answered, post);
	free(id);
	free(timestamp);
	free(signature);
}

/* The list of hosts may have changed since the webhook was added, so the URL is judged anew */
static void
start_post(rc_webhooks *webhooks, rc_delivery *delivery)
{
	post	   *post = rc_calloc(1, sizeof(*post));
	char	   *problem = NULL;

	post->webhooks = webhooks;
	post->delivery = delivery;
	post->retry_after_ms = -1;
	post->next = webhooks->posts;
	webhooks->posts = post;
	webhooks->nposts++;
	post->hosts = rc_hosts_parse(delivery->hosts, &problem);
	if (post->hosts != NULL)
		problem = rc_hosts_url_problem(post->hosts, delivery->url, &post->host);
	if (problem == NULL)
	{
		transfer_delivery(post);
		return;
	}
	post->error = problem;
	webhooks->ended = true;
}

/* To the log: what couldn't be delivered, while it is news */
static void
log_outcome(const post *post, const rc_delivery_outcome *outcome)
{
	const rc_host *host = post->webhooks->host;
	bool		dead = strcmp(outcome->outcome, "dead") == 0;
	char	   *status = rc_asprintf("HTTP status %ld", post->status);
	const char *message = post->error != NULL ? post->error : status;

	if (dead)
		rc_log_event(host, RC_LOG_WARNING, "webhook given up",
					 RC_FIELDS(rc_field_text("webhook", outcome->webhook), rc_field_int("event_id", outcome->event_id),
							   rc_field_int("attempts", outcome->attempts)), message);
	else if (strcmp(outcome->outcome, "failed") == 0)
		rc_log_change(host, RC_LOG_WARNING, "webhook failed",
					  RC_FIELDS(rc_field_text("webhook", outcome->webhook)), message);
	free(status);
}

/* Tells the database what came of a delivery. A lease that was lost is another worker's */
static void
finish_post(post *post)
{
	rc_webhooks *webhooks = post->webhooks;
	rc_delivery_outcome outcome;
	rc_store_status status = rc_outbox_finish(webhooks->store, webhooks->worker_id, post->delivery, post->status,
											  post->error, post->retry_after_ms, &outcome);

	if (status == RC_STORE_OK)
		log_outcome(post, &outcome);
	free(outcome.webhook);
	for (endpoint *endpoint = webhooks->endpoints; endpoint != NULL; endpoint = endpoint->next)
		if (endpoint->webhook_id == post->delivery->webhook_id)
			endpoint->due_ms = 0;
	free_post(post);
}

static void
finish_posts(rc_webhooks *webhooks)
{
	post	   *next;

	if (!webhooks->ended)
		return;
	webhooks->ended = false;
	for (post *post = webhooks->posts; post != NULL; post = next)
	{
		next = post->next;
		if (post->transfer == NULL)
			finish_post(post);
	}
}

/* How many deliveries may yet be sent to the endpoint */
static int
room_of(const rc_webhooks *webhooks, const endpoint *endpoint)
{
	int			room = MAX_OF_ENDPOINT;

	for (const post *post = webhooks->posts; post != NULL; post = post->next)
		if (post->delivery->webhook_id == endpoint->webhook_id)
			room--;
	return room < MAX_IN_FLIGHT - webhooks->nposts ? room : MAX_IN_FLIGHT - webhooks->nposts;
}

/* rc_now_ms() at which the endpoint's next delivery can be claimed */
static int64_t
claim_at_ms(const rc_webhooks *webhooks, const endpoint *endpoint)
{
	return room_of(webhooks, endpoint) > 0 ? endpoint->due_ms : INT64_MAX;
}

static void
claim_deliveries(rc_webhooks *webhooks, endpoint *endpoint)
{
	rc_delivery **deliveries;
	int			n;
	int			room = room_of(webhooks, endpoint);
	rc_store_status status = rc_outbox_claim(webhooks->store, webhooks->worker_id, endpoint->webhook_id, room,
											 &deliveries, &n);

	endpoint->due_ms = rc_now_ms() + (status == RC_STORE_OK ? EMPTY_MS : FAILED_MS);
	if (n == room)
		endpoint->due_ms = 0;
	for (int i = 0; i < n; i++)
		start_post(webhooks, deliveries[i]);
	free(deliveries);
}

/* Asks what is due; forgets what isn't any more */
static void
ask(rc_webhooks *webhooks)
{
	rc_webhook_due *due;
	int			n;
	long		again_ms;
	rc_store_status status = rc_outbox_due(webhooks->store, webhooks->worker_id, &due, &n, &again_ms);
	int64_t		now = rc_now_ms();

	webhooks->ask_at_ms = now + (status != RC_STORE_OK ? FAILED_MS : again_ms < 0 ? NO_WEBHOOKS_MS : again_ms);
	if (status == RC_STORE_OK)
		free_endpoints(webhooks);
	for (int i = n - 1; status == RC_STORE_OK && i >= 0; i--)
	{
		endpoint   *endpoint = rc_calloc(1, sizeof(*endpoint));

		endpoint->webhook_id = due[i].webhook_id;
		endpoint->due_ms = now + due[i].due_ms;
		endpoint->next = webhooks->endpoints;
		webhooks->endpoints = endpoint;
	}
	free(due);
}

static void
claim_due(rc_webhooks *webhooks)
{
	for (endpoint *endpoint = webhooks->endpoints; endpoint != NULL; endpoint = endpoint->next)
		if (rc_now_ms() >= claim_at_ms(webhooks, endpoint))
			claim_deliveries(webhooks, endpoint);
}

bool
rc_webhooks_flush(rc_webhooks *webhooks)
{
	do
		ask(webhooks);
	while (webhooks->ask_at_ms <= rc_now_ms());
	claim_due(webhooks);
	return webhooks->nposts == 0;
}

void
rc_webhooks_step(rc_webhooks *webhooks, bool claim)
{
	bool		more;

	finish_posts(webhooks);
	if (!claim)
		return;
	if (rc_now_ms() >= webhooks->ask_at_ms)
		ask(webhooks);
	claim_due(webhooks);
	if (rc_now_ms() >= webhooks->retire_at_ms)
	{
		(void) rc_outbox_retire(webhooks->store, webhooks->worker_id, &more);
		webhooks->retire_at_ms = rc_now_ms() + (more ? EMPTY_MS : RETIRE_MS);
	}
}

int64_t
rc_webhooks_next_ms(const rc_webhooks *webhooks)
{
	int64_t		next = webhooks->ask_at_ms < webhooks->retire_at_ms ? webhooks->ask_at_ms : webhooks->retire_at_ms;

	if (webhooks->ended)
		return 0;
	for (const endpoint *endpoint = webhooks->endpoints; endpoint != NULL; endpoint = endpoint->next)
	{
		int64_t		at = claim_at_ms(webhooks, endpoint);

		if (at < next)
			next = at;
	}
	return next;
}

bool
rc_webhooks_in_flight(const rc_webhooks *webhooks)
{
	return webhooks->nposts > 0;
}

void
rc_webhooks_free(rc_webhooks *webhooks)
{
	if (webhooks == NULL)
		return;
	finish_posts(webhooks);
	while (webhooks->posts != NULL)
	{
		rc_delivery_outcome outcome;

		(void) rc_outbox_finish(webhooks->store, webhooks->worker_id, webhooks->posts->delivery, 0, NULL, -1, &outcome);
		free(outcome.webhook);
		free_post(webhooks->posts);
	}
	free_endpoints(webhooks);
	free(webhooks);
}
