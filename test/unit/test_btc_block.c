/* test_btc_block.c: raw blocks and transactions */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/chain/bitcoin/block.h"
#include "core/base/memory.h"

/* Bitcoin's first block: its only output is to a public key, which has no address */
static const char genesis[] =
"0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f61"
"7fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c0101000000010000000000000000000000000000000000"
"000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f323030392043"
"68616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff01"
"00f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4"
"f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000";

/* The signed P2WPKH example of BIP-143: a witness, and two P2PKH outputs */
static const char witness[] =
"01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b"
"9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc"
"22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a"
"0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000"
"001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f"
"32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121"
"025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000";

static void
test_block(void **state)
{
	rc_btc_outputs outputs = {0};
	rc_btc_block block;

	(void) state;
	assert_null(rc_btc_parse_block(genesis, strlen(genesis), &block, &outputs));
	assert_string_equal(block.hash, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
	assert_string_equal(block.previous, "0000000000000000000000000000000000000000000000000000000000000000");
	assert_int_equal(block.time, 1231006505);
	assert_int_equal(block.ntransactions, 1);
	assert_int_equal(outputs.n, 0);
	rc_btc_outputs_free(&outputs);
}

/* Cut anywhere, or with any byte of its transactions changed, it is not taken */
static void
test_broken_block(void **state)
{
	rc_btc_outputs outputs = {0};
	rc_btc_block block;
	char	   *text = rc_strdup(genesis);

	(void) state;
	for (size_t len = 0; len < strlen(genesis); len++)
		assert_non_null(rc_btc_parse_block(genesis, len, &block, &outputs));
	for (size_t i = 160; i < strlen(genesis); i++)
	{
		text[i] = genesis[i] == '1' ? '2' : '1';
		assert_non_null(rc_btc_parse_block(text, strlen(text), &block, &outputs));
		text[i] = genesis[i];
	}
	text[3] = 'x';
	assert_string_equal(rc_btc_parse_block(text, strlen(text), &block, &outputs), "the block is not hex");
	assert_int_equal(outputs.n, 0);
	free(text);
	rc_btc_outputs_free(&outputs);
}

static void
test_transaction(void **state)
{
	rc_btc_outputs outputs = {0};
	char		txid[RC_BTC_HASH_SIZE];
	char		script[RC_BTC_SCRIPT_HEX_SIZE];

	(void) state;
	assert_null(rc_btc_parse_transaction(witness, strlen(witness), txid, &outputs));
	assert_string_equal(txid, "e8151a2af31c368a35053ddd4bdb285a8595c769a3ad83e0fa02314a602d4609");
	assert_int_equal(outputs.n, 2);
	assert_int_equal(outputs.items[0].satoshi, 112340000);
	assert_int_equal(outputs.items[1].satoshi, 223450000);
	assert_int_equal(outputs.items[1].index, 1);
	assert_string_equal(outputs.items[1].txid, txid);
	rc_btc_script_to_hex(&outputs.items[0].script, script);
	assert_string_equal(script, "76a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac");
	for (size_t len = 0; len < strlen(witness); len++)
		assert_non_null(rc_btc_parse_transaction(witness, len, txid, &outputs));
	assert_int_equal(outputs.n, 2);
	rc_btc_outputs_free(&outputs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block),
		cmocka_unit_test(test_broken_block),
		cmocka_unit_test(test_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
