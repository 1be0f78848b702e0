/* top.c: reconcilerd top: a live view in a terminal, by plain sequences that every terminal knows */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "pq_store.h"
#include "status.h"
#include "view.h"

/* How often it is looked whether a key was pressed or a stop requested */
#define KEY_WAIT_MS		200

#define ENTER_SCREEN	"\033[?1049h\033[?25l"
#define LEAVE_SCREEN	"\033[?25h\033[?1049l"
#define HOME			"\033[H"
#define REST_OF_LINE	"\033[K"
#define REST_OF_SCREEN	"\033[J"
#define PLAIN			"\033[0m"

static const char *const styles[] = {
	[RC_LINE_PLAIN] = "",
	[RC_LINE_TITLE] = "\033[1m",
	[RC_LINE_WARNING] = "\033[33m",
	[RC_LINE_CRITICAL] = "\033[1;31m"
};

static bool
stopping(rc_daemon *daemon)
{
	return daemon->host.stop_requested(daemon);
}

static void
screen_size(int *rows, int *columns)
{
	struct winsize size;

	*rows = 24;
	*columns = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
	{
		*rows = size.ws_row;
		*columns = size.ws_col;
	}
}

static void
append_line(rc_buffer *screen, rc_line_kind kind, const char *text, int columns)
{
	rc_buffer_printf(screen, "%s%.*s%s" REST_OF_LINE "\r\n", styles[kind], rc_view_fit(text, columns - 1), text,
					 styles[kind][0] ? PLAIN : "");
}

static void
write_all(const rc_buffer *screen)
{
	size_t		written = 0;

	while (written < screen->len)
	{
		ssize_t		n = write(STDOUT_FILENO, screen->data + written, screen->len - written);

		if (n <= 0)
			return;				/* the terminal is gone; so will be what holds us */
		written += (size_t) n;
	}
}

static char *
headline(rc_pq_store *pq, rc_store_status status)
{
	char		now[32] = "";
	time_t		seconds = time(NULL);
	struct tm	local;

	if (localtime_r(&seconds, &local) != NULL)
		strftime(now, sizeof(now), "%H:%M:%S", &local);
	return rc_asprintf("reconcilerd top  %s  database %s  %s", now, rc_pq_store_database(pq),
					   status == RC_STORE_OK ? "q: quit" : "THE DATABASE DOES NOT ANSWER");
}

static void
draw(rc_pq_store *pq)
{
	rc_view		view = {0};
	rc_buffer	screen = {0};
	int			rows;
	int			columns;
	rc_store_status status = rc_view_collect(rc_pq_store_table(pq), true, &view);
	char	   *head = headline(pq, status);

	screen_size(&rows, &columns);
	rc_buffer_printf(&screen, HOME);
	append_line(&screen, RC_LINE_TITLE, head, columns);
	for (int i = 0; i < view.n && i < rows - 2; i++)
		append_line(&screen, view.lines[i].kind, view.lines[i].text, columns);
	rc_buffer_printf(&screen, REST_OF_SCREEN);
	write_all(&screen);
	rc_buffer_free(&screen);
	rc_view_free(&view);
	free(head);
}

/* Waits for the next turn; false: q was pressed, or the terminal is gone */
static bool
wait_for_turn(rc_daemon *daemon, long interval_ms)
{
	int64_t		until = rc_now_ms() + interval_ms;

	while (rc_now_ms() < until && !stopping(daemon))
	{
		struct pollfd keys = {.fd = STDIN_FILENO,.events = POLLIN};
		char		key;

		if (poll(&keys, 1, KEY_WAIT_MS) <= 0)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')
			return false;
		break;					/* any other key: now */
	}
	return true;
}

/* Single keys without an echo. False: standard input is no terminal */
static bool
take_terminal(struct termios *before)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, before) != 0)
		return false;
	raw = *before;
	raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static int
show_live(rc_daemon *daemon, const rc_config *config, rc_pq_store *pq)
{
	struct termios before;
	const rc_buffer enter = {ENTER_SCREEN, sizeof(ENTER_SCREEN) - 1, 0};
	const rc_buffer leave = {LEAVE_SCREEN, sizeof(LEAVE_SCREEN) - 1, 0};

	if (!isatty(STDOUT_FILENO) || !take_terminal(&before))
	{
		fprintf(stderr, "reconcilerd: top needs a terminal; with --once it prints one picture\n");
		return RC_STATUS_UNKNOWN;
	}
	daemon->logger.level = RC_LOG_NOTHING;
	write_all(&enter);
	do
		draw(pq);
	while (wait_for_turn(daemon, config->interval_ms) && !stopping(daemon));
	write_all(&leave);
	(void) tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return RC_STATUS_OK;
}

static int
show_once(rc_pq_store *pq)
{
	rc_view		view = {0};
	rc_store_status status = rc_view_collect(rc_pq_store_table(pq), true, &view);

	for (int i = 0; i < view.n; i++)
		printf("%s\n", view.lines[i].text);
	rc_view_free(&view);
	return status == RC_STORE_OK ? RC_STATUS_OK : RC_STATUS_UNKNOWN;
}

int
rc_top(rc_daemon *daemon, const rc_config *config)
{
	rc_pq_store *pq = rc_pq_store_create(daemon, config->database_url, config->statement_timeout_ms);
	char	   *problem = rc_pq_store_connect(pq, config->database_wait_ms);
	int			code = RC_STATUS_UNKNOWN;

	if (problem != NULL)
		fprintf(stderr, "reconcilerd: the database can't be reached: %s\n", problem);
	else
		code = config->once ? show_once(pq) : show_live(daemon, config, pq);
	free(problem);
	rc_pq_store_free(pq);
	return code;
}
