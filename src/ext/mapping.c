/* mapping.c: the arguments by which attach tells how an attached table is to be read */
#include "mapping.h"

#include "utils/builtins.h"

static const char *const statuses[] = {"pending", "detected", "confirmed", "expired"};

static bool
is_status(const char *text)
{
	for (int i = 0; i < (int) lengthof(statuses); i++)
	{
		if (strcmp(text, statuses[i]) == 0)
			return true;
	}
	return false;
}

/* Takes what one pair says; false: too many columns in the key */
static bool
read_option(source_mapping *mapping, const char *key, const char *value)
{
	if (is_status(key))
	{
		mapping->has_words = true;
		if (strcmp(key, "detected") == 0)
			mapping->hides_detected = false;
	}
	else if (strcmp(key, OPTION_DECIMALS) == 0)
		mapping->decimals = pg_strtoint32(value);
	else if (strcmp(key, OPTION_ZONE) == 0)
		mapping->zone = value;
	else if (strcmp(key, OPTION_ID) == 0)
	{
		if (mapping->nids == MAX_ID_COLUMNS)
			return false;
		mapping->ids[mapping->nids++] = value;
	}
	return true;
}

bool
source_mapping_read(source_mapping *mapping, const char *const *arguments, int n)
{
	if (n < SOURCE_COLUMNS || (n - SOURCE_COLUMNS) % 2 != 0)
		return false;
	memcpy(mapping->names, arguments, sizeof(mapping->names));
	mapping->ids[0] = arguments[COLUMN_ID];
	mapping->nids = 1;
	mapping->decimals = 0;
	mapping->zone = NULL;
	mapping->options = arguments + SOURCE_COLUMNS;
	mapping->noptions = (n - SOURCE_COLUMNS) / 2;
	mapping->has_words = false;
	mapping->hides_detected = true;
	for (int i = 0; i < mapping->noptions; i++)
	{
		if (!read_option(mapping, mapping->options[2 * i], mapping->options[2 * i + 1]))
			return false;
	}
	mapping->hides_detected = mapping->hides_detected && mapping->has_words;
	return true;
}

const char *
source_mapping_option(const source_mapping *mapping, const char *key)
{
	for (int i = 0; i < mapping->noptions; i++)
	{
		if (strcmp(mapping->options[2 * i], key) == 0)
			return mapping->options[2 * i + 1];
	}
	return "";
}

const char *
source_status_of(const source_mapping *mapping, const char *word)
{
	if (word == NULL || !mapping->has_words)
		return word;
	for (int i = 0; i < mapping->noptions; i++)
	{
		if (is_status(mapping->options[2 * i]) && strcmp(mapping->options[2 * i + 1], word) == 0)
			return mapping->options[2 * i];
	}
	return is_status(word) ? psprintf("\"%s\"", word) : word;
}
