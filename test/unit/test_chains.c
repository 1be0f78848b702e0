/* test_chains.c: the table of kinds: names that are each other's only, and what each says of requests */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/chain/chain.h"

static int	failures = 0;
static int	tests = 0;

static void
ok(bool passed, const char *name)
{
	tests++;
	failures += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", tests, name);
}

static bool
has_problem(const char *kind, const char *address, const char *token)
{
	char	   *problem = rc_chain_of(kind)->request_problem("mainnet", address, token);
	bool		has = problem != NULL;

	free(problem);
	return has;
}

int
main(void)
{
	const char *holder = "0x00000000000000000000000000000000000000aa0";
	const char *address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
	uint8_t		key[RC_KEY_MAX];
	int			n = 0;

	for (const rc_chain *const *chain = rc_chains; *chain != NULL; chain++, n++)
	{
		ok(rc_chain_of((*chain)->kind) == *chain, (*chain)->kind);
		ok((*chain)->look != NULL || (*chain)->blocks != NULL, "it looks, is followed, or both");
		ok((*chain)->identify != NULL && ((*chain)->identify->method != NULL) != ((*chain)->identify->path != NULL),
		   "it has one question for which chain an endpoint serves");
		ok((*chain)->request_problem != NULL && (*chain)->request_key != NULL && (*chain)->default_chain != NULL,
		   "it has all that every kind has");
		ok((*chain)->request_key("mainnet", "nonsense", NULL, key) == 0 && has_problem((*chain)->kind, "nonsense", NULL),
		   "what is no address has no key, and a problem");
	}
	ok(n >= 3 && rc_chain_of("none") == NULL && rc_chain_of("solana") == NULL && rc_chain_of(NULL) == NULL, "others are none");
	ok(rc_chain_of("evm")->request_key("x", "0x0000000000000000000000000000000000001234",
									   "0x00000000000000000000000000000000000000bb", key) == 40 &&
	   key[19] == 0xbb && key[38] == 0x12 && key[39] == 0x34, "token and holder");
	ok(rc_chain_of("evm")->request_key("x", "0x0000000000000000000000000000000000001234", NULL, key) == 40 && key[19] == 0,
	   "no token: zeros");
	ok(rc_chain_of("evm")->request_key("x", holder, NULL, key) == 0, "a digit too many");
	ok(rc_chain_of("bitcoind")->request_key("mainnet", address, NULL, key) == 22 && key[0] == 0 && key[1] == 20, "a script");
	ok(rc_chain_of("esplora")->request_key("mainnet", address, "x", key) == 0 && has_problem("esplora", address, "x"),
	   "a chain without tokens");
	printf("1..%d\n", tests);
	return failures > 0;
}
