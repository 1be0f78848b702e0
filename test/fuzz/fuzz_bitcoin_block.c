/* fuzz_bitcoin_block.c: raw blocks and transactions, given as bytes here and in hex to the parser */
#include "core/base/hex.h"
#include "core/chain/bitcoin/block.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *hex = malloc(2 * size + 1);
	char		txid[RC_BTC_HASH_SIZE];
	rc_btc_block block;
	rc_btc_outputs outputs = {0};

	rc_hex_encode(data, size, hex);
	if (rc_btc_parse_block(hex, 2 * size, &block, &outputs) != NULL && outputs.n > 0)
		abort();
	rc_btc_outputs_free(&outputs);
	memset(&outputs, 0, sizeof(outputs));
	if (rc_btc_parse_transaction(hex, 2 * size, txid, &outputs) != NULL && outputs.n > 0)
		abort();
	rc_btc_outputs_free(&outputs);
	free(hex);
	return 0;
}
