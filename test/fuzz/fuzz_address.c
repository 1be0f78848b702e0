/* fuzz_address.c: addresses of all chains, and the numbers and bytes that stand beside them */
#include "core/base/hex.h"
#include "core/base/uint256.h"
#include "core/chain/bitcoin/address.h"
#include "core/chain/evm/address.h"
#include "fuzz.h"

/* What is read as a number is written as the same number */
static void
check_number(const rc_uint256 *number)
{
	char		decimal[RC_UINT256_DECIMAL_SIZE];
	rc_uint256	again;

	rc_uint256_to_decimal(number, decimal);
	if (!rc_uint256_from_decimal(&again, decimal) || rc_uint256_compare(number, &again) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const networks[] = {"mainnet", "testnet", "signet", "regtest"};
	char	   *text = fuzz_text(data, size);
	uint8_t		address[RC_EVM_ADDRESS_BYTES];
	uint8_t		bytes[64];
	rc_uint256	number;

	for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++)
	{
		const rc_btc_network *network = rc_btc_network_of(networks[i]);
		rc_btc_script script;
		char		hex[RC_BTC_SCRIPT_HEX_SIZE];

		if (network != NULL && rc_btc_address_script(text, network, &script) == NULL)
			rc_btc_script_to_hex(&script, hex);
	}
	free(rc_evm_address_parse(text, address));
	if (rc_uint256_from_decimal(&number, text))
		check_number(&number);
	if (rc_uint256_from_hex(&number, text))
		check_number(&number);
	if (strlen(text) <= 2 * sizeof(bytes))
		(void) rc_hex_decode(text, strlen(text), bytes, strlen(text) / 2);
	free(text);
	return 0;
}
