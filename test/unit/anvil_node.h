/* anvil_node.h: a real EVM node for unit tests; RECONCILER_ANVIL (or ANVIL) names anvil's executable */
#ifndef ANVIL_NODE_H
#define ANVIL_NODE_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/net/http.h"
#include "core/protocol/network.h"

/* anvil's first account, that has 10,000 ETH and all of the token */
#define RICH "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

/* A small ERC-20 that gives 2^64 - 1 units to whoever deploys it */
#define TOKEN_CODE \
	"0x67ffffffffffffffff335560988060166000396000f360003560e01c806370a08231146033578063a9059cbb1460405763313c" \
	"e5671460285760006000fd5b600660005260206000f35b6004355460005260206000f35b60243533548181106092578190033355" \
	"80600435540160043555600052600435337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef6020" \
	"6000a3600160005260206000f35b60006000fd"

typedef struct anvil
{
	pid_t		pid;
	rc_http    *http;
	rc_network	network;
	rc_endpoint endpoint;
	char	   *token;
} anvil;

/* The one node that a test program has */
extern anvil node;

/* anvil's executable; NULL: not told */
extern const char *anvil_path(void);

/* cmocka: a node with a token, for all tests, and its end */
extern int	anvil_setup(void **state);
extern int	anvil_teardown(void **state);

/* Calls the node, which must take it; the result as JSON text, until the next call */
extern const char *rpc(const char *method, const char *params);

/* Sends a transaction, of which these are members, and waits until it is mined; the receipt */
extern const char *send_transaction(const char *members);

/* Deploys code; its address, to be freed */
extern char *deploy(const char *code);

#endif
