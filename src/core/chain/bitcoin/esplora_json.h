/* esplora_json.h: the answers of the Esplora HTTP API */
#ifndef RC_ESPLORA_JSON_H
#define RC_ESPLORA_JSON_H

#include "core/chain/bitcoin/address.h"
#include "core/protocol/network.h"
#include "core/protocol/observation.h"

/* What ever arrived at an address, spent or not, in satoshi */
typedef struct rc_esplora_stats
{
	uint64_t	chain_funded;
	uint64_t	mempool_funded;
} rc_esplora_stats;

/* A page of the confirmed transactions of an address */
typedef struct rc_esplora_page
{
	int			ntransactions;
	char		last_txid[RC_BTC_HASH_SIZE];	/* "" if the page is empty */
	uint64_t	listed;			/* satoshi that this page's transactions pay to the script */
	uint64_t	deep;			/* the part of it in blocks up to depth_height */
} rc_esplora_page;

/* Each returns NULL, or an rc_malloc'd text that says what is wrong with the answer */
extern char *rc_esplora_parse_stats(const char *body, size_t len, rc_esplora_stats *stats);
extern char *rc_esplora_parse_block(const char *body, size_t len, rc_block *block);
extern char *rc_esplora_parse_page(const char *body, size_t len, const char *script_hex,
								   int64_t depth_height, rc_esplora_page *page);
extern char *rc_esplora_parse_hash(const char *body, size_t len, char hash[RC_BTC_HASH_SIZE]);

#endif
