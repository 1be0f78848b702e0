/* session.h: settings that the statements of the protocol are written for, whatever the database's and the role's are */
#ifndef RC_SESSION_H
#define RC_SESSION_H

typedef struct rc_session_setting
{
	const char *name;			/* not every version of the server has every one */
	const char *value;
} rc_session_setting;

/* Ended by a name that is NULL; search_path first */
extern const rc_session_setting rc_session_settings[];

#endif
