/* log.c: events as text: logfmt, with values quoted so that none can pass for a field or a line of its own */
#include "core/base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/host.h"
#include "core/base/text.h"

/* U+2026, in place of what was cut off */
#define ELLIPSIS "\xe2\x80\xa6"

static void
append_escaped(rc_buffer *buffer, uint32_t code)
{
	if (code == '\n')
		rc_buffer_append(buffer, "\\n", 2);
	else if (code == '\r')
		rc_buffer_append(buffer, "\\r", 2);
	else if (code == '\t')
		rc_buffer_append(buffer, "\\t", 2);
	else if (code <= 0xffff)
		rc_buffer_printf(buffer, "\\u%04" PRIx32, code);
	else						/* as JSON has it */
		rc_buffer_printf(buffer, "\\u%04" PRIx32 "\\u%04" PRIx32,
						 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
}

/* Appends a text with its hidden characters and those of escape behind a backslash */
static void
append_text(rc_buffer *buffer, const char *text, size_t limit, const char *escape)
{
	size_t		len = strlen(text);
	size_t		n;

	for (size_t i = 0; i < len; i += n)
	{
		uint32_t	code = 0;

		n = rc_utf8_decode(&text[i], len - i, &code);
		if (i + (n > 0 ? n : 1) > limit)
		{
			rc_buffer_append(buffer, ELLIPSIS, strlen(ELLIPSIS));
			return;
		}
		if (n == 0)
		{
			n = 1;
			rc_buffer_append(buffer, "?", 1);
		}
		else if (rc_is_hidden(code))
			append_escaped(buffer, code);
		else
		{
			if (n == 1 && strchr(escape, text[i]) != NULL)
				rc_buffer_append(buffer, "\\", 1);
			rc_buffer_append(buffer, &text[i], n);
		}
	}
}

void
rc_append_plain(rc_buffer *buffer, const char *text, size_t limit)
{
	append_text(buffer, text, limit, "");
}

/* Can the value stand as it is? */
static bool
is_bare(const char *text)
{
	size_t		len = strlen(text);
	size_t		n;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i += n)
	{
		uint32_t	code = 0;

		n = rc_utf8_decode(&text[i], len - i, &code);
		if (n == 0 || code <= ' ' || rc_is_hidden(code) || (n == 1 && strchr("\"'=\\", text[i]) != NULL) ||
			code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x202f ||
			code == 0x205f || code == 0x3000)
			return false;
	}
	return true;
}

static void
append_value(rc_buffer *buffer, const char *text, size_t limit)
{
	if (is_bare(text))
	{
		append_text(buffer, text, limit, "");
		return;
	}
	rc_buffer_append(buffer, "\"", 1);
	append_text(buffer, text, limit, "\"\\");
	rc_buffer_append(buffer, "\"", 1);
}

void
rc_append_value(rc_buffer *buffer, const char *text)
{
	append_value(buffer, text, RC_LOG_VALUE_LIMIT);
}

char *
rc_event_text(const rc_event *event)
{
	rc_buffer	line = {0};

	rc_buffer_printf(&line, "%s", event->name);
	for (int i = 0; i < event->nfields; i++)
	{
		const rc_field *field = &event->fields[i];

		if (field->absent)
			continue;
		if (field->text == NULL)
		{
			rc_buffer_printf(&line, " %s=%" PRId64, field->name, field->number);
			continue;
		}
		rc_buffer_printf(&line, " %s=", field->name);
		append_value(&line, field->text, RC_LOG_VALUE_LIMIT);
	}
	if (event->message != NULL)
	{
		rc_buffer_printf(&line, " message=");
		append_value(&line, event->message, RC_LOG_MESSAGE_LIMIT);
	}
	return line.data;
}

static bool
log_event(const rc_host *host, rc_event *event, bool only_news)
{
	rc_field   *all;
	char	   *line = NULL;
	bool		logged = true;

	if (host == NULL || host->log == NULL)
		return false;
	all = rc_calloc((size_t) event->nfields + 2, sizeof(rc_field));
	all[0] = rc_field_text("role", host->role);
	all[1] = rc_field_text("worker_id", host->worker_id);
	for (int i = 0; i < event->nfields; i++)
		all[i + 2] = event->fields[i];
	event->fields = all;
	event->nfields += 2;
	if (only_news && host->log_memory != NULL)
	{
		line = rc_event_text(event);
		logged = rc_log_memory_is_news(host->log_memory, line, rc_now_ms());
	}
	if (logged)
		host->log(host->ctx, event);
	free(line);
	free(all);
	return logged;
}

void
rc_log_event(const rc_host *host, rc_log_level level, const char *name,
			 const rc_field *fields, int nfields, const char *message)
{
	rc_event	event = {level, name, fields, nfields, message};

	(void) log_event(host, &event, false);
}

bool
rc_log_change(const rc_host *host, rc_log_level level, const char *name,
			  const rc_field *fields, int nfields, const char *message)
{
	rc_event	event = {level, name, fields, nfields, message};

	return log_event(host, &event, true);
}
