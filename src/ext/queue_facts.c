/*
 * queue_facts.c: what the trigger knows of sources and networks. Read once a
 * session, and again when either table has changed: a trigger on them then sends
 * every session the message that it gets when a table's definition changes.
 */
#include "queue_facts.h"

#include <stdlib.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(reconciler_facts_changed);

#define SCHEMA "reconciler"

/* Tables that change while they are read are read again, but not for ever */
#define MAX_READS 10

typedef struct source_facts
{
	int32		source_id;
	Oid			relation;
} source_facts;

/* The tables above a partition */
typedef struct partition_facts
{
	Oid			relation;		/* the hash key */
	List	   *ancestors;
} partition_facts;

/* By chain and network; [0] is network 0, whose names are empty */
#define NETWORKS_QUERY "SELECT n.network_id, n.chain, n.network, n.kind, reconciler._is_followed(n, NULL)," \
	" reconciler._is_followed(n, '') FROM reconciler.networks AS n"

#define SOURCES_QUERY "SELECT s.source_id, s.relation::pg_catalog.oid FROM reconciler.sources AS s"

static MemoryContext facts_context = NULL;
static bool facts_valid = false;
static Oid	networks_oid = InvalidOid;
static Oid	sources_oid = InvalidOid;
static network_facts *networks = NULL;
static int	nnetworks = 0;
static source_facts *sources = NULL;
static int	nsources = 0;
static MemoryContext partitions_context = NULL;
static HTAB *partitions = NULL;
static bool partitions_valid = false;

/* On an attached network or source that has changed, in whatever way: everybody is to read them anew */
Datum
reconciler_facts_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "not called as a trigger");
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

/* The definition of a relation has changed, or of any (InvalidOid) */
static void
forget(Datum arg, Oid relation)
{
	if (relation == InvalidOid || relation == networks_oid || relation == sources_oid)
		facts_valid = false;
	if (relation == InvalidOid ||
		(partitions_valid && hash_search(partitions, &relation, HASH_FIND, NULL) != NULL))
		partitions_valid = false;
}

static int
compare_networks(const void *a, const void *b)
{
	const network_facts *one = a;
	const network_facts *other = b;
	int			order = strcmp(one->chain, other->chain);

	return order != 0 ? order : strcmp(one->network, other->network);
}

static int
compare_sources(const void *a, const void *b)
{
	int32		one = ((const source_facts *) a)->source_id;
	int32		other = ((const source_facts *) b)->source_id;

	return (one > other) - (one < other);
}

/* Reads a table, as it is at this moment; the rows are in SPI_tuptable */
static void
read_table(const char *query)
{
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);
	Snapshot	snapshot = IsolationUsesXactSnapshot() ? GetLatestSnapshot() : InvalidSnapshot;

	if (plan == NULL || SPI_execute_snapshot(plan, NULL, NULL, snapshot, InvalidSnapshot, false, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read with \"%s\"", query);
}

static Datum
cell(uint64 row, int column)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
}

static const char *
text_cell(uint64 row, int column)
{
	char	   *value = TextDatumGetCString(cell(row, column));

	return MemoryContextStrdup(facts_context, value);
}

static void
read_networks(void)
{
	read_table(NETWORKS_QUERY);
	networks = MemoryContextAllocZero(facts_context, sizeof(network_facts) * Max(SPI_processed, 1));
	nnetworks = (int) SPI_processed;
	for (int i = 0; i < nnetworks; i++)
	{
		networks[i].network_id = DatumGetInt32(cell(i, 1));
		networks[i].chain = text_cell(i, 2);
		networks[i].network = text_cell(i, 3);
		networks[i].kind = text_cell(i, 4);
		networks[i].follows_native = DatumGetBool(cell(i, 5));
		networks[i].follows_tokens = DatumGetBool(cell(i, 6));
	}
	qsort(networks, nnetworks, sizeof(network_facts), compare_networks);
	if (nnetworks == 0 || networks[0].network_id != 0)
		elog(ERROR, "reconciler.networks has no row for what is not registered");
}

