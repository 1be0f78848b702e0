/* exchange.c: a list of JSON-RPC calls to one endpoint */
#include "core/net/exchange.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/net/endpoint.h"

/* Requests on the wire at a time, when the list does not go as one array */
#define MAX_IN_FLIGHT 8

/* What is tried when an array is refused, before single calls */
#define SMALL_ARRAY 10

/* Blocks with all their transaction hashes are the largest answers */
#define MAX_RESPONSE ((size_t) 16 * 1024 * 1024)

/* Some calls of the list in one HTTP request */
typedef struct piece
{
	rc_exchange *exchange;
	rc_transfer *transfer;		/* NULL: not sent yet, or answered */
	int			first;
	int			n;
} piece;

struct rc_exchange
{
	rc_http    *http;
	char	   *url;
	long		timeout_ms;
	rc_rpc_call *calls;
	int			ncalls;
	int		   *array_size;
	rc_exchange_done done;
	void	   *arg;
	rc_rpc_reply *replies;
	int			piece_size;
	bool		refused;		/* a larger array was refused as a whole */
	piece	   *pieces;
	int			npieces;
	int			next;			/* the first piece that wasn't sent */
	int			answered;
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
	for (int i = 0; i < exchange->ncalls; i++)
	{
		free((char *) exchange->calls[i].method);
		free((char *) exchange->calls[i].params);
	}
	free(exchange->calls);
	free(exchange->replies);
	free(exchange->url);
	free(exchange);
}

/* Sends one piece: one call as an object, more as an array */
static void
send_piece(rc_exchange *exchange, piece *piece)
{
	rc_buffer	body = {0};
	rc_http_request request = {0};

	rc_rpc_build(&body, exchange->calls + piece->first, piece->n, piece->first + 1, piece->n > 1);
	request.url = exchange->url;
	request.body = body.data;
	request.body_len = body.len;
	request.timeout_ms = exchange->timeout_ms;
	request.max_response = MAX_RESPONSE;
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

/* Ends the exchange; failure (taken over) has no text if every call has its reply */
static void
finish(rc_exchange *exchange, rc_failure failure)
{
	rc_exchange_result result = {0};
	rc_exchange_done done = exchange->done;
	void	   *arg = exchange->arg;

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
static rc_failure_code
judge_error(int64_t code, const char *message)
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
	rc_failure	failure = {judge_error(code, error), error, retry_after_ms};

	if (failure.code != RC_FAILURE_NONE)
		finish(exchange, failure);
	else if (piece->n > 1)
	{
		free(error);
		send_smaller(exchange, code);
	}
	else
	{
		exchange->replies[piece->first].error = error;
		exchange->replies[piece->first].code = code;
		piece_answered(exchange);
	}
}

/* The first reply of the piece that shows the endpoint at fault, or NULL */
static rc_rpc_reply *
find_endpoint_error(rc_exchange *exchange, const piece *piece)
{
	for (int i = piece->first; i < piece->first + piece->n; i++)
	{
		rc_rpc_reply *reply = &exchange->replies[i];

		if (reply->error != NULL && judge_error(reply->code, reply->error) != RC_FAILURE_NONE)
			return reply;
	}
	return NULL;
}

/* An HTTP answer to a piece */
static void
on_answer(void *arg, const rc_http_response *response)
{
	piece	   *piece = arg;
	rc_exchange *exchange = piece->exchange;
	bool		refusing = response->error == NULL && is_refusing_status(response->status);
	rc_failure	failure = rc_response_failure(response, true);
	rc_rpc_reply *reply;
	int64_t		code;
	char	   *error;

	piece->transfer = NULL;
	if (failure.text != NULL && !refusing)
	{
		finish(exchange, failure);
		return;
	}
	switch (rc_rpc_parse(response->body, response->body_len, piece->n, piece->first + 1, piece->n > 1,
						 exchange->replies + piece->first, &code, &error))
	{
		case RC_RPC_OK:
			reply = find_endpoint_error(exchange, piece);
			if (reply != NULL)
			{
				error = reply->error;
				reply->error = NULL;
				finish(exchange, (rc_failure) {judge_error(reply->code, error), error, response->retry_after_ms});
			}
			else
				piece_answered(exchange);
			break;
		case RC_RPC_REFUSED:
			piece_refused(exchange, piece, code, error, response->retry_after_ms);
			break;
		case RC_RPC_MALFORMED:
			if (refusing)
			{
				free(error);
				error = failure.text;
				failure.text = NULL;
				piece_refused(exchange, piece, RC_RPC_CODE_HTTP(response->status), error,
							  response->retry_after_ms);
			}
			else
				finish(exchange, (rc_failure) {RC_FAILURE_MALFORMED, error, response->retry_after_ms});
			break;
	}
	free(failure.text);
}

/* Starts the exchange */
rc_exchange *
rc_exchange_start(rc_http *http, const char *url, long timeout_ms, const rc_rpc_call *calls, int ncalls,
				  int *array_size, rc_exchange_done done, void *arg)
{
	rc_exchange *exchange = rc_calloc(1, sizeof(*exchange));

	exchange->http = http;
	exchange->url = rc_strdup(url);
	exchange->timeout_ms = timeout_ms;
	exchange->calls = rc_calloc((size_t) ncalls, sizeof(*exchange->calls));
	for (int i = 0; i < ncalls; i++)
	{
		exchange->calls[i].method = rc_strdup(calls[i].method);
		exchange->calls[i].params = rc_strdup(calls[i].params);
	}
	exchange->ncalls = ncalls;
	exchange->array_size = array_size;
	exchange->done = done;
	exchange->arg = arg;
	exchange->replies = rc_calloc((size_t) ncalls, sizeof(*exchange->replies));
	send_all(exchange, *array_size > 0 && *array_size < ncalls ? *array_size : ncalls);
	return exchange;
}

/* Ends it; done is not called */
void
rc_exchange_cancel(rc_exchange *exchange)
{
	free_exchange(exchange);
}
