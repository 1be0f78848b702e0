/*
 * traces.c: what contracts paid, from a block's traces
 *
 * A call that failed still shows its value, and so do the calls in it, while the
 * transaction around it succeeded: with a frame that has an error, all below it
 * is dropped. Value moves by CALL, by creating a contract and by SELFDESTRUCT;
 * a DELEGATECALL shows the value of the call that it runs in. The frame of the
 * transaction itself is left out: native.c has it.
 */
#include "core/chain/evm/transfer.h"

#include <string.h>
#include <strings.h>

#include "core/base/json.h"

/* The EVM allows 1,024 calls within one another */
#define MAX_DEPTH 1024

/* One transaction's frames, as far as they were read */
typedef struct walk
{
	evm_transfers *transfers;
	uint8_t		txid[32];
	uint64_t	paid;			/* transfers so far: the same number whatever node is asked */
	bool		begun;			/* a frame was read */
	int			path[MAX_DEPTH]; /* of the frame before */
	int			depth;
	int			failed_depth;	/* frames deeper than this are part of a failed one; -1: none is */
} walk;

/* Value from one to another; false if the texts aren't addresses and an amount */
static bool
pay(walk *walk, const char *from, const char *to, const char *value)
{
	evm_transfer transfer = {.kind = EVM_INTERNAL};

	if (value == NULL || !rc_uint256_from_hex(&transfer.amount, value))
		return false;
	if (rc_uint256_is_zero(&transfer.amount))
		return true;
	if (!evm_parse_bytes(from, transfer.from, sizeof(transfer.from)) ||
		!evm_parse_bytes(to, transfer.to, sizeof(transfer.to)))
		return false;
	transfer.ordinal = walk->paid++;
	memcpy(transfer.txid, walk->txid, sizeof(transfer.txid));
	if (memcmp(transfer.from, transfer.to, RC_EVM_ADDRESS_BYTES) != 0)
		*evm_transfers_add(walk->transfers) = transfer;
	return true;
}

/* Has the frame an error? */
static bool
has_failed(struct json_object *frame)
{
	struct json_object *error;

	return json_object_object_get_ex(frame, "error", &error) && error != NULL;
}

