/* http.c: asynchronous HTTP over curl multi */
#include "core/net/http_internal.h"
#include "core/net/redact.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define DEFAULT_MAX_RESPONSE ((size_t) 32 * 1024 * 1024)

/* How much of a body is read that nobody wants */
#define MAX_DISCARDED ((size_t) 64 * 1024)

/* Connections that are kept open for reuse, over all endpoints */
#define MAX_KEPT_CONNECTIONS 16L

struct rc_transfer
{
	rc_http    *http;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *url;			/* for redaction, as userpwd */
	char	   *userpwd;
	char	   *request_body;
	rc_buffer	body;
	size_t		max_response;
	bool		too_large;
	bool		discard_body;
	size_t		discarded;
	bool		(*may_connect) (void *arg, const struct sockaddr *address);
	void	   *may_connect_arg;
	bool		refused;		/* may_connect has said no */
	long		timeout_ms;
	rc_meter   *meter;
	char		error[CURL_ERROR_SIZE];
	rc_http_done done;
	void	   *arg;
	rc_transfer *prev;
	rc_transfer *next;
};

/*
 * curl resolves names in a thread. A handler of the process must not run on
 * that thread, so it is made with every signal blocked.
 */
static void
block_signals(sigset_t *old)
{
	sigset_t	all;

	(void) sigfillset(&all);
	(void) pthread_sigmask(SIG_BLOCK, &all, old);
}

/* Back to what it was before block_signals; a peer that closed a TLS connection must not end the process */
static void
restore_signals(const sigset_t *old)
{
	static const struct timespec now = {0, 0};
	sigset_t	pipe_set;

	(void) sigemptyset(&pipe_set);
	(void) sigaddset(&pipe_set, SIGPIPE);
	if (sigismember(old, SIGPIPE) == 0)
		(void) sigtimedwait(&pipe_set, NULL, &now);
	(void) pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* The index of fd in the set, -1 if it isn't there */
static int
find_socket(const rc_http *http, int fd)
{
	for (int i = 0; i < http->nsockets; i++)
	{
		if (http->sockets[i].fd == fd)
			return i;
	}
	return -1;
}

/* curl tells which socket to watch, and for what */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	rc_http    *http = arg;
	int			i = find_socket(http, fd);
	int			events = 0;

	(void) easy;
	(void) socket_arg;
	if (what == CURL_POLL_REMOVE)
	{
		if (i >= 0)
		{
			http->sockets[i] = http->sockets[--http->nsockets];
			http->generation++;
		}
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= RC_SOCKET_READ;
	if (what & CURL_POLL_OUT)
		events |= RC_SOCKET_WRITE;
	if (i < 0)
	{
		if (http->nsockets == http->max_sockets)
		{
			http->max_sockets = http->max_sockets > 0 ? http->max_sockets * 2 : 8;
			http->sockets = rc_realloc(http->sockets, (size_t) http->max_sockets * sizeof(rc_socket));
		}
		i = http->nsockets++;
		http->sockets[i].fd = fd;
		http->sockets[i].revents = 0;
		http->sockets[i].events = 0;
	}
	if (http->sockets[i].events != events)
	{
		http->sockets[i].events = events;
		http->generation++;
	}
	return 0;
}

/* curl tells when it wants to be called */
static int
on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
	rc_http    *http = arg;

	(void) multi;
	http->curl_due_ms = timeout_ms < 0 ? -1 : rc_now_ms() + timeout_ms;
	return 0;
}

/* A piece of the response's body */
static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	rc_transfer *transfer = arg;
	size_t		len = size * count;

	if (transfer->discard_body)
	{
		/* Enough to use the connection again, but not for ever: curl gives up then, and the status counts */
		transfer->discarded += len;
		return transfer->discarded <= MAX_DISCARDED ? len : 0;
	}
	if (len > transfer->max_response - transfer->body.len)
	{
		transfer->too_large = true;
		return 0;
	}
	rc_buffer_append(&transfer->body, data, len);
	return len;
}

