/* fuzz_evm_block.c: logs, blocks, receipts and traces of an EVM node; the first byte says which */
#include "core/base/json.h"
#include "core/chain/evm/transfer.h"
#include "fuzz.h"

#define BLOCK_HASH "0x1111111111111111111111111111111111111111111111111111111111111111"

/* Two keys, so that some of what comes is wanted */
static void
want(evm_wanted *wanted)
{
	uint8_t		key[EVM_KEY_BYTES];

	memset(key, 0x11, sizeof(key));
	(void) evm_wanted_add(wanted, key, sizeof(key));
	memset(key, 0, RC_EVM_ADDRESS_BYTES);
	(void) evm_wanted_add(wanted, key, sizeof(key));
	evm_wanted_finish(wanted);
}

static void
take(int question, struct json_object *answer, const evm_wanted *wanted, evm_transfers *transfers)
{
	evm_log_filter filter = {BLOCK_HASH, wanted, question & 1, question & 2};
	uint8_t		txid[32];
	bool		succeeded;

	memset(txid, 0x11, sizeof(txid));
	switch (question / 4 % 5)
	{
		case 0:
			(void) evm_logs_take(answer, &filter, transfers);
			break;
		case 1:
			(void) evm_native_take(answer, BLOCK_HASH, transfers);
			break;
		case 2:
			(void) evm_receipt_take(answer, BLOCK_HASH, txid, &succeeded);
			break;
		case 3:
			(void) evm_call_traces_take(answer, NULL, transfers);
			break;
		default:
			(void) evm_flat_traces_take(answer, BLOCK_HASH, 2, transfers);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	evm_wanted	wanted = {0};
	evm_transfers transfers = {0};
	char	   *error = NULL;
	char	   *body;
	struct json_object *answer;

	if (size == 0)
		return 0;
	body = fuzz_text(data + 1, size - 1);
	answer = rc_json_parse(body, size - 1, &error);
	if (answer != NULL)
	{
		want(&wanted);
		take(data[0], answer, &wanted, &transfers);
		evm_transfers_keep(&transfers, &wanted);
	}
	json_object_put(answer);
	evm_transfers_free(&transfers);
	evm_wanted_free(&wanted);
	free(error);
	free(body);
	return 0;
}
