/* logs.c: a token's events in one block */
#include "core/chain/evm/transfer.h"

#include <string.h>
#include <strings.h>

#include "core/base/json.h"
#include "core/base/memory.h"

/* An address as a topic: 12 zero bytes and the address */
static bool
topic_address(struct json_object *topics, size_t i, uint8_t address[RC_EVM_ADDRESS_BYTES])
{
	static const uint8_t zeros[32 - RC_EVM_ADDRESS_BYTES] = {0};
	uint8_t		word[32];

	if (!evm_parse_bytes(json_object_get_string(json_object_array_get_idx(topics, i)), word, sizeof(word)) ||
		memcmp(word, zeros, sizeof(zeros)) != 0)
		return false;
	memcpy(address, word + sizeof(zeros), RC_EVM_ADDRESS_BYTES);
	return true;
}

/* Has the log three topics and one word of data, as a transfer of an amount has? */
static bool
is_transfer(struct json_object *log, struct json_object *topics, evm_transfer *transfer)
{
	return json_object_array_length(topics) == 3 &&
		topic_address(topics, 1, transfer->from) && topic_address(topics, 2, transfer->to) &&
		evm_parse_bytes(rc_json_string(log, "data"), transfer->amount.bytes, sizeof(transfer->amount.bytes));
}

/* Where the log says that it stands; a constant text if that isn't the block */
static const char *
take_place(struct json_object *log, const char *block_hash, evm_transfer *transfer)
{
	const char *hash = rc_json_string(log, "blockHash");
	const char *index = rc_json_string(log, "logIndex");
	struct json_object *removed;
	rc_uint256	number;

	if (hash == NULL || strcasecmp(hash, block_hash) != 0)
		return "a log is of another block than was asked for";
	if (json_object_object_get_ex(log, "removed", &removed) && json_object_get_boolean(removed))
		return "a log is of a block that was abandoned";
	if (!evm_parse_bytes(rc_json_string(log, "transactionHash"), transfer->txid, sizeof(transfer->txid)) ||
		!evm_parse_bytes(rc_json_string(log, "address"), transfer->token, sizeof(transfer->token)) ||
		index == NULL || !rc_uint256_from_hex(&number, index) || !rc_uint256_to_u64(&number, &transfer->ordinal) ||
		transfer->ordinal > INT32_MAX)
		return "a log lacks its address, transaction or index";
	return NULL;
}

/* One log into a transfer; *kept false: it is none of interest */
static const char *
take_log(struct json_object *log, const evm_log_filter *filter, evm_transfer *transfer, bool *kept)
{
	const evm_wanted *wanted = filter->wanted;
	struct json_object *topics;
	const char *event;
	const char *problem;

	*kept = false;
	if (!json_object_is_type(log, json_type_object) || !json_object_object_get_ex(log, "topics", &topics) ||
		!json_object_is_type(topics, json_type_array) || json_object_array_length(topics) < 1)
		return "a log has no topics";
	problem = take_place(log, filter->block_hash, transfer);
	if (problem != NULL)
		return problem;
	event = json_object_get_string(json_object_array_get_idx(topics, 0));
	if (event == NULL || strcasecmp(event, EVM_TRANSFER_TOPIC) != 0)
		return "a log is of another event than was asked for";
	if (filter->by_token && !evm_wanted_has_token(wanted, transfer->token))
		return "a log is of a contract that wasn't asked for";
	if (!is_transfer(log, topics, transfer))
		return NULL;
	if (!filter->by_token && !evm_wanted_has_holder(wanted, filter->outgoing ? transfer->from : transfer->to))
		return "a log is of a holder who wasn't asked for";

	*kept = true;
	return NULL;
}

const char *
evm_logs_take(struct json_object *logs, const evm_log_filter *filter, evm_transfers *transfers)
{
	if (!json_object_is_type(logs, json_type_array))
		return "the answer to eth_getLogs is no list";
	for (size_t i = 0; i < json_object_array_length(logs); i++)
	{
		evm_transfer transfer = {.kind = EVM_BY_TOKEN};
		bool		kept;
		const char *problem = take_log(json_object_array_get_idx(logs, i), filter, &transfer, &kept);

		if (problem != NULL)
			return problem;
		if (kept)
			*evm_transfers_add(transfers) = transfer;
	}
	return NULL;
}

/* Addresses as JSON strings; padded to topics if so wished */
static void
append_addresses(rc_buffer *out, uint8_t (*addresses)[RC_EVM_ADDRESS_BYTES], size_t n, bool padded)
{
	char		hex[2 * RC_EVM_ADDRESS_BYTES + 1];

	rc_buffer_append(out, "[", 1);
	for (size_t i = 0; i < n; i++)
	{
		rc_hex_encode(addresses[i], RC_EVM_ADDRESS_BYTES, hex);
		rc_buffer_printf(out, "%s\"0x%s%s\"", i > 0 ? "," : "", padded ? "000000000000000000000000" : "", hex);
	}
	rc_buffer_append(out, "]", 1);
}

/* NULL for an empty list: to nodes that means any, and to some none */
char *
evm_logs_params(const evm_log_filter *filter, size_t first, size_t n)
{
	const evm_wanted *wanted = filter->wanted;
	rc_buffer	out = {0};

	if (n == 0)
		return NULL;
	rc_buffer_printf(&out, "[{\"blockHash\":\"%s\",", filter->block_hash);
	if (filter->by_token)
	{
		rc_buffer_printf(&out, "\"address\":");
		append_addresses(&out, wanted->tokens + first, n, false);
		rc_buffer_printf(&out, ",\"topics\":[\"" EVM_TRANSFER_TOPIC "\"]}]");
		return out.data;
	}
	rc_buffer_printf(&out, "\"topics\":[\"" EVM_TRANSFER_TOPIC "\",%s", filter->outgoing ? "" : "null,");
	append_addresses(&out, wanted->holders + first, n, true);
	rc_buffer_printf(&out, "]}]");
	return out.data;
}
