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

/* Transactions in one answer; servers list 25 or 50 */
#define MAX_TRANSACTIONS 250

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

/* One half of an address's statistics; false if it isn't that */
static bool
get_sums(struct json_object *document, const char *name, uint64_t *funded, int *transactions)
{
	struct json_object *half = member_of(document, name, json_type_object);
	int64_t		sum;
	int64_t		count;

	if (!get_number(half, "funded_txo_sum", MAX_SATOSHI, &sum) || !get_number(half, "tx_count", INT_MAX, &count))
		return false;
	*funded = (uint64_t) sum;
	*transactions = (int) count;
	return true;
}

/* Is it the address that the script belongs to, however it is written? */
static bool
is_address_of(const char *address, const rc_btc_network *chain, const rc_btc_script *script)
{
	rc_btc_script other;

	return rc_btc_address_script(address, chain, &other) == NULL &&
		other.len == script->len && memcmp(other.bytes, script->bytes, script->len) == 0;
}

/* What /address/:address says of the address that has the script */
char *
rc_esplora_parse_sums(const char *body, size_t len, const rc_btc_network *chain,
					  const rc_btc_script *script, rc_esplora_sums *sums)
{
	char	   *error = NULL;
	struct json_object *document = rc_json_parse(body, len, &error);
	const char *address = get_string(document, "address");

	if (document == NULL)
		return error;
	if (address == NULL ||
		!get_sums(document, "chain_stats", &sums->chain_funded, &sums->chain_transactions) ||
		!get_sums(document, "mempool_stats", &sums->mempool_funded, &sums->mempool_transactions))
		error = rc_strdup("the answer is not an address's statistics");
	else if (!is_address_of(address, chain, script))
		error = rc_strdup("the answer is about another address than the one that was asked for");
	else if (sums->chain_funded + sums->mempool_funded > MAX_SATOSHI)
		error = rc_strdup("the answer is not an address's statistics: it holds more than there is");
	json_object_put(document);
	return error;
}

/* What /block/:hash says */
char *
rc_esplora_parse_block(const char *body, size_t len, rc_block *block)
{
	char	   *error = NULL;
	struct json_object *document = rc_json_parse(body, len, &error);
	const char *id = get_string(document, "id");
	int64_t		height;
	int64_t		time;

	if (document == NULL)
		return error;
	if (id != NULL && is_hash(id) && get_number(document, "height", INT_MAX, &height) &&
		get_number(document, "timestamp", UINT32_MAX, &time))
	{
		block->known = true;
		block->height = (uint64_t) height;
		block->time = time;
		/* Not every server says it */
		if (!get_number(document, "mediantime", UINT32_MAX, &block->median_time))
			block->median_time = 0;
		memcpy(block->hash, id, RC_BTC_HASH_SIZE);
	}
	else
		error = rc_strdup("the answer is not a block");
	json_object_put(document);
	return error;
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
		if (*sum > MAX_SATOSHI)
			return false;
	}
	return true;
}

/* One transaction of a list; false if it isn't one */
static bool
parse_transaction(struct json_object *json, const char *script_hex, rc_esplora_transaction *transaction)
{
	const char *txid = get_string(json, "txid");
	struct json_object *status = member_of(json, "status", json_type_object);
	struct json_object *confirmed = member_of(status, "confirmed", json_type_boolean);
	const char *block = get_string(status, "block_hash");

	if (txid == NULL || !is_hash(txid) || confirmed == NULL || !sum_outputs(json, script_hex, &transaction->paid))
		return false;
	memcpy(transaction->txid, txid, RC_BTC_HASH_SIZE);
	transaction->confirmed = json_object_get_boolean(confirmed);
	if (!transaction->confirmed)
		return true;
	if (block == NULL || !is_hash(block) || !get_number(status, "block_height", INT_MAX, &transaction->height))
		return false;
	memcpy(transaction->block, block, RC_BTC_HASH_SIZE);
	return true;
}

/* What /address/:address/txs/chain and /address/:address/txs/mempool say */
char *
rc_esplora_parse_transactions(const char *body, size_t len, const char *script_hex,
							  rc_esplora_transaction **transactions, int *n)
{
	char	   *error = NULL;
	struct json_object *document = rc_json_parse(body, len, &error);
	size_t		count = json_object_is_type(document, json_type_array) ? json_object_array_length(document) : SIZE_MAX;
	bool		ok = count <= MAX_TRANSACTIONS;

	*n = 0;
	*transactions = NULL;
	if (document == NULL)
		return error;
	*transactions = rc_calloc(ok ? count + 1 : 1, sizeof(**transactions));
	while (ok && (size_t) *n < count)
	{
		ok = parse_transaction(json_object_array_get_idx(document, (size_t) *n), script_hex, *transactions + *n);
		(*n)++;
	}
	json_object_put(document);
	if (ok)
		return NULL;
	free(*transactions);
	*transactions = NULL;
	return rc_strdup("the answer is not a list of transactions");
}

/* What /blocks/:height says */
char *
rc_esplora_parse_run(const char *body, size_t len, int64_t height,
					 char hashes[RC_ESPLORA_RECENT][RC_BTC_HASH_SIZE], int *n)
{
	char	   *error = NULL;
	struct json_object *document = rc_json_parse(body, len, &error);
	bool		ok = json_object_is_type(document, json_type_array);
	const char *parent = NULL;

	*n = 0;
	if (document == NULL)
		return error;
	for (size_t i = 0; ok && i < json_object_array_length(document) && *n < RC_ESPLORA_RECENT; i++)
	{
		struct json_object *block = json_object_array_get_idx(document, i);
		const char *id = get_string(block, "id");
		int64_t		own;

		ok = id != NULL && is_hash(id) && get_number(block, "height", INT_MAX, &own) && own == height - (int64_t) i &&
			(i == 0 || (parent != NULL && strcmp(parent, id) == 0));
		parent = get_string(block, "previousblockhash");
		if (ok)
			memcpy(hashes[(*n)++], id, RC_BTC_HASH_SIZE);
	}
	json_object_put(document);
	return ok && *n > 0 ? NULL : rc_strdup("the answer is not a run of blocks");
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
