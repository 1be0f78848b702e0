/* log_memory.c: what was logged already, so that what goes on isn't logged again and again */
#include "core/base/log_memory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* How far a line may stand from where its hash puts it */
#define PROBES 16

typedef struct entry
{
	uint64_t	hash;			/* of the line; 0: never used */
	int64_t		seen_ms;
	int64_t		logged_ms;
	bool		known;
	int			messages;		/* of a line without its message: how many since logged_ms */
} entry;

struct rc_log_memory
{
	int64_t		minute_ms;		/* when the minute began in which so many lines without an entry were logged */
	int			unknown;
	entry		entries[RC_LOG_MEMORY_SIZE];
};

rc_log_memory *
rc_log_memory_create(void)
{
	return rc_calloc(1, sizeof(rc_log_memory));
}

void
rc_log_memory_free(rc_log_memory *memory)
{
	free(memory);
}

/* FNV-1a; in a message a run of digits counts as one digit */
static uint64_t
hash_line(const char *line, const char *message)
{
	uint64_t	hash = UINT64_C(0xcbf29ce484222325);

	for (const char *c = line; *c != '\0'; c++)
	{
		char		byte = *c;

		if (message != NULL && c > message && isdigit((unsigned char) *c))
		{
			if (isdigit((unsigned char) c[-1]))
				continue;
			byte = '0';
		}
		hash = (hash ^ (unsigned char) byte) * UINT64_C(0x100000001b3);
	}
	return hash != 0 ? hash : 1;
}

/* The entry of that hash, a new one (never seen) if need be; NULL: all that it could have are in use */
static entry *
find_entry(rc_log_memory *memory, uint64_t hash, int64_t now_ms)
{
	entry	   *unused = NULL;

	for (uint64_t i = 0; i < PROBES; i++)
	{
		entry	   *entry = &memory->entries[(hash + i) % RC_LOG_MEMORY_SIZE];

		if (entry->hash == hash && now_ms - entry->seen_ms <= RC_LOG_FORGET_MS)
			return entry;
		if (unused == NULL && (entry->hash == 0 || now_ms - entry->seen_ms > RC_LOG_FORGET_MS))
			unused = entry;
	}
	if (unused != NULL)
	{
		memset(unused, 0, sizeof(*unused));
		unused->hash = hash;
		unused->seen_ms = now_ms;
	}
	return unused;
}

/* Of a line whose message is another each time (it has an id in it, say) only so many are logged */
static bool
has_too_many_messages(rc_log_memory *memory, const char *line, const char *message, int64_t now_ms)
{
	char	   *words = rc_asprintf("%.*s", (int) (message - line), line);
	entry	   *entry = find_entry(memory, hash_line(words, NULL), now_ms);

	free(words);
	if (entry == NULL)
		return false;
	entry->seen_ms = now_ms;
	if (entry->messages == 0 || now_ms - entry->logged_ms > RC_LOG_FORGET_MS)
	{
		entry->logged_ms = now_ms;
		entry->messages = 0;
	}
	return ++entry->messages > RC_LOG_MESSAGES_LIMIT;
}

bool
rc_log_memory_is_news(rc_log_memory *memory, const char *line, int64_t now_ms)
{
	const char *message = strstr(line, " message=");
	entry	   *entry = find_entry(memory, hash_line(line, message), now_ms);

	if (entry == NULL)
	{
		if (now_ms - memory->minute_ms >= 60000)
		{
			memory->minute_ms = now_ms;
			memory->unknown = 0;
		}
		return memory->unknown++ < RC_LOG_UNKNOWN_LIMIT;
	}
	entry->seen_ms = now_ms;
	if (entry->known && now_ms - entry->logged_ms <= RC_LOG_REPEAT_MS)
		return false;
	entry->known = true;
	entry->logged_ms = now_ms;
	return message == NULL || !has_too_many_messages(memory, line, message, now_ms);
}
