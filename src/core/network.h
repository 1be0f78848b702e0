/* network.h: a network with its endpoints as a worker sees them, and the requests of a claimed batch */
#ifndef RC_NETWORK_H
#define RC_NETWORK_H

#include "uint256.h"

typedef enum rc_kind
{
	RC_KIND_NONE,				/* not registered, or without an endpoint: can't be observed */
	RC_KIND_EVM,
	RC_KIND_ESPLORA,
	RC_KIND_BITCOIND
} rc_kind;

/* What one worker has learnt of an endpoint; lives as long as the network's configuration */
typedef struct rc_endpoint
{
	char	   *url;			/* may hold secrets: never logged */
	char	   *shown;			/* redacted */
	int			failures;		/* in a row */
	char	   *error;			/* the last failure, as long as there are any; NULL: none */
	int64_t		retry_at_ms;	/* rc_now_ms() before which it isn't asked */
	bool		verified;		/* chain id or genesis block checked */
	void	   *learned;		/* the observer's own (limits, fallbacks, tip); malloc'd, freed with free() */
} rc_endpoint;

typedef struct rc_network
{
	int32_t		network_id;
	char	   *chain;			/* "ethereum", "bitcoin", … */
	char	   *network;		/* "mainnet", "local", … */
	rc_kind		kind;
	uint64_t	chain_id;		/* EIP-155; 0: none */
	int			confirmations;	/* 1: the tip itself */
	char	   *block_tag;		/* "safe" or "finalized" instead of confirmations; else NULL */
	int			batch_size;
	long		poll_interval_ms;
	long		lease_ms;
	long		request_timeout_ms;
	double		rate_limit;		/* HTTP requests per second over all workers; 0: no limit */
	rc_endpoint *endpoints;		/* in order of preference */
	int			nendpoints;
	char	   *version;		/* changes when anything above does */
} rc_network;

/* One open request of a claimed batch */
typedef struct rc_request
{
	int64_t		seq;
	char	   *address;
	char	   *token;			/* token contract; NULL: native */
	bool		known;			/* seen and settled are what settle knows; else it wants to hear of them anyway */
	rc_uint256	seen;
	rc_uint256	settled;
	bool		expiring;		/* due to expire unless this look finds something: always handed to settle */
	char	   *error;			/* the last observation's error, or NULL */
} rc_request;

typedef struct rc_block
{
	bool		known;
	uint64_t	height;
	int64_t		time;			/* Unix seconds, the chain's own */
	char		hash[67];		/* as the chain writes it; "" if not known */
} rc_block;

/* What was observed of one request: error, or both amounts */
typedef struct rc_result
{
	char	   *error;			/* malloc'd; NULL: seen and settled are valid */
	rc_uint256	seen;			/* at the tip, mempool included */
	rc_uint256	settled;		/* at the confirmation depth */
} rc_result;

extern void rc_network_free(rc_network *network);

#endif
