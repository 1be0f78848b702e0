/* test_evm_blocks.c: an EVM chain as a source of blocks, read from a real node; RECONCILER_ANVIL (or ANVIL) names anvil's executable */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anvil_node.h"
#include "core/base/memory.h"
#include "core/chain/evm/source.h"
#include "poll_host.h"

/* transfer returns nothing */
#define QUIET_TOKEN \
	"0x67ffffffffffffffff33556100988060176000396000f360003560e01c806370a082311461002c578063a9059cbb14" \
	"610044578063313ce567146100395760006000fd5b6004355460005260206000f35b600660005260206000f35b335460" \
	"24358082106100925790033355602435600435540160043555602435600052600435337fddf252ad1be2c89b69c2b068" \
	"fc378daa952ba7f163c4a11628f55a4df523b3ef60206000a3005b60006000fd"

/* A hundredth of each transfer is kept */
#define FEE_TOKEN \
	"0x67ffffffffffffffff33556100a88060176000396000f360003560e01c806370a082311461002c578063a9059cbb14" \
	"610044578063313ce567146100395760006000fd5b6004355460005260206000f35b600660005260206000f35b335460" \
	"24358082106100a2579003335560646024350460243503600435540160043555602435600052600435337fddf252ad1b" \
	"e2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef60206000a3600160005260206000f35b60006000fd"

/* transfer emits the event and does nothing */
#define FALSE_TOKEN \
	"0x67ffffffffffffffff335561007f8060176000396000f360003560e01c806370a082311461002c578063a9059cbb14" \
	"610044578063313ce567146100395760006000fd5b6004355460005260206000f35b600660005260206000f35b602435" \
	"600052600435337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef60206000a3600160" \
	"005260206000f3"

/* Pays equal parts of the value that it gets to the addresses of its calldata */
#define DISPERSE \
	"0x61002880600c6000396000f360005b803611156100265760006000600060003660209004340485355af15060200161" \
	"0002565b00"

/* Calls transfer of the token (first word) with the amount (second) for each of the addresses that follow */
#define DISPERSE_TOKEN \
	"0x61004a80600c6000396000f363a9059cbb60e01b60005260203560245260405b803611156100425780356004526020" \
	"35602452600060006044600060006000355af11561004457602001610013565b005b60006000fd"

/* Pays half of the value to the address of its calldata in a call that then reverts, and half that stays */
#define HALF_REVERTS \
	"0x61004b80600c6000396000f336604014610036576000356000526001602052600060006040600060023404305af150" \
	"6000600060006000600234046000355af150005b6000600060006000346000355af15060006000fd"

/* SELFDESTRUCT to the address of its calldata */
#define DESTRUCTOR \
	"0x61000480600c6000396000f3600035ff"

#define MAX_KEYS 20000

/* The keys that are wanted, sorted as the database gives them */
static evm_key keys[MAX_KEYS];
static int	nkeys;
static int	statements;			/* of the database */
static rc_wanted wanted;

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(evm_key));
}

static bool
wanted_keys(const rc_wanted *self, const rc_key *after, int most, rc_keys *out)
{
	statements++;
	for (int i = 0; i < nkeys && most > 0; i++)
	{
		if (after != NULL && memcmp(&keys[i], after->bytes, sizeof(evm_key)) <= 0)
			continue;
		rc_keys_add(out, (const uint8_t *) &keys[i], sizeof(evm_key));
		most--;
	}
	return true;
}

static bool
wanted_prefixes(const rc_wanted *self, size_t len, rc_keys *out)
{
	statements++;
	for (int i = 0; i < nkeys; i++)
	{
		if (i == 0 || memcmp(&keys[i - 1], &keys[i], len) != 0)
			rc_keys_add(out, (const uint8_t *) &keys[i], len);
	}
	return true;
}

