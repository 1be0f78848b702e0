/* protocol.h: the worker's side of the SQL protocol, as C functions over a store */
#ifndef RC_PROTOCOL_H
#define RC_PROTOCOL_H

#include "core/protocol/counters.h"
#include "core/protocol/network.h"
#include "core/protocol/observation.h"
#include "core/protocol/store.h"

/* The networks to work on; *networks is an array of *n, all of it the caller's to free */
extern rc_store_status rc_protocol_networks(const rc_store *store, const char *worker_id,
											const rc_overrides *overrides,
											rc_network ***networks, int *n);

/*
 * Claims a due batch, the first after the position given; *batch is NULL when
 * nothing is due. RC_STORE_STALE: the network is to be read anew first.
 */
extern rc_store_status rc_protocol_claim(const rc_store *store, const char *worker_id,
										 const rc_network *network, int64_t after, rc_batch **batch);

/* min_tip_time, max_tip_time, tip_floor and floor_min_time of a claim's first row, from this column on */
extern void rc_protocol_take_bounds(const rc_rows *rows, int col, rc_tip_bounds *bounds);

/* Is this worker to ask for the network's tip? *wait_ms 0: yes; else when to ask again, -1: never */
extern rc_store_status rc_protocol_claim_tip(const rc_store *store, const char *worker_id, const rc_network *network,
											 long *wait_ms);

/* *is_new: a block has come since somebody told the height, and the network's batches are due */
extern rc_store_status rc_protocol_note_tip(const rc_store *store, const char *worker_id, const rc_network *network,
											int64_t height, bool *is_new);

/* Reserves n requests of the network's rate limit: *wait_ms until the first of them may be sent */
extern rc_store_status rc_protocol_take_budget(const rc_store *store, const rc_network *network, int n, long *wait_ms);

/* Milliseconds until a batch, or the cursor, comes due; -1: the network has none */
extern rc_store_status rc_protocol_due_in(const rc_store *store, const rc_network *network, bool of_cursor, long *ms);

/* Hands over an observation (JSON); outcomes gets a row for each request that something happened to */
extern rc_store_status rc_protocol_settle(const rc_store *store, const char *worker_id,
										  const rc_batch *batch, const char *observation, rc_rows *outcomes);

extern rc_store_status rc_protocol_renew(const rc_store *store, const char *worker_id,
										 const rc_batch *batch, const rc_network *network);

/* Gives a lease back; due_now: nobody has looked, the batch comes due at once */
extern rc_store_status rc_protocol_release(const rc_store *store, const char *worker_id,
										   const rc_batch *batch, bool due_now);

/* What has to be done once in a while, by whichever worker comes first */
extern rc_store_status rc_protocol_maintain(const rc_store *store, const char *worker_id);

/* counters: since the last report; details: JSON, see reconciler.report() */
extern rc_store_status rc_protocol_report(const rc_store *store, const char *worker_id, const char *role, rc_state state,
										  const rc_counters *counters, bool stopped, const char *details);

/*
 * For a worker that brings endpoints of its own: makes sure that the database
 * knows the network, without telling it the endpoints. chain_id 0: none.
 */
extern rc_store_status rc_protocol_register_network(const rc_store *store, const char *kind, const char *chain,
													const char *network, uint64_t chain_id);

#endif
