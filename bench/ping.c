// SPDX-License-Identifier: MIT
/*
 * How long a redis-server keeps a client waiting.
 *
 *	ping SOCKET
 *
 * Pings in a loop, as fast as answers come. For each line read from standard input it prints
 * the longest time between two answers since the line before, how long ago that line was, and the
 * number of answers:
 *
 *	412 us, 300 ms, 13042 pings
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PINGS_A_LOOK 16 /* between two looks at standard input */

struct window {
	double start, longest;
	long pings;
};

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int ask(int fd)
{
	static const char question[] = "PING\r\n", answer[] = "+PONG\r\n";
	size_t n = 0, len = sizeof(answer) - 1;
	char text[sizeof(answer)];

	if (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(question) - 1)
		return -1;
	while (n < len) {
		ssize_t got = recv(fd, text + n, len - n, 0);

		if (got <= 0)
			return -1;
		n += (size_t)got;
	}
	return memcmp(text, answer, len) == 0 ? 0 : -1;
}

static int open_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -1;
	return fd;
}

/* A line is there: 1; none: 0; the end: -1. */
static int look(void)
{
	char line[64];
	ssize_t got = read(STDIN_FILENO, line, sizeof(line));

	if (got < 0 && errno == EAGAIN)
		return 0;
	return got > 0 ? 1 : -1;
}

static void print_window(struct window *window)
{
	printf("%.0f us, %.0f ms, %ld pings\n", window->longest, (now_us() - window->start) / 1e3,
	       window->pings);
	fflush(stdout);
	*window = (struct window){.start = now_us()};
}

int main(int argc, char **argv)
{
	struct window window = {0};
	int fd = argc == 2 ? open_socket(argv[1]) : -1;
	double last, now;
	int line = 0;

	if (fd < 0 || fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK)) {
		fputs("usage: ping SOCKET (of a redis-server)\n", stderr);
		return 2;
	}
	puts("ready");
	fflush(stdout);
	window.start = last = now_us();
	while (line >= 0) {
		for (int i = 0; i < PINGS_A_LOOK; i++) {
			if (ask(fd)) {
				fputs("ping: no answer\n", stderr);
				return 1;
			}
			now = now_us();
			if (now - last > window.longest)
				window.longest = now - last;
			last = now;
			window.pings++;
		}
		line = look();
		if (line > 0) {
			print_window(&window);
			last = now_us();
		}
	}
	return 0;
}
