/* registration.c: makes the networks that this daemon brings endpoints for known to the database */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "core/chain/chain.h"
#include "core/net/http.h"
#include "core/net/jsonrpc.h"
#include "core/base/backoff.h"
#include "core/base/memory.h"
#include "core/base/text.h"
#include "core/net/redact.h"
#include "core/protocol/protocol.h"
#include "registration.h"

#define QUESTION_TIMEOUT_MS	5000

/* Pauses before a question is asked again: see backoff.h */
#define RETRY_MIN_MS		4000
#define RETRY_MAX_MS		60000

/* An answer is a few dozen bytes; whatever is much longer isn't one */
#define MAX_ANSWER			65536

/* A network that the database doesn't know, as far as is known */
typedef struct entry
{
	rc_registration *registration;
	rc_own_network *own;
	rc_transfer *question;		/* under way; NULL: none */
	int64_t		question_id;
	int			next_url;		/* the endpoint to ask next */
	int			failures;
	int64_t		retry_at_ms;
	bool		answered;		/* whatever had to be asked is known */
} entry;

struct rc_registration
{
	rc_daemon  *daemon;
	const rc_store *store;
	const char *worker_id;
	rc_own_networks *networks;
	rc_http    *http;
	entry	   *entries;
};

static const char *
shown_name(const rc_own_network *own)
{
	return own->network ? own->network : "?";
}

static void
ask_later(entry *entry, const char *what)
{
	rc_daemon  *daemon = entry->registration->daemon;
	const rc_own_network *own = entry->own;
	char	   *shown = rc_url_redact(own->urls[entry->next_url]);
	int64_t		pause = rc_backoff_ms(++entry->failures, RETRY_MIN_MS, RETRY_MAX_MS);

	entry->retry_at_ms = rc_now_ms() + pause;
	entry->next_url = (entry->next_url + 1) % own->nurls;
	rc_daemon_log(daemon, RC_LOG_WARNING, "endpoint doesn't tell its chain",
				  RC_FIELDS(rc_field_text("chain", own->chain),
							rc_field_text("network", shown_name(own)),
							rc_field_text("endpoint", shown),
							rc_field_int("retry_in_ms", pause)), what);
	free(shown);
}

/* What the answer says of the chain; no text of a failure: it says it */
static rc_failure
read_answer(const entry *entry, const rc_http_response *response, rc_identity *identity)
{
	const rc_identifier *identifier = rc_chain_of(entry->own->kind)->identify;
	rc_rpc_reply reply = {0};
	rc_failure	failure;
	int64_t		code;
	char	   *error = NULL;

	memset(identity, 0, sizeof(*identity));
	if (response->error != NULL)
		return rc_failure_make(response->code, "%s", response->error);
	if (response->status != 200)
		return rc_failure_make(RC_FAILURE_REFUSED, "HTTP status %ld", response->status);
	if (identifier->method == NULL)
		return identifier->take(response->body, identity);
	if (rc_rpc_parse(response->body, response->body_len, 1, entry->question_id, false, &reply, &code, &error) != RC_RPC_OK)
	{
		rc_http_distrust(response);
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	}
	failure = rc_identify_take_reply(identifier, &reply, identity);
	rc_rpc_clear(&reply, 1);
	return failure;
}

static void
take_answer(void *arg, const rc_http_response *response)
{
	entry	   *entry = arg;
	rc_own_network *own = entry->own;
	rc_identity identity;
	rc_failure	failure = read_answer(entry, response, &identity);

	entry->question = NULL;
	if (failure.text == NULL && identity.chain_id == 0 && identity.network == NULL)
		failure = rc_failure_make(RC_FAILURE_WRONG_CHAIN, "the genesis block is that of no known network");
	if (failure.text != NULL)
	{
		/* It may be the endpoint's own words */
		rc_text_redact(failure.text, own->urls[entry->next_url], NULL);
		rc_text_clean(failure.text);
		ask_later(entry, failure.text);
		free(failure.text);
		return;
	}
	own->chain_id = identity.chain_id;
	if (identity.network != NULL && own->network == NULL)
		own->network = rc_strdup(identity.network);
	entry->answered = true;
}

static void
ask(entry *entry)
{
	const rc_own_network *own = entry->own;
	const rc_identifier *identifier = rc_chain_of(own->kind)->identify;
	const char *base = own->urls[entry->next_url];
	size_t		len = strlen(base);
	char	   *url = NULL;
	rc_buffer	body = {0};
	rc_http_request request = {.url = base,.timeout_ms = QUESTION_TIMEOUT_MS,.max_response = MAX_ANSWER};

	if (identifier->method != NULL)
	{
		rc_rpc_call call = {identifier->method, identifier->params, 0};

		entry->question_id = rc_rpc_take_ids(1);
		rc_rpc_build(&body, &call, 1, entry->question_id, false);
		request.body = body.data;
		request.body_len = body.len;
	}
	else
	{
		while (len > 0 && base[len - 1] == '/')
			len--;
		url = rc_asprintf("%.*s%s", (int) len, base, identifier->path);
		request.url = url;
	}
	entry->question = rc_http_start(entry->registration->http, &request, take_answer, entry);
	rc_buffer_free(&body);
	free(url);
}

