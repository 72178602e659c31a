/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_LINES_H
#define MEMATTACH_TESTS_LINES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The text that comes out of a pipe, all of it kept, handed out line by line.
 * Waits are bounded: a test fails rather than hangs.
 */
struct lines {
	int fd;     /* the reading end, -1 once closed */
	char *text; /* everything so far, NUL-terminated; NULL: nothing yet */
	size_t n, next;
	bool end; /* of file has been seen */
	char line[4096];
};

/* How long a test waits for anything, in milliseconds: far more than it should ever take. */
#define PATIENCE_MS 60000

void lines_init(struct lines *lines, int fd);
void lines_deinit(struct lines *lines);

/* Takes in what is there, waiting for up to ms if nothing is. False at end of file or timeout. */
bool lines_pump(struct lines *lines, int ms);

/* The next whole line without its newline, valid until the next call; NULL at end of file. */
const char *lines_next(struct lines *lines);

/* Lines are skipped until one contains text, which is returned; NULL at end of file. */
const char *lines_until(struct lines *lines, const char *text);

/* Reads two pipes (the second may be NULL) to their ends. */
void lines_drain(struct lines *a, struct lines *b);

#endif
