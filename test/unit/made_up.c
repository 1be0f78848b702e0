/* made_up.c: a kind of endpoint that no chain has: see made_up.h */
#include "made_up.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/memory.h"

made_up_chain made_up;

struct rc_source
{
	rc_source_context context;
	made_up_question question;
	int64_t		from;
	int			n;
	rc_block_id blocks[64];
	char		txids[64][RC_HASH_SIZE];
	rc_timer   *timer;
	rc_source_done done;
	void	   *arg;
};

const char *
made_up_hash(int64_t height, int fork, char hash[RC_HASH_SIZE])
{
	snprintf(hash, RC_HASH_SIZE, "%x%063" PRIx64, (unsigned) fork, (uint64_t) height);
	return hash;
}

/* Which fork's the block at a height is */
static const char *
hash_at(int64_t height, char hash[RC_HASH_SIZE])
{
	return made_up_hash(height, height > made_up.fork_height ? made_up.fork : 0, hash);
}

/* Work grows with height, and a fork's is more than that of the one before at the same height */
static void
set_work(int64_t height, char work[RC_WORK_SIZE])
{
	work[0] = '\0';
	if (made_up_source.has_work)
		snprintf(work, RC_WORK_SIZE, "%063" PRIx64 "%x", (uint64_t) height, (unsigned) (height > made_up.fork_height ? made_up.fork : 0));
}

static void
answer_tip(rc_chain_tip *tip)
{
	tip->height = made_up.height;
	tip->time = made_up.time + 10 * made_up.height;
	tip->lowest = made_up.lowest;
	(void) hash_at(made_up.height, tip->hash);
	set_work(made_up.height, tip->work);
	tip->tagged.height = made_up.tagged > 0 ? made_up.tagged : -1;
	if (made_up.tagged > 0)
		(void) hash_at(made_up.tagged, tip->tagged.hash);
}

/* A block pays its own height to the key that its height's last byte is */
static void
answer_block(const rc_block_id *id, rc_read_block *block)
{
	rc_credit  *credit = rc_credits_add(&block->credits);

	block->height = id->height;
	memcpy(block->hash, id->hash, RC_HASH_SIZE);
	if (made_up.foreign)
		block->hash[5] ^= 1;
	if (made_up.unlinked)
		memset(block->previous, 'f', 64);
	else
		(void) hash_at(id->height - 1, block->previous);
	block->time = block->steady_time = made_up.time + 10 * id->height;
	set_work(id->height, block->work);
	(void) made_up_hash(id->height, 15, credit->txid);
	credit->key.len = 1;
	credit->key.bytes[0] = (uint8_t) id->height;
	rc_uint256_from_u64(&credit->amount, (uint64_t) id->height);
}

/* Asks for whom to read, and notes what it is told; false: the database does not answer */
static bool
ask_for_keys(const rc_source *source)
{
	const rc_wanted *wanted = source->context.wanted;
	rc_keys		keys = {0};
	rc_keys		found = {0};
	char		hex[2 * RC_KEY_MAX + 1];

	if (made_up.asked[MADE_UP_READ] <= 16)
		made_up.versions[made_up.asked[MADE_UP_READ] - 1] = wanted->version;
	made_up.keys[0] = '\0';
	if (!wanted->keys(wanted, NULL, 100, &keys) || !wanted->prefixes(wanted, 1, &keys) || !wanted->among(wanted, &keys, &found))
	{
		rc_keys_free(&found);
		rc_keys_free(&keys);
		return false;
	}
	for (size_t i = 0; i < found.n; i++)
		rc_keys_add(&keys, found.items[i].bytes, found.items[i].len);
	for (size_t i = 0; i < keys.n; i++)
	{
		rc_hex_encode(keys.items[i].bytes, keys.items[i].len, hex);
		strncat(made_up.keys, hex, sizeof(made_up.keys) - strlen(made_up.keys) - 2);
		strcat(made_up.keys, " ");
	}
	rc_keys_free(&found);
	rc_keys_free(&keys);
	return true;
}

static int
how_many(const rc_source *source)
{
	return made_up.empty_answers ? 0 : made_up.short_answers ? 1 : source->n;
}

