/* heartbeat.c: a file that tells a container's health check that the daemon is alive and has its database */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/host.h"
#include "core/base/memory.h"
#include "heartbeat.h"

/* A daemon whose loop stands still this long is stuck */
#define STALE_MS			15000

/* A database that is away this long is not just being restarted */
#define DATABASE_LOST_MS	60000

#define BEAT_INTERVAL_MS	1000

#define LOCK_ATTEMPTS		5
#define LOCK_RETRY_MS		20

/* The file's only line: when it was written and since when the database is lost, in rc_now_ms of this machine */
#define LINE_FORMAT			"%020" PRId64 " %020" PRId64 "\n"
#define LINE_SIZE			64

char *
rc_heartbeat_default_path(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (runtime != NULL && runtime[0] == '/')
		return rc_asprintf("%s/reconcilerd.heartbeat", runtime);
	return rc_asprintf("/tmp/reconcilerd.%ld.heartbeat", (long) geteuid());
}

/* In a directory that others may write, only a plain file of our own is trusted. Returns -1 and a reason. */
static int
open_own_file(const char *path, int flags, const char **reason)
{
	struct stat info;
	int			fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0)
	{
		*reason = strerror(errno);
		return -1;
	}
	if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid() || info.st_nlink != 1)
	{
		*reason = "it is not a plain file of this user";
		close(fd);
		return -1;
	}
	return fd;
}

/* Held as long as the process lives: so the kernel tells the health check of its death */
static bool
lock_file(int fd, const char *path)
{
	struct stat held;
	struct stat named;

	/* The path may have been removed meanwhile by a daemon that was just stopping */
	return flock(fd, LOCK_EX | LOCK_NB) == 0 &&
		fstat(fd, &held) == 0 && stat(path, &named) == 0 &&
		held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

char *
rc_heartbeat_open(rc_heartbeat *heartbeat, const char *path)
{
	heartbeat->fd = -1;

	/* More than once, since a health check holds the lock for an instant */
	for (int attempt = 0; attempt < LOCK_ATTEMPTS; attempt++)
	{
		const char *reason = NULL;
		int			fd = open_own_file(path, O_RDWR | O_CREAT, &reason);

		if (fd < 0)
			return rc_asprintf("%s can't be written: %s", path, reason);
		if (lock_file(fd, path))
		{
			heartbeat->fd = fd;
			heartbeat->path = rc_strdup(path);
			heartbeat->written_at_ms = 0;
			rc_heartbeat_beat(heartbeat, 0);
			return NULL;
		}
		close(fd);
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return rc_asprintf("%s is in use by another reconcilerd", path);
}

void
rc_heartbeat_beat(rc_heartbeat *heartbeat, int64_t lost_since_ms)
{
	char		line[LINE_SIZE];
	int64_t		now = rc_now_ms();
	int			len;

	if (heartbeat->fd < 0 ||
		(heartbeat->written_at_ms != 0 && now - heartbeat->written_at_ms < BEAT_INTERVAL_MS))
		return;
	heartbeat->written_at_ms = now;
	len = snprintf(line, sizeof(line), LINE_FORMAT, now, lost_since_ms);

	/* A full disk shows as a stale file, which is what the check looks for */
	if (pwrite(heartbeat->fd, line, (size_t) len, 0) != len)
		return;
}

void
rc_heartbeat_close(rc_heartbeat *heartbeat)
{
	if (heartbeat->fd < 0)
		return;
	unlink(heartbeat->path);
	close(heartbeat->fd);
	free(heartbeat->path);
	heartbeat->fd = -1;
	heartbeat->path = NULL;
}

/* What the line of a locked file says */
static char *
judge(int fd)
{
	char		line[LINE_SIZE] = "";
	int64_t		written_at_ms;
	int64_t		lost_since_ms;
	int64_t		now = rc_now_ms();
	char	   *second;
	char	   *end;

	if (pread(fd, line, sizeof(line) - 1, 0) <= 0)
		return rc_strdup("the heartbeat file says nothing");
	written_at_ms = strtoll(line, &second, 10);
	lost_since_ms = strtoll(second, &end, 10);
	if (second == line || end == second)
		return rc_strdup("the heartbeat file says nothing");
	if (now - written_at_ms > STALE_MS)
		return rc_asprintf("reconcilerd has stood still for %" PRId64 " s", (now - written_at_ms) / 1000);
	if (lost_since_ms != 0 && now - lost_since_ms > DATABASE_LOST_MS)
		return rc_asprintf("reconcilerd has been without its database for %" PRId64 " s",
						   (now - lost_since_ms) / 1000);
	return NULL;
}

char *
rc_heartbeat_check(const char *path)
{
	const char *reason = NULL;
	int			fd = open_own_file(path, O_RDONLY, &reason);
	char	   *problem;

	if (fd < 0)
		return rc_asprintf("no reconcilerd runs with the heartbeat file %s: %s", path, reason);
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		problem = rc_asprintf("no reconcilerd runs with the heartbeat file %s", path);
	else
		problem = judge(fd);
	close(fd);
	return problem;
}