/* A frame of callTracer, and those in it; false if it can't be read */
static bool
walk_call(walk *walk, struct json_object *frame, bool is_transaction)
{
	const char *type = rc_json_string(frame, "type");
	struct json_object *calls;
	bool		creates;

	if (type == NULL)
		return false;
	if (has_failed(frame))
		return true;
	creates = strcmp(type, "CREATE") == 0 || strcmp(type, "CREATE2") == 0;
	if ((creates || (strcmp(type, "CALL") == 0 && !is_transaction) || strcmp(type, "SELFDESTRUCT") == 0) &&
		rc_json_string(frame, "value") != NULL &&
		!pay(walk, rc_json_string(frame, "from"), rc_json_string(frame, "to"), rc_json_string(frame, "value")))
		return false;
	if (!json_object_object_get_ex(frame, "calls", &calls) || calls == NULL)
		return true;
	if (!json_object_is_type(calls, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(calls); i++)
	{
		if (!walk_call(walk, json_object_array_get_idx(calls, i), false))
			return false;
	}
	return true;
}

/* A transaction's hash: of an object, or the string itself */
static const char *
hash_of(struct json_object *transaction)
{
	if (json_object_is_type(transaction, json_type_string))
		return json_object_get_string(transaction);
	return rc_json_string(transaction, "hash");
}

/* The path of a frame of trace_block; false if it can't be one that comes after the frame before */
static bool
take_path(walk *walk, struct json_object *frame)
{
	struct json_object *path;
	int			before = walk->depth;
	int			depth;
	bool		after;

	if (!json_object_object_get_ex(frame, "traceAddress", &path) || !json_object_is_type(path, json_type_array) ||
		json_object_array_length(path) > MAX_DEPTH)
		return false;
	depth = (int) json_object_array_length(path);

	/* The first frame is the transaction's, and then each call comes before those in it */
	after = walk->begun ? depth > before : depth == 0;
	for (int i = 0, same = 1; i < depth; i++)
	{
		struct json_object *item = json_object_array_get_idx(path, (size_t) i);
		int			step = json_object_get_int(item);

		if (!json_object_is_type(item, json_type_int) || step < 0)
			return false;
		if (same && i < before && step != walk->path[i])
		{
			after = step > walk->path[i];
			same = 0;
		}
		walk->path[i] = step;
	}
	walk->depth = depth;
	walk->begun = true;
	return after;
}

/* A frame of trace_block that didn't fail, nor any around it; false if it can't be read */
static bool
take_frame(walk *walk, struct json_object *frame)
{
	const char *type = rc_json_string(frame, "type");
	struct json_object *action;
	struct json_object *result = NULL;

	if (type == NULL || !json_object_object_get_ex(frame, "action", &action))
		return false;
	(void) json_object_object_get_ex(frame, "result", &result);
	if (strcmp(type, "call") == 0)
	{
		const char *call = rc_json_string(action, "callType");

		if (call == NULL)
			return false;
		return strcmp(call, "call") != 0 || walk->depth == 0 ||
			pay(walk, rc_json_string(action, "from"), rc_json_string(action, "to"), rc_json_string(action, "value"));
	}
	if (strcmp(type, "create") == 0)
		return pay(walk, rc_json_string(action, "from"), rc_json_string(result, "address"), rc_json_string(action, "value"));
	if (strcmp(type, "suicide") == 0 || strcmp(type, "selfdestruct") == 0)
		return pay(walk, rc_json_string(action, "address"), rc_json_string(action, "refundAddress"),
				   rc_json_string(action, "balance"));
	return false;
}

/* One frame of a transaction; false if it can't be read */
static bool
walk_frame(walk *walk, struct json_object *frame)
{
	if (!take_path(walk, frame))
		return false;
	if (walk->failed_depth >= 0 && walk->depth > walk->failed_depth)
		return true;
	walk->failed_depth = has_failed(frame) ? walk->depth : -1;
	return walk->failed_depth >= 0 || take_frame(walk, frame);
}

/* The traces of one transaction: nested (callTracer), or a list of frames (flatCallTracer) */
static bool
walk_transaction(walk *walk, struct json_object *trace)
{
	if (!json_object_is_type(trace, json_type_array))
		return walk_call(walk, trace, true);
	for (size_t i = 0; i < json_object_array_length(trace); i++)
	{
		if (!walk_frame(walk, json_object_array_get_idx(trace, i)))
			return false;
	}
	return json_object_array_length(trace) > 0;
}

const char *
evm_call_traces_take(struct json_object *traces, struct json_object *transactions, evm_transfers *transfers)
{
	if (!json_object_is_type(traces, json_type_array) || !json_object_is_type(transactions, json_type_array) ||
		json_object_array_length(traces) != json_object_array_length(transactions))
		return "the traces are not of as many transactions as the block has";
	for (size_t i = 0; i < json_object_array_length(traces); i++)
	{
		struct json_object *entry = json_object_array_get_idx(traces, i);
		const char *hash = hash_of(json_object_array_get_idx(transactions, i));
		const char *named = rc_json_string(entry, "txHash");
		walk		walk = {.transfers = transfers,.failed_depth = -1};
		struct json_object *result;

		if (!evm_parse_bytes(hash, walk.txid, sizeof(walk.txid)) || (named != NULL && strcasecmp(named, hash) != 0))
			return "a trace is of another transaction than the block's";
		if (!json_object_object_get_ex(entry, "result", &result) || !walk_transaction(&walk, result))
			return "a trace can't be read";
	}
	return NULL;
}

/* Does the frame belong to the block? Rewards, which have no transaction, do too */
static const char *
take_frame_place(struct json_object *frame, const char *block_hash, uint8_t txid[32], bool *is_reward)
{
	const char *hash = rc_json_string(frame, "blockHash");
	const char *type = rc_json_string(frame, "type");

	if (hash == NULL || strcasecmp(hash, block_hash) != 0)
		return "a trace is of another block than was asked for";
	*is_reward = type != NULL && strcmp(type, "reward") == 0;
	if (!*is_reward && !evm_parse_bytes(rc_json_string(frame, "transactionHash"), txid, 32))
		return "a trace has no transaction";
	return NULL;
}

const char *
evm_flat_traces_take(struct json_object *traces, const char *block_hash, size_t ntransactions, evm_transfers *transfers)
{
	size_t		traced = 0;
	walk		walk = {.transfers = transfers,.failed_depth = -1};

	if (!json_object_is_type(traces, json_type_array))
		return "the answer to trace_block is no list";
	for (size_t i = 0; i < json_object_array_length(traces); i++)
	{
		struct json_object *frame = json_object_array_get_idx(traces, i);
		uint8_t		txid[32];
		bool		is_reward;
		const char *problem = take_frame_place(frame, block_hash, txid, &is_reward);

		if (problem != NULL)
			return problem;
		if (is_reward)
			continue;
		if (!walk.begun || memcmp(walk.txid, txid, sizeof(txid)) != 0)
		{
			memcpy(walk.txid, txid, sizeof(txid));
			walk.begun = false;
			walk.depth = 0;
			walk.failed_depth = -1;
			walk.paid = 0;
			traced++;
		}
		if (!walk_frame(&walk, frame))
			return "a trace can't be read";
	}
	return traced == ntransactions ? NULL : "the traces are not of as many transactions as the block has";
}