static void
answer_hashes(const rc_source *source, rc_source_result *result)
{
	result->nhashes = how_many(source);
	result->hashes = rc_calloc((size_t) source->n, sizeof(*result->hashes));
	for (int i = 0; i < result->nhashes; i++)
	{
		int64_t		height = source->from + i;

		if (height >= made_up.lowest && height <= made_up.height)
			(void) hash_at(height, result->hashes[i]);
	}
}

static void
answer_read(const rc_source *source, rc_source_result *result)
{
	char		hash[RC_HASH_SIZE];

	if (made_up.lists_keys && !ask_for_keys(source))
	{
		result->aborted = true;
		return;
	}
	result->nblocks = how_many(source);
	result->blocks = rc_calloc((size_t) source->n, sizeof(*result->blocks));
	for (int i = 0; i < result->nblocks; i++)
	{
		answer_block(&source->blocks[i], &result->blocks[i]);
		result->moved |= strcmp(source->blocks[i].hash, hash_at(source->blocks[i].height, hash)) != 0;
	}
}

static void
answer_transactions(const rc_source *source, rc_source_result *result)
{
	result->ntransactions = how_many(source);
	result->transactions = rc_calloc((size_t) source->n, sizeof(*result->transactions));
	for (int i = 0; i < result->ntransactions; i++)
	{
		rc_credit  *credit = rc_credits_add(&result->transactions[i].credits);

		memcpy(result->transactions[i].txid, source->txids[i], RC_HASH_SIZE);
		memcpy(credit->txid, source->txids[i], RC_HASH_SIZE);
		credit->key.len = 1;
	}
}

static void
answer_pending(rc_source_result *result)
{
	char		(*texts)[RC_HASH_SIZE] = rc_calloc((size_t) made_up.pending + 1, RC_HASH_SIZE);
	const char **txids = rc_calloc((size_t) made_up.pending + 1, sizeof(*txids));

	for (int i = 0; i < made_up.pending; i++)
		txids[i] = made_up_hash(i, 14, texts[i]);
	txids[made_up.pending] = (char *) texts;
	result->txids = txids;
	result->ntxids = (size_t) made_up.pending;
}

static void
free_result(rc_source_result *result)
{
	for (int i = 0; i < result->nblocks; i++)
		rc_credits_free(&result->blocks[i].credits);
	for (int i = 0; i < result->ntransactions; i++)
		rc_credits_free(&result->transactions[i].credits);
	if (result->txids != NULL)
		free((void *) result->txids[result->ntxids]);
	free((void *) result->txids);
	free(result->blocks);
	free(result->transactions);
	free(result->hashes);
	free(result->failure.text);
}

/* Is this answer one that fails? */
static bool
is_trouble(made_up_question question, rc_failure *failure, bool *moved)
{
	made_up_trouble *trouble = &made_up.trouble[question];

	if (trouble->n == 0)
		return false;
	trouble->n--;
	if (trouble->code == RC_FAILURE_NONE)
		*moved = true;
	else
		*failure = rc_failure_make(trouble->code, "made-up trouble");
	return true;
}

static void
answer(void *arg)
{
	rc_source  *source = arg;
	rc_source_result result = {0};
	char		hash[RC_HASH_SIZE];

	source->timer = NULL;
	if (!is_trouble(source->question, &result.failure, &result.moved))
	{
		if (source->question == MADE_UP_TIP)
			answer_tip(&result.tip);
		else if (source->question == MADE_UP_HASHES)
			answer_hashes(source, &result);
		else if (source->question == MADE_UP_READ)
			answer_read(source, &result);
		else if (source->question == MADE_UP_CHECK)
			result.holds = strcmp(source->blocks[0].hash, hash_at(source->blocks[0].height, hash)) == 0;
		else if (source->question == MADE_UP_PENDING)
			answer_pending(&result);
		else
			answer_transactions(source, &result);
	}
	source->done(source->arg, &result);
	free_result(&result);
}

static void
ask(rc_source *source, made_up_question question, int n, rc_source_done done, void *arg)
{
	made_up.asked[question]++;
	source->question = question;
	source->n = n;
	source->done = done;
	source->arg = arg;
	source->timer = rc_http_after(source->context.http, made_up.hangs ? 3600000 : 0, answer, source);
}

static rc_source *
open_source(const rc_source_context *context)
{
	rc_source  *source = rc_calloc(1, sizeof(*source));

	source->context = *context;
	made_up.open++;
	return source;
}

