/* jsonrpc.c: JSON-RPC 2.0 requests and answers */
#include "core/net/jsonrpc.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* Answers consist of hashes, addresses and hex data, each longer than this */
#define BYTES_PER_VALUE 4

/* For the wrapping of each answer, or an error in its place */
#define MAX_WRAPPING 4096

/*
 * Ids start somewhere in the first 46 bits, so that those of two processes
 * behind one gateway don't meet, and stay below 10^14: JSON libraries of
 * gateways that write a number with 14 digits give them back as they were.
 */
#define ID_START_BITS 46
#define ID_LIMIT INT64_C(100000000000000)

/* Where the ids of this process start */
static int64_t
random_start(void)
{
	uint64_t	random;
	struct timespec now;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t) sizeof(random))
	{
		(void) clock_gettime(CLOCK_REALTIME, &now);
		random = ((uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec) * UINT64_C(0x9e3779b97f4a7c15);
		random = (random ^ (uint64_t) getpid()) * UINT64_C(0xbf58476d1ce4e5b9) >> 8;
	}
	return (int64_t) (random & ((UINT64_C(1) << ID_START_BITS) - 1)) + 1;
}

int64_t
rc_rpc_take_ids(int n)
{
	static int64_t next = 0;
	static pid_t owner = 0;
	int64_t		first;

	/* A process that was forked from one that had asked already begins anew */
	if (next == 0 || next + n > ID_LIMIT || owner != getpid())
	{
		next = random_start();
		owner = getpid();
	}
	first = next;
	next += n;
	return first;
}

size_t
rc_rpc_max_answer(const rc_rpc_call *calls, int ncalls)
{
	size_t		sum = 0;

	for (int i = 0; i < ncalls && sum < RC_RPC_LARGEST_ANSWER; i++)
		sum += MAX_WRAPPING + (calls[i].max_answer > 0 ? calls[i].max_answer : RC_RPC_SMALL_ANSWER);
	return sum < RC_RPC_LARGEST_ANSWER ? sum : RC_RPC_LARGEST_ANSWER;
}

/* One request object */
static void
build_one(rc_buffer *out, const rc_rpc_call *call, int64_t id)
{
	/* params may be large: not through the formatter */
	rc_buffer_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%" PRId64 ",\"method\":\"%s\",\"params\":", id, call->method);
	rc_buffer_append(out, call->params, strlen(call->params));
	rc_buffer_append(out, "}", 1);
}

/* An array of requests, or one */
void
rc_rpc_build(rc_buffer *out, const rc_rpc_call *calls, int ncalls, int64_t first_id, bool array)
{
	if (array)
		rc_buffer_append(out, "[", 1);
	for (int i = 0; i < ncalls; i++)
	{
		if (i > 0)
			rc_buffer_append(out, ",", 1);
		build_one(out, &calls[i], first_id + i);
	}
	if (array)
		rc_buffer_append(out, "]", 1);
}

/* The code and text of a JSON-RPC error */
static char *
error_text(struct json_object *error, int64_t *code)
{
	struct json_object *member;
	const char *message = rc_json_string(error, "message");
	bool		has_code;

	*code = 0;
	has_code = json_object_is_type(error, json_type_object) &&
		json_object_object_get_ex(error, "code", &member) && json_object_is_type(member, json_type_int);
	if (has_code)
		*code = json_object_get_int64(member);
	/* Not in the standard, but met: the error as a plain string */
	if (message == NULL && json_object_is_type(error, json_type_string))
		message = json_object_get_string(error);
	if (message == NULL)
		message = "no message";
	if (!has_code)
		return rc_asprintf("JSON-RPC error: %s", message);
	return rc_asprintf("JSON-RPC error %" PRId64 ": %s", *code, message);
}

/* One answer object into its reply; false with *error if it is no JSON-RPC answer */
static bool
parse_reply(struct json_object *answer, rc_rpc_reply *reply, char **error)
{
	struct json_object *member;

	if (json_object_object_get_ex(answer, "error", &member) && member != NULL)
	{
		reply->error = error_text(member, &reply->code);
		return true;
	}
	if (!json_object_object_get_ex(answer, "result", &member))
	{
		*error = rc_strdup("an answer has neither result nor error");
		return false;
	}
	reply->result = json_object_get(member);
	return true;
}

