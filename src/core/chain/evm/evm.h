/* evm.h: the parts of the EVM observer */
#ifndef RC_EVM_H
#define RC_EVM_H

#include "core/chain/evm/address.h"
#include "core/net/exchange.h"
#include "core/chain/identify.h"
#include "core/chain/observer.h"

/* identify.c: of its kind; observers put the question together with others */
extern const rc_identifier rc_evm_identifier;

/* 24,576 bytes of code may be returned (EIP-170): (24576 - 128) / 33 */
#define EVM_MAX_PAIRS 740

/* A transaction's gas limit since EIP-7825, 2^24; the price of a block of its own on some nodes */
#define EVM_MAX_GAS 16777216

/* What the code gives one balanceOf */
#define EVM_TOKEN_GAS 200000

/* A list this short can't starve for gas: 32 * EVM_TOKEN_GAS and the rest stay below EVM_MAX_GAS */
#define EVM_SHORT_LIST 32

/* Bytes that answers may have: a header with the hashes of all transactions, a contract's code, whatever one balanceOf returns */
#define EVM_MAX_HEADER ((size_t) 4 * 1024 * 1024)
#define EVM_MAX_CODE ((size_t) 1024 * 1024)
#define EVM_MAX_WORD ((size_t) 1024 * 1024)

/* aggregate3 hands on whatever contracts return: more than this costs more gas than it gets */
#define EVM_MAX_MULTICALL ((size_t) 8 * 1024 * 1024)

/* Number, hash of the parent, timestamp, chain id: what a call saw of the block that it ran at */
#define EVM_HEADER_WORDS 4

#define EVM_BLOOM_BYTES 256

typedef struct evm_header
{
	bool		known;
	uint64_t	number;
	int64_t		time;
	char		hash[67];
	uint8_t		parent[32];
	bool		has_bloom;
	uint8_t		bloom[EVM_BLOOM_BYTES]; /* which contracts and topics the block's logs may have */
} evm_header;

typedef enum evm_state
{
	EVM_UNREAD,
	EVM_READ,
	EVM_UNANSWERED				/* the token contract gave no number */
} evm_state;

typedef struct evm_reading
{
	evm_state	state;
	rc_uint256	value;
} evm_reading;

/* What one request asks for: the balance of holder in token */
typedef struct evm_pair
{
	int			request;		/* index */
	bool		native;			/* token is zero */
	uint8_t		token[RC_EVM_ADDRESS_BYTES];
	uint8_t		holder[RC_EVM_ADDRESS_BYTES];
	evm_reading tip;
	evm_reading depth;
	int			list_size;		/* of the list that it was last read in */
	bool		refused;		/* by the endpoint, even alone */
	char	   *error;			/* of a refusal, or of a token that is none */
} evm_pair;

/* How balances are read, the best first */
typedef enum evm_method
{
	EVM_CREATION,				/* creation code in an eth_call without "to" */
	EVM_MULTICALL,				/* Multicall3's aggregate3 */
	EVM_PLAIN					/* eth_getBalance, and eth_call of balanceOf */
} evm_method;

/* Blocks in one reading, and holders or tokens in one question for logs, at most (geth: 1,000 topics or addresses) */
#define EVM_MAX_BLOCKS 20
#define EVM_MAX_HOLDERS 1000
#define EVM_MAX_TOKENS 500

/* How the traces of a block are asked for, the best first */
typedef enum evm_trace_method
{
	EVM_TRACE_BLOCK,			/* trace_block: anvil, erigon, nethermind, reth */
	EVM_TRACE_FLAT,				/* debug_traceBlockByHash with flatCallTracer: geth */
	EVM_TRACE_CALLS,			/* with callTracer: nested, and no deeper than JSON is read */
	EVM_TRACE_NONE
} evm_trace_method;

/* What an endpoint takes of questions about blocks; forgotten with the rest */
typedef struct evm_ledger_limits
{
	int			blocks;			/* in one reading */
	int			holders;		/* in one question */
	int			tokens;
	double		logs;			/* of the tokens in a block, as they were last; negative: not known */
	int			asked_by_holders;	/* blocks in a row: now and then it is tried whether tokens are cheaper */
	evm_trace_method traces;
	bool		no_logs;		/* it refuses logs, however they are asked for: balances tell what came */
	bool		no_tokens;		/* it refuses all logs of one token */
	bool		no_holders;		/* it refuses logs by holder */
	bool		no_creation;	/* balances are read one by one */
} evm_ledger_limits;

/* What one worker knows of an endpoint: rc_endpoint.learned */
typedef struct evm_learned
{
	int64_t		since_ms;		/* limits are forgotten after a time */
	evm_method	method;
	int			max_pairs;
	int			array_size;		/* see exchange.h */
	bool		pin_by_hash;	/* the EVM's NUMBER isn't the block's: pin by hash (EIP-1898) */
	int64_t		tip_asked_ms;	/* when the exchange began that brought tip */
	evm_header	tip;
	evm_header	tagged;			/* the safe or finalized block, asked together with tip */
	evm_ledger_limits ledger;
} evm_learned;

typedef struct evm_look evm_look;

