/* poll_host.c: a host for the core on poll(2), for unit tests */
#include "poll_host.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rc_buffer log_lines;

/* rc_host.wait */
static void
wait_for_sockets(void *ctx, rc_socket *sockets, int nsockets, uint64_t generation, long timeout_ms)
{
	struct pollfd *fds = rc_calloc((size_t) nsockets, sizeof(*fds));

	(void) ctx;
	(void) generation;
	for (int i = 0; i < nsockets; i++)
	{
		fds[i].fd = sockets[i].fd;
		fds[i].events = (short) (((sockets[i].events & RC_SOCKET_READ) != 0 ? POLLIN : 0) |
								 ((sockets[i].events & RC_SOCKET_WRITE) != 0 ? POLLOUT : 0));
	}
	(void) poll(fds, (nfds_t) nsockets, (int) timeout_ms);
	for (int i = 0; i < nsockets; i++)
	{
		sockets[i].revents = 0;
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			sockets[i].revents |= sockets[i].events & RC_SOCKET_READ ? RC_SOCKET_READ : RC_SOCKET_WRITE;
		if (fds[i].revents & POLLOUT)
			sockets[i].revents |= RC_SOCKET_WRITE;
	}
	free(fds);
}

/* rc_host.stop_requested */
static bool
never_stop(void *ctx)
{
	(void) ctx;
	return false;
}

/* rc_host.log */
static void
keep_line(void *ctx, const rc_event *event)
{
	char	   *line = rc_event_text(event);

	(void) ctx;
	rc_buffer_printf(&log_lines, "%s\n", line);
	free(line);
}

/* The host */
const rc_host *
poll_host(void)
{
	static const rc_host host = {.wait = wait_for_sockets,.stop_requested = never_stop,.log = keep_line};

	/* A proxy of the environment has nothing to do with nodes on this machine */
	(void) setenv("no_proxy", "*", 1);
	return &host;
}

/* What was logged */
const char *
poll_host_log(void)
{
	return log_lines.data != NULL ? log_lines.data : "";
}

/* Forgets what was logged */
void
poll_host_clear_log(void)
{
	rc_buffer_free(&log_lines);
}

/* rc_observed */
static void
keep_observation(void *arg, rc_observation *observation)
{
	*(rc_observation **) arg = observation;
}

rc_tip_bounds look_bounds;

/* Runs one look to its end */
rc_observation *
look_and_wait(rc_http *http, rc_network *network, const rc_request *requests, int nrequests)
{
	rc_observation *observation = NULL;
	int64_t		give_up = rc_now_ms() + 30000;
	rc_look    *look = rc_look_start(http, poll_host(), network, &look_bounds, requests, nrequests, keep_observation, &observation);

	while (observation == NULL && rc_now_ms() < give_up)
		rc_http_step(http, 1000);
	if (observation == NULL)
		rc_look_cancel(look);
	return observation;
}
