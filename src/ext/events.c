/* events.c: what events need of the server that SQL can't tell */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(reconciler_cluster);

/* A number of the database cluster: its identifier, folded */
Datum
reconciler_cluster(PG_FUNCTION_ARGS)
{
	uint64		identifier = GetSystemIdentifier();

	PG_RETURN_INT32((int32) (identifier ^ (identifier >> 32)));
}
