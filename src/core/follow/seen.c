/* mempool.c: what a worker remembers of a node's mempool: 32 bytes a transaction, 16 an output */
#include "core/follow/seen.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/memory.h"
#include "core/chain/bitcoin/sha256.h"

/* A transaction that was read; slots are never reused before the table is rebuilt */
typedef struct entry
{
	uint8_t		txid[RC_SHA256_SIZE];
	uint32_t	next;			/* of the same bucket; 0: end, else index + 1 */
	uint32_t	first_output;	/* index + 1 */
	uint64_t	listed;			/* the comparison in which it was seen last */
} entry;

/* An output of a transaction: the hash of its script */
typedef struct output
{
	uint64_t	script;
	uint32_t	next;			/* of the same bucket of scripts */
	uint32_t	next_of_entry;
	uint32_t	entry;			/* index */
} output;

struct rc_mempool
{
	entry	   *entries;
	size_t		nentries;
	size_t		entries_size;
	output	   *outputs;
	size_t		noutputs;
	size_t		outputs_size;
	uint32_t   *entry_buckets;
	uint32_t   *script_buckets;
	size_t		nbuckets;		/* of each; a power of two */
	uint64_t	comparison;
};

rc_mempool *
rc_mempool_create(void)
{
	return rc_calloc(1, sizeof(rc_mempool));
}

static void
clear(rc_mempool *mempool)
{
	free(mempool->entries);
	free(mempool->outputs);
	free(mempool->entry_buckets);
	free(mempool->script_buckets);
	memset(mempool, 0, sizeof(*mempool));
}

void
rc_mempool_free(rc_mempool *mempool)
{
	if (mempool == NULL)
		return;
	clear(mempool);
	free(mempool);
}

static bool
decode_txid(const char *hex, uint8_t txid[RC_SHA256_SIZE])
{
	return rc_hex_decode(hex, strlen(hex), txid, RC_SHA256_SIZE);
}

/* A transaction's id is a hash already */
static uint64_t
hash_of_txid(const uint8_t txid[RC_SHA256_SIZE])
{
	uint64_t	hash;

	memcpy(&hash, txid, sizeof(hash));
	return hash;
}

/* FNV-1a over the script in hex */
static uint64_t
hash_of_script(const char *hex)
{
	uint64_t	hash = UINT64_C(14695981039346656037);

	for (; *hex != '\0'; hex++)
		hash = (hash ^ (uint8_t) *hex) * UINT64_C(1099511628211);
	return hash ^ hash >> 32;
}

static uint32_t *
bucket(uint32_t *buckets, const rc_mempool *mempool, uint64_t hash)
{
	return &buckets[hash & (mempool->nbuckets - 1)];
}

static entry *
find(const rc_mempool *mempool, const uint8_t txid[RC_SHA256_SIZE])
{
	if (mempool->nbuckets == 0)
		return NULL;
	for (uint32_t i = *bucket(mempool->entry_buckets, mempool, hash_of_txid(txid)); i != 0;
		 i = mempool->entries[i - 1].next)
	{
		if (memcmp(mempool->entries[i - 1].txid, txid, RC_SHA256_SIZE) == 0)
			return &mempool->entries[i - 1];
	}
	return NULL;
}

/* Makes room for a larger number of buckets, and fills them */
static void
rebuild_buckets(rc_mempool *mempool, size_t nbuckets)
{
	free(mempool->entry_buckets);
	free(mempool->script_buckets);
	mempool->nbuckets = nbuckets;
	mempool->entry_buckets = rc_calloc(nbuckets, sizeof(uint32_t));
	mempool->script_buckets = rc_calloc(nbuckets, sizeof(uint32_t));
	for (size_t i = 0; i < mempool->nentries; i++)
	{
		uint32_t   *link = bucket(mempool->entry_buckets, mempool, hash_of_txid(mempool->entries[i].txid));

		mempool->entries[i].next = *link;
		*link = (uint32_t) i + 1;
	}
	for (size_t i = 0; i < mempool->noutputs; i++)
	{
		uint32_t   *link = bucket(mempool->script_buckets, mempool, mempool->outputs[i].script);

		mempool->outputs[i].next = *link;
		*link = (uint32_t) i + 1;
	}
}

