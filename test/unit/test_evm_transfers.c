/* test_evm_transfers.c: what a block's events, transactions and traces say of transfers, and what of it arrived */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "core/base/memory.h"
#include "core/chain/evm/transfer.h"

#define HASH "0x1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_HASH "0x2222222222222222222222222222222222222222222222222222222222222222"
#define TX(n) "0x00000000000000000000000000000000000000000000000000000000000000" n
#define TOKEN "0x7000000000000000000000000000000000000007"
#define OTHER_TOKEN "0x8000000000000000000000000000000000000008"
#define HOLDER "0xa00000000000000000000000000000000000000a"
#define PAYER "0xb00000000000000000000000000000000000000b"
#define TOPIC(address) "0x000000000000000000000000" address
#define WORD_5 "0x0000000000000000000000000000000000000000000000000000000000000005"

static const uint8_t *
address(const char *text)
{
	static uint8_t bytes[4][RC_EVM_ADDRESS_BYTES];
	static int	next = 0;

	next = (next + 1) % 4;
	assert_true(evm_parse_bytes(text, bytes[next], RC_EVM_ADDRESS_BYTES));
	return bytes[next];
}

/* The keys that everything below looks for: the holder's of the token, and of the chain's own asset */
static evm_wanted
wanted_keys(void)
{
	evm_wanted	wanted = {0};
	uint8_t		key[EVM_KEY_BYTES] = {0};

	memcpy(key + RC_EVM_ADDRESS_BYTES, address(HOLDER), RC_EVM_ADDRESS_BYTES);
	assert_true(evm_wanted_add(&wanted, key, sizeof(key)));
	memcpy(key, address(TOKEN), RC_EVM_ADDRESS_BYTES);
	assert_true(evm_wanted_add(&wanted, key, sizeof(key)));
	assert_true(evm_wanted_add(&wanted, key, sizeof(key)));
	assert_false(evm_wanted_add(&wanted, key, sizeof(key) - 1));
	evm_wanted_finish(&wanted);
	return wanted;
}

static void
test_wanted(void **state)
{
	evm_wanted	wanted = wanted_keys();

	(void) state;
	assert_int_equal(wanted.n, 2);
	assert_int_equal(wanted.nnative, 1);
	assert_int_equal(wanted.ntokens, 1);
	assert_int_equal(wanted.nholders, 1);
	assert_true(evm_wanted_has(&wanted, address(TOKEN), address(HOLDER)));
	assert_true(evm_wanted_has(&wanted, evm_native, address(HOLDER)));
	assert_false(evm_wanted_has(&wanted, address(OTHER_TOKEN), address(HOLDER)));
	assert_false(evm_wanted_has(&wanted, address(TOKEN), address(PAYER)));
	assert_true(evm_wanted_has_holder(&wanted, address(HOLDER)));
	assert_false(evm_wanted_has_holder(&wanted, address(PAYER)));
	assert_true(evm_wanted_has_token(&wanted, address(TOKEN)));
	assert_false(evm_wanted_has_token(&wanted, evm_native));
	evm_wanted_free(&wanted);
}

/* One event of a case: kind is + in, - out, = to oneself, ? of another contract */
typedef struct event
{
	char		kind;
	const char *amount;
} event;

typedef struct credit_case
{
	const char *name;
	const char *before;			/* NULL: not to be had */
	const char *after;
	event		events[4];
	const char *credits;		/* joined by blanks */
	bool		contradiction;
} credit_case;

#define MAX "115792089237316195423570985008687907853269984665640564039457584007913129639935"

