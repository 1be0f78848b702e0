/* address.h: Bitcoin's networks, and addresses to scripts: base58check, bech32 (BIP-173), bech32m (BIP-350) */
#ifndef RC_BTC_ADDRESS_H
#define RC_BTC_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

/* A witness program of 40 bytes, its version and its length */
#define RC_BTC_SCRIPT_MAX 42

typedef struct rc_btc_script
{
	uint8_t		bytes[RC_BTC_SCRIPT_MAX];
	size_t		len;
} rc_btc_script;

/* Size of a script as hex text, with its NUL */
#define RC_BTC_SCRIPT_HEX_SIZE (2 * RC_BTC_SCRIPT_MAX + 1)

/* A block or transaction hash as hex text, with its NUL */
#define RC_BTC_HASH_SIZE 65

typedef struct rc_btc_network
{
	const char *name;			/* as networks.network names it */
	const char *hrp;			/* how its bech32 addresses begin */
	uint8_t		p2pkh;			/* version bytes of its base58 addresses */
	uint8_t		p2sh;
	const char *genesis;		/* hash of its first block */
} rc_btc_network;

/* The name of the network that begins with that block; NULL: none of them */
extern const char *rc_btc_network_of_genesis(const char *hash);

/* mainnet, testnet (testnet3), testnet4, signet, regtest; NULL: another name */
extern const rc_btc_network *rc_btc_network_of(const char *name);

/*
 * The script that pays an address. Returns NULL, or a constant sentence that
 * says what is wrong with the address. network may be NULL: of any network.
 */
extern const char *rc_btc_address_script(const char *address, const rc_btc_network *network,
										 rc_btc_script *script);

extern void rc_btc_script_to_hex(const rc_btc_script *script, char hex[RC_BTC_SCRIPT_HEX_SIZE]);

#endif
