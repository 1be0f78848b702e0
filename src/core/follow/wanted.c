/* wanted.c: which keys a source is to read blocks for: the store's answers, a page at a time */
#include "core/follow/step.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/memory.h"

/* Appends the keys of a column of hex, len bytes of each at most; what is none is left out */
static void
add_rows(const rc_rows *rows, size_t len, rc_keys *keys)
{
	uint8_t		bytes[RC_KEY_MAX];

	for (int i = 0; i < rows->nrows; i++)
	{
		const char *hex = rc_cell(rows, i, 0);
		size_t		n = hex != NULL ? strlen(hex) / 2 : 0;

		if (n > 0 && n <= RC_KEY_MAX && rc_hex_decode(hex, 2 * n, bytes, n))
			rc_keys_add(keys, bytes, n < len ? n : len);
	}
}

/* As bytea compares: bytes, then length */
static int
compare(const rc_key *a, const rc_key *b)
{
	size_t		common = a->len < b->len ? a->len : b->len;
	int			order = memcmp(a->bytes, b->bytes, common);

	return order != 0 ? order : a->len < b->len ? -1 : a->len > b->len;
}

static int
compare_items(const void *a, const void *b)
{
	return compare(a, b);
}

/* Sorts keys, and leaves each once */
static void
sort_keys(rc_keys *keys)
{
	size_t		kept = 0;

	if (keys->n > 1)
		qsort(keys->items, keys->n, sizeof(*keys->items), compare_items);
	for (size_t i = 0; i < keys->n; i++)
	{
		if (kept == 0 || compare(&keys->items[kept - 1], &keys->items[i]) != 0)
			keys->items[kept++] = keys->items[i];
	}
	keys->n = kept;
}

/* Takes over a statement's answer; false: the step ends with its status */
static bool
take(rc_follow *follow, rc_store_status status, rc_rows *rows, size_t len, rc_keys *keys)
{
	follow->wanted_status = status;
	if (status == RC_STORE_OK)
		add_rows(rows, len, keys);
	rc_rows_free(rows);
	return status == RC_STORE_OK;
}

/* The keys of the requests that are looked back for: they were marked once, and stay the same until the look back ends */
static bool
load_late(rc_follow *follow)
{
	rc_rows		rows = {0};

	if (follow->late_version == follow->wanted.version)
		return true;
	follow->late.n = 0;
	if (!take(follow, rc_look_back_scripts(&follow->lease, &rows), &rows, RC_KEY_MAX, &follow->late))
		return false;
	sort_keys(&follow->late);
	follow->late_version = follow->wanted.version;
	return true;
}

/* rc_wanted.keys */
static bool
list_keys(const rc_wanted *wanted, const rc_key *after, int most, rc_keys *keys)
{
	rc_follow  *follow = wanted->ctx;
	char		hex[2 * RC_KEY_MAX + 1] = "";
	rc_rows		rows = {0};

	if (!follow->wanted_back)
	{
		if (after != NULL)
			rc_hex_encode(after->bytes, after->len, hex);
		return take(follow, rc_cursor_keys(&follow->lease, after != NULL ? hex : NULL, most, &rows), &rows, RC_KEY_MAX, keys);
	}
	if (!load_late(follow))
		return false;
	for (size_t i = 0; i < follow->late.n && most > 0; i++)
	{
		if (after != NULL && compare(&follow->late.items[i], after) <= 0)
			continue;
		rc_keys_add(keys, follow->late.items[i].bytes, follow->late.items[i].len);
		most--;
	}
	return true;
}

/* rc_wanted.prefixes */
static bool
list_prefixes(const rc_wanted *wanted, size_t len, rc_keys *prefixes)
{
	rc_follow  *follow = wanted->ctx;
	rc_rows		rows = {0};

	if (!follow->wanted_back)
	{
		if (!take(follow, rc_cursor_tokens(&follow->lease, &rows), &rows, len, prefixes))
			return false;
	}
	else if (!load_late(follow))
		return false;
	else
	{
		for (size_t i = 0; i < follow->late.n; i++)
			rc_keys_add(prefixes, follow->late.items[i].bytes, len < follow->late.items[i].len ? len : follow->late.items[i].len);
	}
	sort_keys(prefixes);
	return true;
}

/* Keys as a JSON array of hex, malloc'd */
static char *
keys_to_json(const rc_keys *keys)
{
	struct json_object *array = json_object_new_array();
	char		hex[2 * RC_KEY_MAX + 1];
	char	   *text;

	for (size_t i = 0; i < keys->n; i++)
	{
		rc_hex_encode(keys->items[i].bytes, keys->items[i].len, hex);
		json_object_array_add(array, json_object_new_string(hex));
	}
	text = rc_strdup(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN));
	json_object_put(array);
	return text;
}

/* rc_wanted.among */
static bool
find_among(const rc_wanted *wanted, const rc_keys *candidates, rc_keys *found)
{
	rc_follow  *follow = wanted->ctx;
	rc_rows		rows = {0};
	char	   *json;
	bool		answered;

	if (follow->wanted_back)
	{
		if (!load_late(follow))
			return false;
		for (size_t i = 0; i < candidates->n && follow->late.n > 0; i++)
		{
			const rc_key *key = &candidates->items[i];

			if (bsearch(key, follow->late.items, follow->late.n, sizeof(*key), compare_items) != NULL)
				rc_keys_add(found, key->bytes, key->len);
		}
		return true;
	}
	if (candidates->n == 0)
		return true;
	json = keys_to_json(candidates);
	answered = take(follow, rc_cursor_among(&follow->lease, json, &rows), &rows, RC_KEY_MAX, found);
	free(json);
	return answered;
}

void
rc_follow_want(rc_follow *follow, bool back)
{
	if (follow->wanted_back == back)
		return;
	follow->wanted_back = back;
	follow->wanted.version++;
}

void
rc_follow_wanted_begin(rc_follow *follow)
{
	follow->wanted.ctx = follow;
	follow->wanted.keys = list_keys;
	follow->wanted.prefixes = list_prefixes;
	follow->wanted.among = find_among;
	follow->wanted.version++;
	follow->wanted_back = false;
}
