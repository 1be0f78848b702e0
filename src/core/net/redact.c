/* redact.c: keeps the secrets of endpoint URLs out of whatever is shown */
#include "core/net/redact.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/memory.h"

/* U+2026 in UTF-8; in place of secrets shorter than that: "*" */
#define ELLIPSIS "\xe2\x80\xa6"

/* Shorter path segments and query values are words ("v3", "rpc"), not keys */
#define MIN_SEGMENT 6
#define MIN_QUERY_VALUE 4

/* The parts of a URL, as they stand in it; NULL: there is none */
typedef struct url_parts
{
	char	   *scheme;
	char	   *user;
	char	   *password;
	char	   *host;
	char	   *port;
	char	   *path;
	char	   *query;
	char	   *fragment;
} url_parts;

static void
free_parts(url_parts *parts)
{
	curl_free(parts->scheme);
	curl_free(parts->user);
	curl_free(parts->password);
	curl_free(parts->host);
	curl_free(parts->port);
	curl_free(parts->path);
	curl_free(parts->query);
	curl_free(parts->fragment);
}

/* False if url isn't of the ordinary form: then nothing of it can be shown */
static bool
split_url(const char *url, url_parts *parts)
{
	CURLU	   *parsed = curl_url();
	bool		ok;

	memset(parts, 0, sizeof(*parts));
	ok = parsed != NULL && strstr(url, "://") != NULL &&
		curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &parts->scheme, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &parts->host, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_PATH, &parts->path, 0) == CURLUE_OK;
	if (ok)
	{
		/* What isn't there stays NULL */
		(void) curl_url_get(parsed, CURLUPART_USER, &parts->user, 0);
		(void) curl_url_get(parsed, CURLUPART_PASSWORD, &parts->password, 0);
		(void) curl_url_get(parsed, CURLUPART_PORT, &parts->port, 0);
		(void) curl_url_get(parsed, CURLUPART_QUERY, &parts->query, 0);
		(void) curl_url_get(parsed, CURLUPART_FRAGMENT, &parts->fragment, 0);
	}
	curl_url_cleanup(parsed);
	return ok;
}

char *
rc_url_redact(const char *url)
{
	url_parts	parts;
	char	   *shown;

	if (split_url(url, &parts))
	{
		bool		more = strcmp(parts.path, "/") != 0 || parts.query != NULL || parts.fragment != NULL;
		bool		user = parts.user != NULL || parts.password != NULL;

		shown = rc_asprintf("%s://%s%s%s%s%s", parts.scheme, user ? ELLIPSIS "@" : "", parts.host,
							parts.port != NULL ? ":" : "", parts.port != NULL ? parts.port : "",
							more ? "/" ELLIPSIS : "");
	}
	else
		shown = rc_strdup(ELLIPSIS);
	free_parts(&parts);
	return shown;
}

/* Bytes at the start of text that are the secret, of which either form of a character comes first; 0: they aren't */
static size_t
match_form(const char *text, const char *secret, size_t len, bool encoded_first)
{
	size_t		at = 0;

	for (size_t i = 0; i < len; i++)
	{
		int			wanted = tolower((unsigned char) secret[i]);
		int			high = text[at] == '%' ? rc_hex_digit(text[at + 1]) : -1;
		int			low = high >= 0 ? rc_hex_digit(text[at + 2]) : -1;
		bool		encoded = low >= 0 && tolower(high * 16 + low) == wanted;
		bool		plain = text[at] != '\0' && tolower((unsigned char) text[at]) == wanted;

		if (encoded && (encoded_first || !plain))
			at += 3;
		else if (plain)
			at++;
		else
			return 0;
	}
	return at;
}

/* The same for a secret whose characters are as they are, in the other case, or percent-encoded */
static size_t
match_length(const char *text, const char *secret, size_t len)
{
	size_t		encoded = match_form(text, secret, len, true);

	return encoded > 0 ? encoded : match_form(text, secret, len, false);
}

/* The text only gets shorter */
void
rc_text_redact_secret(char *text, const char *secret, size_t len)
{
	char	   *out = text;
	const char *in = text;

	while (*in != '\0')
	{
		size_t		matched = len > 0 ? match_length(in, secret, len) : 0;
		const char *mark = matched >= sizeof(ELLIPSIS) - 1 ? ELLIPSIS : "*";

		if (matched > 0)
		{
			memcpy(out, mark, strlen(mark));
			out += strlen(mark);
			in += matched;
		}
		else
			*out++ = *in++;
	}
	*out = '\0';
}

