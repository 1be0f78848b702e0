/* log.c: one line per event on standard error, as text or JSON */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "core/base/memory.h"
#include "core/base/text.h"
#include "log.h"

/* Room for YYYY-MM-DDTHH:MM:SS.mmmZ */
#define TIMESTAMP_SIZE 32

#define LEVEL_ERROR "error"

static const char *
level_name(rc_log_level level)
{
	switch (level)
	{
		case RC_LOG_DEBUG:
			return "debug";
		case RC_LOG_INFO:
			return "info";
		case RC_LOG_WARNING:
			return "warning";
		case RC_LOG_NOTHING:
			break;
	}
	return LEVEL_ERROR;
}

static void
format_timestamp(char *out)
{
	struct timespec now;
	struct tm	utc;
	size_t		len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len = strftime(out, TIMESTAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(out + len, TIMESTAMP_SIZE - len, ".%03dZ", (int) (now.tv_nsec / 1000000));
}

/* Valid UTF-8 of at most limit bytes: json-c hands on what it is given */
static struct json_object *
json_text(const char *text, size_t limit)
{
	struct json_object *string;
	rc_buffer	valid = {0};
	size_t		len = strlen(text);
	size_t		n;

	rc_buffer_append(&valid, "", 0);
	for (size_t i = 0; i < len; i += n > 0 ? n : 1)
	{
		uint32_t	code;

		n = rc_utf8_decode(&text[i], len - i, &code);
		if (i + (n > 0 ? n : 1) > limit)
		{
			rc_buffer_append(&valid, "\xe2\x80\xa6", 3);
			break;
		}
		rc_buffer_append(&valid, n > 0 ? &text[i] : "?", n > 0 ? n : 1);
	}
	string = json_object_new_string_len(valid.data, (int) valid.len);
	rc_buffer_free(&valid);
	return string;
}

/* In serialised JSON only strings have such characters, and there \uXXXX means the same */
static void
append_visible(rc_buffer *line, const char *json)
{
	rc_append_plain(line, json, strlen(json));
}

static void
format_json(rc_buffer *line, const char *level, const rc_event *event)
{
	struct json_object *object = json_object_new_object();
	char		timestamp[TIMESTAMP_SIZE];

	format_timestamp(timestamp);
	json_object_object_add(object, "time", json_object_new_string(timestamp));
	json_object_object_add(object, "level", json_object_new_string(level));
	json_object_object_add(object, "event", json_object_new_string(event->name));
	for (int i = 0; i < event->nfields; i++)
	{
		const rc_field *field = &event->fields[i];

		if (!field->absent)
			json_object_object_add(object, field->name, field->text == NULL ? json_object_new_int64(field->number) :
								   json_text(field->text, RC_LOG_VALUE_LIMIT));
	}
	if (event->message != NULL)
		json_object_object_add(object, "message", json_text(event->message, RC_LOG_MESSAGE_LIMIT));
	append_visible(line, json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

static void
format_text(rc_buffer *line, const char *level, const char *text)
{
	char		timestamp[TIMESTAMP_SIZE];

	format_timestamp(timestamp);
	rc_buffer_printf(line, "%s %s ", timestamp, level);
	rc_buffer_append(line, text, strlen(text));
}

/* Writes the line and frees it */
static void
write_line(rc_buffer *line)
{
	size_t		written = 0;

	rc_buffer_append(line, "\n", 1);
	while (written < line->len)
	{
		ssize_t		n = write(STDERR_FILENO, line->data + written, line->len - written);

		if (n <= 0)
			break;				/* nobody reads it: not worth stopping for */
		written += (size_t) n;
	}
	rc_buffer_free(line);
}

void
rc_logger_write(const rc_logger *logger, const rc_event *event)
{
	rc_buffer	line = {0};
	char	   *text;

	if (event->level < logger->level)
		return;
	if (logger->format == RC_LOG_JSON)
		format_json(&line, level_name(event->level), event);
	else
	{
		text = rc_event_text(event);
		format_text(&line, level_name(event->level), text);
		free(text);
	}
	write_line(&line);
}

void
rc_logger_fatal(const rc_logger *logger, const rc_host *host, const char *problem)
{
	rc_buffer	line = {0};
	rc_buffer	text = {0};
	const char *colon = strstr(problem, ": ");
	char	   *code = colon != NULL ? rc_asprintf("%.*s", (int) (colon - problem), problem) : NULL;
	const rc_field fields[] = {
		rc_field_text("role", host->role),
		rc_field_text("worker_id", host->worker_id),
		rc_field_text("code", code)
	};
	const rc_event event = {RC_LOG_WARNING, "not started", fields, 3, problem};

	rc_append_plain(&text, problem, RC_LOG_MESSAGE_LIMIT);
	if (logger->format == RC_LOG_JSON)
		format_json(&line, LEVEL_ERROR, &event);
	else
		format_text(&line, LEVEL_ERROR, text.data);
	write_line(&line);
	rc_buffer_free(&text);
	free(code);
}
