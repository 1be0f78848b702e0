/* text.c: what a text consists of, and words of others made fit for a log line and for the database */
#include "core/base/text.h"

#include <string.h>

#include "core/base/memory.h"

typedef struct code_range
{
	uint32_t	first;
	uint32_t	last;
} code_range;

/* Unicode's categories Cc, Cf, Zl and Zp, as far as they are in use, and noncharacters of the first plane */
static const code_range hidden[] = {
	{0x00, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x600, 0x605}, {0x61c, 0x61c}, {0x6dd, 0x6dd}, {0x70f, 0x70f},
	{0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
	{0xfffe, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, 0xe007f}
};

#define NHIDDEN ((int) (sizeof(hidden) / sizeof(hidden[0])))

size_t
rc_utf8_decode(const char *text, size_t len, uint32_t *code)
{
	const unsigned char *bytes = (const unsigned char *) text;
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t		n = len == 0 ? 0 : bytes[0] < 0x80 ? 1 : bytes[0] < 0xc0 ? 0 : bytes[0] < 0xe0 ? 2 :
		bytes[0] < 0xf0 ? 3 : bytes[0] < 0xf8 ? 4 : 0;

	if (n == 0 || n > len)
		return 0;
	*code = n == 1 ? bytes[0] : bytes[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++)
	{
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (bytes[i] & 0x3f);
	}
	if (*code < smallest[n] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return n;
}

bool
rc_is_hidden(uint32_t code)
{
	for (int i = 0; i < NHIDDEN; i++)
		if (code >= hidden[i].first && code <= hidden[i].last)
			return true;
	return false;
}

void
rc_text_clean(char *text)
{
	size_t		len = strlen(text);
	uint32_t	code;

	for (size_t i = 0, n; i < len; i += n)
	{
		n = rc_utf8_decode(text + i, len - i, &code);
		if (n == 0)
		{
			text[i] = '?';
			n = 1;
		}
		else if (rc_is_hidden(code))
			memset(text + i, '?', n);
	}
}

void
rc_text_cut(char *text, size_t max)
{
	size_t		len = strlen(text);

	if (len > max)
	{
		len = max;
		while (len > 0 && ((unsigned char) text[len] & 0xc0) == 0x80)
			len--;
	}
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
}

char *
rc_text_one_line(const char *text)
{
	char	   *line = rc_strdup(text != NULL ? text : "");
	char	   *out = line;

	for (const char *in = line; *in != '\0'; in++)
	{
		bool		blank = strchr(" \t\r\n\v\f", *in) != NULL;

		if (blank && (out == line || out[-1] == ' '))
			continue;
		*out++ = blank ? ' ' : *in;
	}
	*out = '\0';
	rc_text_cut(line, (size_t) (out - line));
	rc_text_clean(line);
	return line;
}