static const credit_case credit_cases[] = {
	{"plain", "0", "100", {{'+', "100"}}, "100", false},
	{"to one who had something", "50", "150", {{'+', "100"}}, "100", false},
	{"two payments", "0", "30", {{'+', "10"}, {'+', "20"}}, "10 20", false},
	{"a fee taken on the way", "0", "98", {{'+', "100"}}, "98", false},
	{"a fee, and something went out", "0", "58", {{'+', "100"}, {'-', "40"}}, "98", false},
	{"a fee on two payments is shared", "0", "297", {{'+', "100"}, {'+', "200"}}, "99 198", false},
	{"shares are rounded so that none is lost", "0", "2", {{'+', "1"}, {'+', "1"}, {'+', "1"}}, "1 1", false},
	{"swept in the same block", "0", "0", {{'+', "100"}, {'-', "100"}}, "100", false},
	{"swept with what was there before", "50", "0", {{'+', "100"}, {'-', "150"}}, "100", false},
	{"to oneself", "100", "100", {{'=', "40"}}, "", false},
	{"to oneself and from another", "100", "105", {{'=', "40"}, {'+', "5"}}, "5", false},
	{"to oneself, with a fee", "100", "99", {{'=', "40"}}, "", true},
	{"minted with an event", "0", "7", {{'+', "7"}}, "7", false},
	{"minted without one", "0", "7", {{0}}, "", false},
	{"a false event", "0", "0", {{'+', "999"}}, "", false},
	{"a false and a true one", "0", "5", {{'+', "999"}, {'+', "5"}}, "4 1", false},
	{"a true one, and a false one out", "0", "100", {{'+', "100"}, {'-', "1000"}}, "100", false},
	{"nothing came, and it says nothing", "10", "10", {{'+', "0"}}, "", false},
	{"another contract's event", "0", "0", {{'?', "100"}}, "", false},
	{"another contract's event beside the token's", "0", "5", {{'?', "100"}, {'+', "5"}}, "5", false},
	{"the token adds to all balances", "100", "215", {{'+', "5"}}, "5", false},
	{"the token takes from all balances", "100", "95", {{'+', "5"}}, "", true},
	{"it fell by more than went out", "100", "10", {{'-', "50"}}, "", true},
	{"no state: as it is said", NULL, NULL, {{'+', "3"}, {'+', "4"}}, "3 4", false},
	{"no such amounts exist", "0", "5", {{'+', MAX}, {'+', MAX}}, "", true},
	{"as much as there can be", "0", MAX, {{'+', MAX}}, MAX, false},
	{"out and after together are too much", "0", MAX, {{'+', MAX}, {'-', "1"}}, "", true},
};

static evm_transfers
case_events(const event *events)
{
	evm_transfers transfers = {0};

	for (int i = 0; i < 4 && events[i].kind != 0; i++)
	{
		evm_transfer *transfer = evm_transfers_add(&transfers);
		char		kind = events[i].kind;

		transfer->kind = EVM_BY_TOKEN;
		transfer->ordinal = (uint64_t) i;
		memcpy(transfer->token, address(kind == '?' ? OTHER_TOKEN : TOKEN), RC_EVM_ADDRESS_BYTES);
		memcpy(transfer->from, address(kind == '-' || kind == '=' ? HOLDER : PAYER), RC_EVM_ADDRESS_BYTES);
		memcpy(transfer->to, address(kind == '-' ? PAYER : HOLDER), RC_EVM_ADDRESS_BYTES);
		assert_true(rc_uint256_from_decimal(&transfer->amount, events[i].amount));
	}
	return transfers;
}

static void
test_credits(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(credit_cases) / sizeof(credit_cases[0]); i++)
	{
		const credit_case *test = &credit_cases[i];
		evm_transfers events = case_events(test->events);
		evm_transfers credits = {0};
		rc_uint256	before;
		rc_uint256	after;
		evm_arrival arrival = {address(TOKEN), address(HOLDER), test->before ? &before : NULL, test->after ? &after : NULL};
		rc_buffer	text = {0};

		assert_true(test->before == NULL || rc_uint256_from_decimal(&before, test->before));
		assert_true(test->after == NULL || rc_uint256_from_decimal(&after, test->after));
		if (evm_credit_arrival(&events, &arrival, &credits) != test->contradiction)
			fail_msg("%s: contradiction", test->name);
		for (size_t j = 0; j < credits.n; j++)
		{
			char		amount[RC_UINT256_DECIMAL_SIZE];

			rc_uint256_to_decimal(&credits.items[j].amount, amount);
			rc_buffer_printf(&text, "%s%s", j > 0 ? " " : "", amount);
			assert_int_equal(credits.items[j].unverified, test->before == NULL);
		}
		if (strcmp(text.data ? text.data : "", test->credits) != 0)
			fail_msg("%s: %s, not %s", test->name, text.data ? text.data : "nothing", test->credits);
		rc_buffer_free(&text);
		evm_transfers_free(&events);
		evm_transfers_free(&credits);
	}
}

