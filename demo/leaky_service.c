// SPDX-License-Identifier: MIT
/*
 * A small service with a leak. It listens on the loopback interface, on a port that
 * the kernel chooses and that it prints on its first line. To each connection that says
 *
 *	hello NAME
 *
 * it answers "hello, NAME" and hangs up. The leak is a common one: every request is
 * kept in a session, and sessions are only closed for clients that say "bye".
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX   256
#define RECENT_NAMES  8
#define SESSION_BYTES 4096 /* room for what the client may say next */

struct session {
	struct session *next;
	char *buffer;
};

static struct session *sessions;

/* Names of the last clients: memory that is in use for a good reason. */
static char *recent[RECENT_NAMES];

static struct session *session_open(const char *request)
{
	struct session *session = malloc(sizeof(*session));

	if (!session)
		return NULL;
	session->buffer = malloc(SESSION_BYTES); /* the leak: freed by session_close only */
	if (!session->buffer) {
		free(session);
		return NULL;
	}
	snprintf(session->buffer, SESSION_BYTES, "%s", request);
	session->next = sessions;
	sessions = session;
	return session;
}

static void session_close(struct session *session)
{
	sessions = session->next;
	free(session->buffer);
	free(session);
}

static int remember(const char *name)
{
	static unsigned int next;
	char *copy = strdup(name);

	if (!copy)
		return -1;
	free(recent[next]);
	recent[next] = copy;
	next = (next + 1) % RECENT_NAMES;
	return 0;
}

static char *make_answer(const char *name)
{
	char *answer;

	return asprintf(&answer, "hello, %s\n", name) < 0 ? NULL : answer;
}

/* Answers a request; 0 if it could not. */
static int handle_request(int client, const char *request)
{
	struct session *session = session_open(request);
	char name[REQUEST_MAX];
	char *answer;
	ssize_t sent = 0;

	if (!session)
		return 0;
	if (strcmp(request, "bye") == 0) {
		session_close(session);
		return 1;
	}
	if (sscanf(request, "hello %255s", name) != 1 || remember(name) != 0)
		return 0;
	answer = make_answer(name);
	if (answer)
		sent = send(client, answer, strlen(answer), MSG_NOSIGNAL);
	free(answer);
	return sent > 0;
}

static int read_line(int client, char line[REQUEST_MAX])
{
	size_t n = 0;

	while (n < REQUEST_MAX - 1) {
		ssize_t got = read(client, line + n, 1);

		if (got != 1)
			return 0;
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	return 1;
}

static int listen_on_loopback(unsigned int *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) || listen(fd, 16) ||
	    getsockname(fd, (struct sockaddr *)&address, &len))
		return -1;
	*port = ntohs(address.sin_port);
	return fd;
}

int main(void)
{
	char request[REQUEST_MAX];
	unsigned int port;
	int fd = listen_on_loopback(&port);

	if (fd < 0) {
		perror("leaky_service: cannot listen on 127.0.0.1");
		return 1;
	}
	/* So that the demo needs no root where only parents may trace (Yama); fails where that is not so. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	printf("%u\n", port);
	if (fflush(stdout))
		return 1;
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			return 1;
		if (read_line(client, request))
			handle_request(client, request);
		close(client);
	}
}
