/* native.c: transactions of a whole block that pay somebody, and whether they succeeded */
#include "core/chain/evm/transfer.h"

#include <string.h>
#include <strings.h>

#include "core/base/json.h"

/* A quantity of at most 31 bits; false if it is none */
static bool
take_index(struct json_object *object, const char *name, uint64_t *index)
{
	const char *text = rc_json_string(object, name);
	rc_uint256	number;

	return text != NULL && rc_uint256_from_hex(&number, text) && rc_uint256_to_u64(&number, index) && *index <= INT32_MAX;
}

/* A transaction's transfer; false if it can't be read. A creation has no "to" and pays nobody that is known before */
static bool
take_transaction(struct json_object *transaction, evm_transfer *transfer, bool *pays)
{
	const char *to = rc_json_string(transaction, "to");
	const char *value = rc_json_string(transaction, "value");

	*pays = false;
	if (!json_object_is_type(transaction, json_type_object) || value == NULL ||
		!rc_uint256_from_hex(&transfer->amount, value))
		return false;
	if (to == NULL || rc_uint256_is_zero(&transfer->amount))
		return true;
	*pays = true;
	return evm_parse_bytes(to, transfer->to, sizeof(transfer->to)) &&
		evm_parse_bytes(rc_json_string(transaction, "from"), transfer->from, sizeof(transfer->from)) &&
		evm_parse_bytes(rc_json_string(transaction, "hash"), transfer->txid, sizeof(transfer->txid)) &&
		take_index(transaction, "transactionIndex", &transfer->ordinal);
}

const char *
evm_native_take(struct json_object *block, const char *hash, evm_transfers *transfers)
{
	const char *block_hash = rc_json_string(block, "hash");
	struct json_object *transactions;

	if (block_hash == NULL || strcasecmp(block_hash, hash) != 0)
		return "another block than was asked for";
	if (!json_object_object_get_ex(block, "transactions", &transactions) ||
		!json_object_is_type(transactions, json_type_array))
		return "a block has no transactions";
	for (size_t i = 0; i < json_object_array_length(transactions); i++)
	{
		evm_transfer transfer = {.kind = EVM_BY_TRANSACTION};
		bool		pays;

		if (!take_transaction(json_object_array_get_idx(transactions, i), &transfer, &pays))
			return "a block's transaction can't be read";
		if (pays && transfer.ordinal != i)
			return "a block's transactions are not in their order";
		if (pays && memcmp(transfer.from, transfer.to, RC_EVM_ADDRESS_BYTES) != 0)
			*evm_transfers_add(transfers) = transfer;
	}
	return NULL;
}

const char *
evm_receipt_take(struct json_object *receipt, const char *block_hash, const uint8_t txid[32], bool *succeeded)
{
	const char *hash = rc_json_string(receipt, "blockHash");
	const char *status = rc_json_string(receipt, "status");
	uint8_t		named[32];
	rc_uint256	number;
	uint64_t	value;

	if (hash == NULL || strcasecmp(hash, block_hash) != 0)
		return "a receipt is of another block than was asked for";
	if (!evm_parse_bytes(rc_json_string(receipt, "transactionHash"), named, sizeof(named)) ||
		memcmp(txid, named, sizeof(named)) != 0)
		return "a receipt is of another transaction than was asked for";
	if (status == NULL || !rc_uint256_from_hex(&number, status) || !rc_uint256_to_u64(&number, &value) || value > 1)
		return "a receipt has no status";
	*succeeded = value == 1;
	return NULL;
}

bool
evm_receipt_place(struct json_object *receipt, evm_transfer *transfer)
{
	struct json_object *logs;

	if (!json_object_object_get_ex(receipt, "logs", &logs) || !json_object_is_type(logs, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(logs); i++)
	{
		struct json_object *log = json_object_array_get_idx(logs, i);
		uint8_t		address[RC_EVM_ADDRESS_BYTES];
		uint64_t	index;

		if (!take_index(log, "logIndex", &index) || index != transfer->ordinal)
			continue;
		transfer->position = i;
		return evm_parse_bytes(rc_json_string(log, "address"), address, sizeof(address)) &&
			memcmp(address, transfer->token, sizeof(address)) == 0;
	}
	return false;
}
