/* fuzz_url.c: redaction of URLs and of texts that may hold their secrets; a bitcoind URL and its cookie */
#include "core/base/text.h"
#include "core/chain/bitcoin/node_rpc.h"
#include "core/net/redact.h"
#include "fuzz.h"

#define SECRET "s3cr3t-of-this-endpoint"

/* The password of a URL in whatever text: it must not be in what is shown */
static void
check_text(const char *around)
{
	static const char url[] = "https://user:" SECRET "@node.example/" SECRET "?apikey=" SECRET;
	size_t		len = strlen(around);
	char	   *text = malloc(len + sizeof(SECRET));

	memcpy(text, around, len);
	memcpy(text + len, SECRET, sizeof(SECRET));
	rc_text_redact(text, url, "user:" SECRET);
	if (strstr(text, SECRET) != NULL)
		abort();
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char	   *address = NULL;
	char	   *cookie = NULL;

	free(rc_url_redact(text));
	rc_bitcoind_split_url(text, &address, &cookie);
	free(address);
	free(cookie);
	check_text(text);
	free(rc_text_one_line(text));
	rc_text_clean(text);
	rc_text_cut(text, 20);
	free(text);
	return 0;
}
