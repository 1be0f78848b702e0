/* fake_node.c: the HTTP side of the fake node */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* strcasestr */
#endif
#include "fake_node.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "fake_evm.h"

/* Sends all of it; what the other side doesn't want is dropped */
static void
send_all(int fd, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		len -= (size_t) n;
	}
}

/* One response; sent bytes of the body may be fewer than announced */
static void
respond(int fd, int status, int retry_after, const char *type, const char *body, size_t announced, size_t sent)
{
	rc_buffer	head = {0};

	rc_buffer_printf(&head, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", status, type, announced);
	if (retry_after > 0)
		rc_buffer_printf(&head, "Retry-After: %d\r\n", retry_after);
	rc_buffer_append(&head, "\r\n", 2);
	rc_buffer_append(&head, body, sent);
	send_all(fd, head.data, head.len);
	rc_buffer_free(&head);
}

/* The answers' ids, made wrong */
static void
spoil_ids(struct json_object *answer, fake_trouble trouble)
{
	size_t		n;

	if (!json_object_is_type(answer, json_type_array))
	{
		json_object_object_add(answer, "id", json_object_new_int(777));
		return;
	}
	n = json_object_array_length(answer);
	if (trouble == FAKE_MISSING_ANSWER)
	{
		json_object_array_del_idx(answer, n - 1, 1);
		return;
	}
	for (size_t i = 0; i < n; i++)
	{
		struct json_object *first;

		(void) json_object_object_get_ex(json_object_array_get_idx(answer, 0), "id", &first);
		json_object_object_add(json_object_array_get_idx(answer, i), "id",
							   trouble == FAKE_SAME_IDS ? json_object_get(first) : json_object_new_int(777 + (int) i));
	}
}

/* The methods that a request calls, each once */
static void
methods_of(const char *body, char *out, size_t size)
{
	struct json_object *request = json_tokener_parse(body);
	size_t		n = json_object_is_type(request, json_type_array) ? json_object_array_length(request) : 1;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
	{
		struct json_object *one = json_object_is_type(request, json_type_array) ?
			json_object_array_get_idx(request, i) : request;
		struct json_object *method;

		(void) json_object_object_get_ex(one, "method", &method);
		if (strstr(out, json_object_get_string(method)) == NULL)
			(void) snprintf(out + strlen(out), size - strlen(out), "%s ", json_object_get_string(method));
	}
	json_object_put(request);
}

/* Another's answer in place of one's own, malloc'd; NULL: there is none */
static char *
others_answer(fake_node *node, fake_trouble trouble, const char *body, const char *own)
{
	fake_kept  *kept = node->kept;
	char	   *other = NULL;
	char		methods[sizeof(kept->methods)];
	int			place;

	if (trouble == FAKE_LATE)
	{
		other = node->nkept++ > 0 ? rc_strdup(kept->text) : rc_strdup("{\"id\":1,\"result\":null}");
		(void) snprintf(kept->text, sizeof(kept->text), "%s", own);
	}
	else if (trouble == FAKE_CACHED)
	{
		methods_of(body, methods, sizeof(methods));
		for (int i = 0; i < node->nkept && other == NULL; i++)
			other = strcmp(node->kept[i].methods, methods) == 0 ? rc_strdup(node->kept[i].text) : NULL;
		if (other == NULL && node->nkept < FAKE_KEPT)
		{
			kept = &node->kept[node->nkept++];
			(void) snprintf(kept->methods, sizeof(kept->methods), "%s", methods);
			(void) snprintf(kept->text, sizeof(kept->text), "%s", own);
		}
	}
	else
	{
		place = __sync_fetch_and_add(&node->waiting, 1) % 2;
		(void) snprintf(node->kept[place].text, sizeof(kept->text), "%s", own);
		/* The other of the pair has come too, or doesn't */
		for (int i = 0; i < 300 && __sync_fetch_and_add(&node->waiting, 0) % 2 != 0; i++)
			(void) poll(NULL, 0, 1);
		(void) poll(NULL, 0, 20);
		other = rc_strdup(node->kept[1 - place].text);
	}
	return other;
}

/* Answers one request as told; false: close the connection */
static bool
answer_request(fake_node *node, int fd, const char *body)
{
	int			number = __sync_add_and_fetch(&node->requests, 1);
	fake_trouble trouble = number > node->trouble_after ? node->trouble : FAKE_NO_TROUBLE;
	struct json_object *answer;
	const char *text;
	size_t		len;

	switch (trouble)
	{
		case FAKE_HANG:
			for (;;)
				(void) poll(NULL, 0, 1000);
		case FAKE_CLOSE:
			return false;
		case FAKE_HTML:
			respond(fd, 200, 0, "text/html", "<html>please wait</html>", 24, 24);
			return true;
		case FAKE_EMPTY:
			respond(fd, 200, 0, "application/json", "", 0, 0);
			return true;
		case FAKE_STATUS:
			respond(fd, node->status, node->retry_after, "text/plain", node->text, strlen(node->text), strlen(node->text));
			return true;
		case FAKE_TEXT:
			respond(fd, 200, 0, "application/json", node->text, strlen(node->text), strlen(node->text));
			return true;
		case FAKE_HUGE:
			respond(fd, 200, 0, "application/json", "[", (size_t) 1 << 32, 1);
			return true;
		default:
			break;
	}
	if (node->max_body > 0 && strlen(body) > (size_t) node->max_body)
	{
		respond(fd, 413, 0, "text/html", "<html>large</html>", 18, 18);
		return true;
	}
	answer = fake_evm_answer(node, body);
	if (trouble == FAKE_WRONG_IDS || trouble == FAKE_SAME_IDS || trouble == FAKE_MISSING_ANSWER)
		spoil_ids(answer, trouble);
	text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
	len = strlen(text);
	if (trouble == FAKE_LATE || trouble == FAKE_CACHED || trouble == FAKE_SWAPPED)
	{
		char	   *other = others_answer(node, trouble, body, text);

		if (other != NULL)
			respond(fd, 200, 0, "application/json", other, strlen(other), strlen(other));
		else
			respond(fd, 200, 0, "application/json", text, len, len);
		free(other);
	}
	else if (trouble == FAKE_DOUBLED)
	{
		respond(fd, 200, 0, "application/json", text, len, len);
		/* Not before the next request is on its way: it would be thrown away */
		(void) poll(&(struct pollfd) {fd, POLLIN, 0}, 1, 1000);
		respond(fd, 200, 0, "application/json", text, len, len);
	}
	else if (trouble == FAKE_CUT_JSON)
		respond(fd, 200, 0, "application/json", text, len / 2, len / 2);
	else
		respond(fd, 200, 0, "application/json", text, len, trouble == FAKE_CUT_BODY ? len / 2 : len);
	json_object_put(answer);
	return trouble != FAKE_CUT_BODY;
}

/* Reads until the request is whole; the offset of its body, 0 when the connection is closed */
static size_t
read_request(int fd, rc_buffer *in, size_t *total)
{
	for (;;)
	{
		char	   *end = in->len > 0 ? strstr(in->data, "\r\n\r\n") : NULL;
		char		chunk[65536];
		ssize_t		n;

		if (end != NULL)
		{
			char	   *length = strcasestr(in->data, "content-length:");
			size_t		offset = (size_t) (end + 4 - in->data);
			size_t		body = length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0;

			if (in->len >= offset + body)
			{
				*total = offset + body;
				return offset;
			}
		}
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n <= 0)
			return 0;
		rc_buffer_append(in, chunk, (size_t) n);
	}
}

