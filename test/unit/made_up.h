/*
 * made_up.h: a kind of endpoint that no chain has, as a developer would add one:
 * made_up.c is its file, and a program that has it gives it a row in rc_chains.
 * Its one chain stands in memory and does what the test tells it.
 */
#ifndef MADE_UP_H
#define MADE_UP_H

#include "core/chain/chain.h"

/* Questions that a source or an observer puts */
typedef enum made_up_question
{
	MADE_UP_TIP,
	MADE_UP_HASHES,
	MADE_UP_READ,
	MADE_UP_CHECK,
	MADE_UP_PENDING,
	MADE_UP_TRANSACTIONS,
	MADE_UP_LOOK,
	MADE_UP_QUESTIONS
} made_up_question;

/* What happens to the next n answers to a question */
typedef struct made_up_trouble
{
	int			n;
	rc_failure_code code;		/* a failure of the endpoint; RC_FAILURE_NONE: moved */
} made_up_trouble;

typedef struct made_up_chain
{
	int64_t		height;
	int64_t		fork_height;	/* blocks above it are those of fork number fork */
	int			fork;
	int64_t		lowest;			/* blocks below it have been pruned */
	int64_t		time;			/* of block 0; each block is 10 s younger than its parent */
	int64_t		tagged;			/* height of the tagged block; 0: there is none */
	made_up_trouble trouble[MADE_UP_QUESTIONS];
	bool		short_answers;	/* one hash, one block, one transaction of those that were asked for */
	bool		empty_answers;	/* none */
	bool		foreign;		/* blocks that were not asked for */
	bool		unlinked;		/* blocks whose parent nobody knows */
	bool		hangs;			/* never answers */
	int			pending;		/* transactions that are in no block */
	bool		lists_keys;		/* read asks for whom it reads */
	char		keys[1024];		/* what it was told, in hex, separated by blanks */
	uint64_t	versions[16];	/* of wanted, at each read */
	int			asked[MADE_UP_QUESTIONS];
	int			open;			/* sources, and looks under way */
} made_up_chain;

extern made_up_chain made_up;

/* Its source: may be changed by the test (has_work, pending …), and is as at first after made_up_reset */
extern rc_block_source made_up_source;
extern const rc_chain rc_chain_made_up;

/* Likewise: transactions that are in no block can be had */
extern void made_up_with_pending(void);

/* A chain of that height, without forks */
extern void made_up_reset(int64_t height);

/* The hash of a block of a fork */
extern const char *made_up_hash(int64_t height, int fork, char hash[RC_HASH_SIZE]);

#endif
