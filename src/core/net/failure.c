/* failure.c: what is wrong with an endpoint */
#include "core/net/failure.h"

#include <stdarg.h>
#include <stddef.h>

#include "core/base/memory.h"

rc_failure
rc_failure_make(rc_failure_code code, const char *format, ...)
{
	va_list		args;
	rc_failure	failure = {code, NULL, -1};

	va_start(args, format);
	failure.text = rc_vasprintf(format, args);
	va_end(args);
	return failure;
}

rc_failure
rc_failure_take(rc_failure_code code, char *text)
{
	return (rc_failure) {text != NULL ? code : RC_FAILURE_NONE, text, -1};
}

const char *
rc_failure_name(rc_failure_code code)
{
	static const char *const names[] = {
		"none", "timed_out", "unreachable", "refused", "limited", "malformed", "wrong_chain", "behind",
		"inconsistent", "unverified"
	};

	return names[code];
}