/* Replaces what stands in a URL, percent-encoded or not */
static void
replace_secret(char *text, const char *secret, size_t len)
{
	char	   *encoded = rc_asprintf("%.*s", (int) len, secret);
	int			n = 0;
	char	   *plain = curl_easy_unescape(NULL, encoded, 0, &n);

	if (plain != NULL)
		rc_text_redact_secret(text, plain, (size_t) n);
	curl_free(plain);
	free(encoded);
}

/* Replaces the Base64 of a user:password, with or without its padding */
static void
replace_base64(char *text, const char *plain, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	rc_buffer	out = {0};

	for (size_t i = 0; i < len; i += 3)
	{
		size_t		left = len - i;
		uint32_t	bits = (uint32_t) (unsigned char) plain[i] << 16;

		if (left > 1)
			bits |= (uint32_t) (unsigned char) plain[i + 1] << 8;
		if (left > 2)
			bits |= (uint32_t) (unsigned char) plain[i + 2];
		for (size_t j = 0; j < 4 && j <= left; j++)
			rc_buffer_append(&out, &digits[bits >> (18 - 6 * j) & 63], 1);
	}
	if (out.len > 0)
		rc_text_redact_secret(text, out.data, out.len);
	rc_buffer_free(&out);
}

/* Replaces user, password, and both as they are sent */
static void
replace_userpwd(char *text, const char *user, const char *password)
{
	char	   *both = rc_asprintf("%s:%s", user, password);

	replace_base64(text, both, strlen(both));
	rc_text_redact_secret(text, both, strlen(both));
	rc_text_redact_secret(text, password, strlen(password));
	if (password[0] == '\0' || strlen(user) >= MIN_QUERY_VALUE)
		rc_text_redact_secret(text, user, strlen(user));
	free(both);
}

/* Replaces each part between the separators that has at least min bytes; of name=value, the value (name: with it) */
static void
replace_parts(char *text, const char *p, const char *separators, size_t min)
{
	while (*p != '\0')
	{
		size_t		len = strcspn(p, separators);
		const char *value = memchr(p, '=', len);

		if (value == NULL)
			value = p;
		else
		{
			value++;
			if (len >= min + 2)
				replace_secret(text, p, len);
		}
		if ((size_t) (p + len - value) >= min)
			replace_secret(text, value, (size_t) (p + len - value));
		p += len;
		p += strspn(p, separators);
	}
}

/* Replaces what is secret in a URL of the ordinary form, the longest first */
static void
redact_parts(char *text, const url_parts *parts)
{
	const char *path = parts->path;
	char	   *user = parts->user != NULL ? curl_easy_unescape(NULL, parts->user, 0, NULL) : NULL;
	char	   *password = parts->password != NULL ? curl_easy_unescape(NULL, parts->password, 0, NULL) : NULL;

	if (parts->query != NULL)
	{
		char	   *whole = rc_asprintf("%s?%s", path, parts->query);

		if (strlen(whole) > MIN_SEGMENT)
			replace_secret(text, whole, strlen(whole));
		free(whole);
	}
	if (strlen(path) > MIN_SEGMENT)
	{
		replace_secret(text, path, strlen(path));
		replace_secret(text, path + 1, strlen(path) - 1);
	}
	replace_parts(text, path, "/", MIN_SEGMENT);
	if (parts->query != NULL)
		replace_parts(text, parts->query, "&", MIN_QUERY_VALUE);
	if (parts->fragment != NULL)
		replace_parts(text, parts->fragment, "&", MIN_QUERY_VALUE);
	if (user != NULL || password != NULL)
		replace_userpwd(text, user != NULL ? user : "", password != NULL ? password : "");
	curl_free(user);
	curl_free(password);
}

void
rc_text_redact(char *text, const char *url, const char *userpwd)
{
	const char *colon = userpwd != NULL ? strchr(userpwd, ':') : NULL;
	url_parts	parts;

	if (split_url(url, &parts))
		redact_parts(text, &parts);
	else
	{
		replace_secret(text, url, strlen(url));
		replace_parts(text, url, "/:@?#&=", MIN_QUERY_VALUE);
	}
	free_parts(&parts);
	if (colon != NULL)
	{
		char	   *user = rc_asprintf("%.*s", (int) (colon - userpwd), userpwd);

		replace_userpwd(text, user, colon + 1);
		free(user);
	}
}
