/* source_sql.c: how ids, times and words of attached tables are written in SQL */
#include "source_sql.h"

#include <errno.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static const char *const statuses[] = {"pending", "detected", "confirmed", "expired"};

static const char *
column(const char *name)
{
	return psprintf("t.%s", quote_identifier(name));
}

const char *
source_sql_id_columns(const source_table *table)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < table->mapping.nids; i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", column(table->mapping.ids[i]));
	return list.data;
}

const char *
source_sql_id(const source_table *table)
{
	StringInfoData id;

	if (table->mapping.nids == 1)
		return psprintf("%s::pg_catalog.text", column(table->mapping.ids[0]));
	initStringInfo(&id);
	for (int i = 0; i < table->mapping.nids; i++)
		appendStringInfo(&id, "%spg_catalog.replace(pg_catalog.replace(%s::pg_catalog.text, '%%', '%%25'), '/', '%%2F')",
						 i == 0 ? "" : " OPERATOR(pg_catalog.||) '/' OPERATOR(pg_catalog.||) ",
						 column(table->mapping.ids[i]));
	return id.data;
}

const char *
source_sql_id_is(const source_table *table, const char *text)
{
	StringInfoData condition;

	if (table->mapping.nids == 1)
		return psprintf("%s OPERATOR(pg_catalog.=) %s::%s", column(table->mapping.ids[0]), text, table->id_types[0]);
	initStringInfo(&condition);
	for (int i = 0; i < table->mapping.nids; i++)
		appendStringInfo(&condition, "%s%s OPERATOR(pg_catalog.=) pg_catalog.replace(pg_catalog.replace("
						 "pg_catalog.split_part(%s, '/', %d), '%%2F', '/'), '%%25', '%%')::%s",
						 i == 0 ? "" : " AND ", column(table->mapping.ids[i]), text, i + 1, table->id_types[i]);
	return condition.data;
}

const char *
source_sql_id_in(const source_table *table)
{
	if (table->mapping.nids == 1)
		return psprintf("%s OPERATOR(pg_catalog.=) ANY ($1::%s[])", column(table->mapping.ids[0]), table->id_types[0]);
	return psprintf("EXISTS (SELECT FROM pg_catalog.unnest($1) AS u (id) WHERE %s)", source_sql_id_is(table, "u.id"));
}

/* Is it a whole number of so many bits? */
static bool
is_integer(const char *text, int bits)
{
	long long	most = (long long) (UINT64_MAX >> (65 - bits));
	char	   *end;
	long long	value;

	errno = 0;
	value = strtoll(text, &end, 10);
	return end != text && *end == '\0' && errno == 0 && value >= -most - 1 && value <= most;
}

static bool
is_uuid(const char *text)
{
	int			digits = 0;

	for (; *text != '\0'; text++)
	{
		if (isxdigit((unsigned char) *text))
			digits++;
		else if (*text != '-' || digits % 4 != 0 || digits == 0 || text[-1] == '-')
			return false;
	}
	return digits == 32 && text[-1] != '-';
}

/* Can the text be a value of the column? */
static bool
can_be(const source_table *table, const char *name, const char *text)
{
	switch (getBaseType(get_atttype(table->relation, get_attnum(table->relation, name))))
	{
		case INT2OID:
			return is_integer(text, 16);
		case INT4OID:
			return is_integer(text, 32);
		case INT8OID:
			return is_integer(text, 64);
		case UUIDOID:
			return is_uuid(text);
		default:
			return true;
	}
}

const char *
source_id_problem(const source_table *table, const char *id)
{
	StringInfoData form;
	const char *rest = id;
	bool		good = true;

	initStringInfo(&form);
	for (int i = 0; i < table->mapping.nids; i++)
	{
		const char *end = table->mapping.nids == 1 ? NULL : strchr(rest, '/');
		size_t		len = end == NULL ? strlen(rest) : (size_t) (end - rest);

		good = good && can_be(table, table->mapping.ids[i], pnstrdup(rest, len)) &&
			(end == NULL) == (i == table->mapping.nids - 1);
		rest += len + (end == NULL ? 0 : 1);
		appendStringInfo(&form, "%s%s (%s)", i == 0 ? "" : "/", table->mapping.ids[i],
						 format_type_be(get_atttype(table->relation, get_attnum(table->relation, table->mapping.ids[i]))));
	}
	return good ? NULL : form.data;
}

