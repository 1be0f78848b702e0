/* fake_evm.c: the JSON-RPC side of the fake node */
#include "fake_evm.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/chain/evm/address.h"
#include "core/chain/evm/keccak.h"
#include "core/base/memory.h"
#include "core/base/uint256.h"

/* The observer's creation code */
#define CODE_BYTES 132

#define MULTICALL "ca11bde05977b3631167028862be2a173976ca11"

/* What a holder has: different for every token and block, so that a mix-up shows */
uint64_t
fake_balance(uint32_t holder, uint8_t token, uint64_t block)
{
	return ((uint64_t) holder << 24 | (uint64_t) token << 16) + block;
}

/* A JSON-RPC error object */
static struct json_object *
new_error(int code, const char *message)
{
	struct json_object *error = json_object_new_object();

	json_object_object_add(error, "code", json_object_new_int(code));
	json_object_object_add(error, "message", json_object_new_string(message));
	return error;
}

/* The hash of a block, "0x" and 64 digits */
static void
block_hash(const fake_node *node, uint64_t number, uint8_t out[32])
{
	struct
	{
		uint64_t	number;
		int64_t		fork;
	}			key = {number, node->forks};

	rc_keccak256(&key, sizeof(key), out);
}

/* A block's timestamp */
static uint64_t
block_time(uint64_t number)
{
	return 1700000000 + 12 * number;
}

/* Adds a hash to a header */
static void
add_hash(struct json_object *header, const char *name, const uint8_t hash[32])
{
	char		text[67] = "0x";

	rc_hex_encode(hash, 32, text + 2);
	json_object_object_add(header, name, json_object_new_string(text));
}

/* Adds a quantity to a header */
static void
add_quantity(struct json_object *header, const char *name, uint64_t value)
{
	char		text[32];

	(void) snprintf(text, sizeof(text), "0x%" PRIx64, value);
	json_object_object_add(header, name, json_object_new_string(text));
}

/* eth_getBlockByNumber */
static struct json_object *
get_block(fake_node *node, const char *which)
{
	struct json_object *header;
	uint64_t	number;
	uint8_t		hash[32];

	if (node->forks != 0)
		node->forks--;
	if (strcmp(which, "latest") == 0)
	{
		(void) __sync_add_and_fetch(&node->tips, 1);
		number = node->tip;
	}
	else if (strcmp(which, "safe") == 0)
		number = node->safe;
	else if (node->no_blocks)
		return NULL;
	else
		number = strtoull(which, NULL, 16);
	if (number > node->tip)
		return NULL;
	header = json_object_new_object();
	add_quantity(header, "number", number);
	add_quantity(header, "timestamp", block_time(number));
	block_hash(node, number, hash);
	add_hash(header, "hash", hash);
	block_hash(node, number - 1, hash);
	add_hash(header, "parentHash", hash);
	return header;
}

/* Appends a number as a word */
static void
append_word(rc_buffer *out, uint64_t value)
{
	rc_uint256	word;

	rc_uint256_from_u64(&word, value);
	rc_buffer_append(out, word.bytes, 32);
}

/* The last 4 bytes of an address as a number */
static uint32_t
tail(const uint8_t *address)
{
	return (uint32_t) address[16] << 24 | (uint32_t) address[17] << 16 | (uint32_t) address[18] << 8 | address[19];
}

/* Has the token code at the block? */
static bool
has_code(const fake_node *node, uint8_t token, uint64_t block)
{
	return token != FAKE_NO_TOKEN && (token != FAKE_NEW_TOKEN || block == node->tip);
}

/* Does balanceOf give a number? */
static bool
answers(const fake_node *node, uint8_t token, uint64_t block)
{
	return token != FAKE_DEAD_TOKEN && has_code(node, token, block);
}

/* Text of a byte string as JSON */
static struct json_object *
new_hex(const rc_buffer *data)
{
	char	   *text = rc_malloc(2 * data->len + 3);
	struct json_object *object;

	memcpy(text, "0x", 3);
	rc_hex_encode((const uint8_t *) data->data, data->len, text + 2);
	object = json_object_new_string(text);
	free(text);
	return object;
}

/* What word i of the header is, in both ways of reading */
static void
append_header_word(const fake_node *node, rc_buffer *out, int i, uint64_t block)
{
	uint8_t		hash[32];

	switch (i)
	{
		case 0:
			append_word(out, block + node->number_offset);
			break;
		case 1:
			block_hash(node, block - 1, hash);
			rc_buffer_append(out, hash, 32);
			break;
		case 2:
			append_word(out, block_time(block));
			break;
		default:
			append_word(out, node->evm_chain_id);
	}
}

