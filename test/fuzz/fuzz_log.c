/* fuzz_log.c: a log line is one line, whatever is in its fields */
#include "core/base/host.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	rc_buffer	buffer = {0};

	rc_append_value(&buffer, text);
	rc_append_plain(&buffer, text, 200);
	if (buffer.data != NULL && (strchr(buffer.data, '\n') != NULL || strchr(buffer.data, '\r') != NULL))
		abort();
	rc_buffer_free(&buffer);
	free(text);
	return 0;
}
