/* view.h: what status and top show: findings, networks, workers, endpoints, the last transitions */
#ifndef RC_DAEMON_VIEW_H
#define RC_DAEMON_VIEW_H

#include "core/protocol/store.h"

typedef enum rc_line_kind
{
	RC_LINE_PLAIN,
	RC_LINE_TITLE,
	RC_LINE_WARNING,
	RC_LINE_CRITICAL
} rc_line_kind;

typedef struct rc_line
{
	rc_line_kind kind;
	char	   *text;			/* UTF-8 with nothing in it that a terminal obeys */
} rc_line;

typedef struct rc_view
{
	rc_line    *lines;
	int			n;
	int			critical;		/* findings */
	int			warnings;
} rc_view;

/* Asks the database; what is not RC_STORE_OK leaves the view as far as it came */
extern rc_store_status rc_view_collect(const rc_store *store, bool transitions, rc_view *view);
extern void rc_view_free(rc_view *view);

/* The same for machines, rc_malloc'd JSON; NULL: the database did not answer. Counts findings in the view */
extern char *rc_view_json(const rc_store *store, rc_view *view);

/* The first bytes of a text that take at most so many columns */
extern int	rc_view_fit(const char *text, int columns);

#endif
