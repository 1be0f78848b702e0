/* fake_evm.h: the JSON-RPC side of the fake node */
#ifndef FAKE_EVM_H
#define FAKE_EVM_H

#include "fake_node.h"

struct json_object;

/* The answer to a request, single or array; to be put */
extern struct json_object *fake_evm_answer(fake_node *node, const char *body);

#endif
