/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_MAPS_H
#define MEMATTACH_PROC_MAPS_H

#include "base/err.h"
#include "base/types.h"

/* One line of /proc/PID/maps. */
struct map {
	u64 start, end; /* [start, end) */
	u64 offset;     /* in the file, bytes */
	u64 dev;        /* makedev(major, minor) */
	u64 inode;      /* 0: anonymous */
	bool read, write, exec, shared;
	bool deleted; /* the kernel appended " (deleted)", and the file is really gone */
	char *path;   /* unescaped, without " (deleted)"; "" for anonymous; "[heap]" and the like */
};

struct maps {
	struct map *items; /* sorted by start */
	size_t n, cap;
};

/* Reads /proc/PID/maps. On success release with maps_deinit. 0 or -errno with err filled. */
int maps_read(struct maps *maps, pid_t pid, struct err *err);

/* The same from text in memory, for tests and the fuzzer; text need not end in a newline. -EINVAL if malformed. */
int maps_parse(struct maps *maps, const char *text, size_t len, struct err *err);
void maps_deinit(struct maps *maps);

/* The mapping that holds addr, or NULL. O(log n). */
const struct map *maps_find(const struct maps *maps, u64 addr);

#endif