static bool
wanted_among(const rc_wanted *self, const rc_keys *candidates, rc_keys *found)
{
	statements++;
	for (size_t i = 0; i < candidates->n; i++)
	{
		if (bsearch(candidates->items[i].bytes, keys, (size_t) nkeys, sizeof(evm_key), compare) != NULL)
			rc_keys_add(found, candidates->items[i].bytes, candidates->items[i].len);
	}
	return true;
}

/* A key is wanted from now on; token NULL: the chain's own asset */
static void
want_later(const char *token, const char *holder)
{
	evm_key    *key = &keys[nkeys++];

	assert_true(nkeys <= MAX_KEYS);
	memset(key, 0, sizeof(*key));
	if (token != NULL)
		assert_true(evm_parse_bytes(token, key->token, sizeof(key->token)));
	assert_true(evm_parse_bytes(holder, key->holder, sizeof(key->holder)));
}

static void
want(const char *token, const char *holder)
{
	want_later(token, holder);
	qsort(keys, (size_t) nkeys, sizeof(evm_key), compare);
	wanted.version++;
}

/* An address that nobody has used */
static char *
new_holder(void)
{
	static unsigned number = 0x61000000;

	return rc_asprintf("0x%040x", number++);
}

/* What the last call of the source came to */
static struct
{
	bool		done;
	bool		moved;
	char	   *failure;
	rc_chain_tip tip;
	rc_block_id ids[32];
	int			nids;
	int			nblocks;
	bool		holds;
	char		previous[32][RC_HASH_SIZE];
	char	   *credits;		/* "height kind amount holder ordinal, …" of all blocks */
} last;

/* Credits as text, the order of a block's own kept */
static char *
credits_text(const rc_source_result *result)
{
	rc_buffer	out = {0};

	for (int i = 0; i < result->nblocks; i++)
	{
		const rc_read_block *block = &result->blocks[i];

		for (size_t j = 0; j < block->credits.n; j++)
		{
			const rc_credit *credit = &block->credits.items[j];
			char		amount[RC_UINT256_DECIMAL_SIZE];
			char		holder[41];

			rc_uint256_to_decimal(&credit->amount, amount);
			rc_hex_encode(credit->key.bytes + 20, 20, holder);
			rc_buffer_printf(&out, "%s%s %s 0x%s %" PRIu64 "%s", out.len > 0 ? ", " : "", rc_credit_kind_name(credit->kind),
							 amount, holder, credit->ordinal, credit->unverified ? " unverified" : "");
			assert_int_equal(strlen(credit->txid), credit->txid[0] != '\0' ? 66 : 0);
		}
	}
	return out.data != NULL ? out.data : rc_strdup("");
}

static void
keep_result(void *arg, rc_source_result *result)
{
	free(last.failure);
	free(last.credits);
	last.failure = result->failure.text != NULL ? rc_strdup(result->failure.text) : NULL;
	last.credits = credits_text(result);
	last.moved = result->moved;
	last.tip = result->tip;
	last.holds = result->holds;
	last.nblocks = result->nblocks;
	for (int i = 0; i < result->nblocks; i++)
		memcpy(last.previous[i], result->blocks[i].previous, RC_HASH_SIZE);
	for (int i = 0; i < result->nhashes; i++)
		memcpy(last.ids[i].hash, result->hashes[i], RC_HASH_SIZE);
	last.nids = result->nhashes;
	last.done = true;
}

static void
wait_for_result(void)
{
	while (!last.done)
		rc_http_step(node.http, 1000);
	last.done = false;
}

static rc_source *
open_source(void)
{
	rc_source_context context = {node.http, poll_host(), &node.network, &node.endpoint, &wanted};

	return rc_evm_blocks.open(&context);
}

