/* test_seen.c: what is remembered of pending transactions, and the form in which SQL takes credits */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/memory.h"
#include "core/follow/seen.h"

/* A made-up id for number i */
static const char *
make_txid(int i)
{
	static char txid[RC_HASH_SIZE];

	snprintf(txid, sizeof(txid), "%08x%056x", (unsigned) i * 2654435761u, (unsigned) i);
	return txid;
}

static void
count_found(void *arg, const char *txid)
{
	assert_int_equal(strlen(txid), 64);
	++*(int *) arg;
}

static void
test_seen(void **state)
{
	rc_seen    *seen = rc_seen_create();
	rc_credit	credit = {.key.len = 22};
	rc_credits	credits = {&credit, 1, 1};
	int			found = 0;

	(void) state;
	rc_seen_find(seen, &credit.key, count_found, &found);
	rc_seen_begin(seen);
	for (int i = 0; i < 5000; i++)
	{
		assert_true(rc_seen_list(seen, make_txid(i)));
		credit.key.bytes[2] = (uint8_t) (i % 100);
		rc_seen_add(seen, make_txid(i), &credits);
		rc_seen_add(seen, make_txid(i), &credits);
	}
	rc_seen_end(seen);
	assert_false(rc_seen_list(seen, "no hash"));
	assert_false(rc_seen_has(seen, make_txid(5000)));
	credit.key.bytes[2] = 7;
	rc_seen_find(seen, &credit.key, count_found, &found);
	assert_int_equal(found, 50);

	/* Half of them leave */
	rc_seen_begin(seen);
	for (int i = 0; i < 5000; i += 2)
		assert_false(rc_seen_list(seen, make_txid(i)));
	rc_seen_end(seen);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(rc_seen_has(seen, make_txid(i)), i % 2 == 0);
	found = 0;
	rc_seen_find(seen, &credit.key, count_found, &found);
	assert_int_equal(found, 0);
	credit.key.bytes[2] = 8;
	rc_seen_find(seen, &credit.key, count_found, &found);
	assert_int_equal(found, 50);
	rc_seen_free(seen);
}

static void
test_credits_as_json(void **state)
{
	rc_credits	credits = {0};
	rc_credit  *credit;
	char	   *json;

	(void) state;
	json = rc_credits_to_json(NULL, 0);
	assert_string_equal(json, "[]");
	free(json);

	credit = rc_credits_add(&credits);
	strcpy(credit->txid, make_txid(0));
	credit->ordinal = 4294967296;
	credit->key.len = 2;
	credit->key.bytes[0] = 0xab;
	rc_uint256_from_u64(&credit->amount, 5);

	credit = rc_credits_add(&credits);
	credit->kind = RC_CREDIT_INTERNAL;
	memset(&credit->amount, 0xff, sizeof(credit->amount));
	strcpy(credit->sender, "0xAb");
	credit->unverified = true;

	/* A sender's words are no JSON */
	credit = rc_credits_add(&credits);
	credit->kind = RC_CREDIT_TOKEN;
	strcpy(credit->sender, "\",1],[");

	json = rc_credits_to_json(credits.items, credits.n);
	assert_string_equal(json, "[[\"0000000000000000000000000000000000000000000000000000000000000000\",4294967296,\"ab00\",5],"
						"[null,0,\"\",115792089237316195423570985008687907853269984665640564039457584007913129639935,"
						"\"internal\",\"0xAb\",true],"
						"[null,0,\"\",0,\"token\",null]]");
	free(json);
	rc_credits_free(&credits);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seen),
		cmocka_unit_test(test_credits_as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
