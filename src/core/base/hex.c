/* hex.c: hexadecimal text */
#include "core/base/hex.h"

/* The value of a hex digit, -1 if it is none */
int
rc_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Two digits for each byte */
bool
rc_hex_decode(const char *digits, size_t ndigits, uint8_t *out, size_t len)
{
	if (ndigits != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		int			high = rc_hex_digit(digits[2 * i]);
		int			low = rc_hex_digit(digits[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t) (high << 4 | low);
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
