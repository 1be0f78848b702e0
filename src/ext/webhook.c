/* webhook.c: is a URL one that events may be sent to? */
#include "postgres.h"

#include "core/outbox/hosts.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(reconciler_webhook_url_problem);

/* _webhook_url_problem(url, hosts) */
Datum
reconciler_webhook_url_problem(PG_FUNCTION_ARGS)
{
	char	   *url = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *problem;
	char	   *copy;
	rc_hosts   *hosts = rc_hosts_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)), &problem);

	if (hosts != NULL)
	{
		problem = rc_hosts_url_problem(hosts, url, NULL);
		rc_hosts_free(hosts);
	}
	if (problem == NULL)
		PG_RETURN_NULL();
	copy = pstrdup(problem);
	free(problem);
	PG_RETURN_TEXT_P(cstring_to_text(copy));
}
