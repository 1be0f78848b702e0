/* memory.h: malloc that cannot return NULL; the process ends with a message when memory has run out */
#ifndef RC_MEMORY_H
#define RC_MEMORY_H

#include <stdarg.h>
#include <stddef.h>

extern void *rc_malloc(size_t size);
extern void *rc_calloc(size_t count, size_t size);
extern void *rc_realloc(void *ptr, size_t size);
extern char *rc_strdup(const char *text);
extern char *rc_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern char *rc_vasprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* A growing string */
typedef struct rc_buffer
{
	char	   *data;
	size_t		len;
	size_t		size;
} rc_buffer;

extern void rc_buffer_append(rc_buffer *buffer, const void *data, size_t len);
extern void rc_buffer_printf(rc_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void rc_buffer_free(rc_buffer *buffer);

#endif
