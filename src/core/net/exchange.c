/* exchange.c: a list of JSON-RPC calls to one endpoint */
#include "core/net/exchange.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/text.h"
#include "core/net/endpoint.h"
#include "core/net/redact.h"

/* Requests on the wire at a time, when the list does not go as one array */
#define MAX_IN_FLIGHT 8

/* What is tried when an array is refused, before single calls */
#define SMALL_ARRAY 10

/* Longer words of an endpoint are cut, once there is no secret in them */
#define MAX_TEXT 400

/* Some calls of the list in one HTTP request */
typedef struct piece
{
	rc_exchange *exchange;
	rc_transfer *transfer;		/* NULL: not sent yet, or answered */
	int			first;
	int			n;
	int64_t		first_id;
} piece;

struct rc_exchange
{
	rc_http    *http;
	char	   *url;
	char	   *userpwd;
	long		timeout_ms;
	rc_meter   *meter;
	rc_rpc_call *calls;
	int			ncalls;
	int		   *array_size;
	bool		errors_are_answers;
	rc_exchange_done done;
	void	   *arg;
	rc_rpc_reply *replies;
	int			piece_size;
	bool		refused;		/* a larger array was refused as a whole */
	piece	   *pieces;
	int			npieces;
	int			next;			/* the first piece that wasn't sent */
	int			answered;
	rc_timer   *timer;			/* instead of pieces: it fails */
	rc_failure	failure;
};

static void on_answer(void *arg, const rc_http_response *response);

/* Cancels what is under way and forgets the answers */
static void
drop_pieces(rc_exchange *exchange)
{
	for (int i = 0; i < exchange->npieces; i++)
	{
		if (exchange->pieces[i].transfer != NULL)
			rc_http_cancel(exchange->pieces[i].transfer);
	}
	free(exchange->pieces);
	exchange->pieces = NULL;
	exchange->npieces = 0;
	rc_rpc_clear(exchange->replies, exchange->ncalls);
}

/* Frees all of it */
static void
free_exchange(rc_exchange *exchange)
{
	drop_pieces(exchange);
	if (exchange->timer != NULL)
		rc_timer_cancel(exchange->timer);
	free(exchange->failure.text);
	for (int i = 0; i < exchange->ncalls; i++)
	{
		free((char *) exchange->calls[i].method);
		free((char *) exchange->calls[i].params);
	}
	free(exchange->calls);
	free(exchange->replies);
	free(exchange->url);
	free(exchange->userpwd);
	free(exchange);
}

/* Sends one piece: one call as an object, more as an array */
static void
send_piece(rc_exchange *exchange, piece *piece)
{
	rc_buffer	body = {0};
	rc_http_request request = {0};

	piece->first_id = rc_rpc_take_ids(piece->n);
	rc_rpc_build(&body, exchange->calls + piece->first, piece->n, piece->first_id, piece->n > 1);
	request.url = exchange->url;
	request.userpwd = exchange->userpwd;
	request.body = body.data;
	request.body_len = body.len;
	request.timeout_ms = exchange->timeout_ms;
	request.meter = exchange->meter;
	request.max_response = rc_rpc_max_answer(exchange->calls + piece->first, piece->n);
	piece->transfer = rc_http_start(exchange->http, &request, on_answer, piece);
	rc_buffer_free(&body);
}

/* Sends the next pieces, as far as the window allows */
static void
send_more(rc_exchange *exchange)
{
	while (exchange->next < exchange->npieces && exchange->next - exchange->answered < MAX_IN_FLIGHT)
	{
		send_piece(exchange, &exchange->pieces[exchange->next]);
		exchange->next++;
	}
}

