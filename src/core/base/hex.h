/* hex.h: hexadecimal text */
#ifndef RC_HEX_H
#define RC_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of a hex digit of either case, -1 if it is none */
extern int	rc_hex_digit(char c);

/* Hex digits, two for each byte; false if there is anything else, or not exactly 2 * len of them */
extern bool rc_hex_decode(const char *digits, size_t ndigits, uint8_t *out, size_t len);

/* Writes 2 * len lower-case digits and a NUL */
extern void rc_hex_encode(const uint8_t *data, size_t len, char *out);

#endif
