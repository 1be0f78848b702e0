/* fake_node.h: an EVM node over HTTP that misbehaves on demand; a child process, told what to do in shared memory */
#ifndef FAKE_NODE_H
#define FAKE_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the node does to a whole HTTP request */
typedef enum fake_trouble
{
	FAKE_NO_TROUBLE,
	FAKE_HANG,					/* never answers */
	FAKE_CLOSE,					/* closes instead of answering */
	FAKE_CUT_BODY,				/* closes in the middle of the body */
	FAKE_CUT_JSON,				/* a whole body of half a document */
	FAKE_HTML,
	FAKE_EMPTY,
	FAKE_STATUS,				/* status, with retry_after, and text as body */
	FAKE_TEXT,					/* 200 with text as body */
	FAKE_WRONG_IDS,
	FAKE_SAME_IDS,
	FAKE_MISSING_ANSWER,
	FAKE_HUGE,					/* more than any answer may have */
	FAKE_LATE,					/* each request gets the answer to the one before it, whoever sent that */
	FAKE_DOUBLED,				/* each answer comes twice, the second time a moment later */
	FAKE_CACHED,				/* the answer to the first such request, for all calls of these methods */
	FAKE_SWAPPED				/* two requests at a time get each other's answer */
} fake_trouble;

/* A token contract with a mind of its own, by the last byte of its address */
enum
{
	FAKE_TOKEN = 0x01,			/* answers */
	FAKE_DEAD_TOKEN = 0xd0,		/* gives no number */
	FAKE_NO_TOKEN = 0xd1,		/* no code */
	FAKE_NEW_TOKEN = 0xd2,		/* no code below the tip */
	FAKE_POISON_TOKEN = 0xd3,	/* any list with it is refused */
	FAKE_GREEDY_TOKEN = 0xd4	/* in a list longer than 32, what follows it starves */
};

/* Answers to other requests, kept by FAKE_LATE … */
#define FAKE_KEPT 4
#define FAKE_KEPT_SIZE (512 * 1024)

typedef struct fake_kept
{
	char		methods[256];	/* those that it is an answer to */
	char		text[FAKE_KEPT_SIZE];
} fake_kept;

typedef struct fake_node
{
	/* told by the test */
	fake_trouble trouble;
	int			trouble_after;	/* requests that are answered well before */
	int			status;
	int			retry_after;	/* seconds, 0: none */
	char		text[512];
	uint64_t	chain_id;
	uint64_t	evm_chain_id;	/* what calls see */
	uint64_t	tip;
	uint64_t	safe;
	uint64_t	number_offset;	/* the EVM's NUMBER is off by this */
	uint64_t	call_offset;	/* calls run at another block than asked for */
	int			forks;			/* every block has another hash for this many blocks requests, -1: always */
	bool		no_blocks;		/* asked by number, it knows no block */
	int			max_array;		/* 0: any, 1: no arrays */
	bool		no_creation;	/* refuses it with an error */
	bool		empty_creation; /* answers it with 0x */
	bool		has_multicall;
	int			max_list;		/* longer lists run out of gas */
	int			max_body;		/* bytes; HTTP 413 above */
	char		call_error[256];	/* every eth_call and eth_getBalance fails with this */
	char		token_error[256];	/* every balanceOf by itself reverts with this */

	/* told by the node */
	int			requests;		/* HTTP */
	int			connections;
	int			tips;			/* eth_getBlockByNumber "latest" */
	int			calls;			/* eth_call */
	int			balances;		/* eth_getBalance */
	int			longest_list;	/* that was answered */

	int			nkept;
	int			waiting;		/* FAKE_SWAPPED: how many of a pair have come */
	fake_kept	kept[FAKE_KEPT];

	uint16_t	port;
	pid_t		pid;
} fake_node;

/* Starts a well-behaved node of chain 31337 with tip 100, safe 90; in shared memory */
extern fake_node *fake_node_start(void);
extern void fake_node_stop(fake_node *node);

/* What it says that holder (its last 4 bytes) has in token (its last byte; 0: native) at a block */
extern uint64_t fake_balance(uint32_t holder, uint8_t token, uint64_t block);

#endif
