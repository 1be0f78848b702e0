/* registration.c: makes the networks that this daemon brings endpoints for known to the database */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "core/chain/chain.h"
#include "core/chain/bitcoin/address.h"
#include "core/net/http.h"
#include "core/net/jsonrpc.h"
#include "core/base/backoff.h"
#include "core/base/memory.h"
#include "core/net/redact.h"
#include "core/protocol/protocol.h"
#include "registration.h"

#define QUESTION_TIMEOUT_MS	5000

/* Pauses before a question is asked again: see backoff.h */
#define RETRY_MIN_MS		4000
#define RETRY_MAX_MS		60000

/* An answer is a few dozen bytes; whatever is much longer isn't one */
#define MAX_ANSWER			65536

/* EIP-695 */
static const rc_rpc_call chain_id_call = {"eth_chainId", "[]", 0};

/* Each has a genesis block of its own */
static const char *const bitcoin_networks[] = {"mainnet", "testnet", "testnet4", "signet", "regtest"};

#define NBITCOIN ((int) (sizeof(bitcoin_networks) / sizeof(bitcoin_networks[0])))

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

/* A quantity of JSON-RPC, of at most 63 bits since the database keeps it as a bigint; 0: it isn't one */
static uint64_t
parse_quantity(const char *text)
{
	size_t		len = strlen(text);
	uint64_t	value;

	if (len < 3 || len > 18 || strncmp(text, "0x", 2) != 0 ||
		strspn(text + 2, "0123456789abcdefABCDEF") != len - 2)
		return 0;
	value = strtoull(text + 2, NULL, 16);
	return value <= INT64_MAX ? value : 0;
}

static uint64_t
parse_chain_id(const rc_http_response *response, int64_t id)
{
	rc_rpc_reply reply = {0};
	int64_t		code;
	char	   *error = NULL;
	uint64_t	chain_id = 0;

	if (rc_rpc_parse(response->body, response->body_len, 1, id, false, &reply, &code, &error) != RC_RPC_OK)
		rc_http_distrust(response);
	else if (json_object_is_type(reply.result, json_type_string))
		chain_id = parse_quantity(json_object_get_string(reply.result));
	free(error);
	rc_rpc_clear(&reply, 1);
	return chain_id;
}

/* The network of a genesis block's hash, alone in the body; NULL: none that is known */
static const char *
network_of_genesis(const char *body)
{
	for (int i = 0; i < NBITCOIN; i++)
	{
		const char *genesis = rc_btc_network_of(bitcoin_networks[i])->genesis;
		size_t		len = strlen(genesis);

		if (strncmp(body, genesis, len) == 0 && body[len + strspn(body + len, " \r\n")] == '\0')
			return bitcoin_networks[i];
	}
	return NULL;
}

static void
take_answer(void *arg, const rc_http_response *response)
{
	entry	   *entry = arg;
	rc_own_network *own = entry->own;
	const char *network;
	char		what[64];

	entry->question = NULL;
	if (response->error != NULL)
	{
		ask_later(entry, response->error);
		return;
	}
	if (response->status != 200)
	{
		snprintf(what, sizeof(what), "HTTP status %ld", response->status);
		ask_later(entry, what);
		return;
	}
	if (rc_chain_of(own->kind)->has_chain_id)
	{
		own->chain_id = parse_chain_id(response, entry->question_id);
		entry->answered = own->chain_id != 0;
		if (!entry->answered)
			ask_later(entry, "no chain id in the answer to eth_chainId");
		return;
	}
	network = network_of_genesis(response->body);
	if (network != NULL)
		own->network = rc_strdup(network);
	entry->answered = network != NULL;
	if (!entry->answered)
		ask_later(entry, "the genesis block is that of no known network");
}

static void
ask(entry *entry)
{
	const rc_own_network *own = entry->own;
	const char *base = own->urls[entry->next_url];
	size_t		len = strlen(base);
	char	   *url = NULL;
	rc_buffer	body = {0};
	rc_http_request request = {.url = base,.timeout_ms = QUESTION_TIMEOUT_MS,.max_response = MAX_ANSWER};

	if (rc_chain_of(own->kind)->has_chain_id)
	{
		entry->question_id = rc_rpc_take_ids(1);
		rc_rpc_build(&body, &chain_id_call, 1, entry->question_id, false);
		request.body = body.data;
		request.body_len = body.len;
	}
	else
	{
		while (len > 0 && base[len - 1] == '/')
			len--;
		url = rc_asprintf("%.*s/block-height/0", (int) len, base);
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
