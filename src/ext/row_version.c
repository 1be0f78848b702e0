/* row_version.c: another trigger of the event may have changed the row before ours fires */
#include "row_version.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "utils/snapmgr.h"

/* Has this transaction, which wrote the tuple, replaced it since? In the server's heap the tuple lies on its page, as it is now */
static bool
is_superseded(Relation relation, HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;

	if (relation->rd_tableam != GetHeapamTableAmRoutine() || !ItemPointerIsValid(&tuple->t_self) ||
		(header->t_infomask & HEAP_XMAX_INVALID) != 0 || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return false;
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
}

/*
 * Triggers of one event fire in the order of their names, and what one of them
 * changes in the row is told to ours before the event itself: by the event's own
 * tuple, the queue would then follow the older version.
 */
HeapTuple
row_version_newest(Relation relation, HeapTuple tuple)
{
	ItemPointerData tid = tuple->t_self;
	TupleTableSlot *slot;
	TableScanDesc scan;
	HeapTuple	newest = NULL;

	if (!is_superseded(relation, tuple))
		return tuple;
	scan = table_beginscan_tid(relation, SnapshotSelf);
	table_tuple_get_latest_tid(scan, &tid);
	table_endscan(scan);
	slot = table_slot_create(relation, NULL);
	if (table_tuple_fetch_row_version(relation, &tid, SnapshotSelf, slot))
		newest = ExecCopySlotHeapTuple(slot);
	ExecDropSingleTupleTableSlot(slot);
	return newest;
}
