/* observation.c: what an observation has to tell settle */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "core/base/memory.h"
#include "core/protocol/protocol.h"

void
rc_observation_free(rc_observation *observation)
{
	if (observation == NULL)
		return;
	for (int i = 0; i < observation->nresults; i++)
		free(observation->results[i].error);
	free(observation->results);
	free(observation->failure);
	free(observation);
}

static void
add_block(struct json_object *object, const char *key, const rc_block *block)
{
	struct json_object *json;

	if (!block->known)
		return;
	json = json_object_new_object();
	json_object_object_add(json, "height", json_object_new_int64((int64_t) block->height));
	if (block->hash[0] != '\0')
		json_object_object_add(json, "hash", json_object_new_string(block->hash));
	json_object_object_add(json, "time", json_object_new_int64(block->time));
	if (block->median_time > 0)
		json_object_object_add(json, "median_time", json_object_new_int64(block->median_time));
	json_object_object_add(object, key, json);
}

static void
add_amount(struct json_object *object, const char *key, const rc_uint256 *amount)
{
	char		text[RC_UINT256_DECIMAL_SIZE];

	rc_uint256_to_decimal(amount, text);
	json_object_object_add(object, key, json_object_new_string(text));
}

/* Does settle know already what this look has found? */
static bool
is_unchanged(const rc_request *request, const rc_result *result)
{
	if (request->expiring)
		return false;
	if (result->error != NULL)
		return request->error != NULL && strcmp(request->error, result->error) == 0;
	return request->error == NULL && request->known &&
		rc_uint256_compare(&request->seen, &result->seen) == 0 &&
		rc_uint256_compare(&request->settled, &result->settled) == 0;
}

static void
add_request(struct json_object *array, const rc_request *request, const rc_result *result)
{
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, "seq", json_object_new_int64(request->seq));
	if (result->error != NULL)
		json_object_object_add(json, "error", json_object_new_string(result->error));
	else
	{
		add_amount(json, "seen", &result->seen);
		add_amount(json, "settled", &result->settled);
	}
	json_object_array_add(array, json);
}

char *
rc_observation_to_json(const rc_observation *observation, const rc_batch *batch,
					   bool always, bool release, int *errors)
{
	struct json_object *object = json_object_new_object();
	struct json_object *requests = json_object_new_array();
	char	   *text = NULL;

	*errors = 0;
	json_object_object_add(object, "version", json_object_new_int64(batch->version));
	if (observation->failure != NULL)
	{
		json_object_object_add(object, "failure", json_object_new_string(observation->failure));
		json_object_object_add(object, "asked", json_object_new_boolean(observation->asked));
	}
	else
	{
		if (observation->chain_id != 0)
			json_object_object_add(object, "chain_id", json_object_new_int64((int64_t) observation->chain_id));
		add_block(object, "tip", &observation->tip);
		add_block(object, "depth", &observation->depth);
		for (int i = 0; i < batch->nrequests; i++)
		{
			if (observation->results[i].error != NULL)
				(*errors)++;
			if (!is_unchanged(&batch->requests[i], &observation->results[i]))
				add_request(requests, &batch->requests[i], &observation->results[i]);
		}
	}
	if (always || observation->failure != NULL || json_object_array_length(requests) > 0)
	{
		json_object_object_add(object, "release", json_object_new_boolean(release));
		json_object_object_add(object, "requests", json_object_get(requests));
		text = rc_strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	}
	json_object_put(requests);
	json_object_put(object);
	return text;
}