/* Cuts the list into pieces and starts sending them */
static void
send_all(rc_exchange *exchange, int piece_size)
{
	exchange->piece_size = piece_size;
	exchange->npieces = (exchange->ncalls + piece_size - 1) / piece_size;
	exchange->pieces = rc_calloc((size_t) exchange->npieces, sizeof(piece));
	for (int i = 0; i < exchange->npieces; i++)
	{
		exchange->pieces[i].exchange = exchange;
		exchange->pieces[i].first = i * piece_size;
		exchange->pieces[i].n = exchange->ncalls - i * piece_size;
		if (exchange->pieces[i].n > piece_size)
			exchange->pieces[i].n = piece_size;
	}
	exchange->next = exchange->answered = 0;
	send_more(exchange);
}

/* The endpoint's own words: first the secrets go, or one that is cut would stay */
static void
make_presentable(const rc_exchange *exchange, char *text)
{
	rc_text_redact(text, exchange->url, exchange->userpwd);
	rc_text_clean(text);
	rc_text_cut(text, MAX_TEXT);
}

/* Ends the exchange; failure (taken over) has no text if every call has its reply */
static void
finish(rc_exchange *exchange, rc_failure failure)
{
	rc_exchange_result result = {0};
	rc_exchange_done done = exchange->done;
	void	   *arg = exchange->arg;

	if (failure.text != NULL)
		make_presentable(exchange, failure.text);
	result.failure = failure;
	result.replies = exchange->replies;
	result.nreplies = exchange->ncalls;
	done(arg, &result);
	free(result.failure.text);
	free_exchange(exchange);
}

/* Does text contain the word, whatever its case? */
static bool
contains(const char *text, const char *word)
{
	for (; *text != '\0'; text++)
	{
		if (strncasecmp(text, word, strlen(word)) == 0)
			return true;
	}
	return false;
}

/*
 * What a JSON-RPC error says of the endpoint; RC_FAILURE_NONE: nothing, it is
 * about the call. Codes are not standardised (-32005 is a rate limit here and a
 * size limit there), so the usual messages of nodes and providers decide.
 */
rc_failure_code
rc_exchange_judge(int64_t code, const char *message)
{
	static const struct
	{
		const char *word;
		rc_failure_code code;
	}			words[] = {
		{"rate limit", RC_FAILURE_LIMITED}, {"rate-limit", RC_FAILURE_LIMITED}, {"ratelimit", RC_FAILURE_LIMITED},
		{"too many requests", RC_FAILURE_LIMITED}, {"throttl", RC_FAILURE_LIMITED}, {"quota", RC_FAILURE_LIMITED},
		{"capacity", RC_FAILURE_LIMITED}, {"compute units", RC_FAILURE_LIMITED}, {"daily request", RC_FAILURE_LIMITED},
		{"api key", RC_FAILURE_REFUSED}, {"method not found", RC_FAILURE_REFUSED},
		{"header not found", RC_FAILURE_BEHIND}, {"block not found", RC_FAILURE_BEHIND},
		{"unknown block", RC_FAILURE_BEHIND}, {"header for hash not found", RC_FAILURE_BEHIND},
		{"could not find block", RC_FAILURE_BEHIND}, {"blockoutofrange", RC_FAILURE_BEHIND},
		{"block out of range", RC_FAILURE_BEHIND}, {"no state available", RC_FAILURE_BEHIND},
		{"state not available", RC_FAILURE_BEHIND}, {"state is not available", RC_FAILURE_BEHIND},
		{"missing trie node", RC_FAILURE_BEHIND}, {"pruned", RC_FAILURE_BEHIND},
		{"historical state", RC_FAILURE_BEHIND}, {"archive", RC_FAILURE_BEHIND}, {"syncing", RC_FAILURE_BEHIND},
		{"not synced", RC_FAILURE_BEHIND}
	};

	/* A reverting contract chooses its own message: it must not bring the endpoint down */
	if (code == 3 || contains(message, "revert"))
		return RC_FAILURE_NONE;
	if (code == 429 || code == RC_RPC_CODE_HTTP(429) || code == -32029)
		return RC_FAILURE_LIMITED;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (contains(message, words[i].word))
			return words[i].code;
	}
	return RC_FAILURE_NONE;
}

