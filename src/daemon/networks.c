/* networks.c: the networks whose endpoints this daemon brings along, in place of the database's */
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <json-c/json.h>

#include "core/base/json.h"
#include "core/base/memory.h"
#include "core/chain/chain.h"
#include "networks.h"

/* Chains of names that are given without one */
static const char *
default_chain(const char *kind)
{
	return rc_chain_of(kind)->default_chain;
}

static bool
is_http_url(const char *url)
{
	CURLU	   *parsed = curl_url();
	char	   *scheme = NULL;
	char	   *host = NULL;
	bool		valid;

	valid = parsed != NULL &&
		strcspn(url, " \t\r\n") == strlen(url) &&
		curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		(strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) && host[0] != '\0';
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(parsed);
	return valid;
}

/* A network without endpoints yet: the caller adds them */
static rc_own_network *
add_network(rc_own_networks *networks, const char *kind, const char *name)
{
	const char *slash = name ? strchr(name, '/') : NULL;
	rc_own_network *own;

	networks->list = rc_realloc(networks->list, ((size_t) networks->n + 1) * sizeof(rc_own_network));
	own = &networks->list[networks->n++];
	memset(own, 0, sizeof(*own));
	own->kind = kind;
	own->chain = slash ? rc_asprintf("%.*s", (int) (slash - name), name) : rc_strdup(default_chain(kind));
	if (name != NULL)
		own->network = rc_strdup(slash ? slash + 1 : name);
	own->urls = rc_calloc(1, sizeof(char *));
	return own;
}

/* False: not an http or https URL */
static bool
add_url(rc_own_network *own, const char *url)
{
	if (!is_http_url(url))
		return false;
	own->urls = rc_realloc(own->urls, ((size_t) own->nurls + 2) * sizeof(char *));
	own->urls[own->nurls++] = rc_strdup(url);
	own->urls[own->nurls] = NULL;
	return true;
}

/* A URL or a list of them */
static bool
add_urls(rc_own_network *own, struct json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		return add_url(own, json_object_get_string(value));
	if (!json_object_is_type(value, json_type_array) || json_object_array_length(value) == 0)
		return false;
	for (size_t i = 0; i < json_object_array_length(value); i++)
	{
		struct json_object *url = json_object_array_get_idx(value, i);

		if (!json_object_is_type(url, json_type_string) || !add_url(own, json_object_get_string(url)))
			return false;
	}
	return true;
}

/* {"url": …} or {"urls": …}, and optionally "chain_id" */
static char *
read_details(rc_own_network *own, const char *name, struct json_object *details)
{
	bool		has_urls = false;

	json_object_object_foreach(details, key, value)
	{
		if (strcmp(key, "url") == 0 || strcmp(key, "urls") == 0)
		{
			has_urls = true;
			if (!add_urls(own, value))
				return rc_asprintf("\"%s\" of \"%s\" must be an http or https URL or a list of such URLs", key, name);
		}
		else if (strcmp(key, "chain_id") == 0 && rc_chain_of(own->kind)->has_chain_id)
		{
			if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) <= 0)
				return rc_asprintf("\"chain_id\" of \"%s\" must be a positive integer", name);
			own->chain_id = (uint64_t) json_object_get_int64(value);
		}
		else
			return rc_asprintf("\"%s\" of \"%s\" is not known: give \"urls\"%s", key, name,
							   rc_chain_of(own->kind)->has_chain_id ? " and, optionally, \"chain_id\"" : "");
	}
	return has_urls ? NULL : rc_asprintf("\"%s\" has no \"urls\"", name);
}

static bool
named_before(const rc_own_networks *networks, const rc_own_network *own)
{
	for (const rc_own_network *other = networks->list; other < own; other++)
		if (strcmp(other->kind, own->kind) == 0 && strcmp(other->chain, own->chain) == 0 &&
			other->network != NULL && strcmp(other->network, own->network) == 0)
			return true;
	return false;
}

static char *
add_member(rc_own_networks *networks, const char *kind, const char *name, struct json_object *value)
{
	rc_own_network *own = add_network(networks, kind, name);

	if (own->chain[0] == '\0' || own->network[0] == '\0' || strchr(own->network, '/') != NULL)
		return rc_asprintf("\"%s\" is not a network's name: write \"network\" or \"chain/network\"", name);
	if (named_before(networks, own))
		return rc_asprintf("network \"%s\" of chain \"%s\" is named twice", own->network, own->chain);
	if (json_object_is_type(value, json_type_object))
		return read_details(own, name, value);
	if (!add_urls(own, value))
		return rc_asprintf("\"%s\" must be an http or https URL or a list of such URLs", name);
	return NULL;
}

/* The whole text as one JSON object; NULL if it isn't one */
static struct json_object *
parse_object(const char *json)
{
	char	   *error = NULL;
	struct json_object *object = rc_json_parse(json, strlen(json), &error);

	free(error);
	if (object != NULL && !json_object_is_type(object, json_type_object))
	{
		json_object_put(object);
		return NULL;
	}
	return object;
}

char *
rc_own_networks_add_json(rc_own_networks *networks, const char *kind, const char *json)
{
	struct json_object *object = parse_object(json);
	char	   *problem = NULL;

	if (object == NULL)
		return rc_strdup("it is not a JSON object");
	json_object_object_foreach(object, name, value)
	{
		problem = add_member(networks, kind, name, value);
		if (problem != NULL)
			break;
	}
	json_object_put(object);
	return problem;
}

char *
rc_own_networks_add_url(rc_own_networks *networks, const char *kind, const char *url)
{
	if (!add_url(add_network(networks, kind, NULL), url))
		return rc_strdup("it is neither an http or https URL nor a JSON object");
	return NULL;
}

void
rc_own_networks_free(rc_own_networks *networks)
{
	for (int i = 0; i < networks->n; i++)
	{
		rc_own_network *own = &networks->list[i];

		for (int j = 0; j < own->nurls; j++)
			free(own->urls[j]);
		free(own->urls);
		free(own->chain);
		free(own->network);
	}
	free(networks->list);
	memset(networks, 0, sizeof(*networks));
}

const char *const *
rc_own_networks_endpoints(void *ctx, const char *kind, const char *chain, const char *network)
{
	const rc_own_networks *networks = ctx;

	for (int i = 0; i < networks->n; i++)
	{
		const rc_own_network *own = &networks->list[i];

		/* Until the endpoint has told its network it may be any: the observer believes none unverified */
		if (strcmp(own->kind, kind) == 0 && strcmp(own->chain, chain) == 0 &&
			(own->network == NULL || strcmp(own->network, network) == 0))
			return (const char *const *) own->urls;
	}
	return NULL;
}
