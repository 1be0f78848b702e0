/* report.c: what a worker tells the database of itself, its networks and their endpoints */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "core/base/memory.h"
#include "core/chain/chain.h"
#include "core/engine/report.h"
#include "core/protocol/protocol.h"

#define REPORT_INTERVAL_MS		1000
#define REPORT_HEARTBEAT_MS		10000

void
rc_reporter_error(rc_reporter *reporter, const char *text)
{
	free(reporter->error);
	reporter->error = rc_strdup(text);
	reporter->error_at_ms = rc_now_ms();
}

bool
rc_reporter_is_due(const rc_reporter *reporter)
{
	int64_t		now = rc_now_ms();

	return now >= reporter->report_at_ms && (reporter->due || now >= reporter->heartbeat_at_ms);
}

static void
add_number(struct json_object *object, const char *name, int64_t number)
{
	if (number != 0)
		json_object_object_add(object, name, json_object_new_int64(number));
}

static void
add_text(struct json_object *object, const char *name, const char *text)
{
	if (text != NULL && text[0] != '\0')
		json_object_object_add(object, name, json_object_new_string(text));
}

/* As the views call it */
static const char *
health_of(const rc_endpoint *endpoint)
{
	if (endpoint->error == NULL)
		return endpoint->used ? "good" : "unused";
	switch (endpoint->code)
	{
		case RC_FAILURE_REFUSED:
		case RC_FAILURE_WRONG_CHAIN:
		case RC_FAILURE_UNVERIFIED:
			return "refused";
		default:
			return "resting";
	}
}

static void
add_health(struct json_object *object, const rc_network *network, const rc_endpoint *endpoint)
{
	const rc_chain *chain = rc_chain_of(network->kind);
	int64_t		now = rc_now_ms();
	char	   *learned = NULL;

	add_text(object, "state", health_of(endpoint));
	if (endpoint->error != NULL)
	{
		add_text(object, "error", endpoint->error);
		add_text(object, "code", rc_failure_name(endpoint->code));
		json_object_object_add(object, "error_age_ms", json_object_new_int64(now - endpoint->failed_at_ms));
		json_object_object_add(object, "rests_ms", json_object_new_int64(endpoint->retry_at_ms > now ? endpoint->retry_at_ms - now : 0));
	}
	if (chain != NULL && chain->learned != NULL && endpoint->learned != NULL)
		learned = chain->learned(endpoint->learned);
	if (learned != NULL)
		json_object_object_add(object, "learned", json_tokener_parse(learned));
	free(learned);
}

static void
add_meter(struct json_object *object, const rc_meter *meter)
{
	struct json_object *errors = json_object_new_object();
	struct json_object *latency = json_object_new_array();

	for (int code = 1; code < RC_FAILURE_CODES; code++)
		add_number(errors, rc_failure_name((rc_failure_code) code), meter->failures[code]);
	json_object_object_add(object, "errors", errors);
	for (int i = 0; i < RC_METER_BUCKETS; i++)
		json_object_array_add(latency, json_object_new_int64(meter->latency[i]));
	json_object_object_add(object, "latency", latency);
	add_number(object, "calls", meter->calls);
	add_number(object, "bytes_sent", meter->bytes_sent);
	add_number(object, "bytes_received", meter->bytes_received);
}

void
rc_report_begin(rc_reporter *reporter)
{
	json_object_put(reporter->networks);
	reporter->networks = json_object_new_array();
	memset(&reporter->traffic, 0, sizeof(reporter->traffic));
}

