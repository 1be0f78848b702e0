/* jsonrpc.h: JSON-RPC 2.0 requests and answers, single and in arrays */
#ifndef RC_JSONRPC_H
#define RC_JSONRPC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/json.h"
#include "core/base/memory.h"

typedef struct rc_rpc_call
{
	const char *method;
	const char *params;			/* a JSON array as text */
} rc_rpc_call;

typedef struct rc_rpc_reply
{
	char	   *error;			/* rc_malloc'd; NULL: result holds the answer */
	int64_t		code;			/* of the error */
	struct json_object *result; /* a reference of its own; NULL: JSON's null */
} rc_rpc_reply;

typedef enum rc_rpc_outcome
{
	RC_RPC_OK,					/* every call has its reply (a result, or an error of its own) */
	RC_RPC_REFUSED,				/* a single error in answer to an array: code and error say why */
	RC_RPC_MALFORMED			/* not JSON, truncated, ids wrong: error says what */
} rc_rpc_outcome;

/* Appends ncalls requests with the ids first_id, first_id + 1, …: an array, or (array false) one object */
extern void rc_rpc_build(rc_buffer *out, const rc_rpc_call *calls, int ncalls, int64_t first_id, bool array);

/*
 * body must have a NUL at body[len]. Fills in replies[0..ncalls), which must be zeroed, in the order of the calls.
 * On any other outcome than RC_RPC_OK they stay zeroed, and *error is an
 * rc_malloc'd text, and *code the code of a refusal (else 0).
 */
extern rc_rpc_outcome rc_rpc_parse(const char *body, size_t len, int ncalls, int64_t first_id, bool array,
								   rc_rpc_reply *replies, int64_t *code, char **error);

/* Frees what replies hold and zeroes them */
extern void rc_rpc_clear(rc_rpc_reply *replies, int nreplies);

#endif
