/* blocks_logs.c: the events of tokens, asked for by the block's hash: a range can lack some, and doesn't say so */
#include "core/chain/evm/source.h"

#include <stdlib.h>

/* Of one block: a log is 630 bytes */
#define MAX_LOGS_ANSWER ((size_t) 16 * 1024 * 1024)

/* Bytes of a holder in a question, and of a log in an answer */
#define HOLDER_BYTES 69
#define LOG_BYTES 630

/* So few holders are cheap whatever tokens would be */
#define FEW_HOLDERS 200

/* After so many blocks by holder it is tried again what tokens cost */
#define TRY_TOKENS_AFTER 64

/* Whichever moves fewer bytes: all events of the tokens, or those to the holders alone */
static bool
choose_tokens(const rc_source *source)
{
	const evm_ledger_limits *limits = &source->learned->ledger;

	if (!source->listed || limits->no_holders)
		return true;
	if (limits->no_tokens || source->wanted.nholders <= FEW_HOLDERS)
		return false;
	if (limits->logs < 0 || limits->asked_by_holders > TRY_TOKENS_AFTER)
		return true;
	return (double) source->wanted.nholders * HOLDER_BYTES > limits->logs * LOG_BYTES;
}

/* Questions about some of the tokens or holders each, so that no question names more than the endpoint takes */
static void
put_all(rc_source *source, int block, const evm_log_filter *filter)
{
	const evm_ledger_limits *limits = &source->learned->ledger;
	size_t		all = filter->by_token ? filter->wanted->ntokens : filter->wanted->nholders;
	size_t		most = (size_t) (filter->by_token ? limits->tokens : limits->holders);

	for (size_t first = 0; first < all; first += most)
	{
		size_t		n = all - first < most ? all - first : most;
		evm_question *question = evm_put(source, "eth_getLogs", evm_logs_params(filter, first, n), MAX_LOGS_ANSWER, block);

		question->first = first;
		question->n = n;
	}
}

void
evm_put_logs(rc_source *source)
{
	source->by_token = choose_tokens(source);
	source->logs = 0;
	for (int i = 0; i < source->nblocks && !source->sweeps_tokens; i++)
	{
		evm_log_filter filter = {source->blocks[i].id.hash, &source->wanted, source->by_token, false};

		put_all(source, i, &filter);

		/* Some clients say of a block that they don't know that it has no logs */
		if (source->nquestions > 0)
			(void) evm_put(source, "eth_getBlockTransactionCountByHash", rc_asprintf("[\"%s\"]", filter.block_hash), 0, i);
	}
}

/* With all events of a token came what went out, too */
void
evm_put_outgoing(rc_source *source)
{
	for (int i = 0; i < source->nblocks && !source->by_token && !source->sweeps_tokens; i++)
	{
		evm_block  *block = &source->blocks[i];
		evm_log_filter filter = {block->id.hash, &block->paid, false, true};

		put_all(source, i, &filter);
	}
}

/* The endpoint refused the question: less is asked for, or in the other way */
static evm_outcome
lower_limits(rc_source *source, const evm_question *question, const rc_rpc_reply *reply)
{
	evm_ledger_limits *limits = &source->learned->ledger;
	bool		by_token = source->by_token && source->stage == EVM_ASK_LOGS;
	char	   *problem;
	evm_outcome outcome;

	if (question->n > 1)
		*(by_token ? &limits->tokens : &limits->holders) = (int) (question->n / 2);
	else if (by_token && !limits->no_holders)
		limits->no_tokens = true;
	else if (!by_token && !limits->no_tokens && source->stage == EVM_ASK_LOGS)
		limits->no_holders = true;
	else
	{
		/* Another endpoint may be better; this one is asked for balances when it is its turn again */
		limits->no_logs = true;
		problem = rc_asprintf("the endpoint refuses eth_getLogs: %s", reply->error);
		outcome = evm_say(source, RC_FAILURE_REFUSED, problem);
		free(problem);
		return outcome;
	}
	return EVM_ASK_ANEW;
}

evm_outcome
evm_take_logs(rc_source *source, const evm_question *question, rc_rpc_reply *reply)
{
	evm_block  *block = &source->blocks[question->block];
	bool		outgoing = source->stage == EVM_ASK_OUTGOING;
	evm_log_filter filter = {block->id.hash, outgoing ? &block->paid : &source->wanted, !outgoing && source->by_token, outgoing};
	const char *problem;

	if (reply->error == NULL && reply->result == NULL)
		return EVM_GONE;
	if (question->n == 0)
		return EVM_TAKEN;
	if (reply->error != NULL)
		return lower_limits(source, question, reply);
	problem = evm_logs_take(reply->result, &filter, &block->transfers);
	if (problem != NULL)
		return evm_say(source, RC_FAILURE_MALFORMED, problem);
	if (!outgoing)
		source->logs += json_object_array_length(reply->result);
	return EVM_TAKEN;
}

/* How many events the tokens have in a block: what it costs to ask by token */
void
evm_learn_logs(rc_source *source)
{
	evm_ledger_limits *limits = &source->learned->ledger;

	if (source->by_token && source->nblocks > 0)
	{
		limits->logs = (double) source->logs / source->nblocks;
		limits->asked_by_holders = 0;
	}
	else
		limits->asked_by_holders += source->nblocks;
}
