/* identify.c: which chain an endpoint serves */
#include "core/chain/identify.h"

#include <json-c/json.h>
#include <string.h>

#include "core/net/jsonrpc.h"

rc_failure
rc_identify_take_reply(const rc_identifier *identifier, const rc_rpc_reply *reply, rc_identity *identity)
{
	memset(identity, 0, sizeof(*identity));
	if (reply->error != NULL)
		return rc_failure_make(RC_FAILURE_REFUSED, "%s: %s", identifier->method, reply->error);
	if (!json_object_is_type(reply->result, json_type_string))
		return rc_failure_make(RC_FAILURE_MALFORMED, "%s: the answer is not a text", identifier->method);
	return identifier->take(json_object_get_string(reply->result), identity);
}

rc_failure
rc_identify_reply(const rc_identifier *identifier, const rc_network *network, const rc_rpc_reply *reply)
{
	rc_identity identity;
	rc_failure	failure = rc_identify_take_reply(identifier, reply, &identity);

	return failure.text != NULL ? failure : identifier->judge(network, &identity);
}

rc_failure
rc_identify_answer(const rc_identifier *identifier, const rc_network *network, const char *answer)
{
	rc_identity identity = {0};
	rc_failure	failure = identifier->take(answer, &identity);

	return failure.text != NULL ? failure : identifier->judge(network, &identity);
}