/* curl is about to connect to an address that it has found for the host's name */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	rc_transfer *transfer = arg;

	if (purpose != CURLSOCKTYPE_IPCXN || !transfer->may_connect(transfer->may_connect_arg, &address->addr))
	{
		transfer->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* curl is about to send the request, on a connection that may be another transfer's */
static int
on_before_request(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	rc_transfer *transfer = arg;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool		allowed = false;

	(void) local;
	(void) remote_port;
	(void) local_port;
	if (inet_pton(AF_INET, remote, &v4.sin_addr) == 1)
		allowed = transfer->may_connect(transfer->may_connect_arg, (const struct sockaddr *) &v4);
	else if (inet_pton(AF_INET6, remote, &v6.sin6_addr) == 1)
		allowed = transfer->may_connect(transfer->may_connect_arg, (const struct sockaddr *) &v6);
	transfer->refused |= !allowed;
	return allowed ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}
#endif

/* Has every address judged, however curl has come to it */
static void
set_may_connect(CURL *easy, rc_transfer *transfer)
{
	(void) curl_easy_setopt(easy, CURLOPT_PROXY, "");
	(void) curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	(void) curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
#if LIBCURL_VERSION_NUM >= 0x075000
	(void) curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_before_request);
	(void) curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
#else
	/* Then a connection that was made for something else can't be judged */
	(void) curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
#endif
}

/* A curl multi handle on the host's wait function */
rc_http *
rc_http_create(const rc_host *host)
{
	static bool initialized = false;
	rc_http    *http = rc_calloc(1, sizeof(*http));
	sigset_t	old;

	block_signals(&old);
	if (!initialized)
	{
		(void) curl_global_init(CURL_GLOBAL_DEFAULT);
		initialized = true;
	}
	http->host = host;
	http->curl_due_ms = -1;
	http->multi = curl_multi_init();
	if (http->multi != NULL)
	{
		(void) curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
		(void) curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
		(void) curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
		(void) curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
		(void) curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, MAX_KEPT_CONNECTIONS);
	}
	restore_signals(&old);
	return http;
}

/* Takes the transfer out of curl */
static void
close_transfer(rc_transfer *transfer)
{
	sigset_t	old;

	if (transfer->easy == NULL)
		return;
	block_signals(&old);
	(void) curl_multi_remove_handle(transfer->http->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	restore_signals(&old);
	transfer->easy = NULL;
}

/* Takes the transfer out of curl and of the list */
static void
unlink_transfer(rc_transfer *transfer)
{
	rc_http    *http = transfer->http;

	close_transfer(transfer);
	if (transfer->prev != NULL)
		transfer->prev->next = transfer->next;
	else
		http->transfers = transfer->next;
	if (transfer->next != NULL)
		transfer->next->prev = transfer->prev;
}

/* Frees a transfer that is out of the list */
static void
free_transfer(rc_transfer *transfer)
{
	curl_slist_free_all(transfer->headers);
	free(transfer->url);
	free(transfer->userpwd);
	free(transfer->request_body);
	rc_buffer_free(&transfer->body);
	free(transfer);
}

/* Ends every transfer and timer without calling anybody */
void
rc_http_free(rc_http *http)
{
	rc_transfer *next_transfer;
	sigset_t	old;

	if (http == NULL)
		return;
	for (rc_transfer *transfer = http->transfers; transfer != NULL; transfer = next_transfer)
	{
		next_transfer = transfer->next;
		close_transfer(transfer);
		free_transfer(transfer);
	}
	rc_timers_free(http);
	block_signals(&old);
	(void) curl_multi_cleanup(http->multi);
	restore_signals(&old);
	free(http->sockets);
	free(http);
}

/* What every transfer has in common; the URLs are the administrator's, the answers anybody's */
static void
set_common_options(CURL *easy, rc_transfer *transfer)
{
	bool		tls = strncmp(transfer->url, "https:", 6) == 0;

	(void) curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	(void) curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	(void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Don't wait for the resolver's thread when a transfer ends */
	(void) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
#if LIBCURL_VERSION_NUM >= 0x075500
	(void) curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	(void) curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	(void) curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void) curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	(void) curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	/* h2c upgrades fail on a reused connection, so HTTP/2 by ALPN only */
	(void) curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
							(long) (tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
	(void) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	(void) curl_easy_setopt(easy, CURLOPT_USERAGENT, "reconciler");
	(void) curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	(void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	(void) curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) transfer->max_response);
}

/* Method, URL, body, credentials, timeouts */
static void
set_request_options(CURL *easy, rc_transfer *transfer, const rc_http_request *request)
{
	long		connect_ms = request->timeout_ms / 2;

	(void) curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
	if (request->timeout_ms > 0)
	{
		(void) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms);
		(void) curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms > 0 ? connect_ms : 1L);
	}
	if (request->userpwd != NULL)
	{
		(void) curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		(void) curl_easy_setopt(easy, CURLOPT_USERPWD, request->userpwd);
	}
	for (const char *const *header = request->headers; header != NULL && *header != NULL; header++)
		transfer->headers = curl_slist_append(transfer->headers, *header);
	if (request->may_connect != NULL)
		set_may_connect(easy, transfer);
	if (request->body != NULL)
	{
		transfer->request_body = rc_malloc(request->body_len + 1);
		memcpy(transfer->request_body, request->body, request->body_len);
		transfer->headers = curl_slist_append(transfer->headers, "Content-Type: application/json");
		transfer->headers = curl_slist_append(transfer->headers, "Accept: application/json");
		/* No extra round trip for a large body */
		transfer->headers = curl_slist_append(transfer->headers, "Expect:");
		(void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
		(void) curl_easy_setopt(easy, CURLOPT_POST, 1L);
		(void) curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_len);
		(void) curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->request_body);
	}
	else
	{
		transfer->headers = curl_slist_append(transfer->headers, "Cache-Control: no-cache");
		(void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	}
}

