/* hex.c: hexadecimal text */
#include "core/base/hex.h"

/* The value of a digit plus 1; 0: it is none */
static const uint8_t values[256] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
	['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* The value of a hex digit, -1 if it is none */
int
rc_hex_digit(char c)
{
	return values[(unsigned char) c] - 1;
}

/* Two digits for each byte */
bool
rc_hex_decode(const char *digits, size_t ndigits, uint8_t *out, size_t len)
{
	if (ndigits != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		unsigned	high = values[(unsigned char) digits[2 * i]];
		unsigned	low = values[(unsigned char) digits[2 * i + 1]];

		if (high == 0 || low == 0)
			return false;
		out[i] = (uint8_t) ((high - 1) << 4 | (low - 1));
	}
	return true;
}

/* Two lower-case digits for each byte, and a NUL */
void
rc_hex_encode(const uint8_t *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++)
	{
		*out++ = digits[data[i] >> 4];
		*out++ = digits[data[i] & 15];
	}
	*out = '\0';
}
