/* identify.h: a Bitcoin chain is known by its first block, which nodes and Esplora servers are asked for */
#ifndef RC_BTC_IDENTIFY_H
#define RC_BTC_IDENTIFY_H

#include "core/chain/identify.h"

extern const rc_identifier rc_btc_node_identifier;
extern const rc_identifier rc_btc_esplora_identifier;

#endif
