/* seen.c: what a worker remembers of pending transactions: 32 bytes for each, 16 for a credit */
#include "core/follow/seen.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/memory.h"

/* A transaction's id is a hash of so many bytes, on all chains that have a public mempool */
#define TXID_BYTES 32

/* A transaction that was read; slots are never reused before the table is rebuilt */
typedef struct entry
{
	uint8_t		txid[TXID_BYTES];
	uint32_t	next;			/* of the same bucket; 0: end, else index + 1 */
	uint32_t	first_credit;	/* index + 1 */
	uint64_t	listed;			/* the comparison in which it was seen last */
} entry;

/* A credit of a transaction: the hash of its key */
typedef struct credit
{
	uint64_t	key;
	uint32_t	next;			/* of the same bucket of keys */
	uint32_t	next_of_entry;
	uint32_t	entry;			/* index */
} credit;

struct rc_seen
{
	entry	   *entries;
	size_t		nentries;
	size_t		entries_size;
	credit	   *credits;
	size_t		ncredits;
	size_t		credits_size;
	uint32_t   *entry_buckets;
	uint32_t   *key_buckets;
	size_t		nbuckets;		/* of each; a power of two */
	uint64_t	comparison;
};

rc_seen *
rc_seen_create(void)
{
	return rc_calloc(1, sizeof(rc_seen));
}

static void
clear(rc_seen *seen)
{
	free(seen->entries);
	free(seen->credits);
	free(seen->entry_buckets);
	free(seen->key_buckets);
	memset(seen, 0, sizeof(*seen));
}

void
rc_seen_free(rc_seen *seen)
{
	if (seen == NULL)
		return;
	clear(seen);
	free(seen);
}

static bool
decode_txid(const char *hex, uint8_t txid[TXID_BYTES])
{
	return rc_hex_decode(hex, strlen(hex), txid, TXID_BYTES);
}

/* A transaction's id is a hash already */
static uint64_t
hash_of_txid(const uint8_t txid[TXID_BYTES])
{
	uint64_t	hash;

	memcpy(&hash, txid, sizeof(hash));
	return hash;
}

/* FNV-1a */
static uint64_t
hash_of_key(const rc_key *key)
{
	uint64_t	hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < key->len; i++)
		hash = (hash ^ key->bytes[i]) * UINT64_C(1099511628211);
	return hash ^ hash >> 32;
}

static uint32_t *
bucket(uint32_t *buckets, const rc_seen *seen, uint64_t hash)
{
	return &buckets[hash & (seen->nbuckets - 1)];
}

static entry *
find(const rc_seen *seen, const uint8_t txid[TXID_BYTES])
{
	if (seen->nbuckets == 0)
		return NULL;
	for (uint32_t i = *bucket(seen->entry_buckets, seen, hash_of_txid(txid)); i != 0;
		 i = seen->entries[i - 1].next)
	{
		if (memcmp(seen->entries[i - 1].txid, txid, TXID_BYTES) == 0)
			return &seen->entries[i - 1];
	}
	return NULL;
}

/* Makes room for a larger number of buckets, and fills them */
static void
rebuild_buckets(rc_seen *seen, size_t nbuckets)
{
	free(seen->entry_buckets);
	free(seen->key_buckets);
	seen->nbuckets = nbuckets;
	seen->entry_buckets = rc_calloc(nbuckets, sizeof(uint32_t));
	seen->key_buckets = rc_calloc(nbuckets, sizeof(uint32_t));
	for (size_t i = 0; i < seen->nentries; i++)
	{
		uint32_t   *link = bucket(seen->entry_buckets, seen, hash_of_txid(seen->entries[i].txid));

		seen->entries[i].next = *link;
		*link = (uint32_t) i + 1;
	}
	for (size_t i = 0; i < seen->ncredits; i++)
	{
		uint32_t   *link = bucket(seen->key_buckets, seen, seen->credits[i].key);

		seen->credits[i].next = *link;
		*link = (uint32_t) i + 1;
	}
}

