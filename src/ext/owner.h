/* owner.h: reading and writing an attached table with its owner's rights */
#ifndef RC_OWNER_H
#define RC_OWNER_H

#include "postgres.h"

#include "source.h"

/* An attached table, as its owner and the source's mapping have it */
typedef struct source_table
{
	int32		source_id;
	Oid			relation;
	Oid			owner;
	const char *name;			/* "schema.table", quoted */
	const char *from;			/* that, or "ONLY schema.table" */
	source_mapping mapping;
	const char *const *names;	/* of the mapping */
	const char *created_at;		/* "" for none */
	const char *updated_at;		/* "" for none */
	const char *id_types[MAX_ID_COLUMNS];	/* the base types of the id's columns, qualified */
	const char *status_type;	/* the type of the status, qualified */
} source_table;

/* What owner_leave puts back */
typedef struct owner_section
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
} owner_section;

/*
 * Looks the source up (needs SPI); false if it, or its table, is not there any
 * more. The result lives as long as the SPI procedure.
 */
extern bool source_table_open(source_table *table, int32 source_id);

/*
 * Fires what triggers the caller has deferred, with the caller's rights: inside
 * the owner's section they would run with the owner's.
 */
extern void owner_fire_deferred(void);

/*
 * From here to owner_leave everything runs as the role: in a
 * security-restricted operation, so that code of the application's can't get
 * at the rights of whoever runs this; with the settings that its own sessions
 * begin with. An error puts everything back by itself.
 */
extern void owner_enter(owner_section *section, Oid role);
extern void owner_leave(const owner_section *section);

#endif
