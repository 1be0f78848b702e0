/* bloom.c: what a block's logs may be of, by its header */
#include "core/chain/evm/evm.h"

#include <string.h>

#include "core/base/hex.h"
#include "core/chain/evm/keccak.h"

/* Is the item, a contract or a topic, in the bloom? Ethereum's yellow paper, 4.4.1: three bits of its hash */
static bool
has_item(const uint8_t bloom[EVM_BLOOM_BYTES], const uint8_t *item, size_t len)
{
	uint8_t		hash[32];

	rc_keccak256(item, len, hash);
	for (int i = 0; i < 6; i += 2)
	{
		unsigned	bit = ((unsigned) hash[i] << 8 | hash[i + 1]) & 2047;

		if ((bloom[EVM_BLOOM_BYTES - 1 - bit / 8] >> bit % 8 & 1) == 0)
			return false;
	}
	return true;
}

/* False where there is certainly no event of the token to the holder; some blocks have them without saying so */
bool
evm_bloom_may_have(const evm_header *header, const uint8_t *token, const uint8_t *holder)
{
	uint8_t		topic[32] = {0};

	if (!header->has_bloom)
		return false;
	memcpy(topic + 32 - RC_EVM_ADDRESS_BYTES, holder, RC_EVM_ADDRESS_BYTES);
	return has_item(header->bloom, token, RC_EVM_ADDRESS_BYTES) && has_item(header->bloom, topic, sizeof(topic));
}
