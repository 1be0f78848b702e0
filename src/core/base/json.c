/* json.c: reading JSON that others wrote */
#include "core/base/json.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* Answers of nodes are flat; deeper is garbage */
#define MAX_DEPTH 32

/* About what json-c spends on an array, an object, and a name in it, in scalars of some 80 bytes */
#define ARRAY_COST 2
#define OBJECT_COST 10
#define NAME_COST 2

/* Small documents may have any shape */
#define FREE_COST 10000

/* Between values there is a byte at least: "1,1,1", and "" between quotes */
#define DENSE 2

/* A look over the bytes: NULL, or why no tree is built of them */
static const char *
shape_problem(const char *text, size_t len, size_t bytes_per_value)
{
	size_t		most = FREE_COST + len / bytes_per_value;
	size_t		cost = 1;
	int			depth = 0;
	bool		in_string = false;

	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p == '"')
			in_string = !in_string;
		else if (in_string)
			p += *p == '\\' && p[1] != '\0';
		else if (*p == ',')
			cost++;
		else if (*p == ':')
			cost += NAME_COST;
		else if (*p == '[' || *p == '{')
		{
			cost += *p == '[' ? ARRAY_COST : OBJECT_COST;
			depth++;
		}
		else if (*p == ']' || *p == '}')
			depth--;
		if (depth > MAX_DEPTH)
			return "nested too deeply";
		if (cost > most)
			return "too many values for its length";
	}
	return NULL;
}

/* The one JSON document that body is, as json-c sees it with these flags */
static struct json_object *
tokenize(const char *body, size_t len, int flags, char **error)
{
	struct json_tokener *tokener;
	struct json_object *document;
	enum json_tokener_error status;

	tokener = json_tokener_new_ex(MAX_DEPTH);
	if (tokener == NULL)
	{
		*error = rc_strdup("no memory for the JSON parser");
		return NULL;
	}
	json_tokener_set_flags(tokener, flags);
	/* With the final NUL, or a bare word or number would be taken as cut off */
	document = json_tokener_parse_ex(tokener, body, (int) len + 1);
	status = json_tokener_get_error(tokener);
	if (status == json_tokener_continue || status == json_tokener_error_parse_eof)
		*error = rc_strdup("the answer is truncated JSON");
	else if (status != json_tokener_success)
		*error = rc_asprintf("the answer is not JSON (%s)", json_tokener_error_desc(status));
	json_tokener_free(tokener);
	if (status != json_tokener_success && document != NULL)
	{
		json_object_put(document);
		document = NULL;
	}
	if (status == json_tokener_success && document == NULL)
		*error = rc_strdup("the answer is null");
	return document;
}

/* A copy of body with another character for each byte that isn't ASCII; NULL if there is none */
static char *
masked_copy(const char *body)
{
	char	   *copy = NULL;

	for (const char *p = body; *p != '\0'; p++)
	{
		if ((unsigned char) *p < 0x80)
			continue;
		if (copy == NULL)
			copy = rc_strdup(body);
		copy[p - body] = '?';
	}
	return copy;
}

/* The members that the objects of a JSON text have: its colons outside of strings */
static size_t
members_written(const char *text)
{
	size_t		members = 0;
	bool		in_string = false;

	for (const char *p = text; *p != '\0'; p++)
	{
		if (in_string && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			in_string = !in_string;
		else if (*p == ':' && !in_string)
			members++;
	}
	return members;
}

/* The members that its tree has */
static size_t
members_kept(struct json_object *tree)
{
	size_t		members = 0;

	if (json_object_is_type(tree, json_type_object))
	{
		json_object_object_foreach(tree, name, member)
		{
			(void) name;
			members += 1 + members_kept(member);
		}
	}
	else if (json_object_is_type(tree, json_type_array))
	{
		for (size_t i = 0; i < json_object_array_length(tree); i++)
			members += members_kept(json_object_array_get_idx(tree, i));
	}
	return members;
}

/* Of two members with one name json-c keeps the last, others the first: nobody knows which is meant */
static struct json_object *
refuse_duplicates(struct json_object *document, const char *text, char **error)
{
	if (document == NULL || members_kept(document) == members_written(text))
		return document;
	json_object_put(document);
	*error = rc_strdup("the answer is not JSON (an object has two members of one name)");
	return NULL;
}

/* The JSON document in body; NULL with *error set if it isn't exactly one */
struct json_object *
rc_json_parse(const char *text, size_t len, char **error)
{
	return rc_json_parse_sparse(text, len, DENSE, error);
}

struct json_object *
rc_json_parse_sparse(const char *text, size_t len, size_t bytes_per_value, char **error)
{
	struct json_object *document;
	const char *problem;
	char	   *masked;

	if (len > INT_MAX - 1)
	{
		*error = rc_strdup("the answer is too large");
		return NULL;
	}
	if (strlen(text) != len)
	{
		*error = rc_strdup("the answer is not JSON (it holds a zero byte)");
		return NULL;
	}
	problem = shape_problem(text, len, bytes_per_value);
	if (problem != NULL)
	{
		*error = rc_asprintf("the answer is not JSON that can be an answer (%s)", problem);
		return NULL;
	}
	masked = masked_copy(text);
	if (masked == NULL)
		return refuse_duplicates(tokenize(text, len, JSON_TOKENER_STRICT, error), text, error);

	/*
	 * Strict json-c 0.18 takes every byte above 0x7f for a control character
	 * (json-c issue 892). So the form is checked without them, and then the
	 * text is read as it is.
	 */
	document = tokenize(masked, len, JSON_TOKENER_STRICT, error);
	free(masked);
	if (document == NULL)
		return NULL;
	json_object_put(document);
	return refuse_duplicates(tokenize(text, len, JSON_TOKENER_VALIDATE_UTF8, error), text, error);
}

/* A string member of an object */
const char *
rc_json_string(struct json_object *object, const char *name)
{
	struct json_object *member;

	if (object == NULL || !json_object_is_type(object, json_type_object) ||
		!json_object_object_get_ex(object, name, &member) ||
		!json_object_is_type(member, json_type_string))
		return NULL;
	/* A NUL inside would hide the rest */
	if (strlen(json_object_get_string(member)) != (size_t) json_object_get_string_len(member))
		return NULL;
	return json_object_get_string(member);
}
