/* blocks_native.c: headers and whole blocks, receipts of the transactions that matter, and what contracts paid */
#include "core/chain/evm/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of a whole block: 400 transactions are 311 KB, and some chains have blocks of megabytes */
#define MAX_BLOCK_ANSWER ((size_t) 24 * 1024 * 1024)
#define MAX_TRACES_ANSWER ((size_t) 48 * 1024 * 1024)
#define MAX_RECEIPT_ANSWER ((size_t) 16 * 1024 * 1024)

/* A header that is known already is not asked for, unless with its transactions */
void
evm_put_blocks(rc_source *source)
{
	for (int i = 0; i < source->nblocks; i++)
	{
		evm_block  *block = &source->blocks[i];
		const evm_header *known = evm_kept_header(source, block->id.hash);

		if (known != NULL && !source->wants_native)
			block->header = *known;
		else
			(void) evm_put(source, "eth_getBlockByHash",
						   rc_asprintf("[\"%s\",%s]", block->id.hash, source->wants_native ? "true" : "false"),
						   source->wants_native ? MAX_BLOCK_ANSWER : EVM_MAX_HEADER, i);
	}
}

/* Hashes of the block's transactions, for traces that name none */
static struct json_object *
transaction_hashes(struct json_object *answer)
{
	struct json_object *hashes = json_object_new_array();
	struct json_object *transactions;

	if (!json_object_object_get_ex(answer, "transactions", &transactions))
		return hashes;
	for (size_t i = 0; i < json_object_array_length(transactions); i++)
	{
		const char *hash = rc_json_string(json_object_array_get_idx(transactions, i), "hash");

		json_object_array_add(hashes, hash != NULL ? json_object_new_string(hash) : NULL);
	}
	return hashes;
}

evm_outcome
evm_take_block(rc_source *source, const evm_question *question, rc_rpc_reply *reply)
{
	evm_block  *block = &source->blocks[question->block];
	const char *wrong = NULL;
	char	   *problem;
	evm_outcome outcome;

	if (reply->error == NULL && reply->result == NULL)
		return EVM_GONE;
	problem = evm_parse_header(reply, &block->header);
	if (problem != NULL)
	{
		outcome = evm_say(source, RC_FAILURE_MALFORMED, problem);
		free(problem);
		return outcome;
	}
	if (strcmp(block->header.hash, block->id.hash) != 0 || (int64_t) block->header.number != block->id.height)
		return evm_say(source, RC_FAILURE_INCONSISTENT, "another block than was asked for");
	if (source->wants_native)
	{
		wrong = evm_native_take(reply->result, block->id.hash, &block->transfers);
		json_object_put(block->transactions);
		block->transactions = transaction_hashes(reply->result);
	}
	return wrong != NULL ? evm_say(source, RC_FAILURE_MALFORMED, wrong) : EVM_TAKEN;
}

void
evm_put_traces(rc_source *source)
{
	evm_trace_method method = source->learned->ledger.traces;

	if (!source->context.network->traces || !source->wants_native || method == EVM_TRACE_NONE)
		return;
	for (int i = 0; i < source->nblocks; i++)
	{
		const rc_block_id *id = &source->blocks[i].id;

		/* A block without transactions has no traces of any */
		if (json_object_array_length(source->blocks[i].transactions) == 0)
			continue;
		if (method == EVM_TRACE_BLOCK)
			(void) evm_put(source, "trace_block", rc_asprintf("[\"0x%" PRIx64 "\"]", id->height), MAX_TRACES_ANSWER, i);
		else
			(void) evm_put(source, "debug_traceBlockByHash",
						   rc_asprintf("[\"%s\",{\"tracer\":\"%s\"}]", id->hash,
									   method == EVM_TRACE_FLAT ? "flatCallTracer" : "callTracer"), MAX_TRACES_ANSWER, i);
	}
}

/* The endpoint doesn't know this way of asking: the next one */
static evm_outcome
next_method(rc_source *source, const char *error)
{
	evm_ledger_limits *limits = &source->learned->ledger;

	limits->traces++;
	if (limits->traces == EVM_TRACE_NONE)
		(void) rc_log_change(source->context.host, RC_LOG_WARNING, "endpoint has no traces",
							 RC_FIELDS(rc_field_text("chain", source->context.network->chain),
									   rc_field_text("network", source->context.network->network),
									   rc_field_text("endpoint", source->context.endpoint->shown)), error);
	return EVM_ASK_ANEW;
}

