/* node_step.c: what the stages of a step along a Bitcoin chain use: to say what they came to, and to read answers */
#include "core/follow/step.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

follow_step
rc_follow_go_to(rc_follow *follow, stage stage)
{
	follow->stage = stage;
	return FOLLOW_ASK;
}

follow_step
rc_follow_failed(rc_follow *follow, rc_failure failure)
{
	free(follow->failure.text);
	follow->failure = failure;
	return FOLLOW_FAILED;
}

follow_step
rc_follow_fail(rc_follow *follow, char *error)
{
	return rc_follow_failed(follow, rc_failure_take(RC_FAILURE_MALFORMED, error));
}

/* What a statement's status means for the step; an error leaves the lease to its end, the cursor stands where it stood */
follow_step
rc_follow_written(rc_follow *follow, rc_store_status status)
{
	if (status == RC_STORE_OK)
		return FOLLOW_GO_ON;
	if (status == RC_STORE_REFUSED)
		return rc_follow_fail(follow, rc_strdup("the database refuses what it answered"));
	if (status == RC_STORE_LEASE_LOST)
		follow->result->lease_lost = true;
	else
		follow->result->failure = rc_strdup("a statement failed: see the log");
	return FOLLOW_END;
}

struct json_object *
rc_follow_member(struct json_object *object, const char *name, enum json_type type)
{
	struct json_object *member;

	if (!json_object_is_type(object, json_type_object) ||
		!json_object_object_get_ex(object, name, &member) || !json_object_is_type(member, type))
		return NULL;
	return member;
}

bool
rc_follow_is_hash(const char *text)
{
	return text != NULL && strlen(text) == RC_BTC_HASH_SIZE - 1 &&
		strspn(text, "0123456789abcdef") == RC_BTC_HASH_SIZE - 1;
}

/* The block hash that a call answered; NULL if it is none */
const char *
rc_follow_hash_of(const rc_rpc_reply *reply)
{
	const char *text = json_object_is_type(reply->result, json_type_string) ?
		json_object_get_string(reply->result) : NULL;

	return reply->error == NULL && rc_follow_is_hash(text) ? text : NULL;
}

/* The outputs as JSON: [[txid, index, script, satoshi], …] */
char *
rc_follow_outputs_to_json(const rc_btc_outputs *outputs)
{
	rc_buffer	json = {0};

	rc_buffer_append(&json, "[", 1);
	for (size_t i = 0; i < outputs->n; i++)
	{
		const rc_btc_output *output = &outputs->items[i];
		char		script[RC_BTC_SCRIPT_HEX_SIZE];

		rc_btc_script_to_hex(&output->script, script);
		rc_buffer_printf(&json, "%s[\"%s\",%" PRIu32 ",\"%s\",%" PRIu64 "]", i > 0 ? "," : "",
						 output->txid, output->index, script, output->satoshi);
	}
	rc_buffer_append(&json, "]", 2);
	return json.data;
}

/* The height and hash of entry i of the blocks read before */
const char *
rc_follow_recent_block(const rc_follow *follow, size_t i, int64_t *height)
{
	struct json_object *block = json_object_array_get_idx(follow->recent, i);

	*height = json_object_get_int64(json_object_array_get_idx(block, 0));
	return json_object_get_string(json_object_array_get_idx(block, 1));
}
