/* hosts.h: where events may be sent: names as they stand in a URL, addresses as they are connected to */
#ifndef RC_HOSTS_H
#define RC_HOSTS_H

#include <stdbool.h>
#include <sys/socket.h>

typedef struct rc_hosts rc_hosts;

/*
 * A comma-separated list: names, *.name, * (all names), addresses, networks
 * (10.0.0.0/8). NULL: it is none, and *problem (rc_malloc'd) says why.
 */
extern rc_hosts *rc_hosts_parse(const char *list, char **problem);
extern void rc_hosts_free(rc_hosts *hosts);

/*
 * Why nothing is sent to a URL, as far as its text can tell; rc_malloc'd; NULL:
 * nothing is wrong. Repeats nothing of the URL but its host. *host (may be
 * NULL) gets the URL's host, as curl reads it, rc_malloc'd, if nothing is wrong.
 */
extern char *rc_hosts_url_problem(const rc_hosts *hosts, const char *url, char **host);

/*
 * May the host of that name be connected to at the address? An address that is
 * not the public internet's must be listed itself: whoever makes the name point
 * to it has no say.
 */
extern bool rc_hosts_allow(const rc_hosts *hosts, const char *host, const struct sockaddr *address);

#endif