static entry *
add_entry(rc_seen *seen, const uint8_t txid[TXID_BYTES])
{
	entry	   *entry;
	uint32_t   *link;

	if (seen->nentries == seen->entries_size)
	{
		seen->entries_size = seen->entries_size > 0 ? seen->entries_size * 2 : 1024;
		seen->entries = rc_realloc(seen->entries, seen->entries_size * sizeof(*seen->entries));
	}
	if (seen->nentries + 1 > seen->nbuckets)
		rebuild_buckets(seen, seen->nbuckets > 0 ? seen->nbuckets * 2 : 1024);
	entry = &seen->entries[seen->nentries++];
	link = bucket(seen->entry_buckets, seen, hash_of_txid(txid));
	memcpy(entry->txid, txid, TXID_BYTES);
	entry->listed = seen->comparison;
	entry->first_credit = 0;
	entry->next = *link;
	*link = (uint32_t) seen->nentries;
	return entry;
}

static void
add_credit(rc_seen *seen, entry *entry, uint64_t key)
{
	credit	   *credit;
	uint32_t   *link = bucket(seen->key_buckets, seen, key);

	if (seen->ncredits == seen->credits_size)
	{
		seen->credits_size = seen->credits_size > 0 ? seen->credits_size * 2 : 1024;
		seen->credits = rc_realloc(seen->credits, seen->credits_size * sizeof(*seen->credits));
	}
	credit = &seen->credits[seen->ncredits++];
	credit->key = key;
	credit->entry = (uint32_t) (entry - seen->entries);
	credit->next_of_entry = entry->first_credit;
	entry->first_credit = (uint32_t) seen->ncredits;
	credit->next = *link;
	*link = (uint32_t) seen->ncredits;
}

void
rc_seen_begin(rc_seen *seen)
{
	seen->comparison++;
}

bool
rc_seen_list(rc_seen *seen, const char *hex)
{
	uint8_t		txid[TXID_BYTES];
	entry	   *entry;

	if (!decode_txid(hex, txid))
		return false;
	entry = find(seen, txid);
	if (entry != NULL)
		entry->listed = seen->comparison;
	return entry == NULL;
}

/* Copies what is still listed into new tables */
void
rc_seen_end(rc_seen *seen)
{
	rc_seen	old = *seen;
	size_t		left = 0;

	for (size_t i = 0; i < old.nentries; i++)
		left += old.entries[i].listed == old.comparison;
	if (left == old.nentries)
		return;
	memset(seen, 0, sizeof(*seen));
	seen->comparison = old.comparison;
	for (size_t i = 0; i < old.nentries; i++)
	{
		entry	   *copy;

		if (old.entries[i].listed != old.comparison)
			continue;
		copy = add_entry(seen, old.entries[i].txid);
		for (uint32_t j = old.entries[i].first_credit; j != 0; j = old.credits[j - 1].next_of_entry)
			add_credit(seen, copy, old.credits[j - 1].key);
	}
	clear(&old);
}

bool
rc_seen_has(const rc_seen *seen, const char *hex)
{
	uint8_t		txid[TXID_BYTES];

	return decode_txid(hex, txid) && find(seen, txid) != NULL;
}

void
rc_seen_add(rc_seen *seen, const char *hex, const rc_credits *credits)
{
	uint8_t		txid[TXID_BYTES];
	entry	   *entry;

	if (!decode_txid(hex, txid) || find(seen, txid) != NULL)
		return;
	entry = add_entry(seen, txid);
	for (size_t i = 0; i < credits->n; i++)
		add_credit(seen, entry, hash_of_key(&credits->items[i].key));
}

void
rc_seen_find(const rc_seen *seen, const rc_key *key,
			 void (*found) (void *arg, const char *txid), void *arg)
{
	uint64_t	hash = hash_of_key(key);
	char		hex[2 * TXID_BYTES + 1];

	if (seen->nbuckets == 0)
		return;
	for (uint32_t i = *bucket(seen->key_buckets, seen, hash); i != 0; i = seen->credits[i - 1].next)
	{
		if (seen->credits[i - 1].key != hash)
			continue;
		rc_hex_encode(seen->entries[seen->credits[i - 1].entry].txid, TXID_BYTES, hex);
		found(arg, hex);
	}
}
