/* redact.h: keeps the secrets of endpoint URLs out of whatever is shown */
#ifndef RC_REDACT_H
#define RC_REDACT_H

#include <stddef.h>

/* rc_malloc'd copy of url that is fit for logs: scheme, host and port; user info, path and query become "…" */
extern char *rc_url_redact(const char *url);

/*
 * Replaces, in place, every occurrence of what may be secret in url (user,
 * password, path, query) and in userpwd ("user:password", NULL: none) by "…":
 * whatever the case of its letters, whichever of its characters are
 * percent-encoded, and as HTTP's Basic authentication has it, in Base64. A text
 * is redacted before it is cut, or a part of a secret would stay.
 */
extern void rc_text_redact(char *text, const char *url, const char *userpwd);

/* The same for one secret of len bytes, as it is when decoded */
extern void rc_text_redact_secret(char *text, const char *secret, size_t len);

#endif