static void
test_share(void **state)
{
	static const char *const cases[][4] = {
		{"7", "3", "2", "10"}, {MAX, MAX, MAX, MAX}, {MAX, "2", "4", NULL}, {MAX, "3", "2", NULL}, {"1", "1", "0", NULL},
		{"0", MAX, "5", "0"}, {MAX, "1", "1", MAX}, {"340282366920938463463374607431768211456",
			"340282366920938463463374607431768211456", "115792089237316195423570985008687907853269984665640564039457584007913129639935", "1"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		rc_uint256	v[3];
		rc_uint256	result;
		char		text[RC_UINT256_DECIMAL_SIZE];
		bool		fits;

		for (int j = 0; j < 3; j++)
			assert_true(rc_uint256_from_decimal(&v[j], cases[i][j]));
		fits = rc_uint256_share(&result, &v[0], &v[1], &v[2]);
		if (i == 2)
		{
			/* 2^256 - 1 twice, in four */
			rc_uint256_to_decimal(&result, text);
			assert_true(fits);
			assert_string_equal(text, "57896044618658097711785492504343953926634992332820282019728792003956564819967");
			continue;
		}
		assert_int_equal(fits, cases[i][3] != NULL);
		if (fits)
		{
			rc_uint256_to_decimal(&result, text);
			assert_string_equal(text, cases[i][3]);
		}
	}
}

/* A log with one thing in it replaced */
#define LOG(block, address, topics, data, removed) \
	"[{\"blockHash\":\"" block "\",\"address\":\"" address "\",\"topics\":[" topics "],\"data\":\"" data "\"," \
	"\"logIndex\":\"0x3\",\"transactionHash\":\"" TX("aa") "\",\"removed\":" removed "}]"
#define TOPICS(from, to) "\"" EVM_TRANSFER_TOPIC "\",\"" from "\",\"" to "\""
#define TO_HOLDER TOPICS(TOPIC("b00000000000000000000000000000000000000b"), TOPIC("a00000000000000000000000000000000000000a"))
#define FROM_HOLDER TOPICS(TOPIC("a00000000000000000000000000000000000000a"), TOPIC("b00000000000000000000000000000000000000b"))

static void
test_logs(void **state)
{
	static const struct
	{
		const char *answer;
		bool		by_token;
		bool		outgoing;
		int			kept;		/* -1: it is no answer to the question */
	}			cases[] = {
		{"[]", false, false, 0},
		{"{}", false, false, -1},
		{"[1]", false, false, -1},
		{LOG(HASH, TOKEN, TO_HOLDER, WORD_5, "false"), false, false, 1},
		{LOG(HASH, TOKEN, TO_HOLDER, WORD_5, "false"), true, false, 1},
		{LOG(HASH, TOKEN, FROM_HOLDER, WORD_5, "false"), true, false, 1},
		{LOG(HASH, TOKEN, FROM_HOLDER, WORD_5, "false"), false, true, 1},
		{LOG(HASH, TOKEN, FROM_HOLDER, WORD_5, "false"), false, false, -1},
		{LOG(HASH, TOKEN, TO_HOLDER, WORD_5, "false"), false, true, -1},
		{LOG(OTHER_HASH, TOKEN, TO_HOLDER, WORD_5, "false"), false, false, -1},
		{LOG(HASH, TOKEN, TO_HOLDER, WORD_5, "true"), false, false, -1},
		{LOG(HASH, OTHER_TOKEN, TO_HOLDER, WORD_5, "false"), false, false, 0},
		{LOG(HASH, OTHER_TOKEN, TO_HOLDER, WORD_5, "false"), true, false, -1},
		/* An NFT: the number is a topic */
		{LOG(HASH, TOKEN, TO_HOLDER ",\"" WORD_5 "\"", "0x", "false"), false, false, 0},
		{LOG(HASH, TOKEN, TO_HOLDER, "0x05", "false"), false, false, 0},
		{LOG(HASH, TOKEN, TOPICS(TOPIC("b00000000000000000000000000000000000000b"),
								 "0x010000000000000000000000a00000000000000000000000000000000000000a"), WORD_5, "false"), false, false, 0},
		{LOG(HASH, TOKEN, "\"" TX("01") "\",\"" TX("02") "\",\"" TX("03") "\"", WORD_5, "false"), true, false, -1},
		{LOG(HASH, TOKEN, "null", WORD_5, "false"), true, false, -1},
		{LOG(HASH, TOKEN, "", WORD_5, "false"), true, false, -1},
	};
	evm_wanted	wanted = wanted_keys();

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		evm_log_filter filter = {HASH, &wanted, cases[i].by_token, cases[i].outgoing};
		struct json_object *answer = json_tokener_parse(cases[i].answer);
		evm_transfers transfers = {0};
		const char *problem = evm_logs_take(answer, &filter, &transfers);

		assert_non_null(answer);
		if ((problem != NULL) != (cases[i].kept < 0))
			fail_msg("log %zu: %s", i, problem ? problem : "taken");
		if (problem == NULL)
		{
			/* The answer to another question that has the same log changes nothing */
			assert_null(evm_logs_take(answer, &filter, &transfers));
			evm_transfers_keep(&transfers, &wanted);
			assert_int_equal(transfers.n, cases[i].kept);
		}
		json_object_put(answer);
		evm_transfers_free(&transfers);
	}
	evm_wanted_free(&wanted);
}

