/* keccak.c: Keccak-256 */
#include "core/chain/evm/keccak.h"

#include <string.h>

/* Rate of Keccak[c=512], bytes */
#define RATE 136

#define ROUNDS 24

static uint64_t
rotate_left(uint64_t x, unsigned n)
{
	return n == 0 ? x : x << n | x >> (64 - n);
}

/* The next bit of the LFSR x^8 + x^6 + x^5 + x^4 + 1 that makes the round constants (FIPS 202, 3.2.5) */
static unsigned
lfsr_step(uint8_t *lfsr)
{
	unsigned	bit = *lfsr & 1;

	*lfsr = (uint8_t) (*lfsr & 0x80 ? *lfsr << 1 ^ 0x71 : *lfsr << 1);
	return bit;
}

/* theta */
static void
mix_columns(uint64_t a[25])
{
	uint64_t	parity[5];

	for (int x = 0; x < 5; x++)
		parity[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
	for (int x = 0; x < 5; x++)
	{
		uint64_t	d = parity[(x + 4) % 5] ^ rotate_left(parity[(x + 1) % 5], 1);

		for (int y = 0; y < 25; y += 5)
			a[x + y] ^= d;
	}
}

/* rho and pi */
static void
rotate_and_move(uint64_t a[25])
{
	uint64_t	moved = a[1];
	int			x = 1;
	int			y = 0;

	for (unsigned t = 0; t < 24; t++)
	{
		int			next_y = (2 * x + 3 * y) % 5;
		uint64_t	kept;

		x = y;
		y = next_y;
		kept = a[x + 5 * y];
		a[x + 5 * y] = rotate_left(moved, (t + 1) * (t + 2) / 2 % 64);
		moved = kept;
	}
}

/* chi */
static void
mix_rows(uint64_t a[25])
{
	for (int y = 0; y < 25; y += 5)
	{
		uint64_t	row[5];

		memcpy(row, a + y, sizeof(row));
		for (int x = 0; x < 5; x++)
			a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
	}
}

/* Keccak-f[1600] */
static void
permute(uint64_t a[25])
{
	uint8_t		lfsr = 1;

	for (int round = 0; round < ROUNDS; round++)
	{
		mix_columns(a);
		rotate_and_move(a);
		mix_rows(a);
		/* iota */
		for (unsigned j = 0; j < 7; j++)
		{
			if (lfsr_step(&lfsr))
				a[0] ^= (uint64_t) 1 << ((1u << j) - 1);
		}
	}
}

/* Mixes one block of RATE bytes into the state */
static void
absorb(uint64_t a[25], const uint8_t *block)
{
	for (int i = 0; i < RATE; i++)
		a[i / 8] ^= (uint64_t) block[i] << (8 * (i % 8));
	permute(a);
}

/* The hash of data */
void
rc_keccak256(const void *data, size_t len, uint8_t out[32])
{
	uint64_t	a[25] = {0};
	uint8_t		last[RATE] = {0};
	const uint8_t *p = data;

	for (; len >= RATE; len -= RATE, p += RATE)
		absorb(a, p);
	if (len > 0)
		memcpy(last, p, len);
	last[len] ^= 0x01;
	last[RATE - 1] ^= 0x80;
	absorb(a, last);
	for (int i = 0; i < 32; i++)
		out[i] = (uint8_t) (a[i / 8] >> (8 * (i % 8)));
}
