/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_SLURP_H
#define MEMATTACH_PROC_SLURP_H

#include "base/types.h"

/*
 * Reads a file of /proc or /sys, whose size stat(2) does not tell, into buf and
 * ends it with a NUL. Returns the length without it, which is less than size (a
 * longer file is cut), or -errno.
 */
ssize_t slurp_path(const char *path, char *buf, size_t size);

/* The same from a file that stays open: it is read from its beginning again. */
ssize_t slurp_fd(int fd, char *buf, size_t size);

#endif