static void
test_log_params(void **state)
{
	evm_wanted	wanted = wanted_keys();
	evm_log_filter filter = {HASH, &wanted, false, false};
	char	   *params;

	(void) state;
	/* An empty list would mean any, or none */
	assert_null(evm_logs_params(&filter, 0, 0));
	params = evm_logs_params(&filter, 0, 1);
	assert_string_equal(params, "[{\"blockHash\":\"" HASH "\",\"topics\":[\"" EVM_TRANSFER_TOPIC "\",null,[\""
						TOPIC("a00000000000000000000000000000000000000a") "\"]]}]");
	free(params);
	filter.outgoing = true;
	params = evm_logs_params(&filter, 0, 1);
	assert_string_equal(params, "[{\"blockHash\":\"" HASH "\",\"topics\":[\"" EVM_TRANSFER_TOPIC "\",[\""
						TOPIC("a00000000000000000000000000000000000000a") "\"]]}]");
	free(params);
	filter.by_token = true;
	params = evm_logs_params(&filter, 0, 1);
	assert_string_equal(params, "[{\"blockHash\":\"" HASH "\",\"address\":[\"" TOKEN "\"],\"topics\":[\"" EVM_TRANSFER_TOPIC "\"]}]");
	free(params);
	evm_wanted_free(&wanted);
}

#define BLOCK(hash, transactions) "{\"hash\":\"" hash "\",\"transactions\":[" transactions "]}"
#define TRANSACTION(n, from, to, value) \
	"{\"hash\":\"" TX("aa") "\",\"from\":\"" from "\",\"to\":" to ",\"value\":\"" value "\",\"transactionIndex\":\"" n "\"}"

