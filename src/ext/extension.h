/* extension.h: calls of the extension's functions that need its owner's rights for a part of their work */
#ifndef RC_EXTENSION_H
#define RC_EXTENSION_H

#include "postgres.h"

#include "fmgr.h"

/* The owner of the function that is running */
extern Oid	rc_extension_owner(FunctionCallInfo fcinfo);

/* Runs a query with that owner's rights, which returns one row of one column; its value */
extern Datum rc_run_as_extension_owner(FunctionCallInfo fcinfo, const char *query, int nargs, Oid *types,
									   Datum *values, const char *nulls);

#endif