/* Delivers the failure of a transfer that curl did not even take */
static void
on_refused(void *arg)
{
	rc_transfer *transfer = arg;
	rc_http_response response = {0};

	response.retry_after_ms = -1;
	response.socket = -1;
	response.error = "HTTP client could not be set up";
	response.code = RC_FAILURE_UNREACHABLE;
	unlink_transfer(transfer);
	transfer->done(transfer->arg, &response);
	free_transfer(transfer);
}

/* Starts a transfer; nothing is sent before the next rc_http_step */
rc_transfer *
rc_http_start(rc_http *http, const rc_http_request *request, rc_http_done done, void *arg)
{
	rc_transfer *transfer = rc_calloc(1, sizeof(*transfer));
	bool		taken = false;
	sigset_t	old;

	transfer->http = http;
	transfer->url = rc_strdup(request->url);
	transfer->userpwd = request->userpwd != NULL ? rc_strdup(request->userpwd) : NULL;
	transfer->max_response = request->max_response > 0 ? request->max_response : DEFAULT_MAX_RESPONSE;
	transfer->timeout_ms = request->timeout_ms;
	transfer->meter = request->meter;
	transfer->discard_body = request->discard_body;
	transfer->may_connect = request->may_connect;
	transfer->may_connect_arg = request->may_connect_arg;
	transfer->done = done;
	transfer->arg = arg;
	transfer->next = http->transfers;
	if (transfer->next != NULL)
		transfer->next->prev = transfer;
	http->transfers = transfer;

	block_signals(&old);
	transfer->easy = http->multi != NULL ? curl_easy_init() : NULL;
	if (transfer->easy != NULL)
	{
		set_common_options(transfer->easy, transfer);
		set_request_options(transfer->easy, transfer, request);
		taken = curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK;
	}
	restore_signals(&old);
	if (!taken)
		(void) rc_http_after(http, 0, on_refused, transfer);
	return transfer;
}

/* Ends a transfer; its done is not called */
void
rc_http_cancel(rc_transfer *transfer)
{
	rc_timers_forget(transfer->http, on_refused, transfer);
	unlink_transfer(transfer);
	free_transfer(transfer);
}

/* When a part of a transfer was over, in microseconds since its start; 0: not yet */
static int64_t
time_of(CURL *easy, CURLINFO part)
{
	curl_off_t	time = 0;

	(void) curl_easy_getinfo(easy, part, &time);
	return (int64_t) time;
}

