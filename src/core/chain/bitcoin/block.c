/* block.c: parses raw Bitcoin blocks and transactions (BIP-144 serialization) */
#include "core/chain/bitcoin/block.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/memory.h"
#include "core/chain/bitcoin/sha256.h"

#define HEADER_SIZE 80

/* What is left to read; failed: more was asked for than there is */
typedef struct reader
{
	const uint8_t *start;
	const uint8_t *next;
	const uint8_t *end;
	bool		failed;
} reader;

static const uint8_t *
read_bytes(reader *in, uint64_t len)
{
	const uint8_t *bytes = in->next;

	if (in->failed || len > (uint64_t) (in->end - in->next))
	{
		in->failed = true;
		return NULL;
	}
	in->next += len;
	return bytes;
}

/* An unsigned integer of so many bytes, little-endian */
static uint64_t
read_integer(reader *in, int size)
{
	const uint8_t *bytes = read_bytes(in, (uint64_t) size);
	uint64_t	value = 0;

	for (int i = size - 1; bytes != NULL && i >= 0; i--)
		value = value << 8 | bytes[i];
	return value;
}

/* Bitcoin's compact size */
static uint64_t
read_count(reader *in)
{
	uint64_t	first = read_integer(in, 1);

	if (first < 0xfd)
		return first;
	return read_integer(in, first == 0xfd ? 2 : first == 0xfe ? 4 : 8);
}

/* Hex to bytes, malloc'd; NULL if it is not hex */
static uint8_t *
decode_hex(const char *hex, size_t len)
{
	uint8_t    *bytes;

	if (len % 2 != 0)
		return NULL;
	bytes = rc_malloc(len / 2 + 1);
	if (rc_hex_decode(hex, len, bytes, len / 2))
		return bytes;
	free(bytes);
	return NULL;
}

/* A hash as Bitcoin writes it: the bytes from last to first */
static void
hash_to_hex(const uint8_t hash[RC_SHA256_SIZE], char hex[RC_BTC_HASH_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < RC_SHA256_SIZE; i++)
	{
		hex[2 * i] = digits[hash[RC_SHA256_SIZE - 1 - i] >> 4];
		hex[2 * i + 1] = digits[hash[RC_SHA256_SIZE - 1 - i] & 15];
	}
	hex[2 * RC_SHA256_SIZE] = '\0';
}

/* Can an address have this script: P2PKH, P2SH, or a witness program (BIP-141)? */
static bool
is_address_script(const uint8_t *script, uint64_t len)
{
	/* By the first opcode: a witness program may be as long as either */
	if (len == 25 && script[0] == 0x76)
		return memcmp(script, "\x76\xa9\x14", 3) == 0 && memcmp(script + 23, "\x88\xac", 2) == 0;
	if (len == 23 && script[0] == 0xa9)
		return script[1] == 20 && script[22] == 0x87;
	return len >= 4 && len <= RC_BTC_SCRIPT_MAX && script[1] == len - 2 &&
		(script[0] == 0 || (script[0] >= 0x51 && script[0] <= 0x60));
}

static rc_btc_output *
add_output(rc_btc_outputs *outputs)
{
	if (outputs->n == outputs->size)
	{
		outputs->size = outputs->size > 0 ? outputs->size * 2 : 64;
		outputs->items = rc_realloc(outputs->items, outputs->size * sizeof(rc_btc_output));
	}
	return &outputs->items[outputs->n++];
}

static void
read_outputs(reader *in, rc_btc_outputs *outputs)
{
	uint64_t	count = read_count(in);

	for (uint64_t i = 0; i < count && !in->failed; i++)
	{
		uint64_t	satoshi = read_integer(in, 8);
		uint64_t	len = read_count(in);
		const uint8_t *script = read_bytes(in, len);

		if (script != NULL && satoshi > 0 && is_address_script(script, len))
		{
			rc_btc_output *output = add_output(outputs);

			output->index = (uint32_t) i;
			output->satoshi = satoshi;
			output->script.len = len;
			memcpy(output->script.bytes, script, len);
		}
	}
}

static void
skip_inputs(reader *in, uint64_t count)
{
	for (uint64_t i = 0; i < count && !in->failed; i++)
	{
		read_bytes(in, 36);		/* the output that is spent */
		read_bytes(in, read_count(in));
		read_bytes(in, 4);		/* sequence */
	}
}

static void
skip_witnesses(reader *in, uint64_t inputs)
{
	for (uint64_t i = 0; i < inputs && !in->failed; i++)
	{
		uint64_t	items = read_count(in);

		for (uint64_t j = 0; j < items && !in->failed; j++)
			read_bytes(in, read_count(in));
	}
}

