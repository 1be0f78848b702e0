/* fuzz_esplora.c: the answers of the Esplora HTTP API; the first byte says to which question */
#include "core/chain/bitcoin/esplora_json.h"
#include "fuzz.h"

static char *
parse(int question, const char *body, size_t len)
{
	static const rc_btc_script script = {.len = 22};
	const rc_btc_network *chain = rc_btc_network_of("mainnet");
	rc_esplora_sums sums;
	rc_esplora_transaction *transactions = NULL;
	char		hashes[RC_ESPLORA_RECENT][RC_BTC_HASH_SIZE];
	rc_block	block = {0};
	int			n = 0;
	char	   *error;

	switch (question)
	{
		case 0:
			return rc_esplora_parse_sums(body, len, chain, &script, &sums);
		case 1:
			return rc_esplora_parse_block(body, len, &block);
		case 2:
			return rc_esplora_parse_hash(body, len, hashes[0]);
		case 3:
			return rc_esplora_parse_run(body, len, 100, hashes, &n);
		default:
			error = rc_esplora_parse_transactions(body, len, "0014", &transactions, &n);
			if (error != NULL && transactions != NULL)
				abort();
			free(transactions);
			return error;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *body;

	if (size == 0)
		return 0;
	body = fuzz_text(data + 1, size - 1);
	free(parse(data[0] % 5, body, size - 1));
	free(body);
	return 0;
}
