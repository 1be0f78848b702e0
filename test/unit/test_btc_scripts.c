/* test_btc_scripts.c: whatever address is accepted, a block's output to it is seen */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/chain/bitcoin/address.h"
#include "core/chain/bitcoin/block.h"

static uint32_t
polymod(uint32_t checksum, unsigned value)
{
	static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
	uint32_t	top = checksum >> 25;

	checksum = (checksum & 0x1ffffff) << 5 ^ value;
	for (int i = 0; i < 5; i++)
		checksum ^= (top >> i & 1) ? generator[i] : 0;
	return checksum;
}

/* The mainnet address of a witness program, as BIP-350 makes it */
static void
encode(unsigned version, const uint8_t *program, size_t len, char *out)
{
	static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
	static const uint8_t hrp[5] = {3, 3, 0, 2, 3};
	uint8_t		values[100];
	size_t		n = 0;
	uint32_t	bits = 0;
	int			nbits = 0;
	uint32_t	checksum = 1;

	values[n++] = (uint8_t) version;
	for (size_t i = 0; i < len; i++)
	{
		bits = bits << 8 | program[i];
		for (nbits += 8; nbits >= 5; nbits -= 5)
			values[n++] = bits >> (nbits - 5) & 31;
	}
	if (nbits > 0)
		values[n++] = bits << (5 - nbits) & 31;
	for (int i = 0; i < 5; i++)
		checksum = polymod(checksum, hrp[i]);
	for (size_t i = 0; i < n; i++)
		checksum = polymod(checksum, values[i]);
	for (int i = 0; i < 6; i++)
		checksum = polymod(checksum, 0);
	checksum ^= version == 0 ? 1 : 0x2bc830a3;
	for (int i = 0; i < 6; i++)
		values[n++] = checksum >> 5 * (5 - i) & 31;
	out += sprintf(out, "bc1");
	for (size_t i = 0; i < n; i++)
		*out++ = alphabet[values[i]];
	*out = '\0';
}

/* Does a transaction that pays the script show an output with it? */
static bool
is_seen(const rc_btc_script *script)
{
	rc_btc_outputs outputs = {0};
	char		txid[RC_BTC_HASH_SIZE];
	char		hex[RC_BTC_SCRIPT_HEX_SIZE];
	char		transaction[512];
	bool		seen;

	rc_btc_script_to_hex(script, hex);
	snprintf(transaction, sizeof(transaction), "0100000001%072d00ffffffff01e803000000000000%02x%s00000000",
			 0, (unsigned) script->len, hex);
	assert_null(rc_btc_parse_transaction(transaction, strlen(transaction), txid, &outputs));
	seen = outputs.n == 1 && outputs.items[0].satoshi == 1000 && outputs.items[0].script.len == script->len &&
		memcmp(outputs.items[0].script.bytes, script->bytes, script->len) == 0;
	rc_btc_outputs_free(&outputs);
	return seen;
}

static void
test_witness_programs(void **state)
{
	uint8_t		program[42];

	(void) state;
	for (size_t i = 0; i < sizeof(program); i++)
		program[i] = (uint8_t) (0xa9 + 7 * i);
	for (unsigned version = 0; version <= 17; version++)
	{
		for (size_t len = 1; len <= 41; len++)
		{
			bool		valid = version <= 16 && len >= 2 && len <= 40 && (version > 0 || len == 20 || len == 32);
			char		address[120];
			rc_btc_script script;

			encode(version, program, len, address);
			if ((rc_btc_address_script(address, NULL, &script) == NULL) != valid)
				fail_msg("version %u, %zu bytes: %s is %s", version, len, address, valid ? "refused" : "accepted");
			if (valid && !is_seen(&script))
				fail_msg("version %u, %zu bytes: %s is accepted and never seen", version, len, address);
		}
	}
}

static void
test_base58(void **state)
{
	static const char *const addresses[] = {"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"};

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		rc_btc_script script;

		assert_null(rc_btc_address_script(addresses[i], NULL, &script));
		assert_true(is_seen(&script));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_witness_programs),
		cmocka_unit_test(test_base58),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
