/* network.h: a network with its endpoints as a worker sees them */
#ifndef RC_NETWORK_H
#define RC_NETWORK_H

#include "core/net/endpoint.h"

/* Room for the name of a kind of endpoint */
#define RC_MAX_KIND 32

typedef struct rc_network
{
	int32_t		network_id;
	char	   *chain;			/* "ethereum", "bitcoin", … */
	char	   *network;		/* "mainnet", "local", … */
	char		kind[RC_MAX_KIND]; /* "none": not registered */
	uint64_t	chain_id;		/* EIP-155; 0: none */
	int			confirmations;	/* 1: the tip itself */
	char	   *block_tag;		/* "safe" or "finalized" instead of confirmations; else NULL */
	int			batch_size;
	long		poll_interval_ms;
	long		lease_ms;
	long		request_timeout_ms;
	long		tip_interval_ms;	/* how often a chain that is followed is asked for its tip */
	bool		token_logs;		/* tokens are followed by their events */
	bool		native_blocks;	/* the chain's own asset is followed by whole blocks */
	bool		traces;			/* what contracts pay is read from traces */
	bool		has_cursor;		/* it has requests that are followed block by block */
	bool		has_batches;	/* it has requests that are asked for */
	double		rate_limit;		/* HTTP requests per second over all workers; 0: no limit */
	rc_endpoint *endpoints;		/* in order of preference */
	int			nendpoints;
	bool		own_endpoints;	/* the worker's, in place of the database's */
	int64_t		version;		/* the database's: claims and observations name it */
	char	   *fingerprint;	/* changes when anything above does */
} rc_network;

/* Replacements for the database's settings; 0 or NULL: take the database's */
typedef struct rc_overrides
{
	int			batch_size;
	long		lease_ms;
	long		poll_interval_ms;

	/*
	 * Endpoint URLs used in place of the database's for the network, in order
	 * of preference and ended by NULL; NULL: take the database's. The list
	 * stays valid while the engine runs, but the answer may change: ask with
	 * each refresh of the networks. The callback itself may be NULL.
	 */
	const char *const *(*endpoints) (void *ctx, const char *kind, const char *chain, const char *network);
	void	   *endpoints_ctx;
} rc_overrides;

extern void rc_network_free(rc_network *network);

#endif
