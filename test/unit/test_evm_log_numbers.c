/* test_evm_log_numbers.c: logs of two transactions that have one number, as chains have them that count each transaction's from 0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/chain/evm/transfer.h"

static void
add(evm_transfers *transfers, uint8_t transaction, uint8_t payee)
{
	evm_transfer *transfer = evm_transfers_add(transfers);

	transfer->kind = EVM_BY_TOKEN;
	transfer->token[0] = 7;
	transfer->to[0] = payee;
	transfer->txid[0] = transaction;
	transfer->amount.bytes[31] = transaction;
}

static void
test_one_number(void **state)
{
	evm_wanted	wanted = {0};
	evm_transfers transfers = {0};
	uint8_t		key[EVM_KEY_BYTES] = {7};

	(void) state;
	key[RC_EVM_ADDRESS_BYTES] = 1;
	assert_true(evm_wanted_add(&wanted, key, sizeof(key)));
	key[RC_EVM_ADDRESS_BYTES] = 2;
	assert_true(evm_wanted_add(&wanted, key, sizeof(key)));
	evm_wanted_finish(&wanted);

	/* The first came with the answers to two questions */
	add(&transfers, 10, 1);
	add(&transfers, 20, 2);
	add(&transfers, 10, 1);
	evm_transfers_keep(&transfers, &wanted);
	assert_int_equal(transfers.n, 2);
	assert_int_equal(transfers.items[0].txid[0], 10);
	assert_int_equal(transfers.items[1].txid[0], 20);
	evm_transfers_free(&transfers);
	evm_wanted_free(&wanted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_number)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
