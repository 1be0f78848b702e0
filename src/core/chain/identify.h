/* identify.h: which chain an endpoint serves: one question, and one judgement of the answer */
#ifndef RC_IDENTIFY_H
#define RC_IDENTIFY_H

#include "core/protocol/network.h"

struct rc_rpc_reply;

/* What an endpoint says of its chain */
typedef struct rc_identity
{
	uint64_t	chain_id;		/* EIP-155; 0: the kind has none */
	char		genesis[65];	/* the hash of the first block; "": the kind goes by chain ids */
	const char *network;		/* whose first block that is, as networks.network names it; NULL: none that is known */
} rc_identity;

typedef struct rc_identifier
{
	const char *method;			/* the question, in JSON-RPC; NULL: a GET of path below the endpoint's URL */
	const char *params;
	const char *path;

	/* The answer: the text that the call answers, or the body. No text of a failure: it is one */
	rc_failure	(*take) (const char *answer, rc_identity *identity);

	/* Is that the chain of the network? */
	rc_failure	(*judge) (const rc_network *network, const rc_identity *identity);
} rc_identifier;

/* The same of a reply to the call, for those who put the question together with others */
extern rc_failure rc_identify_take_reply(const rc_identifier *identifier, const struct rc_rpc_reply *reply, rc_identity *identity);

/* All of it: does the endpoint that gave the reply serve the network's chain? */
extern rc_failure rc_identify_reply(const rc_identifier *identifier, const rc_network *network, const struct rc_rpc_reply *reply);
extern rc_failure rc_identify_answer(const rc_identifier *identifier, const rc_network *network, const char *answer);

#endif
