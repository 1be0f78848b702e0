/* queue_facts.h: what the trigger knows of sources and networks without asking for each row */
#ifndef RC_QUEUE_FACTS_H
#define RC_QUEUE_FACTS_H

#include "postgres.h"

#include "utils/relcache.h"

/* A network as far as its requests' places in the queue depend on it */
typedef struct network_facts
{
	int32		network_id;		/* 0: it is not registered */
	const char *chain;
	const char *network;
	const char *kind;
	bool		follows_native; /* its own asset is found in blocks */
	bool		follows_tokens;
} network_facts;

/*
 * Of the network with these names (either may be NULL), or of network 0. Good
 * until the next call of a function of this file. As they are at this moment,
 * whatever the transaction's snapshot; may read tables as whoever runs this.
 */
extern const network_facts *queue_network(const char *chain, const char *network);

/* The table of a source; InvalidOid: there is no such source */
extern Oid	queue_source_relation(int32 source_id);

/* Is the relation the source's table, or a partition of it? */
extern bool queue_is_of_source(int32 source_id, Relation relation);

#endif
