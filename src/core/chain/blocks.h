/* blocks.h: a block source: what the follower asks of a chain that is read block by block, and nothing of how */
#ifndef RC_BLOCKS_H
#define RC_BLOCKS_H

#include "core/base/uint256.h"
#include "core/net/http.h"
#include "core/protocol/network.h"

/* The longest key: two addresses of an EVM chain */
#define RC_KEY_MAX 64

/* A hash of a block or transaction as its chain writes it (hex digits, "0x" before them or not), with its NUL */
#define RC_HASH_SIZE 67

/* Work of a chain, 64 hex digits, with its NUL; compares as text */
#define RC_WORK_SIZE 65

/* A sender as its chain writes it, with its NUL */
#define RC_SENDER_SIZE 96

/* Who is paid: rc_chain.request_key of a request, queue.key */
typedef struct rc_key
{
	uint8_t		bytes[RC_KEY_MAX];
	size_t		len;
} rc_key;

typedef struct rc_keys
{
	rc_key	   *items;
	size_t		n;
	size_t		size;
} rc_keys;

extern void rc_keys_add(rc_keys *keys, const uint8_t *bytes, size_t len);
extern void rc_keys_free(rc_keys *keys);

typedef enum rc_credit_kind
{
	RC_CREDIT_OUTPUT,			/* an output of a transaction; ordinal: its index */
	RC_CREDIT_NATIVE,			/* a transaction's value; ordinal: 0 */
	RC_CREDIT_TOKEN,			/* an event of a token's contract; ordinal: the log's index in the block */
	RC_CREDIT_INTERNAL			/* a contract's doing; ordinal: whatever tells those of a transaction apart */
} rc_credit_kind;

/* As payments.kind names it */
extern const char *rc_credit_kind_name(rc_credit_kind kind);

/*
 * What pays a key. The same credit has the same (txid, kind, ordinal) whenever it
 * is read; where no transaction explains it ("", internal only) the block's
 * hash, key and ordinal tell it from others.
 */
typedef struct rc_credit
{
	char		txid[RC_HASH_SIZE];
	rc_credit_kind kind;
	uint64_t	ordinal;
	rc_key		key;
	rc_uint256	amount;
	char		sender[RC_SENDER_SIZE]; /* "": none is known */
	bool		unverified;		/* taken as the chain's events say it, since state that would prove it was not to be had */
} rc_credit;

typedef struct rc_credits
{
	rc_credit  *items;
	size_t		n;
	size_t		size;
} rc_credits;

/* A zeroed one at the end, to be filled in before the next is added */
extern rc_credit *rc_credits_add(rc_credits *credits);
extern void rc_credits_free(rc_credits *credits);

/* As SQL takes them, rc_malloc'd: [[txid, ordinal, key in hex, amount, kind, sender, unverified], …] */
extern char *rc_credits_to_json(const rc_credit *credits, size_t n);

/* One block, with whatever it pays to a key that is wanted; others may be among them */
typedef struct rc_read_block
{
	int64_t		height;
	char		hash[RC_HASH_SIZE];
	char		previous[RC_HASH_SIZE];
	int64_t		time;			/* Unix seconds, as the block says */
	int64_t		steady_time;	/* never falls from a block to the next (Bitcoin: the median of eleven) */
	char		work[RC_WORK_SIZE]; /* of the chain up to it; "": has_work is false */
	rc_credits	credits;		/* in the chain's order */
} rc_read_block;

/* Which block is asked for */
typedef struct rc_block_id
{
	int64_t		height;
	char		hash[RC_HASH_SIZE];
} rc_block_id;

/* Where the chain of an endpoint stands */
typedef struct rc_chain_tip
{
	int64_t		height;
	char		hash[RC_HASH_SIZE];
	int64_t		time;			/* Unix seconds; -1: the endpoint doesn't say */
	char		work[RC_WORK_SIZE]; /* "": has_work is false */
	int64_t		lowest;			/* the lowest block that can be read; 0: all */
	rc_block_id tagged;			/* the block of network->block_tag; height -1: the network has no tag */
} rc_chain_tip;

/* A transaction that is in no block yet */
typedef struct rc_pending_transaction
{
	char		txid[RC_HASH_SIZE];
	bool		left;			/* it isn't pending any more; no credits then */
	rc_credits	credits;
} rc_pending_transaction;

