/* sha256.c: SHA-256 as FIPS 180-4 defines it */
#include <string.h>

#include "core/chain/bitcoin/sha256.h"

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2) */
static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static uint32_t
rotate(uint32_t value, int bits)
{
	return value >> bits | value << (32 - bits);
}

static uint32_t
big_endian(const uint8_t *bytes)
{
	return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

/* Takes one block of 64 bytes into the state */
static void
compress(uint32_t state[8], const uint8_t *block)
{
	uint32_t	w[64];
	uint32_t	v[8];

	for (int i = 0; i < 16; i++)
		w[i] = big_endian(block + 4 * i);
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
			(rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
			(rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);

	memcpy(v, state, sizeof(v));
	for (int i = 0; i < 64; i++)
	{
		uint32_t	t1 = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) +
			((v[4] & v[5]) ^ (~v[4] & v[6])) + round_constants[i] + w[i];
		uint32_t	t2 = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) +
			((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += v[i];
}

void
rc_sha256_start(rc_sha256 *sha)
{
	/* Of the square roots of the first 8 primes (FIPS 180-4, 5.3.3) */
	static const uint32_t initial[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
	};

	memcpy(sha->state, initial, sizeof(initial));
	sha->length = 0;
}

void
rc_sha256_add(rc_sha256 *sha, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t		used = sha->length % 64;

	sha->length += len;
	if (used > 0)
	{
		size_t		part = len < 64 - used ? len : 64 - used;

		memcpy(sha->block + used, bytes, part);
		bytes += part;
		len -= part;
		if (used + part < 64)
			return;
		compress(sha->state, sha->block);
	}
	for (; len >= 64; bytes += 64, len -= 64)
		compress(sha->state, bytes);
	if (len > 0)
		memcpy(sha->block, bytes, len);
}

void
rc_sha256_finish(rc_sha256 *sha, uint8_t digest[RC_SHA256_SIZE])
{
	static const uint8_t padding[64] = {0x80};
	uint64_t	bits = sha->length * 8;
	size_t		used = sha->length % 64;
	uint8_t		length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t) (bits >> (56 - 8 * i));
	rc_sha256_add(sha, padding, (used < 56 ? 56 : 120) - used);
	rc_sha256_add(sha, length, sizeof(length));
	for (int i = 0; i < RC_SHA256_SIZE; i++)
		digest[i] = (uint8_t) (sha->state[i / 4] >> (24 - 8 * (i % 4)));
}

void
rc_sha256_finish_twice(rc_sha256 *sha, uint8_t digest[RC_SHA256_SIZE])
{
	rc_sha256_finish(sha, digest);
	rc_sha256_start(sha);
	rc_sha256_add(sha, digest, RC_SHA256_SIZE);
	rc_sha256_finish(sha, digest);
}

void
rc_sha256_twice(const void *data, size_t len, uint8_t digest[RC_SHA256_SIZE])
{
	rc_sha256	sha;

	rc_sha256_start(&sha);
	rc_sha256_add(&sha, data, len);
	rc_sha256_finish_twice(&sha, digest);
}
