/* ask.c: what all parts of a look use: asking the endpoint, and saying that it failed or the chain moved */
#include "core/chain/evm/evm.h"

#include <stdlib.h>

/* What an endpoint refused is tried again after this time */
#define LEARNED_MS ((int64_t) 30 * 60 * 1000)

/* What is known of the endpoint, as far as it isn't too old */
evm_learned *
evm_learned_of(rc_endpoint *endpoint)
{
	evm_learned *learned = endpoint->learned;

	if (learned == NULL)
		learned = endpoint->learned = rc_calloc(1, sizeof(*learned));
	if (learned->since_ms == 0 || rc_now_ms() - learned->since_ms > LEARNED_MS)
	{
		learned->since_ms = rc_now_ms();
		learned->method = EVM_CREATION;
		learned->max_pairs = EVM_MAX_PAIRS;
		learned->array_size = 0;
		learned->pin_by_hash = false;
		learned->ledger = (evm_ledger_limits) {EVM_MAX_BLOCKS, EVM_MAX_HOLDERS, EVM_MAX_TOKENS, -1, 0, EVM_TRACE_BLOCK, false, false, false, false};
	}
	return learned;
}

/* The endpoint is at fault; takes over the failure, which observer.c acts on */
evm_step
evm_fail(evm_look *look, rc_failure failure)
{
	free(look->failure.text);
	look->failure = failure;
	return EVM_FAILED;
}

/* The exchange failed; takes over its failure */
evm_step
evm_fail_exchange(evm_look *look, rc_exchange_result *result)
{
	rc_failure	failure = result->failure;

	result->failure.text = NULL;
	return evm_fail(look, failure);
}

/* The chain moved, or the answers come from several nodes: observer.c asks for a fresh tip */
evm_step
evm_restart(evm_look *look, const char *why)
{
	look->moved = why;
	return EVM_MOVED;
}

/* The calls of one exchange with the endpoint */
rc_exchange *
evm_ask(evm_look *look, const rc_rpc_call *calls, int ncalls, rc_exchange_done done, void *arg)
{
	rc_attempt *attempt = look->attempt;

	rc_exchange_request request = {
		.url = attempt->endpoint->url,
		.meter = &attempt->endpoint->meter,
		.timeout_ms = attempt->network->request_timeout_ms,
		.calls = calls,
		.ncalls = ncalls,
		.array_size = &look->learned->array_size
	};

	return rc_exchange_start(attempt->http, &request, done, arg);
}
