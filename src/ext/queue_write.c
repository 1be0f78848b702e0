/*
 * queue_write.c: rows of the queue, written without a statement. To start the
 * executor for one row costs several times what the row does. What it would find
 * out each time (indexes, their conditions, where columns lie) is kept for the
 * session, until the table's definition changes.
 */
#include "queue_write.h"

#include "compat.h"


#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "queue_layout.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* A row of the table by its request: keys for the columns source_id and request_id */
static void
init_keys(ScanKeyData keys[2], AttrNumber source_column, AttrNumber id_column, Oid collation,
		  int32 source_id, const char *request_id)
{
	ScanKeyInit(&keys[0], source_column, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(source_id));
	ScanKeyEntryInitialize(&keys[1], 0, id_column, BTEqualStrategyNumber, InvalidOid, collation, F_TEXTEQ,
						   CStringGetTextDatum(request_id));
}

bool
queue_maybe_decided(int32 source_id, const char *request_id)
{
	const queue_layout *layout = queue_layout_get();
	SnapshotData dirty;
	ScanKeyData keys[2];
	Relation	transitions;
	SysScanDesc scan;
	bool		found;

	if (layout == NULL)
		return true;
	transitions = table_open(layout->transitions, AccessShareLock);

	/* The lock was waited for, perhaps, and the index replaced meanwhile. */
	if (!queue_layout_is(layout))
	{
		table_close(transitions, NoLock);
		return true;
	}

	/* Whatever is there, committed or not: the caller asks again, by a snapshot, if anything is. */
	InitDirtySnapshot(dirty);
	init_keys(keys, layout->decided_source, layout->decided_id, layout->decided_collation, source_id, request_id);
	scan = systable_beginscan(transitions, layout->decided_index, true, &dirty, 2, keys);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(transitions, NoLock);
	return found;
}

static void
set_value(TupleTableSlot *slot, AttrNumber column, Datum value)
{
	slot->tts_values[column - 1] = value;
	slot->tts_isnull[column - 1] = false;
}

static void
set_text(TupleTableSlot *slot, AttrNumber column, const char *text)
{
	if (text != NULL)
		set_value(slot, column, CStringGetTextDatum(text));
}

