/* address.c: decodes Bitcoin addresses */
#include <stdbool.h>
#include <string.h>

#include "core/chain/bitcoin/address.h"
#include "core/chain/bitcoin/sha256.h"

#define BASE58_BYTES	25		/* version, hash of 20 bytes, checksum of 4 */
#define BECH32_MAX		90		/* BIP-173 */
#define BECH32_CHECKSUM 6

static const rc_btc_network btc_networks[] = {
	{"mainnet", "bc", 0x00, 0x05, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"},
	{"testnet", "tb", 0x6f, 0xc4, "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943"},
	{"testnet3", "tb", 0x6f, 0xc4, "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943"},
	{"testnet4", "tb", 0x6f, 0xc4, "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043"},
	{"signet", "tb", 0x6f, 0xc4, "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"},
	{"regtest", "bcrt", 0x6f, 0xc4, "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"},
};

#define NNETWORKS (sizeof(btc_networks) / sizeof(btc_networks[0]))

const rc_btc_network *
rc_btc_network_of(const char *name)
{
	for (size_t i = 0; i < NNETWORKS; i++)
	{
		if (strcmp(btc_networks[i].name, name) == 0)
			return &btc_networks[i];
	}
	return NULL;
}

const char *
rc_btc_network_of_genesis(const char *hash)
{
	for (size_t i = 0; i < NNETWORKS; i++)
	{
		if (strcmp(btc_networks[i].genesis, hash) == 0)
			return btc_networks[i].name;
	}
	return NULL;
}

/* bytes = bytes * 58 + digit; false if it doesn't fit */
static bool
base58_push(uint8_t bytes[BASE58_BYTES], unsigned digit)
{
	unsigned	carry = digit;

	for (int i = BASE58_BYTES - 1; i >= 0; i--)
	{
		carry += bytes[i] * 58u;
		bytes[i] = (uint8_t) carry;
		carry >>= 8;
	}
	return carry == 0;
}

/* Decodes base58check into version and hash; NULL, or what is wrong */
static const char *
base58_decode(const char *address, uint8_t bytes[BASE58_BYTES])
{
	static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
	uint8_t		digest[RC_SHA256_SIZE];
	size_t		ones = strspn(address, "1");
	size_t		zeros = 0;

	memset(bytes, 0, BASE58_BYTES);
	for (const char *c = address; *c != '\0'; c++)
	{
		const char *digit = strchr(alphabet, *c);

		if (digit == NULL)
			return "the address has a character that Bitcoin addresses don't have";
		if (!base58_push(bytes, (unsigned) (digit - alphabet)))
			return "the address is too long";
	}

	/* Each leading zero byte is written as one 1: else the same hash had several addresses */
	while (zeros < BASE58_BYTES && bytes[zeros] == 0)
		zeros++;
	if (zeros != ones)
		return "the address has the wrong length";
	rc_sha256_twice(bytes, BASE58_BYTES - 4, digest);
	if (memcmp(digest, bytes + BASE58_BYTES - 4, 4) != 0)
		return "the address has a wrong checksum";
	return NULL;
}

/* Has any network this version byte? */
static bool
is_known_version(uint8_t version)
{
	for (size_t i = 0; i < NNETWORKS; i++)
	{
		if (btc_networks[i].p2pkh == version || btc_networks[i].p2sh == version)
			return true;
	}
	return false;
}

static const char *
base58_script(const char *address, const rc_btc_network *network, rc_btc_script *script)
{
	uint8_t		bytes[BASE58_BYTES];
	const char *problem = base58_decode(address, bytes);
	bool		p2sh = bytes[0] == 0x05 || bytes[0] == 0xc4;

	if (problem != NULL)
		return problem;
	if (!is_known_version(bytes[0]))
		return "the address isn't one of Bitcoin";
	if (network != NULL && bytes[0] != (p2sh ? network->p2sh : network->p2pkh))
		return "the address belongs to another Bitcoin network";
	if (p2sh)
	{
		/* OP_HASH160 <20 bytes> OP_EQUAL */
		memcpy(script->bytes, "\xa9\x14", 2);
		memcpy(script->bytes + 2, bytes + 1, 20);
		memcpy(script->bytes + 22, "\x87", 1);
		script->len = 23;
	}
	else
	{
		/* OP_DUP OP_HASH160 <20 bytes> OP_EQUALVERIFY OP_CHECKSIG */
		memcpy(script->bytes, "\x76\xa9\x14", 3);
		memcpy(script->bytes + 3, bytes + 1, 20);
		memcpy(script->bytes + 23, "\x88\xac", 2);
		script->len = 25;
	}
	return NULL;
}

/* One step of the checksum over 5-bit values (BIP-173) */
static uint32_t
bech32_polymod(uint32_t checksum, uint8_t value)
{
	static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
	uint32_t	top = checksum >> 25;

	checksum = (checksum & 0x1ffffff) << 5 ^ value;
	for (int i = 0; i < 5; i++)
	{
		if (top >> i & 1)
			checksum ^= generator[i];
	}
	return checksum;
}

/* The checksum of what stands before the separator */
static uint32_t
bech32_hrp_checksum(const char *hrp, size_t len)
{
	uint32_t	checksum = 1;

	for (size_t i = 0; i < len; i++)
		checksum = bech32_polymod(checksum, (uint8_t) hrp[i] >> 5);
	checksum = bech32_polymod(checksum, 0);
	for (size_t i = 0; i < len; i++)
		checksum = bech32_polymod(checksum, (uint8_t) hrp[i] & 31);
	return checksum;
}

/* Lower-cases the address; NULL, or what is wrong */
static const char *
bech32_lower(const char *address, char text[BECH32_MAX + 1])
{
	bool		lower = false;
	bool		upper = false;
	size_t		len = strlen(address);

	if (len > BECH32_MAX)
		return "the address is too long";
	for (size_t i = 0; i <= len; i++)
	{
		char		c = address[i];

		lower |= c >= 'a' && c <= 'z';
		upper |= c >= 'A' && c <= 'Z';
		text[i] = (char) (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	return lower && upper ? "the address mixes upper and lower case" : NULL;
}

/* 5-bit values to bytes, without padding; false if the padding isn't zero or too long */
static bool
bech32_program(const uint8_t *values, size_t nvalues, uint8_t *program, size_t *len)
{
	uint32_t	bits = 0;
	int			nbits = 0;

	*len = 0;
	for (size_t i = 0; i < nvalues; i++)
	{
		bits = bits << 5 | values[i];
		nbits += 5;
		if (nbits >= 8)
		{
			nbits -= 8;
			program[(*len)++] = (uint8_t) (bits >> nbits);
		}
	}
	return nbits < 5 && (bits & ((1u << nbits) - 1)) == 0;
}

/* Checks version and length of a witness program, and makes its script */
static const char *
witness_script(uint8_t version, const uint8_t *program, size_t len, bool bech32m, rc_btc_script *script)
{
	if (version > 16)
		return "the address has a witness version that doesn't exist";
	if (len < 2 || len > 40 || (version == 0 && len != 20 && len != 32))
		return "the address has the wrong length";
	if (bech32m != (version > 0))
		return "the address has a wrong checksum";

	/* OP_0 or OP_1 to OP_16, then a push of the program (BIP-141) */
	script->bytes[0] = (uint8_t) (version == 0 ? 0 : 0x50 + version);
	script->bytes[1] = (uint8_t) len;
	memcpy(script->bytes + 2, program, len);
	script->len = 2 + len;
	return NULL;
}

static bool
hrp_is(const rc_btc_network *network, const char *hrp, size_t len)
{
	return strlen(network->hrp) == len && memcmp(network->hrp, hrp, len) == 0;
}

/* Which network's bech32 prefix does the address begin with? NULL: none */
static const rc_btc_network *
network_of_hrp(const char *hrp, size_t len)
{
	for (size_t i = 0; i < NNETWORKS; i++)
	{
		if (hrp_is(&btc_networks[i], hrp, len))
			return &btc_networks[i];
	}
	return NULL;
}

static const char *
bech32_script(const char *text, const rc_btc_network *network, rc_btc_script *script)
{
	static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
	size_t		hrp_len = (size_t) (strrchr(text, '1') - text);
	const char *data = text + hrp_len + 1;
	size_t		ndata = strlen(data);
	uint32_t	checksum = bech32_hrp_checksum(text, hrp_len);
	uint8_t		values[BECH32_MAX] = {0};
	uint8_t		program[BECH32_MAX];
	size_t		len;

	for (size_t i = 0; i < ndata; i++)
	{
		const char *value = strchr(alphabet, data[i]);

		if (value == NULL)
			return "the address has a character that Bitcoin addresses don't have";
		values[i] = (uint8_t) (value - alphabet);
		checksum = bech32_polymod(checksum, values[i]);
	}

	/* 1 for bech32; the other constant is of BIP-350 */
	if (checksum != 1 && checksum != 0x2bc830a3)
		return "the address has a wrong checksum";
	if (network != NULL && !hrp_is(network, text, hrp_len))
		return "the address belongs to another Bitcoin network";
	if (ndata < 1 + BECH32_CHECKSUM)
		return "the address has the wrong length";
	if (!bech32_program(values + 1, ndata - 1 - BECH32_CHECKSUM, program, &len))
		return "the address has the wrong length";
	return witness_script(values[0], program, len, checksum != 1, script);
}

const char *
rc_btc_address_script(const char *address, const rc_btc_network *network, rc_btc_script *script)
{
	char		text[BECH32_MAX + 1] = {0};
	const char *problem;
	const char *separator;

	script->len = 0;
	if (address[0] == '\0')
		return "the address is empty";

	/* A base58 address of a known version is never read as bech32: bc1, tb1 and bcrt1 aren't its beginnings */
	problem = bech32_lower(address, text);
	separator = strlen(address) <= BECH32_MAX ? strrchr(text, '1') : NULL;
	if (separator == NULL || network_of_hrp(text, (size_t) (separator - text)) == NULL)
		return base58_script(address, network, script);
	return problem ? problem : bech32_script(text, network, script);
}

void
rc_btc_script_to_hex(const rc_btc_script *script, char hex[RC_BTC_SCRIPT_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < script->len; i++)
	{
		hex[2 * i] = digits[script->bytes[i] >> 4];
		hex[2 * i + 1] = digits[script->bytes[i] & 15];
	}
	hex[2 * script->len] = '\0';
}
