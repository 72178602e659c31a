// SPDX-License-Identifier: MIT
#include "talk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void write_all(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, text, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			_exit(98);
		text += done;
		n -= (size_t)done;
	}
}

static void write_line(int fd, const char *format, va_list args)
{
	char line[512];
	int n = vsnprintf(line, sizeof(line) - 1, format, args);

	if (n < 0 || n > (int)sizeof(line) - 2)
		_exit(97);
	line[n] = '\n';
	write_all(fd, line, (size_t)n + 1);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(STDOUT_FILENO, format, args);
	va_end(args);
}

void hurt(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(STDERR_FILENO, format, args);
	va_end(args);
	va_start(args, format);
	write_line(STDOUT_FILENO, format, args);
	va_end(args);
	_exit(99);
}

const char *hear(void)
{
	static char line[256];
	size_t n = 0;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, line + n, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return NULL;
		if (line[n] == '\n') {
			line[n] = '\0';
			return line;
		}
		if (++n == sizeof(line))
			_exit(96);
	}
}

const char *after(const char *line, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(line, word, n) != 0)
		return NULL;
	if (line[n] == '\0')
		return line + n;
	return line[n] == ' ' ? line + n + 1 : NULL;
}
