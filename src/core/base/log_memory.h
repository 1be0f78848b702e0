/* log_memory.h: what was logged already, so that what goes on isn't logged again and again */
#ifndef RC_LOG_MEMORY_H
#define RC_LOG_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rc_log_memory rc_log_memory;

extern rc_log_memory *rc_log_memory_create(void);
extern void rc_log_memory_free(rc_log_memory *memory);

/*
 * Is this line to be logged? Yes if it is new, if it had not come up for a
 * while, and every few hours as long as it goes on. Lines that differ in
 * numbers behind "message=" only are the same (times, ports).
 */
extern bool rc_log_memory_is_news(rc_log_memory *memory, const char *line, int64_t now_ms);

/* A line that hasn't come up for so long is news when it does */
#define RC_LOG_FORGET_MS	(10 * 60 * 1000)

/* How often what goes on is logged */
#define RC_LOG_REPEAT_MS	(6 * 60 * 60 * 1000)

/* Lines that differ in their messages only: so many of them are news in RC_LOG_FORGET_MS */
#define RC_LOG_MESSAGES_LIMIT 3

/* How many lines are remembered; of the others so many are logged a minute */
#define RC_LOG_MEMORY_SIZE	16384
#define RC_LOG_UNKNOWN_LIMIT 20

#endif
