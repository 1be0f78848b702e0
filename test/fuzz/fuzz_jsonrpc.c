/* fuzz_jsonrpc.c: answers to JSON-RPC requests, single and in arrays */
#include "core/net/jsonrpc.h"
#include "fuzz.h"

#define CALLS 3

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *body = fuzz_text(data, size);

	for (int array = 0; array <= 1; array++)
	{
		int			ncalls = array ? CALLS : 1;
		rc_rpc_reply replies[CALLS] = {{0}};
		int64_t		code = 0;
		char	   *error = NULL;
		rc_rpc_outcome outcome = rc_rpc_parse(body, size, ncalls, 1, array, replies, &code, &error);

		/* What went wrong has a text, and left nothing behind */
		if ((outcome == RC_RPC_OK) != (error == NULL))
			abort();
		for (int i = 0; outcome != RC_RPC_OK && i < ncalls; i++)
		{
			if (replies[i].error != NULL || replies[i].result != NULL)
				abort();
		}
		rc_rpc_clear(replies, ncalls);
		free(error);
	}
	free(body);
	return 0;
}
