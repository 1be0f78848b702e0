/* blocks_balances.c: what of a token's events is borne out by balances, at the block and at its parent */
#include "core/chain/evm/source.h"

#include <stdlib.h>
#include <string.h>

/* Nodes keep the state of some 128 blocks: what a node says not to have nearer to its tip, it doesn't have yet */
#define STATE_DEPTH 64

/* One balanceOf and the transaction around it */
#define CALL_GAS (EVM_TOKEN_GAS + 50000)

static void
add_receiver(evm_block *block, const evm_key *key, bool native)
{
	evm_pair   *pair = &block->receivers[block->nreceivers++];

	pair->native = native;
	memcpy(pair->token, key->token, RC_EVM_ADDRESS_BYTES);
	memcpy(pair->holder, key->holder, RC_EVM_ADDRESS_BYTES);
}

static void
add_receivers(evm_block *block, const evm_wanted *keys, bool native)
{
	for (size_t i = 0; i < keys->n; i++)
	{
		if (rc_evm_address_is_zero(keys->keys[i].token) == native)
			add_receiver(block, &keys->keys[i], native);
	}
}

/*
 * Keys without an event, though the header says that the block may have one: an
 * endpoint whose index of logs lags behind its blocks leaves events out without
 * an error, and nobody reads the block again.
 */
static void
add_suspects(const rc_source *source, evm_block *block)
{
	for (size_t i = 0; source->listed && i < source->wanted.n; i++)
	{
		const evm_key *key = &source->wanted.keys[i];

		if (!rc_evm_address_is_zero(key->token) && !evm_wanted_has(&block->paid, key->token, key->holder) &&
			evm_bloom_may_have(&block->header, key->token, key->holder))
			add_receiver(block, key, false);
	}
}

/* Whoever gets a token by the block's events; and everybody, where nothing but balances says what came */
void
evm_find_receivers(const rc_source *source, evm_block *block)
{
	free(block->receivers);
	block->receivers = rc_calloc(block->paid.n + source->wanted.n + 1, sizeof(evm_pair));
	block->nreceivers = 0;
	add_receivers(block, source->sweeps_tokens ? &source->wanted : &block->paid, false);
	if (!source->sweeps_tokens)
		add_suspects(source, block);
	if (source->sweeps_native)
		add_receivers(block, &source->wanted, true);
}

/* One receiver's balance */
static char *
plain_params(const evm_pair *pair, const char *block)
{
	char		token[2 * RC_EVM_ADDRESS_BYTES + 1];
	char		holder[2 * RC_EVM_ADDRESS_BYTES + 1];

	rc_hex_encode(pair->token, RC_EVM_ADDRESS_BYTES, token);
	rc_hex_encode(pair->holder, RC_EVM_ADDRESS_BYTES, holder);
	if (pair->native)
		return rc_asprintf("[\"0x%s\",%s]", holder, block);
	return rc_asprintf("[{\"to\":\"0x%s\",\"gas\":\"0x%x\",\"data\":\"0x70a08231%024d%s\"},%s]", token, CALL_GAS, 0, holder, block);
}

/* The calls that read some receivers' balances at the block, or at its parent */
static void
put_list(rc_source *source, int index, size_t first, size_t n, bool at_parent)
{
	evm_block  *block = &source->blocks[index];
	char		hash[67];
	char	   *at;
	int			indexes[EVM_MAX_PAIRS];
	evm_question *question;

	if (at_parent)
	{
		memcpy(hash, "0x", 2);
		rc_hex_encode(block->header.parent, 32, hash + 2);
	}
	at = rc_asprintf("{\"blockHash\":\"%s\"}", at_parent ? hash : block->id.hash);
	for (size_t i = 0; i < n; i++)
		indexes[i] = (int) (first + i);
	for (size_t i = 0; i < n && source->learned->ledger.no_creation; i++)
	{
		const evm_pair *pair = &block->receivers[first + i];

		question = evm_put(source, pair->native ? "eth_getBalance" : "eth_call", plain_params(pair, at), EVM_MAX_WORD, index);
		question->first = first + i;
		question->n = 1;
		question->at_parent = at_parent;
	}
	if (!source->learned->ledger.no_creation)
	{
		question = evm_put(source, "eth_call", evm_creation_params(block->receivers, indexes, (int) n, at),
						   evm_creation_answer((int) n), index);
		question->first = first;
		question->n = n;
		question->at_parent = at_parent;
	}
	free(at);
}

/* How many of the receivers from here on go into one list */
static size_t
list_size(const rc_source *source, const evm_block *block, size_t first)
{
	bool		native = block->receivers[first].native;
	size_t		most = native && source->learned->max_pairs > EVM_SHORT_LIST ? (size_t) source->learned->max_pairs : EVM_SHORT_LIST;
	size_t		n = 1;

	while (n < most && first + n < block->nreceivers && block->receivers[first + n].native == native)
		n++;
	return n;
}