/* One connection, in a process of its own */
static void
serve_connection(fake_node *node, int fd)
{
	rc_buffer	in = {0};
	size_t		offset;
	size_t		total;
	int			on = 1;

	(void) __sync_add_and_fetch(&node->connections, 1);
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while ((offset = read_request(fd, &in, &total)) > 0)
	{
		bool		more = answer_request(node, fd, in.data + offset);

		rc_buffer_free(&in);
		if (!more)
			break;
	}
	rc_buffer_free(&in);
}

/* The child: takes connections until it is killed */
static void
serve(fake_node *node, int listener, pid_t parent)
{
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	(void) signal(SIGCHLD, SIG_IGN);
	for (;;)
	{
		int			fd = accept(listener, NULL, NULL);
		pid_t		self = getpid();

		if (fd < 0)
			continue;
		if (fork() == 0)
		{
			(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() == self)
				serve_connection(node, fd);
			_exit(0);
		}
		(void) close(fd);
	}
}

/* Starts the node on a free port */
fake_node *
fake_node_start(void)
{
	fake_node  *node = mmap(NULL, sizeof(*node), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sockaddr_in address = {0};
	socklen_t	len = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	pid_t		parent = getpid();
	pid_t		pid;

	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (node == MAP_FAILED || listener < 0 ||
		bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(listener, 64) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &len) != 0)
	{
		perror("fake node");
		exit(1);
	}
	memset(node, 0, sizeof(*node));
	node->port = ntohs(address.sin_port);
	node->chain_id = node->evm_chain_id = 31337;
	node->tip = 100;
	node->safe = 90;
	/* Not straight into shared memory, where the child would write its 0 */
	pid = fork();
	if (pid == 0)
		serve(node, listener, parent);
	node->pid = pid;
	(void) close(listener);
	return node;
}

/* Ends the node and its connections */
void
fake_node_stop(fake_node *node)
{
	(void) kill(node->pid, SIGKILL);
	(void) waitpid(node->pid, NULL, 0);
	(void) munmap(node, sizeof(*node));
}
