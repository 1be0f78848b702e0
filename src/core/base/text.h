/* text.h: what a text consists of, and words of others made fit for a log line and for the database */
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

/*
 * Makes a text of one line and valid UTF-8, in place and of the same length:
 * hidden characters become "?", as does what isn't UTF-8.
 */
extern void rc_text_clean(char *text);

/* Without blanks at its end, and with at most max bytes, not cut inside of a character: in place */
extern void rc_text_cut(char *text, size_t max);

/* A clean copy of a text (NULL: empty) of several lines as one, rc_malloc'd: each run of white space is one blank */
extern char *rc_text_one_line(const char *text);

#endif
