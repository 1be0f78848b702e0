/* address.c: 20-byte addresses and their text */
#include "core/chain/evm/address.h"

#include <ctype.h>
#include <string.h>

#include "core/chain/evm/keccak.h"
#include "core/base/memory.h"

/* Longer text is cut in messages */
#define SHOWN 60

/* EIP-55: a letter is upper case where the hash of the lower-case digits has a nibble above 7 */
void
rc_evm_address_format(const uint8_t address[RC_EVM_ADDRESS_BYTES], char out[RC_EVM_ADDRESS_SIZE])
{
	uint8_t		hash[32];

	memcpy(out, "0x", 2);
	rc_hex_encode(address, RC_EVM_ADDRESS_BYTES, out + 2);
	rc_keccak256(out + 2, 40, hash);
	for (int i = 0; i < 40; i++)
	{
		int			nibble = i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 15;

		if (nibble > 7)
			out[2 + i] = (char) toupper((unsigned char) out[2 + i]);
	}
}

/* Does text hold both upper-case and lower-case letters? */
static bool
is_mixed_case(const char *text)
{
	bool		upper = false;
	bool		lower = false;

	for (; *text != '\0'; text++)
	{
		upper = upper || (*text >= 'A' && *text <= 'F');
		lower = lower || (*text >= 'a' && *text <= 'f');
	}
	return upper && lower;
}

/* NULL, or what is wrong */
char *
rc_evm_address_parse(const char *text, uint8_t out[RC_EVM_ADDRESS_BYTES])
{
	size_t		len = strlen(text);
	char		checksummed[RC_EVM_ADDRESS_SIZE];

	if (len != 42 || text[0] != '0' || (text[1] != 'x' && text[1] != 'X') ||
		!rc_hex_decode(text + 2, 40, out, RC_EVM_ADDRESS_BYTES))
	{
		size_t		shown = len > SHOWN ? SHOWN : len;

		/* Not in the middle of a UTF-8 character */
		while (shown > 0 && ((unsigned char) text[shown] & 0xc0) == 0x80)
			shown--;
		return rc_asprintf("\"%.*s%s\" is not an EVM address: 0x and 40 hexadecimal digits are expected",
						   (int) shown, text, len > SHOWN ? "..." : "");
	}
	if (is_mixed_case(text + 2))
	{
		rc_evm_address_format(out, checksummed);
		if (strcmp(checksummed + 2, text + 2) != 0)
			return rc_asprintf("the EIP-55 checksum of address %s is wrong: it is mistyped, or its upper and lower case got lost",
							   text);
	}
	return NULL;
}

/* 0x000… */
bool
rc_evm_address_is_zero(const uint8_t address[RC_EVM_ADDRESS_BYTES])
{
	static const uint8_t zero[RC_EVM_ADDRESS_BYTES] = {0};

	return memcmp(address, zero, sizeof(zero)) == 0;
}

/* 0x0…1 to 0x0…11, 0x0…100 */
bool
rc_evm_address_is_precompile(const uint8_t address[RC_EVM_ADDRESS_BYTES])
{
	static const uint8_t zero[RC_EVM_ADDRESS_BYTES - 2] = {0};
	unsigned	low = (unsigned) address[RC_EVM_ADDRESS_BYTES - 2] << 8 | address[RC_EVM_ADDRESS_BYTES - 1];

	return memcmp(address, zero, sizeof(zero)) == 0 && ((low >= 0x01 && low <= 0x11) || low == 0x100);
}
