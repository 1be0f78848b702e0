/* jsonrpc.h: JSON-RPC 2.0 requests and answers, single and in arrays */
#ifndef RC_JSONRPC_H
#define RC_JSONRPC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/json.h"
#include "core/base/memory.h"

/* What a call can return at most, where it says nothing else: a number, a hash, some settings */
#define RC_RPC_SMALL_ANSWER ((size_t) 64 * 1024)

/* Whatever the calls say, an answer to them is not longer */
#define RC_RPC_LARGEST_ANSWER ((size_t) 72 * 1024 * 1024)

typedef struct rc_rpc_call
{
	const char *method;
	const char *params;			/* a JSON array as text */
	size_t		max_answer;		/* bytes of its result; 0: RC_RPC_SMALL_ANSWER */
} rc_rpc_call;

typedef struct rc_rpc_reply
{
	char	   *error;			/* rc_malloc'd, as long as the endpoint made it; NULL: result holds the answer */
	int64_t		code;			/* of the error */
	struct json_object *result; /* a reference of its own; NULL: JSON's null */
} rc_rpc_reply;

typedef enum rc_rpc_outcome
{
	RC_RPC_OK,					/* every call has its reply (a result, or an error of its own) */
	RC_RPC_REFUSED,				/* a single error in answer to an array: code and error say why */
	RC_RPC_MALFORMED			/* not JSON, truncated, ids wrong: error says what */
} rc_rpc_outcome;

/*
 * The first of n ids that this process has not used: an answer that belongs to
 * another request (late, doubled, cached, swapped) is known by its id.
 */
extern int64_t rc_rpc_take_ids(int n);

/* The most bytes that an answer to the calls may have */
extern size_t rc_rpc_max_answer(const rc_rpc_call *calls, int ncalls);

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
