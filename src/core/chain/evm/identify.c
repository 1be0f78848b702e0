/* identify.c: an EVM chain is known by its chain id (EIP-695) */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/chain/evm/evm.h"

/* A quantity of at most 63 bits, since the database keeps it as a bigint */
static rc_failure
take(const char *answer, rc_identity *identity)
{
	size_t		len = strlen(answer);

	if (len >= 3 && len <= 18 && strncmp(answer, "0x", 2) == 0 &&
		strspn(answer + 2, "0123456789abcdefABCDEF") == len - 2)
		identity->chain_id = strtoull(answer + 2, NULL, 16);
	if (identity->chain_id == 0 || identity->chain_id > INT64_MAX)
		return rc_failure_make(RC_FAILURE_MALFORMED, "no chain id in the answer to eth_chainId");
	return rc_failure_take(RC_FAILURE_NONE, NULL);
}

static rc_failure
judge(const rc_network *network, const rc_identity *identity)
{
	if (identity->chain_id == network->chain_id)
		return rc_failure_take(RC_FAILURE_NONE, NULL);
	return rc_failure_make(RC_FAILURE_WRONG_CHAIN,
						   "wrong chain: the endpoint's chain id is %" PRIu64 ", the network's is %" PRIu64,
						   identity->chain_id, network->chain_id);
}

const rc_identifier rc_evm_identifier = {.method = "eth_chainId",.params = "[]",.take = take,.judge = judge};
