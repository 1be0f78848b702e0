/* identify.c: a Bitcoin chain is known by its first block */
#include "core/chain/bitcoin/identify.h"

#include <string.h>

#include "core/chain/bitcoin/address.h"

/* A hash, alone but for line ends behind it */
static rc_failure
take(const char *answer, rc_identity *identity)
{
	size_t		len = RC_BTC_HASH_SIZE - 1;

	if (strspn(answer, "0123456789abcdef") != len || answer[len + strspn(answer + len, " \r\n")] != '\0')
		return rc_failure_make(RC_FAILURE_MALFORMED, "the answer is not a block hash");
	memcpy(identity->genesis, answer, len);
	identity->genesis[len] = '\0';
	identity->network = rc_btc_network_of_genesis(identity->genesis);
	return rc_failure_take(RC_FAILURE_NONE, NULL);
}

static rc_failure
judge(const rc_network *network, const rc_identity *identity)
{
	const rc_btc_network *chain = rc_btc_network_of(network->network);

	if (chain != NULL && strcmp(identity->genesis, chain->genesis) == 0)
		return rc_failure_take(RC_FAILURE_NONE, NULL);
	return rc_failure_make(RC_FAILURE_WRONG_CHAIN,
						   "the endpoint serves another chain than Bitcoin's %s: its first block is %s",
						   network->network, identity->genesis);
}

const rc_identifier rc_btc_node_identifier = {.method = "getblockhash",.params = "[0]",.take = take,.judge = judge};
const rc_identifier rc_btc_esplora_identifier = {.path = "/block-height/0",.take = take,.judge = judge};
