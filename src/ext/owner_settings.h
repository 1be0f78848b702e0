/* owner_settings.h: the settings that code of a table's owner runs with */
#ifndef RC_OWNER_SETTINGS_H
#define RC_OWNER_SETTINGS_H

#include "postgres.h"

/*
 * Sets, up to the end of the current nest level of settings, what gives a
 * statement its meaning to what it is at the start of the role's own sessions:
 * code that was written for those must not meet what the caller has set.
 */
extern void owner_settings_apply(Oid role);

#endif
