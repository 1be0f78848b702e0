/* owner_plan.h: statements on attached tables whose plans are kept */
#ifndef RC_OWNER_PLAN_H
#define RC_OWNER_PLAN_H

#include "postgres.h"

/*
 * Runs, with SPI, a statement that has one parameter and finds rows by their
 * key; returns what SPI_execute returns. Its plan is kept for the next time, and
 * is one for a table that has grown large meanwhile.
 */
extern int	owner_execute(const char *query, Oid type, Datum value);

#endif
