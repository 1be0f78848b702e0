/* wanted.h: the keys (token and holder) that a reading of blocks looks for, as a sorted set */
#ifndef RC_EVM_WANTED_H
#define RC_EVM_WANTED_H

#include "core/chain/evm/address.h"

/* Token (zeros: the chain's own asset) and holder: 40 bytes, as request_key of the kind makes them */
#define EVM_KEY_BYTES (2 * RC_EVM_ADDRESS_BYTES)

typedef struct evm_key
{
	uint8_t		token[RC_EVM_ADDRESS_BYTES];
	uint8_t		holder[RC_EVM_ADDRESS_BYTES];
} evm_key;

typedef struct evm_wanted
{
	evm_key    *keys;			/* by holder, then token; each once */
	size_t		n;
	size_t		size;
	bool		sorted;
	uint8_t		(*tokens)[RC_EVM_ADDRESS_BYTES];	/* of them, without the chain's own asset */
	size_t		ntokens;
	uint8_t		(*holders)[RC_EVM_ADDRESS_BYTES];	/* of tokens */
	size_t		nholders;
	size_t		nnative;		/* keys of the chain's own asset */
} evm_wanted;

extern void evm_wanted_free(evm_wanted *wanted);

/* Adds a key; what isn't one (another length) is left out: false */
extern bool evm_wanted_add(evm_wanted *wanted, const uint8_t *key, size_t len);

/* After the last one was added: sorts, and fills in tokens and holders */
extern void evm_wanted_finish(evm_wanted *wanted);

extern bool evm_wanted_has(const evm_wanted *wanted, const uint8_t *token, const uint8_t *holder);
extern bool evm_wanted_has_holder(const evm_wanted *wanted, const uint8_t *holder);
extern bool evm_wanted_has_token(const evm_wanted *wanted, const uint8_t *token);

/* The chain's own asset, as a token */
extern const uint8_t evm_native[RC_EVM_ADDRESS_BYTES];

#endif