/* Did the server refuse the request itself by its HTTP status, so that a smaller one may pass? */
static bool
is_refusing_status(long status)
{
	return status == 400 || status == 405 || status == 413 || status == 414 || status == 415 ||
		status == 422 || status == 431;
}

/* An array was refused: try smaller ones, then single calls */
static void
send_smaller(rc_exchange *exchange, int64_t code)
{
	int			size = exchange->piece_size > SMALL_ARRAY ? SMALL_ARRAY : 1;

	drop_pieces(exchange);
	/* 413 is about bytes: it says nothing about other arrays of this length */
	exchange->refused = code != RC_RPC_CODE_HTTP(413);
	send_all(exchange, size);
}

/* One more piece is answered */
static void
piece_answered(rc_exchange *exchange)
{
	exchange->answered++;
	if (exchange->answered < exchange->npieces)
	{
		send_more(exchange);
		return;
	}
	for (int i = 0; i < exchange->ncalls; i++)
	{
		if (exchange->replies[i].error != NULL)
			make_presentable(exchange, exchange->replies[i].error);
	}
	if (exchange->refused)
	{
		/* Only the array's size can have been the reason if each call alone was taken */
		bool		all_taken = true;

		for (int i = 0; i < exchange->ncalls; i++)
			all_taken = all_taken && exchange->replies[i].error == NULL;
		if (all_taken && (*exchange->array_size == 0 || exchange->piece_size < *exchange->array_size))
			*exchange->array_size = exchange->piece_size;
	}
	finish(exchange, rc_failure_take(RC_FAILURE_NONE, NULL));
}

/* The piece was refused as a whole; takes over error */
static void
piece_refused(rc_exchange *exchange, piece *piece, int64_t code, char *error, long retry_after_ms)
{
	rc_failure	failure = {rc_exchange_judge(code, error), error, retry_after_ms};

	if (exchange->errors_are_answers)
		failure.code = RC_FAILURE_REFUSED;
	if (failure.code != RC_FAILURE_NONE)
		finish(exchange, failure);
	else if (piece->n > 1 && exchange->array_size != NULL)
	{
		free(error);
		send_smaller(exchange, code);
	}
	else if (piece->n > 1)
	{
		failure.code = RC_FAILURE_REFUSED;
		finish(exchange, failure);
	}
	else
	{
		exchange->replies[piece->first].error = error;
		exchange->replies[piece->first].code = code;
		piece_answered(exchange);
	}
}

/* Every call of the piece has its reply: does one of them show the endpoint at fault? */
static void
take_replies(rc_exchange *exchange, piece *piece, long retry_after_ms)
{
	for (int i = piece->first; i < piece->first + piece->n && !exchange->errors_are_answers; i++)
	{
		rc_rpc_reply *reply = &exchange->replies[i];
		rc_failure	failure = {RC_FAILURE_NONE, reply->error, retry_after_ms};

		if (reply->error != NULL)
			failure.code = rc_exchange_judge(reply->code, reply->error);
		if (failure.code != RC_FAILURE_NONE)
		{
			reply->error = NULL;
			finish(exchange, failure);
			return;
		}
	}
	piece_answered(exchange);
}

/* Why there is no JSON-RPC in the response, or no text if there may be */
static rc_failure
response_failure(const rc_exchange *exchange, const rc_http_response *response)
{
	if (exchange->errors_are_answers && response->error == NULL && response->status == 401)
		return rc_failure_make(RC_FAILURE_REFUSED, "HTTP 401: the node refuses user and password, or the cookie");
	if (exchange->errors_are_answers && response->error == NULL && response->status == 403)
		return rc_failure_make(RC_FAILURE_REFUSED,
							   "HTTP 403: the node does not accept calls from this host (its -rpcallowip)");
	return rc_response_failure(response, true);
}

/* May there be JSON-RPC in it in spite of its HTTP status? */
static bool
may_be_answer(const rc_exchange *exchange, const rc_http_response *response)
{
	if (response->error != NULL)
		return false;
	/* Nodes of old give the error of a single call as HTTP 404 or 500 */
	if (exchange->errors_are_answers)
		return response->status >= 400 && response->body_len > 0 && response->body[0] == '{';
	return is_refusing_status(response->status);
}

