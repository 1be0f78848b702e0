/* log_value.c: values for lines that SQL functions log */
#include "postgres.h"

#include <stdlib.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "compat.h"
#include "core/base/log.h"

PG_FUNCTION_INFO_V1(reconciler_log_value);

/* (text): as it stands behind name= in a line of the log; null: "" */
Datum
reconciler_log_value(PG_FUNCTION_ARGS)
{
	rc_buffer	buffer = {0};
	char	   *value = PG_ARGISNULL(0) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *copy;

	value = pg_server_to_any(value, (int) strlen(value), PG_UTF8);
	rc_append_value(&buffer, value);
	copy = pstrdup(buffer.data);
	rc_buffer_free(&buffer);
	PG_RETURN_TEXT_P(cstring_to_text(pg_any_to_server(copy, (int) strlen(copy), PG_UTF8)));
}
