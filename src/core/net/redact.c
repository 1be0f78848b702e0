/* redact.c: takes the secrets of endpoint URLs out of texts */
#include "core/net/http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"

/* U+2026 in UTF-8; in place of secrets shorter than that: "*" */
#define ELLIPSIS "\xe2\x80\xa6"

/* Shorter path segments and query values are words ("v3", "rpc"), not keys */
#define MIN_SEGMENT 6
#define MIN_QUERY_VALUE 4

/* A URL taken apart; every part a run of bytes of the URL */
typedef struct url_parts
{
	const char *scheme_end;		/* after "://" */
	const char *user_end;		/* at the '@', or NULL: no user info */
	const char *host;
	const char *host_end;		/* after the port */
	const char *path;			/* '/', '?', '#' or the end */
} url_parts;

/* Is [p, end) a host name, an address or [IPv6], with or without ":port"? */
static bool
is_host_and_port(const char *p, const char *end)
{
	if (p < end && *p == '[')
	{
		while (p < end && *p != ']')
		{
			if (!isxdigit((unsigned char) *p) && strchr("[:.%", *p) == NULL)
				return false;
			p++;
		}
		if (p == end)
			return false;
		p++;
	}
	while (p < end && *p != ':')
	{
		if (!isalnum((unsigned char) *p) && strchr("-._", *p) == NULL)
			return false;
		p++;
	}
	if (p < end)
	{
		for (p++; p < end; p++)
		{
			if (!isdigit((unsigned char) *p))
				return false;
		}
	}
	return true;
}

/* False if url isn't of the ordinary form: then nothing of it can be shown */
static bool
split_url(const char *url, url_parts *parts)
{
	const char *sep = strstr(url, "://");

	if (sep == NULL || sep == url)
		return false;
	for (const char *p = url; p < sep; p++)
	{
		if (!isalnum((unsigned char) *p))
			return false;
	}
	parts->scheme_end = sep + 3;
	parts->path = parts->scheme_end + strcspn(parts->scheme_end, "/?#");
	parts->user_end = NULL;
	for (const char *p = parts->scheme_end; p < parts->path; p++)
	{
		if (*p == '@')
			parts->user_end = p;
	}
	parts->host = parts->user_end != NULL ? parts->user_end + 1 : parts->scheme_end;
	parts->host_end = parts->path;
	/* A '/' in a password moves the end of the user info: what is left is no host */
	return is_host_and_port(parts->host, parts->host_end);
}

/* Scheme, host and port; the rest as "…" */
char *
rc_url_redact(const char *url)
{
	url_parts	parts;

	if (!split_url(url, &parts))
		return rc_strdup(ELLIPSIS);
	return rc_asprintf("%.*s%s%.*s%s",
					   (int) (parts.scheme_end - url), url,
					   parts.user_end != NULL ? ELLIPSIS "@" : "",
					   (int) (parts.host_end - parts.host), parts.host,
					   parts.path[0] == '\0' || strcmp(parts.path, "/") == 0 ? "" : "/" ELLIPSIS);
}

/* Replaces, in place, every occurrence of the secret; the text only gets shorter */
static void
replace_all(char *text, const char *secret, size_t len)
{
	const char *mark = len >= sizeof(ELLIPSIS) - 1 ? ELLIPSIS : "*";
	size_t		mark_len = strlen(mark);
	char	   *out = text;
	const char *in = text;

	if (len == 0)
		return;
	while (*in != '\0')
	{
		if (strncmp(in, secret, len) == 0)
		{
			memcpy(out, mark, mark_len);
			out += mark_len;
			in += len;
		}
		else
			*out++ = *in++;
	}
	*out = '\0';
}

/* Replaces the secret as it stands in the URL and as it is when percent-decoded */
static void
replace_secret(char *text, const char *secret, size_t len)
{
	char	   *decoded;
	size_t		n = 0;

	replace_all(text, secret, len);
	if (memchr(secret, '%', len) == NULL)
		return;
	decoded = rc_malloc(len + 1);
	for (size_t i = 0; i < len; i++)
	{
		int			high = i + 2 < len && secret[i] == '%' ? rc_hex_digit(secret[i + 1]) : -1;
		int			low = high >= 0 ? rc_hex_digit(secret[i + 2]) : -1;

		if (low >= 0)
		{
			decoded[n++] = (char) (high * 16 + low);
			i += 2;
		}
		else
			decoded[n++] = secret[i];
	}
	decoded[n] = '\0';
	replace_all(text, decoded, strlen(decoded));
	free(decoded);
}

/* Replaces each part of [p, end) between the separators that has at least min bytes */
static void
replace_parts(char *text, const char *p, const char *end, const char *separators, size_t min)
{
	while (p < end)
	{
		size_t		len = 0;

		while (p + len < end && strchr(separators, p[len]) == NULL)
			len++;
		if (len >= min)
			replace_secret(text, p, len);
		p += len + 1;
	}
}

/* Replaces every occurrence of the secret parts of url, longest first */
void
rc_text_redact(char *text, const char *url)
{
	url_parts	parts;
	const char *end = url + strlen(url);
	const char *query;

	if (!split_url(url, &parts))
	{
		replace_all(text, url, strlen(url));
		replace_parts(text, url, end, "/:@?#&=", MIN_QUERY_VALUE);
		return;
	}
	query = parts.path + strcspn(parts.path, "?#");
	if (end - parts.path > 1)
		replace_all(text, parts.path, (size_t) (end - parts.path));
	if (query - parts.path > 2)
		replace_secret(text, parts.path + 1, (size_t) (query - parts.path - 1));
	replace_parts(text, parts.path, query, "/", MIN_SEGMENT);
	replace_parts(text, query, end, "?&#", MIN_QUERY_VALUE + 2);
	replace_parts(text, query, end, "?&#=", MIN_QUERY_VALUE);
	if (parts.user_end != NULL)
	{
		const char *colon = memchr(parts.scheme_end, ':', (size_t) (parts.user_end - parts.scheme_end));

		replace_secret(text, parts.scheme_end, (size_t) (parts.user_end - parts.scheme_end));
		if (colon != NULL)
			replace_secret(text, colon + 1, (size_t) (parts.user_end - colon - 1));
		if (colon == NULL || colon - parts.scheme_end >= MIN_QUERY_VALUE)
			replace_secret(text, parts.scheme_end,
						   (size_t) ((colon != NULL ? colon : parts.user_end) - parts.scheme_end));
	}
}
