/* read_multicall.c: many balances by Multicall3, for chains that refuse creation code in eth_call */
#include "core/chain/evm/evm.h"

#include <stdlib.h>
#include <string.h>

/* Where Multicall3 stands on nearly every chain */
const char	evm_multicall_address[] = "0xcA11bde05977b3631167028862bE2a173976CA11";

static const uint8_t multicall_bytes[RC_EVM_ADDRESS_BYTES] = {
	0xca, 0x11, 0xbd, 0xe0, 0x59, 0x77, 0xb3, 0x63, 0x11, 0x67,
	0x02, 0x88, 0x62, 0xbe, 0x2a, 0x17, 0x39, 0x76, 0xca, 0x11
};

/* getBlockNumber(), getLastBlockHash(), getCurrentBlockTimestamp(), getChainId() */
static const uint8_t header_selectors[EVM_HEADER_WORDS][4] = {
	{0x42, 0xcb, 0xb1, 0x5c}, {0x27, 0xe8, 0x6d, 0x6e}, {0x0f, 0x28, 0xc9, 0x7d}, {0x34, 0x08, 0xe4, 0x70}
};

/* aggregate3((address,bool,bytes)[]), getEthBalance(address), balanceOf(address) */
static const uint8_t aggregate3_selector[4] = {0x82, 0xad, 0x56, 0xcb};
static const uint8_t eth_balance_selector[4] = {0x4d, 0x23, 0x01, 0xcc};
static const uint8_t balance_of_selector[4] = {0x70, 0xa0, 0x82, 0x31};

/* Appends a number as a word */
static void
append_u64(rc_buffer *out, uint64_t value)
{
	rc_uint256	word;

	rc_uint256_from_u64(&word, value);
	rc_buffer_append(out, word.bytes, 32);
}

/* Appends an address as a word */
static void
append_address(rc_buffer *out, const uint8_t *address)
{
	rc_buffer_append(out, rc_uint256_zero.bytes, 12);
	rc_buffer_append(out, address, RC_EVM_ADDRESS_BYTES);
}

/* Bytes of a call's data, with the padding that the ABI wants */
static size_t
padded(size_t len)
{
	return (len + 31) / 32 * 32;
}

/* Appends one (target, allowFailure, callData) */
static void
append_call(rc_buffer *out, const uint8_t *target, const uint8_t *selector, const uint8_t *argument)
{
	size_t		len = argument != NULL ? 36 : 4;

	append_address(out, target);
	append_u64(out, 1);
	append_u64(out, 96);
	append_u64(out, len);
	rc_buffer_append(out, selector, 4);
	if (argument != NULL)
		append_address(out, argument);
	rc_buffer_append(out, rc_uint256_zero.bytes, padded(len) - len);
}

/* aggregate3's calldata */
static void
build_calldata(rc_buffer *out, const evm_pair *pairs, const int *indexes, int n)
{
	uint64_t	offset = 32 * (uint64_t) (EVM_HEADER_WORDS + n);

	rc_buffer_append(out, aggregate3_selector, 4);
	append_u64(out, 32);
	append_u64(out, (uint64_t) (EVM_HEADER_WORDS + n));
	for (int i = 0; i < EVM_HEADER_WORDS + n; i++)
	{
		append_u64(out, offset);
		offset += 4 * 32 + (i < EVM_HEADER_WORDS ? padded(4) : padded(36));
	}
	for (int i = 0; i < EVM_HEADER_WORDS; i++)
		append_call(out, multicall_bytes, header_selectors[i], NULL);
	for (int i = 0; i < n; i++)
	{
		const evm_pair *pair = &pairs[indexes[i]];

		if (pair->native)
			append_call(out, multicall_bytes, eth_balance_selector, pair->holder);
		else
			append_call(out, pair->token, balance_of_selector, pair->holder);
	}
}

/* Parameters of eth_call, rc_malloc'd */
char *
evm_multicall_params(const evm_pair *pairs, const int *indexes, int n, const char *block)
{
	rc_buffer	data = {0};
	char	   *hex;
	char	   *params;

	build_calldata(&data, pairs, indexes, n);
	hex = rc_malloc(2 * data.len + 1);
	rc_hex_encode((const uint8_t *) data.data, data.len, hex);
	params = rc_asprintf("[{\"to\":\"%s\",\"gas\":\"0x%x\",\"data\":\"0x%s\"},%s]",
						 evm_multicall_address, EVM_MAX_GAS, hex, block);
	free(hex);
	rc_buffer_free(&data);
	return params;
}

/* The word at an offset as a number; false outside of the data or above 32 bits */
static bool
word_at(const uint8_t *data, size_t len, size_t offset, size_t *value)
{
	rc_uint256	word;
	uint64_t	number;

	if (offset > len || len - offset < 32)
		return false;
	memcpy(word.bytes, data + offset, 32);
	if (!rc_uint256_to_u64(&word, &number) || number > UINT32_MAX)
		return false;
	*value = (size_t) number;
	return true;
}

/* Element i of the returned (bool success, bytes returnData)[]; *result is NULL unless it is a word or longer */
static bool
result_at(const uint8_t *array, size_t len, size_t i, const uint8_t **result)
{
	size_t		at;
	size_t		success;
	size_t		offset;
	size_t		size;

	if (!word_at(array, len, 32 * i, &at) ||
		!word_at(array, len, at, &success) || success > 1 ||
		!word_at(array, len, at + 32, &offset) ||
		!word_at(array, len, at + offset, &size) ||
		size > len - at - offset - 32)
		return false;
	*result = success == 1 && size >= 32 ? array + at + offset + 32 : NULL;
	return true;
}

/* Reads the returned array; false if it isn't one of n + 4 results */
static bool
decode_results(const uint8_t *data, size_t len, const evm_pair *pairs, const int *indexes, int n,
			   uint8_t words[EVM_HEADER_WORDS][32], evm_reading *readings)
{
	size_t		offset;
	size_t		count;
	const uint8_t *result;

	if (!word_at(data, len, 0, &offset) || !word_at(data, len, offset, &count) ||
		count != (size_t) (EVM_HEADER_WORDS + n))
		return false;
	data += offset + 32;
	len -= offset + 32;
	for (size_t i = 0; i < count; i++)
	{
		if (!result_at(data, len, i, &result))
			return false;
		if (i < EVM_HEADER_WORDS)
		{
			if (result == NULL)
				return false;
			memcpy(words[i], result, 32);
		}
		else if (result != NULL)
		{
			readings[i - EVM_HEADER_WORDS].state = EVM_READ;
			memcpy(readings[i - EVM_HEADER_WORDS].value.bytes, result, 32);
		}
		else if (pairs[indexes[i - EVM_HEADER_WORDS]].native)
			return false;
		else
			readings[i - EVM_HEADER_WORDS].state = EVM_UNANSWERED;
	}
	return true;
}

/* What aggregate3 returned; false if it doesn't decode */
bool
evm_multicall_decode(const char *hex, const evm_pair *pairs, const int *indexes, int n,
					 uint8_t words[EVM_HEADER_WORDS][32], evm_reading *readings)
{
	size_t		ndigits = strlen(hex);
	size_t		len;
	uint8_t    *data;
	bool		ok;

	if (ndigits < 2 || ndigits % 2 != 0 || hex[0] != '0' || hex[1] != 'x')
		return false;
	len = ndigits / 2 - 1;
	data = rc_malloc(len);
	ok = rc_hex_decode(hex + 2, ndigits - 2, data, len) &&
		decode_results(data, len, pairs, indexes, n, words, readings);
	free(data);
	return ok;
}
