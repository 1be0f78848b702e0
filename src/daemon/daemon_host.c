/* daemon_host.c: what the core asks of its process, for reconcilerd: signals, waiting, logging */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "daemon_host.h"

/* The longest wait: heartbeat and tick want to come by */
#define MAX_WAIT_MS 1000

/*
 * A stop must end soon even where code waits that knows nothing of signals (a
 * name server that doesn't answer libpq): then this many seconds end the process.
 */
#define STOP_WATCHDOG_S 1

static volatile sig_atomic_t stop_signal = 0;
static struct timespec stop_time;	/* CLOCK_MONOTONIC; valid once stop_signal is set */
static int	wake_pipe[2] = {-1, -1};

/* First signal: wakes whoever waits, and arms the watchdog. Second: the end. */
static void
handle_stop(int signo)
{
	int			saved_errno = errno;

	if (stop_signal != 0)
		_exit(128 + signo);
	clock_gettime(CLOCK_MONOTONIC, &stop_time);
	stop_signal = signo;
	alarm(STOP_WATCHDOG_S);

	/* A full pipe wakes just as well */
	if (write(wake_pipe[1], "", 1) < 0)
		errno = saved_errno;
	errno = saved_errno;
}

/* Leases that could not be given back end by themselves */
static void
handle_watchdog(int signo)
{
	static const char line[] = "reconcilerd: stopped without giving its leases back, which end by themselves\n";

	(void) signo;
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(0);
	_exit(0);
}

static bool
install_signals(void)
{
	struct sigaction action;

	if (pipe(wake_pipe) != 0)
		return false;
	for (int i = 0; i < 2; i++)
	{
		fcntl(wake_pipe[i], F_SETFD, FD_CLOEXEC);
		fcntl(wake_pipe[i], F_SETFL, O_NONBLOCK);
	}

	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_flags = SA_RESTART;
	action.sa_handler = handle_watchdog;
	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = handle_stop;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	return true;
}

long
rc_daemon_stop_budget(void)
{
	int64_t		left;

	if (stop_signal == 0)
		return -1;
	left = (int64_t) stop_time.tv_sec * 1000 + stop_time.tv_nsec / 1000000 + RC_STOP_MS - rc_now_ms();
	return left > 0 ? (long) left : 0;
}

static void
beat(rc_daemon *daemon)
{
	rc_heartbeat_beat(&daemon->heartbeat, daemon->database_lost_ms);
}

/* Polls fds, the last of which is the wake pipe's; it stays readable after a stop and would turn waits into a spin */
static int
poll_awake(struct pollfd *fds, nfds_t n, long timeout_ms)
{
	fds[n - 1].fd = stop_signal == 0 ? wake_pipe[0] : -1;
	fds[n - 1].events = POLLIN;
	return poll(fds, n, (int) (timeout_ms < 0 || timeout_ms > MAX_WAIT_MS ? MAX_WAIT_MS : timeout_ms));
}

bool
rc_daemon_wait_fd(rc_daemon *daemon, int fd, short events, int64_t deadline_ms)
{
	for (;;)
	{
		struct pollfd fds[2] = {{.fd = fd,.events = events}};
		int64_t		left = deadline_ms - rc_now_ms();
		long		budget = rc_daemon_stop_budget();

		if (budget >= 0 && budget < left)
			left = budget;
		if (left <= 0 || (fd < 0 && budget >= 0))
			return false;
		if (poll_awake(fds, 2, (long) (left > MAX_WAIT_MS ? MAX_WAIT_MS : left)) > 0 && fds[0].revents != 0)
			return true;
		beat(daemon);
	}
}

static short
poll_events(int events)
{
	return (short) (((events & RC_SOCKET_READ) ? POLLIN : 0) | ((events & RC_SOCKET_WRITE) ? POLLOUT : 0));
}

/* An error or hangup counts as whatever is waited for: reading or writing will tell */
static int
socket_events(short revents, int wanted)
{
	int			events = 0;

	if (revents & POLLIN)
		events |= RC_SOCKET_READ;
	if (revents & POLLOUT)
		events |= RC_SOCKET_WRITE;
	if (revents & (POLLERR | POLLHUP | POLLNVAL))
		events |= wanted;
	return events;
}

static void
host_wait(void *ctx, rc_socket *sockets, int nsockets, uint64_t generation, long timeout_ms)
{
	rc_daemon  *daemon = ctx;
	struct pollfd *fds = rc_calloc((size_t) nsockets + 1, sizeof(struct pollfd));
	int			ready;

	(void) generation;
	for (int i = 0; i < nsockets; i++)
	{
		fds[i].fd = sockets[i].fd;
		fds[i].events = poll_events(sockets[i].events);
		sockets[i].revents = 0;
	}
	ready = poll_awake(fds, (nfds_t) nsockets + 1, timeout_ms);
	for (int i = 0; i < nsockets && ready > 0; i++)
		sockets[i].revents = socket_events(fds[i].revents, sockets[i].events);
	free(fds);

	beat(daemon);
	if (daemon->tick != NULL && !daemon->in_tick)
	{
		daemon->in_tick = true;
		daemon->tick(daemon->tick_arg);
		daemon->in_tick = false;
	}
}

bool
rc_daemon_gave_up(const rc_daemon *daemon)
{
	return daemon->lost_limit_ms >= 0 && daemon->database_lost_ms != 0 &&
		rc_now_ms() - daemon->database_lost_ms > daemon->lost_limit_ms;
}

static bool
host_stop_requested(void *ctx)
{
	return stop_signal != 0 || rc_daemon_gave_up(ctx);
}

static void
host_log(void *ctx, const rc_event *event)
{
	rc_daemon  *daemon = ctx;

	rc_logger_write(&daemon->logger, event);
}

bool
rc_daemon_init(rc_daemon *daemon)
{
	memset(daemon, 0, sizeof(*daemon));
	daemon->heartbeat.fd = -1;
	daemon->lost_limit_ms = -1;
	daemon->host.ctx = daemon;
	daemon->host.wait = host_wait;
	daemon->host.stop_requested = host_stop_requested;
	daemon->host.log = host_log;
	daemon->host.log_memory = rc_log_memory_create();
	return install_signals();
}
