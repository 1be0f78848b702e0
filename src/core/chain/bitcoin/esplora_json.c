/* esplora_json.c: takes the answers of the Esplora HTTP API apart, and believes nothing that doesn't parse */
#include "core/chain/bitcoin/esplora_json.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/json.h"
#include "core/base/memory.h"

/* All that can ever exist: 21 million BTC */
#define MAX_SATOSHI INT64_C(2100000000000000)

/* The JSON document in body; NULL if it isn't exactly one */
static struct json_object *
parse_json(const char *body, size_t len)
{
	char	   *error = NULL;
	struct json_object *document = rc_json_parse(body, len, &error);

	free(error);
	return document;
}

/* A member of an object; NULL if there is none of that type */
static struct json_object *
member_of(struct json_object *object, const char *name, enum json_type type)
{
	struct json_object *member;

	if (!json_object_is_type(object, json_type_object) ||
		!json_object_object_get_ex(object, name, &member) ||
		!json_object_is_type(member, type))
		return NULL;
	return member;
}

/* A whole number from 0 to max */
static bool
get_number(struct json_object *object, const char *name, int64_t max, int64_t *value)
{
	struct json_object *member = member_of(object, name, json_type_int);

	if (member == NULL)
		return false;
	*value = json_object_get_int64(member);
	return *value >= 0 && *value <= max;
}

static const char *
get_string(struct json_object *object, const char *name)
{
	struct json_object *member = member_of(object, name, json_type_string);

	return member ? json_object_get_string(member) : NULL;
}

static bool
is_hash(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* What /address/:address says */
char *
rc_esplora_parse_stats(const char *body, size_t len, rc_esplora_stats *stats)
{
	struct json_object *document = parse_json(body, len);
	int64_t		chain = 0;
	int64_t		mempool = 0;
	bool		ok;

	ok = get_number(member_of(document, "chain_stats", json_type_object), "funded_txo_sum", INT64_MAX, &chain) &&
		get_number(member_of(document, "mempool_stats", json_type_object), "funded_txo_sum", INT64_MAX, &mempool);
	json_object_put(document);
	if (!ok)
		return rc_strdup("the answer is not an address's statistics");
	stats->chain_funded = (uint64_t) chain;
	stats->mempool_funded = (uint64_t) mempool;
	return NULL;
}

/* What /block/:hash says */
char *
rc_esplora_parse_block(const char *body, size_t len, rc_block *block)
{
	struct json_object *document = parse_json(body, len);
	const char *id = get_string(document, "id");
	int64_t		height;
	int64_t		time;
	bool		ok;

	ok = id != NULL && is_hash(id) &&
		get_number(document, "height", INT_MAX, &height) &&
		get_number(document, "timestamp", UINT32_MAX, &time);
	if (ok)
	{
		block->known = true;
		block->height = (uint64_t) height;
		block->time = time;
		memcpy(block->hash, id, RC_BTC_HASH_SIZE);
	}
	json_object_put(document);
	return ok ? NULL : rc_strdup("the answer is not a block");
}

/* Adds up a transaction's outputs with the script; false if it isn't a transaction */
static bool
sum_outputs(struct json_object *transaction, const char *script_hex, uint64_t *sum)
{
	struct json_object *outputs = member_of(transaction, "vout", json_type_array);

	*sum = 0;
	if (outputs == NULL)
		return false;
	for (size_t i = 0; i < json_object_array_length(outputs); i++)
	{
		struct json_object *output = json_object_array_get_idx(outputs, i);
		const char *script = get_string(output, "scriptpubkey");
		int64_t		value;

		if (script == NULL || !get_number(output, "value", MAX_SATOSHI, &value))
			return false;
		if (strcasecmp(script, script_hex) == 0)
			*sum += (uint64_t) value;
	}
	return true;
}

/* Takes one transaction of a page; false if it isn't one */
static bool
add_transaction(struct json_object *transaction, const char *script_hex, int64_t depth_height, rc_esplora_page *page)
{
	const char *txid = get_string(transaction, "txid");
	struct json_object *status = member_of(transaction, "status", json_type_object);
	struct json_object *confirmed = member_of(status, "confirmed", json_type_boolean);
	int64_t		height;
	uint64_t	sum;

	if (txid == NULL || !is_hash(txid) || confirmed == NULL || !sum_outputs(transaction, script_hex, &sum))
		return false;
	page->ntransactions++;
	memcpy(page->last_txid, txid, RC_BTC_HASH_SIZE);
	if (!json_object_get_boolean(confirmed))
		return true;
	if (!get_number(status, "block_height", INT_MAX, &height))
		return false;
	page->listed += sum;
	if (height <= depth_height)
		page->deep += sum;
	return true;
}

/* What /address/:address/txs/chain says */
char *
rc_esplora_parse_page(const char *body, size_t len, const char *script_hex,
					  int64_t depth_height, rc_esplora_page *page)
{
	struct json_object *document = parse_json(body, len);
	bool		ok = json_object_is_type(document, json_type_array);

	memset(page, 0, sizeof(*page));
	for (size_t i = 0; ok && i < json_object_array_length(document); i++)
		ok = add_transaction(json_object_array_get_idx(document, i), script_hex, depth_height, page);
	json_object_put(document);
	return ok ? NULL : rc_strdup("the answer is not a list of transactions");
}

/* A hash that stands alone, with or without a newline */
char *
rc_esplora_parse_hash(const char *body, size_t len, char hash[RC_BTC_HASH_SIZE])
{
	while (len > 0 && (body[len - 1] == '\n' || body[len - 1] == '\r'))
		len--;
	if (len == RC_BTC_HASH_SIZE - 1)
	{
		memcpy(hash, body, len);
		hash[len] = '\0';
		if (is_hash(hash))
			return NULL;
	}
	hash[0] = '\0';
	return rc_strdup("the answer is not a block hash");
}
