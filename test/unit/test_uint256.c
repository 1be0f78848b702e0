/* test_uint256.c: 256-bit amounts */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/uint256.h"

/* 2^256 - 1 and 2^256 */
#define MAX_DECIMAL "115792089237316195423570985008687907853269984665640564039457584007913129639935"
#define OVER_DECIMAL "115792089237316195423570985008687907853269984665640564039457584007913129639936"
#define MAX_HEX "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/* Decimal text there and back */
static void
test_decimal(void **state)
{
	static const char *const good[] = {
		"0", "1", "9", "10", "255", "256", "18446744073709551615", "18446744073709551616",
		"1000000000000000000", MAX_DECIMAL
	};
	static const char *const bad[] = {
		"", " 1", "1 ", "+1", "-1", "1.0", "1e3", "0x1", "a", OVER_DECIMAL, MAX_DECIMAL "0"
	};
	char		text[RC_UINT256_DECIMAL_SIZE];
	rc_uint256	value;

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		assert_true(rc_uint256_from_decimal(&value, good[i]));
		rc_uint256_to_decimal(&value, text);
		assert_string_equal(text, good[i]);
	}
	assert_int_equal(strlen(MAX_DECIMAL) + 1, RC_UINT256_DECIMAL_SIZE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(rc_uint256_from_decimal(&value, bad[i]));
	assert_true(rc_uint256_from_decimal(&value, "000012"));
	rc_uint256_to_decimal(&value, text);
	assert_string_equal(text, "12");
}

/* Quantities of JSON-RPC */
static void
test_hex(void **state)
{
	static const char *const bad[] = {
		"", "0", "0x", "x1", "1", "0xg", "0x 1", "0x-1", "0x1g", MAX_HEX "0", " 0x1"
	};
	char		text[RC_UINT256_DECIMAL_SIZE];
	rc_uint256	value;

	(void) state;
	assert_true(rc_uint256_from_hex(&value, "0x0"));
	assert_true(rc_uint256_is_zero(&value));
	assert_true(rc_uint256_from_hex(&value, "0xDe0b6B3a7640000"));
	rc_uint256_to_decimal(&value, text);
	assert_string_equal(text, "1000000000000000000");
	assert_true(rc_uint256_from_hex(&value, MAX_HEX));
	rc_uint256_to_decimal(&value, text);
	assert_string_equal(text, MAX_DECIMAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(rc_uint256_from_hex(&value, bad[i]));
}

/* 64 bits there and back */
static void
test_u64(void **state)
{
	rc_uint256	value;
	uint64_t	number;

	(void) state;
	rc_uint256_from_u64(&value, UINT64_MAX);
	assert_true(rc_uint256_to_u64(&value, &number));
	assert_true(number == UINT64_MAX);
	assert_true(rc_uint256_from_decimal(&value, "18446744073709551616"));
	assert_false(rc_uint256_to_u64(&value, &number));
}

/* Sums and order */
static void
test_add_and_compare(void **state)
{
	rc_uint256	a;
	rc_uint256	b;
	rc_uint256	sum;

	(void) state;
	rc_uint256_from_u64(&a, UINT64_MAX);
	rc_uint256_from_u64(&b, 1);
	assert_true(rc_uint256_compare(&a, &b) > 0);
	assert_true(rc_uint256_compare(&b, &a) < 0);
	assert_true(rc_uint256_add(&sum, &a, &b));
	assert_true(rc_uint256_from_decimal(&a, "18446744073709551616"));
	assert_int_equal(rc_uint256_compare(&a, &sum), 0);

	assert_true(rc_uint256_from_decimal(&a, MAX_DECIMAL));
	sum = b;
	assert_false(rc_uint256_add(&sum, &a, &b));
	assert_int_equal(rc_uint256_compare(&sum, &b), 0);
	/* In place */
	assert_true(rc_uint256_add(&b, &b, &b));
	rc_uint256_from_u64(&a, 2);
	assert_int_equal(rc_uint256_compare(&a, &b), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decimal), cmocka_unit_test(test_hex), cmocka_unit_test(test_u64),
		cmocka_unit_test(test_add_and_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
