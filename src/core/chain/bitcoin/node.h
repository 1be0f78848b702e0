/* node.h: a Bitcoin Core node as a block source: node.c asks, node_answers.c reads what it answered */
#ifndef RC_BTC_NODE_H
#define RC_BTC_NODE_H

#include "core/chain/bitcoin/address.h"
#include "core/chain/blocks.h"
#include "core/net/exchange.h"

/* Stands in the table of its kind (kinds.c) */
extern const rc_block_source rc_btc_blocks;

/*
 * Of node_answers.c: each reads the answers to one question into the result, or
 * says there what is wrong with them: failure, or moved where the node no longer
 * has what it was asked for.
 */

/* getblockchaininfo, getmempoolinfo, and who it is */
extern void rc_btc_take_tip(const rc_network *network, const rc_rpc_reply *replies, rc_source_result *result);

/* getblockhash, as often as there are hashes in result */
extern void rc_btc_take_hashes(const rc_rpc_reply *replies, rc_source_result *result);

/* getblock (raw), getblockheader; into the one block of result */
extern void rc_btc_take_block(const rc_rpc_reply *replies, const rc_block_id *id, rc_source_result *result);

/* getbestblockhash: is it that block? */
extern void rc_btc_take_check(const rc_rpc_reply *reply, const rc_block_id *id, rc_source_result *result);

/* getrawmempool; the list is rc_malloc'd, its texts are the reply's */
extern void rc_btc_take_pending(const rc_rpc_reply *reply, rc_source_result *result);

/* getrawtransaction, as often as there are transactions in result, each with its txid */
extern void rc_btc_take_transactions(const rc_rpc_reply *replies, rc_source_result *result);

#endif
