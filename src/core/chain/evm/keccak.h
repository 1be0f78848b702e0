/* keccak.h: Keccak-256 as Ethereum uses it (the padding before SHA-3 was standardised) */
#ifndef RC_KECCAK_H
#define RC_KECCAK_H

#include <stddef.h>
#include <stdint.h>

extern void rc_keccak256(const void *data, size_t len, uint8_t out[32]);

#endif