static int64_t
height(void)
{
	return strtoll(rpc("eth_blockNumber", "[]") + 1, NULL, 16);
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* A list in its alphabetical order: credits of different keys may come in any */
static char *
sorted(const char *list)
{
	char	   *copy = rc_strdup(list);
	char	   *items[2000];
	int			n = 0;
	rc_buffer	out = {0};

	for (char *item = copy; item != NULL && *item != '\0';)
	{
		char	   *end = strstr(item, ", ");

		if (end != NULL)
			*end = '\0';
		items[n++] = item;
		item = end != NULL ? end + 2 : NULL;
	}
	qsort(items, (size_t) n, sizeof(items[0]), compare_texts);
	for (int i = 0; i < n; i++)
		rc_buffer_printf(&out, "%s%s", i > 0 ? ", " : "", items[i]);
	free(copy);
	return out.data != NULL ? out.data : rc_strdup("");
}

/* Reads the blocks [from, to] and compares what they credit */
static void
assert_credits(int64_t from, int64_t to, const char *expected)
{
	rc_source  *source = open_source();
	rc_buffer	credits = {0};
	char	   *found;
	char	   *wish;

	wanted.version++;
	rc_evm_blocks.tip(source, keep_result, NULL);
	wait_for_result();
	assert_null(last.failure);
	while (from <= to)
	{
		int			n = to - from + 1 < 20 ? (int) (to - from + 1) : 20;
		rc_block_id ids[20];

		rc_evm_blocks.hashes(source, from, n, keep_result, NULL);
		wait_for_result();
		assert_null(last.failure);
		assert_int_equal(last.nids, n);
		for (int i = 0; i < n; i++)
		{
			ids[i] = last.ids[i];
			ids[i].height = from + i;
		}
		rc_evm_blocks.read(source, ids, n, keep_result, NULL);
		wait_for_result();
		if (last.failure != NULL)
			fail_msg("%s", last.failure);
		assert_false(last.moved);
		assert_true(last.nblocks > 0);
		for (int i = 1; i < last.nblocks; i++)
			assert_string_equal(last.previous[i], ids[i - 1].hash);
		if (last.credits[0] != '\0')
			rc_buffer_printf(&credits, "%s%s", credits.len > 0 ? ", " : "", last.credits);
		from += last.nblocks;
	}
	rc_evm_blocks.close(source);
	found = sorted(credits.data != NULL ? credits.data : "");
	wish = sorted(expected);
	assert_string_equal(found, wish);
	free(found);
	free(wish);
	rc_buffer_free(&credits);
}

/* The same, whichever way is taken: by holder or by token, listed or not, with or without creation code */
static void
assert_credits_always(int64_t from, int64_t to, const char *expected)
{
	evm_ledger_limits *limits = &evm_learned_of(&node.endpoint)->ledger;
	evm_ledger_limits before = *limits;
	static evm_key few[MAX_KEYS];
	int			nfew = nkeys;

	memcpy(few, keys, sizeof(keys));
	assert_credits(from, to, expected);
	limits->no_holders = true;
	assert_credits(from, to, expected);
	limits->no_creation = true;
	assert_credits(from, to, expected);
	limits->holders = 1;
	limits->tokens = 1;
	limits->blocks = 1;
	limits->no_holders = false;
	assert_credits(from, to, expected);
	*limits = before;
	for (int i = 0; i < 1001; i++)
	{
		char	   *other = new_holder();

		want(i % 2 ? node.token : NULL, other);
		free(other);
	}
	assert_credits(from, to, expected);
	limits->no_tokens = true;
	limits->holders = 700;
	assert_credits(from, to, expected);
	*limits = before;
	memcpy(keys, few, sizeof(keys));
	nkeys = nfew;
}

/* Transactions wait for the block that is to have them */
static bool collecting;

/* Sends a transaction, and waits until it is mined unless more are to come */
static void
send(const char *params)
{
	char	   *hash = rc_asprintf("[%s]", rpc("eth_sendTransaction", params));

	while (!collecting && strcmp(rpc("eth_getTransactionReceipt", hash), "null") == 0)
		continue;
	free(hash);
}

static void
transfer(const char *from, const char *token, const char *to, unsigned amount)
{
	char	   *params = rc_asprintf("[{\"from\":\"%s\",\"to\":\"%s\",\"data\":\"0xa9059cbb%024d%s%064x\",\"gas\":\"0x30000\"}]",
									 from, token, 0, to + 2, amount);

	send(params);
	free(params);
}

static void
pay(const char *to, const char *value, const char *data)
{
	char	   *params = rc_asprintf("[{\"from\":\"" RICH "\",\"to\":\"%s\",\"value\":\"%s\",\"data\":\"0x%s\",\"gas\":\"0x900000\"}]",
									 to, value, data);

	send(params);
	free(params);
}

/* A block with all that was sent since */
static void
begin_block(void)
{
	(void) rpc("evm_setAutomine", "[false]");
	collecting = true;
}

static void
end_block(void)
{
	(void) rpc("anvil_mine", "[\"0x1\"]");
	(void) rpc("evm_setAutomine", "[true]");
	collecting = false;
}

/* The address acts as an account of its own */
static void
act_as(const char *address)
{
	char	   *params = rc_asprintf("[\"%s\",\"0xde0b6b3a7640000\"]", address);

	(void) rpc("anvil_setBalance", params);
	free(params);
	params = rc_asprintf("[\"%s\"]", address);
	(void) rpc("anvil_impersonateAccount", params);
	free(params);
}

/* assert_credits_always, of a list that names holders */
#define ASSERT_ALWAYS(from, to, ...) \
	do \
	{ \
		char	   *expected_ = rc_asprintf(__VA_ARGS__); \
\
		assert_credits_always(from, to, expected_); \
		free(expected_); \
	} while (0)

static void
test_tokens(void **state)
{
	char	   *tokens[] = {node.token, deploy(QUIET_TOKEN), deploy(FEE_TOKEN), deploy(FALSE_TOKEN)};
	char	   *a = new_holder();
	char	   *b = new_holder();
	int64_t		from;

	(void) state;
	nkeys = 0;
	for (int i = 0; i < 4; i++)
		want(tokens[i], a);
	want(node.token, b);
	act_as(a);
	from = height() + 1;
	begin_block();
	transfer(RICH, node.token, a, 70);
	transfer(RICH, tokens[1], a, 80);
	transfer(RICH, tokens[2], a, 1000);
	transfer(RICH, tokens[3], a, 999);
	transfer(RICH, node.token, a, 1);
	end_block();
	ASSERT_ALWAYS(from, from, "token 70 %s 0, token 1 %s 0, token 80 %s 0, token 990 %s 0", a, a, a, a);

	/* An endpoint that has no logs: as much by balances, without a transaction */
	evm_learned_of(&node.endpoint)->ledger.no_logs = true;
	ASSERT_ALWAYS(from, from, "internal 71 %s 0, internal 80 %s 0, internal 990 %s 0", a, a, a);
	evm_learned_of(&node.endpoint)->ledger.no_logs = false;

	/* Swept in the block in which it came, to one who is wanted, too; and something to itself */
	begin_block();
	transfer(RICH, node.token, a, 6);
	transfer(a, node.token, b, 60);
	transfer(a, node.token, a, 3);
	end_block();
	assert_int_equal(height(), from + 1);
	ASSERT_ALWAYS(from + 1, from + 1, "token 6 %s 0, token 60 %s 0", a, b);

	/* A token that b has no request in; nothing; and one's own event doesn't make another's */
	transfer(RICH, tokens[2], b, 100);
	transfer(RICH, node.token, a, 0);
	transfer(a, node.token, a, 1);
	ASSERT_ALWAYS(from + 2, from + 4, "%s", "");
	for (int i = 1; i < 4; i++)
		free(tokens[i]);
	free(a);
	free(b);
}

/* Five hundred in one transaction */
static void
test_many_in_one(void **state)
{
	char	   *disperse = deploy(DISPERSE_TOKEN);
	rc_buffer	data = {0};
	rc_buffer	expected = {0};
	char	   *params;
	int64_t		from;

	(void) state;
	nkeys = 0;
	transfer(RICH, node.token, disperse, 1000000);
	rc_buffer_printf(&data, "%024d%s%064x", 0, node.token + 2, 7);
	for (int i = 0; i < 500; i++)
	{
		char	   *holder = new_holder();

		want(node.token, holder);
		rc_buffer_printf(&data, "%024d%s", 0, holder + 2);
		rc_buffer_printf(&expected, "%stoken 7 %s %d", i > 0 ? ", " : "", holder, i);
		free(holder);
	}
	from = height() + 1;
	params = rc_asprintf("[{\"from\":\"" RICH "\",\"to\":\"%s\",\"data\":\"0x%s\",\"gas\":\"0xf00000\"}]", disperse, data.data);
	send(params);
	free(params);
	assert_credits(from, from, expected.data);
	rc_buffer_free(&data);
	rc_buffer_free(&expected);
	free(disperse);
}

/* The chain's own coin: by transaction, by contracts, and what only looks so */
static void
test_native(void **state)
{
	char	   *disperse = deploy(DISPERSE);
	char	   *half = deploy(HALF_REVERTS);
	char	   *destructor = deploy(DESTRUCTOR);
	char	   *a = new_holder();
	char	   *b = new_holder();
	char	   *data;
	int64_t		from;

	(void) state;
	nkeys = 0;
	want(NULL, a);
	want(NULL, b);
	want(NULL, half);
	node.network.native_blocks = true;
	from = height() + 1;
	begin_block();
	pay(a, "0x64", "");
	pay(b, "0x0", "");
	data = rc_asprintf("%024d%s%024d%s", 0, a + 2, 0, b + 2);
	pay(disperse, "0xa", data);
	free(data);
	data = rc_asprintf("%024d%s", 0, b + 2);
	pay(half, "0x14", data);
	pay(destructor, "0x3", data);
	free(data);

	end_block();
	node.network.traces = false;

	/* By balances alone, without a transaction */
	ASSERT_ALWAYS(from, from, "native 100 %s 0, native 20 %s 0, internal 5 %s 0, internal 18 %s 0", a, half, a, b);
	node.network.traces = true;
	ASSERT_ALWAYS(from, from, "native 100 %s 0, native 20 %s 0, internal 5 %s 0, internal 5 %s 1, internal 10 %s 0, internal 3 %s 0",
				  a, half, a, b, b, b);
	evm_learned_of(&node.endpoint)->ledger.traces = EVM_TRACE_CALLS;
	ASSERT_ALWAYS(from, from, "native 100 %s 0, native 20 %s 0, internal 5 %s 0, internal 5 %s 1, internal 10 %s 0, internal 3 %s 0",
				  a, half, a, b, b, b);
	assert_int_equal(evm_learned_of(&node.endpoint)->ledger.traces, EVM_TRACE_CALLS);
	evm_learned_of(&node.endpoint)->ledger.traces = EVM_TRACE_BLOCK;
	node.network.traces = false;
	free(disperse);
	free(half);
	free(destructor);
	free(a);
	free(b);
}

/* A transaction that fails pays nobody, though it stands in its block with its value */
static void
test_failed_transaction(void **state)
{
	char	   *refuser = new_holder();
	char	   *params = rc_asprintf("[\"%s\",\"0x60006000fd\"]", refuser);
	int64_t		from;

	(void) state;
	(void) rpc("anvil_setCode", params);
	free(params);
	nkeys = 0;
	want(NULL, refuser);
	node.network.native_blocks = true;
	from = height() + 1;
	begin_block();
	pay(refuser, "0x64", "");
	end_block();
	assert_int_equal(height(), from);
	assert_credits_always(from, from, "");
	free(refuser);
}

/* What is asked of a block that was abandoned, or is none */
static void
test_reorganised(void **state)
{
	char	   *a = new_holder();
	rc_source  *source;
	rc_block_id id;

	(void) state;
	nkeys = 0;
	want(node.token, a);
	(void) rpc("anvil_mine", "[\"0x3\"]");
	transfer(RICH, node.token, a, 5);
	source = open_source();
	rc_evm_blocks.tip(source, keep_result, NULL);
	wait_for_result();
	id.height = last.tip.height;
	memcpy(id.hash, last.tip.hash, sizeof(id.hash));
	rc_evm_blocks.check(source, &id, keep_result, NULL);
	wait_for_result();
	assert_true(last.holds);
	rc_evm_blocks.read(source, &id, 1, keep_result, NULL);
	wait_for_result();
	assert_int_equal(last.nblocks, 1);
	assert_string_not_equal(last.credits, "");
	(void) rpc("anvil_reorg", "[2,[]]");
	rc_evm_blocks.check(source, &id, keep_result, NULL);
	wait_for_result();
	assert_null(last.failure);
	assert_false(last.holds);
	rc_evm_blocks.read(source, &id, 1, keep_result, NULL);
	wait_for_result();
	assert_true(last.moved);

	/* Above the tip there is none */
	rc_evm_blocks.hashes(source, height(), 3, keep_result, NULL);
	wait_for_result();
	assert_null(last.failure);
	assert_int_equal(last.nids, 3);
	assert_int_equal(strlen(last.ids[0].hash), 66);
	assert_string_equal(last.ids[1].hash, "");
	rc_evm_blocks.close(source);

	/* Another chain */
	node.network.chain_id++;
	node.endpoint.verified = false;
	source = open_source();
	rc_evm_blocks.tip(source, keep_result, NULL);
	wait_for_result();
	assert_non_null(strstr(last.failure, "wrong chain"));
	rc_evm_blocks.close(source);
	node.network.chain_id--;
	free(a);
}

/*
 * What a block costs does not depend on how many requests are open: the same calls,
 * and as many bytes. 20 blocks of 20 transfers each, of which none concerns us
 */
static void
test_cost(void **state)
{
	static const int open[] = {100, 1000, 10000, 20000};
	rc_meter	costs[4];
	char	   *stranger = new_holder();
	int64_t		from = height() + 1;

	(void) state;
	node.network.native_blocks = false;
	for (int i = 0; i < 20; i++)
	{
		begin_block();
		for (int j = 0; j < 20; j++)
			transfer(RICH, node.token, stranger, 1);
		end_block();
	}
	nkeys = 0;
	evm_learned_of(&node.endpoint)->ledger.logs = -1;
	for (int i = 0; i < 4; i++)
	{
		while (nkeys < open[i])
		{
			char	   *holder = new_holder();

			want_later(node.token, holder);
			free(holder);
		}
		qsort(keys, (size_t) nkeys, sizeof(evm_key), compare);

		/* The first reading finds out which way is cheaper */
		for (int j = 0; j < 2; j++)
		{
			memset(&node.endpoint.meter, 0, sizeof(node.endpoint.meter));
			statements = 0;
			assert_credits(from, from + 19, "");
		}
		costs[i] = node.endpoint.meter;
		print_message("# %d open requests, 20 blocks: %d calls, %d statements, a block %d bytes sent and %d received\n", open[i],
					  (int) costs[i].calls, statements, (int) costs[i].bytes_sent / 20, (int) costs[i].bytes_received / 20);
		assert_int_equal(costs[i].calls, costs[0].calls);
	}
	assert_true(costs[3].bytes_sent + costs[3].bytes_received < 3 * (costs[0].bytes_sent + costs[0].bytes_received));
	assert_int_equal(costs[2].bytes_sent, costs[3].bytes_sent);
	free(stranger);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens), cmocka_unit_test(test_many_in_one), cmocka_unit_test(test_native),
		cmocka_unit_test(test_failed_transaction), cmocka_unit_test(test_reorganised),
		cmocka_unit_test(test_cost),
	};
	int			failed;

	if (anvil_path() == NULL)
	{
		printf("skipped: RECONCILER_ANVIL does not name anvil's executable\n");
		return 0;
	}
	node.network.token_logs = true;
	wanted.keys = wanted_keys;
	wanted.prefixes = wanted_prefixes;
	wanted.among = wanted_among;
	failed = cmocka_run_group_tests(tests, anvil_setup, anvil_teardown);
	free(last.failure);
	free(last.credits);
	return failed;
}
