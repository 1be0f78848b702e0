/* source_sql.h: parts of statements on attached tables; the table is "t", operators and functions have their schema */
#ifndef RC_SOURCE_SQL_H
#define RC_SOURCE_SQL_H

#include "owner.h"

#include "lib/stringinfo.h"

/* The columns of the id, one after the other */
extern const char *source_sql_id_columns(const source_table *table);

/* The id as text */
extern const char *source_sql_id(const source_table *table);

/* Condition: the row has the id that the expression text has */
extern const char *source_sql_id_is(const source_table *table, const char *text);

/* Condition: the row has one of the ids in $1, a text[] */
extern const char *source_sql_id_in(const source_table *table);

/* NULL, or why the text can't be the id of a row */
extern const char *source_id_problem(const source_table *table, const char *id);

/* A column's time as timestamptz: by the zone, if there is one */
extern const char *source_sql_time(const char *name, const char *zone);

/* The time, as updated_at wants it */
extern const char *source_sql_now(const source_table *table);

/* Condition: the row's status is one that the words of status, an expression, stand for */
extern void source_sql_append_status_is(StringInfo query, const source_table *table, const char *status, const char *type);

/* The word to write for status, an expression */
extern void source_sql_append_word(StringInfo query, const source_table *table, const char *status);

/* The word that is written for a status; NULL: none */
extern const char *source_word_of(const source_mapping *mapping, const char *status);

/* Condition: the row's status is open */
extern const char *source_sql_is_open(const source_table *table);

#endif