static void
read_sources(void)
{
	read_table(SOURCES_QUERY);
	sources = MemoryContextAllocZero(facts_context, sizeof(source_facts) * Max(SPI_processed, 1));
	nsources = (int) SPI_processed;
	for (int i = 0; i < nsources; i++)
	{
		sources[i].source_id = DatumGetInt32(cell(i, 1));
		sources[i].relation = DatumGetObjectId(cell(i, 2));
	}
	qsort(sources, nsources, sizeof(source_facts), compare_sources);
}

static void
prepare_context(void)
{
	Oid			schema = get_namespace_oid(SCHEMA, false);

	if (facts_context == NULL)
	{
		facts_context = AllocSetContextCreate(TopMemoryContext, "reconciler facts", ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	}
	nnetworks = nsources = 0;
	partitions_valid = false;
	MemoryContextReset(facts_context);
	networks_oid = get_relname_relid("networks", schema);
	sources_oid = get_relname_relid("sources", schema);
}

/* Messages that have come are read first: a transaction that writes for long would not notice them by itself */
static void
refresh(void)
{
	AcceptInvalidationMessages();
	for (int i = 0; !facts_valid && i < MAX_READS; i++)
	{
		prepare_context();
		/* Before they are read: what changes meanwhile sets it back. */
		facts_valid = true;
		PG_TRY();
		{
			if (SPI_connect() != SPI_OK_CONNECT)
				elog(ERROR, "SPI_connect failed");
			read_networks();
			read_sources();
			SPI_finish();
		}
		PG_CATCH();
		{
			facts_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
}

const network_facts *
queue_network(const char *chain, const char *network)
{
	network_facts key = {0};
	network_facts *found = NULL;

	refresh();
	if (chain != NULL && network != NULL)
	{
		key.chain = chain;
		key.network = network;
		found = bsearch(&key, networks, nnetworks, sizeof(network_facts), compare_networks);
	}
	return found != NULL ? found : &networks[0];
}

Oid
queue_source_relation(int32 source_id)
{
	source_facts key = {source_id, InvalidOid};
	source_facts *found;

	refresh();
	found = bsearch(&key, sources, nsources, sizeof(source_facts), compare_sources);
	return found != NULL ? found->relation : InvalidOid;
}

/* Makes an empty table of them; what the one before held is freed */
static void
forget_partitions(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(partition_facts)};

	if (partitions_context == NULL)
		partitions_context = AllocSetContextCreate(TopMemoryContext, "reconciler partitions", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(partitions_context);
	control.hcxt = partitions_context;
	partitions = hash_create("reconciler partitions", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	partitions_valid = true;
}

/* The tables above a partition, from the catalog where they aren't known */
static List *
ancestors_of(Oid relation)
{
	partition_facts *facts;
	MemoryContext previous;
	List	   *ancestors;
	bool		found;

	if (!partitions_valid)
		forget_partitions();
	facts = hash_search(partitions, &relation, HASH_FIND, NULL);
	if (facts != NULL)
		return facts->ancestors;
	ancestors = get_partition_ancestors(relation);
	if (!partitions_valid)
		return ancestors;
	previous = MemoryContextSwitchTo(partitions_context);
	ancestors = list_copy(ancestors);
	facts = hash_search(partitions, &relation, HASH_ENTER, &found);
	facts->ancestors = ancestors;
	MemoryContextSwitchTo(previous);
	return ancestors;
}

bool
queue_is_of_source(int32 source_id, Relation relation)
{
	Oid			of = queue_source_relation(source_id);

	if (!OidIsValid(of))
		return false;
	return of == RelationGetRelid(relation) ||
		(relation->rd_rel->relispartition && list_member_oid(ancestors_of(RelationGetRelid(relation)), of));
}