static entry *
add_entry(rc_mempool *mempool, const uint8_t txid[RC_SHA256_SIZE])
{
	entry	   *entry;
	uint32_t   *link;

	if (mempool->nentries == mempool->entries_size)
	{
		mempool->entries_size = mempool->entries_size > 0 ? mempool->entries_size * 2 : 1024;
		mempool->entries = rc_realloc(mempool->entries, mempool->entries_size * sizeof(*mempool->entries));
	}
	if (mempool->nentries + 1 > mempool->nbuckets)
		rebuild_buckets(mempool, mempool->nbuckets > 0 ? mempool->nbuckets * 2 : 1024);
	entry = &mempool->entries[mempool->nentries++];
	link = bucket(mempool->entry_buckets, mempool, hash_of_txid(txid));
	memcpy(entry->txid, txid, RC_SHA256_SIZE);
	entry->listed = mempool->comparison;
	entry->first_output = 0;
	entry->next = *link;
	*link = (uint32_t) mempool->nentries;
	return entry;
}

static void
add_output(rc_mempool *mempool, entry *entry, uint64_t script)
{
	output	   *output;
	uint32_t   *link = bucket(mempool->script_buckets, mempool, script);

	if (mempool->noutputs == mempool->outputs_size)
	{
		mempool->outputs_size = mempool->outputs_size > 0 ? mempool->outputs_size * 2 : 1024;
		mempool->outputs = rc_realloc(mempool->outputs, mempool->outputs_size * sizeof(*mempool->outputs));
	}
	output = &mempool->outputs[mempool->noutputs++];
	output->script = script;
	output->entry = (uint32_t) (entry - mempool->entries);
	output->next_of_entry = entry->first_output;
	entry->first_output = (uint32_t) mempool->noutputs;
	output->next = *link;
	*link = (uint32_t) mempool->noutputs;
}

void
rc_mempool_begin(rc_mempool *mempool)
{
	mempool->comparison++;
}

bool
rc_mempool_list(rc_mempool *mempool, const char *hex)
{
	uint8_t		txid[RC_SHA256_SIZE];
	entry	   *entry;

	if (!decode_txid(hex, txid))
		return false;
	entry = find(mempool, txid);
	if (entry != NULL)
		entry->listed = mempool->comparison;
	return entry == NULL;
}

/* Copies what is still listed into new tables */
void
rc_mempool_end(rc_mempool *mempool)
{
	rc_mempool	old = *mempool;
	size_t		left = 0;

	for (size_t i = 0; i < old.nentries; i++)
		left += old.entries[i].listed == old.comparison;
	if (left == old.nentries)
		return;
	memset(mempool, 0, sizeof(*mempool));
	mempool->comparison = old.comparison;
	for (size_t i = 0; i < old.nentries; i++)
	{
		entry	   *copy;

		if (old.entries[i].listed != old.comparison)
			continue;
		copy = add_entry(mempool, old.entries[i].txid);
		for (uint32_t j = old.entries[i].first_output; j != 0; j = old.outputs[j - 1].next_of_entry)
			add_output(mempool, copy, old.outputs[j - 1].script);
	}
	clear(&old);
}

bool
rc_mempool_has(const rc_mempool *mempool, const char *hex)
{
	uint8_t		txid[RC_SHA256_SIZE];

	return decode_txid(hex, txid) && find(mempool, txid) != NULL;
}

void
rc_mempool_add(rc_mempool *mempool, const char *hex, const rc_btc_output *items, size_t n)
{
	uint8_t		txid[RC_SHA256_SIZE];
	entry	   *entry;

	if (!decode_txid(hex, txid) || find(mempool, txid) != NULL)
		return;
	entry = add_entry(mempool, txid);
	for (size_t i = 0; i < n; i++)
	{
		char		script[RC_BTC_SCRIPT_HEX_SIZE];

		rc_btc_script_to_hex(&items[i].script, script);
		add_output(mempool, entry, hash_of_script(script));
	}
}

void
rc_mempool_find(const rc_mempool *mempool, const char *script_hex,
				void (*found) (void *arg, const char *txid), void *arg)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t	script = hash_of_script(script_hex);
	char		hex[RC_BTC_HASH_SIZE];

	if (mempool->nbuckets == 0)
		return;
	for (uint32_t i = *bucket(mempool->script_buckets, mempool, script); i != 0; i = mempool->outputs[i - 1].next)
	{
		const uint8_t *txid = mempool->entries[mempool->outputs[i - 1].entry].txid;

		if (mempool->outputs[i - 1].script != script)
			continue;
		for (int j = 0; j < RC_SHA256_SIZE; j++)
		{
			hex[2 * j] = digits[txid[j] >> 4];
			hex[2 * j + 1] = digits[txid[j] & 15];
		}
		hex[2 * RC_SHA256_SIZE] = '\0';
		found(arg, hex);
	}
}
