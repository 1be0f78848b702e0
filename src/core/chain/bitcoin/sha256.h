/* sha256.h: SHA-256 (FIPS 180-4); for checksums and block hashes, so no cryptographic library is needed */
#ifndef RC_SHA256_H
#define RC_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define RC_SHA256_SIZE 32

typedef struct rc_sha256
{
	uint32_t	state[8];
	uint64_t	length;			/* bytes taken so far */
	uint8_t		block[64];
} rc_sha256;

extern void rc_sha256_start(rc_sha256 *sha);
extern void rc_sha256_add(rc_sha256 *sha, const void *data, size_t len);
extern void rc_sha256_finish(rc_sha256 *sha, uint8_t digest[RC_SHA256_SIZE]);

/* The digest of the digest of what was added: Bitcoin's hash */
extern void rc_sha256_finish_twice(rc_sha256 *sha, uint8_t digest[RC_SHA256_SIZE]);
extern void rc_sha256_twice(const void *data, size_t len, uint8_t digest[RC_SHA256_SIZE]);

#endif
