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

bool
evm_parse_bytes(const char *text, uint8_t *out, size_t len)
{
	return text != NULL && text[0] == '0' && text[1] == 'x' && rc_hex_decode(text + 2, strlen(text + 2), out, len);
}
