/* kinds.c: what Esplora servers and Bitcoin Core nodes are among the kinds of endpoints */
#include <string.h>

#include "core/base/memory.h"
#include "core/chain/bitcoin/address.h"
#include "core/chain/bitcoin/esplora.h"
#include "core/chain/bitcoin/identify.h"
#include "core/chain/bitcoin/node.h"
#include "core/chain/chain.h"

static char *
request_problem(const char *network, const char *address, const char *token)
{
	rc_btc_script script;
	const char *wrong;

	if (token != NULL)
		return rc_strdup("token_contract is given, but the chain has no tokens");
	wrong = rc_btc_address_script(address, rc_btc_network_of(network), &script);
	return wrong != NULL ? rc_asprintf("address_canonical: %s", wrong) : NULL;
}

/* The script that pays the address */
static size_t
request_key(const char *network, const char *address, const char *token, uint8_t key[RC_KEY_MAX])
{
	rc_btc_script script;

	if (token != NULL || rc_btc_address_script(address, rc_btc_network_of(network), &script) != NULL)
		return 0;
	memcpy(key, script.bytes, script.len);
	return script.len;
}

static char *
learned(const void *learned)
{
	return rc_asprintf("{\"ms_between_requests\":%ld}", ((const esplora_learned *) learned)->pace_ms);
}

const rc_chain rc_chain_esplora = {
	.kind = "esplora",
	.default_chain = "bitcoin",
	.urls_option = "btc-esplora-base-url",
	.request_problem = request_problem,
	.request_key = request_key,
	.identify = &rc_btc_esplora_identifier,
	.look = &rc_esplora_observer,
	.look_cost = rc_esplora_look_cost,
	.learned = learned,
};

const rc_chain rc_chain_bitcoind = {
	.kind = "bitcoind",
	.default_chain = "bitcoin",
	.request_problem = request_problem,
	.request_key = request_key,
	.identify = &rc_btc_node_identifier,
	.blocks = &rc_btc_blocks,
};
