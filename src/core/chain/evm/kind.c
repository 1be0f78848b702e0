/* kind.c: what EVM nodes are among the kinds of endpoints */
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/chain.h"
#include "core/chain/evm/evm.h"
#include "core/chain/evm/source.h"

/* The problem with an address, or NULL */
static char *
address_problem(const char *column, const char *address, const char *zero_advice)
{
	uint8_t		bytes[RC_EVM_ADDRESS_BYTES];
	char	   *wrong = rc_evm_address_parse(address, bytes);
	char	   *problem = NULL;

	if (wrong != NULL)
		problem = rc_asprintf("%s: %s", column, wrong);
	else if (rc_evm_address_is_zero(bytes))
		problem = rc_asprintf("%s is the zero address; %s", column, zero_advice);
	/* It holds what was burnt, and as a token it answers with what it computes: more than any amount */
	else if (rc_evm_address_is_precompile(bytes))
		problem = rc_asprintf("%s is the address of a precompiled contract, which is nobody's and no token", column);
	free(wrong);
	return problem;
}

static char *
request_problem(const char *network, const char *address, const char *token)
{
	char	   *problem = address_problem("address_canonical", address, "what is sent there is lost");

	(void) network;
	if (problem == NULL && token != NULL)
		problem = address_problem("token_contract", token, "leave it null for the chain's own asset");
	return problem;
}

/* The token (zeros: the chain's own asset) and the holder */
static size_t
request_key(const char *network, const char *address, const char *token, uint8_t key[RC_KEY_MAX])
{
	char	   *wrong = rc_evm_address_parse(address, key + RC_EVM_ADDRESS_BYTES);

	(void) network;
	if (token == NULL)
		memset(key, 0, RC_EVM_ADDRESS_BYTES);
	else if (wrong == NULL)
		wrong = rc_evm_address_parse(token, key);
	if (wrong == NULL)
		return 2 * (size_t) RC_EVM_ADDRESS_BYTES;
	free(wrong);
	return 0;
}

static char *
learned(const void *learned)
{
	static const char *const methods[] = {"creation code", "multicall", "plain calls"};
	static const char *const traces[] = {"trace_block", "flatCallTracer", "callTracer", "none"};
	const evm_learned *known = learned;

	return rc_asprintf("{\"method\":\"%s\",\"balances_a_call\":%d,\"calls_a_request\":%d,\"pins_by_hash\":%s,"
					   "\"logs\":\"%s\",\"traces\":\"%s\"}", methods[known->method],
					   known->max_pairs, known->array_size, known->pin_by_hash ? "true" : "false",
					   known->ledger.no_logs ? "refused" : known->ledger.no_tokens ? "by holder" :
					   known->ledger.no_holders ? "by token" : "any", traces[known->ledger.traces]);
}

const rc_chain rc_chain_evm = {
	.kind = "evm",
	.default_chain = "ethereum",
	.urls_option = "evm-rpc-urls-json",
	.has_chain_id = true,
	.request_problem = request_problem,
	.request_key = request_key,
	.identify = &rc_evm_identifier,
	.look = &rc_evm_observer,
	.blocks = &rc_evm_blocks,
	.learned = learned,
};
