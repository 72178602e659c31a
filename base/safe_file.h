/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_SAFE_FILE_H
#define MEMATTACH_BASE_SAFE_FILE_H

#include <stdio.h>

#include "base/err.h"

/*
 * A file that a reader sees whole or not at all: written to a temporary name
 * in the same directory, then renamed. "-" and things that are no regular file
 * (a FIFO, /dev/full) are written in place.
 */
struct safe_file {
	FILE *f;    /* write here */
	char *path; /* the final name, owned */
	char *temp; /* the temporary name, owned; NULL: written in place */
};

/*
 * Opens path for writing. Errors name the path and the cause. On failure there
 * is nothing to undo. End with exactly one of commit and abort.
 */
int safe_file_open(struct safe_file *file, const char *path, struct err *err);

/*
 * Flushes, checks every earlier write error (a full disk shows here at the
 * latest), renames. On failure the temporary file is removed and a file that
 * stood at path before is as it was.
 */
int safe_file_commit(struct safe_file *file, struct err *err);

/* Throws away what was written. */
void safe_file_abort(struct safe_file *file);

#endif
