/* chain.h: what a kind of endpoint brings; one table for each, and chains.c has them all */
#ifndef RC_CHAIN_H
#define RC_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/chain/blocks.h"
#include "core/chain/identify.h"
#include "core/chain/observer.h"

typedef struct rc_chain
{
	const char *kind;			/* as networks.kind names it */
	const char *default_chain;	/* of a network that a daemon is told of without one */
	const char *urls_option;	/* of a daemon: its own endpoints of this kind; NULL: it takes none */
	bool		has_chain_id;

	/*
	 * Pure, for the trigger, for SQL and for observers. Why a request can't be
	 * observed, rc_malloc'd and beginning with the column's name, or NULL; and
	 * who is paid, as credits name it: its length, 0 if the address is none.
	 * token may be NULL, address not.
	 */
	char	   *(*request_problem) (const char *network, const char *address, const char *token);
	size_t		(*request_key) (const char *network, const char *address, const char *token, uint8_t key[RC_KEY_MAX]);

	const rc_identifier *identify;	/* which chain an endpoint serves */
	const rc_observer *look;	/* asks for each request; NULL: it doesn't */

	/*
	 * The HTTP requests that a look at these will take, as far as is known before
	 * it; NULL where the network's rate_limit doesn't apply.
	 */
	int			(*look_cost) (const rc_request *requests, int nrequests);
	const rc_block_source *blocks;	/* hands out blocks, so that its chain can be followed; NULL: it doesn't */

	/* What a worker has learned of an endpoint's limits, for people: a JSON object, rc_malloc'd; NULL: nothing */
	char	   *(*learned) (const void *learned);
} rc_chain;

extern const rc_chain rc_chain_evm;
extern const rc_chain rc_chain_esplora;
extern const rc_chain rc_chain_bitcoind;

/* All of them, ended by NULL */
extern const rc_chain *const rc_chains[];

/* NULL: no such kind, or "none" */
extern const rc_chain *rc_chain_of(const char *kind);

#endif
