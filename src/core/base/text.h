/* text.h: what a text consists of: characters of UTF-8, and those that a reader doesn't see */
#ifndef RC_TEXT_H
#define RC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the UTF-8 character that the len bytes of text begin with, and its code point; 0: it is none */
extern size_t rc_utf8_decode(const char *text, size_t len, uint32_t *code);

/*
 * True for what can make a line look like another one, or like two: control
 * characters, separators of lines, marks of writing direction, and characters
 * without a width.
 */
extern bool rc_is_hidden(uint32_t code);

#endif
