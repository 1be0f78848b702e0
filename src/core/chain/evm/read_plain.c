/* read_plain.c: balances by eth_getBalance and balanceOf, for endpoints that take nothing better */
#include "core/chain/evm/evm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One balanceOf and the transaction around it */
#define CALL_GAS (EVM_TOKEN_GAS + 50000)

/* The call that reads one pair at one block; *params is rc_malloc'd */
static rc_rpc_call
pair_call(const evm_pair *pair, uint64_t block, char **params)
{
	char		token[2 * RC_EVM_ADDRESS_BYTES + 1];
	char		holder[2 * RC_EVM_ADDRESS_BYTES + 1];

	rc_hex_encode(pair->token, RC_EVM_ADDRESS_BYTES, token);
	rc_hex_encode(pair->holder, RC_EVM_ADDRESS_BYTES, holder);
	if (pair->native)
		*params = rc_asprintf("[\"0x%s\",\"0x%" PRIx64 "\"]", holder, block);
	else
		*params = rc_asprintf("[{\"to\":\"0x%s\",\"gas\":\"0x%x\",\"data\":\"0x70a08231%024d%s\"},\"0x%" PRIx64 "\"]",
							  token, CALL_GAS, 0, holder, block);
	return (rc_rpc_call) {pair->native ? "eth_getBalance" : "eth_call", *params, pair->native ? 0 : EVM_MAX_WORD};
}

/* The amount in a reply; false if it can't be one */
static bool
take_reading(const evm_pair *pair, rc_rpc_reply *reply, evm_reading *reading)
{
	const char *hex = evm_reply_string(reply);

	/* The call of a token's contract may revert, run out of gas, or return something else */
	if (!pair->native && (reply->error != NULL || (hex != NULL && strlen(hex) < 2 + 64)))
	{
		reading->state = EVM_UNANSWERED;
		return true;
	}
	if (hex == NULL)
		return false;
	reading->state = EVM_READ;
	if (pair->native)
		return rc_uint256_from_hex(&reading->value, hex);
	return hex[0] == '0' && hex[1] == 'x' && rc_hex_decode(hex + 2, 64, reading->value.bytes, 32);
}

/* All readings of the list; NULL, or what is wrong (rc_malloc'd) */
static char *
take_readings(evm_chunk *chunk, rc_rpc_reply *replies, evm_reading *tip, evm_reading *depth)
{
	for (int i = 0; i < chunk->n; i++)
	{
		const evm_pair *pair = &chunk->look->pairs[chunk->pairs[i]];
		rc_rpc_reply *reply = replies;

		if (take_reading(pair, replies, &tip[i]))
		{
			replies++;
			if (!chunk->look->separate_depth)
				continue;
			reply = replies;
			if (take_reading(pair, replies++, &depth[i]))
				continue;
		}
		return rc_strdup(reply->error != NULL ? reply->error : "a balance is not a number");
	}
	return NULL;
}

/* The replies: the tip's header, the depth's header, then the balances */
evm_step
evm_plain_take(evm_chunk *chunk, rc_rpc_reply *replies, evm_reading *tip, evm_reading *depth)
{
	evm_look   *look = chunk->look;
	evm_header	tip_header = {0};
	evm_step	step;
	char	   *error = evm_parse_header(&replies[0], &tip_header);

	if (error != NULL || strcmp(tip_header.hash, look->tip.hash) != 0)
	{
		free(error);
		return evm_restart(look, "the tip is not known any more");
	}
	if (look->separate_depth && (step = evm_take_depth(look, &replies[1])) != EVM_GO_ON)
		return step;
	error = take_readings(chunk, replies + (look->separate_depth ? 2 : 1), tip, depth);
	return error != NULL ? evm_fail(look, rc_failure_take(RC_FAILURE_MALFORMED, error)) : EVM_GO_ON;
}

/* Sends the calls of a list; done is list.c's */
void
evm_plain_start(evm_chunk *chunk, rc_exchange_done done)
{
	evm_look   *look = chunk->look;
	int			most = 2 + 2 * chunk->n;
	int			n = 0;
	rc_rpc_call *calls = rc_calloc((size_t) most, sizeof(*calls));
	char	  **params = rc_calloc((size_t) most, sizeof(*params));

	params[n] = rc_asprintf("[\"0x%" PRIx64 "\",false]", look->tip.number);
	calls[n] = (rc_rpc_call) {"eth_getBlockByNumber", params[n], EVM_MAX_HEADER};
	n++;
	if (look->separate_depth)
	{
		params[n] = rc_asprintf("[\"0x%" PRIx64 "\",false]", look->depth_number);
		calls[n] = (rc_rpc_call) {"eth_getBlockByNumber", params[n], EVM_MAX_HEADER};
		n++;
	}
	for (int i = 0; i < chunk->n; i++)
	{
		const evm_pair *pair = &look->pairs[chunk->pairs[i]];

		calls[n] = pair_call(pair, look->tip.number, &params[n]);
		n++;
		if (look->separate_depth)
		{
			calls[n] = pair_call(pair, look->depth_number, &params[n]);
			n++;
		}
	}
	chunk->exchange = evm_ask(look, calls, n, done, chunk);
	for (int i = 0; i < n; i++)
		free(params[i]);
	free(params);
	free(calls);
}
