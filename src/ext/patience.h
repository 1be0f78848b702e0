/* patience.h: a time limit for code of the application's */
#ifndef RC_PATIENCE_H
#define RC_PATIENCE_H

#include "postgres.h"

#include "utils/timestamp.h"

/* Raised when the limit is reached. Not of class 57: it is the matter of the requests, not of the whole statement. */
#define ERRCODE_OUT_OF_PATIENCE	MAKE_SQLSTATE('R', 'C', '0', '0', '3')

typedef struct patience
{
	MemoryContext context;		/* of whoever began it */
	int			ms;
	bool		armed;			/* false: one that began before runs on */
	bool		outer_limit;	/* statement_timeout was running, too */
} patience;

/*
 * From here to patience_end or patience_lost whatever runs is cancelled after so
 * many milliseconds, and again each time that it goes on in spite of that. A
 * statement_timeout, pg_cancel_backend and pg_terminate_backend work as ever.
 */
extern void patience_begin(patience *limit, int ms);
extern void patience_end(const patience *limit);

/*
 * In PG_CATCH: ends it; if that was what the error came from, raises
 * ERRCODE_OUT_OF_PATIENCE in its place. An error of the application's with a code
 * that would stop more than its requests gets another one.
 */
extern void patience_lost(const patience *limit, const char *table);

#endif