/* An HTTP answer to a piece */
static void
on_answer(void *arg, const rc_http_response *response)
{
	piece	   *piece = arg;
	rc_exchange *exchange = piece->exchange;
	rc_failure	failure = response_failure(exchange, response);
	rc_rpc_outcome outcome = RC_RPC_MALFORMED;
	int64_t		code = 0;
	char	   *error = NULL;

	piece->transfer = NULL;
	if (failure.text == NULL || may_be_answer(exchange, response))
		outcome = rc_rpc_parse(response->body, response->body_len, piece->n, piece->first_id, piece->n > 1,
							   exchange->replies + piece->first, &code, &error);
	if (outcome != RC_RPC_OK)
		rc_http_distrust(response);
	if (outcome == RC_RPC_MALFORMED && failure.text != NULL && response->error == NULL &&
		is_refusing_status(response->status))
	{
		/* The words of a server that isn't the node */
		free(error);
		error = failure.text;
		failure.text = NULL;
		code = RC_RPC_CODE_HTTP(response->status);
		outcome = RC_RPC_REFUSED;
	}
	if (outcome == RC_RPC_OK)
		take_replies(exchange, piece, response->retry_after_ms);
	else if (outcome == RC_RPC_REFUSED)
		piece_refused(exchange, piece, code, error, response->retry_after_ms);
	else
	{
		if (failure.text == NULL)
			failure = (rc_failure) {RC_FAILURE_MALFORMED, error, response->retry_after_ms};
		else
			free(error);
		finish(exchange, failure);
		return;
	}
	free(failure.text);
}

/* Starts the exchange */
rc_exchange *
rc_exchange_start(rc_http *http, const rc_exchange_request *request, rc_exchange_done done, void *arg)
{
	rc_exchange *exchange = rc_calloc(1, sizeof(*exchange));
	int			ncalls = request->ncalls;
	int			most = request->array_size != NULL ? *request->array_size : 0;

	exchange->http = http;
	exchange->url = rc_strdup(request->url);
	exchange->userpwd = request->userpwd != NULL ? rc_strdup(request->userpwd) : NULL;
	exchange->timeout_ms = request->timeout_ms;
	exchange->meter = request->meter;
	exchange->calls = rc_calloc((size_t) ncalls, sizeof(*exchange->calls));
	for (int i = 0; i < ncalls; i++)
	{
		exchange->calls[i] = request->calls[i];
		exchange->calls[i].method = rc_strdup(request->calls[i].method);
		exchange->calls[i].params = rc_strdup(request->calls[i].params);
	}
	exchange->ncalls = ncalls;
	exchange->array_size = request->array_size;
	exchange->errors_are_answers = request->errors_are_answers;
	exchange->done = done;
	exchange->arg = arg;
	exchange->replies = rc_calloc((size_t) ncalls, sizeof(*exchange->replies));
	send_all(exchange, most > 0 && most < ncalls ? most : ncalls);
	return exchange;
}

/* The timer of an exchange that sends nothing */
static void
on_failed(void *arg)
{
	rc_exchange *exchange = arg;
	rc_failure	failure = exchange->failure;

	exchange->timer = NULL;
	exchange->failure.text = NULL;
	finish(exchange, failure);
}

/* An exchange that fails */
rc_exchange *
rc_exchange_fail(rc_http *http, const char *url, rc_failure failure, rc_exchange_done done, void *arg)
{
	rc_exchange *exchange = rc_calloc(1, sizeof(*exchange));

	exchange->http = http;
	exchange->url = rc_strdup(url);
	exchange->done = done;
	exchange->arg = arg;
	exchange->failure = failure;
	exchange->timer = rc_http_after(http, 0, on_failed, exchange);
	return exchange;
}

/* Ends it; done is not called */
void
rc_exchange_cancel(rc_exchange *exchange)
{
	free_exchange(exchange);
}
