/* store.c: what the core makes of the server's answers */
#include "core/protocol/store.h"

#include <stdlib.h>
#include <string.h>

void
rc_rows_free(rc_rows *rows)
{
	free(rows->cells);
	memset(rows, 0, sizeof(*rows));
}

rc_store_status
rc_store_status_of(const char *sqlstate)
{
	if (strcmp(sqlstate, "RC001") == 0)
		return RC_STORE_LEASE_LOST;
	if (strcmp(sqlstate, "RC002") == 0)
		return RC_STORE_STALE;
	if (strncmp(sqlstate, "22", 2) == 0)
		return RC_STORE_REFUSED;
	return RC_STORE_ERROR;
}

bool
rc_store_is_expected(rc_store_status status)
{
	return status == RC_STORE_OK || status == RC_STORE_LEASE_LOST || status == RC_STORE_STALE;
}
