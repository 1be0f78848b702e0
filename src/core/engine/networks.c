/* networks.c: the networks that a worker sees to, as the database has them */
#include "core/engine/loop.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/protocol/protocol.h"

/* How often a worker asks for the networks */
#define NETWORKS_REFRESH_MS		2000

/* What has no line of its own is summed up */
static void
flush_logs(rc_loop *loop, bool last)
{
	const rc_host *host = loop->engine->options->host;

	rc_cycle_log_flush(&loop->log, host, loop->network, last);
	rc_cycle_log_flush(&loop->follow_log, host, loop->network, last);
}

/* Of a network on which nothing is under way */
static void
free_loop(rc_loop *loop)
{
	rc_tips_end(loop);
	flush_logs(loop, true);
	rc_follower_free(loop->follower);
	rc_network_free(loop->network);
	rc_network_free(loop->replacement);
	rc_cycle_log_free(&loop->log);
	rc_cycle_log_free(&loop->follow_log);
	free(loop);
}

/* Adds a network, or takes note that its configuration has changed */
static void
update_loop(rc_engine *engine, rc_network *network)
{
	rc_loop    *loop = engine->loops;

	while (loop != NULL && loop->network->network_id != network->network_id)
		loop = loop->next;
	if (loop == NULL)
	{
		loop = rc_calloc(1, sizeof(*loop));
		loop->engine = engine;
		loop->network = network;
		loop->after = -1;
		loop->next = engine->loops;
		engine->loops = loop;
		return;
	}
	loop->removed = false;
	rc_network_free(loop->replacement);
	loop->replacement = NULL;
	if (strcmp(loop->network->fingerprint, network->fingerprint) == 0)
		rc_network_free(network);
	else
	{
		/* What is being looked at by former settings would be refused as stale */
		if (loop->network->version != network->version)
		{
			rc_looking_end(loop);
			rc_following_end(loop);
		}
		loop->replacement = network;
	}
}

void
rc_networks_replace(rc_engine *engine)
{
	rc_loop   **link = &engine->loops;

	while (*link != NULL)
	{
		rc_loop    *loop = *link;

		flush_logs(loop, false);
		if (loop->ncycles == 0 && loop->follow == NULL && loop->removed)
		{
			*link = loop->next;
			free_loop(loop);
			continue;
		}
		if (loop->ncycles == 0 && loop->follow == NULL && loop->replacement != NULL)
		{
			rc_tips_end(loop);
			rc_network_free(loop->network);
			loop->network = loop->replacement;
			loop->replacement = NULL;
			loop->report.listed = false;
			loop->claim_at_ms = loop->follow_at_ms = loop->tip_at_ms = 0;
		}
		link = &loop->next;
	}
}

void
rc_networks_refresh(rc_engine *engine)
{
	const rc_engine_options *options = engine->options;
	rc_network **networks;
	int			n;
	rc_store_status status;

	if (rc_now_ms() < engine->refresh_at_ms)
		return;
	engine->refresh_at_ms = rc_now_ms() + NETWORKS_REFRESH_MS;
	status = rc_protocol_networks(options->store, options->worker_id, &options->overrides, &networks, &n);
	engine->available = status == RC_STORE_OK;
	if (!engine->available)
		return;
	for (rc_loop *loop = engine->loops; loop != NULL; loop = loop->next)
		loop->removed = true;
	for (int i = 0; i < n; i++)
		update_loop(engine, networks[i]);
	free(networks);
}

void
rc_networks_free(rc_engine *engine)
{
	while (engine->loops != NULL)
	{
		rc_loop    *loop = engine->loops;

		engine->loops = loop->next;
		free_loop(loop);
	}
}
