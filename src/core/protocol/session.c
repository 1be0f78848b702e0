/* session.c: settings that the statements of the protocol are written for, whatever the database's and the role's are */
#include "core/protocol/session.h"

#include <stddef.h>

/*
 * TimeZone isn't among them: a timestamp without time zone that a trigger of
 * the application writes should be in the zone that the database is set to.
 */
const rc_session_setting rc_session_settings[] = {
	/* Names are looked up where only superusers create them */
	{"search_path", "pg_catalog, pg_temp"},

	/* How statements are read */
	{"standard_conforming_strings", "on"},
	{"backslash_quote", "safe_encoding"},
	{"escape_string_warning", "off"},
	{"array_nulls", "on"},
	{"transform_null_equals", "off"},
	{"plpgsql.extra_errors", "none"},
	{"plpgsql.extra_warnings", "none"},

	/* How values and names are written */
	{"DateStyle", "ISO"},
	{"IntervalStyle", "postgres"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
	{"quote_all_identifiers", "off"},

	/* What is allowed, and seen */
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"session_replication_role", "origin"},
	{"row_security", "on"},
	{"restrict_nonsystem_relation_kind", ""},

	/* What is meant for the sessions of people would end one that lives for weeks, or let it grow */
	{"exit_on_error", "off"},
	{"lock_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"transaction_timeout", "0"},
	{"jit", "off"},
	{NULL, NULL}
};