static bool
needs_answer(const rc_own_network *own)
{
	return own->network == NULL || (rc_chain_of(own->kind)->has_chain_id && own->chain_id == 0);
}

static void
register_network(entry *entry)
{
	rc_registration *registration = entry->registration;
	rc_own_network *own = entry->own;

	if (rc_protocol_register_network(registration->store, own->kind, own->chain, own->network,
									 own->chain_id) != RC_STORE_OK)
	{
		entry->retry_at_ms = rc_now_ms() + RETRY_MIN_MS;
		return;
	}
	own->registered = true;
	rc_daemon_log(registration->daemon, RC_LOG_INFO, "network registered",
				  RC_FIELDS(rc_field_text("kind", own->kind),
							rc_field_text("chain", own->chain),
							rc_field_text("network", own->network),
							rc_field_int("chain_id", (int64_t) own->chain_id)), NULL);
}

/* Takes note of what the database knows; says so where it can't go together with an endpoint of ours */
static void
note_known(rc_registration *registration, const rc_network *network)
{
	for (int i = 0; i < registration->networks->n; i++)
	{
		rc_own_network *own = &registration->networks->list[i];

		if (own->network == NULL || own->registered ||
			strcmp(own->chain, network->chain) != 0 || strcmp(own->network, network->network) != 0)
			continue;
		own->registered = true;
		if (strcmp(network->kind, own->kind) != 0)
			rc_daemon_log(registration->daemon, RC_LOG_WARNING, "own endpoints not used",
						  RC_FIELDS(rc_field_text("chain", own->chain), rc_field_text("network", own->network)),
						  "the database knows the network as one of another kind");
	}
}

static void
ask_database(rc_registration *registration)
{
	static const rc_overrides none;
	rc_network **networks;
	int			n;

	if (rc_protocol_networks(registration->store, registration->worker_id, &none, &networks, &n) != RC_STORE_OK)
		return;
	for (int i = 0; i < n; i++)
	{
		note_known(registration, networks[i]);
		rc_network_free(networks[i]);
	}
	free(networks);
}

/* Asks and registers what is due. False: nothing is left to do */
static bool
advance(rc_registration *registration)
{
	bool		pending = false;
	bool		known_asked = false;

	for (int i = 0; i < registration->networks->n; i++)
	{
		entry	   *entry = &registration->entries[i];

		if (entry->own->registered)
			continue;
		pending = true;
		if (entry->question != NULL || rc_now_ms() < entry->retry_at_ms)
			continue;
		if (!entry->answered && needs_answer(entry->own))
		{
			ask(entry);
			continue;
		}

		/* What the endpoint has told may be a network that is known */
		if (!known_asked)
			ask_database(registration);
		known_asked = true;
		if (!entry->own->registered)
			register_network(entry);
	}
	return pending;
}

static bool
question_under_way(const rc_registration *registration)
{
	for (int i = 0; i < registration->networks->n; i++)
		if (registration->entries[i].question != NULL)
			return true;
	return false;
}

static bool
stopping(const rc_registration *registration)
{
	return registration->daemon->host.stop_requested(registration->daemon);
}

rc_registration *
rc_registration_create(rc_daemon *daemon, const rc_store *store, const char *worker_id, rc_own_networks *networks)
{
	rc_registration *registration = rc_calloc(1, sizeof(*registration));

	registration->daemon = daemon;
	registration->store = store;
	registration->worker_id = worker_id;
	registration->networks = networks;
	registration->http = rc_http_create(&daemon->host);
	registration->entries = rc_calloc((size_t) networks->n + 1, sizeof(entry));
	for (int i = 0; i < networks->n; i++)
	{
		registration->entries[i].registration = registration;
		registration->entries[i].own = &networks->list[i];
	}
	return registration;
}

void
rc_registration_begin(rc_registration *registration, long wait_ms)
{
	int64_t		until = rc_now_ms() + wait_ms;

	ask_database(registration);
	advance(registration);
	while (question_under_way(registration) && rc_now_ms() < until && !stopping(registration))
	{
		rc_http_step(registration->http, 100);
		advance(registration);
	}
}

void
rc_registration_step(rc_registration *registration)
{
	if (!advance(registration))
		return;
	if (question_under_way(registration))
		rc_http_step(registration->http, 0);
}

void
rc_registration_free(rc_registration *registration)
{
	if (registration == NULL)
		return;
	for (int i = 0; i < registration->networks->n; i++)
		if (registration->entries[i].question != NULL)
			rc_http_cancel(registration->entries[i].question);
	rc_http_free(registration->http);
	free(registration->entries);
	free(registration);
}