/* The index that belongs to the id of an answer, -1 if it is none that was asked for */
static int
reply_index(struct json_object *answer, int ncalls, int64_t first_id)
{
	struct json_object *id;
	int64_t		value;

	if (!json_object_is_type(answer, json_type_object) ||
		!json_object_object_get_ex(answer, "id", &id) || !json_object_is_type(id, json_type_int))
		return -1;
	value = json_object_get_int64(id);
	if (value < first_id || value - first_id >= ncalls)
		return -1;
	return (int) (value - first_id);
}

/* The answers to an array: each id once */
static bool
parse_array(struct json_object *document, int ncalls, int64_t first_id, rc_rpc_reply *replies, char **error)
{
	bool	   *answered;
	bool		ok = true;

	if (!json_object_is_type(document, json_type_array))
	{
		*error = rc_strdup("the answer is not an array");
		return false;
	}
	if (json_object_array_length(document) != (size_t) ncalls)
	{
		*error = rc_asprintf("%zu answers to %d calls", json_object_array_length(document), ncalls);
		return false;
	}
	answered = rc_calloc((size_t) ncalls, sizeof(*answered));
	for (int i = 0; i < ncalls && ok; i++)
	{
		struct json_object *answer = json_object_array_get_idx(document, (size_t) i);
		int			index = reply_index(answer, ncalls, first_id);

		if (index < 0 || answered[index])
		{
			*error = rc_strdup(index < 0 ? "an answer has an id that was not asked for" :
							   "two answers have the same id");
			ok = false;
			break;
		}
		answered[index] = true;
		ok = parse_reply(answer, &replies[index], error);
	}
	free(answered);
	return ok;
}

/* One error object for the request as a whole? */
static bool
is_refusal(struct json_object *document, bool array)
{
	struct json_object *member;

	if (!json_object_is_type(document, json_type_object) ||
		!json_object_object_get_ex(document, "error", &member) || member == NULL)
		return false;
	/* Without an id: the server could not even read the request */
	return array || !json_object_object_get_ex(document, "id", &member) || member == NULL;
}

/* The answer to rc_rpc_build's request */
rc_rpc_outcome
rc_rpc_parse(const char *body, size_t len, int ncalls, int64_t first_id, bool array,
			 rc_rpc_reply *replies, int64_t *code, char **error)
{
	rc_rpc_outcome outcome = RC_RPC_OK;
	struct json_object *document;
	struct json_object *member;

	*code = 0;
	*error = NULL;
	document = rc_json_parse_sparse(body, len, BYTES_PER_VALUE, error);
	if (document == NULL)
		return RC_RPC_MALFORMED;
	if (is_refusal(document, array))
	{
		(void) json_object_object_get_ex(document, "error", &member);
		*error = error_text(member, code);
		outcome = RC_RPC_REFUSED;
	}
	else if (array)
	{
		if (!parse_array(document, ncalls, first_id, replies, error))
			outcome = RC_RPC_MALFORMED;
	}
	else if (reply_index(document, 1, first_id) != 0)
	{
		*error = rc_strdup("the answer has an id that was not asked for");
		outcome = RC_RPC_MALFORMED;
	}
	else if (!parse_reply(document, &replies[0], error))
		outcome = RC_RPC_MALFORMED;
	json_object_put(document);
	if (outcome != RC_RPC_OK)
		rc_rpc_clear(replies, ncalls);
	return outcome;
}

/* Frees what replies hold */
void
rc_rpc_clear(rc_rpc_reply *replies, int nreplies)
{
	for (int i = 0; i < nreplies; i++)
	{
		free(replies[i].error);
		if (replies[i].result != NULL)
			json_object_put(replies[i].result);
	}
	if (nreplies > 0)
		memset(replies, 0, (size_t) nreplies * sizeof(*replies));
}