evm_outcome
evm_take_traces(rc_source *source, const evm_question *question, rc_rpc_reply *reply)
{
	evm_block  *block = &source->blocks[question->block];
	const char *problem;

	if (reply->error != NULL || !json_object_is_type(reply->result, json_type_array))
		return next_method(source, reply->error != NULL ? reply->error : "no answer");
	if (source->learned->ledger.traces == EVM_TRACE_BLOCK)
	{
		const char *hash = rc_json_string(json_object_array_get_idx(reply->result, 0), "blockHash");

		/* It is asked for by height */
		if (hash != NULL && strcasecmp(hash, block->id.hash) != 0)
			return EVM_GONE;
		problem = evm_flat_traces_take(reply->result, block->id.hash, json_object_array_length(block->transactions),
									   &block->transfers);
	}
	else
		problem = evm_call_traces_take(reply->result, block->transactions, &block->transfers);
	return problem != NULL ? evm_say(source, RC_FAILURE_MALFORMED, problem) : EVM_TAKEN;
}

/* Does the transfer bring something to a key? */
static bool
pays(const evm_block *block, const evm_transfer *transfer)
{
	return transfer->kind != EVM_INTERNAL && evm_wanted_has(&block->paid, transfer->token, transfer->to);
}

/* Was the receipt of this transfer's transaction asked for already? Those of one transaction stand together as a rule */
static bool
is_asked(const rc_source *source, int block, size_t first, const evm_transfer *transfer)
{
	for (size_t i = source->nquestions; i > first; i--)
	{
		const evm_question *question = &source->questions[i - 1];

		if (memcmp(source->blocks[block].transfers.items[question->first].txid, transfer->txid, sizeof(transfer->txid)) == 0)
			return true;
	}
	return false;
}

/*
 * A transaction that failed is in its block, too; and where in its transaction a
 * log stands, only the receipt says.
 */
void
evm_put_receipts(rc_source *source)
{
	char		txid[65];

	for (int i = 0; i < source->nblocks; i++)
	{
		const evm_block *block = &source->blocks[i];
		size_t		first = source->nquestions;

		for (size_t j = 0; j < block->transfers.n; j++)
		{
			const evm_transfer *transfer = &block->transfers.items[j];

			if (!pays(block, transfer) || is_asked(source, i, first, transfer))
				continue;
			rc_hex_encode(transfer->txid, sizeof(transfer->txid), txid);
			evm_put(source, "eth_getTransactionReceipt", rc_asprintf("[\"0x%s\"]", txid), MAX_RECEIPT_ANSWER, i)->first = j;
		}
	}
}

evm_outcome
evm_take_receipt(rc_source *source, const evm_question *question, rc_rpc_reply *reply)
{
	evm_block  *block = &source->blocks[question->block];
	const uint8_t *txid = block->transfers.items[question->first].txid;
	const char *problem;
	bool		succeeded;

	if (reply->error != NULL)
		return evm_say(source, RC_FAILURE_REFUSED, reply->error);
	if (reply->result == NULL)
		return EVM_GONE;
	problem = evm_receipt_take(reply->result, block->id.hash, txid, &succeeded);
	if (problem != NULL)
		return evm_say(source, RC_FAILURE_INCONSISTENT, problem);
	for (size_t i = 0; i < block->transfers.n; i++)
	{
		evm_transfer *transfer = &block->transfers.items[i];

		if (!pays(block, transfer) || memcmp(transfer->txid, txid, sizeof(transfer->txid)) != 0)
			continue;
		if (transfer->kind == EVM_BY_TOKEN && (!succeeded || !evm_receipt_place(reply->result, transfer)))
			return evm_say(source, RC_FAILURE_INCONSISTENT, "a receipt lacks a log that its block has");
		if (transfer->kind == EVM_BY_TRANSACTION && succeeded)
			*evm_transfers_add(&block->credits) = *transfer;
	}
	return EVM_TAKEN;
}
