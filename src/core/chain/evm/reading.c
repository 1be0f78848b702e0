/* reading.c: the stages of reading some blocks, in their order */
#include "core/chain/evm/source.h"

#include <stdlib.h>
#include <string.h>

/* Times that a reading begins anew with lower limits; they are halved each time */
#define MAX_ROUNDS 16

/* What an earlier try has left behind */
static void
clear_block(evm_block *block)
{
	evm_transfers_free(&block->transfers);
	evm_transfers_free(&block->credits);
	evm_wanted_free(&block->paid);
	free(block->receivers);
	block->receivers = NULL;
	block->nreceivers = 0;
	json_object_put(block->transactions);
	block->transactions = NULL;
	block->state_gone = false;
}

void
evm_reading_free(rc_source *source)
{
	evm_drop_questions(source);
	for (int i = 0; i < source->nblocks; i++)
		clear_block(&source->blocks[i]);
	free(source->blocks);
	source->blocks = NULL;
	source->nblocks = 0;
}

void
evm_reading_begin(rc_source *source, const rc_block_id *blocks, int n)
{
	int			most = source->learned->ledger.blocks;

	evm_reading_free(source);
	source->nblocks = n < most ? n : most;
	source->blocks = rc_calloc((size_t) source->nblocks, sizeof(evm_block));
	for (int i = 0; i < source->nblocks; i++)
		source->blocks[i].id = blocks[i];
	source->stage = EVM_ASK_BLOCKS;
	source->rounds = 0;
}

/* From the beginning, with what is known of the endpoint now */
static evm_outcome
begin_anew(rc_source *source)
{
	if (source->rounds++ >= MAX_ROUNDS)
		return evm_say(source, RC_FAILURE_REFUSED, "the endpoint refuses whatever it is asked");
	evm_drop_questions(source);
	for (int i = 0; i < source->nblocks; i++)
		clear_block(&source->blocks[i]);
	source->keys_known = false;
	source->stage = EVM_ASK_BLOCKS;
	return EVM_TAKEN;
}

/* What blocks say of transfers is known: whom do they concern? */
static bool
match_all(rc_source *source)
{
	for (int i = 0; i < source->nblocks; i++)
	{
		if (!evm_match_keys(source, &source->blocks[i]))
			return false;
	}
	return true;
}

/* The events of all who got something are known */
static void
find_all_receivers(rc_source *source)
{
	for (int i = 0; i < source->nblocks; i++)
	{
		evm_transfers_keep(&source->blocks[i].transfers, &source->blocks[i].paid);
		evm_find_receivers(source, &source->blocks[i]);
	}
}

/* The stage's questions */
static bool
put_questions(rc_source *source)
{
	switch (source->stage)
	{
		case EVM_ASK_BLOCKS:
			if (!evm_load_keys(source))
				return false;
			evm_put_blocks(source);
			break;
		case EVM_ASK_LOGS:
			evm_put_logs(source);
			break;
		case EVM_ASK_TRACES:
			evm_put_traces(source);
			break;
		case EVM_ASK_OUTGOING:
			if (!match_all(source))
				return false;
			evm_put_outgoing(source);
			break;
		case EVM_ASK_BALANCES:
			find_all_receivers(source);
			evm_put_balances(source);
			break;
		case EVM_ASK_STATE:		/* only where balances are refused: evm_reading_failed */
		case EVM_READING_DONE:
			break;
		case EVM_ASK_RECEIPTS:
			evm_put_receipts(source);
			break;
	}
	return true;
}

evm_outcome
evm_reading_go_on(rc_source *source)
{
	while (source->stage != EVM_READING_DONE && source->asked == source->nquestions)
	{
		/* The first stage's questions are put at its beginning, the others' when the stage before is over */
		if (source->stage != EVM_ASK_BLOCKS || source->nquestions > 0)
		{
			if (source->stage == EVM_ASK_LOGS)
				evm_learn_logs(source);
			source->stage++;
		}
		evm_drop_questions(source);
		if (!put_questions(source))
			return EVM_NO_DATABASE;
		if (source->stage == EVM_ASK_BLOCKS && source->nquestions == 0)
		{
			source->stage = EVM_ASK_LOGS;
			evm_put_logs(source);
		}
	}
	return EVM_TAKEN;
}

/* One answer */
static evm_outcome
take_answer(rc_source *source, const evm_question *question, rc_rpc_reply *reply)
{
	switch (source->stage)
	{
		case EVM_ASK_BLOCKS:
			return evm_take_block(source, question, reply);
		case EVM_ASK_LOGS:
		case EVM_ASK_OUTGOING:
			return evm_take_logs(source, question, reply);
		case EVM_ASK_TRACES:
			return evm_take_traces(source, question, reply);
		case EVM_ASK_BALANCES:
			return evm_take_balances(source, question, reply);
		case EVM_ASK_STATE:
			return evm_take_state(source, question, reply);
		case EVM_ASK_RECEIPTS:
			return evm_take_receipt(source, question, reply);
		case EVM_READING_DONE:
			break;
	}
	return EVM_TAKEN;
}

/* Is no state at all gone? Then the endpoint hasn't the block, or not yet */
static bool
has_all_states(const rc_source *source)
{
	for (int i = 0; i < source->nblocks; i++)
	{
		if (source->blocks[i].state_gone)
			return false;
	}
	return true;
}

