/* credit.c: what of a token arrived at one holder in one block */
#include "core/chain/evm/transfer.h"

#include <string.h>

/* Sums over the events of one token and holder */
typedef struct sums
{
	rc_uint256	in;				/* from others */
	rc_uint256	out;			/* to others */
	bool		overflow;		/* no such amounts can exist: the token lies */
} sums;

static bool
is_same(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, RC_EVM_ADDRESS_BYTES) == 0;
}

/* Has this event brought the holder anything, if it is true? What one sends to oneself hasn't */
static bool
is_incoming(const evm_transfer *event, const evm_arrival *arrival)
{
	return event->kind == EVM_BY_TOKEN && is_same(event->token, arrival->token) &&
		is_same(event->to, arrival->holder) && !is_same(event->from, arrival->holder);
}

static bool
is_outgoing(const evm_transfer *event, const evm_arrival *arrival)
{
	return event->kind == EVM_BY_TOKEN && is_same(event->token, arrival->token) &&
		is_same(event->from, arrival->holder) && !is_same(event->to, arrival->holder);
}

/*
 * in and out without what goes to oneself: in - self, and out - self. The sum
 * delta + out - self is after + out - before then.
 */
static sums
sum_up(const evm_transfers *events, const evm_arrival *arrival)
{
	sums		sums = {rc_uint256_zero, rc_uint256_zero, false};

	for (size_t i = 0; i < events->n; i++)
	{
		const evm_transfer *event = &events->items[i];

		if (is_incoming(event, arrival))
			sums.overflow |= !rc_uint256_add(&sums.in, &sums.in, &event->amount);
		else if (is_outgoing(event, arrival))
			sums.overflow |= !rc_uint256_add(&sums.out, &sums.out, &event->amount);
	}
	return sums;
}

/* How much the balances allow of what the events say; *contradiction: the balance fell by more than went out */
static rc_uint256
borne_out(const sums *sums, const evm_arrival *arrival, bool *contradiction)
{
	rc_uint256	most;

	*contradiction = false;
	if (arrival->before == NULL || arrival->after == NULL)
		return sums->in;
	if (!rc_uint256_add(&most, arrival->after, &sums->out))
	{
		*contradiction = true;
		return rc_uint256_zero;
	}
	if (!rc_uint256_subtract(&most, &most, arrival->before))
	{
		*contradiction = true;
		return rc_uint256_zero;
	}
	return rc_uint256_compare(&most, &sums->in) < 0 ? most : sums->in;
}

/* The event's share of what arrived: so much of it as is due to it and those before, less what those before got */
static rc_uint256
take_share(const rc_uint256 *upto, const rc_uint256 *arrived, const rc_uint256 *in, rc_uint256 *given)
{
	rc_uint256	due = *arrived;
	rc_uint256	share;

	(void) rc_uint256_share(&due, upto, arrived, in);
	share = due;
	(void) rc_uint256_subtract(&share, &due, given);
	*given = due;
	return share;
}

bool
evm_credit_arrival(const evm_transfers *events, const evm_arrival *arrival, evm_transfers *credits)
{
	sums		sums = sum_up(events, arrival);
	rc_uint256	upto = rc_uint256_zero;
	rc_uint256	given = rc_uint256_zero;
	rc_uint256	arrived;
	bool		contradiction;

	if (sums.overflow)
		return true;
	arrived = borne_out(&sums, arrival, &contradiction);
	for (size_t i = 0; i < events->n; i++)
	{
		evm_transfer credit = events->items[i];

		if (!is_incoming(&credit, arrival) || rc_uint256_is_zero(&credit.amount))
			continue;
		(void) rc_uint256_add(&upto, &upto, &credit.amount);
		credit.amount = take_share(&upto, &arrived, &sums.in, &given);
		credit.unverified = arrival->before == NULL || arrival->after == NULL;
		if (!rc_uint256_is_zero(&credit.amount))
			*evm_transfers_add(credits) = credit;
	}
	return contradiction;
}
