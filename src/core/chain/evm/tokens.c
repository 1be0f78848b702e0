/* tokens.c: tokens that gave no number: is it the token, the gas, or is there no contract? */
#include "core/chain/evm/evm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Tokens whose code is looked at in one look; any more keep the general error */
#define MAX_TOKENS 20

/* Did the token give no number, at the tip or at the depth? */
static bool
is_unanswered(const evm_pair *pair)
{
	return pair->error == NULL && (pair->tip.state == EVM_UNANSWERED || pair->depth.state == EVM_UNANSWERED);
}

/*
 * In a long list others may have burnt the gas: those that gave no number are
 * asked again in lists too short for that. False if there is nothing to ask.
 */
bool
evm_reread_unanswered(evm_look *look)
{
	int			indexes[EVM_SHORT_LIST];
	int			n = 0;
	bool		any = false;

	for (int i = 0; i < look->npairs; i++)
	{
		if (is_unanswered(&look->pairs[i]) && look->pairs[i].list_size > EVM_SHORT_LIST)
			indexes[n++] = i;
		if (n == EVM_SHORT_LIST || (n > 0 && i == look->npairs - 1))
		{
			evm_chunk  *chunk = evm_chunk_new(look, indexes, n);

			chunk->next = look->waiting;
			look->waiting = chunk;
			any = true;
			n = 0;
		}
	}
	return any;
}

/* The first pair of each unanswered token */
static int
find_tokens(const evm_look *look, int *indexes)
{
	int			n = 0;

	for (int i = 0; i < look->npairs && n < MAX_TOKENS; i++)
	{
		bool		known = false;

		if (!is_unanswered(&look->pairs[i]))
			continue;
		for (int j = 0; j < n; j++)
			known = known || memcmp(look->pairs[indexes[j]].token, look->pairs[i].token, RC_EVM_ADDRESS_BYTES) == 0;
		if (!known)
			indexes[n++] = i;
	}
	return n;
}

/* Is there no contract? False if that isn't known */
static bool
has_no_code(rc_rpc_reply *reply)
{
	const char *code = evm_reply_string(reply);

	return code != NULL && strcmp(code, "0x") == 0;
}

/* What the code of a token at the tip and at the depth says about its requests */
static void
judge_token(evm_look *look, const uint8_t *token, rc_rpc_reply *at_tip, rc_rpc_reply *at_depth)
{
	char		text[RC_EVM_ADDRESS_SIZE];

	rc_evm_address_format(token, text);
	for (int i = 0; i < look->npairs; i++)
	{
		evm_pair   *pair = &look->pairs[i];

		if (!is_unanswered(pair) || memcmp(pair->token, token, RC_EVM_ADDRESS_BYTES) != 0)
			continue;
		if (pair->tip.state == EVM_UNANSWERED && has_no_code(at_tip))
			pair->error = rc_asprintf("there is no token contract at %s on this chain", text);
		else if (pair->tip.state == EVM_READ && pair->depth.state == EVM_UNANSWERED &&
				 at_depth != NULL && has_no_code(at_depth))
		{
			/* Deployed since: whatever it shows now, nothing of it is settled */
			pair->depth.state = EVM_READ;
			pair->depth.value = rc_uint256_zero;
		}
	}
}

/* The code of the tokens has come */
static void
on_code(void *arg, rc_exchange_result *result)
{
	evm_look   *look = arg;
	int			indexes[MAX_TOKENS];
	int			n = find_tokens(look, indexes);
	int			each = look->separate_depth ? 2 : 1;
	uint8_t		tokens[MAX_TOKENS][RC_EVM_ADDRESS_BYTES];

	look->exchange = NULL;
	/* It is only for a better error text, so a failure keeps the general one */
	if (result->failure.text == NULL && n * each == result->nreplies)
	{
		for (int i = 0; i < n; i++)
			memcpy(tokens[i], look->pairs[indexes[i]].token, RC_EVM_ADDRESS_BYTES);
		for (int i = 0; i < n; i++)
			judge_token(look, tokens[i], &result->replies[i * each],
						each == 2 ? &result->replies[i * each + 1] : NULL);
	}
	look->act(look, EVM_GO_ON);
}

/* Asks for the code of the tokens that gave no number; false if there are none */
bool
evm_check_code(evm_look *look)
{
	int			indexes[MAX_TOKENS];
	int			n = find_tokens(look, indexes);
	int			ncalls = 0;
	rc_rpc_call calls[2 * MAX_TOKENS] = {{NULL, NULL, 0}};
	char	   *params[2 * MAX_TOKENS];

	if (n == 0)
		return false;
	for (int i = 0; i < n; i++)
	{
		char		token[RC_EVM_ADDRESS_SIZE];

		rc_evm_address_format(look->pairs[indexes[i]].token, token);
		params[ncalls] = rc_asprintf("[\"%s\",\"0x%" PRIx64 "\"]", token, look->tip.number);
		ncalls++;
		if (look->separate_depth)
		{
			params[ncalls] = rc_asprintf("[\"%s\",\"0x%" PRIx64 "\"]", token, look->depth_number);
			ncalls++;
		}
	}
	for (int i = 0; i < ncalls; i++)
		calls[i] = (rc_rpc_call) {"eth_getCode", params[i], EVM_MAX_CODE};
	look->exchange = evm_ask(look, calls, ncalls, on_code, look);
	for (int i = 0; i < ncalls; i++)
		free(params[i]);
	return true;
}
