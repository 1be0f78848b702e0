/* networks.h: the networks whose endpoints this daemon brings along, in place of the database's */
#ifndef RC_DAEMON_NETWORKS_H
#define RC_DAEMON_NETWORKS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rc_own_network
{
	const char *kind;			/* "evm" or "esplora" */
	char	   *chain;			/* "ethereum", "bitcoin", … */
	char	   *network;		/* NULL: the endpoint will tell */
	char	  **urls;			/* in order of preference, ended by NULL; may hold secrets */
	int			nurls;
	uint64_t	chain_id;		/* EIP-155; 0: the endpoint will tell */
	bool		registered;		/* the database knows the network */
} rc_own_network;

typedef struct rc_own_networks
{
	rc_own_network *list;
	int			n;
} rc_own_networks;

/*
 * Adds what a JSON object names: {"local": URL, "polygon/mainnet": [URL, …],
 * "sepolia": {"urls": [URL, …], "chain_id": 11155111}}. A name without a chain
 * means chain "ethereum" (kind evm) or "bitcoin" (kind esplora). Returns NULL,
 * or a malloc'd sentence about what is wrong, without any URL in it.
 */
extern char *rc_own_networks_add_json(rc_own_networks *networks, const char *kind, const char *json);

/* The same for a single URL, whose endpoint will tell which network it serves */
extern char *rc_own_networks_add_url(rc_own_networks *networks, const char *kind, const char *url);

extern void rc_own_networks_free(rc_own_networks *networks);

/* For rc_overrides: ctx is the rc_own_networks */
extern const char *const *rc_own_networks_endpoints(void *ctx, const char *kind, const char *chain,
													const char *network);

#endif
