// SPDX-License-Identifier: MIT
#include "tests/lines.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lines_init(struct lines *lines, int fd)
{
	memset(lines, 0, sizeof(*lines));
	lines->fd = fd;
}

void lines_deinit(struct lines *lines)
{
	free(lines->text);
	if (lines->fd >= 0)
		close(lines->fd);
	lines_init(lines, -1);
}

static void take_in(struct lines *lines)
{
	char buf[8192];
	ssize_t got = read(lines->fd, buf, sizeof(buf));

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0) {
		lines->end = true;
		return;
	}
	lines->text = realloc(lines->text, lines->n + (size_t)got + 1);
	ck_assert_ptr_nonnull(lines->text);
	memcpy(lines->text + lines->n, buf, (size_t)got);
	lines->n += (size_t)got;
	lines->text[lines->n] = '\0';
}

bool lines_pump(struct lines *lines, int ms)
{
	struct pollfd pollfd = {.fd = lines->fd, .events = POLLIN};

	if (lines->end || lines->fd < 0 || poll(&pollfd, 1, ms) <= 0)
		return false;
	take_in(lines);
	return !lines->end;
}

const char *lines_next(struct lines *lines)
{
	for (;;) {
		char *from = lines->text ? lines->text + lines->next : NULL;
		char *newline = from ? strchr(from, '\n') : NULL;
		size_t n;

		if (newline || (lines->end && lines->next < lines->n)) {
			n = newline ? (size_t)(newline - from) : strlen(from);
			ck_assert_uint_lt(n, sizeof(lines->line));
			memcpy(lines->line, from, n);
			lines->line[n] = '\0';
			lines->next += n + (newline != NULL);
			return lines->line;
		}
		if (lines->end)
			return NULL;
		if (!lines_pump(lines, PATIENCE_MS) && !lines->end)
			ck_abort_msg("nothing was said for %d s; so far: %s", PATIENCE_MS / 1000,
				     lines->text ? lines->text : "(nothing)");
	}
}

const char *lines_until(struct lines *lines, const char *text)
{
	const char *line;

	while ((line = lines_next(lines)) && !strstr(line, text))
		;
	return line;
}

void lines_drain(struct lines *a, struct lines *b)
{
	while (!a->end || (b && !b->end)) {
		struct pollfd pollfds[2] = {
			{.fd = a->end ? -1 : a->fd, .events = POLLIN},
			{.fd = b && !b->end ? b->fd : -1, .events = POLLIN},
		};
		int ready = poll(pollfds, 2, PATIENCE_MS);

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			ck_abort_msg("no end after %d s; so far: %s", PATIENCE_MS / 1000,
				     a->text ? a->text : "(nothing)");
		if (pollfds[0].revents)
			take_in(a);
		if (b && pollfds[1].revents)
			take_in(b);
	}
}
