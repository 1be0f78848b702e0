/* esplora_json.h: the answers of the Esplora HTTP API */
#ifndef RC_ESPLORA_JSON_H
#define RC_ESPLORA_JSON_H

#include "core/chain/bitcoin/address.h"
#include "core/protocol/network.h"
#include "core/protocol/observation.h"

/* Blocks that /blocks/:height lists at least, from that height downwards */
#define RC_ESPLORA_RECENT 10

/* What ever arrived at an address, spent or not, in satoshi, and how many transactions touch it */
typedef struct rc_esplora_sums
{
	uint64_t	chain_funded;
	uint64_t	mempool_funded;
	int			chain_transactions;
	int			mempool_transactions;
} rc_esplora_sums;

/* One transaction of an address */
typedef struct rc_esplora_transaction
{
	char		txid[RC_BTC_HASH_SIZE];
	bool		confirmed;
	int64_t		height;			/* if confirmed: of its block */
	char		block[RC_BTC_HASH_SIZE];
	uint64_t	paid;			/* satoshi to the script that was asked for */
} rc_esplora_transaction;

/* Each returns NULL, or an rc_malloc'd text that says what is wrong with the answer */
extern char *rc_esplora_parse_sums(const char *body, size_t len, const rc_btc_network *chain,
								   const rc_btc_script *script, rc_esplora_sums *sums);
extern char *rc_esplora_parse_block(const char *body, size_t len, rc_block *block);
extern char *rc_esplora_parse_hash(const char *body, size_t len, char hash[RC_BTC_HASH_SIZE]);

/* *transactions is rc_malloc'd, NULL after an error */
extern char *rc_esplora_parse_transactions(const char *body, size_t len, const char *script_hex,
										   rc_esplora_transaction **transactions, int *n);

/*
 * The hashes of a run of blocks, each the parent of the one before it; at most
 * RC_ESPLORA_RECENT of them are taken
 */
extern char *rc_esplora_parse_run(const char *body, size_t len, int64_t height,
								  char hashes[RC_ESPLORA_RECENT][RC_BTC_HASH_SIZE], int *n);

#endif