static void
close_source(rc_source *source)
{
	if (source->timer != NULL)
		rc_timer_cancel(source->timer);
	free(source);
	made_up.open--;
}

static void
ask_tip(rc_source *source, rc_source_done done, void *arg)
{
	ask(source, MADE_UP_TIP, 0, done, arg);
}

static void
ask_hashes(rc_source *source, int64_t from, int n, rc_source_done done, void *arg)
{
	source->from = from;
	ask(source, MADE_UP_HASHES, n, done, arg);
}

static void
read_blocks(rc_source *source, const rc_block_id *blocks, int n, rc_source_done done, void *arg)
{
	memcpy(source->blocks, blocks, (size_t) n * sizeof(*blocks));
	ask(source, MADE_UP_READ, n, done, arg);
}

static void
check(rc_source *source, const rc_block_id *block, rc_source_done done, void *arg)
{
	source->blocks[0] = *block;
	ask(source, MADE_UP_CHECK, 1, done, arg);
}

static void
list_pending(rc_source *source, rc_source_done done, void *arg)
{
	ask(source, MADE_UP_PENDING, 0, done, arg);
}

static void
read_pending(rc_source *source, const char *const *txids, int n, rc_source_done done, void *arg)
{
	for (int i = 0; i < n; i++)
		snprintf(source->txids[i], RC_HASH_SIZE, "%s", txids[i]);
	ask(source, MADE_UP_TRANSACTIONS, n, done, arg);
}

rc_block_source made_up_source;

void
made_up_reset(int64_t height)
{
	made_up = (made_up_chain) {.height = height,.fork_height = INT64_MAX,.time = 1700000000};
	made_up_source = (rc_block_source) {
		.at_a_time = 3,
		.hashes_at_a_time = 4,
		.time_tolerance = 20,
		.open = open_source,
		.close = close_source,
		.tip = ask_tip,
		.hashes = ask_hashes,
		.read = read_blocks,
		.check = check,
	};
}

/* With transactions that are in no block: set by a test that wants them */
void
made_up_with_pending(void)
{
	made_up_source.pending = list_pending;
	made_up_source.read_pending = read_pending;
	made_up_source.pending_at_a_time = 2;
}

/* Everybody has 1000, and has had it long since; an address that isn't "…" has none */
static void
look(void *arg)
{
	rc_attempt *attempt = arg;
	rc_failure	failure = {0};
	bool		moved = false;

	attempt->state = NULL;
	made_up.open--;
	if (is_trouble(MADE_UP_LOOK, &failure, &moved))
	{
		attempt->failed(attempt, failure);
		return;
	}
	attempt->observation->tip = (rc_block) {.known = true,.height = (uint64_t) made_up.height,.time = made_up.time};
	(void) hash_at(made_up.height, attempt->observation->tip.hash);
	attempt->observation->depth = attempt->observation->tip;
	for (int i = 0; i < attempt->nrequests; i++)
	{
		rc_uint256_from_u64(&attempt->observation->results[i].seen, 1000);
		rc_uint256_from_u64(&attempt->observation->results[i].settled, 1000);
	}
	attempt->succeeded(attempt);
}

static void
start_look(rc_attempt *attempt)
{
	made_up.asked[MADE_UP_LOOK]++;
	made_up.open++;
	attempt->state = rc_http_after(attempt->http, made_up.hangs ? 3600000 : 0, look, attempt);
}

static void
cancel_look(rc_attempt *attempt)
{
	rc_timer_cancel(attempt->state);
	attempt->state = NULL;
	made_up.open--;
}

static const rc_observer observer = {start_look, cancel_look};

static char *
request_problem(const char *network, const char *address, const char *token)
{
	(void) network;
	if (token != NULL)
		return rc_strdup("token_contract: made-up chains have none");
	return strlen(address) == 2 ? NULL : rc_strdup("address_canonical: two hex digits");
}

static size_t
request_key(const char *network, const char *address, const char *token, uint8_t key[RC_KEY_MAX])
{
	(void) network;
	return token == NULL && strlen(address) == 2 && rc_hex_decode(address, 2, key, 1) ? 1 : 0;
}

const rc_chain rc_chain_made_up = {
	.kind = "made-up",
	.default_chain = "nowhere",
	.request_problem = request_problem,
	.request_key = request_key,
	.look = &observer,
	.blocks = &made_up_source,
};
