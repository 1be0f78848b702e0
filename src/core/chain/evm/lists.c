/* lists.c: cuts a look into lists, halves those that are refused, falls back to another way of reading */
#include "core/chain/evm/evm.h"

#include <stdlib.h>
#include <string.h>

/* Lists of one look on the wire at a time */
#define MAX_RUNNING 4

/* Lists that may be refused in one look, before it is given up: about 30 poison tokens among 740 */
#define MAX_REFUSALS 400

/* aggregate3 takes and gives more bytes for each pair */
#define MAX_MULTICALL_PAIRS 400

/* With two headers and two calls for each pair: arrays of at most 100 */
#define MAX_PLAIN_PAIRS 49

/* Adds a list to those that wait */
static void
add_waiting(evm_look *look, evm_chunk *chunk)
{
	chunk->next = look->waiting;
	look->waiting = chunk;
}

/* Frees a chain of chunks */
static void
free_chunks(evm_chunk **list)
{
	while (*list != NULL)
	{
		evm_chunk  *chunk = *list;

		*list = chunk->next;
		evm_chunk_free(chunk);
	}
}

/* Forgets every list and what was read */
void
evm_drop_chunks(evm_look *look)
{
	free_chunks(&look->waiting);
	free_chunks(&look->running);
	free_chunks(&look->refused);
	look->nrunning = 0;
	look->refusals = 0;
	look->probed = false;
	look->reread = false;
	look->checked_code = false;
	for (int i = 0; i < look->npairs; i++)
	{
		free(look->pairs[i].error);
		look->pairs[i].error = NULL;
		look->pairs[i].refused = false;
		look->pairs[i].tip.state = look->pairs[i].depth.state = EVM_UNREAD;
	}
}

/* How many pairs go into one list */
static int
list_size(const evm_look *look)
{
	int			most = look->learned->max_pairs;

	if (look->method == EVM_MULTICALL && most > MAX_MULTICALL_PAIRS)
		most = MAX_MULTICALL_PAIRS;
	if (look->method == EVM_PLAIN && most > MAX_PLAIN_PAIRS)
		most = MAX_PLAIN_PAIRS;
	return most;
}

/* Cuts all pairs into lists and starts reading */
evm_step
evm_read_all(evm_look *look)
{
	int		   *indexes = rc_malloc((size_t) look->npairs * sizeof(int));
	int			most;

	look->method = look->learned->method;
	most = list_size(look);
	for (int i = 0; i < look->npairs; i++)
		indexes[i] = i;
	for (int first = 0; first < look->npairs; first += most)
	{
		int			n = look->npairs - first < most ? look->npairs - first : most;

		add_waiting(look, evm_chunk_new(look, indexes + first, n));
	}
	free(indexes);
	return evm_go_on(look);
}

/* The endpoint does not read that way: begin again in another, and remember it */
static evm_step
use_method(evm_look *look, evm_method method)
{
	static const char *const names[] = {"creation_code", "multicall3", "single_balances"};

	if (look->learned->method != method)
		rc_log_event(look->attempt->host, RC_LOG_INFO, "endpoint is read in another way",
					 RC_FIELDS(rc_field_text("chain", look->attempt->network->chain),
							   rc_field_text("network", look->attempt->network->network),
							   rc_field_text("endpoint", look->attempt->endpoint->shown),
							   rc_field_text("refused", names[look->method]),
							   rc_field_text("method", names[method])), NULL);
	evm_drop_chunks(look);
	look->learned->method = method;
	return evm_read_all(look);
}

/* An empty list, and the code of Multicall3, have been asked for */
static void
on_probe(void *arg, rc_exchange_result *result)
{
	evm_look   *look = arg;
	uint8_t		words[EVM_HEADER_WORDS][32];
	const char *hex;
	const char *code;

	look->exchange = NULL;
	if (result->failure.text != NULL)
	{
		look->act(look, evm_fail_exchange(look, result));
		return;
	}
	hex = evm_reply_string(&result->replies[0]);
	code = evm_reply_string(&result->replies[1]);
	if (hex != NULL && evm_creation_decode(hex, look->pairs, NULL, 0, words, NULL))
	{
		look->probed = true;
		look->act(look, EVM_GO_ON);
	}
	else
		look->act(look, use_method(look, code != NULL && strlen(code) > 2 ? EVM_MULTICALL : EVM_PLAIN));
}