static void
test_transactions(void **state)
{
	static const struct
	{
		const char *block;
		int			kept;		/* -1: refused */
	}			cases[] = {
		{BLOCK(HASH, ""), 0},
		{BLOCK(HASH, TRANSACTION("0x0", PAYER, "\"" HOLDER "\"", "0x5")), 1},
		{BLOCK(HASH, TRANSACTION("0x0", PAYER, "\"" HOLDER "\"", "0x0")), 0},
		{BLOCK(HASH, TRANSACTION("0x0", HOLDER, "\"" HOLDER "\"", "0x5")), 0},
		{BLOCK(HASH, TRANSACTION("0x0", HOLDER, "\"" PAYER "\"", "0x5")), 0},
		{BLOCK(HASH, TRANSACTION("0x0", PAYER, "null", "0x5")), 0},
		{BLOCK(HASH, TRANSACTION("0x1", PAYER, "\"" HOLDER "\"", "0x5")), -1},
		{BLOCK(HASH, TRANSACTION("0x0", PAYER, "\"" HOLDER "\"", "five")), -1},
		{BLOCK(HASH, TRANSACTION("0x0", PAYER, "\"0x12\"", "0x5")), -1},
		{BLOCK(HASH, "\"" TX("aa") "\""), -1},
		{BLOCK(OTHER_HASH, ""), -1},
		{"{\"hash\":\"" HASH "\"}", -1},
	};
	evm_wanted	wanted = wanted_keys();

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct json_object *block = json_tokener_parse(cases[i].block);
		evm_transfers transfers = {0};
		const char *problem = evm_native_take(block, HASH, &transfers);

		assert_non_null(block);
		if ((problem != NULL) != (cases[i].kept < 0))
			fail_msg("block %zu: %s", i, problem ? problem : "taken");
		evm_transfers_keep(&transfers, &wanted);
		for (size_t j = transfers.n; j > 0; j--)
			transfers.n -= memcmp(transfers.items[j - 1].to, address(HOLDER), RC_EVM_ADDRESS_BYTES) != 0;
		if (problem == NULL)
			assert_int_equal(transfers.n, cases[i].kept);
		json_object_put(block);
		evm_transfers_free(&transfers);
	}
	evm_wanted_free(&wanted);
}

#define RECEIPT(block, transaction, status) \
	"{\"blockHash\":\"" block "\",\"transactionHash\":\"" transaction "\",\"status\":" status "}"

static void
test_receipts(void **state)
{
	static const struct
	{
		const char *receipt;
		int			succeeded;	/* -1: refused */
	}			cases[] = {
		{RECEIPT(HASH, TX("aa"), "\"0x1\""), 1},
		{RECEIPT(HASH, TX("aa"), "\"0x0\""), 0},
		{RECEIPT(HASH, TX("aa"), "\"0x2\""), -1},
		{RECEIPT(HASH, TX("aa"), "null"), -1},
		{RECEIPT(OTHER_HASH, TX("aa"), "\"0x1\""), -1},
		{RECEIPT(HASH, TX("bb"), "\"0x1\""), -1},
		{"[]", -1},
	};
	evm_transfer transfer = {0};

	(void) state;
	transfer.txid[31] = 0xaa;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		struct json_object *receipt = json_tokener_parse(cases[i].receipt);
		bool		succeeded = false;
		const char *problem = evm_receipt_take(receipt, HASH, transfer.txid, &succeeded);

		if ((problem != NULL) != (cases[i].succeeded < 0))
			fail_msg("receipt %zu: %s", i, problem ? problem : "taken");
		if (problem == NULL)
			assert_int_equal(succeeded, cases[i].succeeded);
		json_object_put(receipt);
	}
	assert_non_null(evm_receipt_take(NULL, HASH, transfer.txid, &(bool) {false}));
}

/* Where a log stands in its transaction, whatever its index in the block */
static void
test_places(void **state)
{
	struct json_object *receipt = json_tokener_parse("{\"logs\":[{\"logIndex\":\"0x7\",\"address\":\"" OTHER_TOKEN "\"},"
													 "{\"logIndex\":\"0x8\",\"address\":\"" TOKEN "\"}]}");
	evm_transfer transfer = {.ordinal = 8};

	(void) state;
	memcpy(transfer.token, address(TOKEN), RC_EVM_ADDRESS_BYTES);
	assert_true(evm_receipt_place(receipt, &transfer));
	assert_int_equal(transfer.position, 1);
	transfer.ordinal = 7;
	assert_false(evm_receipt_place(receipt, &transfer));
	transfer.ordinal = 9;
	assert_false(evm_receipt_place(receipt, &transfer));
	json_object_put(receipt);
	assert_false(evm_receipt_place(NULL, &transfer));
}

