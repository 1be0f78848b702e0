/* json.h: reading JSON that others wrote */
#ifndef RC_JSON_H
#define RC_JSON_H

#include <json-c/json.h>
#include <stddef.h>

/*
 * The one JSON document that text is; text[len] must be NUL. NULL if it is
 * none, with *error (rc_malloc'd) saying why.
 */
extern struct json_object *rc_json_parse(const char *text, size_t len, char **error);

/* A string member of an object; NULL if there is none */
extern const char *rc_json_string(struct json_object *object, const char *name);

#endif
