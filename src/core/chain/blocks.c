/* blocks.c: lists of keys and credits, and credits as SQL takes them */
#include "core/chain/blocks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/memory.h"

/* What may stand in JSON as it is: transaction ids and senders are no more than this */
#define PLAIN "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

void
rc_keys_add(rc_keys *keys, const uint8_t *bytes, size_t len)
{
	rc_key	   *key;

	if (keys->n == keys->size)
	{
		keys->size = keys->size > 0 ? keys->size * 2 : 64;
		keys->items = rc_realloc(keys->items, keys->size * sizeof(*keys->items));
	}
	key = &keys->items[keys->n++];
	memset(key, 0, sizeof(*key));
	key->len = len < RC_KEY_MAX ? len : RC_KEY_MAX;
	memcpy(key->bytes, bytes, key->len);
}

void
rc_keys_free(rc_keys *keys)
{
	free(keys->items);
	memset(keys, 0, sizeof(*keys));
}

rc_credit *
rc_credits_add(rc_credits *credits)
{
	rc_credit  *credit;

	if (credits->n == credits->size)
	{
		credits->size = credits->size > 0 ? credits->size * 2 : 16;
		credits->items = rc_realloc(credits->items, credits->size * sizeof(*credits->items));
	}
	credit = &credits->items[credits->n++];
	memset(credit, 0, sizeof(*credit));
	return credit;
}

void
rc_credits_free(rc_credits *credits)
{
	free(credits->items);
	memset(credits, 0, sizeof(*credits));
}

const char *
rc_credit_kind_name(rc_credit_kind kind)
{
	static const char *const names[] = {"output", "native", "token", "internal"};

	return names[kind];
}

/* A text, or null where it is empty (or nothing that a chain writes) */
static void
append_text(rc_buffer *json, const char *text)
{
	if (text[0] == '\0' || text[strspn(text, PLAIN)] != '\0')
		rc_buffer_append(json, "null", 4);
	else
		rc_buffer_printf(json, "\"%s\"", text);
}

/* An output's kind is what SQL takes a credit for that names none: a block has thousands of them */
static void
append_credit(rc_buffer *json, const rc_credit *credit)
{
	char		key[2 * RC_KEY_MAX + 1];
	char		amount[RC_UINT256_DECIMAL_SIZE];

	rc_hex_encode(credit->key.bytes, credit->key.len, key);
	rc_uint256_to_decimal(&credit->amount, amount);
	rc_buffer_append(json, "[", 1);
	append_text(json, credit->txid);
	rc_buffer_printf(json, ",%" PRIu64 ",\"%s\",%s", credit->ordinal, key, amount);
	if (credit->kind != RC_CREDIT_OUTPUT || credit->sender[0] != '\0' || credit->unverified)
	{
		rc_buffer_printf(json, ",\"%s\",", rc_credit_kind_name(credit->kind));
		append_text(json, credit->sender);
		if (credit->unverified)
			rc_buffer_append(json, ",true", 5);
	}
	rc_buffer_append(json, "]", 1);
}

char *
rc_credits_to_json(const rc_credit *credits, size_t n)
{
	rc_buffer	json = {0};

	rc_buffer_append(&json, "[", 1);
	for (size_t i = 0; i < n; i++)
	{
		if (i > 0)
			rc_buffer_append(&json, ",", 1);
		append_credit(&json, &credits[i]);
	}
	rc_buffer_append(&json, "]", 2);
	return json.data;
}