/* What isn't said has the column's default */
static void
fill_slot(const queue_layout *layout, const queue_row *row)
{
	TupleTableSlot *slot = layout->slot;
	const AttrNumber *at = layout->columns;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, layout->defaults, sizeof(Datum) * layout->ncolumns);
	memcpy(slot->tts_isnull, layout->default_nulls, sizeof(bool) * layout->ncolumns);
	set_value(slot, at[QUEUE_SEQ], Int64GetDatum(nextval_internal(layout->sequence, false)));
	set_value(slot, at[QUEUE_SOURCE_ID], Int32GetDatum(row->source_id));
	set_value(slot, at[QUEUE_NETWORK_ID], Int32GetDatum(row->network_id));
	set_text(slot, at[QUEUE_REQUEST_ID], row->request_id);
	set_text(slot, at[QUEUE_STATUS], row->status);
	if (row->expected != NULL)
		set_value(slot, at[QUEUE_EXPECTED],
				  DirectFunctionCall3(numeric_in, CStringGetDatum(row->expected), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	set_text(slot, at[QUEUE_ADDRESS], row->address);
	set_text(slot, at[QUEUE_TOKEN], row->token);
	if (row->has_expiry)
		set_value(slot, at[QUEUE_EXPIRES_AT], TimestampTzGetDatum(row->expires_at));
	set_text(slot, at[QUEUE_INVALID], row->invalid);
	if (row->key != NULL)
		set_value(slot, at[QUEUE_KEY], PointerGetDatum(row->key));
	set_value(slot, at[QUEUE_FOLLOWED], BoolGetDatum(row->followed));
	set_value(slot, at[QUEUE_LOOK_BACK_DUE], BoolGetDatum(row->followed));
	set_text(slot, at[QUEUE_CHAIN], row->chain);
	set_text(slot, at[QUEUE_NETWORK], row->network);
	ExecStoreVirtualTuple(slot);
}

/* Adds the row in the slot to an index; false: its key may be there already */
static bool
insert_entry(const queue_layout *layout, Relation queue, int which)
{
	IndexInfo  *info = layout->indexes[which].info;
	ExprContext *context = GetPerTupleExprContext(layout->estate);
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	IndexUniqueCheck check = which == QUEUE_KEY_INDEX ? UNIQUE_CHECK_PARTIAL :
		info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
	Relation	index;
	bool		done;

	context->ecxt_scantuple = layout->slot;
	if (layout->indexes[which].condition != NULL && !ExecQual(layout->indexes[which].condition, context))
		return true;
	index = index_open(layout->indexes[which].oid, RowExclusiveLock);
	FormIndexDatum(info, layout->slot, layout->estate, values, nulls);
	done = index_insert(index, values, nulls, &layout->slot->tts_tid, queue, check, false, info);
	index_close(index, NoLock);
	return done || check != UNIQUE_CHECK_PARTIAL;
}

/*
 * As INSERT … ON CONFLICT does it: the row is an attempt until its key stands in
 * the unique index without another one, so that two who insert the same at a
 * time neither wait for one another nor fail.
 */
queue_written
queue_insert(const queue_row *row)
{
	const queue_layout *layout = queue_layout_get();
	TransactionId xid;
	Relation	queue;
	uint32		attempt;
	bool		alone;

	if (layout == NULL)
		return QUEUE_NOT_DIRECTLY;
	queue = table_open(layout->queue, RowExclusiveLock);

	/* The lock was waited for, perhaps, and the table changed meanwhile. */
	if (!queue_layout_is(layout))
	{
		table_close(queue, NoLock);
		return QUEUE_NOT_DIRECTLY;
	}
	fill_slot(layout, row);
	xid = GetCurrentTransactionId();
	attempt = SpeculativeInsertionLockAcquire(xid);
	table_tuple_insert_speculative(queue, layout->slot, GetCurrentCommandId(true), 0, NULL, attempt);
	alone = insert_entry(layout, queue, QUEUE_KEY_INDEX);
	table_tuple_complete_speculative(queue, layout->slot, attempt, alone);
	SpeculativeInsertionLockRelease(xid);
	for (int i = 0; alone && i < layout->nindexes; i++)
	{
		if (i != QUEUE_KEY_INDEX)
			insert_entry(layout, queue, i);
	}
	ExecClearTuple(layout->slot);
	ResetPerTupleExprContext(layout->estate);
	table_close(queue, NoLock);
	return alone ? QUEUE_WRITTEN : QUEUE_PRESENT;
}

/* The place of the request's row, by the newest snapshot, and whether it is followed; false: there is none */
static bool
find_row(const queue_layout *layout, Relation queue, int32 source_id, const char *request_id, Snapshot snapshot,
		 ItemPointer place, bool *followed)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	init_keys(keys, layout->columns[QUEUE_SOURCE_ID], layout->columns[QUEUE_REQUEST_ID], layout->key_collation,
			  source_id, request_id);
	scan = systable_beginscan(queue, layout->indexes[QUEUE_KEY_INDEX].oid, true, snapshot, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		*place = tuple->t_self;
		*followed = DatumGetBool(heap_getattr(tuple, layout->columns[QUEUE_FOLLOWED], RelationGetDescr(queue), &isnull));
	}
	systable_endscan(scan);
	return HeapTupleIsValid(tuple);
}

/*
 * By the newest snapshot, whatever the transaction's: to one that began before
 * the queue was built anew, the request's row would not be there to be removed.
 * Who has changed the row meanwhile is waited for, and it is looked for again.
 * A followed one that has ended is a statement's: it is watched for a while.
 */
queue_written
queue_delete(int32 source_id, const char *request_id, bool ended)
{
	const queue_layout *layout = queue_layout_get();
	Relation	queue;
	TM_Result	result = TM_Updated;
	bool		found = true;

	if (layout == NULL || !layout->deletes)
		return QUEUE_NOT_DIRECTLY;
	queue = table_open(layout->queue, RowExclusiveLock);
	while (found && result != TM_Ok && queue_layout_is(layout))
	{
		Snapshot	snapshot;
		ItemPointerData place;
		TM_FailureData failure;
		bool		followed = false;

		CHECK_FOR_INTERRUPTS();
		/* So that what this statement itself has written is seen */
		CommandCounterIncrement();
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		found = find_row(layout, queue, source_id, request_id, snapshot, &place, &followed);
		if (found && !(ended && followed))
			result = rc_table_delete(queue, &place, GetCurrentCommandId(true), snapshot, &failure);
		UnregisterSnapshot(snapshot);
		if (ended && followed)
			break;
	}
	table_close(queue, NoLock);
	if (found && result != TM_Ok)
		return QUEUE_NOT_DIRECTLY;
	return found ? QUEUE_WRITTEN : QUEUE_ABSENT;
}