/* Tokens in lists so short that one that burns all gas leaves enough for the others */
void
evm_put_balances(rc_source *source)
{
	for (int i = 0; i < source->nblocks; i++)
	{
		evm_block  *block = &source->blocks[i];
		size_t		n;

		for (size_t first = 0; first < block->nreceivers && !block->state_gone; first += n)
		{
			n = list_size(source, block, first);
			put_list(source, i, first, n, false);
			if (block->id.height > 0)
				put_list(source, i, first, n, true);
		}
	}
}

/* Did the call itself fail, and not the endpoint? */
static bool
is_reverted(const rc_rpc_reply *reply)
{
	static const char *const words[] = {"revert", "out of gas", "invalid opcode", "stack", "jump", "InvalidFEOpcode", "OutOfGas"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strcasestr(reply->error, words[i]) != NULL)
			return true;
	}
	return reply->code == 3;
}

static evm_outcome
take_plain(rc_source *source, rc_rpc_reply *reply, bool native, evm_reading *reading)
{
	const char *hex = evm_reply_string(reply);
	char	   *problem;
	evm_outcome outcome;

	if (reply->error != NULL && (native || !is_reverted(reply)))
	{
		problem = rc_asprintf("a balance at a block's hash: %s", reply->error);
		outcome = evm_say(source, RC_FAILURE_REFUSED, problem);
		free(problem);
		return outcome;
	}
	if (reply->error == NULL && hex == NULL)
		return evm_say(source, RC_FAILURE_MALFORMED, "eth_call: the answer is not a string");
	reading->state = EVM_UNANSWERED;
	if (native)
	{
		reading->state = EVM_READ;
		return rc_uint256_from_hex(&reading->value, hex) ? EVM_TAKEN :
			evm_say(source, RC_FAILURE_MALFORMED, "a balance is not a number");
	}
	if (hex != NULL && strlen(hex) >= 2 + 64)
	{
		if (hex[0] != '0' || hex[1] != 'x' || !rc_hex_decode(hex + 2, 64, reading->value.bytes, 32))
			return evm_say(source, RC_FAILURE_MALFORMED, "a balance is not a number");
		reading->state = EVM_READ;
	}
	return EVM_TAKEN;
}

/* What the creation code saw: of this chain, and of the block's own time */
static bool
ran_at(const rc_source *source, const evm_block *block, bool at_parent, uint8_t words[EVM_HEADER_WORDS][32])
{
	rc_uint256	expected;

	rc_uint256_from_u64(&expected, source->context.network->chain_id);
	if (memcmp(words[3], expected.bytes, 32) != 0)
		return false;
	rc_uint256_from_u64(&expected, (uint64_t) block->header.time);
	return at_parent || memcmp(words[2], expected.bytes, 32) == 0;
}

evm_outcome
evm_take_balances(rc_source *source, const evm_question *question, rc_rpc_reply *reply)
{
	evm_block  *block = &source->blocks[question->block];
	const char *hex = evm_reply_string(reply);
	uint8_t		words[EVM_HEADER_WORDS][32];
	evm_reading readings[EVM_MAX_PAIRS] = {{0}};
	int			indexes[EVM_MAX_PAIRS];

	if (source->learned->ledger.no_creation)
	{
		evm_pair   *pair = &block->receivers[question->first];

		return take_plain(source, reply, pair->native, question->at_parent ? &pair->depth : &pair->tip);
	}
	if (reply->error != NULL || hex == NULL || strcmp(hex, "0x") == 0)
	{
		if (question->n > EVM_SHORT_LIST)
			source->learned->max_pairs = (int) (question->n / 2);
		else
			source->learned->ledger.no_creation = true;
		return EVM_ASK_ANEW;
	}
	for (size_t i = 0; i < question->n; i++)
		indexes[i] = (int) (question->first + i);
	if (!evm_creation_decode(hex, block->receivers, indexes, (int) question->n, words, readings))
		return evm_say(source, RC_FAILURE_MALFORMED, "eth_call: the answer is not what the code returns");
	if (!ran_at(source, block, question->at_parent, words))
		return evm_say(source, RC_FAILURE_INCONSISTENT, "a call ran at another block than was asked for");
	for (size_t i = 0; i < question->n; i++)
	{
		evm_pair   *pair = &block->receivers[question->first + i];

		*(question->at_parent ? &pair->depth : &pair->tip) = readings[i];
	}
	return EVM_TAKEN;
}