/* The amounts that a transaction's traces pay the holder, joined by blanks; "?": refused */
static char *
paid_by(const char *text, bool flat)
{
	evm_wanted	wanted = wanted_keys();
	evm_transfers transfers = {0};
	struct json_object *traces = json_tokener_parse(text);
	struct json_object *transactions = json_tokener_parse("[\"" TX("aa") "\"]");
	rc_buffer	out = {0};
	const char *problem;

	assert_non_null(traces);
	problem = flat ? evm_flat_traces_take(traces, HASH, 1, &transfers) :
		evm_call_traces_take(traces, transactions, &transfers);
	evm_transfers_keep(&transfers, &wanted);
	for (size_t i = 0; i < transfers.n; i++)
	{
		char		amount[RC_UINT256_DECIMAL_SIZE];

		assert_int_equal(transfers.items[i].kind, EVM_INTERNAL);
		assert_int_equal(transfers.items[i].ordinal, i);
		rc_uint256_to_decimal(&transfers.items[i].amount, amount);
		rc_buffer_printf(&out, "%s%s", i > 0 ? " " : "", amount);
	}
	json_object_put(traces);
	json_object_put(transactions);
	evm_transfers_free(&transfers);
	evm_wanted_free(&wanted);
	if (problem != NULL)
	{
		rc_buffer_free(&out);
		return rc_strdup("?");
	}
	return out.data != NULL ? out.data : rc_strdup("");
}

#define CALL(type, to, value, rest) \
	"{\"type\":\"" type "\",\"from\":\"" PAYER "\",\"to\":\"" to "\",\"value\":\"" value "\"" rest "}"
#define TRACE(calls) "[{\"txHash\":\"" TX("aa") "\",\"result\":" CALL("CALL", TOKEN, "0x9", ",\"calls\":[" calls "]") "}]"

