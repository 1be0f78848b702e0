/* keccak.c: Keccak-256 */
#include "core/chain/evm/keccak.h"

#include <string.h>

/* Rate of Keccak[c=512], bytes */
#define RATE 136

#define ROUNDS 24

static inline uint64_t
rotate_left(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

/* What iota mixes in, round by round (FIPS 202, 3.2.5) */
static const uint64_t round_constants[ROUNDS] = {
	UINT64_C(0x0000000000000001), UINT64_C(0x0000000000008082), UINT64_C(0x800000000000808a), UINT64_C(0x8000000080008000),
	UINT64_C(0x000000000000808b), UINT64_C(0x0000000080000001), UINT64_C(0x8000000080008081), UINT64_C(0x8000000000008009),
	UINT64_C(0x000000000000008a), UINT64_C(0x0000000000000088), UINT64_C(0x0000000080008009), UINT64_C(0x000000008000000a),
	UINT64_C(0x000000008000808b), UINT64_C(0x800000000000008b), UINT64_C(0x8000000000008089), UINT64_C(0x8000000000008003),
	UINT64_C(0x8000000000008002), UINT64_C(0x8000000000000080), UINT64_C(0x000000000000800a), UINT64_C(0x800000008000000a),
	UINT64_C(0x8000000080008081), UINT64_C(0x8000000000008080), UINT64_C(0x0000000080000001), UINT64_C(0x8000000080008008),
};

/* theta */
static inline void
mix_columns(uint64_t a[25])
{
	uint64_t	parity[5];

	for (int x = 0; x < 5; x++)
		parity[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];

#define MIX(x, left, right) do { \
		uint64_t	d = parity[left] ^ rotate_left(parity[right], 1); \
		a[x] ^= d; \
		a[x + 5] ^= d; \
		a[x + 10] ^= d; \
		a[x + 15] ^= d; \
		a[x + 20] ^= d; \
	} while (0)
	MIX(0, 4, 1);
	MIX(1, 0, 2);
	MIX(2, 1, 3);
	MIX(3, 2, 4);
	MIX(4, 3, 0);
#undef MIX
}

/* rho and pi: each lane goes to the next one's place, turned by t * (t + 1) / 2 bits */
static inline void
rotate_and_move(uint64_t a[25])
{
	uint64_t	moved = a[1];
	uint64_t	kept;

#define MOVE(lane, bits) do { \
		kept = a[lane]; \
		a[lane] = rotate_left(moved, bits); \
		moved = kept; \
	} while (0)
	MOVE(10, 1); MOVE(7, 3); MOVE(11, 6); MOVE(17, 10);
	MOVE(18, 15); MOVE(3, 21); MOVE(5, 28); MOVE(16, 36);
	MOVE(8, 45); MOVE(21, 55); MOVE(24, 2); MOVE(4, 14);
	MOVE(15, 27); MOVE(23, 41); MOVE(19, 56); MOVE(13, 8);
	MOVE(12, 25); MOVE(2, 43); MOVE(20, 62); MOVE(14, 18);
	MOVE(22, 39); MOVE(9, 61); MOVE(6, 20); MOVE(1, 44);
#undef MOVE
}

/* chi */
static inline void
mix_rows(uint64_t a[25])
{
	for (int y = 0; y < 25; y += 5)
	{
		uint64_t	first = a[y];
		uint64_t	second = a[y + 1];

		a[y] ^= ~a[y + 1] & a[y + 2];
		a[y + 1] ^= ~a[y + 2] & a[y + 3];
		a[y + 2] ^= ~a[y + 3] & a[y + 4];
		a[y + 3] ^= ~a[y + 4] & first;
		a[y + 4] ^= ~first & second;
	}
}

/* Keccak-f[1600] */
static void
permute(uint64_t a[25])
{
	for (int round = 0; round < ROUNDS; round++)
	{
		mix_columns(a);
		rotate_and_move(a);
		mix_rows(a);
		a[0] ^= round_constants[round];
	}
}

/* Mixes one block of RATE bytes into the state */
static void
absorb(uint64_t a[25], const uint8_t *block)
{
	for (int i = 0; i < RATE / 8; i++, block += 8)
	{
		uint64_t	lane = 0;

		for (int j = 7; j >= 0; j--)
			lane = lane << 8 | block[j];
		a[i] ^= lane;
	}
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
