/* address.h: 20-byte addresses and their text */
#ifndef RC_EVM_ADDRESS_H
#define RC_EVM_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/hex.h"

#define RC_EVM_ADDRESS_BYTES 20

/* "0x", 40 digits, NUL */
#define RC_EVM_ADDRESS_SIZE 43

/*
 * Parses "0x" and 40 hex digits. Mixed case must be the checksum of EIP-55.
 * Returns NULL, or an rc_malloc'd text that says what is wrong with it.
 */
extern char *rc_evm_address_parse(const char *text, uint8_t out[RC_EVM_ADDRESS_BYTES]);

/* The form of EIP-55 */
extern void rc_evm_address_format(const uint8_t address[RC_EVM_ADDRESS_BYTES], char out[RC_EVM_ADDRESS_SIZE]);

extern bool rc_evm_address_is_zero(const uint8_t address[RC_EVM_ADDRESS_BYTES]);

/*
 * Is it one of a precompiled contract: 0x01 to 0x11 (Prague), 0x0100
 * (RIP-7212)? Each answers calls that it doesn't know with whatever it computes.
 */
extern bool rc_evm_address_is_precompile(const uint8_t address[RC_EVM_ADDRESS_BYTES]);

#endif
