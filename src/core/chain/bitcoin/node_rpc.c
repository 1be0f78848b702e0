/* node_rpc.c: calls to a Bitcoin Core node */
#include "core/chain/bitcoin/node_rpc.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "__cookie__:" and 64 hex digits, with room for what other versions may write */
#define COOKIE_USER "__cookie__:"
#define MAX_COOKIE 256

#define COOKIE_PARAMETER "cookie="

void
rc_bitcoind_split_url(const char *url, char **address, char **cookie)
{
	CURLU	   *parts = curl_url();
	char	   *query = NULL;
	char	   *plain = NULL;

	*address = NULL;
	*cookie = NULL;
	if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_QUERY, &query, 0) == CURLUE_OK &&
		strncmp(query, COOKIE_PARAMETER, strlen(COOKIE_PARAMETER)) == 0)
	{
		char	   *path = curl_easy_unescape(NULL, query + strlen(COOKIE_PARAMETER), 0, NULL);

		if (path != NULL && curl_url_set(parts, CURLUPART_QUERY, NULL, 0) == CURLUE_OK &&
			curl_url_get(parts, CURLUPART_URL, &plain, 0) == CURLUE_OK)
		{
			*address = rc_strdup(plain);
			*cookie = rc_strdup(path);
		}
		curl_free(path);
	}
	if (*address == NULL)
		*address = rc_strdup(url);
	curl_free(plain);
	curl_free(query);
	curl_url_cleanup(parts);
}

/* Is it what a node writes, and so not some other file's content that would go to whoever the URL names? */
static bool
is_cookie(char *text, size_t len)
{
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	text[len] = '\0';
	if (strncmp(text, COOKIE_USER, strlen(COOKIE_USER)) != 0 || len == strlen(COOKIE_USER))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!isgraph((unsigned char) text[i]))
			return false;
	}
	return true;
}

/* What an open file holds, if that is a cookie; NULL with *problem set if not */
static char *
read_file(int fd, char **problem)
{
	struct stat status;
	char		text[MAX_COOKIE + 1];
	ssize_t		len = 0;

	/* A device or FIFO may make whoever reads it wait, or do something by being read */
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		*problem = rc_strdup("the node's cookie file is not a regular file");
	else if (status.st_size > MAX_COOKIE)
		*problem = rc_strdup("the node's cookie file is too large to be one");
	else if ((len = read(fd, text, MAX_COOKIE)) < 0)
		*problem = rc_asprintf("the node's cookie file can't be read: %s", strerror(errno));
	else if (!is_cookie(text, (size_t) len))
		*problem = rc_strdup("the node's cookie file holds no \"" COOKIE_USER "…\"");
	else
		return rc_strdup(text);
	return NULL;
}

char *
rc_bitcoind_read_cookie(const char *path, char **problem)
{
	char	   *cookie;
	int			fd;

	/* Symbolic links are followed: a data directory may be one. The problem doesn't name the path: endpoints are not shown */
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
	{
		*problem = rc_asprintf("the node's cookie file can't be read: %s", strerror(errno));
		return NULL;
	}
	cookie = read_file(fd, problem);
	(void) close(fd);
	return cookie;
}

rc_exchange *
rc_bitcoind_start(rc_http *http, rc_endpoint *endpoint, long timeout_ms,
				  const rc_rpc_call *calls, int ncalls, size_t max_answer,
				  rc_exchange_done done, void *arg)
{
	rc_exchange_request request = {.timeout_ms = timeout_ms, .ncalls = ncalls, .errors_are_answers = true};
	rc_rpc_call *sized = rc_calloc((size_t) ncalls, sizeof(*sized));
	rc_exchange *exchange;
	char	   *address;
	char	   *path;
	char	   *userpwd = NULL;
	char	   *problem = NULL;

	for (int i = 0; i < ncalls; i++)
	{
		sized[i] = calls[i];
		sized[i].max_answer = max_answer;
	}
	rc_bitcoind_split_url(endpoint->url, &address, &path);
	if (path != NULL)
		userpwd = rc_bitcoind_read_cookie(path, &problem);
	request.url = address;
	request.meter = &endpoint->meter;
	request.userpwd = userpwd;
	request.calls = sized;
	if (problem != NULL)
		exchange = rc_exchange_fail(http, endpoint->url, rc_failure_take(RC_FAILURE_REFUSED, problem), done, arg);
	else
		exchange = rc_exchange_start(http, &request, done, arg);
	free(userpwd);
	free(address);
	free(path);
	free(sized);
	return exchange;
}
