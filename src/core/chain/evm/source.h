/*
 * source.h: an EVM chain as a source of blocks
 *
 * blocks.c is the source, and alone asks the endpoint. A reading of blocks goes
 * through stages; each puts its questions and takes the answers (reading.c), by
 * what stands in blocks_logs.c, blocks_balances.c and blocks_native.c.
 */
#ifndef RC_EVM_SOURCE_H
#define RC_EVM_SOURCE_H

#include "core/chain/blocks.h"
#include "core/chain/evm/evm.h"
#include "core/chain/evm/transfer.h"

/* Questions in one exchange, and bytes that the answers to them may have */
#define EVM_MAX_QUESTIONS 100

/* More keys than this are not listed: logs are asked for by token, and the database says whom they concern */
#define EVM_LISTED_KEYS 1000

/*
 * Where no log or trace says what came, the balances of all keys at each block
 * do: 1,480 of them a megabyte asked for. Of more keys than this, nothing does.
 */
#define EVM_SWEPT_KEYS 20000

/* Headers that hashes brought, for the reading that follows */
#define EVM_KEPT_HEADERS 32

typedef enum evm_stage
{
	EVM_ASK_BLOCKS,				/* headers that aren't known, or whole blocks */
	EVM_ASK_LOGS,
	EVM_ASK_TRACES,
	EVM_ASK_OUTGOING,			/* what went out again from those who got something */
	EVM_ASK_BALANCES,			/* at the parent and at the block */
	EVM_ASK_STATE,				/* no balances: has the endpoint no such state, or no such block? */
	EVM_ASK_RECEIPTS,
	EVM_READING_DONE
} evm_stage;

/* What a stage, or an answer, came to */
typedef enum evm_outcome
{
	EVM_TAKEN,
	EVM_GONE,					/* the block isn't there any more: rc_source_result.moved */
	EVM_ENDPOINT_FAILED,		/* source->failure */
	EVM_ASK_ANEW,				/* the endpoint refused a question; the limits are lower now */
	EVM_NO_DATABASE
} evm_outcome;

/* One call of a stage */
typedef struct evm_question
{
	const char *method;
	char	   *params;
	size_t		max_answer;
	int			block;			/* index */
	size_t		first;			/* of what it is about, n of them */
	size_t		n;
	bool		at_parent;
} evm_question;

/* One block that is being read */
typedef struct evm_block
{
	rc_block_id id;
	evm_header	header;
	evm_transfers transfers;	/* as they are said; once matched, those that concern a key */
	evm_wanted	paid;			/* the keys among them that get something */
	evm_pair   *receivers;		/* whose balances are asked for; depth: at the parent, tip: at the block */
	size_t		nreceivers;
	bool		exists;			/* the endpoint has the block */
	struct json_object *transactions;	/* hashes, for traces that name none */
	bool		state_gone;
	evm_transfers credits;
} evm_block;

struct rc_source
{
	rc_source_context context;
	evm_learned *learned;
	rc_exchange *exchange;
	rc_timer   *timer;
	rc_source_done done;
	void	   *arg;
	rc_failure	failure;		/* of EVM_ENDPOINT_FAILED */
	bool		tip_known;		/* asked in this step */
	evm_header	tip;
	bool		has_read;		/* since the tip was asked */
	evm_header	kept[EVM_KEPT_HEADERS];
	int			nkept;
	int64_t		first_height;	/* of the hashes that are asked for */
	int			nheights;
	rc_block_id checked;

	/* Keys */
	evm_wanted	wanted;			/* with listed: all of them; else their tokens */
	bool		listed;
	bool		keys_known;
	uint64_t	keys_version;
	bool		wants_native;
	bool		sweeps_native;	/* what contracts paid is found by balances: there are no traces */
	bool		sweeps_tokens;	/* likewise what tokens paid: there are no logs */

	/* The reading */
	evm_block  *blocks;
	int			nblocks;
	evm_stage	stage;
	evm_question *questions;
	size_t		nquestions;
	size_t		questions_size;
	size_t		asked;			/* questions that were sent */
	size_t		sent;			/* of them, those of the exchange under way */
	bool		by_token;		/* how logs are asked for */
	size_t		logs;			/* that came */
	int			rounds;			/* times that the reading began anew */
};

/* blocks_questions.c: what all stages use */
extern evm_question *evm_put(rc_source *source, const char *method, char *params, size_t max_answer, int block);
extern void evm_drop_questions(rc_source *source);
extern evm_outcome evm_say(rc_source *source, rc_failure_code code, const char *problem);
extern const evm_header *evm_kept_header(const rc_source *source, const char *hash);
extern void evm_keep_header(rc_source *source, const evm_header *header);

/* blocks_keys.c: which keys blocks are read for. False: the database did not answer */
extern bool evm_load_keys(rc_source *source);
extern bool evm_match_keys(rc_source *source, evm_block *block);

/* blocks_logs.c */
extern void evm_put_logs(rc_source *source);
extern void evm_put_outgoing(rc_source *source);
extern evm_outcome evm_take_logs(rc_source *source, const evm_question *question, rc_rpc_reply *reply);
extern void evm_learn_logs(rc_source *source);

/* blocks_balances.c */
extern void evm_find_receivers(const rc_source *source, evm_block *block);
extern void evm_put_balances(rc_source *source);
extern evm_outcome evm_take_balances(rc_source *source, const evm_question *question, rc_rpc_reply *reply);
extern void evm_put_state(rc_source *source);
extern evm_outcome evm_take_state(rc_source *source, const evm_question *question, rc_rpc_reply *reply);
extern void evm_credit_balances(rc_source *source, evm_block *block);

/* blocks_native.c */
extern void evm_put_blocks(rc_source *source);
extern evm_outcome evm_take_block(rc_source *source, const evm_question *question, rc_rpc_reply *reply);
extern void evm_put_traces(rc_source *source);
extern evm_outcome evm_take_traces(rc_source *source, const evm_question *question, rc_rpc_reply *reply);
extern void evm_put_receipts(rc_source *source);
extern evm_outcome evm_take_receipt(rc_source *source, const evm_question *question, rc_rpc_reply *reply);

/* reading.c: the stages in their order */
extern void evm_reading_begin(rc_source *source, const rc_block_id *blocks, int n);
extern void evm_reading_free(rc_source *source);

/* Goes on until there are questions to ask, or the stage is EVM_READING_DONE */
extern evm_outcome evm_reading_go_on(rc_source *source);
extern evm_outcome evm_reading_take(rc_source *source, rc_rpc_reply *replies);

/* The exchange failed as a whole: may it be because of what was asked? Takes over failure */
extern evm_outcome evm_reading_failed(rc_source *source, rc_failure failure);

/* What was read, as the follower takes it; rc_malloc'd, source->nblocks of them */
extern rc_read_block *evm_reading_result(rc_source *source);

extern const rc_block_source rc_evm_blocks;

#endif
