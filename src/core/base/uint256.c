/* uint256.c: unsigned 256-bit amounts */
#include "core/base/uint256.h"

#include <string.h>

#include "core/base/hex.h"

const rc_uint256 rc_uint256_zero = {{0}};

/* From 64 bits */
void
rc_uint256_from_u64(rc_uint256 *out, uint64_t value)
{
	memset(out, 0, sizeof(*out));
	for (int i = 31; i >= 24; i--)
	{
		out->bytes[i] = (uint8_t) value;
		value >>= 8;
	}
}

/* False if it does not fit 64 bits */
bool
rc_uint256_to_u64(const rc_uint256 *value, uint64_t *out)
{
	uint64_t	result = 0;

	for (int i = 0; i < 24; i++)
	{
		if (value->bytes[i] != 0)
			return false;
	}
	for (int i = 24; i < 32; i++)
		result = result << 8 | value->bytes[i];
	*out = result;
	return true;
}

/* value = value * factor + addend; false on overflow */
static bool
multiply_add(rc_uint256 *value, unsigned factor, unsigned addend)
{
	unsigned	carry = addend;

	for (int i = 31; i >= 0; i--)
	{
		carry += value->bytes[i] * factor;
		value->bytes[i] = (uint8_t) carry;
		carry >>= 8;
	}
	return carry == 0;
}

/* Digits only; false if empty, malformed or above 2^256 - 1 */
bool
rc_uint256_from_decimal(rc_uint256 *out, const char *text)
{
	rc_uint256	value = rc_uint256_zero;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return false;
		if (!multiply_add(&value, 10, (unsigned) (*text - '0')))
			return false;
	}
	*out = value;
	return true;
}

/* Decimal text, no leading zeros, NUL-terminated */
void
rc_uint256_to_decimal(const rc_uint256 *value, char out[RC_UINT256_DECIMAL_SIZE])
{
	rc_uint256	rest = *value;
	char		digits[RC_UINT256_DECIMAL_SIZE];
	int			n = 0;

	do
	{
		unsigned	remainder = 0;

		for (int i = 0; i < 32; i++)
		{
			unsigned	part = remainder << 8 | rest.bytes[i];

			rest.bytes[i] = (uint8_t) (part / 10);
			remainder = part % 10;
		}
		digits[n++] = (char) ('0' + remainder);
	} while (!rc_uint256_is_zero(&rest));

	for (int i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	out[n] = '\0';
}

/* "0x" and 1 to 64 hex digits */
bool
rc_uint256_from_hex(rc_uint256 *out, const char *text)
{
	rc_uint256	value = rc_uint256_zero;
	size_t		len;

	if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
		return false;
	text += 2;
	len = strlen(text);
	if (len < 1 || len > 64)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		int			digit = rc_hex_digit(text[i]);
		size_t		nibble = 64 - len + i;

		if (digit < 0)
			return false;
		value.bytes[nibble / 2] |= (uint8_t) (nibble % 2 == 0 ? digit << 4 : digit);
	}
	*out = value;
	return true;
}

/* Less than, equal to or greater than 0, as a is to b */
int
rc_uint256_compare(const rc_uint256 *a, const rc_uint256 *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* Is it 0? */
bool
rc_uint256_is_zero(const rc_uint256 *value)
{
	return rc_uint256_compare(value, &rc_uint256_zero) == 0;
}

/* out = a + b; false on overflow, out is then not changed */
bool
rc_uint256_add(rc_uint256 *out, const rc_uint256 *a, const rc_uint256 *b)
{
	rc_uint256	sum;
	unsigned	carry = 0;

	for (int i = 31; i >= 0; i--)
	{
		carry += (unsigned) a->bytes[i] + b->bytes[i];
		sum.bytes[i] = (uint8_t) carry;
		carry >>= 8;
	}
	if (carry != 0)
		return false;
	*out = sum;
	return true;
}

/* out = a - b; false if that is negative, out is then not changed */
bool
rc_uint256_subtract(rc_uint256 *out, const rc_uint256 *a, const rc_uint256 *b)
{
	rc_uint256	rest;
	int			borrow = 0;

	for (int i = 31; i >= 0; i--)
	{
		int			digit = a->bytes[i] - b->bytes[i] - borrow;

		borrow = digit < 0;
		rest.bytes[i] = (uint8_t) (digit + (borrow ? 256 : 0));
	}
	if (borrow != 0)
		return false;
	*out = rest;
	return true;
}

/* The 64 bytes of a * b */
static void
multiply(uint8_t product[64], const rc_uint256 *a, const rc_uint256 *b)
{
	memset(product, 0, 64);
	for (int i = 31; i >= 0; i--)
	{
		unsigned	carry = 0;

		for (int j = 31; j >= 0; j--)
		{
			carry += product[i + j + 1] + (unsigned) a->bytes[i] * b->bytes[j];
			product[i + j + 1] = (uint8_t) carry;
			carry >>= 8;
		}
		product[i] = (uint8_t) carry;
	}
}

/* rest = 2 * rest + bit, less c if that is not more; was it? */
static bool
shift_and_subtract(rc_uint256 *rest, unsigned bit, const rc_uint256 *c)
{
	unsigned	carry = bit;

	for (int i = 31; i >= 0; i--)
	{
		carry |= (unsigned) rest->bytes[i] << 1;
		rest->bytes[i] = (uint8_t) carry;
		carry >>= 8;
	}
	if (carry == 0)
		return rc_uint256_subtract(rest, rest, c);

	/* 2^256 + rest - c, which is less than c: subtracting wraps around to it */
	for (int i = 31, borrow = 0; i >= 0; i--)
	{
		int			digit = rest->bytes[i] - c->bytes[i] - borrow;

		borrow = digit < 0;
		rest->bytes[i] = (uint8_t) digit;
	}
	return true;
}

/* out = a * b / c, by long division, a bit at a time */
bool
rc_uint256_share(rc_uint256 *out, const rc_uint256 *a, const rc_uint256 *b, const rc_uint256 *c)
{
	uint8_t		product[64];
	rc_uint256	quotient = rc_uint256_zero;
	rc_uint256	rest = rc_uint256_zero;

	if (rc_uint256_is_zero(c))
		return false;
	multiply(product, a, b);
	for (int i = 0; i < 512; i++)
	{
		if (shift_and_subtract(&rest, product[i / 8] >> (7 - i % 8) & 1u, c))
		{
			if (i < 256)
				return false;
			quotient.bytes[(i - 256) / 8] |= (uint8_t) (1u << (7 - i % 8));
		}
	}
	*out = quotient;
	return true;
}