/*
 * Which keys a block is to be read for: those of open requests, or, while blocks
 * are read again, those of the requests that came late. A source that hands out
 * all credits needs none of it.
 *
 * Each runs a statement of the store, so no call may be half built around it that
 * a failure would leave behind. False: the database did not answer; the source
 * ends its call with aborted set, and the follower knows why.
 *
 * They change: a source that keeps them asks anew in the first read after each
 * tip, and whenever version has changed.
 */
typedef struct rc_wanted rc_wanted;

struct rc_wanted
{
	void	   *ctx;
	uint64_t	version;

	/* Appends up to most keys above after (NULL: from the first), ascending, each once */
	bool		(*keys) (const rc_wanted *wanted, const rc_key *after, int most, rc_keys *keys);

	/* Appends what the keys begin with (EVM: the token), len bytes of each, each once */
	bool		(*prefixes) (const rc_wanted *wanted, size_t len, rc_keys *prefixes);

	/* Appends those of the candidates that are wanted, in any order: for more requests than are worth listing */
	bool		(*among) (const rc_wanted *wanted, const rc_keys *candidates, rc_keys *found);
};

/* What a call ended with. Valid, and to be read, during done only */
typedef struct rc_source_result
{
	rc_failure	failure;		/* the endpoint is at fault, and another is asked; taken over if text is set to NULL */
	bool		moved;			/* what was asked for isn't there any more, or not on this one of several nodes: begin again */
	bool		aborted;		/* a function of rc_wanted said false */
	rc_chain_tip tip;			/* tip */
	char		(*hashes)[RC_HASH_SIZE];	/* hashes: nhashes of them, "" where the endpoint has no block (any more, or yet) */
	int			nhashes;
	rc_read_block *blocks;		/* read: in the order in which they were asked for, */
	int			nblocks;		/* at least the first of them */
	bool		holds;			/* check */
	const char *const *txids;	/* pending */
	size_t		ntxids;
	rc_pending_transaction *transactions;	/* read_pending: in the order in which they were asked for */
	int			ntransactions;
} rc_source_result;

typedef void (*rc_source_done) (void *arg, rc_source_result *result);

/* A kind's own state of one endpoint in one step of the follower */
typedef struct rc_source rc_source;

/* All outlive the source */
typedef struct rc_source_context
{
	rc_http    *http;
	const rc_host *host;
	rc_network *network;
	rc_endpoint *endpoint;		/* asked, and no other; what is learnt of it for later steps: endpoint->learned */
	const rc_wanted *wanted;
} rc_source_context;

/*
 * The vtable. A source does one call at a time. Each call returns at once, and
 * later, from an rc_http_step, calls done once: never from inside the call. The
 * source judges answers (HTTP, JSON-RPC, hashes that can be computed, numbers
 * that don't parse) and says with which code its endpoint has failed; the
 * follower judges the chain (links, forks, work, age, what was read before).
 * A short or missing answer is moved or a failure, never an empty list.
 */
typedef struct rc_block_source
{
	bool		has_work;		/* the chain with the most work counts; else the highest */
	int			at_a_time;		/* blocks, at most, in one read */
	int			hashes_at_a_time;
	long		time_tolerance; /* seconds by which the time of a block may be earlier than the block */

	/* Why a network of this name can't be followed, rc_malloc'd; NULL: it can. May be NULL: any can */
	char	   *(*network_problem) (const rc_network *network);

	/* Never waits and never fails */
	rc_source  *(*open) (const rc_source_context *context);

	/* Cancels the call under way, without done; may be called from inside done */
	void		(*close) (rc_source *source);

	/* Where the endpoint's chain stands. Fails where it serves another chain, or says itself that it is behind */
	void		(*tip) (rc_source *source, rc_source_done done, void *arg);

	/* The hashes at the heights [from, from + n), of its best chain */
	void		(*hashes) (rc_source *source, int64_t from, int n, rc_source_done done, void *arg);

	/*
	 * Blocks by height and hash, n <= at_a_time. A block that bears another hash
	 * or height is a failure; one that the endpoint doesn't have is moved.
	 */
	void		(*read) (rc_source *source, const rc_block_id *blocks, int n, rc_source_done done, void *arg);

	/* Is that block still on the best chain? On chains with pending: is it the tip? */
	void		(*check) (rc_source *source, const rc_block_id *block, rc_source_done done, void *arg);

	/* The ids of all transactions that are in no block; NULL: the chain has no public mempool */
	void		(*pending) (rc_source *source, rc_source_done done, void *arg);

	/* What they pay; n <= pending_at_a_time */
	void		(*read_pending) (rc_source *source, const char *const *txids, int n, rc_source_done done, void *arg);
	int			pending_at_a_time;
} rc_block_source;

#endif
