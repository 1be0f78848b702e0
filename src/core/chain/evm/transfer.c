/* transfer.c: lists of transfers */
#include "core/chain/evm/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* A new one, all zeros; valid until the next is added */
evm_transfer *
evm_transfers_add(evm_transfers *transfers)
{
	if (transfers->n == transfers->size)
	{
		transfers->size = transfers->size > 0 ? 2 * transfers->size : 16;
		transfers->items = rc_realloc(transfers->items, transfers->size * sizeof(evm_transfer));
	}
	memset(&transfers->items[transfers->n], 0, sizeof(evm_transfer));
	return &transfers->items[transfers->n++];
}

void
evm_transfers_free(evm_transfers *transfers)
{
	free(transfers->items);
	memset(transfers, 0, sizeof(*transfers));
}

/* Logs first, by their order in the block */
static int
compare_transfers(const void *a, const void *b)
{
	const evm_transfer *left = a;
	const evm_transfer *right = b;
	int			order;

	if (left->kind != right->kind)
		return left->kind < right->kind ? -1 : 1;
	if (left->kind == EVM_INTERNAL && (order = memcmp(left->txid, right->txid, sizeof(left->txid))) != 0)
		return order;
	if (left->ordinal != right->ordinal)
		return left->ordinal < right->ordinal ? -1 : 1;
	/* Some chains number the logs of each transaction from 0 */
	return memcmp(left->txid, right->txid, sizeof(left->txid));
}

/* A log from one holder to another comes with the answers to two questions */
void
evm_transfers_keep(evm_transfers *transfers, const evm_wanted *wanted)
{
	size_t		kept = 0;

	if (transfers->n > 1)
		qsort(transfers->items, transfers->n, sizeof(evm_transfer), compare_transfers);
	for (size_t i = 0; i < transfers->n; i++)
	{
		const evm_transfer *transfer = &transfers->items[i];

		if (!evm_wanted_has(wanted, transfer->token, transfer->to) && !evm_wanted_has(wanted, transfer->token, transfer->from))
			continue;
		if (kept > 0 && compare_transfers(&transfers->items[kept - 1], transfer) == 0)
			continue;
		transfers->items[kept++] = *transfer;
	}
	transfers->n = kept;
}

bool
evm_parse_bytes(const char *text, uint8_t *out, size_t len)
{
	return text != NULL && text[0] == '0' && text[1] == 'x' && rc_hex_decode(text + 2, strlen(text + 2), out, len);
}
