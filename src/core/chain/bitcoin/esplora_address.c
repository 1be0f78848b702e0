/*
 * esplora_address.c: what one address holds, from answers that are given at different moments
 *
 * A server indexes chain and mempool one after the other. For some time after a
 * block, a transaction of it may count in both sums, or (where the mempool is
 * ahead of the chain) in none. So:
 * - Where chain and mempool both pay the address, the transactions of both are
 *   listed, and those in both count once.
 * - An address that holds less than it did is read again after a while, before
 *   that counts: a request may expire by it.
 */
#include "core/chain/bitcoin/esplora.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

/* Pages of an address's transactions above the depth; with more, nothing of it counts as settled until the depth has passed them */
#define MAX_PAGES 40

/*
 * Pages after which the sum is believed for what lies deeper. A shorter list is
 * read to its end, and must add up to the sum
 */
#define BELIEVED_PAGES 4

/* By so many blocks a mempool may be behind the chain */
#define MEMPOOL_LAG 3

/* A list of unconfirmed transactions that is as long may have been cut: servers list 50, some 25 */
#define MEMPOOL_PAGE 25

/* How long after a contradiction, and after a sum that fell, an address is read again */
#define CONTRADICTION_MS 500
#define FALL_MS 8000
#define FALL_REGTEST_MS 500

static const rc_failure nothing_wrong = {RC_FAILURE_NONE, NULL, -1};

/* Reads the address again from the start */
static void
read_again(esplora_task *task, long after_ms)
{
	task->not_before_ms = rc_now_ms() + after_ms;
	esplora_go_on(task, ESPLORA_SUMS);
}

/* The answers about the address don't fit together: once more, or its failure */
static rc_failure
contradicted(esplora_task *task, const char *what)
{
	if (task->retried)
		return rc_failure_make(RC_FAILURE_INCONSISTENT, "%s", what);
	task->retried = true;
	read_again(task, CONTRADICTION_MS);
	return nothing_wrong;
}

/* The address is known, unless it holds less than before */
static void
finish(esplora_task *task, uint64_t seen, uint64_t settled)
{
	esplora_look *look = task->look;
	const rc_request *request = &look->attempt->requests[task->index];
	rc_result  *result = &look->attempt->observation->results[task->index];

	rc_uint256_from_u64(&result->seen, seen);
	rc_uint256_from_u64(&result->settled, settled);
	if (request->known && !task->reread &&
		(rc_uint256_compare(&result->seen, &request->seen) < 0 ||
		 rc_uint256_compare(&result->settled, &request->settled) < 0))
	{
		task->reread = true;
		read_again(task, strcmp(look->chain->name, "regtest") == 0 ? FALL_REGTEST_MS : FALL_MS);
		return;
	}
	look->successes++;
	look->failures = 0;
	esplora_end_task(task);
}

