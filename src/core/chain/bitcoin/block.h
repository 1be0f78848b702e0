/* block.h: raw Bitcoin blocks and transactions: the outputs that can be payments */
#ifndef RC_BTC_BLOCK_H
#define RC_BTC_BLOCK_H

#include <stdbool.h>

#include "core/chain/bitcoin/address.h"

/* An output whose script an address can have */
typedef struct rc_btc_output
{
	char		txid[RC_BTC_HASH_SIZE];
	uint32_t	index;
	uint64_t	satoshi;
	rc_btc_script script;
} rc_btc_output;

typedef struct rc_btc_outputs
{
	rc_btc_output *items;
	size_t		n;
	size_t		size;
} rc_btc_outputs;

typedef struct rc_btc_block
{
	char		hash[RC_BTC_HASH_SIZE];
	char		previous[RC_BTC_HASH_SIZE];
	uint32_t	time;			/* Unix seconds, as its miner says */
	size_t		ntransactions;
} rc_btc_block;

/*
 * Parses a block as getblock (verbosity 0) has it, in hex, and appends its
 * outputs. The hash is computed from the header and the transactions are
 * checked against the header's Merkle root, so a block with the expected hash
 * is whole and right. Returns NULL, or a constant text that says what is wrong;
 * then no output was appended.
 */
extern const char *rc_btc_parse_block(const char *hex, size_t len, rc_btc_block *block, rc_btc_outputs *outputs);

/* Likewise one transaction, as getrawtransaction has it; its id is computed */
extern const char *rc_btc_parse_transaction(const char *hex, size_t len, char txid[RC_BTC_HASH_SIZE],
											rc_btc_outputs *outputs);

extern void rc_btc_outputs_free(rc_btc_outputs *outputs);

#endif