/* Two halves of a list that was refused */
typedef struct evm_split
{
	int			refs;
	int			read;			/* halves that were taken at once */
	int			size;			/* of the larger half */
} evm_split;

/* A list of pairs that is read with one exchange */
typedef struct evm_chunk
{
	evm_look   *look;
	int		   *pairs;			/* indexes */
	int			n;
	evm_split  *split;
	char	   *refusal;		/* why the endpoint refused it */
	bool		useless;		/* no list can be read this way */
	rc_exchange *exchange;
	struct evm_chunk *next;
} evm_chunk;

/* What a step came to: observer.c acts on it */
typedef enum evm_step
{
	EVM_GO_ON,
	EVM_CHUNK_OVER,				/* the chunk was put away for another try */
	EVM_UNDER_WAY,				/* calls are on the wire */
	EVM_COMPLETE,				/* everything was read */
	EVM_MOVED,					/* begin again: look->moved says why */
	EVM_FAILED					/* the endpoint is at fault: look->failure */
} evm_step;

struct evm_look
{
	rc_attempt *attempt;
	evm_learned *learned;
	int64_t		started_ms;
	int64_t		tip_asked_ms;
	evm_method	method;			/* learned's, as it was when reading began */
	bool		pin_by_hash;
	evm_pair   *pairs;
	int			npairs;
	evm_header	tip;
	evm_header	depth;
	bool		separate_depth; /* depth is another block than tip */
	bool		too_short;		/* the chain hasn't as many blocks: nothing is settled */
	uint64_t	depth_number;
	int			restarts;
	rc_exchange *exchange;		/* tip, depth, probe or code check */
	evm_chunk  *waiting;
	evm_chunk  *running;
	evm_chunk  *refused;		/* wait for the probe */
	int			nrunning;
	bool		probed;			/* an empty list was taken */
	int			refusals;
	bool		reread;			/* unanswered tokens were asked again in short lists */
	bool		checked_code;
	rc_failure	failure;		/* of EVM_FAILED */
	const char *moved;			/* why, of EVM_MOVED */
	void		(*act) (evm_look *look, evm_step step); /* observer.c's, for what an exchange came to; may free the look */
};

/* ask.c */
extern evm_learned *evm_learned_of(rc_endpoint *endpoint);
extern evm_step evm_fail(evm_look *look, rc_failure failure);
extern evm_step evm_fail_exchange(evm_look *look, rc_exchange_result *result);
extern evm_step evm_restart(evm_look *look, const char *why);
extern rc_exchange *evm_ask(evm_look *look, const rc_rpc_call *calls, int ncalls,
							rc_exchange_done done, void *arg);

/* block.c */
extern char *evm_parse_header(rc_rpc_reply *reply, evm_header *header);

/* bloom.c: may the block have an event of the token that names the holder? */
extern bool evm_bloom_may_have(const evm_header *header, const uint8_t *token, const uint8_t *holder);
extern bool evm_parse_quantity(rc_rpc_reply *reply, uint64_t *value);
extern const char *evm_reply_string(rc_rpc_reply *reply);
extern char *evm_block_param(const evm_look *look, const evm_header *header, uint64_t number);

typedef enum evm_match
{
	EVM_SAME_BLOCK,
	EVM_OTHER_NUMBER,
	EVM_OTHER_BLOCK,
	EVM_OTHER_CHAIN
} evm_match;

extern evm_match evm_match_header(const evm_look *look, const evm_header *header,
								  uint8_t words[EVM_HEADER_WORDS][32]);

extern evm_step evm_take_depth(evm_look *look, rc_rpc_reply *reply);

/* read_creation.c: calldata as JSON parameters, and what comes back. Pure functions */
extern size_t evm_creation_answer(int n);
extern char *evm_creation_params(const evm_pair *pairs, const int *indexes, int n, const char *block);
extern bool evm_creation_decode(const char *hex, const evm_pair *pairs, const int *indexes, int n,
								uint8_t words[EVM_HEADER_WORDS][32], evm_reading *readings);

/* read_multicall.c: likewise */
extern const char evm_multicall_address[];
extern char *evm_multicall_params(const evm_pair *pairs, const int *indexes, int n, const char *block);
extern bool evm_multicall_decode(const char *hex, const evm_pair *pairs, const int *indexes, int n,
								 uint8_t words[EVM_HEADER_WORDS][32], evm_reading *readings);

/* read_plain.c: a chunk by eth_getBalance and balanceOf */
extern void evm_plain_start(evm_chunk *chunk, rc_exchange_done done);
extern evm_step evm_plain_take(evm_chunk *chunk, rc_rpc_reply *replies, evm_reading *tip, evm_reading *depth);

/* list.c: one list */
extern void evm_chunk_start(evm_chunk *chunk);
extern evm_chunk *evm_chunk_new(evm_look *look, const int *pairs, int n);
extern void evm_chunk_free(evm_chunk *chunk);

/* lists.c: all lists of a look */
extern evm_step evm_read_all(evm_look *look);
extern evm_step evm_go_on(evm_look *look);
extern void evm_drop_chunks(evm_look *look);

/* tokens.c: tokens that gave no number */
extern bool evm_reread_unanswered(evm_look *look);
extern bool evm_check_code(evm_look *look);

#endif
