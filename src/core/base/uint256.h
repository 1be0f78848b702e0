/* uint256.h: unsigned 256-bit amounts in minor units, as EVM words and as decimal text */
#ifndef RC_UINT256_H
#define RC_UINT256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 2^256 - 1 has 78 decimal digits */
#define RC_UINT256_DECIMAL_SIZE 79

/* Big-endian, as the EVM writes a word */
typedef struct rc_uint256
{
	uint8_t		bytes[32];
} rc_uint256;

extern const rc_uint256 rc_uint256_zero;

extern void rc_uint256_from_u64(rc_uint256 *out, uint64_t value);
extern bool rc_uint256_to_u64(const rc_uint256 *value, uint64_t *out);
extern bool rc_uint256_from_decimal(rc_uint256 *out, const char *text);
extern void rc_uint256_to_decimal(const rc_uint256 *value, char out[RC_UINT256_DECIMAL_SIZE]);
extern bool rc_uint256_from_hex(rc_uint256 *out, const char *text);	/* "0x…", 1 to 64 digits */
extern int	rc_uint256_compare(const rc_uint256 *a, const rc_uint256 *b);
extern bool rc_uint256_is_zero(const rc_uint256 *value);
extern bool rc_uint256_add(rc_uint256 *out, const rc_uint256 *a, const rc_uint256 *b);	/* false on overflow */
extern bool rc_uint256_subtract(rc_uint256 *out, const rc_uint256 *a, const rc_uint256 *b);	/* false if b is more than a */

/* a * b / c, rounded down; false if c is 0 or the result has more than 256 bits */
extern bool rc_uint256_share(rc_uint256 *out, const rc_uint256 *a, const rc_uint256 *b, const rc_uint256 *c);

#endif