/* Where a transfer was when its time ran out, and how long each part before had taken */
static char *
timeout_text(const rc_transfer *transfer)
{
	CURL	   *easy = transfer->easy;
	int64_t		resolved = time_of(easy, CURLINFO_NAMELOOKUP_TIME_T);
	int64_t		connected = time_of(easy, CURLINFO_CONNECT_TIME_T);
	int64_t		secured = time_of(easy, CURLINFO_APPCONNECT_TIME_T);
	bool		early = time_of(easy, CURLINFO_TOTAL_TIME_T) < transfer->timeout_ms * 900;
	long		sent = 0;
	long		port = 0;
	long		limit;
	rc_buffer	text = {0};

	(void) curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
	/* curl tells the time of a connection once it is secured; its own port, once it stands */
	(void) curl_easy_getinfo(easy, CURLINFO_LOCAL_PORT, &port);
	/* Connecting has half of the time */
	limit = early && sent == 0 ? transfer->timeout_ms / 2 : transfer->timeout_ms;
	rc_buffer_printf(&text, "timed out after %ld ms %s", limit,
					 sent > 0 ? (time_of(easy, CURLINFO_STARTTRANSFER_TIME_T) == 0 ?
								 "while waiting for the answer" : "while the answer was being received") :
					 resolved == 0 ? "while the host name was being resolved" :
					 connected == 0 && port <= 0 ? "while connecting" : "in the TLS handshake");
	if (resolved > 0)
		rc_buffer_printf(&text, " (name %jd ms", (intmax_t) resolved / 1000);
	if (connected > 0)
		rc_buffer_printf(&text, ", connection %jd ms", (intmax_t) (connected - resolved) / 1000);
	if (secured > 0)
		rc_buffer_printf(&text, ", TLS %jd ms", (intmax_t) (secured - connected) / 1000);
	if (resolved > 0)
		rc_buffer_printf(&text, ")");
	return text.data;
}

/* What failed, without the URL; no text if an answer came whole */
static rc_failure
transfer_failure(rc_transfer *transfer, CURLcode code)
{
	char	   *text;

	if (transfer->discarded > MAX_DISCARDED && code == CURLE_WRITE_ERROR)
		code = CURLE_OK;
	if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return rc_failure_make(RC_FAILURE_MALFORMED, "the answer is larger than %zu bytes", transfer->max_response);
	/* Another of the host's addresses may have been allowed */
	if (transfer->refused && code != CURLE_OK && time_of(transfer->easy, CURLINFO_CONNECT_TIME_T) == 0)
		return rc_failure_make(RC_FAILURE_REFUSED, "the host's address is none that may be connected to");
	switch (code)
	{
		case CURLE_OK:
			return rc_failure_take(RC_FAILURE_NONE, NULL);
		case CURLE_OPERATION_TIMEDOUT:
			return rc_failure_take(RC_FAILURE_TIMED_OUT, timeout_text(transfer));
		case CURLE_PARTIAL_FILE:
			return rc_failure_make(RC_FAILURE_UNREACHABLE, "the connection was closed in the middle of the answer");
		default:
			text = rc_strdup(transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code));
			rc_text_redact(text, transfer->url, transfer->userpwd);
			return rc_failure_take(RC_FAILURE_UNREACHABLE, text);
	}
}

/* The socket of the connection that waits to be used again; -1: it is closed */
static int
kept_socket(CURL *easy)
{
	curl_socket_t socket = CURL_SOCKET_BAD;

	if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket) != CURLE_OK || socket == CURL_SOCKET_BAD)
		return -1;
	return (int) socket;
}

/* curl looks whether a connection still lives before it uses it again, and closes it if not */
void
rc_http_distrust(const rc_http_response *response)
{
	if (response->socket >= 0)
		(void) shutdown(response->socket, SHUT_RDWR);
}