/* Refuses lists as told; NULL: taken */
static struct json_object *
refuse_list(fake_node *node, int n)
{
	if (node->max_list > 0 && n > node->max_list)
		return new_error(-32000, "out of gas: gas required exceeds allowance");
	if (n > node->longest_list)
		node->longest_list = n;
	return NULL;
}

/* The creation code with its pairs */
static struct json_object *
run_creation(fake_node *node, const uint8_t *data, size_t len, uint64_t block, struct json_object **error)
{
	int			n = (int) ((len - CODE_BYTES) / 40);
	rc_buffer	out = {0};
	bool		starved = false;
	struct json_object *result;

	*error = node->no_creation ? new_error(-32602, "missing field `to`") : refuse_list(node, n);
	if (*error != NULL)
		return NULL;
	if (node->empty_creation)
		return json_object_new_string("0x");
	for (int i = 0; i < 4; i++)
		append_header_word(node, &out, i, block);
	for (int i = 0; i < n; i++)
	{
		const uint8_t *pair = data + CODE_BYTES + (size_t) i * 40;
		bool		native = tail(pair) == 0;
		bool		ok = native || (answers(node, pair[19], block) && !starved);

		if (pair[19] == FAKE_POISON_TOKEN)
			*error = new_error(-32015, "invalid opcode");
		starved = starved || (pair[19] == FAKE_GREEDY_TOKEN && n > 32);
		rc_buffer_append(&out, !ok ? "\0" : native ? "\1" : "\2", 1);
		append_word(&out, ok ? fake_balance(tail(pair + 20), pair[19], block) : 0);
		if (*error != NULL)
			break;
	}
	result = *error != NULL ? NULL : new_hex(&out);
	rc_buffer_free(&out);
	return result;
}

/* The number in a word of calldata */
static size_t
word_at(const uint8_t *data, size_t offset)
{
	return (size_t) data[offset + 28] << 24 | (size_t) data[offset + 29] << 16 | (size_t) data[offset + 30] << 8 |
		data[offset + 31];
}

/* aggregate3 */
static struct json_object *
run_multicall(fake_node *node, const uint8_t *data, uint64_t block, struct json_object **error)
{
	const uint8_t *array = data + 4 + 64;
	int			n = (int) word_at(data, 4 + 32);
	rc_buffer	out = {0};
	struct json_object *result;

	*error = refuse_list(node, n - 4);
	if (*error != NULL)
		return NULL;
	append_word(&out, 32);
	append_word(&out, (uint64_t) n);
	for (int i = 0; i < n; i++)
		append_word(&out, 32 * (uint64_t) n + 128 * (uint64_t) i);
	for (int i = 0; i < n; i++)
	{
		const uint8_t *call = array + word_at(array, 32 * (size_t) i);
		const uint8_t *argument = call + 128 + 4;
		uint8_t		token = argument[-4] == 0x70 ? call[31] : 0;
		bool		ok = i < 4 || token == 0 || answers(node, token, block);

		append_word(&out, ok);
		append_word(&out, 64);
		append_word(&out, 32);
		if (i < 4)
			append_header_word(node, &out, i, block);
		else
			append_word(&out, ok ? fake_balance(tail(argument + 12), token, block) : 0);
	}
	result = new_hex(&out);
	rc_buffer_free(&out);
	return result;
}

/* The block that a block parameter means */
static uint64_t
block_of(const fake_node *node, struct json_object *parameter)
{
	struct json_object *member;
	uint8_t		hash[32];
	char		text[67] = "0x";

	if (json_object_is_type(parameter, json_type_string))
		return strtoull(json_object_get_string(parameter), NULL, 16);
	if (!json_object_object_get_ex(parameter, "blockHash", &member))
		return 0;
	for (uint64_t number = node->tip; number > 0; number--)
	{
		block_hash(node, number, hash);
		rc_hex_encode(hash, 32, text + 2);
		if (strcmp(text, json_object_get_string(member)) == 0)
			return number;
	}
	return 0;
}