/* It is known which blocks' state is gone: the others' balances are asked for again */
static evm_outcome
state_known(rc_source *source)
{
	if (has_all_states(source))
		return EVM_GONE;
	if (source->rounds++ >= MAX_ROUNDS)
		return evm_say(source, RC_FAILURE_INCONSISTENT, "the endpoint has state, and has it not");
	evm_drop_questions(source);
	source->stage = EVM_ASK_BALANCES;
	evm_put_balances(source);
	return EVM_TAKEN;
}

evm_outcome
evm_reading_take(rc_source *source, rc_rpc_reply *replies)
{
	for (size_t i = 0; i < source->sent; i++)
	{
		evm_outcome outcome = take_answer(source, &source->questions[source->asked + i], &replies[i]);

		if (outcome == EVM_ASK_ANEW && source->stage == EVM_ASK_BALANCES)
		{
			evm_drop_questions(source);
			evm_put_balances(source);
			return EVM_TAKEN;
		}
		if (outcome == EVM_ASK_ANEW)
			return begin_anew(source);
		if (outcome != EVM_TAKEN)
			return outcome;
	}
	source->asked += source->sent;
	source->sent = 0;
	if (source->stage == EVM_ASK_STATE && source->asked == source->nquestions)
		return state_known(source);
	return EVM_TAKEN;
}

/* Fewer blocks at a time: an answer was too large, or took too long */
static bool
read_fewer(rc_source *source)
{
	if (source->nblocks <= 1)
		return false;
	while (source->nblocks > (source->learned->ledger.blocks = source->nblocks / 2))
		clear_block(&source->blocks[--source->nblocks]);
	return true;
}

evm_outcome
evm_reading_failed(rc_source *source, rc_failure failure)
{
	bool		traces = source->stage == EVM_ASK_TRACES;

	if (failure.code == RC_FAILURE_BEHIND && source->stage == EVM_ASK_BALANCES)
	{
		free(failure.text);
		evm_drop_questions(source);
		source->stage = EVM_ASK_STATE;
		evm_put_state(source);
		return EVM_TAKEN;
	}
	if (failure.code == RC_FAILURE_BEHIND)
	{
		free(failure.text);
		return EVM_GONE;
	}
	if (failure.code == RC_FAILURE_REFUSED && source->stage == EVM_ASK_LOGS)
		source->learned->ledger.no_logs = true;
	if (traces && (failure.code == RC_FAILURE_REFUSED || failure.code == RC_FAILURE_MALFORMED))
	{
		rc_rpc_reply reply = {.error = failure.text};
		evm_outcome outcome = evm_take_traces(source, &source->questions[source->asked], &reply);

		free(failure.text);
		return outcome == EVM_ASK_ANEW ? begin_anew(source) : outcome;
	}
	if ((failure.code == RC_FAILURE_MALFORMED || failure.code == RC_FAILURE_TIMED_OUT) && read_fewer(source))
	{
		free(failure.text);
		return begin_anew(source);
	}
	free(source->failure.text);
	source->failure = failure;
	return EVM_ENDPOINT_FAILED;
}

/* A transfer as the follower takes it */
static void
set_credit(const evm_transfer *transfer, rc_credit *credit)
{
	static const rc_credit_kind kinds[] = {RC_CREDIT_TOKEN, RC_CREDIT_NATIVE, RC_CREDIT_INTERNAL};

	credit->kind = kinds[transfer->kind];
	if (!transfer->unexplained)
	{
		memcpy(credit->txid, "0x", 2);
		rc_hex_encode(transfer->txid, sizeof(transfer->txid), credit->txid + 2);
	}
	credit->ordinal = transfer->kind == EVM_BY_TOKEN ? transfer->position :
		transfer->kind == EVM_INTERNAL ? transfer->ordinal : 0;
	credit->key.len = EVM_KEY_BYTES;
	memcpy(credit->key.bytes, transfer->token, RC_EVM_ADDRESS_BYTES);
	memcpy(credit->key.bytes + RC_EVM_ADDRESS_BYTES, transfer->to, RC_EVM_ADDRESS_BYTES);
	credit->amount = transfer->amount;
	credit->unverified = transfer->unverified;

	/* What is minted comes from nobody */
	if (!rc_evm_address_is_zero(transfer->from))
	{
		memcpy(credit->sender, "0x", 2);
		rc_hex_encode(transfer->from, RC_EVM_ADDRESS_BYTES, credit->sender + 2);
	}
}

/* What contracts paid is known from traces alone */
static void
credit_internal(evm_block *block)
{
	for (size_t i = 0; i < block->transfers.n; i++)
	{
		evm_transfer transfer = block->transfers.items[i];

		if (transfer.kind == EVM_INTERNAL && evm_wanted_has(&block->paid, evm_native, transfer.to))
			*evm_transfers_add(&block->credits) = transfer;
	}
}

rc_read_block *
evm_reading_result(rc_source *source)
{
	rc_read_block *blocks = rc_calloc((size_t) source->nblocks, sizeof(*blocks));

	for (int i = 0; i < source->nblocks; i++)
	{
		evm_block  *block = &source->blocks[i];
		rc_read_block *read = &blocks[i];

		credit_internal(block);
		evm_credit_balances(source, block);
		read->height = block->id.height;
		memcpy(read->hash, block->id.hash, sizeof(read->hash));
		memcpy(read->previous, "0x", 2);
		rc_hex_encode(block->header.parent, 32, read->previous + 2);
		read->time = read->steady_time = block->header.time;
		for (size_t j = 0; j < block->credits.n; j++)
			set_credit(&block->credits.items[j], rc_credits_add(&read->credits));
	}
	return blocks;
}