/* Does the endpoint run creation code at all? */
static void
start_probe(evm_look *look)
{
	char	   *block = evm_block_param(look, &look->tip, look->tip.number);
	char	   *call_params = evm_creation_params(look->pairs, NULL, 0, block);
	char	   *code_params = rc_asprintf("[\"%s\",%s]", evm_multicall_address, block);
	rc_rpc_call calls[2] = {{"eth_call", call_params, 0}, {"eth_getCode", code_params, EVM_MAX_CODE}};

	look->exchange = evm_ask(look, calls, 2, on_probe, look);
	free(block);
	free(call_params);
	free(code_params);
}

/* These pairs can't be read from this endpoint */
static void
give_up_pairs(evm_chunk *chunk)
{
	for (int i = 0; i < chunk->n; i++)
	{
		evm_pair   *pair = &chunk->look->pairs[chunk->pairs[i]];
		char		token[RC_EVM_ADDRESS_SIZE];

		rc_evm_address_format(pair->token, token);
		free(pair->error);
		pair->refused = true;
		pair->error = rc_asprintf("the endpoint refuses to read the balance in token %s: %s",
								  token, chunk->refusal);
	}
}

/* Halves a refused list */
static void
split_chunk(evm_chunk *chunk)
{
	evm_look   *look = chunk->look;
	evm_split  *split = rc_calloc(1, sizeof(*split));
	int			half = chunk->n / 2;
	evm_chunk  *first = evm_chunk_new(look, chunk->pairs, half);
	evm_chunk  *second = evm_chunk_new(look, chunk->pairs + half, chunk->n - half);

	split->refs = 2;
	split->size = chunk->n - half;
	first->split = second->split = split;
	add_waiting(look, second);
	add_waiting(look, first);
}

/* What becomes of a list that was refused; anything but EVM_GO_ON: the look has failed or begun again */
static evm_step
handle_refused(evm_look *look)
{
	evm_chunk  *chunk = look->refused;
	bool		native = chunk->n == 1 && look->pairs[chunk->pairs[0]].native;

	look->refused = chunk->next;
	chunk->next = NULL;
	if (look->refusals > MAX_REFUSALS || native || chunk->useless)
	{
		char	   *why = chunk->refusal;

		/* No single contract is to blame for these */
		chunk->refusal = NULL;
		evm_chunk_free(chunk);
		if (look->method == EVM_MULTICALL)
		{
			free(why);
			return use_method(look, EVM_PLAIN);
		}
		return evm_fail(look, rc_failure_take(RC_FAILURE_REFUSED, why));
	}
	if (chunk->n == 1)
		give_up_pairs(chunk);
	else
		split_chunk(chunk);
	evm_chunk_free(chunk);
	return EVM_GO_ON;
}

/* When an endpoint refuses every single token, it isn't the tokens; returns why, or NULL */
static char *
everything_refused(evm_look *look)
{
	if (look->npairs < 2)
		return NULL;
	for (int i = 0; i < look->npairs; i++)
	{
		if (!look->pairs[i].refused)
			return NULL;
	}
	return rc_asprintf("every balance was refused; the last: %s", look->pairs[look->npairs - 1].error);
}

/* All lists are read: what is left to find out? False while something is under way */
static bool
is_complete(evm_look *look)
{
	if (!look->reread)
	{
		look->reread = true;
		if (evm_reread_unanswered(look))
			return false;
	}
	if (!look->checked_code)
	{
		look->checked_code = true;
		if (evm_check_code(look))
			return false;
	}
	return true;
}

/* Puts lists that wait on the wire */
static void
start_waiting(evm_look *look)
{
	while (look->waiting != NULL && look->nrunning < MAX_RUNNING)
	{
		evm_chunk  *chunk = look->waiting;

		look->waiting = chunk->next;
		chunk->next = look->running;
		look->running = chunk;
		look->nrunning++;
		evm_chunk_start(chunk);
	}
}

/* Starts what can be started; never EVM_GO_ON */
evm_step
evm_go_on(evm_look *look)
{
	evm_step	step;
	char	   *error;

	if (look->refused != NULL && look->method == EVM_CREATION && !look->probed)
	{
		if (look->exchange == NULL)
			start_probe(look);
		return EVM_UNDER_WAY;
	}
	while (look->refused != NULL)
	{
		if ((step = handle_refused(look)) != EVM_GO_ON)
			return step;
	}
	do
	{
		start_waiting(look);
		if (look->nrunning > 0 || look->exchange != NULL)
			return EVM_UNDER_WAY;
	} while (!is_complete(look));
	error = everything_refused(look);
	return error != NULL ? evm_fail(look, rc_failure_take(RC_FAILURE_REFUSED, error)) : EVM_COMPLETE;
}
