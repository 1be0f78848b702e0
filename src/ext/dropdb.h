/* dropdb.h: keeps workers out of a database that somebody needs for himself */
#ifndef RC_DROPDB_H
#define RC_DROPDB_H

extern void rc_dropdb_install_hook(void);

#endif
