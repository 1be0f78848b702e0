/* store.h: the database as the core sees it: prepared statements with text in and out, each its own transaction */
#ifndef RC_STORE_H
#define RC_STORE_H

#include <stdbool.h>

typedef enum rc_store_status
{
	RC_STORE_OK,
	RC_STORE_LEASE_LOST,		/* SQLSTATE RC001: the fencing token is not the current one */
	RC_STORE_STALE,				/* SQLSTATE RC002: the network isn't any more what it was named as */
	RC_STORE_REFUSED,			/* SQLSTATE class 22: the data can't be; already logged */
	RC_STORE_ERROR,				/* refused; already logged with its SQLSTATE */
	RC_STORE_GONE				/* extension or connection is gone: try again later */
} rc_store_status;

/* A call of the SQL protocol; every parameter is text and cast in the statement */
typedef struct rc_statement
{
	const char *name;			/* unique; also what logs call it */
	const char *sql;
	int			nargs;
} rc_statement;

/* True for what may read a whole table, as after a crash of the server: it has RC_SLOW_FACTOR times the time of others */
extern bool rc_statement_is_slow(const rc_statement *statement);

#define RC_SLOW_FACTOR 20

/* Rows as text; a NULL cell is SQL's null. One malloc'd block: release with rc_rows_free */
typedef struct rc_rows
{
	int			nrows;
	int			ncols;
	char	  **cells;			/* row by row */
} rc_rows;

#define rc_cell(rows, row, col) ((rows)->cells[(row) * (rows)->ncols + (col)])

extern void rc_rows_free(rc_rows *rows);

/* What an error of the server with this SQLSTATE means to the core */
extern rc_store_status rc_store_status_of(const char *sqlstate);

/* Does it stand in the log by itself? A lease that was lost or settings that changed are no errors */
extern bool rc_store_is_expected(rc_store_status status);

/*
 * run executes one statement in a READ COMMITTED transaction of its own and
 * has committed it when it returns RC_STORE_OK. It never longjmps. On any other
 * status rows is empty. rows may be NULL.
 */
typedef struct rc_store
{
	void	   *ctx;
	rc_store_status (*run) (void *ctx, const rc_statement *statement, const char *const *args, rc_rows *rows);
} rc_store;

#endif
