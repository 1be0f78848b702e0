/* test_evm_address.c: Keccak-256, addresses and their checksum */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/chain/evm/address.h"
#include "core/chain/evm/keccak.h"

/* The examples of EIP-55: all caps, all lower, mixed */
static const char *const examples[] = {
	"0x52908400098527886E0F7030069857D2E4169EE7",
	"0x8617E340B3D01FA5F11F306F4090FD50E238070D",
	"0xde709f2102306220921060314715629080e2fb77",
	"0x27b1fdb04752bbc536007a920d24acb045561c26",
	"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
	"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
	"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
	"0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
};

#define NEXAMPLES (sizeof(examples) / sizeof(examples[0]))

/* Published digests, and lengths around the block size */
static void
test_keccak(void **state)
{
	static const struct
	{
		size_t		len;
		const char *digest;
	}			cases[] = {
		{0, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"},
		{135, "34367dc248bbd832f4e3e69dfaac2f92638bd0bbd18f2912ba4ef454919cf446"},
		{136, "a6c4d403279fe3e0af03729caada8374b5ca54d8065329a3ebcaeb4b60aa386e"},
		{137, "d869f639c7046b4929fc92a4d988a8b22c55fbadb802c0c66ebcd484f1915f39"},
	};
	uint8_t		digest[32];
	char		text[65];
	char		data[200];

	(void) state;
	memset(data, 'a', sizeof(data));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		rc_keccak256(data, cases[i].len, digest);
		rc_hex_encode(digest, 32, text);
		assert_string_equal(text, cases[i].digest);
	}
	rc_keccak256("abc", 3, digest);
	rc_hex_encode(digest, 32, text);
	assert_string_equal(text, "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
	rc_keccak256("balanceOf(address)", 18, digest);
	rc_hex_encode(digest, 4, text);
	assert_string_equal(text, "70a08231");
}

/* Every form of the examples is taken, and written as EIP-55 wants it */
static void
test_checksum(void **state)
{
	(void) state;
	for (size_t i = 0; i < NEXAMPLES; i++)
	{
		uint8_t		address[RC_EVM_ADDRESS_BYTES];
		uint8_t		again[RC_EVM_ADDRESS_BYTES];
		char		text[RC_EVM_ADDRESS_SIZE];

		assert_null(rc_evm_address_parse(examples[i], address));
		rc_evm_address_format(address, text);
		assert_string_equal(text, examples[i]);

		memcpy(text, "0x", 2);
		rc_hex_encode(address, RC_EVM_ADDRESS_BYTES, text + 2);
		assert_null(rc_evm_address_parse(text, again));
		assert_memory_equal(address, again, sizeof(address));
		for (char *p = text + 2; *p != '\0'; p++)
			*p = (char) (*p >= 'a' ? *p - 'a' + 'A' : *p);
		assert_null(rc_evm_address_parse(text, again));
		assert_memory_equal(address, again, sizeof(address));
	}
}

/* One letter of the wrong case, or one other digit, is noticed */
static void
test_wrong_checksum(void **state)
{
	static const char good[] = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

	(void) state;
	for (size_t i = 2; i < sizeof(good) - 1; i++)
	{
		uint8_t		address[RC_EVM_ADDRESS_BYTES];
		char		text[sizeof(good)];
		char	   *error;

		memcpy(text, good, sizeof(good));
		if (text[i] >= 'A')
			text[i] ^= 'a' ^ 'A';
		else
			text[i] = text[i] == '9' ? '0' : (char) (text[i] + 1);
		error = rc_evm_address_parse(text, address);
		assert_non_null(error);
		assert_non_null(strstr(error, "EIP-55"));
		assert_non_null(strstr(error, text));
		free(error);
	}
}

/* What is no address at all */
static void
test_garbage(void **state)
{
	static const char *const bad[] = {
		"", "0x", "0x1", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
		" 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed ",
		"0xgaAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "1x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
		"bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "vitalik.eth",
		"ééééééééééééééééééééééééééééééééxéééééééééééééééé", "xééééééééééééééééééééééééééééééééééééééééé",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		uint8_t		address[RC_EVM_ADDRESS_BYTES];
		char	   *error = rc_evm_address_parse(bad[i], address);

		assert_non_null(error);
		assert_non_null(strstr(error, "is not an EVM address"));
		/* Text is cut between characters, or the database would refuse the error */
		for (const char *p = error; *p != '\0'; p++)
		{
			if (*p == '\xc3')
				assert_true(p[1] == '\xa9');
		}
		free(error);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keccak), cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_wrong_checksum), cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