/* eth_call */
static struct json_object *
eth_call(fake_node *node, struct json_object *params, struct json_object **error)
{
	struct json_object *call = json_object_array_get_idx(params, 0);
	uint64_t	block = block_of(node, json_object_array_get_idx(params, 1)) + node->call_offset;
	const char *hex = json_object_get_string(json_object_object_get(call, "data")) + 2;
	struct json_object *to = json_object_object_get(call, "to");
	size_t		len = strlen(hex) / 2;
	uint8_t    *data = rc_malloc(len);
	struct json_object *result = NULL;
	rc_buffer	out = {0};
	uint8_t		token;

	(void) __sync_add_and_fetch(&node->calls, 1);
	(void) rc_hex_decode(hex, 2 * len, data, len);
	if (node->call_error[0] != '\0')
		*error = new_error(-32000, node->call_error);
	else if (to == NULL)
		result = run_creation(node, data, len, block, error);
	else if (strcasecmp(json_object_get_string(to) + 2, MULTICALL) == 0)
		result = node->has_multicall ? run_multicall(node, data, block, error) : json_object_new_string("0x");
	else if (node->token_error[0] != '\0')
		*error = new_error(3, node->token_error);
	else
	{
		token = (uint8_t) strtoul(json_object_get_string(to) + 40, NULL, 16);
		if (answers(node, token, block))
			append_word(&out, fake_balance(tail(data + 16), token, block));
		result = out.len > 0 ? new_hex(&out) : json_object_new_string("0x");
		rc_buffer_free(&out);
	}
	free(data);
	return result;
}

/* eth_getBalance */
static struct json_object *
get_balance(fake_node *node, struct json_object *params, struct json_object **error)
{
	const char *holder = json_object_get_string(json_object_array_get_idx(params, 0));
	uint64_t	block = block_of(node, json_object_array_get_idx(params, 1));
	char		text[32];

	(void) __sync_add_and_fetch(&node->balances, 1);
	if (node->call_error[0] != '\0')
	{
		*error = new_error(-32000, node->call_error);
		return NULL;
	}
	(void) snprintf(text, sizeof(text), "0x%" PRIx64,
					fake_balance((uint32_t) strtoul(holder + 34, NULL, 16), 0, block));
	return json_object_new_string(text);
}

/* eth_getCode */
static struct json_object *
get_code(const fake_node *node, struct json_object *params)
{
	const char *address = json_object_get_string(json_object_array_get_idx(params, 0));
	uint64_t	block = block_of(node, json_object_array_get_idx(params, 1));
	bool		code;

	if (strcasecmp(address + 2, MULTICALL) == 0)
		code = node->has_multicall;
	else
		code = has_code(node, (uint8_t) strtoul(address + 40, NULL, 16), block);
	return json_object_new_string(code ? "0x6000" : "0x");
}

/* One call */
static struct json_object *
answer_call(fake_node *node, struct json_object *request)
{
	struct json_object *answer = json_object_new_object();
	const char *method = json_object_get_string(json_object_object_get(request, "method"));
	struct json_object *params = json_object_object_get(request, "params");
	struct json_object *result = NULL;
	struct json_object *error = NULL;
	char		text[32];

	if (strcmp(method, "eth_chainId") == 0)
	{
		(void) snprintf(text, sizeof(text), "0x%" PRIx64, node->chain_id);
		result = json_object_new_string(text);
	}
	else if (strcmp(method, "eth_getBlockByNumber") == 0)
		result = get_block(node, json_object_get_string(json_object_array_get_idx(params, 0)));
	else if (strcmp(method, "eth_call") == 0)
		result = eth_call(node, params, &error);
	else if (strcmp(method, "eth_getBalance") == 0)
		result = get_balance(node, params, &error);
	else if (strcmp(method, "eth_getCode") == 0)
		result = get_code(node, params);
	else
		error = new_error(-32601, "method not found");
	json_object_object_add(answer, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(answer, "id", json_object_get(json_object_object_get(request, "id")));
	json_object_object_add(answer, error != NULL ? "error" : "result", error != NULL ? error : result);
	return answer;
}

/* A request, single or array */
struct json_object *
fake_evm_answer(fake_node *node, const char *body)
{
	struct json_object *request = json_tokener_parse(body);
	struct json_object *answer;
	size_t		n;

	if (!json_object_is_type(request, json_type_array))
		answer = answer_call(node, request);
	else if (node->max_array > 0 && json_object_array_length(request) > (size_t) node->max_array)
	{
		answer = json_object_new_object();
		json_object_object_add(answer, "jsonrpc", json_object_new_string("2.0"));
		json_object_object_add(answer, "id", NULL);
		json_object_object_add(answer, "error", new_error(-32600, "batch requests are not supported"));
	}
	else
	{
		n = json_object_array_length(request);
		answer = json_object_new_array();
		/* The order of answers is free */
		for (size_t i = n; i > 0; i--)
			json_object_array_add(answer, answer_call(node, json_object_array_get_idx(request, i - 1)));
	}
	json_object_put(request);
	return answer;
}
