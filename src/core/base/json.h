/* json.h: reading JSON that others wrote */
#ifndef RC_JSON_H
#define RC_JSON_H

#include <json-c/json.h>
#include <stddef.h>

/*
 * The one JSON document that text is; text[len] must be NUL. NULL if it is
 * none, with *error (rc_malloc'd) saying why. A tree takes up to 250 times the
 * memory of its text ("{},{},…"), so what is nested deeply or has more values
 * than its length explains is refused before one is built.
 */
extern struct json_object *rc_json_parse(const char *text, size_t len, char **error);

/*
 * The same for a document that has a value in at least so many bytes, on
 * average: a number or string counts as one, an array as 2, a name as 2, an object as 10.
 * rc_json_parse: 2; the tree takes at most 40 times the text.
 */
extern struct json_object *rc_json_parse_sparse(const char *text, size_t len, size_t bytes_per_value, char **error);

/* A string member of an object; NULL if there is none */
extern const char *rc_json_string(struct json_object *object, const char *name);

#endif
