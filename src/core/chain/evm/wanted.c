/* wanted.c: the keys that a reading of blocks looks for */
#include "core/chain/evm/wanted.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

const uint8_t evm_native[RC_EVM_ADDRESS_BYTES] = {0};

void
evm_wanted_free(evm_wanted *wanted)
{
	free(wanted->keys);
	free(wanted->tokens);
	free(wanted->holders);
	memset(wanted, 0, sizeof(*wanted));
}

bool
evm_wanted_add(evm_wanted *wanted, const uint8_t *key, size_t len)
{
	if (len != EVM_KEY_BYTES)
		return false;
	if (wanted->n == wanted->size)
	{
		wanted->size = wanted->size > 0 ? 2 * wanted->size : 64;
		wanted->keys = rc_realloc(wanted->keys, wanted->size * sizeof(evm_key));
	}
	memcpy(wanted->keys[wanted->n].token, key, RC_EVM_ADDRESS_BYTES);
	memcpy(wanted->keys[wanted->n].holder, key + RC_EVM_ADDRESS_BYTES, RC_EVM_ADDRESS_BYTES);
	wanted->n++;
	wanted->sorted = false;
	return true;
}

/* By holder, then token */
static int
compare_keys(const void *a, const void *b)
{
	const evm_key *left = a;
	const evm_key *right = b;
	int			order = memcmp(left->holder, right->holder, RC_EVM_ADDRESS_BYTES);

	return order != 0 ? order : memcmp(left->token, right->token, RC_EVM_ADDRESS_BYTES);
}

static int
compare_addresses(const void *a, const void *b)
{
	return memcmp(a, b, RC_EVM_ADDRESS_BYTES);
}

/* Sorts addresses and leaves each once; how many are left */
static size_t
unique_addresses(uint8_t (*addresses)[RC_EVM_ADDRESS_BYTES], size_t n)
{
	size_t		kept = 0;

	if (n > 1)
		qsort(addresses, n, RC_EVM_ADDRESS_BYTES, compare_addresses);
	for (size_t i = 0; i < n; i++)
	{
		if (kept == 0 || memcmp(addresses[kept - 1], addresses[i], RC_EVM_ADDRESS_BYTES) != 0)
			memmove(addresses[kept++], addresses[i], RC_EVM_ADDRESS_BYTES);
	}
	return kept;
}

void
evm_wanted_finish(evm_wanted *wanted)
{
	size_t		kept = 0;

	if (wanted->n > 1)
		qsort(wanted->keys, wanted->n, sizeof(evm_key), compare_keys);
	for (size_t i = 0; i < wanted->n; i++)
	{
		if (kept == 0 || compare_keys(&wanted->keys[kept - 1], &wanted->keys[i]) != 0)
			wanted->keys[kept++] = wanted->keys[i];
	}
	wanted->n = kept;
	wanted->sorted = true;
	free(wanted->tokens);
	free(wanted->holders);
	wanted->tokens = rc_calloc(kept + 1, RC_EVM_ADDRESS_BYTES);
	wanted->holders = rc_calloc(kept + 1, RC_EVM_ADDRESS_BYTES);
	wanted->nnative = wanted->ntokens = wanted->nholders = 0;
	for (size_t i = 0; i < kept; i++)
	{
		if (rc_evm_address_is_zero(wanted->keys[i].token))
		{
			wanted->nnative++;
			continue;
		}
		memcpy(wanted->tokens[wanted->ntokens++], wanted->keys[i].token, RC_EVM_ADDRESS_BYTES);
		memcpy(wanted->holders[wanted->nholders++], wanted->keys[i].holder, RC_EVM_ADDRESS_BYTES);
	}
	wanted->ntokens = unique_addresses(wanted->tokens, wanted->ntokens);
	wanted->nholders = unique_addresses(wanted->holders, wanted->nholders);
}

bool
evm_wanted_has(const evm_wanted *wanted, const uint8_t *token, const uint8_t *holder)
{
	evm_key		key;

	memcpy(key.token, token, RC_EVM_ADDRESS_BYTES);
	memcpy(key.holder, holder, RC_EVM_ADDRESS_BYTES);
	return wanted->n > 0 && bsearch(&key, wanted->keys, wanted->n, sizeof(evm_key), compare_keys) != NULL;
}

bool
evm_wanted_has_holder(const evm_wanted *wanted, const uint8_t *holder)
{
	return wanted->nholders > 0 &&
		bsearch(holder, wanted->holders, wanted->nholders, RC_EVM_ADDRESS_BYTES, compare_addresses) != NULL;
}

bool
evm_wanted_has_token(const evm_wanted *wanted, const uint8_t *token)
{
	return wanted->ntokens > 0 &&
		bsearch(token, wanted->tokens, wanted->ntokens, RC_EVM_ADDRESS_BYTES, compare_addresses) != NULL;
}