/* The endpoints of a network of which there is something to tell */
static struct json_object *
changed_endpoints(rc_reporter *reporter, const rc_network *network, bool all)
{
	struct json_object *endpoints = json_object_new_array();

	for (int i = 0; i < network->nendpoints; i++)
	{
		const rc_endpoint *endpoint = &network->endpoints[i];
		struct json_object *object;

		if (!all && !endpoint->changed && endpoint->meter.calls == 0)
			continue;
		object = json_object_new_object();
		json_object_object_add(object, "position", json_object_new_int(i + 1));
		json_object_object_add(object, "url", json_object_new_string(endpoint->shown));
		add_health(object, network, endpoint);
		add_meter(object, &endpoint->meter);
		json_object_array_add(endpoints, object);
		reporter->traffic.http_calls += endpoint->meter.calls;
		reporter->traffic.bytes_sent += endpoint->meter.bytes_sent;
		reporter->traffic.bytes_received += endpoint->meter.bytes_received;
	}
	return endpoints;
}

void
rc_report_network(rc_reporter *reporter, const rc_network *network, const rc_network_report *report)
{
	const rc_tally *tally = &report->tally;
	struct json_object *endpoints;
	struct json_object *object;

	if (network->network_id == 0)
		return;
	endpoints = changed_endpoints(reporter, network, !report->listed);
	if (report->listed && json_object_array_length(endpoints) == 0 &&
		tally->scanned + tally->blocks + tally->transactions + tally->payments == 0)
	{
		json_object_put(endpoints);
		return;
	}
	object = json_object_new_object();
	add_number(object, "network_id", network->network_id);
	add_number(object, "scanned", tally->scanned);
	add_number(object, "blocks", tally->blocks);
	add_number(object, "transactions", tally->transactions);
	add_number(object, "payments", tally->payments);
	json_object_object_add(object, "own", json_object_new_boolean(network->own_endpoints));
	json_object_object_add(object, "all", json_object_new_boolean(!report->listed));
	json_object_object_add(object, "endpoints", endpoints);
	json_object_array_add(reporter->networks, object);
}

/* What was counted since the last report */
static void
subtract(rc_counters *counters, const rc_counters *told)
{
	rc_counters minus = *told;

	for (size_t i = 0; i < sizeof(minus) / sizeof(int64_t); i++)
		((int64_t *) &minus)[i] = -((const int64_t *) told)[i];
	rc_counters_add(counters, &minus);
}

static char *
details(const rc_reporter *reporter, const char *networks)
{
	struct json_object *object = json_object_new_object();
	char		host[256] = "";
	char	   *json;

	(void) gethostname(host, sizeof(host) - 1);
	add_text(object, "host", host);
	add_text(object, "network", networks);
	if (reporter->error != NULL)
	{
		add_text(object, "error", reporter->error);
		json_object_object_add(object, "error_age_ms", json_object_new_int64(rc_now_ms() - reporter->error_at_ms));
	}
	json_object_object_add(object, "networks", json_object_get(reporter->networks));
	json = rc_strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
	return json;
}

bool
rc_report_send(rc_reporter *reporter, const rc_engine_options *options, rc_state state,
			   const char *networks, const rc_counters *counters, bool stopped)
{
	rc_counters done = *counters;
	char	   *json = details(reporter, networks);
	int64_t		now = rc_now_ms();
	bool		taken;

	subtract(&done, &reporter->told);
	rc_counters_add(&done, &reporter->traffic);
	taken = rc_protocol_report(options->store, options->worker_id, options->role, state, &done, stopped, json) == RC_STORE_OK;
	free(json);
	json_object_put(reporter->networks);
	reporter->networks = NULL;
	reporter->report_at_ms = now + REPORT_INTERVAL_MS;
	reporter->heartbeat_at_ms = now + REPORT_HEARTBEAT_MS;
	reporter->due = !taken;
	if (taken)
	{
		reporter->told = *counters;
		free(reporter->error);
		reporter->error = NULL;
	}
	return taken;
}

void
rc_report_told(rc_network *network, rc_network_report *report)
{
	memset(&report->tally, 0, sizeof(report->tally));
	report->listed = true;
	for (int i = 0; i < network->nendpoints; i++)
	{
		memset(&network->endpoints[i].meter, 0, sizeof(rc_meter));
		network->endpoints[i].changed = false;
	}
}

void
rc_reporter_free(rc_reporter *reporter)
{
	json_object_put(reporter->networks);
	free(reporter->error);
}
