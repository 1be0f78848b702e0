/* test_btc_address.c: addresses to scripts, with the vectors of BIP-173 and BIP-350, and SHA-256 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/chain/bitcoin/address.h"
#include "core/chain/bitcoin/sha256.h"

static void
to_hex(const uint8_t *bytes, size_t len, char *hex)
{
	hex[0] = '\0';
	for (size_t i = 0; i < len; i++)
		sprintf(hex + 2 * i, "%02x", bytes[i]);
}

typedef struct valid_case
{
	const char *network;
	const char *address;
	const char *script;
} valid_case;

static const valid_case valid[] = {
	/* P2PKH and P2SH: the first block's address, and those of BIP-16 style scripts */
	{"mainnet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"},
	{"mainnet", "1111111111111111111114oLvT2", "76a914000000000000000000000000000000000000000088ac"},
	{"mainnet", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "a914b472a266d0bd89c13706a4132ccfb16f7c3b9fcb87"},
	{"testnet", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac"},
	{"testnet3", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac"},
	{"testnet4", "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", "a9144e9f39ca4688ff102128ea4ccda34105324305b087"},
	{"signet", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac"},
	{"regtest", "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", "a9144e9f39ca4688ff102128ea4ccda34105324305b087"},
	/* BIP-350, "valid segwit addresses" */
	{"mainnet", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"},
	{"testnet", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
	"00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"},
	{"mainnet", "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
	"5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6"},
	{"mainnet", "BC1SW50QGDZ25J", "6002751e"},
	{"mainnet", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "5210751e76e8199196d454941c45d1b3a323"},
	{"testnet4", "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy",
	"0020000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
	{"signet", "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
	"5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
	{"mainnet", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
	"512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
	{"regtest", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "0014751e76e8199196d454941c45d1b3a323f1433bd6"},
};

static void
test_valid(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
	{
		rc_btc_script script;
		char		hex[2 * RC_BTC_SCRIPT_MAX + 1];
		const char *problem = rc_btc_address_script(valid[i].address, rc_btc_network_of(valid[i].network), &script);

		if (problem != NULL)
			fail_msg("%s: %s", valid[i].address, problem);
		to_hex(script.bytes, script.len, hex);
		assert_string_equal(hex, valid[i].script);
		assert_null(rc_btc_address_script(valid[i].address, NULL, &script));
	}
}

typedef struct invalid_case
{
	const char *network;
	const char *address;
	const char *problem;		/* a part of the sentence */
} invalid_case;

static const invalid_case invalid[] = {
	{"mainnet", "", "empty"},
	{"mainnet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "checksum"},
	{"mainnet", "1A1zp1eP5QGefi2DMPTfTL5SLmv7DivfNa", "checksum"},
	{"mainnet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf0a", "character"},
	{"mainnet", " 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "character"},
	{"mainnet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa ", "character"},
	{"mainnet", "11A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "length"},
	{"mainnet", "A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "length"},
	{"mainnet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "long"},
	{"mainnet", "1", "length"},
	{"mainnet", "bc1", "checksum"},
	{"mainnet", "0x5FbDB2315678afecb367f032d93F642f64180aa3", "character"},
	{"mainnet", "LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1", "isn't one of Bitcoin"},
	/* of another network */
	{"mainnet", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "another Bitcoin network"},
	{"mainnet", "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", "another Bitcoin network"},
	{"regtest", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "another Bitcoin network"},
	{"testnet", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "another Bitcoin network"},
	{"mainnet", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", "another Bitcoin network"},
	{"signet", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "another Bitcoin network"},
	{"regtest", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", "another Bitcoin network"},
	/* BIP-350, "invalid segwit addresses" */
	{"mainnet", "tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "character"},
	{"mainnet", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "checksum"},
	{"testnet", "tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf", "checksum"},
	{"mainnet", "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "checksum"},
	{"mainnet", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "checksum"},
	{"testnet", "tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47", "checksum"},
	{"mainnet", "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "character"},
	{"mainnet", "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "witness version"},
	{"mainnet", "bc1pw5dgrnzv", "length"},
	{"mainnet", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", "length"},
	{"mainnet", "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "length"},
	{"testnet", "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", "mixes"},
	{"mainnet", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "length"},
	{"testnet", "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j", "length"},
	{"mainnet", "bc1gmk9yu", "length"},
	{"mainnet", "bC1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "mixes"},
};

static void
test_invalid(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
	{
		rc_btc_script script;
		const char *problem = rc_btc_address_script(invalid[i].address, rc_btc_network_of(invalid[i].network), &script);

		if (problem == NULL)
			fail_msg("%s is taken", invalid[i].address);
		if (strstr(problem, invalid[i].problem) == NULL)
			fail_msg("%s: %s", invalid[i].address, problem);
		assert_int_equal(script.len, 0);
	}
}

/* Every one-character mistake in an address must be found */
static void
test_mistakes(void **state)
{
	static const char *const addresses[] = {
		"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
	};

	(void) state;
	for (size_t a = 0; a < 3; a++)
	{
		char		text[100];
		rc_btc_script script;

		strcpy(text, addresses[a]);
		for (size_t i = 0; text[i] != '\0'; i++)
		{
			for (int c = 1; c < 256; c++)
			{
				text[i] = (char) c;
				if (text[i] != addresses[a][i] && rc_btc_address_script(text, NULL, &script) == NULL)
					fail_msg("%s is taken", text);
			}
			text[i] = addresses[a][i];
		}
		for (size_t len = 0; len < strlen(addresses[a]); len++)
		{
			memcpy(text, addresses[a], len);
			text[len] = '\0';
			assert_non_null(rc_btc_address_script(text, NULL, &script));
		}
	}
}

static void
test_networks(void **state)
{
	(void) state;
	assert_null(rc_btc_network_of("local"));
	assert_null(rc_btc_network_of(""));
	assert_string_equal(rc_btc_network_of("regtest")->genesis,
						"0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206");
}

/* FIPS 180-4's examples, and every way to cut a message in two */
static void
test_sha256(void **state)
{
	uint8_t		message[300];
	uint8_t		whole[RC_SHA256_SIZE];
	uint8_t		parts[RC_SHA256_SIZE];
	char		hex[2 * RC_SHA256_SIZE + 1];
	rc_sha256	sha;

	(void) state;
	rc_sha256_start(&sha);
	rc_sha256_finish(&sha, whole);
	to_hex(whole, sizeof(whole), hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	rc_sha256_start(&sha);
	rc_sha256_add(&sha, "abc", 3);
	rc_sha256_finish(&sha, whole);
	to_hex(whole, sizeof(whole), hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	rc_sha256_start(&sha);
	rc_sha256_add(&sha, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56);
	rc_sha256_finish(&sha, whole);
	to_hex(whole, sizeof(whole), hex);
	assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");

	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t) (i * 7);
	for (size_t len = 0; len <= sizeof(message); len += 13)
	{
		rc_sha256_twice(message, len, whole);
		for (size_t cut = 0; cut <= len; cut++)
		{
			rc_sha256_start(&sha);
			rc_sha256_add(&sha, message, cut);
			rc_sha256_add(&sha, message + cut, len - cut);
			rc_sha256_finish_twice(&sha, parts);
			assert_memory_equal(whole, parts, sizeof(whole));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_sha256),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
