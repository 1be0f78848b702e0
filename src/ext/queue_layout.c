/* queue_layout.c: how the queue's table is made, kept for the session until its definition changes */
#include "queue_layout.h"

#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static const char *const column_names[QUEUE_COLUMNS] = {
	"seq", "source_id", "network_id", "request_id", "status", "expected", "address", "token_contract", "expires_at",
	"invalid", "key", "followed", "look_back_due", "chain", "network"
};

static MemoryContext context = NULL;
static queue_layout *current = NULL;	/* NULL: it can't be used, or nobody has looked */
static bool known = false;

static bool
is_part(Oid relation)
{
	if (current == NULL)
		return false;
	for (int i = 0; i < current->nindexes; i++)
	{
		if (current->indexes[i].oid == relation)
			return true;
	}
	return relation == current->queue || relation == current->transitions || relation == current->decided_index;
}

/* Without a layout any change may be the one that gives us one */
static void
forget(Datum arg, Oid relation)
{
	if (relation == InvalidOid || current == NULL || is_part(relation))
		known = false;
}

static bool
find_columns(queue_layout *layout, Relation queue)
{
	for (int i = 0; i < QUEUE_COLUMNS; i++)
	{
		layout->columns[i] = get_attnum(layout->queue, column_names[i]);
		if (layout->columns[i] == InvalidAttrNumber)
			return false;
	}
	layout->ncolumns = RelationGetNumberOfAttributes(queue);
	layout->sequence = rc_identity_sequence(queue, layout->columns[QUEUE_SEQ]);
	return OidIsValid(layout->sequence);
}

static bool
is_written(const queue_layout *layout, AttrNumber column)
{
	for (int i = 0; i < QUEUE_COLUMNS; i++)
	{
		if (layout->columns[i] == column)
			return true;
	}
	return false;
}

/* Defaults of the other columns; false if one has to be computed */
static bool
find_defaults(queue_layout *layout, Relation queue)
{
	layout->defaults = palloc0(sizeof(Datum) * layout->ncolumns);
	layout->default_nulls = palloc(sizeof(bool) * layout->ncolumns);
	memset(layout->default_nulls, true, sizeof(bool) * layout->ncolumns);
	for (int i = 0; i < layout->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(queue), i);
		Node	   *expression;
		Const	   *value;

		if (column->attisdropped || is_written(layout, i + 1) || !column->atthasdef)
			continue;
		expression = column->attgenerated != '\0' ? NULL : eval_const_expressions(NULL, build_column_default(queue, i + 1));
		if (expression == NULL || !IsA(expression, Const))
			return false;
		value = (Const *) expression;
		layout->default_nulls[i] = value->constisnull;
		if (!value->constisnull)
			layout->defaults[i] = datumCopy(value->constvalue, value->constbyval, value->constlen);
	}
	return true;
}

/* The indexes, that of the primary key first; false if one does more than find rows and keep them unique */
static bool
find_indexes(queue_layout *layout, Relation queue)
{
	List	   *oids = RelationGetIndexList(queue);
	Oid			key = queue->rd_pkindex;
	bool		plain = true;
	ListCell   *cell;

	if (!OidIsValid(key))
		return false;
	oids = lcons_oid(key, list_delete_oid(oids, key));
	layout->indexes = palloc0(sizeof(queue_index) * list_length(oids));
	foreach(cell, oids)
	{
		queue_index *entry = &layout->indexes[layout->nindexes++];
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);

		entry->oid = lfirst_oid(cell);
		entry->info = BuildIndexInfo(index);
		if (entry->info->ii_Predicate != NIL)
			entry->condition = ExecPrepareQual(entry->info->ii_Predicate, layout->estate);
		if (entry->oid == key)
			layout->key_collation = index->rd_indcollation[1];
		/* Other kinds may keep pages pinned from one row to the next, until the end of a statement. */
		plain = plain && index->rd_rel->relam == BTREE_AM_OID &&
			entry->info->ii_ReadyForInserts && entry->info->ii_ExclusionOps == NULL &&
			(!entry->info->ii_Unique || index->rd_index->indimmediate);
		index_close(index, NoLock);
	}
	return plain && layout->indexes[QUEUE_KEY_INDEX].info->ii_NumIndexKeyAttrs == 2;
}

