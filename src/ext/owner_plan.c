/* owner_plan.c: statements on attached tables whose plans are kept */
#include "owner_plan.h"

#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/resowner.h"

/* Beyond so many, statements are planned each time; none is given up for another, as it may be running */
#define MAX_PLANS	64

typedef struct kept_plan
{
	struct kept_plan *next;
	char	   *query;
	Oid			type;			/* of the parameter */
	SPIPlanPtr	plan;			/* NULL: not yet */
} kept_plan;

static kept_plan *plans = NULL;
static int	nplans = 0;

/* The entry for a statement; NULL: there are too many others */
static kept_plan *
find_plan(const char *query, Oid type)
{
	kept_plan  *kept;

	for (kept = plans; kept != NULL; kept = kept->next)
	{
		if (kept->type == type && strcmp(kept->query, query) == 0)
			return kept;
	}
	if (nplans >= MAX_PLANS)
		return NULL;
	kept = MemoryContextAllocZero(TopMemoryContext, sizeof(*kept));
	kept->query = MemoryContextStrdup(TopMemoryContext, query);
	kept->type = type;
	kept->next = plans;
	plans = kept;
	nplans++;
	return kept;
}

/* Plans it as for a large table, whatever the size now; the planner's settings are then as before */
static void
make_plan(kept_plan *kept)
{
	int			guc_level = NewGUCNestLevel();
	CachedPlan *made;

	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (kept->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(kept->query, 1, &kept->type, CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", kept->query, SPI_result_code_string(SPI_result));
		kept->plan = plan;
	}
	made = SPI_plan_get_cached_plan(kept->plan);
	if (made != NULL)
		ReleaseCachedPlan(made, CurrentResourceOwner);
	AtEOXact_GUC(false, guc_level);
}

int
owner_execute(const char *query, Oid type, Datum value)
{
	kept_plan  *kept = find_plan(query, type);

	if (kept == NULL)
		return SPI_execute_with_args(query, 1, &type, &value, NULL, false, 0);
	if (kept->plan == NULL || !SPI_plan_is_valid(kept->plan))
		make_plan(kept);
	return SPI_execute_plan(kept->plan, &value, NULL, false, 0);
}
