/* block.c: block headers, and whether a call ran at the block that it should have */
#include "core/chain/evm/evm.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* "0x…" of at most 64 bits */
static bool
parse_u64(const char *text, uint64_t *value)
{
	rc_uint256	number;

	return text != NULL && rc_uint256_from_hex(&number, text) && rc_uint256_to_u64(&number, value);
}

/* "0x" and 64 digits */
static bool
parse_hash(const char *text, uint8_t out[32])
{
	return text != NULL && text[0] == '0' && text[1] == 'x' &&
		rc_hex_decode(text + 2, strlen(text + 2), out, 32);
}

/* A reply that is a string; NULL if it is anything else */
const char *
evm_reply_string(rc_rpc_reply *reply)
{
	if (reply->result == NULL || !json_object_is_type(reply->result, json_type_string))
		return NULL;
	return json_object_get_string(reply->result);
}

/* A reply that is a quantity */
bool
evm_parse_quantity(rc_rpc_reply *reply, uint64_t *value)
{
	return parse_u64(evm_reply_string(reply), value);
}

/* A reply to eth_getBlockByNumber; NULL, or what is wrong with it (rc_malloc'd) */
char *
evm_parse_header(rc_rpc_reply *reply, evm_header *header)
{
	const char *bloom;
	uint8_t		hash[32];
	uint64_t	time;

	if (reply->error != NULL)
		return rc_strdup(reply->error);
	if (reply->result == NULL)
		return rc_strdup("the endpoint does not know the block");
	if (!parse_u64(rc_json_string(reply->result, "number"), &header->number) ||
		header->number > INT64_MAX ||
		!parse_u64(rc_json_string(reply->result, "timestamp"), &time) || time > INT64_MAX ||
		!parse_hash(rc_json_string(reply->result, "hash"), hash) ||
		!parse_hash(rc_json_string(reply->result, "parentHash"), header->parent))
		return rc_strdup("the answer is not a block header");
	bloom = rc_json_string(reply->result, "logsBloom");
	header->has_bloom = bloom != NULL && strlen(bloom) == 2 + 2 * EVM_BLOOM_BYTES &&
		rc_hex_decode(bloom + 2, 2 * EVM_BLOOM_BYTES, header->bloom, EVM_BLOOM_BYTES);
	header->time = (int64_t) time;
	memcpy(header->hash, "0x", 2);
	rc_hex_encode(hash, sizeof(hash), header->hash + 2);
	header->known = true;
	return NULL;
}

/* The block parameter of a call, as JSON, rc_malloc'd */
char *
evm_block_param(const evm_look *look, const evm_header *header, uint64_t number)
{
	if (look->pin_by_hash && header->known)
		return rc_asprintf("{\"blockHash\":\"%s\"}", header->hash);
	return rc_asprintf("\"0x%" PRIx64 "\"", number);
}

/* Did the call run at this block of this chain? */
evm_match
evm_match_header(const evm_look *look, const evm_header *header, uint8_t words[EVM_HEADER_WORDS][32])
{
	rc_uint256	expected;

	rc_uint256_from_u64(&expected, look->attempt->network->chain_id);
	if (memcmp(words[3], expected.bytes, 32) != 0)
		return EVM_OTHER_CHAIN;
	if (!look->pin_by_hash)
	{
		rc_uint256_from_u64(&expected, header->number);
		if (memcmp(words[0], expected.bytes, 32) != 0)
			return EVM_OTHER_NUMBER;
	}
	/* Block 0 has no parent, and anvil runs calls at it with a timestamp of 1 until there is another block */
	if (header->number == 0)
		return EVM_SAME_BLOCK;
	if (!look->pin_by_hash && memcmp(words[1], header->parent, 32) != 0)
		return EVM_OTHER_BLOCK;
	rc_uint256_from_u64(&expected, (uint64_t) header->time);
	return memcmp(words[2], expected.bytes, 32) == 0 ? EVM_SAME_BLOCK : EVM_OTHER_BLOCK;
}

/* A reply that must be the header of the depth block */
evm_step
evm_take_depth(evm_look *look, rc_rpc_reply *reply)
{
	evm_header	header = {0};
	char	   *error = evm_parse_header(reply, &header);

	if (error != NULL)
	{
		free(error);
		return evm_restart(look, "the block at the confirmation depth is not known");
	}
	if (header.number != look->depth_number)
		return evm_restart(look, "another block than the one asked for");
	if (look->depth.known && strcmp(header.hash, look->depth.hash) != 0)
		return evm_restart(look, "two blocks of one height");
	if (header.number + 1 == look->tip.number)
	{
		char		parent[65];

		rc_hex_encode(look->tip.parent, 32, parent);
		if (strcmp(parent, header.hash + 2) != 0)
			return evm_restart(look, "the block below the tip is not its parent");
	}
	look->depth = header;
	return EVM_GO_ON;
}
