/* row_version.h: the version of a row that a trigger of an AFTER event should look at */
#ifndef RC_ROW_VERSION_H
#define RC_ROW_VERSION_H

#include "postgres.h"

#include "access/htup.h"
#include "utils/relcache.h"

/*
 * The newest version of the row that the event wrote as this tuple; NULL if the
 * row has been deleted, or moved to another partition, by this transaction.
 */
extern HeapTuple row_version_newest(Relation relation, HeapTuple tuple);

#endif