const char *
source_sql_time(const char *name, const char *zone)
{
	if (zone == NULL || zone[0] == '\0')
		return psprintf("%s::pg_catalog.timestamptz", column(name));
	return psprintf("pg_catalog.timezone(%s, %s)", quote_literal_cstr(zone), column(name));
}

const char *
source_sql_now(const source_table *table)
{
	const char *zone = source_mapping_option(&table->mapping, OPTION_UPDATED_ZONE);

	return zone[0] == '\0' ? "pg_catalog.now()" : psprintf("pg_catalog.timezone(%s, pg_catalog.now())", quote_literal_cstr(zone));
}

const char *
source_word_of(const source_mapping *mapping, const char *status)
{
	const char *word;

	if (!mapping->has_words)
		return status;
	word = source_mapping_option(mapping, status);
	return word[0] == '\0' ? NULL : word;
}

/* The row's status is one of the table's words for a status */
static void
append_word_is(StringInfo query, const source_table *table, const char *status, const char *type)
{
	const source_mapping *mapping = &table->mapping;
	const char *separator = "";

	appendStringInfoChar(query, '(');
	for (int i = 0; i < mapping->noptions; i++)
	{
		if (strcmp(mapping->options[2 * i], status) != 0)
			continue;
		appendStringInfo(query, "%s%s OPERATOR(pg_catalog.=) %s::%s", separator, column(mapping->names[COLUMN_STATUS]),
						 quote_literal_cstr(mapping->options[2 * i + 1]), type);
		separator = " OR ";
	}
	appendStringInfo(query, "%s)", separator[0] == '\0' ? "false" : "");
}

void
source_sql_append_status_is(StringInfo query, const source_table *table, const char *status, const char *type)
{
	if (!table->mapping.has_words)
	{
		appendStringInfo(query, "%s OPERATOR(pg_catalog.=) %s::%s", column(table->mapping.names[COLUMN_STATUS]), status, type);
		return;
	}
	appendStringInfoString(query, "CASE");
	for (int i = 0; i < (int) lengthof(statuses); i++)
	{
		appendStringInfo(query, " WHEN %s OPERATOR(pg_catalog.=) '%s' THEN ", status, statuses[i]);
		append_word_is(query, table, i == 1 && table->mapping.hides_detected ? "pending" : statuses[i], type);
	}
	appendStringInfoString(query, " END");
}

void
source_sql_append_word(StringInfo query, const source_table *table, const char *status)
{
	if (!table->mapping.has_words)
	{
		appendStringInfo(query, "%s::%s", status, table->status_type);
		return;
	}
	appendStringInfoString(query, "CASE");
	for (int i = 0; i < (int) lengthof(statuses); i++)
	{
		const char *word = source_word_of(&table->mapping, statuses[i]);

		if (word != NULL)
			appendStringInfo(query, " WHEN %s OPERATOR(pg_catalog.=) '%s' THEN %s::%s", status, statuses[i],
							 quote_literal_cstr(word), table->status_type);
	}
	appendStringInfoString(query, " END");
}

const char *
source_sql_is_open(const source_table *table)
{
	StringInfoData condition;

	initStringInfo(&condition);
	if (!table->mapping.has_words)
		appendStringInfo(&condition, "(%1$s OPERATOR(pg_catalog.=) 'pending' OR %1$s OPERATOR(pg_catalog.=) 'detected')",
						 column(table->mapping.names[COLUMN_STATUS]));
	else
	{
		appendStringInfoChar(&condition, '(');
		append_word_is(&condition, table, "pending", table->status_type);
		appendStringInfoString(&condition, " OR ");
		append_word_is(&condition, table, "detected", table->status_type);
		appendStringInfoChar(&condition, ')');
	}
	return condition.data;
}
