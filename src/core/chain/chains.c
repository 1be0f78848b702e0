/* chains.c: the one table of kinds */
#include "core/chain/chain.h"

#include <string.h>

/* Weak: a unit test brings a table with one row more */
__attribute__((weak)) const rc_chain *const rc_chains[] = {
	&rc_chain_evm,
	&rc_chain_esplora,
	&rc_chain_bitcoind,
	NULL
};

const rc_chain *
rc_chain_of(const char *kind)
{
	for (const rc_chain *const *chain = rc_chains; kind != NULL && *chain != NULL; chain++)
	{
		if (strcmp((*chain)->kind, kind) == 0)
			return *chain;
	}
	return NULL;
}