/* Reads one transaction and computes its id: the hash of it without its witnesses */
static void
read_transaction(reader *in, uint8_t txid[RC_SHA256_SIZE], rc_btc_outputs *outputs)
{
	size_t		first = outputs->n;
	const uint8_t *version = read_bytes(in, 4);
	bool		witness = in->end - in->next >= 2 && in->next[0] == 0 && in->next[1] == 1;
	const uint8_t *body;
	const uint8_t *body_end;
	const uint8_t *lock_time;
	uint64_t	inputs;
	rc_sha256	sha;

	if (witness)
		read_bytes(in, 2);
	body = in->next;
	inputs = read_count(in);
	skip_inputs(in, inputs);
	read_outputs(in, outputs);
	body_end = in->next;
	if (witness)
		skip_witnesses(in, inputs);
	lock_time = read_bytes(in, 4);
	if (in->failed)
		return;

	rc_sha256_start(&sha);
	rc_sha256_add(&sha, version, 4);
	rc_sha256_add(&sha, body, (size_t) (body_end - body));
	rc_sha256_add(&sha, lock_time, 4);
	rc_sha256_finish_twice(&sha, txid);
	for (size_t i = first; i < outputs->n; i++)
		hash_to_hex(txid, outputs->items[i].txid);
}

/* The root of the Merkle tree over the transactions' ids, which are overwritten */
static void
merkle_root(uint8_t *hashes, size_t count, uint8_t root[RC_SHA256_SIZE])
{
	while (count > 1)
	{
		size_t		parents = (count + 1) / 2;

		for (size_t i = 0; i < parents; i++)
		{
			uint8_t		pair[2 * RC_SHA256_SIZE];
			size_t		right = 2 * i + 1 < count ? 2 * i + 1 : 2 * i;

			memcpy(pair, hashes + 2 * i * RC_SHA256_SIZE, RC_SHA256_SIZE);
			memcpy(pair + RC_SHA256_SIZE, hashes + right * RC_SHA256_SIZE, RC_SHA256_SIZE);
			rc_sha256_twice(pair, sizeof(pair), hashes + i * RC_SHA256_SIZE);
		}
		count = parents;
	}
	memcpy(root, hashes, RC_SHA256_SIZE);
}

/* The transactions of a block, checked against its Merkle root */
static const char *
read_transactions(reader *in, const uint8_t *expected_root, rc_btc_block *block, rc_btc_outputs *outputs)
{
	uint64_t	count = read_count(in);
	uint8_t    *txids;
	uint8_t		root[RC_SHA256_SIZE];

	/* None is shorter than 60 bytes, so this is no way to ask for much memory */
	if (in->failed || count == 0 || count > (uint64_t) (in->end - in->start) / 60)
		return "the block has a wrong number of transactions";
	txids = rc_malloc(count * RC_SHA256_SIZE);
	for (uint64_t i = 0; i < count && !in->failed; i++)
		read_transaction(in, txids + i * RC_SHA256_SIZE, outputs);
	if (!in->failed)
		merkle_root(txids, count, root);
	free(txids);
	if (in->failed)
		return "the block is truncated";
	if (in->next != in->end)
		return "the block is longer than its transactions";
	if (memcmp(root, expected_root, RC_SHA256_SIZE) != 0)
		return "the block's transactions do not match its header";
	block->ntransactions = count;
	return NULL;
}

const char *
rc_btc_parse_block(const char *hex, size_t len, rc_btc_block *block, rc_btc_outputs *outputs)
{
	uint8_t    *bytes = decode_hex(hex, len);
	uint8_t		hash[RC_SHA256_SIZE];
	size_t		before = outputs->n;
	const char *problem;
	reader		in;

	if (bytes == NULL)
		return "the block is not hex";
	in.start = in.next = bytes;
	in.end = bytes + len / 2;
	in.failed = false;
	if (read_bytes(&in, HEADER_SIZE) == NULL)
		problem = "the block is truncated";
	else
	{
		rc_sha256_twice(bytes, HEADER_SIZE, hash);
		hash_to_hex(hash, block->hash);
		hash_to_hex(bytes + 4, block->previous);
		block->time = (uint32_t) bytes[68] | (uint32_t) bytes[69] << 8 |
			(uint32_t) bytes[70] << 16 | (uint32_t) bytes[71] << 24;
		problem = read_transactions(&in, bytes + 36, block, outputs);
	}
	free(bytes);
	if (problem != NULL)
		outputs->n = before;
	return problem;
}

const char *
rc_btc_parse_transaction(const char *hex, size_t len, char txid[RC_BTC_HASH_SIZE], rc_btc_outputs *outputs)
{
	uint8_t    *bytes = decode_hex(hex, len);
	uint8_t		hash[RC_SHA256_SIZE];
	size_t		before = outputs->n;
	reader		in;

	if (bytes == NULL)
		return "the transaction is not hex";
	in.start = in.next = bytes;
	in.end = bytes + len / 2;
	in.failed = false;
	read_transaction(&in, hash, outputs);
	if (in.failed || in.next != in.end)
	{
		outputs->n = before;
		free(bytes);
		return "the transaction does not parse";
	}
	hash_to_hex(hash, txid);
	free(bytes);
	return NULL;
}

void
rc_btc_outputs_free(rc_btc_outputs *outputs)
{
	free(outputs->items);
	memset(outputs, 0, sizeof(*outputs));
}
