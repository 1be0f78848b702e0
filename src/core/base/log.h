/* log.h: what is logged is an event with fields, so that no value can pass for a field or a line of its own */
#ifndef RC_LOG_H
#define RC_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/memory.h"

struct rc_host;

typedef enum rc_log_level
{
	RC_LOG_DEBUG,
	RC_LOG_INFO,
	RC_LOG_WARNING,
	RC_LOG_NOTHING				/* no event has it: a process that logs none */
} rc_log_level;

/* The values of texts may be anybody's words; names are constants of the program: letters and _ */
typedef struct rc_field
{
	const char *name;
	const char *text;			/* NULL: the number counts */
	int64_t		number;
	bool		absent;			/* a text that is NULL: the field is left out */
} rc_field;

typedef struct rc_event
{
	rc_log_level level;
	const char *name;			/* a constant: "cycle", "lease lost" */
	const rc_field *fields;		/* the host's role and worker_id first */
	int			nfields;
	const char *message;		/* a sentence; NULL: none */
} rc_event;

static inline rc_field
rc_field_text(const char *name, const char *text)
{
	return (rc_field) {.name = name,.text = text,.absent = text == NULL};
}

static inline rc_field
rc_field_int(const char *name, int64_t number)
{
	return (rc_field) {.name = name,.number = number};
}

/* Two arguments: an array of rc_field and how many they are */
#define RC_FIELDS(...) \
	(const rc_field[]) {__VA_ARGS__}, (int) (sizeof((const rc_field[]) {__VA_ARGS__}) / sizeof(rc_field))
#define RC_NO_FIELDS NULL, 0

/* To the process's log. Says nothing of secrets: who logs has taken them out */
extern void rc_log_event(const struct rc_host *host, rc_log_level level, const char *name,
						 const rc_field *fields, int nfields, const char *message);

/* The same, unless it was logged already and goes on (log_memory.h). True if it was logged */
extern bool rc_log_change(const struct rc_host *host, rc_log_level level, const char *name,
						  const rc_field *fields, int nfields, const char *message);

/*
 * malloc'd: name, name=value … and message=…, in one line. A value that is
 * empty or has blanks, quotes, =, backslashes or hidden characters is quoted,
 * the latter as \n or \u202e. Long values are cut.
 */
extern char *rc_event_text(const rc_event *event);

/* Appends a value as it stands behind the = */
extern void rc_append_value(rc_buffer *buffer, const char *text);

/* Appends a text whose hidden characters are escaped, and what isn't UTF-8 is "?"; at most limit bytes of it */
extern void rc_append_plain(rc_buffer *buffer, const char *text, size_t limit);

/* How much of a value, and of a message, is logged, in bytes */
#define RC_LOG_VALUE_LIMIT	 512
#define RC_LOG_MESSAGE_LIMIT 2000

#endif