/* By what is found out whether a request was decided before */
static bool
find_transitions(queue_layout *layout, Oid schema)
{
	Relation	index;
	bool		usable;

	layout->transitions = get_relname_relid("transitions", schema);
	if (!OidIsValid(layout->transitions))
		return false;
	/* The table first: under its lock nobody replaces the index. */
	LockRelationOid(layout->transitions, AccessShareLock);
	layout->decided_index = get_relname_relid("transitions_request", schema);
	if (!OidIsValid(layout->decided_index))
		return false;
	layout->decided_source = get_attnum(layout->transitions, "source_id");
	layout->decided_id = get_attnum(layout->transitions, "request_id");
	index = index_open(layout->decided_index, AccessShareLock);
	layout->decided_collation = index->rd_indcollation[1];
	usable = index->rd_index->indrelid == layout->transitions && index->rd_index->indisvalid &&
		index->rd_index->indkey.values[0] == layout->decided_source &&
		index->rd_index->indkey.values[1] == layout->decided_id;
	index_close(index, NoLock);
	return usable;
}

static bool
has_insert_triggers(const TriggerDesc *triggers)
{
	return triggers != NULL &&
		(triggers->trig_insert_before_row || triggers->trig_insert_after_row || triggers->trig_insert_instead_row ||
		 triggers->trig_insert_before_statement || triggers->trig_insert_after_statement);
}

static bool
has_delete_triggers(const TriggerDesc *triggers)
{
	return triggers != NULL &&
		(triggers->trig_delete_before_row || triggers->trig_delete_after_row || triggers->trig_delete_instead_row ||
		 triggers->trig_delete_before_statement || triggers->trig_delete_after_statement);
}

static bool
is_plain(Relation queue)
{
	return queue->rd_rel->relkind == RELKIND_RELATION && !queue->rd_rel->relispartition && !has_insert_triggers(queue->trigdesc) &&
		queue->rd_rules == NULL && !queue->rd_rel->relrowsecurity && queue->rd_att->constr != NULL &&
		queue->rd_att->constr->num_check == 0;
}

static queue_layout *
make_layout(void)
{
	Oid			schema = get_namespace_oid("reconciler", false);
	queue_layout *layout = palloc0(sizeof(*layout));
	Relation	queue;
	bool		usable;

	layout->queue = get_relname_relid("queue", schema);
	queue = table_open(layout->queue, RowExclusiveLock);
	layout->deletes = !has_delete_triggers(queue->trigdesc);
	layout->estate = CreateExecutorState();
	usable = is_plain(queue) && find_columns(layout, queue) && find_defaults(layout, queue) &&
		find_indexes(layout, queue) && find_transitions(layout, schema);
	if (usable)
		layout->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(queue)), &TTSOpsVirtual);
	table_close(queue, NoLock);
	return usable ? layout : NULL;
}

const queue_layout *
queue_layout_get(void)
{
	MemoryContext previous;

	AcceptInvalidationMessages();
	if (known)
		return current;
	if (context == NULL)
	{
		context = AllocSetContextCreate(TopMemoryContext, "reconciler queue", ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	}
	current = NULL;
	MemoryContextReset(context);
	previous = MemoryContextSwitchTo(context);
	/* Before it is made: what changes meanwhile sets it back. */
	known = true;
	PG_TRY();
	{
		current = make_layout();
	}
	PG_CATCH();
	{
		known = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(previous);
	return current;
}

bool
queue_layout_is(const queue_layout *layout)
{
	return known && current == layout;
}
