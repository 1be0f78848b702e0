/* failure.h: what is wrong with an endpoint: a code to act on, and a text to show */
#ifndef RC_FAILURE_H
#define RC_FAILURE_H

typedef enum rc_failure_code
{
	RC_FAILURE_NONE,
	RC_FAILURE_TIMED_OUT,
	RC_FAILURE_UNREACHABLE,		/* name, connection, TLS, closed too early, or HTTP 5xx */
	RC_FAILURE_REFUSED,			/* it doesn't want to: HTTP status, credentials, unknown method */
	RC_FAILURE_LIMITED,			/* it wants to be asked less often */
	RC_FAILURE_MALFORMED,		/* not an answer to what was asked */
	RC_FAILURE_WRONG_CHAIN,
	RC_FAILURE_BEHIND,			/* syncing, pruned, or without the block that was asked for */
	RC_FAILURE_INCONSISTENT,	/* its answers contradict each other */
	RC_FAILURE_UNVERIFIED		/* it can't prove what it says */
} rc_failure_code;

#define RC_FAILURE_CODES (RC_FAILURE_UNVERIFIED + 1)

typedef struct rc_failure
{
	rc_failure_code code;
	char	   *text;			/* rc_malloc'd; NULL: nothing failed */
	long		retry_after_ms; /* the endpoint's own wish, -1: none */
} rc_failure;

/* A failure with a text of its own */
extern rc_failure rc_failure_make(rc_failure_code code, const char *format, ...)
			__attribute__((format(printf, 2, 3)));

/* A failure that takes over text; with NULL, none */
extern rc_failure rc_failure_take(rc_failure_code code, char *text);

/* A word for logs and tests: "timed_out" … */
extern const char *rc_failure_name(rc_failure_code code);

#endif