/* How long the answer lay in a cache, by the header Age */
static long
transfer_age(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075400
	struct curl_header *header;

	if (curl_easy_header(easy, "Age", 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
	{
		long		age = strtol(header->value, NULL, 10);

		return age > 0 ? age : 0;
	}
#else
	(void) easy;
#endif
	return 0;
}

/* What the call took, for statistics */
static void
measure(const rc_transfer *transfer)
{
	long		sent = 0;
	long		headers = 0;
	curl_off_t	body = 0;
	curl_off_t	posted = 0;

	if (transfer->meter == NULL)
		return;
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent);
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &posted);
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_HEADER_SIZE, &headers);
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &body);
	rc_meter_call(transfer->meter, time_of(transfer->easy, CURLINFO_TOTAL_TIME_T) / 1000,
				  sent + (int64_t) posted, headers + (int64_t) body);
}

/* Tells the transfer's owner how it ended */
static void
finish_transfer(rc_transfer *transfer, CURLcode code)
{
	rc_failure	failure = transfer_failure(transfer, code);
	rc_http_response response = {0};
	curl_off_t	retry_after = 0;

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after);
	response.retry_after_ms = -1;
	if (retry_after > 0)
		response.retry_after_ms = retry_after > LONG_MAX / 1000 ? LONG_MAX : (long) retry_after * 1000;
	if (failure.text == NULL)
		(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response.status);
	if (transfer->body.data == NULL)
		rc_buffer_append(&transfer->body, "", 0);
	response.body = transfer->body.data;
	response.body_len = transfer->body.len;
	response.error = failure.text;
	response.code = failure.code;
	response.socket = kept_socket(transfer->easy);
	response.age_s = transfer_age(transfer->easy);
	measure(transfer);

	unlink_transfer(transfer);
	transfer->done(transfer->arg, &response);
	free_transfer(transfer);
	free(failure.text);
}

/* Hands out what has ended. A done function may cancel other transfers: curl then drops their messages */
static void
finish_transfers(rc_http *http)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		char	   *private_data = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private_data) == CURLE_OK &&
			private_data != NULL)
			finish_transfer((rc_transfer *) private_data, message->data.result);
	}
}

/* How long the host may wait */
static long
wait_time(const rc_http *http, long max_wait_ms)
{
	int64_t		now = rc_now_ms();
	int64_t		wait = max_wait_ms > 0 ? max_wait_ms : 0;
	int64_t		timer_due;

	if (http->curl_due_ms >= 0 && http->curl_due_ms - now < wait)
		wait = http->curl_due_ms - now;
	if (rc_timers_next(http, &timer_due) && timer_due - now < wait)
		wait = timer_due - now;
	return wait > 0 ? (long) wait : 0;
}

/* Lets curl work on the sockets that are ready and on its own timeouts */
static void
drive_curl(rc_http *http)
{
	int			nready = 0;
	int			running;
	rc_socket  *ready = rc_malloc((size_t) http->nsockets * sizeof(rc_socket));
	sigset_t	old;

	for (int i = 0; i < http->nsockets; i++)
	{
		if (http->sockets[i].revents != 0)
			ready[nready++] = http->sockets[i];
		http->sockets[i].revents = 0;
	}
	block_signals(&old);
	for (int i = 0; i < nready; i++)
	{
		int			mask = 0;

		/* The one before may have closed it */
		if (find_socket(http, ready[i].fd) < 0)
			continue;
		if (ready[i].revents & RC_SOCKET_READ)
			mask |= CURL_CSELECT_IN;
		if (ready[i].revents & RC_SOCKET_WRITE)
			mask |= CURL_CSELECT_OUT;
		(void) curl_multi_socket_action(http->multi, ready[i].fd, mask, &running);
	}
	if (http->curl_due_ms >= 0 && http->curl_due_ms <= rc_now_ms())
	{
		http->curl_due_ms = -1;
		(void) curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	restore_signals(&old);
	free(ready);
}

/* One turn: wait, let curl work, call who waits for an answer or a time */
void
rc_http_step(rc_http *http, long max_wait_ms)
{
	http->host->wait(http->host->ctx, http->sockets, http->nsockets, http->generation,
					 wait_time(http, max_wait_ms));
	if (http->multi != NULL)
	{
		drive_curl(http);
		finish_transfers(http);
	}
	rc_timers_fire(http);
}
