/* blocks_keys.c: for which keys blocks are read, and which of those that a block pays are among them */
#include "core/chain/evm/source.h"

#include <string.h>

/* Keys in one statement */
#define PAGE 1000

static void
take_keys(rc_source *source, const rc_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++)
		(void) evm_wanted_add(&source->wanted, keys->items[i].bytes, keys->items[i].len);
}

/* One page of keys; *last is the page's last one, and *n how many there are */
static bool
load_page(rc_source *source, int most, rc_key *last, size_t *n)
{
	const rc_wanted *wanted = source->context.wanted;
	rc_keys		keys = {0};
	bool		ok = wanted->keys(wanted, last->len > 0 ? last : NULL, most, &keys);

	take_keys(source, &keys);
	*n = keys.n;
	if (keys.n > 0)
		*last = keys.items[keys.n - 1];
	rc_keys_free(&keys);
	return ok;
}

/* All keys, as long as they aren't more than are worth asking for */
static bool
load_all(rc_source *source, rc_key *last)
{
	size_t		n = PAGE;

	while (n >= PAGE && source->wanted.n < EVM_SWEPT_KEYS)
	{
		if (!load_page(source, PAGE, last, &n))
			return false;
	}
	source->listed = n < PAGE;
	return true;
}

/* Do balances have to tell what neither logs nor traces do? */
static bool
must_sweep(const rc_source *source)
{
	const rc_network *network = source->context.network;
	const evm_ledger_limits *limits = &source->learned->ledger;

	return (network->token_logs && limits->no_logs) ||
		(network->native_blocks && (!network->traces || limits->traces == EVM_TRACE_NONE));
}

/* Which keys' balances are asked for at each block */
static void
choose_sweeps(rc_source *source)
{
	const rc_network *network = source->context.network;
	const evm_ledger_limits *limits = &source->learned->ledger;

	source->sweeps_tokens = network->token_logs && limits->no_logs;
	source->sweeps_native = source->wants_native && (!network->traces || limits->traces == EVM_TRACE_NONE);
	if (source->sweeps_native && !source->listed)
	{
		source->sweeps_native = false;
		(void) rc_log_change(source->context.host, RC_LOG_WARNING, "contracts' payments are not seen",
							 RC_FIELDS(rc_field_text("chain", network->chain), rc_field_text("network", network->network)),
							 "there are no traces, and too many open requests for asking for their balances");
	}
}

/* Too many to be listed: their tokens */
static bool
load_tokens(rc_source *source)
{
	const rc_wanted *wanted = source->context.wanted;
	rc_keys		tokens = {0};
	bool		ok = wanted->prefixes(wanted, RC_EVM_ADDRESS_BYTES, &tokens);

	evm_wanted_free(&source->wanted);
	for (size_t i = 0; i < tokens.n; i++)
	{
		uint8_t		key[EVM_KEY_BYTES] = {0};

		memcpy(key, tokens.items[i].bytes, RC_EVM_ADDRESS_BYTES);
		if (tokens.items[i].len >= RC_EVM_ADDRESS_BYTES)
			(void) evm_wanted_add(&source->wanted, key, sizeof(key));
	}
	rc_keys_free(&tokens);
	return ok;
}

bool
evm_load_keys(rc_source *source)
{
	rc_key		last = {{0}, 0};
	size_t		n;

	if (source->keys_known && source->keys_version == source->context.wanted->version)
		return true;
	source->keys_known = false;
	evm_wanted_free(&source->wanted);
	if (!load_page(source, EVM_LISTED_KEYS + 1, &last, &n))
		return false;
	source->listed = n <= EVM_LISTED_KEYS;
	if (!source->listed && (source->learned->ledger.no_tokens || must_sweep(source)) && !load_all(source, &last))
		return false;
	if (!source->listed && !load_tokens(source))
		return false;
	evm_wanted_finish(&source->wanted);
	source->wants_native = source->wanted.nnative > 0 && source->context.network->native_blocks;
	if (!source->context.network->token_logs)
		source->wanted.ntokens = source->wanted.nholders = 0;
	choose_sweeps(source);
	source->keys_known = true;
	source->keys_version = source->context.wanted->version;
	return true;
}

/* The keys to which the block's transfers bring something, if they are true */
static void
find_candidates(const evm_block *block, evm_wanted *candidates)
{
	for (size_t i = 0; i < block->transfers.n; i++)
	{
		const evm_transfer *transfer = &block->transfers.items[i];
		uint8_t		key[EVM_KEY_BYTES];

		if (rc_uint256_is_zero(&transfer->amount))
			continue;
		memcpy(key, transfer->token, RC_EVM_ADDRESS_BYTES);
		memcpy(key + RC_EVM_ADDRESS_BYTES, transfer->to, RC_EVM_ADDRESS_BYTES);
		(void) evm_wanted_add(candidates, key, sizeof(key));
	}
	evm_wanted_finish(candidates);
}

/* Which of the candidates are wanted, by the database's word */
static bool
ask_database(rc_source *source, const evm_wanted *candidates, evm_wanted *paid)
{
	const rc_wanted *wanted = source->context.wanted;
	rc_keys		keys = {0};
	rc_keys		found = {0};
	bool		ok;

	for (size_t i = 0; i < candidates->n; i++)
	{
		uint8_t		key[EVM_KEY_BYTES];

		memcpy(key, candidates->keys[i].token, RC_EVM_ADDRESS_BYTES);
		memcpy(key + RC_EVM_ADDRESS_BYTES, candidates->keys[i].holder, RC_EVM_ADDRESS_BYTES);
		rc_keys_add(&keys, key, sizeof(key));
	}
	ok = keys.n == 0 || wanted->among(wanted, &keys, &found);
	for (size_t i = 0; i < found.n; i++)
		(void) evm_wanted_add(paid, found.items[i].bytes, found.items[i].len);
	rc_keys_free(&keys);
	rc_keys_free(&found);
	return ok;
}

/* Leaves the transfers that concern whom the block pays, and fills in block->paid */
bool
evm_match_keys(rc_source *source, evm_block *block)
{
	evm_wanted	candidates = {0};
	bool		ok = true;

	find_candidates(block, &candidates);
	evm_wanted_free(&block->paid);
	if (!source->listed)
		ok = ask_database(source, &candidates, &block->paid);
	for (size_t i = 0; i < candidates.n && source->listed; i++)
	{
		const evm_key *key = &candidates.keys[i];
		uint8_t		bytes[EVM_KEY_BYTES];

		if (!evm_wanted_has(&source->wanted, key->token, key->holder))
			continue;
		memcpy(bytes, key->token, RC_EVM_ADDRESS_BYTES);
		memcpy(bytes + RC_EVM_ADDRESS_BYTES, key->holder, RC_EVM_ADDRESS_BYTES);
		(void) evm_wanted_add(&block->paid, bytes, sizeof(bytes));
	}
	evm_wanted_finish(&block->paid);
	evm_transfers_keep(&block->transfers, &block->paid);
	evm_wanted_free(&candidates);
	return ok;
}
