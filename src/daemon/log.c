/* log.c: one line per event on standard error, as text or JSON */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "log.h"

/* Room for YYYY-MM-DDTHH:MM:SS.mmmZ */
#define TIMESTAMP_SIZE 32

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
	}
	return "error";
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

/* Control characters could forge a second line, or drive the terminal that shows it */
static void
append_plain(rc_buffer *line, const char *text)
{
	for (; *text != '\0'; text++)
	{
		char		c = (unsigned char) *text < 0x20 || *text == 0x7f ? ' ' : *text;

		rc_buffer_append(line, &c, 1);
	}
}

/* Bytes of the UTF-8 character that text begins with; 0: it isn't one (servers answer anything, and lines are cut) */
static size_t
utf8_length(const char *text, size_t len)
{
	unsigned char first = (unsigned char) text[0];
	size_t		n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;

	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char) text[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void
append_json(rc_buffer *line, const char *text, size_t len)
{
	size_t		n;

	rc_buffer_append(line, "\"", 1);
	for (size_t i = 0; i < len; i += n > 0 ? n : 1)
	{
		unsigned char c = (unsigned char) text[i];

		n = utf8_length(&text[i], len - i);
		if (c == '"' || c == '\\')
			rc_buffer_append(line, "\\", 1);
		if (c < 0x20 || c == 0x7f)
			rc_buffer_append(line, " ", 1);
		else if (n == 0)
			rc_buffer_append(line, "?", 1);
		else
			rc_buffer_append(line, &text[i], n);
	}
	rc_buffer_append(line, "\"", 1);
}

/* Length of the name in front of '=', 0 if the word isn't name=value */
static size_t
field_name_length(const char *word, size_t len)
{
	size_t		name = strspn(word, "abcdefghijklmnopqrstuvwxyz_");

	return name > 0 && name < len && word[name] == '=' ? name : 0;
}

static bool
is_count(const char *text, size_t len)
{
	return len > 0 && len < 16 && strspn(text, "0123456789") >= len && (len == 1 || text[0] != '0');
}

/* The name=value words in front of a colon become members of their own */
static void
append_json_fields(rc_buffer *line, const char *message)
{
	const char *end = strstr(message, ": ");
	const char *word = message;

	if (end == NULL)
		end = message + strlen(message);
	while (word < end)
	{
		size_t		len = strcspn(word, " ");
		size_t		name;

		if (word + len > end)
			len = (size_t) (end - word);
		name = field_name_length(word, len);
		if (name > 0 && strncmp(word, "worker_id=", 10) != 0)
		{
			const char *value = word + name + 1;
			size_t		value_len = len - name - 1;

			rc_buffer_append(line, ",", 1);
			append_json(line, word, name);
			rc_buffer_append(line, ":", 1);
			if (is_count(value, value_len))
				rc_buffer_append(line, value, value_len);
			else
				append_json(line, value, value_len);
		}
		word += len + strspn(word + len, " ");
	}
}

static void
format_text(rc_buffer *line, const rc_logger *logger, const char *level, const char *message)
{
	char		timestamp[TIMESTAMP_SIZE];

	format_timestamp(timestamp);
	rc_buffer_printf(line, "%s %s ", timestamp, level);
	append_plain(line, message);
	if (logger->worker_id != NULL && strstr(message, "worker_id=") == NULL)
		rc_buffer_printf(line, " worker_id=%s", logger->worker_id);
}

static void
format_json(rc_buffer *line, const rc_logger *logger, const char *level, const char *message)
{
	char		timestamp[TIMESTAMP_SIZE];

	format_timestamp(timestamp);
	rc_buffer_printf(line, "{\"time\":\"%s\",\"level\":\"%s\"", timestamp, level);
	if (logger->worker_id != NULL)
	{
		rc_buffer_printf(line, ",\"worker_id\":");
		append_json(line, logger->worker_id, strlen(logger->worker_id));
	}
	rc_buffer_printf(line, ",\"message\":");
	append_json(line, message, strlen(message));
	append_json_fields(line, message);
	rc_buffer_append(line, "}", 1);
}

static void
write_line(const rc_logger *logger, const char *level, const char *message)
{
	rc_buffer	line = {0};
	size_t		written = 0;

	if (logger->format == RC_LOG_JSON)
		format_json(&line, logger, level, message);
	else
		format_text(&line, logger, level, message);
	rc_buffer_append(&line, "\n", 1);
	while (written < line.len)
	{
		ssize_t		n = write(STDERR_FILENO, line.data + written, line.len - written);

		if (n <= 0)
			break;				/* nobody reads it: not worth stopping for */
		written += (size_t) n;
	}
	rc_buffer_free(&line);
}

void
rc_logger_write(const rc_logger *logger, rc_log_level level, const char *message)
{
	if (level >= logger->level)
		write_line(logger, level_name(level), message);
}

void
rc_logger_fatal(const rc_logger *logger, const char *message)
{
	write_line(logger, "error", message);
}
