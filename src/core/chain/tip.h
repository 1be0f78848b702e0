/* tip.h: whether the tip that an endpoint names can be the chain's, seen from the database's clock */
#ifndef RC_TIP_H
#define RC_TIP_H

#include "core/protocol/observation.h"

/* NULL, or what is wrong with the tip (rc_malloc'd): its endpoint has failed then */
extern char *rc_tip_problem(const rc_tip_bounds *bounds, const rc_block *tip);

#endif
