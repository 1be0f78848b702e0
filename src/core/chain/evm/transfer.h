/* transfer.h: what one block says of transfers, and what of them arrived. Pure functions */
#ifndef RC_EVM_TRANSFER_H
#define RC_EVM_TRANSFER_H

#include <json-c/json.h>

#include "core/base/uint256.h"
#include "core/chain/evm/wanted.h"

/* keccak256("Transfer(address,address,uint256)") */
#define EVM_TRANSFER_TOPIC "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

typedef enum evm_transfer_kind
{
	EVM_BY_TOKEN,				/* an event of a token's contract */
	EVM_BY_TRANSACTION,			/* a transaction's own value */
	EVM_INTERNAL				/* a contract's doing */
} evm_transfer_kind;

typedef struct evm_transfer
{
	evm_transfer_kind kind;
	uint8_t		txid[32];
	uint64_t	ordinal;		/* of the log in its block; of the transaction in its block; among the transaction's
								 * internal transfers */
	uint64_t	position;		/* of a log among its transaction's, which is the same in whatever block that is mined */
	uint8_t		token[RC_EVM_ADDRESS_BYTES];	/* zeros: the chain's own asset */
	uint8_t		from[RC_EVM_ADDRESS_BYTES];
	uint8_t		to[RC_EVM_ADDRESS_BYTES];
	rc_uint256	amount;			/* as it is said; of a credit: what of it arrived */
	bool		unexplained;	/* of a credit: a balance has grown, and no transaction is known that did it */
	bool		unverified;		/* of a credit: taken as it was said, since the state of its block was not to be had */
} evm_transfer;

typedef struct evm_transfers
{
	evm_transfer *items;
	size_t		n;
	size_t		size;
} evm_transfers;

extern evm_transfer *evm_transfers_add(evm_transfers *transfers);
extern void evm_transfers_free(evm_transfers *transfers);

/* Leaves those that concern a key, sorted, and each log once */
extern void evm_transfers_keep(evm_transfers *transfers, const evm_wanted *wanted);

/* "0x" and exactly 2 * len digits */
extern bool evm_parse_bytes(const char *text, uint8_t *out, size_t len);

/*
 * logs.c: the answer to eth_getLogs for one block. What is no transfer of an
 * amount (an NFT's event has the same topic) is left out. A constant text if
 * the answer isn't one to the question: another block's, abandoned, of a contract
 * or a holder that wasn't asked for.
 */
typedef struct evm_log_filter
{
	const char *block_hash;		/* "0x…" */
	const evm_wanted *wanted;
	bool		by_token;		/* asked for all events of wanted's tokens; else for those to wanted's holders */
	bool		outgoing;		/* asked for those from wanted's holders */
} evm_log_filter;

extern const char *evm_logs_take(struct json_object *logs, const evm_log_filter *filter, evm_transfers *transfers);

/* Parameters of eth_getLogs, rc_malloc'd: of tokens [first, first + n), or of holders */
extern char *evm_logs_params(const evm_log_filter *filter, size_t first, size_t n);

/*
 * credit.c: what of a token arrived at one holder in one block. before and after
 * are its balances at the parent and at the block; NULL: not to be had.
 *
 * in, out and self are sums over the events, and delta is after - before. An event
 * is a claim of the token's contract. So no more is credited than the balance
 * bears out: min(in - self, max(0, delta + out - self)). The events share it in
 * proportion.
 */
typedef struct evm_arrival
{
	const uint8_t *token;
	const uint8_t *holder;
	const rc_uint256 *before;
	const rc_uint256 *after;
} evm_arrival;

/* Adds the credits; true: the token contradicts itself (to be reviewed) */
extern bool evm_credit_arrival(const evm_transfers *events, const evm_arrival *arrival, evm_transfers *credits);

/* native.c: a whole block's transactions that pay somebody; a constant text if it is no block of that hash */
extern const char *evm_native_take(struct json_object *block, const char *hash, evm_transfers *transfers);

/* Did the transaction succeed? A constant text if the receipt isn't its own, in that block */
extern const char *evm_receipt_take(struct json_object *receipt, const char *block_hash, const uint8_t txid[32],
									bool *succeeded);

/* Fills in a log's position from its transaction's receipt; false: the receipt has no such log */
extern bool evm_receipt_place(struct json_object *receipt, evm_transfer *transfer);

/* traces.c: likewise, what contracts paid: debug_traceBlockByHash with callTracer, and trace_block */
extern const char *evm_call_traces_take(struct json_object *traces, struct json_object *transactions,
										evm_transfers *transfers);
extern const char *evm_flat_traces_take(struct json_object *traces, const char *block_hash, size_t ntransactions,
										evm_transfers *transfers);

#endif