/* Three questions for each block: what is it, and is there state at it and at its parent? */
void
evm_put_state(rc_source *source)
{
	char		parent[65];

	for (int i = 0; i < source->nblocks; i++)
	{
		evm_block  *block = &source->blocks[i];

		block->exists = false;
		if (block->nreceivers == 0 || block->state_gone)
			continue;
		rc_hex_encode(block->header.parent, 32, parent);
		evm_put(source, "eth_getBlockByHash", rc_asprintf("[\"%s\",false]", block->id.hash), EVM_MAX_HEADER, i)->n = 0;
		evm_put(source, "eth_getBalance", rc_asprintf("[\"0x0000000000000000000000000000000000000000\",{\"blockHash\":\"%s\"}]",
													  block->id.hash), 0, i)->n = 1;
		evm_put(source, "eth_getBalance", rc_asprintf("[\"0x0000000000000000000000000000000000000000\",{\"blockHash\":\"0x%s\"}]",
													  parent), 0, i)->n = 1;
	}
}

/* The state is gone where the endpoint has the block, deep below its tip, and says that it hasn't the state */
evm_outcome
evm_take_state(rc_source *source, const evm_question *question, rc_rpc_reply *reply)
{
	evm_block  *block = &source->blocks[question->block];
	evm_header	header = {0};
	char	   *problem;

	if (question->n == 0)
	{
		problem = evm_parse_header(reply, &header);
		block->exists = problem == NULL && strcmp(header.hash, block->id.hash) == 0;
		free(problem);
	}
	else if (reply->error != NULL && block->exists &&
			 rc_exchange_judge(reply->code, reply->error) == RC_FAILURE_BEHIND &&
			 source->tip_known && block->id.height + STATE_DEPTH <= (int64_t) source->tip.number)
		block->state_gone = true;
	return EVM_TAKEN;
}

/* The contract says one thing by its events and another by its balances: somebody should look at it */
static void
report_contradiction(const rc_source *source, const evm_block *block, const evm_pair *receiver)
{
	char		token[RC_EVM_ADDRESS_SIZE];
	char		holder[RC_EVM_ADDRESS_SIZE];

	rc_evm_address_format(receiver->token, token);
	rc_evm_address_format(receiver->holder, holder);
	(void) rc_log_change(source->context.host, RC_LOG_WARNING, "token contradicts itself",
						 RC_FIELDS(rc_field_text("chain", source->context.network->chain),
								   rc_field_text("network", source->context.network->network),
								   rc_field_int("block", block->id.height),
								   rc_field_text("token", token), rc_field_text("holder", holder)),
						 "its balances do not bear out its events: no more is credited than they allow");
}

/* What of the block's events is credited */
static void
credit_events(rc_source *source, evm_block *block, const evm_pair *receiver)
{
	bool		verified = !block->state_gone && receiver->tip.state == EVM_READ;

	/* At a parent that has no such contract yet there was nothing */
	const rc_uint256 *before = receiver->depth.state == EVM_READ ? &receiver->depth.value : &rc_uint256_zero;
	evm_arrival arrival = {receiver->token, receiver->holder, verified ? before : NULL, verified ? &receiver->tip.value : NULL};

	if (evm_credit_arrival(&block->transfers, &arrival, &block->credits))
		report_contradiction(source, block, receiver);
}

/* What a balance has grown by, beyond what transactions explain */
static void
credit_gain(evm_block *block, const evm_pair *receiver)
{
	rc_uint256	explained = receiver->depth.value;
	evm_transfer gain = {.kind = EVM_INTERNAL,.unexplained = true};

	if (block->state_gone || receiver->tip.state != EVM_READ || receiver->depth.state != EVM_READ)
		return;
	for (size_t i = 0; i < block->credits.n; i++)
	{
		const evm_transfer *credit = &block->credits.items[i];

		if (memcmp(credit->to, receiver->holder, RC_EVM_ADDRESS_BYTES) == 0 &&
			memcmp(credit->token, receiver->token, RC_EVM_ADDRESS_BYTES) == 0 &&
			!rc_uint256_add(&explained, &explained, &credit->amount))
			return;
	}
	if (rc_uint256_compare(&receiver->tip.value, &explained) <= 0)
		return;
	(void) rc_uint256_subtract(&gain.amount, &receiver->tip.value, &explained);
	memcpy(gain.token, receiver->token, RC_EVM_ADDRESS_BYTES);
	memcpy(gain.to, receiver->holder, RC_EVM_ADDRESS_BYTES);
	*evm_transfers_add(&block->credits) = gain;
}

void
evm_credit_balances(rc_source *source, evm_block *block)
{
	for (size_t i = 0; i < block->nreceivers; i++)
	{
		const evm_pair *receiver = &block->receivers[i];

		if (receiver->native || source->sweeps_tokens || !evm_wanted_has(&block->paid, receiver->token, receiver->holder))
			credit_gain(block, receiver);
		else
			credit_events(source, block, receiver);
	}
}
