/* read_creation.c: creation code that reads many balances in one eth_call */
#include "core/chain/evm/evm.h"

#include <stdlib.h>
#include <string.h>

/*
 * Creation code, followed by N pairs of token (20 bytes; zero: native) and
 * holder (20 bytes). Returns number, hash of the parent, timestamp and chain
 * id of the block, 32 bytes each, then N times a status byte (0 failed,
 * 1 native, 2 token) and a 32-byte amount.
 */
static const char creation_code[] =
	"6370a0823160e01b600052"	/* selector of balanceOf at mem[0] */
	"43608052600143034060a052"	/* number; blockhash(number - 1) */
	"4260c0524660e052"			/* timestamp; chainid */
	"6101006084"				/* q = end of output, p = end of code */
	"5b38811015607b57"			/* while p < codesize */
	"601481604c39" "6014808201601039" /* token -> mem[4c], holder -> mem[10] */
	"60405180604b57"			/* native unless token */
	"5060045131" "6001" "606856"	/* its balance, status 1 */
	"5b60206060602460008462030d40fa"	/* balanceOf with 200,000 gas at most */
	"601f3d1116" "6060518102" "91508001"	/* ok: success and at least 32 bytes */
	"5b8353" "8260010152"		/* store status and amount */
	"6028019060210190602456"	/* p += 40, q += 33 */
	"5b50608090036080f3";		/* return */

/* Gas of one pair besides its call: 33 bytes stored as code (200 each), 40 of data (at most 40 each), cold accounts */
#define PAIR_GAS (33 * 200 + 40 * 40 + 2 * 2600 + 1000)

/* The gas limit for a list: no more than nodes allow a transaction */
static unsigned
gas_limit(const evm_pair *pairs, const int *indexes, int n)
{
	unsigned	gas = 200000;

	for (int i = 0; i < n; i++)
		gas += PAIR_GAS + (pairs[indexes[i]].native ? 0 : EVM_TOKEN_GAS * 64 / 63);
	return gas < EVM_MAX_GAS ? gas : EVM_MAX_GAS;
}

/* Bytes that the code returns */
static size_t
output_size(int n)
{
	return (size_t) EVM_HEADER_WORDS * 32 + (size_t) n * 33;
}

/* Bytes of the answer for n pairs, or of what a node says in its place */
size_t
evm_creation_answer(int n)
{
	return RC_RPC_SMALL_ANSWER + 2 * output_size(n);
}

/* Parameters of eth_call, rc_malloc'd */
char *
evm_creation_params(const evm_pair *pairs, const int *indexes, int n, const char *block)
{
	rc_buffer	out = {0};
	char		hex[2 * RC_EVM_ADDRESS_BYTES + 1];

	rc_buffer_printf(&out, "[{\"gas\":\"0x%x\",\"data\":\"0x%s", gas_limit(pairs, indexes, n), creation_code);
	for (int i = 0; i < n; i++)
	{
		rc_hex_encode(pairs[indexes[i]].token, RC_EVM_ADDRESS_BYTES, hex);
		rc_buffer_append(&out, hex, 2 * RC_EVM_ADDRESS_BYTES);
		rc_hex_encode(pairs[indexes[i]].holder, RC_EVM_ADDRESS_BYTES, hex);
		rc_buffer_append(&out, hex, 2 * RC_EVM_ADDRESS_BYTES);
	}
	rc_buffer_printf(&out, "\"},%s]", block);
	return out.data;
}

/* What the code returned; false if it isn't exactly that */
bool
evm_creation_decode(const char *hex, const evm_pair *pairs, const int *indexes, int n,
					uint8_t words[EVM_HEADER_WORDS][32], evm_reading *readings)
{
	size_t		len = output_size(n);
	uint8_t    *data;
	bool		ok;

	if (strlen(hex) != 2 + 2 * len || hex[0] != '0' || hex[1] != 'x')
		return false;
	data = rc_malloc(len);
	ok = rc_hex_decode(hex + 2, 2 * len, data, len);
	if (ok)
		memcpy(words, data, (size_t) EVM_HEADER_WORDS * 32);
	for (int i = 0; i < n && ok; i++)
	{
		const uint8_t *entry = data + (size_t) EVM_HEADER_WORDS * 32 + (size_t) i * 33;

		if (entry[0] == (pairs[indexes[i]].native ? 1 : 2))
		{
			readings[i].state = EVM_READ;
			memcpy(readings[i].value.bytes, entry + 1, 32);
		}
		else if (entry[0] == 0 && !pairs[indexes[i]].native)
			readings[i].state = EVM_UNANSWERED;
		else
			ok = false;
	}
	free(data);
	return ok;
}