static void
test_call_traces(void **state)
{
	static const char *const cases[][2] = {
		{TRACE(""), ""},
		{TRACE(CALL("CALL", HOLDER, "0x5", "")), "5"},
		{TRACE(CALL("CALL", HOLDER, "0x5", "") "," CALL("CALL", HOLDER, "0x6", "")), "5 6"},
		{TRACE(CALL("CALL", HOLDER, "0x5", ",\"error\":\"execution reverted\"")), ""},
		{TRACE(CALL("CALL", TOKEN, "0x0", ",\"error\":\"x\",\"calls\":[" CALL("CALL", HOLDER, "0x5", "") "]")), ""},
		{TRACE(CALL("CALL", TOKEN, "0x0", ",\"calls\":[" CALL("CALL", HOLDER, "0x5", "") "]")), "5"},
		{TRACE(CALL("DELEGATECALL", HOLDER, "0x5", "")), ""},
		{TRACE(CALL("DELEGATECALL", TOKEN, "0x5", ",\"calls\":[" CALL("CALL", HOLDER, "0x7", "") "]")), "7"},
		{TRACE(CALL("CALLCODE", HOLDER, "0x5", "")), ""},
		{TRACE("{\"type\":\"STATICCALL\",\"from\":\"" PAYER "\",\"to\":\"" HOLDER "\"}"), ""},
		{TRACE(CALL("CREATE2", HOLDER, "0x5", "") "," CALL("SELFDESTRUCT", HOLDER, "0x6", "")), "5 6"},
		{TRACE(CALL("CALL", HOLDER, "five", "")), "?"},
		{TRACE("1"), "?"},
		/* The transaction itself is not an internal transfer */
		{"[{\"txHash\":\"" TX("aa") "\",\"result\":" CALL("CALL", HOLDER, "0x5", "") "}]", ""},
		{"[{\"txHash\":\"" TX("aa") "\",\"result\":" CALL("CREATE", HOLDER, "0x5", "") "}]", "5"},
		{"[{\"txHash\":\"" TX("bb") "\",\"result\":" CALL("CALL", TOKEN, "0x5", "") "}]", "?"},
		{"[{\"txHash\":\"" TX("aa") "\",\"error\":\"too slow\"}]", "?"},
		{"[]", "?"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *paid = paid_by(cases[i][0], false);

		if (strcmp(paid, cases[i][1]) != 0)
			fail_msg("trace %zu: \"%s\", not \"%s\"", i, paid, cases[i][1]);
		free(paid);
	}
}

#define FRAME(path, type, action, rest) \
	"{\"blockHash\":\"" HASH "\",\"transactionHash\":\"" TX("aa") "\",\"traceAddress\":[" path "],\"type\":\"" type "\"," \
	"\"action\":{" action "}" rest "}"
#define FLAT_CALL(path, kind, to, value, rest) \
	FRAME(path, "call", "\"callType\":\"" kind "\",\"from\":\"" PAYER "\",\"to\":\"" to "\",\"value\":\"" value "\"", rest)
#define TOP FLAT_CALL("", "call", TOKEN, "0x9", "")

static void
test_flat_traces(void **state)
{
	static const char *const cases[][2] = {
		{"[]", "?"},
		{"[" TOP "]", ""},
		{"[" TOP "," FLAT_CALL("0", "call", HOLDER, "0x5", "") "]", "5"},
		{"[" FLAT_CALL("", "call", HOLDER, "0x5", "") "]", ""},
		{"[" TOP "," FLAT_CALL("0", "call", HOLDER, "0x5", ",\"error\":\"Reverted\"") "]", ""},
		{"[" TOP "," FLAT_CALL("0", "call", TOKEN, "0x0", ",\"error\":\"Reverted\"") ","
			FLAT_CALL("0,0", "call", HOLDER, "0x5", "") "," FLAT_CALL("1", "call", HOLDER, "0x6", "") "]", "6"},
		{"[" FLAT_CALL("", "call", TOKEN, "0x0", ",\"error\":\"Reverted\"") "," FLAT_CALL("0", "call", HOLDER, "0x6", "") "]", ""},
		{"[" TOP "," FLAT_CALL("0", "delegatecall", HOLDER, "0x5", "") "," FLAT_CALL("1", "staticcall", HOLDER, "0x0", "") "]", ""},
		{"[" TOP "," FRAME("0", "create", "\"from\":\"" PAYER "\",\"value\":\"0x5\"", ",\"result\":{\"address\":\"" HOLDER "\"}") "]", "5"},
		{"[" TOP "," FRAME("0", "suicide", "\"address\":\"" PAYER "\",\"refundAddress\":\"" HOLDER "\",\"balance\":\"0x5\"", "") "]", "5"},
		{"[" TOP "," FRAME("0", "suicide", "\"address\":\"" HOLDER "\",\"refundAddress\":\"" HOLDER "\",\"balance\":\"0x5\"", "") "]", ""},
		{"[" TOP ",{\"blockHash\":\"" HASH "\",\"type\":\"reward\",\"action\":{},\"traceAddress\":[]}]", ""},
		/* Frames that are not in their order could hide that one is part of a failed one */
		{"[" TOP "," FLAT_CALL("1", "call", HOLDER, "0x5", "") "," FLAT_CALL("0", "call", HOLDER, "0x5", "") "]", "?"},
		{"[" TOP "," FLAT_CALL("0,0", "call", HOLDER, "0x5", "") "," FLAT_CALL("0", "call", HOLDER, "0x5", "") "]", "?"},
		{"[" FLAT_CALL("0", "call", HOLDER, "0x5", "") "]", "?"},
		{"[" TOP "," FRAME("0", "news", "\"from\":\"" PAYER "\"", "") "]", "?"},
		{"[{\"blockHash\":\"" OTHER_HASH "\",\"transactionHash\":\"" TX("aa") "\",\"traceAddress\":[],\"type\":\"call\"}]", "?"},
		{"[{\"blockHash\":\"" HASH "\",\"traceAddress\":[],\"type\":\"call\"}]", "?"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char	   *paid = paid_by(cases[i][0], true);

		if (strcmp(paid, cases[i][1]) != 0)
			fail_msg("flat trace %zu: \"%s\", not \"%s\"", i, paid, cases[i][1]);
		free(paid);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wanted), cmocka_unit_test(test_credits), cmocka_unit_test(test_share),
		cmocka_unit_test(test_logs), cmocka_unit_test(test_log_params), cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_receipts), cmocka_unit_test(test_places),
		cmocka_unit_test(test_call_traces), cmocka_unit_test(test_flat_traces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