/* The answer to /address/:address */
rc_failure
esplora_take_sums(esplora_task *task, const rc_http_response *response)
{
	esplora_look *look = task->look;
	char	   *error = rc_esplora_parse_sums(response->body, response->body_len, look->chain,
											  &look->scripts[task->index], &task->sums);

	if (error != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	task->listed = 0;
	task->shallow = 0;
	task->recent = 0;
	task->overgrown = false;
	task->pages = 0;
	task->last_height = INT64_MAX;
	task->ntxids = 0;
	task->hash[0] = '\0';
	if (task->sums.chain_funded == 0)
		finish(task, task->sums.mempool_funded, 0);
	else
		esplora_go_on(task, ESPLORA_PAGE);
	return nothing_wrong;
}

/* Is the transaction on one of the pages read? */
static bool
is_listed(const esplora_task *task, const char *txid)
{
	for (int i = 0; i < task->ntxids; i++)
	{
		if (strcmp(task->txids[i], txid) == 0)
			return true;
	}
	return false;
}

/* Counts one transaction of a page; NULL, or what contradicts the rest */
static const char *
add_transaction(esplora_task *task, const rc_esplora_transaction *transaction)
{
	esplora_look *look = task->look;

	if (!transaction->confirmed)
		return "a transaction without a block is listed among those in blocks";
	if (is_listed(task, transaction->txid))
		return "a transaction of the address is listed twice";
	if (transaction->height > task->last_height)
		return "the address's transactions aren't listed from the newest on";
	if (!esplora_claim_block(look, transaction->height, transaction->block))
		return "two transactions are said to be in different blocks at one height";
	memcpy(task->txids[task->ntxids++], transaction->txid, RC_BTC_HASH_SIZE);
	task->last_height = transaction->height;
	task->listed += transaction->paid;
	if (transaction->height > look->depth_height)
		task->shallow += transaction->paid;
	if (transaction->height > (int64_t) look->tip.height - MEMPOOL_LAG)
		task->recent += transaction->paid;
	return task->listed > task->sums.chain_funded ? "the address's transactions pay more than its sum" : NULL;
}

/* As much of the chain's part was read as is needed */
static void
end_pages(esplora_task *task)
{
	const rc_esplora_sums *sums = &task->sums;

	/* Too many transactions above the depth: at least nothing that isn't there */
	if (task->overgrown)
		finish(task, sums->chain_funded, 0);
	else if (sums->mempool_funded > 0)
		esplora_go_on(task, ESPLORA_MEMPOOL);
	else
		finish(task, sums->chain_funded + sums->mempool_funded, sums->chain_funded - task->shallow);
}

/* Was the list read down to where nothing below changes what is settled, or counts twice? */
static bool
is_deep_enough(const esplora_task *task)
{
	const esplora_look *look = task->look;
	int64_t		lag = (int64_t) look->tip.height - MEMPOOL_LAG;

	if (task->pages < BELIEVED_PAGES || task->last_height > look->depth_height)
		return false;
	return task->sums.mempool_funded == 0 || task->last_height <= lag;
}

/* The answer to /address/:address/txs/chain */
rc_failure
esplora_take_page(esplora_task *task, const rc_http_response *response)
{
	char		script[RC_BTC_SCRIPT_HEX_SIZE];
	rc_esplora_transaction *transactions;
	int			n;
	const char *problem = NULL;
	char	   *error;

	rc_btc_script_to_hex(&task->look->scripts[task->index], script);
	error = rc_esplora_parse_transactions(response->body, response->body_len, script, &transactions, &n);
	if (error != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	task->pages++;
	task->txids = rc_realloc(task->txids, (size_t) (task->ntxids + n + 1) * sizeof(*task->txids));
	for (int i = 0; i < n && problem == NULL; i++)
		problem = add_transaction(task, &transactions[i]);
	if (n > 0)
		memcpy(task->hash, transactions[n - 1].txid, RC_BTC_HASH_SIZE);
	free(transactions);
	if (problem != NULL)
		return contradicted(task, problem);

	/* All of the sum was found */
	if (task->listed == task->sums.chain_funded)
		end_pages(task);
	else if (n == 0 || task->ntxids >= task->sums.chain_transactions)
		return contradicted(task, "the address's transactions don't add up to its sum");
	else if (is_deep_enough(task))
		end_pages(task);
	else if (task->pages >= MAX_PAGES)
	{
		task->overgrown = true;
		end_pages(task);
	}
	else
		esplora_go_on(task, ESPLORA_PAGE);
	return nothing_wrong;
}

/* The answer to /address/:address/txs/mempool: what of it isn't in a block already? */
rc_failure
esplora_take_mempool(esplora_task *task, const rc_http_response *response)
{
	const rc_esplora_sums *sums = &task->sums;
	char		script[RC_BTC_SCRIPT_HEX_SIZE];
	rc_esplora_transaction *transactions;
	int			n;
	uint64_t	unconfirmed = 0;
	char	   *error;

	rc_btc_script_to_hex(&task->look->scripts[task->index], script);
	error = rc_esplora_parse_transactions(response->body, response->body_len, script, &transactions, &n);
	if (error != NULL)
		return rc_failure_take(RC_FAILURE_MALFORMED, error);
	task->txids = rc_realloc(task->txids, (size_t) (task->ntxids + n + 1) * sizeof(*task->txids));
	for (int i = 0; i < n; i++)
	{
		if (transactions[i].confirmed || is_listed(task, transactions[i].txid))
			continue;
		memcpy(task->txids[task->ntxids++], transactions[i].txid, RC_BTC_HASH_SIZE);
		unconfirmed += transactions[i].paid;
	}
	free(transactions);

	/* Not all are listed: at least what can't be in a block already */
	if (n >= MEMPOOL_PAGE && n < sums->mempool_transactions && sums->mempool_funded > task->recent + unconfirmed)
		unconfirmed = sums->mempool_funded - task->recent;
	if (unconfirmed > sums->mempool_funded)
		unconfirmed = sums->mempool_funded;
	finish(task, sums->chain_funded + unconfirmed, sums->chain_funded - task->shallow);
	return nothing_wrong;
}
