/* memory.c: malloc that cannot return NULL */
#include "core/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nothing sensible is left to do: say so and let the supervisor start the process again */
static void
out_of_memory(void)
{
	static const char message[] = "reconciler: out of memory\n";

	fputs(message, stderr);
	exit(1);
}

/* malloc; size 0 gives a pointer that can be freed */
void *
rc_malloc(size_t size)
{
	void	   *ptr = malloc(size > 0 ? size : 1);

	if (ptr == NULL)
		out_of_memory();
	return ptr;
}

/* calloc */
void *
rc_calloc(size_t count, size_t size)
{
	void	   *ptr = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

	if (ptr == NULL)
		out_of_memory();
	return ptr;
}

/* realloc */
void *
rc_realloc(void *ptr, size_t size)
{
	ptr = realloc(ptr, size > 0 ? size : 1);
	if (ptr == NULL)
		out_of_memory();
	return ptr;
}

/* strdup */
char *
rc_strdup(const char *text)
{
	size_t		size = strlen(text) + 1;

	return memcpy(rc_malloc(size), text, size);
}

static char *format_text(const char *format, va_list args, size_t *len) __attribute__((format(printf, 1, 0)));

/* Formatted text, malloc'd */
static char *
format_text(const char *format, va_list args, size_t *len)
{
	va_list		again;
	int			n;
	char	   *text;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0)
		out_of_memory();
	text = rc_malloc((size_t) n + 1);
	(void) vsnprintf(text, (size_t) n + 1, format, args);
	*len = (size_t) n;
	return text;
}

/* asprintf */
char *
rc_asprintf(const char *format, ...)
{
	va_list		args;
	char	   *text;
	size_t		len;

	va_start(args, format);
	text = format_text(format, args, &len);
	va_end(args);
	return text;
}

/* vasprintf */
char *
rc_vasprintf(const char *format, va_list args)
{
	size_t		len;

	return format_text(format, args, &len);
}

/* Appends bytes; data stays NUL-terminated */
void
rc_buffer_append(rc_buffer *buffer, const void *data, size_t len)
{
	if (buffer->size - buffer->len <= len)
	{
		size_t		size = buffer->size > 0 ? buffer->size : 256;

		while (size - buffer->len <= len)
			size *= 2;
		buffer->data = rc_realloc(buffer->data, size);
		buffer->size = size;
	}
	if (len > 0)
		memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
}

/* Appends formatted text */
void
rc_buffer_printf(rc_buffer *buffer, const char *format, ...)
{
	va_list		args;
	char	   *text;
	size_t		len;

	va_start(args, format);
	text = format_text(format, args, &len);
	va_end(args);
	rc_buffer_append(buffer, text, len);
	free(text);
}

/* Frees the text and makes the buffer empty */
void
rc_buffer_free(rc_buffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
	buffer->len = buffer->size = 0;
}
